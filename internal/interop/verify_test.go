package interop_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// leeway is how long after its end a token is still taken, as services do it for
// the sake of clocks: a request is under way for a while. That no token is handed
// out after its end is checked where it is handed out.
const leeway = time.Second

// newVerifier returns what verifies JWTs of an issuer for an audience, by the
// keys that the issuer publishes. If audience is empty, any will do.
func newVerifier(t *testing.T, issuer, audience string) *oidc.IDTokenVerifier {
	t.Helper()
	// The verifier keeps the client of this context, to fetch new keys with.
	ctx := oidc.ClientContext(context.Background(), tokenClient(t))
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Verifier(&oidc.Config{
		ClientID:          audience,
		SkipClientIDCheck: audience == "",
		Now:               func() time.Time { return time.Now().Add(-leeway) },
	})
}

// guard lets requests to an API pass that have a token which verifier accepts,
// and counts all of them. An API that checks nothing would hide what it is sent.
type guard struct {
	verifier *oidc.IDTokenVerifier
	next     http.Handler

	passed, refused atomic.Int64
	reason          atomic.Value // why the last refused one was
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := g.check(r.Context(), r.Header.Get("Authorization")); err != nil {
		g.refused.Add(1)
		g.reason.Store(err.Error())
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	g.passed.Add(1)
	g.next.ServeHTTP(w, r)
}

func (g *guard) check(ctx context.Context, authorization string) error {
	_, err := g.verifier.Verify(ctx, strings.TrimPrefix(authorization, "Bearer "))
	return err
}
