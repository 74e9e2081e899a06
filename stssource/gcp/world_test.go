package gcp_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

const (
	audience  = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"
	workforce = "//iam.googleapis.com/locations/global/workforcePools/pool/providers/okta"
	robot     = "robot@my-project.iam.gserviceaccount.com"
)

// world is Google, as far as this package sees it: a token service, the IAM
// Service Account Credentials API on hosts that are named for it, and an API on
// any other. Everything is in memory.
type world struct {
	sts ststest.Handler

	mu      sync.Mutex
	replies []ststest.Reply // what the IAM API answers in place of its own
	calls   []iamCall
	storage []http.Header // of the requests to the API
}

// iamCall is a request to the IAM API.
type iamCall struct {
	Host, Path    string
	Authorization string
	Body          map[string]any
}

func newWorld() *world { return &world{sts: ststest.Handler{Mode: ststest.Google}} }

func (w *world) client() *http.Client { return &http.Client{Transport: ststest.RoundTripper(w)} }

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.Host, "iamcredentials"):
		w.serveIAM(rw, r)
	case strings.Contains(r.Host, "sts"):
		w.sts.ServeHTTP(rw, r)
	default:
		w.sts.Protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.storage = append(w.storage, r.Header)
		})).ServeHTTP(rw, r)
	}
}

func (w *world) serveIAM(rw http.ResponseWriter, r *http.Request) {
	call := iamCall{Host: r.Host, Path: r.URL.Path, Authorization: r.Header.Get("Authorization")}
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &call.Body)
	w.mu.Lock()
	w.calls = append(w.calls, call)
	var reply *ststest.Reply
	if len(w.replies) > 0 {
		reply, w.replies = &w.replies[0], w.replies[1:]
	}
	n := len(w.calls)
	w.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json")
	if reply != nil {
		for name, values := range reply.Header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(reply.Status)
		_, _ = io.WriteString(rw, reply.Body)
		return
	}
	if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Accept") != "application/json" || !w.sts.Valid(strings.TrimPrefix(call.Authorization, "Bearer ")) {
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, `{"error":{"code":401,"message":"invalid credentials","status":"UNAUTHENTICATED"}}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, ":generateIdToken") {
		fmt.Fprintf(rw, `{"token":%q}`, unsignedJWT(time.Now().Add(time.Hour)))
		return
	}
	lifetime, _ := time.ParseDuration(fmt.Sprint(call.Body["lifetime"]))
	fmt.Fprintf(rw, `{"accessToken":"sa-token~%d","expireTime":%q}`, n, time.Now().Add(lifetime).UTC().Format(time.RFC3339Nano))
}

// answer has the IAM API answer the next requests like this.
func (w *world) answer(replies ...ststest.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replies = replies
}

func (w *world) iamCalls() []iamCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]iamCall(nil), w.calls...)
}

func (w *world) config() gcp.Config {
	return gcp.Config{Audience: audience, SubjectToken: subjecttoken.Static{Value: "subject-token"}, HTTPClient: w.client()}
}

// request returns the one request that the token service got.
func (w *world) request(t *testing.T) ststest.Request {
	t.Helper()
	requests := w.sts.Requests()
	if len(requests) != 1 {
		t.Fatalf("the token service got %d requests, want 1", len(requests))
	}
	if p := requests[0].Problem; p != "" {
		t.Errorf("the request breaks a rule: %s", p)
	}
	return requests[0]
}

func mustNew(t *testing.T, c gcp.Config) *stssource.Source {
	t.Helper()
	src, err := gcp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func mustToken(t *testing.T, src oauth2.TokenSource) *oauth2.Token {
	t.Helper()
	token, err := src.Token()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func checkMentions(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not mention %q: %v", w, err)
		}
	}
}

// sourceFunc is a token source that is not of this module.
type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

// issued returns a source of tokens that the token service of w has issued, as
// the IAM API wants them.
func (w *world) issued(t *testing.T) *stssource.Source {
	t.Helper()
	return mustNew(t, w.config())
}

func unsignedJWT(expiry time.Time) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(fmt.Appendf(nil, `{"exp":%d}`, expiry.Unix())) + ".signature"
}

func values(pairs ...string) url.Values {
	v := make(url.Values)
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}
