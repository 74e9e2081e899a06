// Package stssource exchanges a credential that a workload already has for an
// access token, by OAuth 2.0 token exchange (RFC 8693), and keeps that token
// fresh.
//
// It is a client for Google's Security Token Service (workload identity
// federation, credential access boundaries) and for every server that
// implements RFC 8693, such as Dex, Zitadel, Keycloak and Okta. The flow:
//
//	subject token  ->  exchange  ->  cache  ->  transport
//	a Provider         RFC 8693      Source     http.Client
//
// A [Config] says what to exchange, and where. [New] checks it and returns a
// [Source], which is an [oauth2.TokenSource]:
//
//	src, err := stssource.New(stssource.Config{
//		TokenURL:     "https://sts.example.com/token",
//		SubjectToken: subjecttoken.File{Path: "/var/run/secrets/sts/token"},
//		Audiences:    []string{"my-api"},
//	})
//	if err != nil {
//		log.Fatal(err) // all mistakes at once
//	}
//	client := src.Client(nil) // or oauth2.NewClient(ctx, src)
//	resp, err := client.Get("https://api.example.com/orders")
//
// However many goroutines ask for a token, one exchange is made at a time, and
// they share its result or its error. The token is renewed in the background
// before it expires, so that nobody waits while it is valid; a renewal that
// fails is repeated until it works. A caller's context limits how long that
// caller waits, and not the exchange. A Source needs no Close.
//
// Failures are of type [*Error]. No token, secret or assertion appears in an
// error or a log, or when a Config or Source is printed.
//
// The package does not verify tokens, does not discover endpoints, and stores
// nothing on disk. For Google Cloud, package gcp is more convenient; package
// ststest is a token service for tests.
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

// Source is a source of access tokens, which it caches and renews. Make one
// with [New] or [NewFromFunc]; it must not be copied. All methods are safe for
// concurrent use.
//
// A Source that is used no longer makes at most one more exchange. One that is
// referenced no longer is garbage-collected.
type Source struct {
	cache  *cache
	header *http.Header // added to each authorized request; see WithHeader; nil: nothing
}

var _ oauth2.TokenSource = (*Source)(nil)

// New returns a Source that makes the exchanges that c describes. It does not
// block: the first exchange is made when the first caller asks for a token. If
// c is invalid, the error reports all mistakes, joined by [errors.Join].
func New(c Config) (*Source, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("stssource: invalid Config: %w", err)
	}
	x := newExchanger(c.clone())
	return &Source{cache: newCache(x, &x.config.Refresh)}, nil
}

// NewFromFunc returns a Source that gets its tokens from fetch, and caches and
// renews them as that of [New] does.
//
// The context of fetch has a deadline and no values. Calls do not overlap,
// unless one does not return when its deadline has passed: it is left behind.
// While three of those have not returned, there is no further call. A panic in
// fetch is an error to the callers.
//
// Errors of fetch must not hold secrets. Those that may pass are retried:
// network errors, an [oauth2.RetrieveError] whose status is 408, 429, 500, 502,
// 503 or 504, and an [*Error] that is Temporary. A token without an Expiry
// lives for r.DefaultLifetime. An error is returned if fetch is nil or r is
// invalid.
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

// Token returns a valid token. It waits for one as long as the exchange may
// take; callers that have a context should use [Source.TokenContext] or
// [Source.Client]. It implements [oauth2.TokenSource]. Errors are of type
// [*Error].
func (s *Source) Token() (*oauth2.Token, error) { return s.TokenContext(context.Background()) }

// TokenContext returns a valid token. If there is none, it waits for an
// exchange, and starts one unless another caller has. When ctx is done it stops
// waiting; the exchange goes on for the others. If a valid token is at hand it
// is returned even after ctx is done. Errors are of type [*Error].
//
// Each caller gets a token of its own and may change its fields, as
// [oauth2.ReuseTokenSource] does, which [oauth2.NewClient] puts around every
// source. Only the values that its Extra method returns are shared.
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

// Invalidate tells s that a service rejected t before it expired. If t is the
// cached token, it is dropped, and the next caller waits for a new one.
// Otherwise, and if t is nil, nothing happens: a late call does no harm. Client
// and [Transport] call it by themselves.
func (s *Source) Invalidate(t *oauth2.Token) {
	if t != nil && s != nil && s.cache != nil {
		s.cache.invalidate(t.AccessToken)
	}
}

// errUnmade is the error of a Source that is nil or zero.
var errUnmade = &Error{Stage: StageRequest, Err: errors.New("the Source was not made by New or NewFromFunc")}

// Status returns the state of s, for health checks and metrics. It does not
// block, and makes no request.
func (s *Source) Status() Status {
	if s == nil || s.cache == nil {
		return Status{LastError: errUnmade}
	}
	return s.cache.status()
}

// Client returns a copy of base that authorizes its requests with tokens of s,
// by a [Transport] on top of base's own. Timeout, Jar and CheckRedirect are
// kept. If base is nil, it is a client with [http.DefaultTransport].
//
// Errors of the client wrap an [*Error] where there was no token to be had.
// When the client's own Timeout ends the wait, net/http may leave that cause out:
// give requests a context with a deadline where it matters.
func (s *Source) Client(base *http.Client) *http.Client {
	var c http.Client
	if base != nil {
		c = *base
	}
	c.Transport = &Transport{Source: s, Base: c.Transport}
	return &c
}

// WithHeader returns a Source that shares the tokens of s, and whose
// [Source.Client] and [Transport] add the fields of h to each request that they
// authorize: x-goog-user-project, say, which names the project that Google
// charges. A field that the request already has is left alone. Fields that s
// adds are added as well, unless h has them. Authorization is ignored.
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

// String returns a description that names the host that tokens come from.
func (s *Source) String() string {
	if s == nil || s.cache == nil {
		return "stssource.Source()"
	}
	return "stssource.Source(" + s.cache.source.name() + ")"
}

// Format prints s.String(), whatever the verb: what s holds is secret.
func (s *Source) Format(f fmt.State, _ rune) { redact.Format(f, s.String()) }
