// Package gcp gets access tokens for Google Cloud with credentials from outside
// of it, by workload or workforce identity federation. It adds to package
// stssource what is Google's alone.
//
//	FromFile       a credential file, as gcloud writes it     ->  Config
//	New            Config: workload or workforce federation   ->  Source
//	Impersonate    Source: access tokens of a service account ->  Source
//	IDToken        Source: ID tokens of a service account     ->  Source
//	Downscope      Source: tokens that permit less            ->  Source
//	NewDownscoper  Source: the same, for a limit at each call ->  Downscoper
//
// Each Source is a [stssource.Source], which caches its token and renews it
// before it expires. A program that was given a credential file:
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
// Without a file, fill in a [Config]: where the subject token comes from, and
// which identity pool provider accepts it. All mistakes in a Config or a file
// are reported at once, before any request.
//
// A credential file says where tokens are sent, and may come from anybody. Only
// the token services of googleapis.com are trusted with them, and hosts that
// the program names.
//
// The package does not sign requests with AWS credentials, does not read
// service account keys or the user credentials of gcloud, and looks for
// credentials only where it is told to.
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

// CloudPlatform is the scope of all of Google Cloud, which leaves to IAM what a
// token may do. It is the default of Scopes.
const CloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

// Config describes how a credential from outside of Google Cloud becomes an
// access token. Audience and SubjectToken are required. [New] copies what it
// needs; later changes have no effect.
//
// [FromFile], [FromJSON] and [FromEnvironment] return one, the fields of which
// may be changed before it is given to New. A Config is printed, logged and
// encoded without its secrets.
type Config struct {
	// Audience is the full resource name of the identity pool provider, as
	// [WorkloadIdentityProvider] and [WorkforceProvider] build it. Required.
	Audience string

	// SubjectToken provides the token that the identity pool provider accepts.
	// Required. It is asked anew for each exchange. A [subjecttoken.URL]
	// without a Client gets HTTPClient.
	SubjectToken subjecttoken.Provider

	// SubjectTokenType is the type of subject tokens for which SubjectToken
	// does not tell one. If empty, it is [subjecttoken.TypeJWT].
	SubjectTokenType string

	// ActorToken, if not nil, provides the token of the party that acts on
	// behalf of the subject (RFC 8693, section 1.1): a JWT or an ID token. The
	// v1beta API takes none.
	ActorToken subjecttoken.Provider

	// ActorTokenType is the type of actor tokens for which ActorToken does not
	// tell one. If empty, it is [subjecttoken.TypeJWT].
	ActorTokenType string

	// Scopes are the scopes of the tokens, one in each element. If empty, it is
	// [CloudPlatform] alone. With Impersonate they apply to the tokens of the
	// service account.
	Scopes []string

	// Endpoint says where the token service is. If zero, it is
	// https://sts.googleapis.com/v1/token.
	Endpoint Endpoint

	// Form sends the parameters to v1beta in a form. If false, v1beta gets them
	// as JSON, as its API reference documents it. v1 always gets a form.
	Form bool

	// WorkforcePoolUserProject is the number or ID, of at most 32 characters,
	// of the project that is charged for what a workforce identity calls. If
	// empty, or if there is a ClientID, which has a project already, none is
	// sent. It goes with a workforce pool only.
	WorkforcePoolUserProject string

	// AccessBoundary, if not nil, limits what the tokens may do. It does not go
	// with workforce pools and Impersonate; use [Downscope] on those tokens.
	AccessBoundary *AccessBoundary

	// BindCertFingerprint binds the tokens to a client certificate: the SHA-256
	// of its DER form, encoded by base64.RawURLEncoding, 43 characters. If
	// empty, they are not bound. The v1beta API cannot bind them.
	BindCertFingerprint string

	// ExtraOptions are members of the options parameter that have no field
	// here. Values must be encodable as JSON.
	ExtraOptions map[string]any

	// ClientID is the ID of an OAuth client of a workforce pool, which is
	// authenticated by a Basic Authorization header. If empty, there is no such
	// header.
	ClientID string

	// ClientSecret is the secret of that client. If empty, the ID is sent
	// alone. Both are sent without form-encoding, as Google's own clients do.
	ClientSecret string

	// QuotaProject is the project that is charged for the calls of
	// [stssource.Source.Client], which send it as x-goog-user-project. If
	// empty, they do not.
	QuotaProject string

	// Impersonate, if not nil, makes the Source one of access tokens of a
	// service account, for which the federated token is exchanged in turn. Its
	// Scopes, Universe, HTTPClient and Refresh are those of this Config where
	// they are zero.
	Impersonate *ImpersonateConfig

	// HTTPClient's Transport and Timeout are used for all token requests; if
	// Timeout is zero, each is limited to 15 seconds. Its cookie jar and
	// redirect policy are not used: redirects are refused. If its Transport is
	// an [oauth2.Transport] or a [stssource.Transport], that layer is left out,
	// since it would add an Authorization header. If nil, all sources share one
	// transport.
	HTTPClient *http.Client

	// Refresh says when tokens are renewed, and who is told. The zero value is
	// good for most programs. With Impersonate, only the attempts to get a
	// service account's token are told; those for the federated token are part
	// of them.
	Refresh stssource.Refresh
}

// New returns a Source of the tokens that c describes. It does not block: the
// first exchange is made when the first caller asks for a token. If c is
// invalid, the error reports all mistakes, joined by [errors.Join].
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

// Format prints c without its secrets, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText returns the text that Format prints, so that no secret is encoded
// by mistake.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c Config) describe() string {
	text := fmt.Sprintf("gcp.Config{audience: %q, scopes: %q", c.Audience, c.Scopes)
	if c.Impersonate != nil {
		text += fmt.Sprintf(", impersonating: %q", c.Impersonate.ServiceAccount)
	}
	return text + "}"
}
