package safehttp_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/internal/safehttp"
)

// TestMain sets a proxy before anything has asked for one, after which the
// environment is no longer read.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		os.Setenv(name, "http://proxy.test:3128")
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	os.Exit(m.Run())
}

func TestCheckURL(t *testing.T) {
	const secret = "s3cret"
	for _, row := range []struct {
		url   string
		plain safehttp.Plain
		err   []string // what is wrong; nothing means that it may be asked
	}{
		{url: "https://host.test/path?q=1"},
		{url: "https://169.254.169.254/"},
		{url: "HTTPS://host.test"},
		{url: "http://localhost:80/"},
		{url: "http://LOCALHOST/"},
		{url: "http://127.1.2.3/"},
		{url: "http://[::1]/"},
		{url: "http://[::ffff:127.0.0.1]/"},
		{url: "http://169.254.169.254/", plain: safehttp.PlainLinkLocal},
		{url: "http://[::ffff:169.254.169.254]/", plain: safehttp.PlainLinkLocal},
		{url: "http://[fe80::1%25eth0]/", plain: safehttp.PlainLinkLocal},
		{url: "http://[fd00:ec2::254]/", plain: safehttp.PlainLinkLocal},
		{url: "http://metadata.google.internal:80/", plain: safehttp.PlainLinkLocal},
		{url: "http://localhost/", plain: safehttp.PlainLinkLocal},
		{url: "http://host.test/", plain: safehttp.PlainAnywhere},

		{url: "http://host.test/", err: []string{"plain http to host.test"}},
		{url: "http://localhost.host.test/", err: []string{"plain http"}},
		{url: "http://127.0.0.1.host.test/", err: []string{"plain http"}},
		{url: "http://169.254.169.254/", err: []string{"plain http"}},
		{url: "http://metadata.google.internal/", err: []string{"plain http"}},
		{url: "http://[fd00:ec2::254]/", err: []string{"plain http"}},
		{url: "http://10.0.0.1/", plain: safehttp.PlainLinkLocal, err: []string{"plain http"}},
		{url: "http://[fd00:ec1::254]/", plain: safehttp.PlainLinkLocal, err: []string{"plain http"}},
		{url: "http://[::ffff:10.0.0.1]/", plain: safehttp.PlainLinkLocal, err: []string{"plain http"}},
		{url: "http://metadata.google.internal.host.test/", plain: safehttp.PlainLinkLocal, err: []string{"plain http"}},
		{url: "ftp://host.test/", plain: safehttp.PlainAnywhere, err: []string{`scheme "ftp" is not https`}},
		{url: "host.test/path", err: []string{"no scheme: begin it with https://"}},
		{url: "host.test:443/path", err: []string{"no scheme: begin it with https://"}},
		{url: "", err: []string{"no scheme: begin it with https://"}},
		{url: "https:///path", err: []string{"no host"}},
		{url: "https://:443/path", err: []string{"no host"}},
		{url: "https:opaque", err: []string{"no host"}},
		{url: "https://user:" + secret + "@host.test/?q=" + secret, err: []string{"user name or password"}},
		{url: "https://host.test/#" + secret, err: []string{"fragment"}},
		{url: "http://user:" + secret + "@host.test/#f", err: []string{"plain http", "user name or password", "fragment"}},
		{url: "https://user:" + secret + "/rest@host.test/", err: []string{"not a URL"}},
		{url: "https://host.test/%" + secret, err: []string{"not a URL"}},
		{url: "https://" + secret + " .test/", err: []string{"not a URL"}},
		{url: "https://host.test/\x00" + secret, err: []string{"not a URL"}},
	} {
		t.Run(fmt.Sprint(row.plain, row.url), func(t *testing.T) {
			u, err := safehttp.CheckURL(row.url, row.plain)
			if row.err == nil {
				if err != nil || !strings.EqualFold(u.String(), row.url) {
					t.Errorf("CheckURL() = %v, %v; want no error", u, err)
				}
				return
			}
			if err == nil {
				t.Fatal("CheckURL() has no error")
			}
			for _, text := range row.err {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error %q does not mention %q", err, text)
				}
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("error %q shows a secret", err)
			}
		})
	}
}

func TestClient(t *testing.T) {
	var cookies, followed atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			cookies.Add(1)
		}
		if r.URL.Path == "/followed" {
			followed.Add(1)
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, "/followed", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	jar, _ := cookiejar.New(nil)
	calls := 0
	base := &http.Client{
		Jar:     jar,
		Timeout: 7 * time.Second,
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			calls++
			return http.DefaultTransport.RoundTrip(r)
		}),
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}
	for name, client := range map[string]*http.Client{
		"given": safehttp.Client(base), "without a transport": safehttp.Client(&http.Client{Jar: jar}), "none": safehttp.Client(nil),
	} {
		for range 2 {
			res, err := client.Get(server.URL)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusTemporaryRedirect || !safehttp.IsRedirect(res.StatusCode) {
				t.Errorf("%s: status %d, want the redirect", name, res.StatusCode)
			}
		}
	}
	if cookies.Load() != 0 || followed.Load() != 0 || len(jar.Cookies(&url.URL{Scheme: "http", Host: "127.0.0.1"})) != 0 {
		t.Errorf("%d cookies were sent, %d redirects followed, and %v kept", cookies.Load(), followed.Load(), jar)
	}
	if got := safehttp.Client(base); got.Timeout != base.Timeout || calls != 2 {
		t.Errorf("Timeout = %v, the transport was called %d times; want %v, 2", got.Timeout, calls, base.Timeout)
	}
	if safehttp.Client(nil).Transport != safehttp.Client(&http.Client{}).Transport {
		t.Error("clients without a transport do not share one")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A proxy has no business with what metadata servers say about this machine.
func TestProxy(t *testing.T) {
	transport := safehttp.Shared.(*http.Transport)
	for target, proxied := range map[string]bool{
		"https://host.test/":               true,
		"http://host.test/":                true,
		"https://169.254.169.254/":         true, // encrypted to its certificate
		"http://169.254.169.254/":          false,
		"http://metadata.google.internal/": false,
		"http://[fd00:ec2::254]/":          false,
		"http://localhost/":                false,
		"http://172.16.1.3/":               false,
		"http://100.64.100.2/":             false,
		"https://172.16.1.3/":              true,
	} {
		req, _ := http.NewRequestWithContext(context.Background(), "GET", target, nil)
		proxy, err := transport.Proxy(req)
		if err != nil || (proxy != nil) != proxied {
			t.Errorf("%s goes through the proxy %v (%v), want one: %v", target, proxy, err, proxied)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.255.0.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.test": false, "128.0.0.1": false, "0.0.0.0": false, "::": false, "::2": false, "127.0.0.1:80": false, "127.1": false,
	} {
		if got := safehttp.Loopback(host); got != want {
			t.Errorf("Loopback(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestCause(t *testing.T) {
	cause := errors.New("cause")
	in := func(err error) error { return &url.Error{Op: "Get", URL: "https://host.test/?s3cret", Err: err} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{cause, "cause"},
		{in(cause), "cause"},
		{in(in(cause)), "cause"},
		{fmt.Errorf("more: %w", in(cause)), "more: cause"},
		{in(fmt.Errorf("more: %w", in(fmt.Errorf("and more: %w", in(cause))))), "more: and more: cause"},
		{errors.Join(in(errors.New("first")), in(cause)), "first\ncause"},
		{in(fmt.Errorf("%w, then %w", in(cause), in(in(errors.New("last"))))), "cause, then last"},
		{fmt.Errorf("%w: %w", cause, in(errors.New("more"))), "cause: more"},
	} {
		if got := safehttp.Cause(tt.err); got.Error() != tt.want || !errors.Is(got, cause) {
			t.Errorf("Cause(%v) = %v, want %s", tt.err, got, tt.want)
		}
	}
}

func TestReadBody(t *testing.T) {
	for size, want := range map[int]error{0: nil, safehttp.MaxBody: nil, safehttp.MaxBody + 1: safehttp.ErrBodyTooLarge, 3 * safehttp.MaxBody: safehttp.ErrBodyTooLarge} {
		body := bytes.Repeat([]byte("x"), size)
		got, err := safehttp.ReadBody(bytes.NewReader(body))
		if err != want {
			t.Errorf("ReadBody() of %d bytes = %v, want %v", size, err, want)
		}
		if err == nil && !bytes.Equal(got, body) {
			t.Errorf("ReadBody() of %d bytes has %d", size, len(got))
		}
	}
	cut := io.MultiReader(strings.NewReader("x"), errReader{})
	if got, err := safehttp.ReadBody(cut); err != io.ErrUnexpectedEOF || got != nil {
		t.Errorf("ReadBody() = %q, %v; want no part of a body that is cut", got, err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestIsRedirect(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := status == 301 || status == 302 || status == 303 || status == 307 || status == 308
		if got := safehttp.IsRedirect(status); got != want {
			t.Errorf("IsRedirect(%d) = %v, want %v", status, got, want)
		}
	}
}

// A Location that cannot be parsed is no error that shows it.
func TestLocation(t *testing.T) {
	for location, want := range map[string]string{
		"https://elsewhere.test/%zz?session=canary":              "",
		"https://user:canary@elsewhere.test/path?session=canary": "https://elsewhere.test/",
		"/other?canary": "https://host.test/",
	} {
		client := safehttp.Client(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 307, Header: http.Header{"Location": {location}}, Body: http.NoBody, Request: r}, nil
		})})
		resp, err := client.Get("https://host.test/token")
		if err != nil {
			t.Errorf("%s: %v", location, err)
			continue
		}
		if got := resp.Header.Get("Location"); got != want || resp.StatusCode != 307 {
			t.Errorf("%s: status %d, Location %q, want %q", location, resp.StatusCode, got, want)
		}
	}
}

func TestTemporary(t *testing.T) {
	for status, want := range map[int]bool{200: false, 400: false, 401: false, 404: false, 408: true, 429: true, 500: true, 501: false, 502: true, 503: true, 504: true} {
		if got := safehttp.TemporaryStatus(status); got != want {
			t.Errorf("TemporaryStatus(%d) = %v", status, got)
		}
	}
	_, notThere := os.ReadFile("/nonexistent")
	for _, row := range []struct {
		err  error
		want bool
	}{
		{notThere, false}, // although an Errno has the methods of a net.Error
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true},
		{&net.DNSError{IsNotFound: true}, true},
		{errors.New("other"), false},
	} {
		if got := safehttp.IsNetwork(row.err); got != row.want {
			t.Errorf("IsNetwork(%v) = %v", row.err, got)
		}
	}
}

func TestCheckURLBeyondASCII(t *testing.T) {
	for _, raw := range []string{"https://sts.googleap\u0130s.com/", "https://sts.googleap%C4%B0s.com/"} {
		if _, err := safehttp.CheckURL(raw, safehttp.PlainAnywhere); err == nil || !strings.Contains(err.Error(), "xn--") {
			t.Errorf("%s: got %v, want a refusal of the letter", raw, err)
		}
	}
}

// A wish is read in seconds and as a date; what is neither is none, and no wait is
// negative.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
		for _, tt := range []struct {
			name  string
			value string
			want  time.Duration
		}{
			{"seconds", "120", 2 * time.Minute},
			{"seconds with white space around them", " 1 ", time.Second},
			{"a date", in(time.Minute), time.Minute},
			{"a date that has passed", in(-time.Minute), 0},
			{"the end of what a date can be", "Fri, 31 Dec 9999 23:59:59 GMT", math.MaxInt64},
			{"negative", "-1", 0},
			{"more than a Duration holds", "99999999999999999999", 0},
			{"words", "soon", 0},
			{"nothing", "", 0},
		} {
			if got := safehttp.RetryAfter(http.Header{"Retry-After": {tt.value}}); got != tt.want {
				t.Errorf("%s: RetryAfter() = %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, row := range []string{"1", " 120 ", "-1", "1e9", "Mon, 01 Jan 2001 00:00:00 GMT", "soon"} {
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if got := safehttp.RetryAfter(http.Header{"Retry-After": {value}}); got < 0 {
			t.Errorf("%q: %v", value, got)
		}
	})
}

// The body of a 101 is the bare connection: to read it would end with neither the
// answer nor a context.
func TestSwitchedProtocolIsLeft(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	left := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			left <- err
			return
		}
		defer conn.Close()
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
		_, err = io.Copy(io.Discard, conn)
		left <- err
	}()
	resp, err := safehttp.Client(nil).Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if body, err := safehttp.ReadBody(resp.Body); len(body) != 0 || err != nil || resp.StatusCode != 101 {
		t.Errorf("status %d, body %q, %v, want 101 without a body", resp.StatusCode, body, err)
	}
	if err := <-left; err != nil {
		t.Error(err)
	}
}

// Send gives an answer or an error, whatever the transport does.
func TestSend(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		resp *http.Response
		err  error
		want string // in the error; none if empty
	}{
		{name: "an answer", resp: &http.Response{Body: io.NopCloser(strings.NewReader("x"))}},
		{name: "one without a body", resp: &http.Response{}},
		{name: "an error", err: broken, want: "broken"},
		{name: "both", resp: &http.Response{}, err: broken, want: "broken"},
		{name: "neither", want: "neither a response nor an error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := safehttp.Send(roundTrip(func(*http.Request) (*http.Response, error) { return tt.resp, tt.err }), nil)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || resp != nil {
					t.Errorf("got %v, %v, want an error with %q", resp, err, tt.want)
				}
				return
			}
			if err != nil || resp == nil || resp.Body == nil {
				t.Errorf("got %+v, %v, want an answer with a body", resp, err)
			}
		})
	}
}
