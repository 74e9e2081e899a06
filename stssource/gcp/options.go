package gcp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of the API reference on the options parameter, in characters.
const (
	maxOptions     = 4 << 20
	maxOptionsBeta = 4096
)

// options is what Google adds to the parameters of RFC 8693: one parameter that
// holds a JSON object.
type options struct {
	boundary    *AccessBoundary
	userProject string
	fingerprint string
	extra       map[string]any
}

func (c Config) options() options {
	o := options{boundary: c.AccessBoundary, userProject: c.WorkforcePoolUserProject, fingerprint: c.BindCertFingerprint, extra: c.ExtraOptions}
	if c.ClientID != "" {
		o.userProject = "" // the client has a project of its own
	}
	return o
}

// encode returns the parameter, empty if there is nothing in it. What is wrong
// with the values is added to wrong, but for what their own checks find.
func (o options) encode(e Endpoint, wrong *mistakes) string {
	members := make(map[string]any, len(o.extra)+3)
	for _, name := range slices.Sorted(maps.Keys(o.extra)) {
		if field := optionFields[name]; field != "" {
			wrong.add("ExtraOptions", "%q cannot be set here: set %s", name, field)
		}
		members[name] = o.extra[name]
	}
	if o.boundary != nil {
		members["accessBoundary"] = o.boundary
	}
	if o.userProject != "" {
		members["userProject"] = o.userProject
	}
	if o.fingerprint != "" {
		wrong.join("BindCertFingerprint", checkFingerprint(o.fingerprint, e))
		members["bindCertFingerprint"] = o.fingerprint
	}
	if len(members) == 0 {
		return ""
	}
	text, err := encodeJSON(members)
	if err != nil {
		wrong.add("ExtraOptions", "cannot be encoded as JSON")
		return ""
	}
	limit := maxOptions
	if e.isBeta() {
		limit = maxOptionsBeta
	}
	if n := utf8.RuneCountInString(text); n > limit {
		wrong.add("ExtraOptions", "make options of %d characters, and %s takes %d", n, e.version(), limit)
	}
	return text
}

// optionFields names the field for each member that has one.
var optionFields = map[string]string{
	"accessBoundary":      "AccessBoundary",
	"userProject":         "WorkforcePoolUserProject",
	"bindCertFingerprint": "BindCertFingerprint",
}

func checkFingerprint(s string, e Endpoint) error {
	var wrong []error
	if b, err := base64.RawURLEncoding.Strict().DecodeString(s); err != nil || len(b) != 32 || strings.ContainsAny(s, "\r\n") {
		wrong = append(wrong, errors.New("is not base64.RawURLEncoding of a SHA-256, which has 43 characters"))
	}
	if e.isBeta() {
		wrong = append(wrong, errors.New("v1beta has none: use v1"))
	}
	return errors.Join(wrong...)
}

// encodeJSON returns v as it is sent. Escaped for HTML, each < > & of an
// expression would count six times against the limits.
func encodeJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimRight(b.String(), "\n"), nil
}
