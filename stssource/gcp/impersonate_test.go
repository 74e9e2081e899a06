package gcp_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
)

const generate = "/v1/projects/-/serviceAccounts/" + robot + ":generateAccessToken"

func (w *world) impersonate(t *testing.T, source oauth2.TokenSource, change func(*gcp.ImpersonateConfig)) *stssource.Source {
	t.Helper()
	c := gcp.ImpersonateConfig{ServiceAccount: robot, HTTPClient: w.client()}
	if change != nil {
		change(&c)
	}
	src, err := gcp.Impersonate(source, c)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestImpersonateRequest(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*gcp.ImpersonateConfig)
		host   string
		body   map[string]any
		life   time.Duration
	}{
		{"default", nil, "", map[string]any{"scope": []any{gcp.CloudPlatform}, "lifetime": "3600s"}, time.Hour},
		{
			"all", func(c *gcp.ImpersonateConfig) {
				c.Scopes, c.Lifetime, c.Delegates, c.Universe = []string{"a~", "b"}, 12*time.Hour, []string{"d@p.iam.gserviceaccount.com", "123"}, "universe.example"
			},
			"iamcredentials.universe.example", map[string]any{
				"scope": []any{"a~", "b"}, "lifetime": "43200s",
				"delegates": []any{"projects/-/serviceAccounts/d@p.iam.gserviceaccount.com", "projects/-/serviceAccounts/123"},
			}, 12 * time.Hour,
		},
		{
			"URL alone", func(c *gcp.ImpersonateConfig) {
				*c = gcp.ImpersonateConfig{HTTPClient: c.HTTPClient, URL: "https://us-east1-iamcredentials.googleapis.com" + generate, Lifetime: 10 * time.Minute}
			},
			"us-east1-iamcredentials.googleapis.com", map[string]any{"scope": []any{gcp.CloudPlatform}, "lifetime": "600s"}, 10 * time.Minute,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				token := mustToken(t, w.impersonate(t, w.issued(t), tt.change))
				want := []iamCall{{
					Host: or(tt.host, "iamcredentials.googleapis.com"), Path: generate,
					Authorization: "Bearer " + w.request(t).AccessToken, Body: tt.body,
				}}
				if diff := cmp.Diff(want, w.iamCalls()); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
				if token.AccessToken != "sa-token~1" || token.TokenType != "Bearer" || time.Until(token.Expiry) != tt.life {
					t.Errorf("got %s %s for %v", token.TokenType, token.AccessToken, time.Until(token.Expiry))
				}
			})
		})
	}
}

// Both tokens are kept: a new one of the service account, every ten minutes,
// does not take a new federated one.
func TestImpersonateIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		src := w.impersonate(t, w.issued(t), func(c *gcp.ImpersonateConfig) { c.Lifetime = 10 * time.Minute })
		for range 55 {
			mustToken(t, src)
			time.Sleep(time.Minute)
		}
		if calls, exchanges := len(w.iamCalls()), len(w.sts.Requests()); calls < 6 || calls > 8 || exchanges > 2 {
			t.Errorf("%d calls and %d exchanges in 55 minutes", calls, exchanges)
		}
	})
}

func TestImpersonateRetries(t *testing.T) {
	for _, tt := range []struct {
		name  string
		reply ststest.Reply
		calls int // until there is a token; zero: there is none
		want  string
	}{
		{"an outage", ststest.Reply{Status: 503, Body: `{"error":{"code":503,"message":"try later","status":"UNAVAILABLE"}}`}, 2, ""},
		{"too many requests", ststest.Reply{Status: 429}, 2, ""},
		{"a proxy", ststest.Reply{Status: 502, Body: "<html>bad gateway</html>"}, 2, ""},
		{"refused", ststest.Reply{Status: 403, Body: `{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED"}}`}, 0,
			"stssource: impersonation with iamcredentials.googleapis.com: 403 PERMISSION_DENIED: Permission denied (check that " + robot +
				" exists and that the caller has roles/iam.workloadIdentityUser or roles/iam.serviceAccountTokenCreator on it)"},
		{"refused by a page", ststest.Reply{Status: 400, Body: "<html>no"}, 0, "400: an HTML page: something other than Google's service answered"},
		{"refused without a word", ststest.Reply{Status: 400}, 0, "400: no reason given"},
		{"refused with a message alone", ststest.Reply{Status: 400, Body: `{"error":{"message":"no such thing"}}`}, 0, "400: no such thing"},
		{"refused with bytes", ststest.Reply{Status: 400, Body: "\x00canary"}, 0, "400: no reason given"},
		{"a redirect to nowhere", ststest.Reply{Status: 308}, 0, `308: a redirect to "nowhere" was refused`},
		{"refused in plain text", ststest.Reply{Status: 400, Body: "nope"}, 0, "400: nope"},
		{"a redirect", ststest.Reply{Status: 307, Header: http.Header{"Location": {"https://evil.example/?x"}}}, 0, `307: a redirect to "evil.example" was refused`},
		{"not JSON", ststest.Reply{Status: 200, Body: "hello"}, 0, "the answer is not a JSON object with an accessToken"},
		{"no token", ststest.Reply{Status: 200, Body: `{"expireTime":"2100-01-01T00:00:00Z"}`}, 0, "the answer is not a JSON object with an accessToken"},
		{"no end", ststest.Reply{Status: 200, Body: `{"accessToken":"canary-token"}`}, 0, "the expireTime of the answer is not a time"},
		{"a token in two lines", ststest.Reply{Status: 200, Body: `{"accessToken":"canary\ntoken","expireTime":"2100-01-01T00:00:00Z"}`}, 0, "has characters that a token cannot have"},
		{"an endless answer", ststest.Reply{Status: 200, Body: strings.Repeat("canary", 1<<18)}, 0, "the body is larger than 1048576 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.answer(tt.reply)
				token, err := w.impersonate(t, w.issued(t), nil).Token()
				if tt.calls == 0 {
					checkMentions(t, err, tt.want)
					e, ok := errors.AsType[*stssource.Error](err)
					if !ok || e.Stage != gcp.StageImpersonation || e.Host != "iamcredentials.googleapis.com" || e.StatusCode != tt.reply.Status || e.Temporary {
						t.Errorf("got %#v", e)
					}
					if strings.Contains(fmt.Sprintf("%+v %#v", err, e), "canary") {
						t.Errorf("the error shows the answer: %v", err)
					}
					tt.calls = 1
				} else if err != nil || token.AccessToken != "sa-token~2" {
					t.Errorf("got %v, %v", token, err)
				}
				if n := len(w.iamCalls()); n != tt.calls {
					t.Errorf("%d calls, want %d", n, tt.calls)
				}
			})
		})
	}
}

// A federated token that is rejected is replaced at once, and only once.
func TestImpersonateRejectedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		source := w.issued(t)
		w.sts.Revoke(mustToken(t, source).AccessToken)
		mustToken(t, w.impersonate(t, source, nil))
		if calls, exchanges := len(w.iamCalls()), len(w.sts.Requests()); calls != 2 || exchanges != 2 {
			t.Errorf("%d calls and %d exchanges, want 2 and 2", calls, exchanges)
		}

		w = newWorld()
		w.answer(ststest.Reply{Status: 401}, ststest.Reply{Status: 401}, ststest.Reply{Status: 401})
		_, err := w.impersonate(t, w.issued(t), nil).Token()
		checkMentions(t, err, "401", "the token of the source was not accepted: check its scopes")
		if calls := len(w.iamCalls()); calls != 2 {
			t.Errorf("%d calls, want 2", calls)
		}

		// A source that cannot be told gives the same token again.
		w = newWorld()
		_, err = w.impersonate(t, lasting(time.Hour), nil).Token()
		checkMentions(t, err, "401 UNAUTHENTICATED: invalid credentials")
		if calls := len(w.iamCalls()); calls != 1 {
			t.Errorf("%d calls, want 1", calls)
		}
	})
}

// If the source fails, no call is made, and the error is the source's own.
func TestImpersonateSourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sts.Script(ststest.Reply{Error: "invalid_target", Times: -1})
		_, err := w.impersonate(t, w.issued(t), nil).Token()
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || e.Stage != stssource.StageExchange || e.Host != "sts.googleapis.com" || e.Code != "invalid_target" {
			t.Errorf("got %#v", err)
		}

		cause := errors.New("the cause")
		asked := 0
		_, err = w.impersonate(t, sourceFunc(func() (*oauth2.Token, error) { asked++; return nil, cause }), nil).Token()
		e, ok = errors.AsType[*stssource.Error](err)
		if !ok || e.Stage != gcp.StageImpersonation || !errors.Is(err, cause) || asked != 1 {
			t.Errorf("got %v after asking %d times", err, asked)
		}

		// A source whose failure passes is asked again.
		asked = 0
		mustToken(t, w.impersonate(t, sourceFunc(func() (*oauth2.Token, error) {
			if asked++; asked == 1 {
				return nil, &oauth2.RetrieveError{Response: &http.Response{StatusCode: 503}}
			}
			w.answer(ststest.Reply{Status: 200, Body: `{"accessToken":"t","expireTime":"2100-01-01T00:00:00Z"}`})
			return &oauth2.Token{AccessToken: "s"}, nil
		}), nil))
		if n := len(w.iamCalls()); n != 1 || asked != 2 {
			t.Errorf("%d calls, asked %d times", n, asked)
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Network errors are retried, but not those about who is at the other end; none
// shows the token.
func TestImpersonateNetworkErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		tries int
	}{
		{"reset", errors.New("connection reset"), 4},
		{"certificate", &tls.CertificateVerificationError{Err: errors.New("unknown authority")}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				src := newWorld().impersonate(t, lasting(time.Hour), func(c *gcp.ImpersonateConfig) {
					c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
						tries++
						return nil, fmt.Errorf("%w: %v", tt.err, r.Header)
					})}
				})
				_, err := src.Token()
				if !errors.Is(err, tt.err) || tries != tt.tries {
					t.Errorf("got %v after %d tries, want %d", err, tries, tt.tries)
				}
				if text := fmt.Sprintf("%+v", err); strings.Contains(text, "source-token") || strings.Contains(text, generate) {
					t.Errorf("the error shows the token or the URL: %v", err)
				}
			})
		})
	}
}

// A service that does not answer is asked again before the deadline of all, after
// 15 seconds or the client's own timeout.
func TestImpersonateHang(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{0: 15 * time.Second, 25 * time.Second: 25 * time.Second} {
		testHang(t, timeout, want)
	}
}

func testHang(t *testing.T, timeout, want time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		tries := 0
		src := w.impersonate(t, w.issued(t), func(c *gcp.ImpersonateConfig) {
			c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				if tries++; tries == 1 {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return w.client().Transport.RoundTrip(r)
			}), Timeout: timeout}
		})
		start := time.Now()
		mustToken(t, src)
		if took := time.Since(start); took < want || took > want+5*time.Second {
			t.Errorf("took %v, want %v", took, want)
		}
	})
}

// What a service echoes is hidden: in the message, the fields and the cause.
func TestImpersonateEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newWorld().impersonate(t, lasting(time.Hour), func(c *gcp.ImpersonateConfig) {
			c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				echo := r.Header.Get("Authorization")
				body := fmt.Sprintf(`{"error":{"code":400,"message":%q,"status":%q}}`, echo, echo)
				return &http.Response{StatusCode: 400, Header: http.Header{"Www-Authenticate": {echo}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
			})}
		})
		_, err := src.Token()
		e, _ := errors.AsType[*stssource.Error](err)
		r, _ := errors.AsType[*oauth2.RetrieveError](err)
		if e == nil || r == nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%v %+v %#v %+v %s %v", err, *e, *e, *r, r.Body, r.Response.Header)
		if strings.Contains(text, "source-token") || !strings.Contains(err.Error(), "[redacted]") || !strings.Contains(string(r.Body), `"code":400`) {
			t.Errorf("a token shows: %s", text)
		}
	})
}

// The API is not asked again before the time that it names.
func TestImpersonateRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		source := w.issued(t)
		w.answer(ststest.Reply{Status: 429, Header: http.Header{"Retry-After": {"7"}}, Body: `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`})
		begin := time.Now()
		mustToken(t, w.impersonate(t, source, nil))
		if took := time.Since(begin); took != 7*time.Second {
			t.Errorf("asked again after %v, want 7 s", took)
		}
	})
}

// A redirect can echo the token as well, in the name of its host.
func TestImpersonateRedirectEcho(t *testing.T) {
	w := newWorld()
	w.answer(ststest.Reply{Status: 307, Header: http.Header{"Location": {"https://source-token.evil.example/"}}})
	_, err := w.impersonate(t, lasting(time.Hour), nil).Token()
	checkMentions(t, err, "evil.example", "a redirect to", "[redacted]")
	if strings.Contains(err.Error(), "source-token") {
		t.Errorf("the token shows: %v", err)
	}
}

func TestImpersonateMistakes(t *testing.T) {
	_, err := gcp.Impersonate(nil, gcp.ImpersonateConfig{
		ServiceAccount: "a/b", Delegates: []string{""}, Scopes: []string{""}, Lifetime: 13 * time.Hour, Universe: "x", Refresh: stssource.Refresh{Before: -1},
	})
	checkMentions(t, err, "gcp: invalid ImpersonateConfig: ", `ServiceAccount: "a/b" is not the email address of a service account`,
		`Delegates: element 0, ""`, `Scopes: element 0, ""`, "Lifetime: 13h0m0s is not between 600 and 43200 whole seconds",
		`Universe: "x" is not a domain`, "source: is nil", "Refresh.Before is negative")
	for _, tt := range []struct {
		c    gcp.ImpersonateConfig
		want string
	}{
		{gcp.ImpersonateConfig{}, "ServiceAccount: is empty"},
		{gcp.ImpersonateConfig{ServiceAccount: robot, Lifetime: 600*time.Second + 1}, "Lifetime: "},
		{gcp.ImpersonateConfig{ServiceAccount: robot, Lifetime: -1}, "Lifetime: "},
		{gcp.ImpersonateConfig{URL: strings.TrimSuffix("https://iamcredentials.googleapis.com"+generate, ":generateAccessToken")}, "URL: the path is not"},
		{gcp.ImpersonateConfig{URL: "https://iamcredentials.googleapis.com/robot@p.iam.gserviceaccount.com:generateAccessToken"}, "URL: the path is not"},
		{gcp.ImpersonateConfig{URL: "http://iamcredentials.googleapis.com" + generate}, "URL: plain http"},
		{gcp.ImpersonateConfig{URL: "https://iamcredentials.googleapis.com" + generate + "x"}, "URL: the path is not that of impersonation"},
		{gcp.ImpersonateConfig{URL: "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a%2fb:generateAccessToken"}, "URL: the path is not that of impersonation"},
		{gcp.ImpersonateConfig{ServiceAccount: "other@p.iam.gserviceaccount.com", URL: "https://iamcredentials.googleapis.com" + generate},
			`URL: names the service account "` + robot + `", and ServiceAccount is another`},
	} {
		_, err := gcp.Impersonate(lasting(0), tt.c)
		checkMentions(t, err, tt.want)
	}
}
