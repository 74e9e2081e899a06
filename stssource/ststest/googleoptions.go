package ststest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// options is the JSON object in the parameter of that name.
type options struct {
	AccessBoundary      json.RawMessage `json:"accessBoundary"`
	UserProject         *string         `json:"userProject"`
	BindCertFingerprint *string         `json:"bindCertFingerprint"`
}

type accessBoundary struct {
	AccessBoundaryRules []struct {
		AvailableResource     string   `json:"availableResource"`
		AvailablePermissions  []string `json:"availablePermissions"`
		AvailabilityCondition *struct {
			Expression  string `json:"expression"`
			Title       string `json:"title"`
			Description string `json:"description"`
			Location    string `json:"location"`
		} `json:"availabilityCondition"`
	} `json:"accessBoundaryRules"`
}

// The limits of the API reference. All but the number of rules are in
// characters. That of an expression is not here: it is as long as that of the
// whole boundary, which is reached first.
const (
	maxOptionsBeta = 4096
	maxOptions     = 4 << 20
	maxBoundary    = 2048
	maxRules       = 10
	maxUserProject = 32
)

func (c *call) hasBoundary() bool {
	o, err := c.options()
	return err == nil && o.AccessBoundary != nil
}

// options decodes the parameter. Some clients escape it once more than they
// should, which the service forgives.
func (c *call) options() (options, error) {
	var o options
	text := c.Params.Get("options")
	if text == "" {
		return o, nil
	}
	if strings.HasPrefix(text, "%7B") {
		text, _ = url.QueryUnescape(text) // what is malformed is no JSON either
	}
	return o, decodeStrictly(text, &o)
}

// decodeStrictly decodes one JSON object with no members that v does not have.
func decodeStrictly(text string, v any) error {
	object, err := decodeObject([]byte(text))
	if err != nil {
		return err
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	return checkCase(object)
}

// optionNames are the members of options, at whatever depth.
var optionNames = []string{
	"accessBoundary", "userProject", "bindCertFingerprint", "accessBoundaryRules",
	"availableResource", "availablePermissions", "availabilityCondition",
	"expression", "title", "description", "location",
}

// checkCase refuses names that encoding/json has let through because it does
// not look at their case.
func checkCase(value any) error {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if err := checkCase(element); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			if !slices.Contains(optionNames, name) {
				return fmt.Errorf("unknown member %q", name)
			}
			if err := checkCase(value[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkOptions(c *call) *refusal {
	limit := maxOptions
	if c.beta {
		limit = maxOptionsBeta
	}
	if utf8.RuneCountInString(c.Params.Get("options")) > limit {
		return refuse("options are over %d characters", limit)
	}
	o, err := c.options()
	if err != nil {
		return refuse("options: %v", err)
	}
	if o.UserProject != nil && (*o.UserProject == "" || utf8.RuneCountInString(*o.UserProject) > maxUserProject) {
		return refuse("options: userProject must have 1 to %d characters", maxUserProject)
	}
	if o.BindCertFingerprint != nil && (c.beta || !isFingerprint(*o.BindCertFingerprint)) {
		return refuse("options: bindCertFingerprint must be the unpadded base64 of a SHA-256, and exists in v1 only")
	}
	if o.AccessBoundary == nil {
		return nil
	}
	if err := checkBoundary(string(o.AccessBoundary)); err != nil {
		return refuse("options: accessBoundary: %v", err)
	}
	return nil
}

// isFingerprint allows both alphabets of base64, since the reference asks for
// the standard one and for a length that only the other keeps to once escaped
// for a URL.
func isFingerprint(s string) bool {
	s, _ = url.PathUnescape(s) // what is malformed comes back empty
	b, err := base64.RawStdEncoding.DecodeString(strings.NewReplacer("-", "+", "_", "/").Replace(s))
	return err == nil && len(b) == 32
}

// resourceName is a full resource name; permission is a role, the only kind of
// permission there is.
var (
	resourceName = regexp.MustCompile(`^//[a-z0-9.-]+/\S+$`)
	permission   = regexp.MustCompile(`^inRole:((organizations|projects)/[^/]+/)?roles/[^/\s]+$`)
)

func checkBoundary(text string) error {
	if utf8.RuneCountInString(text) > maxBoundary {
		return fmt.Errorf("it is over %d characters", maxBoundary)
	}
	var b accessBoundary
	if err := decodeStrictly(text, &b); err != nil {
		return err
	}
	if n := len(b.AccessBoundaryRules); n < 1 || n > maxRules {
		return fmt.Errorf("it must have 1 to %d rules", maxRules)
	}
	for i, rule := range b.AccessBoundaryRules {
		if !resourceName.MatchString(rule.AvailableResource) {
			return fmt.Errorf("rule %d: availableResource must be a full resource name", i)
		}
		if len(rule.AvailablePermissions) == 0 {
			return fmt.Errorf("rule %d: availablePermissions are missing", i)
		}
		for _, p := range rule.AvailablePermissions {
			if !permission.MatchString(p) {
				//lint:ignore ST1005 the dots stand for the name of a role
				return fmt.Errorf("rule %d: availablePermissions must be roles, inRole:roles/...", i)
			}
		}
		if condition := rule.AvailabilityCondition; condition != nil && condition.Expression == "" {
			return fmt.Errorf("rule %d: expression is missing", i)
		}
	}
	return nil
}
