package stssource_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestClientKeepsTheGivenClient(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	policy := errors.New("no redirects here")
	var seen *http.Request
	base := &http.Client{
		Timeout:       7 * time.Second,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return policy },
		Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			seen = r
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		}),
	}
	before := *base
	iss := &issuer{}
	client := iss.source(t, stssource.Refresh{}).Client(base)
	if client.Timeout != base.Timeout || client.Jar != base.Jar || client.CheckRedirect(nil, nil) != policy {
		t.Errorf("the timeout, the jar or the redirect policy was lost: %+v", client)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://api.example.com/", nil)
	req.Header.Set("X-Mine", "1")
	if _, err := client.Do(req); err != nil {
		t.Fatal(err)
	}
	if got := seen.Header.Get("Authorization"); got != "Bearer token-1" {
		t.Errorf("Authorization %q", got)
	}
	if diff := cmp.Diff(http.Header{"X-Mine": {"1"}}, req.Header); diff != "" {
		t.Errorf("the caller's request was changed (-want +got):\n%s", diff)
	}
	if _, ok := base.Transport.(roundTripFunc); !ok || before.Timeout != base.Timeout {
		t.Error("the base client was changed")
	}
	if iss.source(t, stssource.Refresh{}).Client(nil).Transport == nil {
		t.Error("Client(nil) has no transport")
	}
}

// What a redirect is given is what net/http gives it of a header field that it
// knows to be sensitive: each chain is followed by a plain client as well.
func TestRedirectLeavesTheTokenAtHome(t *testing.T) {
	for _, tt := range []struct {
		name string
		path []string // the URLs of the chain
		want []bool   // whether each got the token
		// net/http would send it by plain http; here the request fails.
		refused bool
	}{
		{name: "same host", path: []string{"https://a.example/1", "https://a.example/2"}, want: []bool{true, true}},
		{name: "another port of it", path: []string{"https://a.example/1", "https://a.example:8443/2"}, want: []bool{true, true}},
		{name: "a subdomain", path: []string{"https://a.example/1", "https://b.a.example/2"}, want: []bool{true, true}},
		{name: "a subdomain of a subdomain", path: []string{"https://a.example/1", "https://c.b.a.example/2"}, want: []bool{true, true}},
		{name: "the parent", path: []string{"https://b.a.example/1", "https://a.example/2"}, want: []bool{true, false}},
		{name: "a sibling", path: []string{"https://b.a.example/1", "https://c.a.example/2"}, want: []bool{true, false}},
		{name: "another host", path: []string{"https://a.example/1", "https://evil.example/2"}, want: []bool{true, false}},
		{name: "a name that only ends alike", path: []string{"https://a.example/1", "https://nota.example/2"}, want: []bool{true, false}},
		{name: "a name that begins alike", path: []string{"https://a.example/1", "https://a.example.evil.example/2"}, want: []bool{true, false}},
		{name: "a letter that looks alike", path: []string{"https://api.example/1", "https://ap\u0130.example/2"}, want: []bool{true, false}},
		{name: "an address", path: []string{"https://127.0.0.1/1", "https://127.0.0.2/2"}, want: []bool{true, false}},
		{name: "an address with a zone", path: []string{"https://[fe80::1]/1", "https://[fe80::1%25eth0]/2"}, want: []bool{true, false}},
		{name: "away and back", path: []string{"https://a.example/1", "https://evil.example/2", "https://a.example/3"}, want: []bool{true, false, false}},
		{name: "a subdomain and back", path: []string{"https://a.example/1", "https://b.a.example/2", "https://a.example/3"}, want: []bool{true, true, true}},
		{name: "scheme up, on this machine", path: []string{"http://localhost/1", "https://localhost/2"}, want: []bool{true, true}},
		{name: "scheme down, on this machine", path: []string{"https://localhost/1", "http://localhost/2"}, want: []bool{true, true}},
		{name: "scheme down", path: []string{"https://a.example/1", "http://a.example/2"}, want: []bool{true, true}, refused: true},
		{name: "scheme down, at another host", path: []string{"https://a.example/1", "http://evil.example/2"}, want: []bool{true, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []bool
			base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				got = append(got, r.Header.Get("Authorization") != "")
				resp := &http.Response{StatusCode: 200, Body: http.NoBody, Request: r, Header: http.Header{}}
				if n := len(got); n < len(tt.path) {
					resp.StatusCode = 302
					resp.Header.Set("Location", tt.path[n])
				}
				return resp, nil
			})}
			req, _ := http.NewRequest("GET", tt.path[0], nil)
			req.Header.Set("Authorization", "Bearer by-hand")
			if _, err := base.Do(req); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("net/http has another rule (-want +got):\n%s", diff)
			}
			got = nil
			_, err := (&issuer{}).source(t, stssource.Refresh{}).Client(base).Get(tt.path[0])
			if tt.refused {
				if err == nil || !strings.Contains(err.Error(), "plain http") || len(got) != 1 {
					t.Errorf("got %v after %d requests, want a refusal", err, len(got))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("token sent (-want +got):\n%s", diff)
			}
		})
	}
}

// closeCounter is a body that counts how often it is closed.
type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error { c.closed++; return nil }

func TestTransportRefuses(t *testing.T) {
	never := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		t.Errorf("a request to %s was sent", r.URL.Host)
		return nil, errors.New("sent")
	})
	down, err := stssource.NewFromFunc((&issuer{fail: lasting}).fetch, stssource.Refresh{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		transport *stssource.Transport
		url       string
		want      string
	}{
		{"the network would see the token", &stssource.Transport{Source: (&issuer{}).source(t, stssource.Refresh{}), Base: never},
			"http://api.example.com/", "by plain http would show the token to the network: use https"},
		{"no source", &stssource.Transport{Base: never}, "https://api.example.com/", "Transport.Source is nil"},
		{"no token", &stssource.Transport{Source: down, Base: never}, "https://api.example.com/", "invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &closeCounter{Reader: strings.NewReader("x")}
			req, _ := http.NewRequest("POST", tt.url, body)
			_, err := tt.transport.RoundTrip(req)
			if _, ok := errors.AsType[*stssource.Error](err); !ok || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an *Error with %q", err, tt.want)
			}
			if body.closed != 1 {
				t.Errorf("the body was closed %d times, want once", body.closed)
			}
		})
	}
}

func TestTransportWaitsAsLongAsTheRequestsContext(t *testing.T) {
	hang, err := stssource.NewFromFunc((&issuer{latency: time.Hour}).fetch, stssource.Refresh{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://api.example.com/", nil)
	if _, err := hang.Client(nil).Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestCallersOwnAuthorizationIsLeftAlone(t *testing.T) {
	var got string
	base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Header.Get("Authorization")
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})}
	iss := &issuer{}
	req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
	req.Header.Set("Authorization", "Basic bWluZQ==")
	if _, err := iss.source(t, stssource.Refresh{}).Client(base).Do(req); err != nil {
		t.Fatal(err)
	}
	if got != "Basic bWluZQ==" || iss.count() != 0 {
		t.Errorf("Authorization %q after %d exchanges", got, iss.count())
	}
}

func TestRejectedTokenIsReplacedOnce(t *testing.T) {
	for _, tt := range []struct {
		name      string
		challenge string
		body      func() io.Reader
		rejected  int // how many requests the API rejects
		requests  int
		exchanges int
		status    int
	}{
		{"a Bearer challenge", `Bearer error="invalid_token"`, nil, 1, 2, 2, 200},
		{"a body that can be sent again", `bearer`, func() io.Reader { return strings.NewReader("body") }, 1, 2, 2, 200},
		{"a body that cannot", `Bearer`, func() io.Reader { return io.MultiReader(strings.NewReader("body")) }, 1, 1, 1, 401},
		{"rejected again: the answer is the API's", `Bearer`, nil, 9, 2, 2, 401},
		{"a second challenge of one field", `Basic realm="a, Bearer", Bearer error="invalid_token"`, nil, 1, 2, 2, 200},
		{"a word in a quoted string", `Basic realm="a, Bearer"`, nil, 1, 1, 1, 401},
		{"a scheme that only begins alike", `BearerX`, nil, 1, 1, 1, 401},
		{"another scheme", `Basic realm="x"`, nil, 1, 1, 1, 401},
		{"no challenge", "", nil, 1, 1, 1, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := &ststest.Handler{}
			requests := 0
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				if body, _ := io.ReadAll(r.Body); tt.body != nil && string(body) != "body" {
					t.Errorf("request %d has the body %q", requests, body)
				}
				if requests <= tt.rejected {
					if tt.challenge != "" {
						w.Header().Set("WWW-Authenticate", tt.challenge)
					}
					w.WriteHeader(http.StatusUnauthorized)
				}
			}))
			defer api.Close()
			src := newSource(t, service, nil)
			var body io.Reader
			if tt.body != nil {
				body = tt.body()
			}
			req, _ := http.NewRequest("PUT", api.URL, body)
			resp, err := src.Client(nil).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status || requests != tt.requests || len(service.Requests()) != tt.exchanges {
				t.Errorf("status %d after %d requests and %d exchanges, want %d, %d, %d",
					resp.StatusCode, requests, len(service.Requests()), tt.status, tt.requests, tt.exchanges)
			}
		})
	}
}

func TestTransportUnderAnotherOne(t *testing.T) {
	// A Config may be given a client that is authorized itself; its token
	// requests are not.
	service := &ststest.Handler{}
	outer := (&issuer{}).source(t, stssource.Refresh{})
	src := newSource(t, service, func(c *stssource.Config) { c.HTTPClient = outer.Client(c.HTTPClient) })
	mustToken(t, src)
	if r := service.Requests()[0]; r.Header.Get("Authorization") != "" || r.Problem != "" {
		t.Errorf("Authorization %q, problem %q", r.Header.Get("Authorization"), r.Problem)
	}
}

func TestWithHeader(t *testing.T) {
	var seen http.Header
	base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		seen = r.Header.Clone()
		for _, values := range r.Header {
			values[0] = "edited in place"
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})}
	iss := &issuer{}
	plain := iss.source(t, stssource.Refresh{})
	given := http.Header{"x-goog-user-project": {"project"}, "X-Other": {"other"}, "authorization": {"Bearer stray"}}
	src := plain.WithHeader(given).WithHeader(http.Header{"X-Other": {"newer"}})
	given["X-Other"][0] = "changed later"
	for _, tt := range []struct {
		name string
		src  *stssource.Source
		own  string // the request's own X-Other
		want http.Header
	}{
		{"added", src, "", http.Header{"Authorization": {"Bearer token-1"}, "X-Goog-User-Project": {"project"}, "X-Other": {"newer"}}},
		{"not shared with the request before", src, "", http.Header{"Authorization": {"Bearer token-1"}, "X-Goog-User-Project": {"project"}, "X-Other": {"newer"}}},
		{"the caller's own stay", src, "mine", http.Header{"Authorization": {"Bearer token-1"}, "X-Goog-User-Project": {"project"}, "X-Other": {"mine"}}},
		{"the source itself adds nothing, and has the same tokens", plain, "", http.Header{"Authorization": {"Bearer token-1"}}},
	} {
		req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
		if tt.own != "" {
			req.Header.Set("X-Other", tt.own)
		}
		if _, err := tt.src.Client(base).Do(req); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, seen); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// An API that rejects every token costs a few exchanges, not one for each
// request.
func TestAPIThatRejectsEveryToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 50 * time.Millisecond}
		base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Bearer"}}, Body: http.NoBody, Request: r}, nil
		})}
		client := iss.source(t, stssource.Refresh{}).Client(base)
		for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(100 * time.Millisecond) {
			resp, err := client.Get("https://api.example.com/")
			if err != nil || resp.StatusCode != 401 {
				t.Fatalf("got %v, %v", resp, err)
			}
		}
		if n := iss.count(); n > 10 || n < 2 {
			t.Errorf("%d exchanges in a minute of rejections, want 2 to 10", n)
		}
	})
}

// Rejections that are far apart have nothing to do with each other: the next one
// is mended after half a second as ever.
func TestRejectionsFarApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{lifetime: 24 * time.Hour}
		client := iss.source(t, stssource.Refresh{}).Client(&http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Bearer"}}, Body: http.NoBody, Request: r}, nil
		})})
		for i, pause := range []time.Duration{0, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute, time.Minute, time.Second} {
			time.Sleep(pause)
			before := iss.count()
			if _, err := client.Get("https://api.example.com/"); err != nil {
				t.Fatal(err)
			}
			if iss.count() == before {
				t.Errorf("request %d, %v after the one before: no new token was asked for", i, pause)
			}
		}
	})
}

func TestConcurrentRejectionsCauseOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: time.Second}
		src := iss.source(t, stssource.Refresh{})
		mustToken(t, src)
		base := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: r}
			if r.Header.Get("Authorization") == "Bearer token-1" {
				resp.StatusCode = 401
				resp.Header.Set("WWW-Authenticate", "Bearer")
			}
			return resp, nil
		})}
		client := src.Client(base)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				resp, err := client.Get("https://api.example.com/")
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("got %v, %v", resp, err)
				}
			})
		}
		wg.Wait()
		if n := iss.count(); n != 2 {
			t.Errorf("%d exchanges for 100 rejections of one token, want 2", n)
		}
	})
}

// Where a redirect came from must be known for a token to be sent.
func TestRedirectOfUnknownOrigin(t *testing.T) {
	for _, tt := range []struct {
		name  string
		chain func(*http.Request)
	}{
		{"a transport that does not set Response.Request", func(r *http.Request) { r.Response = &http.Response{} }},
		{"a request without a URL", func(r *http.Request) { r.Response = &http.Response{Request: &http.Request{}} }},
		{"a circle", func(r *http.Request) { r.Response = &http.Response{Request: r} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := http.NewRequest("GET", "https://evil.example/", nil)
			tt.chain(req)
			transport := &stssource.Transport{
				Source: (&issuer{}).source(t, stssource.Refresh{}),
				Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if got := r.Header.Get("Authorization"); got != "" {
						t.Errorf("%s was sent", got)
					}
					return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
				}),
			}
			if _, err := transport.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A rejection with a body that does not end, or with none at all, delays nobody.
func TestRejectionWithAStrangeBody(t *testing.T) {
	for name, body := range map[string]io.ReadCloser{"none": nil, "without an end": io.NopCloser(hanging{})} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			transport := &stssource.Transport{
				Source: (&issuer{}).source(t, stssource.Refresh{}),
				Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					if requests++; requests > 1 {
						return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
					}
					return &http.Response{StatusCode: 401, ContentLength: -1, Body: body, Request: r,
						Header: http.Header{"Www-Authenticate": {"Bearer"}}}, nil
				}),
			}
			req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
			resp, err := transport.RoundTrip(req)
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
}

// A Base that returns nothing at all is for net/http to complain about.
func TestBaseWithoutAnAnswer(t *testing.T) {
	client := (&issuer{}).source(t, stssource.Refresh{}).Client(&http.Client{
		Transport: roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil }),
	})
	if resp, err := client.Get("https://api.example.com/"); err == nil || !strings.Contains(err.Error(), "nil *Response") {
		t.Errorf("got %v, %v, want the error of net/http", resp, err)
	}
}

// A request that has lost its body, but not GetBody, is sent again without one.
func TestRejectionOfARequestWithoutItsBody(t *testing.T) {
	var bodies []string
	transport := &stssource.Transport{
		Source: (&issuer{}).source(t, stssource.Refresh{}),
		Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			body := ""
			if r.Body != nil {
				b, _ := io.ReadAll(r.Body)
				body = string(b)
			}
			bodies = append(bodies, body)
			return &http.Response{StatusCode: 401, Body: http.NoBody, Request: r, Header: http.Header{"Www-Authenticate": {"Bearer"}}}, nil
		}),
	}
	req, _ := http.NewRequest("POST", "https://api.example.com/", strings.NewReader("body"))
	req.Method, req.Body, req.ContentLength = "GET", nil, 0
	if _, err := transport.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"", ""}, bodies); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}

// hanging is a body that never ends.
type hanging struct{}

func (hanging) Read([]byte) (int, error) { select {} }

func TestCallersAuthorizationInAnySpelling(t *testing.T) {
	for _, header := range []http.Header{
		{"authorization": {"Basic bWluZQ=="}},
		{"Authorization": {""}},
	} {
		var got http.Header
		transport := &stssource.Transport{
			Source: (&issuer{}).source(t, stssource.Refresh{}),
			Base: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				got = r.Header
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
			}),
		}
		req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
		req.Header = header
		if _, err := transport.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(header, got); diff != "" {
			t.Errorf("the caller's own was changed (-want +got):\n%s", diff)
		}
	}
}

type idler struct {
	http.RoundTripper
	closed int
}

func (i *idler) CloseIdleConnections() { i.closed++ }

func TestCloseIdleConnectionsReachesBase(t *testing.T) {
	base := new(idler)
	(&issuer{}).source(t, stssource.Refresh{}).Client(&http.Client{Transport: base}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("the base was asked %d times, want once", base.closed)
	}
}

func TestUnmadeSource(t *testing.T) {
	for _, src := range []*stssource.Source{nil, new(stssource.Source)} {
		if _, err := src.Token(); err == nil || !strings.Contains(err.Error(), "was not made by New") {
			t.Errorf("got %v, want an error that names the cause", err)
		}
		src.Invalidate(&oauth2.Token{AccessToken: "a"})
		if src.Status().LastError == nil {
			t.Error("a Source that was not made has a good status")
		}
	}
	src := new(stssource.Source)
	body := &closeCounter{Reader: strings.NewReader("x")}
	req, _ := http.NewRequest("POST", "https://api.example.com/", body)
	if _, err := (&stssource.Transport{Source: src}).RoundTrip(req); err == nil || body.closed != 1 {
		t.Errorf("got %v, with the body closed %d times", err, body.closed)
	}
}

// A rejection while the token service is down: the API's answer is handed on,
// with its body.
func TestRejectionDuringAnOutage(t *testing.T) {
	for _, length := range []int64{-1, 6} {
		synctest.Test(t, func(t *testing.T) {
			var down atomic.Bool
			iss := &issuer{fail: func() error {
				if down.Load() {
					return passing()
				}
				return nil
			}}
			src := iss.source(t, stssource.Refresh{Timeout: 5 * time.Second})
			mustToken(t, src)
			down.Store(true)
			client := src.Client(&http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {"Bearer"}}, Request: r,
					ContentLength: length, Body: readCloser("reason")}, nil
			})})
			resp, err := client.Get("https://api.example.com/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 401 || string(body) != "reason" || err != nil {
				t.Errorf("got %d %q, %v; want the API's answer", resp.StatusCode, body, err)
			}
		})
	}
}

// Under a client that repeats requests, each attempt is authorized anew: put the
// Transport below it.
func TestBelowARetryingTransport(t *testing.T) {
	iss := &issuer{}
	src := iss.source(t, stssource.Refresh{})
	var sent []string
	base := roundTripFunc(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		sent = append(sent, r.Header.Get("Authorization")+" "+string(body))
		src.Invalidate(&oauth2.Token{AccessToken: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")})
		if len(sent) < 3 {
			return nil, errors.New("connection reset")
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})
	retrying := roundTripFunc(func(r *http.Request) (resp *http.Response, err error) {
		for range 3 {
			again := r.Clone(r.Context())
			again.Body, _ = r.GetBody()
			if resp, err = (&stssource.Transport{Source: src, Base: base}).RoundTrip(again); err == nil {
				break
			}
		}
		return resp, err
	})
	resp, err := (&http.Client{Transport: retrying}).Post("https://api.example.com/", "text/plain", strings.NewReader("body"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("got %v, %v", resp, err)
	}
	if diff := cmp.Diff([]string{"Bearer token-1 body", "Bearer token-2 body", "Bearer token-3 body"}, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

// An upgraded connection can be read and written, over HTTP/1.1; HTTP/2 and its
// trailers work.
func TestUpgradeAndHTTP2(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token-1" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Header.Get("Upgrade") == "" {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, r.Proto)
			w.Header().Set("X-Sum", "1")
			return
		}
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.CopyN(conn, rw, 4)
	})
	src := (&issuer{}).source(t, stssource.Refresh{})

	plain := httptest.NewServer(handler)
	defer plain.Close()
	req, _ := http.NewRequest("GET", plain.URL, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := src.Client(nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	stream, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		t.Fatalf("status %d, a body that can be written: %v", resp.StatusCode, ok)
	}
	defer stream.Close()
	if _, err := io.WriteString(stream, "ping"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(stream); string(got) != "ping" {
		t.Errorf("the echo is %q, %v", got, err)
	}

	h2 := httptest.NewUnstartedServer(handler)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	defer h2.Close()
	resp, err = src.Client(h2.Client()).Get(h2.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if string(body) != "HTTP/2.0" || resp.Trailer.Get("X-Sum") != "1" {
		t.Errorf("got %q, trailer %v", body, resp.Trailer)
	}
}
