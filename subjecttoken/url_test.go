package subjecttoken_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// roundTrip is a transport without a network, which also works in a bubble.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// answers gives one answer after the other, the last for ever, and counts.
func answers(asked *int, list ...func() (*http.Response, error)) *http.Client {
	return &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		i := min(*asked, len(list)-1)
		*asked++
		return list[i]()
	})}
}

func status(code int, retryAfter ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		res := answer(code, canary)
		if code == http.StatusOK {
			res = answer(code, "token")
		}
		res.Header["Retry-After"] = retryAfter
		return res, nil
	}
}

func broken(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

func cut() (*http.Response, error) {
	body := io.MultiReader(strings.NewReader(canary), errReader{})
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body)}, nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestURLRequest(t *testing.T) {
	for _, row := range []struct {
		name   string
		header http.Header
		field  string
		want   http.Header
		host   string
	}{
		{name: "text", want: http.Header{"Accept": {"*/*"}}, host: "token.test"},
		{name: "JSON", field: "t", want: http.Header{"Accept": {"application/json"}}, host: "token.test"},
		{
			name:   "the caller's header wins, in any case",
			header: http.Header{"accept": {"a"}, "Metadata": {"true"}, "X-Two": {"a", "b"}}, field: "t",
			want: http.Header{"Accept": {"a"}, "Metadata": {"true"}, "X-Two": {"a", "b"}}, host: "token.test",
		},
		{name: "Host is not a header to net/http", header: http.Header{"Host": {"other.test"}}, want: http.Header{"Accept": {"*/*"}}, host: "other.test"},
	} {
		t.Run(row.name, func(t *testing.T) {
			given := row.header.Clone()
			var got http.Header
			u := subjecttoken.URL{URL: "https://token.test/a%2Fb?q=1", Header: row.header, JSONField: row.field}
			u.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.Method != "GET" || r.URL.String() != u.URL || r.Host != row.host {
					t.Errorf("request is %s %s to %s, want GET %s to %s", r.Method, r.URL, r.Host, u.URL, row.host)
				}
				got = r.Header
				return answer(200, `{"t":"token"}`), nil
			})}
			if _, err := u.SubjectToken(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("header mismatch (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(given, row.header); diff != "" {
				t.Errorf("the caller's header was changed (-want +got):\n%s", diff)
			}
		})
	}
}

// No time passes but that of the pauses.
func TestURLRetry(t *testing.T) {
	boom := errors.New("connection reset")
	for _, row := range []struct {
		name     string
		answers  []func() (*http.Response, error)
		timeout  time.Duration
		asked    int
		from, to time.Duration // how long it takes
		err      []string      // of the error; none means the token
		status   int
		lasting  bool // not temporary
	}{
		{name: "at once", answers: seq(status(200)), asked: 1},
		{name: "network, then a token", answers: seq(broken(boom), status(200)), asked: 2, from: 100 * time.Millisecond, to: 200 * time.Millisecond},
		{name: "a body that is cut is not a token", answers: seq(cut, status(200)), asked: 2, from: 100 * time.Millisecond, to: 200 * time.Millisecond},
		{
			name: "every passing status", answers: seq(status(408), status(429), status(500), status(200)),
			asked: 4, from: 700 * time.Millisecond, to: 1400 * time.Millisecond,
		},
		{name: "502, 503, 504", answers: seq(status(502), status(503), status(504), status(200)), asked: 4, from: 700 * time.Millisecond, to: 1400 * time.Millisecond},
		{
			name: "some servers answer a mistake with 500", answers: seq(status(500)), asked: 4,
			from: 700 * time.Millisecond, to: 1400 * time.Millisecond, err: []string{"status 500 (Internal Server Error)"}, status: 500,
		},
		{name: "network for good", answers: seq(broken(boom)), asked: 4, from: 700 * time.Millisecond, to: 1400 * time.Millisecond, err: []string{"no answer: connection reset"}},
		{name: "a refusal is final", answers: seq(status(403)), asked: 1, err: []string{"status 403 (Forbidden)"}, status: 403, lasting: true},
		{name: "so is what is not 200", answers: seq(status(204)), asked: 1, err: []string{"status 204 (No Content)"}, status: 204, lasting: true},
		{name: "and what nobody has heard of", answers: seq(status(599)), asked: 1, err: []string{"status 599"}, status: 599, lasting: true},
		{name: "Retry-After", answers: seq(status(503, "5"), status(200)), asked: 2, from: 5 * time.Second, to: 5 * time.Second},
		{name: "Retry-After as a date, 5 s after the test's clock begins", answers: seq(status(503, "Sat, 01 Jan 2000 00:00:05 GMT"), status(200)), asked: 2, from: 5 * time.Second, to: 5 * time.Second},
		{name: "Retry-After of nothing", answers: seq(status(503, "0"), status(200)), asked: 2, from: 100 * time.Millisecond, to: 200 * time.Millisecond},
		{name: "Retry-After that is no number", answers: seq(status(503, "-9"), status(200)), asked: 2, from: 100 * time.Millisecond, to: 200 * time.Millisecond},
		{name: "Retry-After beyond the time", answers: seq(status(503, "10")), asked: 1, err: []string{"status 503"}, status: 503},
		{name: "Retry-After within a longer time", answers: seq(status(503, "10"), status(200)), timeout: 11 * time.Second, asked: 2, from: 10 * time.Second, to: 10 * time.Second},
		{
			name: "one attempt alone has time", answers: seq(status(503)), timeout: 50 * time.Millisecond, asked: 1,
			err: []string{"status 503"}, status: 503,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, start := 0, time.Now()
				u := subjecttoken.URL{URL: "https://token.test/path?q=" + canary, Timeout: row.timeout, Client: answers(&asked, row.answers...)}
				got, err := u.SubjectToken(t.Context())
				took := time.Since(start)
				if row.err == nil {
					if err != nil || got.Value != "token" {
						t.Errorf("SubjectToken() = %q, %v; want the token", got.Value, err)
					}
				} else if e := refused(t, err, append(row.err, "url https://token.test/path: ")...); e.StatusCode != row.status || e.Temporary == row.lasting {
					t.Errorf("StatusCode = %d, Temporary = %v; want %d, %v", e.StatusCode, e.Temporary, row.status, !row.lasting)
				}
				if asked != row.asked || took < row.from || took > row.to {
					t.Errorf("asked %d times in %v, want %d in %v to %v", asked, took, row.asked, row.from, row.to)
				}
			})
		})
	}
}

func seq(list ...func() (*http.Response, error)) []func() (*http.Response, error) { return list }

// A fleet that starts at once must not come back at once.
func TestURLBackoffVaries(t *testing.T) {
	seen := make(map[time.Duration]bool)
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			asked, start := 0, time.Now()
			u := subjecttoken.URL{URL: "https://token.test/", Client: answers(&asked, status(503), status(200))}
			_, _ = u.SubjectToken(t.Context())
			seen[time.Since(start)] = true
		})
	}
	if len(seen) < 2 {
		t.Error("all pauses are the same")
	}
}

// hang answers when its request is given up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestURLTimeout(t *testing.T) {
	for _, row := range []struct {
		name      string
		timeout   time.Duration // of the URL
		caller    time.Duration // when the caller's context ends
		cancel    bool          // by being cancelled
		first     int           // status of the first answer; after it, none comes
		took      time.Duration
		is        error
		temporary bool
		err       []string
	}{
		{name: "default", caller: time.Hour, took: 10 * time.Second, is: context.DeadlineExceeded, temporary: true, err: []string{"no token within 10s"}},
		{name: "set", timeout: time.Minute, caller: time.Hour, took: time.Minute, is: context.DeadlineExceeded, temporary: true, err: []string{"no token within 1m0s"}},
		{name: "after an answer", caller: time.Hour, first: 503, took: 10 * time.Second, is: context.DeadlineExceeded, temporary: true, err: []string{"no token within 10s"}},
		{name: "caller's deadline", caller: time.Second, took: time.Second, is: context.DeadlineExceeded, temporary: true, err: []string{"given up: context deadline exceeded"}},
		{name: "caller gives up", caller: time.Second, cancel: true, took: time.Second, is: context.Canceled, err: []string{"given up: context canceled"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), row.caller)
				defer cancel()
				if row.cancel {
					ctx, cancel = context.WithCancel(t.Context())
					time.AfterFunc(row.caller, cancel)
				}
				asked, start := 0, time.Now()
				u := subjecttoken.URL{URL: "https://token.test/?q=" + canary, Timeout: row.timeout}
				u.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if asked++; asked == 1 && row.first != 0 {
						return answer(row.first, canary), nil
					}
					return hang(r)
				})}
				_, err := u.SubjectToken(ctx)
				e := refused(t, err, row.err...)
				if !errors.Is(err, row.is) || e.Temporary != row.temporary || time.Since(start) != row.took {
					t.Errorf("error %v (temporary: %v) after %v; want %v after %v", err, e.Temporary, time.Since(start), row.is, row.took)
				}
			})
		})
	}
}

// Cancelling ends a pause as well as a request, and tells the last answer.
func TestURLCancelInPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		asked, start := 0, time.Now()
		u := subjecttoken.URL{URL: "https://token.test/", Client: answers(&asked, status(503, "5"))}
		_, err := u.SubjectToken(ctx)
		e := refused(t, err, "given up: context canceled, the last answer being status 503 (Service Unavailable)")
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second || e.StatusCode != 503 || asked != 1 {
			t.Errorf("error %v (status %d) after %v and %d requests, want context.Canceled (503) after 1s and 1", err, e.StatusCode, time.Since(start), asked)
		}
	})
}

// A redirect would take the header, a secret, to wherever it leads.
func TestURLRedirect(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL+"/path?token="+canary, code)
		}))
		u := subjecttoken.URL{URL: server.URL, Header: http.Header{"Authorization": {canary}}, Client: &http.Client{}}
		_, err := u.SubjectToken(t.Context())
		host := strings.TrimPrefix(thief.URL, "http://")
		if e := refused(t, err, "redirects to "+host+", which is not followed"); e.StatusCode != code || e.Temporary {
			t.Errorf("StatusCode = %d, Temporary = %v; want %d, false", e.StatusCode, e.Temporary, code)
		}
		server.Close()
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("the redirects were followed %d times", n)
	}
}

// The certificate of a server does not get better by asking again.
func TestURLUntrustedCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	start := time.Now()
	_, err := subjecttoken.URL{URL: server.URL, Timeout: time.Minute}.SubjectToken(t.Context())
	if e := refused(t, err, "no answer: tls: failed to verify certificate"); e.Temporary || time.Since(start) > 30*time.Second {
		t.Errorf("error %v is temporary, or came late", err)
	}
}

// Whatever a transport puts into its errors, the query and the header are not
// shown.
func TestURLHidesSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := subjecttoken.URL{URL: "https://token.test/?token=%2B" + canary, Header: http.Header{"X-Key": {"Scheme " + canary}}}
		u.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			inner := &url.Error{Op: "Get", URL: r.URL.String(), Err: io.EOF}
			return nil, fmt.Errorf("sending %v with %v and %v: %w", r.URL, r.Header, r.URL.Query(), inner)
		})}
		_, err := u.SubjectToken(t.Context())
		if refused(t, err, "no answer", "X-Key:[[redacted]]]", "map[token:[[redacted]]]"); !errors.Is(err, io.EOF) || strings.Contains(err.Error(), canary[12:]) {
			t.Errorf("error %v is not io.EOF, or shows a part of the secret", err)
		}
		u.Client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			res := answer(http.StatusFound, "")
			res.Header.Set("Location", "https://"+canary+".test/") // without the scheme
			return res, nil
		})
		_, err = u.SubjectToken(t.Context())
		refused(t, err, "redirects to [redacted].test")
	})
}

func TestURLPlainHTTP(t *testing.T) {
	for _, row := range []struct {
		url      string
		insecure bool
		allowed  bool
	}{
		{url: "https://token.test/", allowed: true},
		{url: "http://localhost:8080/", allowed: true},
		{url: "http://127.0.0.1/", allowed: true},
		{url: "http://[::1]:80/", allowed: true},
		{url: "http://169.254.169.254/latest", allowed: true},
		{url: "http://[fe80::1]/", allowed: true},
		{url: "http://[fd00:ec2::254]/latest", allowed: true},
		{url: "http://metadata.google.internal/computeMetadata", allowed: true},
		{url: "http://metadata.google.internal.token.test/"},
		{url: "http://token.test/"},
		{url: "http://10.0.0.1/"},
		{url: "http://[fd00:ec3::254]/"},
		{url: "http://token.test/", insecure: true, allowed: true},
		{url: "ftp://token.test/", insecure: true},
		{url: "file:///etc/passwd", insecure: true},
	} {
		asked := 0
		u := subjecttoken.URL{URL: row.url, InsecureHTTP: row.insecure, Client: answers(&asked, status(200))}
		_, err := u.SubjectToken(t.Context())
		if validateErr := u.Validate(); (err == nil) != row.allowed || (validateErr == nil) != row.allowed || (asked == 1) != row.allowed {
			t.Errorf("%s (insecure: %v): asked %d times, SubjectToken: %v, Validate: %v; want allowed = %v", row.url, row.insecure, asked, err, validateErr, row.allowed)
		}
	}
}
