// Package stssource turns a credential that a workload already has into an
// access token for an API, by OAuth 2.0 token exchange (RFC 8693), and keeps
// that token fresh.
//
// It is a client for Google's Security Token Service (workload identity
// federation, credential access boundaries) and for every server that speaks
// RFC 8693, such as Dex, Zitadel, Keycloak and Okta. The way of a token:
//
//	subject token  ->  exchange  ->  cache  ->  transport
//	a Provider         RFC 8693      Source     http.Client
//
// A [Config] says what to exchange and where. [New] checks it whole and returns
// a [Source]: an [oauth2.TokenSource] that is safe for concurrent use.
//
//	src, err := stssource.New(stssource.Config{
//		TokenURL:     "https://sts.googleapis.com/v1/token",
//		SubjectToken: subjecttoken.File{Path: "/var/run/secrets/tokens/gcp"},
//		Audiences:    []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"},
//		Scopes:       []string{"https://www.googleapis.com/auth/cloud-platform"},
//	})
//	client := src.Client(nil) // or oauth2.NewClient(ctx, src)
//
// However many callers there are, one exchange is made at a time, and they
// share its result. While a token is valid nobody waits: it is renewed in the
// background, ahead of its end, whether or not anybody calls, and a failure is
// retried until it works. A caller's context bounds its own wait, not the
// exchange. A Source needs no Close.
//
// Errors of a Source are of type [*Error]. No token, secret or assertion appears in an
// error or a log, nor when a Config or Source is printed.
//
// The package does not verify tokens, does not discover endpoints, and keeps
// nothing on disk.
package stssource

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
)

// Source is a cached, self-renewing source of access tokens. Make one with
// [New] or [NewFromFunc]; it must not be copied. All methods are safe for
// concurrent use.
type Source struct {
	cache  *cache
	header *http.Header // added to each authorized request; see WithHeader; nil: nothing
}

var _ oauth2.TokenSource = (*Source)(nil)

// New returns a Source that makes the exchanges that c describes. It does not
// block: the first exchange is made for the first caller. If c is not right, it
// returns all mistakes at once, joined by [errors.Join].
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("stssource: invalid Config: %w", err)
	}
	x := newExchanger(c.clone())
	return &Source{cache: newCache(x, &x.config.Refresh)}, nil
}

// NewFromFunc returns a Source whose tokens come from fetch, kept and renewed
// as [New] does it. Calls of fetch do not overlap, unless one does not return
// when the deadline of its context has passed: it is left behind, and at most
// two of that kind are. Errors of fetch are retried if they are network errors,
// [oauth2.RetrieveError]s with a status that may pass, or [*Error]s that are
// temporary; they must not hold secrets. A token without an Expiry lives for
// r.DefaultLifetime.
func NewFromFunc(fetch func(context.Context) (*oauth2.Token, error), r Refresh) (*Source, error) {
	if fetch == nil {
		return nil, errors.New("stssource: the fetch function is nil")
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("stssource: %w", err)
	}
	return &Source{cache: newCache(fetchFunc(fetch), &r)}, nil
}

// fetchFunc is the function given to NewFromFunc.
type fetchFunc func(context.Context) (*oauth2.Token, error)

func (f fetchFunc) fetch(ctx context.Context, _ int) (oauth2.Token, error) {
	t, err := f(ctx)
	if t == nil {
		return oauth2.Token{}, err
	}
	return *t, err
}

func (f fetchFunc) name() string { return "func" }

// Token returns a token that has not ended. It is TokenContext with
// [context.Background]: most callers who have a context should use that, or
// [Source.Client].
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a token that has not ended. If there is none, it waits
// for the exchange, which it starts if nobody else has, for as long as ctx
// allows; the exchange itself goes on. It may return a valid token although ctx
// has ended.
//
// Each caller gets a token of its own, and may change its fields; what Extra
// returns is shared. That is not only courtesy: [oauth2.ReuseTokenSource], which [oauth2.NewClient] puts around
// every source, writes into the tokens it is given.
func (s *Source) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	if s == nil || s.cache == nil {
		return nil, errUnmade
	}
	e, err := s.cache.get(ctx)
	if err != nil {
		return nil, err
	}
	t := e.token
	return &t, nil
}

// Invalidate tells the source that a service rejected t although it has not
// ended. If t is still the cached token, the next caller waits for a new one;
// otherwise, and for nil, nothing happens.
func (s *Source) Invalidate(t *oauth2.Token) {
	if t != nil && s.cache != nil {
		s.cache.invalidate(t.AccessToken)
	}
}

// errUnmade is the error of a Source that is nil or zero.
var errUnmade = &Error{Stage: StageRequest, Err: errors.New("the Source was not made by New or NewFromFunc")}

// Status returns what the source knows of itself. It makes no request.
func (s *Source) Status() Status {
	if s.cache == nil {
		return Status{LastError: errUnmade}
	}
	return s.cache.status()
}

// Client returns a client that authorizes its requests with tokens from s. It
// keeps base's Timeout, Jar, CheckRedirect and, below the authorization, its
// Transport. base is not modified; nil stands for a client with
// [http.DefaultTransport].
func (s *Source) Client(base *http.Client) *http.Client {
	var c http.Client
	if base != nil {
		c = *base
	}
	c.Transport = &Transport{Source: s, Base: c.Transport}
	return &c
}

// WithHeader returns a Source with the same tokens as s, its cache and its
// exchanges, whose [Source.Client] and [Transport] add the fields of h to each
// request they authorize, unless the request has them: x-goog-user-project, say,
// which names the project that Google charges. The header of s itself is kept,
// and fields of h take the place of those of the same name. Authorization is
// left out.
func (s *Source) WithHeader(h http.Header) *Source {
	merged := make(http.Header)
	if s.header != nil {
		maps.Copy(merged, *s.header)
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		merged[http.CanonicalHeaderKey(name)] = slices.Clone(h[name])
	}
	delete(merged, "Authorization")
	return &Source{cache: s.cache, header: &merged}
}

// String names the host that tokens come from.
func (s *Source) String() string {
	if s == nil || s.cache == nil {
		return "stssource.Source()"
	}
	return "stssource.Source(" + s.cache.source.name() + ")"
}

// Format keeps every verb of package fmt from printing what s holds.
func (s *Source) Format(f fmt.State, _ rune) { redact.Format(f, s.String()) }
