package stssource

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/subjecttoken"
)

// Encoding is how the parameters of a token request are written.
type Encoding int

const (
	// Form is application/x-www-form-urlencoded with the names of RFC 8693,
	// the only encoding that the RFC knows.
	Form Encoding = iota

	// JSON is application/json with one lowerCamelCase member for each
	// parameter, as the reference of Google's Security Token Service documents
	// its token method. There, it goes without an Authorization header.
	JSON
)

// Config describes a token exchange. It is data: [New] copies what it needs,
// and later changes have no effect. Only TokenURL and SubjectToken are
// required; parameters without a value are not sent.
//
// A Config hides its secrets when printed, logged or encoded.
type Config struct {
	// TokenURL is the token endpoint, for example
	// https://sts.googleapis.com/v1/token. It must be https, or http to this
	// machine, and is used as it is.
	TokenURL string

	// SubjectToken provides the token that is exchanged. It is asked anew for
	// each exchange, under the exchange's own deadline.
	SubjectToken subjecttoken.Provider

	// SubjectTokenType is sent where the provider does not name a type. If
	// empty, it is [subjecttoken.TypeJWT].
	SubjectTokenType string

	// ActorToken, if not nil, provides the token of the party that acts on
	// behalf of the subject (RFC 8693, section 2.1).
	ActorToken subjecttoken.Provider

	// ActorTokenType is sent where ActorToken does not name a type. If empty,
	// it is [subjecttoken.TypeJWT].
	ActorTokenType string

	// Audiences and Resources say where the new token is to be used: names that
	// the service knows, and absolute URIs (RFC 8693, section 2.1). Each value
	// is sent as a parameter of its own. Google takes one audience, the full
	// resource name of a workload identity pool provider.
	Audiences []string
	Resources []string

	// Scopes are the scopes of the new token, one in each element.
	Scopes []string

	// RequestedTokenType is the type of the token that is asked for. If empty,
	// it is [subjecttoken.TypeAccessToken]. For another type the answer may
	// have the token_type N_A: then the token is returned by Token, and not
	// sent by Client.
	RequestedTokenType string

	// EndpointParams are further parameters of the body, such as options
	// (Google) or connector_id (Dex). Names are those of the form encoding;
	// [JSON] turns token_info into tokenInfo. Parameters that have a field here
	// cannot be set.
	EndpointParams url.Values

	// Query holds query parameters of the token URL, such as Google's system
	// parameters: key, quotaUser, prettyPrint, fields, $.xgafv. Their values
	// never show in an error. Those that would make the answer unreadable
	// (callback, alt other than json, fields without access_token) are refused,
	// and those that carry a token are unless InsecureTokenInQuery is set.
	Query url.Values

	// Header holds further header fields of the token request. Authorization,
	// Cookie and the fields that describe the body cannot be set.
	Header http.Header

	// Encoding is how the parameters are written. If zero, it is [Form].
	Encoding Encoding

	// ClientID and ClientSecret authenticate this program to the service (RFC
	// 6749, section 2.3), if it asks for that. An ID without a secret is a
	// public client and goes into the body.
	ClientID     string
	ClientSecret string

	// AuthStyle is how they are sent. If zero, a secret goes into the
	// Authorization header ([oauth2.AuthStyleInHeader]), with both parts
	// form-encoded first, as RFC 6749 says. Nothing is detected by trial.
	AuthStyle oauth2.AuthStyle

	// RawBasicAuth leaves out that encoding, for the services that do not
	// decode it. Set it only for a service that is known to need it.
	RawBasicAuth bool

	// ClientAssertion, if not nil, authenticates this program by a JWT in place
	// of a secret (RFC 7523, section 2.2). It is asked anew for each exchange.
	ClientAssertion subjecttoken.Provider

	// HTTPClient is whose Transport and Timeout the token requests use. Its
	// cookie jar and its redirect policy are ignored: no redirect is followed,
	// since it would post the subject token elsewhere. An [oauth2.Transport]
	// or a [Transport] is left out, since it would add an Authorization header.
	// If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when a token is renewed. Its zero value is good.
	Refresh Refresh

	// InsecureHTTP allows a TokenURL with http to any host. Whoever can see the
	// network can then read the subject token, the secret and the new token.
	InsecureHTTP bool

	// InsecureTokenInQuery allows the query parameters access_token and
	// oauth_token. A token in a URL ends up in the logs of every proxy and
	// server on the way; the caller must know that they are safe.
	InsecureTokenInQuery bool
}

// Format hides the secrets of c from every verb of package fmt.
func (c Config) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText hides the secrets of c from encoding/json, log/slog and others.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c Config) describe() string {
	return fmt.Sprintf("stssource.Config{host: %s, audiences: %q, scopes: %q}",
		hostOf(c.TokenURL), c.Audiences, c.Scopes)
}

// hostOf returns the host of a URL for a message, and nothing else of it.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "?"
	}
	return u.Host
}

// clone returns a copy of c that shares no memory with it that a caller might
// change.
func (c Config) clone() Config {
	c.Audiences = slices.Clone(c.Audiences)
	c.Resources = slices.Clone(c.Resources)
	c.Scopes = slices.Clone(c.Scopes)
	c.EndpointParams = cloneValues(c.EndpointParams)
	c.Query = cloneValues(c.Query)
	c.Header = c.Header.Clone()
	return c
}

func cloneValues(v url.Values) url.Values {
	c := maps.Clone(v)
	for name, values := range c {
		c[name] = slices.Clone(values)
	}
	return c
}

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
	v, ok := p.(interface{ Validate() error })
	if !ok {
		return nil
	}
	if err := v.Validate(); err != nil {
		return prefixed(field, err)
	}
	return nil
}

// shortTypes are the names that RFC 8693, section 3 gives to token types in its
// text. What is sent is the URI.
var shortTypes = []string{"access_token", "refresh_token", "id_token", "saml1", "saml2", "jwt"}

// checkType catches the likely mistake, and no more: services have token types
// of their own, and not all of those are URIs.
func checkType(field, tokenType string) error {
	if slices.Contains(shortTypes, strings.ToLower(tokenType)) {
		return fmt.Errorf("%s: %q is not a token type: write urn:ietf:params:oauth:token-type:%s", field, tokenType, strings.ToLower(tokenType))
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

// fieldOf names the field for each parameter that EndpointParams cannot hold.
var fieldOf = map[string]string{
	"grant_type":            "nothing: it is always token-exchange",
	"subject_token":         "SubjectToken",
	"subject_token_type":    "SubjectTokenType",
	"actor_token":           "ActorToken",
	"actor_token_type":      "ActorTokenType",
	"audience":              "Audiences",
	"resource":              "Resources",
	"scope":                 "Scopes",
	"requested_token_type":  "RequestedTokenType",
	"client_id":             "ClientID",
	"client_secret":         "ClientSecret",
	"client_assertion":      "ClientAssertion",
	"client_assertion_type": "ClientAssertion",
}

func (c Config) checkParams() error {
	camel := make(map[string]string, len(fieldOf))
	for name := range fieldOf {
		camel[lowerCamel(name)] = name
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.EndpointParams)) {
		known := name
		if c.Encoding == JSON && camel[name] != "" {
			known = camel[name]
		}
		if field := fieldOf[known]; field != "" {
			errs = append(errs, fmt.Errorf("EndpointParams: %q cannot be set here: set %s", name, field))
		}
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
		case "Cookie", "Host", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Accept", "Accept-Encoding", "Connection", "Trailer", "Te", "Upgrade":
			errs = append(errs, fmt.Errorf("Header: %s cannot be set: it belongs to the exchange", name))
		}
	}
	return errors.Join(errs...)
}

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
