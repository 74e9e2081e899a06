package ststest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

// body is a request body that tells whether it was closed.
type body struct {
	io.Reader
	closed chan struct{}
}

func newBody(r io.Reader) *body { return &body{r, make(chan struct{})} }

func (b *body) Close() error {
	close(b.closed) // a second time panics
	return nil
}

// over is a RoundTrip of a request to handler in memory.
func over(handler http.HandlerFunc, r *http.Request) (*http.Response, error) {
	return ststest.RoundTripper(handler).RoundTrip(r)
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTripperShowsTheRequestAsAServerSeesIt(t *testing.T) {
	type seen struct {
		Method, Host, URI, Path, Query, Body string
		Header                               http.Header
	}
	var got seen
	handler := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = seen{r.Method, r.Host, r.RequestURI, r.URL.Path, r.URL.RawQuery, string(b), r.Header}
		r.Header.Set("X-Changed", "by the handler")
	}
	for _, test := range []struct {
		reason string
		change func(*http.Request)
		want   seen
	}{
		{"as it is", func(r *http.Request) {},
			seen{"PUT", "api.test:8443", "/a%2Fb?c=d", "/a/b", "c=d", "body", http.Header{"X-Id": {"1"}}}},
		{"a host of its own", func(r *http.Request) { r.Host = "other.test" },
			seen{"PUT", "other.test", "/a%2Fb?c=d", "/a/b", "c=d", "body", http.Header{"X-Id": {"1"}}}},
		{"fields that may be left out", func(r *http.Request) { r.Method, r.Host, r.Body, r.Header = "", "", nil, nil },
			seen{"GET", "api.test:8443", "/a%2Fb?c=d", "/a/b", "c=d", "", http.Header{}}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRequest(t, "PUT", "https://user@api.test:8443/a%2Fb?c=d#part", strings.NewReader("body"))
			r.Header.Set("X-Id", "1")
			test.change(r)
			response, err := over(handler, r)
			if err != nil {
				t.Fatal(err)
			}
			read(t, response)
			got.Header.Del("X-Changed")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("request mismatch (-want +got):\n%s", diff)
			}
			if r.Header.Get("X-Changed") != "" {
				t.Error("the handler changed the caller's header")
			}
		})
	}
}

func TestRoundTripperReturnsTheResponse(t *testing.T) {
	for _, test := range []struct {
		reason  string
		handler http.HandlerFunc
		want    answered
		length  int64
	}{
		{"nothing is an empty 200", func(http.ResponseWriter, *http.Request) {}, answered{200, http.Header{}, ""}, -1},
		{"a body is a 200", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Id", "1")
			io.WriteString(w, "")
			io.WriteString(w, "a")
			io.WriteString(w, "b")
		}, answered{200, http.Header{"X-Id": {"1"}}, "ab"}, -1},
		{"the first status counts, and the header of that time", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(100)
			w.WriteHeader(404)
			w.WriteHeader(500)
			w.Header().Set("X-Id", "1")
		}, answered{404, http.Header{}, ""}, -1},
		{"a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			io.WriteString(w, "a")
		}, answered{200, http.Header{"Content-Length": {"1"}}, "a"}, 1},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRequest(t, "GET", "https://api.test/", nil)
			response, err := over(test.handler, r)
			if err != nil {
				t.Fatal(err)
			}
			if response.ContentLength != test.length || response.Request != r || !response.ProtoAtLeast(1, 1) {
				t.Errorf("length %d, request %p, protocol %s", response.ContentLength, response.Request, response.Proto)
			}
			if want := http.StatusText(test.want.Status); !strings.HasSuffix(response.Status, " "+want) {
				t.Errorf("status %q, want %q in it", response.Status, want)
			}
			if diff := cmp.Diff(test.want, read(t, response)); diff != "" {
				t.Errorf("response mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer to HEAD, or with a status that has no body, is what a connection
// makes of it, whether or not the handler writes one.
func TestRoundTripperWithoutBody(t *testing.T) {
	writes := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			if _, err := io.WriteString(w, "hello"); (err == nil) != (status == 200) {
				t.Errorf("writing the body of a %d: %v", status, err)
			}
		}
	}
	for _, test := range []struct {
		reason, method string
		handler        http.HandlerFunc
	}{
		{"HEAD of a handler that knows it", "HEAD", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("hello"))
		}},
		{"HEAD of one that does not", "HEAD", writes(200)},
		{"HEAD of one that tells the length alone", "HEAD", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") }},
		{"no content", "GET", writes(204)},
		{"not modified", "GET", writes(304)},
	} {
		t.Run(test.reason, func(t *testing.T) {
			server := httptest.NewServer(test.handler)
			defer server.Close()
			request := newRequest(t, test.method, server.URL, nil)
			want, err := server.Client().Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := over(test.handler, request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(read(t, want).Body, read(t, got).Body); diff != "" || got.StatusCode != want.StatusCode {
				t.Errorf("status %d, want %d, body (-want +got):\n%s", got.StatusCode, want.StatusCode, diff)
			}
		})
	}
}

func TestRoundTripperStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		response, err := over(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			io.Copy(w, r.Body)
		}, newRequest(t, "POST", "https://api.test/", in))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for _, word := range []string{"there", "back"} {
			io.WriteString(out, word)
			b := make([]byte, len(word))
			if _, err := io.ReadFull(response.Body, b); err != nil || string(b) != word {
				t.Fatalf("read %q, %v; want %q", b, err, word)
			}
		}
		out.Close()
		if n, err := response.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d, %v at the end", n, err)
		}
	})
}

func TestRoundTripperClosesTheBody(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		reason  string
		change  func(*http.Request)
		handler http.HandlerFunc
	}{
		{"when the handler does not", func(*http.Request) {}, func(http.ResponseWriter, *http.Request) {}},
		{"once, when the handler does", func(*http.Request) {}, func(_ http.ResponseWriter, r *http.Request) { r.Body.Close() }},
		{"of a request without a URL", func(r *http.Request) { r.URL = nil }, nil},
		{"of a request with a URL that no server takes", func(r *http.Request) { r.URL.Opaque = "x" }, nil},
		{"of a request that is cancelled already", func(r *http.Request) { *r = *r.WithContext(cancelled) }, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			b := newBody(strings.NewReader("x"))
			r := newRequest(t, "POST", "https://api.test/", b)
			test.change(r)
			response, err := over(test.handler, r)
			if (err != nil) != (test.handler == nil) {
				t.Errorf("error %v", err)
			}
			if err == nil {
				response.Body.Close()
			}
			<-b.closed
		})
	}
}

func TestRoundTripperEndsWithTheContext(t *testing.T) {
	for _, test := range []struct {
		reason  string
		handler func(release <-chan struct{}) http.HandlerFunc
	}{
		{"while the handler reads", func(<-chan struct{}) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }
		}},
		{"while the handler waits for the client", func(<-chan struct{}) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}},
		{"while the handler does something else", func(release <-chan struct{}) http.HandlerFunc {
			return func(http.ResponseWriter, *http.Request) { <-release }
		}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				in, _ := io.Pipe() // never written to
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
				defer cancel()
				start := time.Now()
				response, err := over(test.handler(release), newRequest(t, "POST", "https://api.test/", in).WithContext(ctx))
				if response != nil || err != errCause {
					t.Errorf("%v, %v; want %v", response, err, errCause)
				}
				if got := time.Since(start); got != time.Second {
					t.Errorf("gave up after %v", got)
				}
			})
		})
	}
}

var errCause = errors.New("the cause")

func TestRoundTripperEndsAWriteWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if the handler stays
		ctx, cancel := context.WithCancelCause(t.Context())
		response, err := over(func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
			}
		}, newRequest(t, "GET", "https://api.test/", nil).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		cancel(errCause)
		synctest.Wait()
		if _, err := response.Body.Read(make([]byte, 1)); err != errCause {
			t.Errorf("%v, want %v", err, errCause)
		}
	})
}

func TestRoundTripperKeepsAFinishedAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	response, err := over(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "whole") },
		newRequest(t, "GET", "https://api.test/", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, response).Body; got != "whole" {
		t.Errorf("body %q", got)
	}
	cancel()
	if n, err := response.Body.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("%d, %v after the end", n, err)
	}
}

func TestRoundTripperCancelsTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var inside context.Context
		response, err := over(func(_ http.ResponseWriter, r *http.Request) { inside = r.Context() },
			newRequest(t, "GET", "https://api.test/", nil))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		synctest.Wait()
		if inside.Err() == nil {
			t.Error("the context outlives the handler")
		}
	})
}

func TestRoundTripperLeavesNothingOfAnEmptyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if the handler stays
		h := new(ststest.Handler)
		h.Script(ststest.Reply{Status: 503})
		response, err := h.RoundTripper().RoundTrip(validRFC().request(t).WithContext(context.Background()))
		if err != nil || response.StatusCode != 503 {
			t.Errorf("%v, %v", response, err)
		}
	})
}
