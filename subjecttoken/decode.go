package subjecttoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-sts/sts/internal/jwt"
)

// maxSize limits what is read from any source, in bytes. Tokens are a few
// kilobytes; what is larger is not one.
const maxSize = 1 << 20

// noExpiry stands where a source says nothing about the end of its token.
var noExpiry time.Time

// None of these holds a word of what was read, and neither does anything else
// in this file: the messages of encoding/json quote their input.
var (
	errEmpty   = errors.New("empty or missing token")
	errTooBig  = fmt.Errorf("larger than %d bytes: not a token", maxSize)
	errCutJSON = errors.New("the JSON ends in the middle")
	errNotJSON = errors.New("not JSON")
	errCutJWT  = errors.New("the JSON Web Token ends in the middle")
)

// decode takes the token's value out of what a source gave: all of it, or the
// JSON string at field.
func decode(raw []byte, field string) (string, error) {
	if len(raw) > maxSize {
		return "", errTooBig
	}
	if field == "" {
		return string(raw), nil
	}
	doc, err := parseJSON(raw)
	if err != nil {
		return "", fmt.Errorf("reading JSON field %q: %w", field, err)
	}
	return lookup(doc, field)
}

// newToken completes a token: it trims and checks value, and reads the expiry
// from it if nothing else told.
func newToken(value, typ string, expiry time.Time) (Token, error) {
	value = trim(value)
	if err := checkValue(value, typ); err != nil {
		return Token{}, err
	}
	if expiry.IsZero() {
		expiry = jwt.Expiry(value)
	}
	return Token{Value: value, Type: typ, Expiry: expiry}, nil
}

// trim removes what editors, echo and Windows add around a token.
func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' })
}

// checkValue refuses what no token service could accept, so that a wrong file
// or a login page fails here and is not sent.
func checkValue(value, typ string) error {
	if value == "" {
		return errEmpty
	}
	if len(value) > maxSize {
		return errTooBig
	}
	if !utf8.ValidString(value) {
		return errors.New("not text in UTF-8: not a token")
	}
	if scheme, _, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return errors.New(`begins with "Bearer", as in an Authorization header: give the token alone`)
	}
	// An assertion may be XML, or base64 in lines.
	lines := typ == TypeSAML1 || typ == TypeSAML2
	for _, r := range value {
		if lines && (r == '\n' || r == '\r' || r == '\t') {
			continue
		}
		if unicode.IsControl(r) {
			return errors.New("more than one line, or control characters: not a token")
		}
	}
	return nil
}

func parseJSON(raw []byte) (any, error) {
	dec := json.NewDecoder(strings.NewReader(trim(string(raw))))
	dec.UseNumber() // a number beyond float64 must not fail the member beside it
	var doc any
	switch err := dec.Decode(&doc); {
	case err == io.EOF:
		return nil, errEmpty
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errCutJSON
	case err != nil:
		return nil, errNotJSON
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: more follows the first value", errNotJSON)
	}
	return doc, nil
}

// lookup returns the string at field in doc.
func lookup(doc any, field string) (string, error) {
	path, err := fieldPath(field)
	if err != nil {
		return "", err
	}
	for _, name := range path {
		next, ok := child(doc, name)
		if !ok {
			return "", fmt.Errorf("there is no JSON field %q", field)
		}
		doc = next
	}
	s, ok := doc.(string)
	if !ok {
		return "", fmt.Errorf("JSON field %q is %s, not a string", field, kind(doc))
	}
	if trim(s) == "" {
		return "", fmt.Errorf("JSON field %q: %w", field, errEmpty)
	}
	return s, nil
}

func child(doc any, name string) (any, bool) {
	switch v := doc.(type) {
	case map[string]any:
		c, ok := v[name]
		return c, ok
	case []any:
		i, ok := arrayIndex(name)
		if !ok || i >= len(v) {
			return nil, false
		}
		return v[i], true
	}
	return nil, false
}

// arrayIndex reads an index as RFC 6901, section 4, writes it: digits without
// leading zeros. "-", the element after the last, never exists here.
func arrayIndex(s string) (int, bool) {
	i, err := strconv.Atoi(s)
	return i, err == nil && i >= 0 && strconv.Itoa(i) == s
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}

// fieldPath returns the names that lead to field: a top-level member, or where
// an RFC 6901 pointer points.
func fieldPath(field string) ([]string, error) {
	rest, pointer := strings.CutPrefix(field, "/")
	if !pointer {
		return []string{field}, nil
	}
	path := strings.Split(rest, "/")
	for i, part := range path {
		name, err := unescape(part)
		if err != nil {
			return nil, fmt.Errorf("field JSONField %q: %w", field, err)
		}
		path[i] = name
	}
	return path, nil
}

func unescape(part string) (string, error) {
	for i := range len(part) {
		if part[i] == '~' && !strings.ContainsAny(part[i+1:min(i+2, len(part))], "01") {
			return "", errors.New(`in a JSON pointer "~" is written "~0"`)
		}
	}
	// The order matters: "~01" is "~1", not "/".
	return strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~"), nil
}

// cutJWT reports whether t is the beginning of a JSON Web Token: a JSON object
// in base64 without the two dots. A type that is something else is believed.
func cutJWT(t Token) bool {
	switch t.Type {
	case "", TypeJWT, TypeIDToken:
		return strings.HasPrefix(t.Value, "eyJ") && strings.Count(t.Value, ".") < 2
	}
	return false
}
