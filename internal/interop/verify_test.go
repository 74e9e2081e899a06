package interop_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/googleapis/gax-go/v2/callctx"
)

// newVerifier returns what verifies JWTs of an issuer as c says, by the keys that
// the issuer publishes.
func newVerifier(t *testing.T, issuer string, c *oidc.Config) *oidc.IDTokenVerifier {
	t.Helper()
	// The verifier keeps the client of this context, to fetch new keys with.
	ctx := oidc.ClientContext(context.Background(), tokenClient(t))
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Verifier(c)
}

// guard lets requests to an API pass that have a token which verifier accepts,
// and counts all of them. An API that checks nothing would hide what it is sent.
//
// A token must not have ended when its request began, to the microsecond. Where
// services allow a minute for the sake of clocks and of the way, the guard takes
// the instant from the request: on a busy machine any other leeway is too short
// or hides something.
type guard struct {
	verifier *oidc.IDTokenVerifier
	next     http.Handler

	passed, refused atomic.Int64
	overtaken       atomic.Int64 // passed, with a token that ended on the way
	reason          atomic.Value // why the last refused one was
}

// newGuard returns the guard of the API that server makes tokens for.
func newGuard(t *testing.T, server *dex, next http.Handler) *guard {
	t.Helper()
	return &guard{verifier: newVerifier(t, server.URL, &oidc.Config{ClientID: "api", SkipExpiryCheck: true}), next: next}
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := g.check(r.Context(), r.Header); err != nil {
		g.refused.Add(1)
		g.reason.Store(err.Error())
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	g.passed.Add(1)
	g.next.ServeHTTP(w, r)
}

func (g *guard) check(ctx context.Context, h http.Header) error {
	token, err := g.verifier.Verify(ctx, strings.TrimPrefix(h.Get("Authorization"), "Bearer "))
	if err != nil {
		return err
	}
	now := time.Now()
	if now.Before(token.Expiry) {
		return nil
	}
	if began := beginning(h, now); !began.Before(token.Expiry) {
		return fmt.Errorf("the token had ended %v before the request began", began.Sub(token.Expiry))
	}
	g.overtaken.Add(1)
	return nil
}

// beganHeader is the field of a request that says when it began, in Unix
// nanoseconds.
const beganHeader = "X-Began"

// beginning reads that field. A request without it began when it arrived.
func beginning(h http.Header, arrived time.Time) time.Time {
	if n, err := strconv.ParseInt(h.Get(beganHeader), 10, 64); err == nil {
		return time.Unix(0, n)
	}
	return arrived
}

func nowText() string { return strconv.FormatInt(time.Now().UnixNano(), 10) }

// beginningNow has a call of the storage client say that it began now, before
// that client asks for a token.
func beginningNow(ctx context.Context) context.Context {
	return callctx.SetHeaders(ctx, beganHeader, nowText())
}

// stamp is a transport that says of each request that it began now: below ours,
// just after it was given its token.
type stamp struct{ base http.RoundTripper }

func (s stamp) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set(beganHeader, nowText())
	return s.base.RoundTrip(r)
}
