// Package gcp gets access tokens for Google Cloud: what of token exchange (RFC
// 8693) is Google's alone. It builds on package stssource, and every token
// comes from a [stssource.Source], cached and renewed ahead of its end.
//
//	FromFile        a credential file, as gcloud writes it   ->  Config
//	New             Config: workload or workforce federation ->  Source
//	Impersonate     Source: a service account's tokens       ->  Source
//	IDToken         Source: a service account's ID tokens    ->  Source
//	Downscope       Source: an access boundary               ->  Source
//
// A program that was given a credential file:
//
//	config, err := gcp.FromEnvironment() // GOOGLE_APPLICATION_CREDENTIALS
//	if err != nil {
//		log.Fatal(err)
//	}
//	src, err := gcp.New(config)
//	if err != nil {
//		log.Fatal(err)
//	}
//	client := src.Client(nil) // or oauth2.NewClient(ctx, src)
//
// Without a file, say in a [Config] where the subject token comes from and which
// provider is to accept it. All that is wrong with a Config or a file is
// reported at once, before any request, and nothing here blocks: the first
// request is made for the first caller.
//
// A credential file says where tokens are sent. It is trusted with the token
// services of googleapis.com and no other host, unless the caller names it.
//
// The package does not sign requests for AWS, does not present client
// certificates by itself, makes no tokens from service account keys, and does
// not look for credentials where it was not told to.
package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// CloudPlatform is the scope of all of Google Cloud: what a token may do is then
// up to IAM alone. It is the scope of a [Config] that has none.
const CloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// Config describes how a credential from outside of Google Cloud becomes an
// access token: by workload or workforce identity federation. It is data: [New]
// copies what it needs. Only Audience and SubjectToken are required.
//
// [FromJSON], [FromFile] and [FromEnvironment] make one from a credential file;
// fields may be changed before it is given to New. A Config hides its secrets
// when printed, logged or encoded.
type Config struct {
	// Audience is the full resource name of the identity pool provider, as
	// [WorkloadIdentityProvider] and [WorkforceProvider] build it.
	Audience string

	// SubjectToken provides the token that the provider accepts. It is asked
	// anew for each exchange. A [subjecttoken.URL] without a Client uses
	// HTTPClient.
	SubjectToken subjecttoken.Provider

	// SubjectTokenType is sent where SubjectToken does not name a type. If
	// empty, it is [subjecttoken.TypeJWT].
	SubjectTokenType string

	// ActorToken, if not nil, provides the token of the party that acts on
	// behalf of the subject. Only v1 takes one, and only as a JWT or ID token.
	ActorToken subjecttoken.Provider

	// ActorTokenType is sent where ActorToken does not name a type. If empty,
	// it is [subjecttoken.TypeJWT].
	ActorTokenType string

	// Scopes are the scopes of the tokens, one in each element. If empty,
	// [CloudPlatform]. With Impersonate they are those of the service account's
	// tokens.
	Scopes []string

	// Endpoint is where the token service is. If zero, v1 at
	// sts.googleapis.com.
	Endpoint Endpoint

	// Form sends a form to v1beta, too. If false, v1beta gets JSON, as its
	// reference documents it; v1 gets a form in any case, as RFC 8693 has it.
	Form bool

	// WorkforcePoolUserProject is the project, by number or ID, that is charged
	// for calls made with a workforce identity. It is for workforce pools only,
	// has at most 32 characters, and is left out if there is a ClientID, which
	// has a project already.
	WorkforcePoolUserProject string

	// AccessBoundary, if not nil, narrows down what the tokens may do. Workforce
	// pools and Impersonate do not go with it; use [Downscope] on their tokens.
	AccessBoundary *AccessBoundary

	// BindCertFingerprint, if not empty, binds the tokens to a client
	// certificate: base64.RawURLEncoding of the SHA-256 of its DER form, 43
	// characters. Only v1 has it.
	BindCertFingerprint string

	// ExtraOptions are further members of the options parameter, for those that
	// have no field here. Values must be encodable as JSON.
	ExtraOptions map[string]any

	// ClientID and ClientSecret authenticate an OAuth client of a workforce
	// pool. They are sent as they are in a Basic Authorization header, an ID
	// alone with an empty secret, as Google's own clients do it.
	ClientID     string
	ClientSecret string

	// QuotaProject is the project that is charged for the calls of
	// [stssource.Source.Client]: it is sent with them as x-goog-user-project.
	// If empty, nothing is.
	QuotaProject string

	// Impersonate, if not nil, has the federated token make tokens of a service
	// account, which are what the Source then gives. Where its Scopes, Universe,
	// HTTPClient and Refresh are zero, those of this Config are used.
	Impersonate *ImpersonateConfig

	// HTTPClient is whose Transport and Timeout all requests for tokens use;
	// without a Timeout, each is given up after 15 seconds. Its cookie jar and
	// redirect policy are ignored: no redirect is followed. An
	// [oauth2.Transport] or a [stssource.Transport] is left out, since it would
	// add an Authorization header. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when the tokens of the Source are renewed, and who is told.
	// Its zero value is good. Of the federated token behind an impersonated one
	// nobody is told; its failures are part of the other's.
	Refresh stssource.Refresh
}

// New returns a Source of the tokens that c describes. It does not block: the
// first request is made for the first caller. If c is not right, it returns all
// mistakes at once, joined by [errors.Join].
func New(c Config) (*stssource.Source, error) {
	exchange, wrong := c.exchange()
	src, err := stssource.New(exchange)
	if err := errors.Join(append(wrong.errors(), errors.Unwrap(err))...); err != nil {
		return nil, fmt.Errorf("gcp: invalid Config: %w", err)
	}
	if c.Impersonate != nil {
		if src, err = Impersonate(src, c.impersonation()); err != nil {
			return nil, err
		}
	}
	if c.QuotaProject != "" {
		src = src.WithHeader(http.Header{"X-Goog-User-Project": {c.QuotaProject}})
	}
	return src, nil
}

// exchange returns the exchange that c describes, and what is wrong with c but
// for what stssource.New finds in the exchange.
func (c Config) exchange() (stssource.Config, mistakes) {
	wrong := c.check()
	options := c.options().encode(c.Endpoint, &wrong)
	e := stssource.Config{
		TokenURL:         c.Endpoint.orDefault(),
		SubjectToken:     c.subject(),
		SubjectTokenType: c.SubjectTokenType,
		ActorToken:       c.ActorToken,
		ActorTokenType:   c.ActorTokenType,
		Scopes:           c.federatedScopes(),
		EndpointParams:   url.Values{"options": {options}}, // not sent if empty
		Encoding:         c.Endpoint.encoding(c.Form),
		ClientID:         c.ClientID,
		ClientSecret:     c.ClientSecret,
		RawBasicAuth:     c.ClientID != "",
		HTTPClient:       c.HTTPClient,
		Refresh:          c.Refresh,
	}
	if c.Audience != "" {
		e.Audiences = []string{c.Audience}
	}
	if c.ClientID != "" {
		e.AuthStyle = oauth2.AuthStyleInHeader
	}
	if isGoogle(e.TokenURL, c.Endpoint.universe()) {
		e.Header = http.Header{"X-Goog-Api-Client": {c.metrics()}}
	}
	if c.Impersonate != nil {
		e.Refresh.Observe, e.Refresh.Logger = nil, nil
	}
	return e, wrong
}

// federatedScopes are the scopes towards the token service. A federated token
// that is to make others needs this one, whatever those are for.
func (c Config) federatedScopes() []string {
	if len(c.Scopes) == 0 || c.Impersonate != nil {
		return []string{CloudPlatform}
	}
	return c.Scopes
}

// subject returns the provider with what it needs of c.
func (c Config) subject() subjecttoken.Provider {
	p := c.SubjectToken
	if u, ok := p.(subjecttoken.URL); ok && u.Client == nil {
		u.Client = withoutAuthorization(c.HTTPClient)
		p = u
	}
	if p != nil && c.Endpoint.isBeta() {
		return betaSubject{p}
	}
	return p
}

// impersonation returns c.Impersonate with what it takes over from c.
func (c Config) impersonation() ImpersonateConfig {
	i := *c.Impersonate
	if len(i.Scopes) == 0 {
		i.Scopes = c.Scopes
	}
	if i.Universe == "" {
		i.Universe = c.Endpoint.Universe
	}
	if i.HTTPClient == nil {
		i.HTTPClient = c.HTTPClient
	}
	if reflect.ValueOf(i.Refresh).IsZero() { // it has functions: == does not compile
		i.Refresh = c.Refresh
	}
	return i
}

// Format hides the secrets of c from every verb of package fmt.
func (c Config) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText hides the secrets of c from encoding/json, log/slog and others.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c Config) describe() string {
	text := fmt.Sprintf("gcp.Config{audience: %q, scopes: %q", c.Audience, c.Scopes)
	if c.Impersonate != nil {
		text += fmt.Sprintf(", impersonating: %q", c.Impersonate.ServiceAccount)
	}
	return text + "}"
}
