package stssource

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
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
	// its token method. It does not go with client authentication, with
	// Resources, or with several Audiences.
	JSON
)

// Config describes a token exchange. TokenURL and SubjectToken are required;
// parameters without a value are not sent. [New] copies what it needs, and later
// changes have no effect.
//
// A Config is printed, logged and encoded without its secrets, except by a print
// of a struct that holds it in an unexported field.
type Config struct {
	// TokenURL is the token endpoint, for example
	// https://sts.googleapis.com/v1/token. Required. It must be https, or http
	// to this machine, and is used unchanged.
	TokenURL string

	// SubjectToken provides the token that is exchanged. Required. It is asked
	// anew for each exchange, under the exchange's own deadline.
	SubjectToken subjecttoken.Provider

	// SubjectTokenType is the type of a subject token whose provider does not
	// tell one. If empty, it is [subjecttoken.TypeJWT].
	SubjectTokenType string

	// ActorToken, if not nil, provides the token of the party that acts on
	// behalf of the subject (RFC 8693, section 2.1).
	ActorToken subjecttoken.Provider

	// ActorTokenType is the type of an actor token whose provider does not tell
	// one. If empty, it is [subjecttoken.TypeJWT].
	ActorTokenType string

	// Audiences say where the new token is to be used, by names that the
	// service knows (RFC 8693, section 2.1). Each is sent as a parameter of its
	// own. Google takes one, the full resource name of a workload identity pool
	// provider; some services, such as Dex, take a scope instead and ignore it.
	// If empty, none is sent.
	Audiences []string

	// Resources say where the new token is to be used by absolute URIs without
	// a fragment (RFC 8693, section 2.1). A plain name, which some services use,
	// is sent as well. If empty, none is sent.
	Resources []string

	// Scopes are the scopes of the new token, one in each element. If empty,
	// none is sent, and the service decides.
	Scopes []string

	// RequestedTokenType is the type of the token that is asked for. If empty,
	// it is [subjecttoken.TypeAccessToken]. For another type the answer may
	// have the token_type N_A (RFC 8693, section 2.2.1): Token then returns the
	// token, and Client fails, since no request can carry it.
	RequestedTokenType string

	// EndpointParams are further parameters of the body, such as options
	// (Google) or connector_id (Dex). Names are those of the form encoding;
	// [JSON] turns token_info into tokenInfo. Parameters that have a field here
	// cannot be set here. Errors do not show values of 8 bytes or more, except
	// those of options.
	EndpointParams url.Values

	// Query holds query parameters of the token URL, such as Google's system
	// parameters: key, quotaUser, prettyPrint, fields, $.xgafv. Values of keys
	// and tokens, and all others of 8 bytes or more, never show in an error.
	// Parameters that would make the answer unreadable are refused: callback,
	// alt other than json, fields without access_token. So are those that carry
	// a token, unless InsecureTokenInQuery is set.
	Query url.Values

	// Header holds further header fields of the token request. Authorization,
	// Cookie and the fields that describe the body cannot be set.
	Header http.Header

	// Encoding is how the parameters are written. If zero, it is [Form].
	Encoding Encoding

	// ClientID identifies this program to the service (RFC 6749, section 2.3).
	// If empty, the request has no client authentication. Without a secret or an
	// assertion it is that of a public client, and goes into the body.
	ClientID string

	// ClientSecret is the secret of ClientID. If empty, none is sent.
	ClientSecret string

	// AuthStyle is how ClientID and ClientSecret are sent. If zero, a secret
	// goes into the Authorization header ([oauth2.AuthStyleInHeader]), with both
	// parts form-encoded first (RFC 6749, section 2.3.1). Nothing is detected by
	// trial.
	AuthStyle oauth2.AuthStyle

	// RawBasicAuth leaves out that encoding, for services that do not decode it.
	// Set it only for a service that is known to need it.
	RawBasicAuth bool

	// ClientAssertion, if not nil, authenticates this program by a JWT in place
	// of a secret (RFC 7523, section 2.2). It is asked anew for each exchange.
	ClientAssertion subjecttoken.Provider

	// HTTPClient's Transport and Timeout are used for the token requests; if
	// Timeout is zero, each request is given up after 15 seconds. Its cookie jar
	// and redirect policy are not used: no redirect is followed, since it would
	// post the subject token elsewhere. An [oauth2.Transport] or a [Transport]
	// is left out, since it would add an Authorization header; where another
	// transport adds one, and its Response.Request shows it, the error of a
	// refusal says so. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when tokens are renewed, and who is told. The zero value is
	// good for most programs.
	Refresh Refresh

	// InsecureHTTP allows a TokenURL with http to any host. The whole network in
	// between can then read the subject token, the secret and the new token.
	InsecureHTTP bool

	// InsecureTokenInQuery allows the query parameters access_token and
	// oauth_token. A token in a URL ends up in the logs of every proxy and
	// server on the way; the caller must know that they are safe.
	InsecureTokenInQuery bool
}

// Format prints c without its secrets, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText returns the text that Format prints, for encoding/json, log/slog
// and others.
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
