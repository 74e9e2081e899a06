package ststest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// format is how the query parameters want answers to look.
type format struct {
	indent   bool
	callback string   // JSONP
	errors   bool     // google.rpc.Status with the errors of the first format
	fields   []string // partial response; nil: all members
}

// checkGoogle is Google mode: first what the front end of the service checks,
// whatever the method, then what the token method does.
func checkGoogle(c *call) *refusal {
	c.format.indent = true
	return first(c,
		checkGoogleEndpoint,
		checkSystemParameters,
		checkNoAuthorization,
		checkGoogleBody,
		checkNames,
		checkGoogleToken,
	)
}

// refuseFront is a refusal with a google.rpc.Status.
func refuseFront(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// rpcCodes are the names of google.rpc.Code by the HTTP status that stands for
// each.
var rpcCodes = map[int]string{
	http.StatusBadRequest:          "INVALID_ARGUMENT",
	http.StatusUnauthorized:        "UNAUTHENTICATED",
	http.StatusForbidden:           "PERMISSION_DENIED",
	http.StatusNotFound:            "NOT_FOUND",
	http.StatusConflict:            "ABORTED",
	http.StatusTooManyRequests:     "RESOURCE_EXHAUSTED",
	499:                            "CANCELLED",
	http.StatusInternalServerError: "INTERNAL",
	http.StatusNotImplemented:      "UNIMPLEMENTED",
	http.StatusServiceUnavailable:  "UNAVAILABLE",
	http.StatusGatewayTimeout:      "DEADLINE_EXCEEDED",
}

func (c *call) rpcError(status int, message string) answer {
	members := map[string]any{
		"code":    status,
		"message": message,
		"status":  cmp.Or(rpcCodes[status], "UNKNOWN"),
	}
	if c.format.errors {
		reason := "badRequest"
		if status >= 500 {
			reason = "backendError"
		}
		members["errors"] = []any{map[string]any{"message": message, "domain": "global", "reason": reason}}
	}
	return c.render(status, map[string]any{"error": members})
}

// selected returns the members that the fields parameter asks for.
func (f format) selected(members map[string]any) map[string]any {
	if f.fields == nil {
		return members
	}
	partial := make(map[string]any)
	for _, name := range f.fields {
		if v, ok := members[name]; ok {
			partial[name] = v
		}
	}
	return partial
}

// checkGoogleEndpoint takes the method for a part of the address: there is
// nothing to GET at this path.
func checkGoogleEndpoint(c *call) *refusal {
	if !c.found || c.Method != http.MethodPost {
		return refuseFront(http.StatusNotFound, "There is no method %s %s.", c.Method, c.Path)
	}
	return nil
}

// systemParameters are the query parameters that every method has, each with
// what must be true of its value.
var systemParameters = map[string]func(string) bool{
	"$.xgafv":         oneOf("1", "2"),
	"alt":             oneOf("json"), // a client of this service has no use for media and proto
	"callback":        regexp.MustCompile(`^[A-Za-z_$][\w$.]*$`).MatchString,
	"fields":          isFields,
	"key":             notEmpty,
	"prettyPrint":     oneOf("true", "false"),
	"quotaUser":       func(s string) bool { return utf8.RuneCountInString(s) <= 40 },
	"uploadType":      notEmpty,
	"upload_protocol": notEmpty,
	"access_token":    notEmpty,
	"oauth_token":     notEmpty,
}

func oneOf(values ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(values, s) }
}

func notEmpty(s string) bool { return s != "" }

var answerFields = []string{"access_token", "issued_token_type", "token_type", "expires_in", "access_boundary_session_key"}

func isFields(s string) bool {
	for name := range strings.SplitSeq(s, ",") {
		if name != "*" && !slices.Contains(answerFields, name) {
			return false
		}
	}
	return true
}

func checkSystemParameters(c *call) *refusal {
	if c.queryErr != nil {
		return refuseFront(http.StatusBadRequest, "Malformed query: %v.", c.queryErr)
	}
	for _, name := range sortedNames(c.Query) {
		valid, ok := systemParameters[name]
		if !ok {
			return unknownName(name, "the query")
		}
		if values := c.Query[name]; len(values) > 1 || !valid(values[0]) {
			return refuseFront(http.StatusBadRequest, "Invalid value of the query parameter %q.", name)
		}
	}
	c.format.indent = c.Query.Get("prettyPrint") != "false"
	c.format.callback = c.Query.Get("callback")
	c.format.errors = c.Query.Get("$.xgafv") == "1"
	if fields := c.Query.Get("fields"); fields != "" {
		c.format.fields = strings.Split(strings.ReplaceAll(fields, "*", strings.Join(answerFields, ",")), ",")
	}
	return nil
}

// checkNoAuthorization refuses what would authenticate the caller, who is
// authenticated by the subject token alone. The exception is a client that the
// token logic knows.
func checkNoAuthorization(c *call) *refusal {
	for _, name := range []string{"access_token", "oauth_token"} {
		if c.Query.Has(name) {
			return refuseFront(http.StatusUnauthorized, "There is a credential in the query, %s; the token method takes none.", name)
		}
	}
	header := c.Header.Values("Authorization")
	if len(header) == 0 {
		return nil
	}
	scheme, _, _ := strings.Cut(header[0], " ")
	if c.service.ClientID != "" && strings.EqualFold(scheme, "Basic") {
		return nil
	}
	return refuseFront(http.StatusUnauthorized, "There is an Authorization header; the token method takes none.")
}

func checkGoogleBody(c *call) *refusal {
	if c.bodyErr != nil {
		return refuseFront(http.StatusBadRequest, "Invalid payload received: %v.", c.bodyErr)
	}
	if c.Encoding == "" {
		return refuseFront(http.StatusBadRequest, "Content-Type must be application/json or application/x-www-form-urlencoded.")
	}
	return nil
}

func unknownName(name, place string) *refusal {
	return refuseFront(http.StatusBadRequest, "Invalid payload received. Unknown name %q in %s.", name, place)
}

// checkNames lets only the fields of the request message through, each once
// and as a string.
func checkNames(c *call) *refusal {
	for _, name := range sortedNames(c.Params) {
		if len(c.Params[name]) > 1 {
			return refuseFront(http.StatusBadRequest, "Invalid payload received. Field %q is repeated.", name)
		}
		if c.Encoding == "form" && !c.isField(name) {
			return unknownName(name, "the body")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.JSON)) {
		if strings.Contains(name, "_") || !c.isField(snake(name)) {
			return unknownName(name, "the body")
		}
		if _, ok := c.JSON[name].(string); !ok {
			return refuseFront(http.StatusBadRequest, "Invalid value at %q: it must be a string.", name)
		}
	}
	return nil
}

// isField tells whether the version's request message has the field name.
func (c *call) isField(name string) bool {
	switch name {
	case "grant_type", "audience", "scope", "requested_token_type", "subject_token", "subject_token_type", "options":
		return true
	case "actor_token", "actor_token_type":
		return !c.beta
	}
	return false
}
