package ststest

import (
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checkRFC8693 is the strict mode. The order is from the outside in, so that
// the rule named is the one whose breach caused the others.
func checkRFC8693(c *call) *refusal {
	return first(c,
		checkEndpoint,
		checkFormType,
		checkAccept,
		checkURL,
		checkForm,
		checkValues,
		checkClient,
		checkGrantType,
		checkSubject,
		checkActor,
		checkRequestedType,
		checkResources,
		checkScope,
	)
}

func checkEndpoint(c *call) *refusal {
	if !c.found {
		return &refusal{status: http.StatusNotFound, code: "invalid_request", text: "the path is not that of the token endpoint"}
	}
	if c.Method != http.MethodPost {
		return &refusal{
			status: http.StatusMethodNotAllowed,
			code:   "invalid_request",
			text:   "the method must be POST (RFC 6749, section 3.2)",
			header: http.Header{"Allow": {http.MethodPost}},
		}
	}
	return nil
}

func checkFormType(c *call) *refusal {
	_, attributes, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || c.Encoding != "form" {
		return refuse("Content-Type must be application/x-www-form-urlencoded (RFC 8693, section 2.1)")
	}
	if charset, ok := attributes["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return refuse("the character set must be UTF-8 (RFC 6749, appendix B)")
	}
	return nil
}

func checkAccept(c *call) *refusal {
	for mediaRange := range strings.SplitSeq(strings.Join(c.Header.Values("Accept"), ","), ",") {
		mediaType, attributes, _ := mime.ParseMediaType(mediaRange) // what does not parse is of no type
		q, err := strconv.ParseFloat(attributes["q"], 64)
		refused := err == nil && q == 0 // RFC 9110, section 12.4.2
		switch mediaType {
		case "application/json", "application/*", "*/*":
			if !refused {
				return nil
			}
		}
	}
	return refuse("Accept must name application/json")
}

// bodyOnly are the parameters that belong into the body. RFC 6749, section
// 2.3.1, says so of client credentials; the others would end up in the logs
// of proxies just as well.
var bodyOnly = []string{
	"grant_type", "resource", "audience", "scope", "requested_token_type",
	"subject_token", "subject_token_type", "actor_token", "actor_token_type",
	"client_id", "client_secret", "client_assertion", "client_assertion_type",
}

func checkURL(c *call) *refusal {
	if c.queryErr != nil {
		return refuse("malformed query: %v", c.queryErr)
	}
	for _, name := range sortedNames(c.Query) {
		if slices.Contains(bodyOnly, name) {
			return refuse("%s is in the URL; it belongs into the body", name)
		}
		if c.Params.Has(name) {
			return refuse("%s is in the URL and in the body (RFC 6749, section 3.2: only once)", name)
		}
	}
	return nil
}

func sortedNames(v url.Values) []string { return slices.Sorted(maps.Keys(v)) }

func checkForm(c *call) *refusal {
	if c.bodyErr != nil {
		return refuse("malformed body: %v", c.bodyErr)
	}
	return nil
}

func checkValues(c *call) *refusal {
	for _, name := range sortedNames(c.Params) {
		values := c.Params[name]
		if len(values) > 1 && name != "audience" && name != "resource" {
			return refuse("%s is repeated (RFC 6749, section 3.2; RFC 8693, section 2.1, lets only audience and resource be)", name)
		}
		if slices.Contains(values, "") {
			return refuse("%s is empty; a parameter without a value is to be omitted (RFC 6749, section 3.2)", name)
		}
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return refuse("%s is not UTF-8 (RFC 6749, appendix B)", name)
		}
	}
	return nil
}

func checkGrantType(c *call) *refusal {
	switch grant := c.Params.Get("grant_type"); grant {
	case grantTokenExchange:
		return nil
	case "":
		return refuse("grant_type is missing (RFC 8693, section 2.1)")
	default:
		return refuseAs("unsupported_grant_type", "grant_type must be %s", grantTokenExchange)
	}
}

func checkSubject(c *call) *refusal {
	for _, name := range []string{"subject_token", "subject_token_type"} {
		if !c.Params.Has(name) {
			return refuse("%s is missing (RFC 8693, section 2.1)", name)
		}
	}
	return checkTypeURI(c, "subject_token_type")
}

func checkActor(c *call) *refusal {
	token, tokenType := c.Params.Has("actor_token"), c.Params.Has("actor_token_type")
	switch {
	case token && !tokenType:
		return refuse("actor_token_type is required with actor_token (RFC 8693, section 2.1)")
	case tokenType && !token:
		return refuse("actor_token_type must not be there without actor_token (RFC 8693, section 2.1)")
	case !token:
		return nil
	}
	return checkTypeURI(c, "actor_token_type")
}

func checkTypeURI(c *call, name string) *refusal {
	if !isAbsoluteURI(c.Params.Get(name)) {
		return refuse("%s must be an absolute URI (RFC 8693, section 3)", name)
	}
	return nil
}

// issuable are the token types of RFC 8693, section 3.
var issuable = []string{
	typeAccessToken, tokenType + "refresh_token", tokenType + "id_token",
	tokenType + "saml1", tokenType + "saml2", tokenType + "jwt",
}

func checkRequestedType(c *call) *refusal {
	requested := c.Params.Get("requested_token_type")
	if requested == "" || slices.Contains(issuable, requested) {
		return nil
	}
	return refuse("requested_token_type must be one of RFC 8693, section 3")
}

func checkResources(c *call) *refusal {
	for _, resource := range c.Params["resource"] {
		if strings.Contains(resource, "#") {
			return refuse("resource must not have a fragment (RFC 8693, section 2.1)")
		}
		if !isAbsoluteURI(resource) {
			return refuse("resource must be an absolute URI (RFC 8693, section 2.1)")
		}
	}
	return nil
}

// uri has the characters of RFC 3986, a scheme and something after it. It
// leaves the finer structure to url.Parse.
var uri = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+$`)

// isAbsoluteURI is absolute-URI of RFC 3986, section 4.3: no fragment.
func isAbsoluteURI(s string) bool {
	_, err := url.Parse(s)
	return err == nil && uri.MatchString(s)
}

// scopes is scope of RFC 6749, section 3.3.
var scopes = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$`)

func checkScope(c *call) *refusal {
	if scope := c.Params.Get("scope"); scope != "" && !scopes.MatchString(scope) {
		return refuseAs("invalid_scope", "scope must be tokens of printable ASCII with single spaces between them (RFC 6749, section 3.3)")
	}
	return nil
}
