package stssource

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/internal/tokentype"
	"github.com/go-sts/sts/subjecttoken"
)

//lint:file-ignore ST1005 An error begins with the name of the field that it is about.

// check returns everything that is wrong with c.
func (c Config) check() error {
	return errors.Join(
		c.checkURL(),
		checkProvider("SubjectToken", c.SubjectToken, true),
		checkProvider("ActorToken", c.ActorToken, false),
		checkProvider("ClientAssertion", c.ClientAssertion, false),
		checkType("SubjectTokenType", c.SubjectTokenType),
		checkType("ActorTokenType", c.ActorTokenType),
		checkType("RequestedTokenType", c.RequestedTokenType),
		c.checkTargets(),
		c.checkParams(),
		c.checkHeader(),
		c.checkClient(),
		c.checkEncoding(),
		c.Refresh.check(),
	)
}

func (c Config) checkURL() error {
	if c.TokenURL == "" {
		return errors.New("TokenURL is empty: set it to the token endpoint, such as https://sts.googleapis.com/v1/token")
	}
	plain := safehttp.PlainLoopback
	if c.InsecureHTTP {
		plain = safehttp.PlainAnywhere
	}
	u, err := safehttp.CheckURL(c.TokenURL, plain)
	if err != nil {
		return prefixed("TokenURL", err)
	}
	fromURL, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("TokenURL: the query is malformed")
	}
	errs := []error{c.checkQuery("TokenURL", fromURL), c.checkQuery("Query", c.Query)}
	for name := range c.Query {
		if fromURL.Has(name) {
			errs = append(errs, fmt.Errorf("Query: %q is in TokenURL already", name))
		}
	}
	return errors.Join(errs...)
}

// prefixed puts field before each of the joined errors in err.
func prefixed(field string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s: %w", field, err)
	}
	var errs []error
	for _, e := range joined.Unwrap() {
		errs = append(errs, prefixed(field, e))
	}
	return errors.Join(errs...)
}

func checkProvider(field string, p subjecttoken.Provider, required bool) error {
	if p == nil {
		if required {
			return errors.New(field + " is nil: set it to a provider, such as subjecttoken.File{Path: ...}")
		}
		return nil
	}
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("%s is a nil %T", field, p)
	}
	v, ok := p.(interface{ Validate() error })
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return prefixed(field, err)
	}
	return nil
}

func checkType(field, tokenType string) error {
	if err := tokentype.Check(tokenType); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	return nil
}

func (c Config) checkTargets() error {
	var errs []error
	for i, a := range c.Audiences {
		if strings.TrimSpace(a) == "" {
			errs = append(errs, fmt.Errorf("Audiences[%d] is empty", i))
		}
	}
	for i, r := range c.Resources {
		if err := checkResource(r); err != nil {
			errs = append(errs, fmt.Errorf("Resources[%d]: the resource %q %w (RFC 8693, section 2.1)", i, r, err))
		}
	}
	for i, s := range c.Scopes {
		if err := checkScope(s); err != nil {
			errs = append(errs, fmt.Errorf("Scopes[%d]: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// checkResource checks that r is an absolute URI without a fragment. A plain
// name passes, though it is none: there are services that take the identifier
// of an API there.
func checkResource(r string) error {
	u, err := url.Parse(r)
	switch {
	case r == "":
		return errors.New("is empty")
	case err != nil, !u.IsAbs() && strings.ContainsAny(r, "/?#"):
		return errors.New("is not an absolute URI")
	case strings.Contains(r, "#"):
		return errors.New("has a fragment")
	}
	return nil
}

// checkScope checks one scope-token (RFC 6749, section 3.3).
func checkScope(s string) error {
	if s == "" {
		return errors.New("the scope is empty")
	}
	for _, r := range s {
		switch {
		case r == ' ':
			return fmt.Errorf("%q has a space: give each scope an element of its own", s)
		case r <= ' ' || r == '"' || r == '\\' || r > '~':
			return fmt.Errorf("%q has the character %q, which a scope cannot have (RFC 6749, section 3.3)", s, r)
		}
	}
	return nil
}

// fieldOf says what to do instead for each parameter that EndpointParams cannot
// hold.
var fieldOf = map[string]string{
	"grant_type":            "it is always token-exchange",
	"subject_token":         "set SubjectToken",
	"subject_token_type":    "set SubjectTokenType",
	"actor_token":           "set ActorToken",
	"actor_token_type":      "set ActorTokenType",
	"audience":              "set Audiences",
	"resource":              "set Resources",
	"scope":                 "set Scopes",
	"requested_token_type":  "set RequestedTokenType",
	"client_id":             "set ClientID",
	"client_secret":         "set ClientSecret",
	"client_assertion":      "set ClientAssertion",
	"client_assertion_type": "set ClientAssertion",
}

func (c Config) checkParams() error {
	// The names that are sent, and what they stand for.
	sent := func(name string) string { return name }
	if c.Encoding == JSON {
		sent = lowerCamel
	}
	taken := make(map[string]string, len(fieldOf))
	for name, field := range fieldOf {
		taken[sent(name)] = field
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.EndpointParams)) {
		if why := taken[sent(name)]; why != "" {
			errs = append(errs, fmt.Errorf("EndpointParams: %q cannot be set here: %s", name, why))
		}
		taken[sent(name)] = fmt.Sprintf("%q is sent under the same name", name)
		if name == "" {
			errs = append(errs, errors.New("EndpointParams: a parameter without a name"))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkHeader() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Header)) {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Proxy-Authorization":
			errs = append(errs, fmt.Errorf("Header: %s cannot be set: use ClientID and ClientSecret, if the service wants them", name))
			continue
		case "Cookie", "Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Accept", "Accept-Encoding", "Connection", "Trailer", "Te", "Upgrade":
			errs = append(errs, fmt.Errorf("Header: %s cannot be set: it belongs to the exchange", name))
			continue
		}
		if !isToken(name) {
			errs = append(errs, fmt.Errorf("Header: %q is not the name of a field", name))
		}
		for _, v := range c.Header[name] {
			if strings.ContainsFunc(v, isControl) {
				errs = append(errs, fmt.Errorf("Header: the value of %s has a control character", name))
			}
		}
	}
	return errors.Join(errs...)
}

// isToken reports whether name can be the name of a header field (RFC 9110,
// section 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func (c Config) checkClient() error {
	var errs []error
	if c.ClientID == "" && c.ClientSecret != "" {
		errs = append(errs, errors.New("ClientSecret is set and ClientID is not"))
	}
	if c.ClientSecret != "" && c.ClientAssertion != nil {
		errs = append(errs, errors.New("ClientSecret and ClientAssertion are both set: a client authenticates in one way"))
	}
	switch c.AuthStyle {
	case oauth2.AuthStyleAutoDetect, oauth2.AuthStyleInParams, oauth2.AuthStyleInHeader:
	default:
		errs = append(errs, fmt.Errorf("AuthStyle %d is not known", c.AuthStyle))
	}
	if c.AuthStyle == oauth2.AuthStyleInHeader && c.ClientID == "" {
		errs = append(errs, errors.New("AuthStyle asks for a header and ClientID is empty"))
	}
	if c.AuthStyle == oauth2.AuthStyleInHeader && c.ClientAssertion != nil {
		errs = append(errs, errors.New("AuthStyle asks for a header and ClientAssertion goes into the body"))
	}
	if c.RawBasicAuth && strings.Contains(c.ClientID, ":") {
		errs = append(errs, errors.New("RawBasicAuth cannot carry a ClientID that has a colon"))
	}
	return errors.Join(errs...)
}

// checkEncoding checks what Google's JSON has no place for.
func (c Config) checkEncoding() error {
	if c.Encoding == Form {
		return nil
	}
	if c.Encoding != JSON {
		return fmt.Errorf("Encoding %d is not known: use Form or JSON", c.Encoding)
	}
	var errs []error
	if len(c.Audiences) > 1 {
		errs = append(errs, fmt.Errorf("Audiences has %d values: the JSON encoding has room for one", len(c.Audiences)))
	}
	if len(c.Resources) > 0 {
		errs = append(errs, errors.New("Resources: the JSON encoding has no resource parameter"))
	}
	if c.ClientID != "" || c.ClientAssertion != nil {
		errs = append(errs, errors.New("ClientID, ClientSecret and ClientAssertion: the JSON encoding goes without client authentication, "+
			"since an Authorization header makes Google's service fail: use Form"))
	}
	for _, name := range slices.Sorted(maps.Keys(c.EndpointParams)) {
		if len(c.EndpointParams[name]) > 1 {
			errs = append(errs, fmt.Errorf("EndpointParams: %q has %d values: the JSON encoding has room for one", name, len(c.EndpointParams[name])))
		}
	}
	return errors.Join(errs...)
}
