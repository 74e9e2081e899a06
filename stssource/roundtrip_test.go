package stssource_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
)

// What the exchange asks is a RoundTripper of the caller's, and no http.Client:
// these tests are of what a client would have done, and of what transports do.

// over has src ask transport.
func over(t *testing.T, transport roundTripFunc, edit func(*stssource.Config)) *stssource.Source {
	t.Helper()
	return newSource(t, &ststest.Handler{}, func(c *stssource.Config) {
		c.HTTPClient = &http.Client{Transport: transport, Timeout: 3 * time.Second}
		c.Refresh.Timeout = 5 * time.Second
		if edit != nil {
			edit(c)
		}
	})
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body))}
}

func TestBodiesAreClosed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
	}{
		{"a token", 200, `{"access_token":"a","token_type":"Bearer","expires_in":60}`},
		{"no JSON", 200, "hello"},
		{"a refusal with 200", 200, `{"error":"invalid_client"}`},
		{"a refusal", 400, `{"error":"invalid_client"}`},
		{"a redirect", 302, ""},
		{"too much", 200, strings.Repeat("x", 1<<20+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &closeCounter{Reader: strings.NewReader(tt.body)}
				src := over(t, func(*http.Request) (*http.Response, error) {
					r := answer(tt.status, "")
					r.Body = body
					return r, nil
				}, nil)
				_, _ = src.Token()
				if body.closed == 0 {
					t.Error("the body was left open, and its connection with it")
				}
			})
		})
	}
}

// stalling is a body that does not come to its end while ctx goes on.
type stalling struct{ ctx context.Context }

func (s stalling) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (stalling) Close() error               { return nil }

// Whatever a transport makes of the end of its time, the error has the deadline,
// how long there was no answer, what the transport said, and no URL.
func TestTransportsThatRunOutOfTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		wait func(r *http.Request) (*http.Response, error)
		says string
	}{
		{"as net/http has it", func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() }, ""},
		{"in words of its own", func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("upstream: %v", r.Context().Err())
		}, "upstream: "},
		{"as a cancellation", func(*http.Request) (*http.Response, error) { return nil, context.Canceled }, "context canceled"},
		{"by an http.Client within", func(r *http.Request) (*http.Response, error) {
			inner := &url.Error{Op: "Post", URL: r.URL.String(), Err: r.Context().Err()}
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: inner}
		}, ""},
		{"by an http.Client within, in words of its own", func(r *http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("gateway: %w", &url.Error{Op: "Post", URL: "https://gateway.example/x?key=canary-key", Err: r.Context().Err()})
		}, "gateway: "},
		{"in the body", func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: stalling{r.Context()}}, nil
		}, "reading the answer: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := over(t, func(r *http.Request) (*http.Response, error) {
					if tt.name != "in the body" {
						<-r.Context().Done()
					}
					return tt.wait(r)
				}, func(c *stssource.Config) { c.Query = url.Values{"key": {"canary-key"}} })
				_, err := src.Token()
				time.Sleep(time.Minute) // for what is under way to end
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want one that is the deadline", err)
				}
				for _, want := range []string{"no answer after ", tt.says} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q in it", err, want)
					}
				}
				for _, secret := range []string{"canary-key", "/token"} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error shows the URL: %v", err)
					}
				}
			})
		})
	}
}

// The most likely mistake in a URL is told in net/http's own words.
func TestServerWithoutTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	src := newSource(t, &ststest.Handler{}, func(c *stssource.Config) {
		c.TokenURL = strings.Replace(server.URL, "http:", "https:", 1)
		c.HTTPClient = nil
		c.Refresh.Timeout = time.Second
	})
	_, err := src.Token()
	if e, ok := errors.AsType[*stssource.Error](err); !ok || e.Temporary || !errors.Is(err, http.ErrSchemeMismatch) {
		t.Errorf("got %v, want %v, and that it lasts", err, http.ErrSchemeMismatch)
	}
}

// A transport may add its Authorization header to the request that it was given,
// although it must not.
func TestStrayAuthorizationInPlace(t *testing.T) {
	src := over(t, func(r *http.Request) (*http.Response, error) {
		r.Header.Set("Authorization", "Bearer stray")
		return answer(400, `{"error":"invalid_request"}`), nil
	}, nil)
	if _, err := src.Token(); err == nil || !strings.Contains(err.Error(), "Config.HTTPClient adds an Authorization header") {
		t.Errorf("got %v, want an error that names the cause", err)
	}
}

// The query of TokenURL and that of Query are both sent.
func TestQueries(t *testing.T) {
	var got url.Values
	src := over(t, func(r *http.Request) (*http.Response, error) {
		got = r.URL.Query()
		return answer(400, `{"error":"x"}`), nil
	}, func(c *stssource.Config) {
		c.TokenURL += "?a=1"
		c.Query = url.Values{"b": {"2", "3"}}
	})
	_, _ = src.Token()
	if diff := cmp.Diff(url.Values{"a": {"1"}, "b": {"2", "3"}}, got); diff != "" {
		t.Errorf("query mismatch (-want +got):\n%s", diff)
	}
}

// Audiences are sent in their order, however many there are.
func TestOrderOfAudiences(t *testing.T) {
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprint("audience-", 40-i))
	}
	service := &ststest.Handler{}
	mustToken(t, newSource(t, service, func(c *stssource.Config) { c.Audiences = slices.Clone(want) }))
	if diff := cmp.Diff(want, service.Requests()[0].Params["audience"]); diff != "" {
		t.Errorf("audiences mismatch (-want +got):\n%s", diff)
	}
}

// A service may quote what it was sent without the scheme before it, and a refusal
// with 200 may have a token in it.
func TestRefusalsThatQuote(t *testing.T) {
	// Not aligned with the base64 of the secret alone, which is hidden, too.
	credentials := base64.StdEncoding.EncodeToString([]byte("id42:canary-secret"))
	for _, tt := range []struct {
		status int
		body   string
		secret string
	}{
		{401, `{"error":"invalid_client","error_description":"do not know ` + credentials + `"}`, credentials},
		{200, `{"error":"invalid_client","access_token":"canary-opaque-token","token_type":"mac"}`, "canary-opaque-token"},
	} {
		src := over(t, func(*http.Request) (*http.Response, error) { return answer(tt.status, tt.body), nil },
			func(c *stssource.Config) { c.ClientID, c.ClientSecret = "id42", "canary-secret" })
		_, err := src.Token()
		r, ok := errors.AsType[*oauth2.RetrieveError](err)
		if !ok {
			t.Fatalf("got %v, want an *oauth2.RetrieveError", err)
		}
		if text := fmt.Sprintf("%v %+v %s", err, *r, r.Body); strings.Contains(text, tt.secret) {
			t.Errorf("the error shows %s: %s", tt.secret, text)
		}
	}
}

// A service quotes what it was sent in the way of its own language; a secret with
// a slash or a plus among its first characters is no less one.
func TestRefusalsThatQuoteInTheirOwnWay(t *testing.T) {
	const tail = "hijklmnopqrstuvwxyz0123456789ABCD="
	for name, quoted := range map[string]string{
		"a slash, as PHP has it":         `ab\/cd+efg` + tail,
		"a plus, as .NET has it":         `ab/cd\u002Befg` + tail,
		"a page of HTML":                 `<p>ab/cd&#43;efghijklmnopqrstuvwxyz0123456789ABCD&#61;</p>`,
		"percent signs in small letters": `ab%2fcd%2befg` + tail,
	} {
		for _, body := range []string{`{"error":"invalid_client","error_description":"` + quoted + `"}`, `{"message":"` + quoted + `"}`} {
			src := over(t, func(*http.Request) (*http.Response, error) { return answer(401, body), nil },
				func(c *stssource.Config) { c.ClientID, c.ClientSecret = "id42", "ab/cd+efg"+tail })
			_, err := src.Token()
			r, ok := errors.AsType[*oauth2.RetrieveError](err)
			if !ok {
				t.Fatalf("%s: got %v, want an *oauth2.RetrieveError", name, err)
			}
			if text := fmt.Sprintf("%v %+v %s", err, *r, r.Body); strings.Contains(text, "opqrst") {
				t.Errorf("%s: the error shows the secret: %s", name, text)
			}
		}
	}
}

// An API key is a secret however short it is, and by both of its names.
func TestRefusalThatQuotesTheKey(t *testing.T) {
	for _, name := range []string{"key", "$key"} {
		src := over(t, func(*http.Request) (*http.Response, error) {
			return answer(400, `{"error":"invalid_request","error_description":"API key k3y-0 is not valid"}`), nil
		}, func(c *stssource.Config) { c.Query = url.Values{name: {"k3y-0"}} })
		if _, err := src.Token(); err == nil || strings.Contains(err.Error(), "k3y") || !strings.Contains(err.Error(), "is not valid") {
			t.Errorf("%s: got %v, want the refusal without the key", name, err)
		}
	}
}
