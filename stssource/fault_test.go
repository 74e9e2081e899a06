package stssource_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
)

// faultTimeout is the deadline of an exchange in the fault suite: enough for
// four attempts and the pauses between them, also on a machine that is busy with
// something else.
const faultTimeout = 20 * time.Second

// fault is one row of the fault suite: what a service does wrong, and what a
// caller sees of it.
type fault struct {
	name  string
	reply func(*exchange)
	// config may change the Config, and how the service takes connections.
	config func(*testing.T, *stssource.Config, *faultServer)

	requests  int    // how many requests arrive
	temporary bool   // the error class
	status    int    // of the error
	code      string // of the error
	text      string // part of its message
	is        error  // what errors.Is finds in it
	hangs     bool   // the deadline ends it
	held      bool   // for longer than a test waits: see TestRetryAfterAYear
}

// How many requests a failure gets, by its class. None arrives where there is no
// connection.
const (
	once  = 1
	retry = 4
)

func faults() []fault {
	rows := connectionFaults()
	rows = append(rows, certificateFaults()...)
	rows = append(rows, statusFaults()...)
	rows = append(rows, answerFaults()...)
	return rows
}

func connectionFaults() []fault {
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	return []fault{
		{name: "reset before the headers", reply: func(x *exchange) { x.reset() }, requests: retry, temporary: true, is: syscall.ECONNRESET},
		{name: "closed before the headers", reply: func(x *exchange) {}, requests: retry, temporary: true, is: io.EOF},
		{name: "closed during the headers", reply: func(x *exchange) { x.write("HTTP/1.1 200 OK\r\nContent-Ty") }, requests: retry, temporary: true},
		{name: "reset during the headers", reply: func(x *exchange) {
			x.write("HTTP/1.1 200 OK\r\nContent-Ty")
			time.Sleep(20 * time.Millisecond) // let it arrive
			x.reset()
		}, requests: retry, temporary: true}, // net/http tells of the header it could not read
		{name: "reset after the headers", reply: func(x *exchange) {
			x.write(head + "Content-Length: 100\r\n\r\n")
			time.Sleep(20 * time.Millisecond) // let them arrive
			x.reset()
		}, requests: retry, temporary: true, status: 200, text: "reading the answer", is: syscall.ECONNRESET},
		{name: "body cut off", reply: func(x *exchange) { x.write(head + "Content-Length: 100\r\n\r\n{\"access_token\":") },
			requests: retry, temporary: true, status: 200, text: "reading the answer", is: io.ErrUnexpectedEOF},
		{name: "chunk cut off", reply: func(x *exchange) { x.write(head + "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"access") },
			requests: retry, temporary: true, status: 200, is: io.ErrUnexpectedEOF},
		{name: "a chunk that is none", reply: func(x *exchange) { x.write(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n") },
			requests: retry, temporary: true, status: 200},
		{name: "Content-Length says less than there is", reply: func(x *exchange) { x.write(head + "Content-Length: 10\r\n\r\n" + goodAnswer) },
			requests: once, status: 200, text: "not a JSON object"},
		{name: "Content-Length is no number", reply: func(x *exchange) { x.write(head + "Content-Length: many\r\n\r\n" + goodAnswer) },
			requests: retry, temporary: true},
		{name: "not HTTP", reply: func(x *exchange) { x.write("220 mail.example ESMTP\r\n") }, requests: retry, temporary: true},
		{name: "hang before the headers", reply: func(x *exchange) { x.hang() }, requests: once, temporary: true, is: context.DeadlineExceeded, hangs: true},
		{name: "hang during the headers", reply: func(x *exchange) { x.write(head); x.hang() }, requests: once, temporary: true, is: context.DeadlineExceeded, hangs: true},
		{name: "hang in the body", reply: func(x *exchange) { x.write(head + "Content-Length: 100\r\n\r\n{"); x.hang() },
			requests: once, temporary: true, status: 200, is: context.DeadlineExceeded, hangs: true},
		{name: "slow drip", reply: func(x *exchange) {
			x.write(head + "Content-Length: 100000\r\n\r\n")
			for range 10_000 {
				x.write(" ")
				select {
				case <-x.done:
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
		}, requests: once, temporary: true, status: 200, is: context.DeadlineExceeded, hangs: true},
		{name: "connection refused", config: func(t *testing.T, c *stssource.Config, s *faultServer) {
			c.HTTPClient = dialer(s, func(context.Context) (net.Conn, error) {
				free, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					return nil, err
				}
				free.Close()
				return net.Dial("tcp", free.Addr().String())
			})
		}, temporary: true, is: syscall.ECONNREFUSED},
		{name: "no such host", config: func(t *testing.T, c *stssource.Config, s *faultServer) {
			d := &net.Dialer{Resolver: deadNameServer(t)}
			c.HTTPClient = dialer(s, func(ctx context.Context) (net.Conn, error) {
				return d.DialContext(ctx, "tcp", "sts.example.com:443")
			})
		}, temporary: true, text: "no such host"},
		{name: "gzip bomb", reply: func(x *exchange) {
			x.write(response(200, bomb(), "Content-Encoding: gzip"))
		}, requests: once, status: 200, text: "the body is larger than 1048576 bytes"},
		{name: "2 MiB", reply: func(x *exchange) { x.write(response(200, strings.Repeat(" ", 2<<20))) },
			requests: once, status: 200, text: "the body is larger than 1048576 bytes"},
		{name: "2 MiB of refusal", reply: func(x *exchange) { x.write(response(400, strings.Repeat(" ", 2<<20))) },
			requests: once, status: 400, text: "the body is larger than 1048576 bytes"},
		{name: "endless headers", reply: func(x *exchange) {
			x.write("HTTP/1.1 200 OK\r\n")
			for range 1 << 10 {
				x.write("X-Filler: " + strings.Repeat("x", 1000) + "\r\n")
			}
		}, requests: retry, temporary: true},
	}
}

// bomb is 16 MiB in a few kilobytes.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 16<<20))
	z.Close()
	return b.String()
})

// dialer returns a client that dials by broken while s is.
func dialer(s *faultServer, broken func(context.Context) (net.Conn, error)) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if s.broken.Load() {
			return broken(ctx)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
}

// overTLS has the service speak TLS, while it is broken with a certificate for
// name, which ends at notAfter, and then with a good one.
func overTLS(name string, notAfter time.Time, trust bool) func(*testing.T, *stssource.Config, *faultServer) {
	return func(t *testing.T, c *stssource.Config, s *faultServer) {
		good, bad := certificate(t, "localhost", time.Now().Add(time.Hour)), certificate(t, name, notAfter)
		roots := x509.NewCertPool()
		roots.AddCert(good.Leaf)
		if trust {
			roots.AddCert(bad.Leaf)
		}
		c.TokenURL = "https://" + s.addr() + "/token"
		c.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{ServerName: "localhost", RootCAs: roots}}}
		s.wrap = func(conn net.Conn) net.Conn {
			cert := good
			if s.broken.Load() {
				cert = bad
			}
			return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		}
	}
}

// laterTLS has the service speak TLS only after the fault.
func laterTLS(t *testing.T, c *stssource.Config, s *faultServer) {
	overTLS("localhost", time.Now().Add(time.Hour), true)(t, c, s)
	secure := s.wrap
	s.wrap = func(conn net.Conn) net.Conn {
		if s.broken.Load() {
			return conn
		}
		return secure(conn)
	}
}

func certificateFaults() []fault {
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	return []fault{
		{name: "certificate of another host", config: overTLS("elsewhere.example", tomorrow, true), text: "localhost"},
		{name: "certificate that has expired", config: overTLS("localhost", yesterday, true), text: "expired"},
		{name: "certificate of an unknown authority", config: overTLS("localhost", tomorrow, false), text: "unknown authority"},
		{name: "TLS, and then reset", config: overTLS("localhost", tomorrow, true), reply: func(x *exchange) { x.reset() },
			requests: retry, temporary: true},
		{name: "plain http where TLS should be", config: laterTLS, temporary: true},
	}
}

func statusFaults() []fault {
	send := func(status int, body string, header ...string) func(*exchange) {
		return func(x *exchange) { x.write(response(status, body, header...)) }
	}
	soon := time.Now().UTC().Add(2 * time.Second).Format(http.TimeFormat)
	rows := []fault{
		{name: "502 in HTML", reply: send(502, "<html>Bad Gateway</html>", "Content-Type: text/html"), requests: retry, temporary: true, status: 502, text: "an HTML page"},
		{name: "500, which may be a lasting mistake", reply: send(500, `{"error":"server_error"}`), requests: retry, temporary: true, status: 500, code: "server_error"},
		{name: "504 without a body", reply: send(504, ""), requests: retry, temporary: true, status: 504, text: "no reason given"},
		{name: "408", reply: send(408, ""), requests: retry, temporary: true, status: 408},
		{name: "429, Retry-After in seconds", reply: send(429, "", "Retry-After: 1"), requests: retry, temporary: true, status: 429},
		{name: "503, Retry-After in seconds", reply: send(503, "", "Retry-After: 1"), requests: retry, temporary: true, status: 503},
		{name: "503, Retry-After as a date", reply: send(503, "", "Retry-After: "+soon), requests: retry, temporary: true, status: 503},
		{name: "503, Retry-After a year", reply: send(503, "", "Retry-After: 31536000"), requests: once, temporary: true, status: 503, held: true},
		{name: "429, Retry-After a year", reply: send(429, "", "Retry-After: 31536000"), requests: once, temporary: true, status: 429, held: true},
		{name: "503, Retry-After garbage", reply: send(503, "", "Retry-After: soon"), requests: retry, temporary: true, status: 503},
		{name: "503, Retry-After negative", reply: send(503, "", "Retry-After: -5"), requests: retry, temporary: true, status: 503},
		{name: "503, Retry-After a date long past", reply: send(503, "", "Retry-After: Mon, 01 Jan 2001 00:00:00 GMT"), requests: retry, temporary: true, status: 503},
		{name: "google.rpc.Status", reply: send(503, `{"error":{"code":503,"message":"The service is currently unavailable.","status":"UNAVAILABLE"}}`),
			requests: retry, temporary: true, status: 503, code: "UNAVAILABLE", text: "currently unavailable"},
		{name: "google.rpc.Status in the v1 format", reply: send(403, `{"error":{"code":403,"message":"Denied.","errors":[{"message":"Denied.","domain":"global","reason":"forbidden"}],"status":"PERMISSION_DENIED"}}`),
			requests: once, status: 403, code: "PERMISSION_DENIED", text: "Denied."},
		{name: "400 of RFC 6749", reply: send(400, `{"error":"invalid_target","error_description":"unknown audience","error_uri":"https://example.com/e"}`),
			requests: once, status: 400, code: "invalid_target", text: "unknown audience"},
		{name: "400 with members of other types", reply: send(400, `{"error":"invalid_scope","error_description":7,"error_uri":null}`),
			requests: once, status: 400, code: "invalid_scope"},
		{name: "400 that begins with a byte order mark", reply: send(400, "\ufeff"+`{"error":"invalid_target","error_description":"unknown audience"}`),
			requests: once, status: 400, code: "invalid_target", text: "unknown audience"},
		{name: "400 that is cut off", reply: send(400, `{"error":"invalid_gra`), requests: once, status: 400, text: "invalid_gra"},
		{name: "400 that is empty", reply: send(400, ""), requests: once, status: 400, text: "no reason given"},
		{name: "400 that is binary", reply: send(400, "\x00\x01\x02\xff"), requests: once, status: 400, text: "a binary body"},
		{name: "400 that echoes the request", reply: func(x *exchange) { x.write(response(400, string(x.body))) }, requests: once, status: 400, text: "[redacted]"},
		{name: "400 that quotes the request", reply: func(x *exchange) {
			x.write(response(400, fmt.Sprintf(`{"error":"bad_request","error_description":%q}`, x.body)))
		}, requests: once, status: 400, code: "bad_request", text: "[redacted]"},
		{name: "401 invalid_client", reply: send(401, `{"error":"invalid_client"}`, `WWW-Authenticate: Basic realm="sts"`), requests: once, status: 401, code: "invalid_client", text: "check ClientID"},
		{name: "403 in plain text", reply: send(403, "Forbidden by proxy\n"), requests: once, status: 403, text: "Forbidden by proxy"},
		{name: "404 of a wrong path", reply: send(404, "404 page not found\n"), requests: once, status: 404, text: "check the path of TokenURL"},
		{name: "200 for a refusal", reply: send(200, `{"error":"invalid_client","error_description":"no"}`), requests: once, status: 200, code: "invalid_client"},
		{name: "418", reply: send(418, ""), requests: once, status: 418},
		{name: "204", reply: func(x *exchange) { x.write("HTTP/1.1 204 No Content\r\n\r\n") }, requests: once, status: 204, text: "empty"},
		{name: "101", reply: func(x *exchange) {
			x.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			x.hang()
		}, requests: once, status: 101, text: "no reason given"},
		{name: "304", reply: func(x *exchange) { x.write("HTTP/1.1 304 Not Modified\r\n\r\n") }, requests: once, status: 304},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for where, location := range map[string]string{"another host": "https://elsewhere.example/token", "the same host": "/other"} {
			rows = append(rows, fault{
				name:  fmt.Sprintf("%d to %s", status, where),
				reply: send(status, "", "Location: "+location), requests: once, status: status, text: "was refused: set TokenURL",
			})
		}
	}
	return rows
}

func answerFaults() []fault {
	const ok = `"access_token":"canary-access-token-0123456789","token_type":"Bearer"`
	var rows []fault
	for _, a := range []struct{ name, body, text string }{
		{"empty", "", "the answer is empty"},
		{"null", "null", "not a JSON object"},
		{"an array", "[{" + ok + "}]", "not a JSON object"},
		{"a string", `"canary-access-token-0123456789"`, "not a JSON object"},
		{"a number", "12", "not a JSON object"},
		{"two objects", "{" + ok + "}{}", "not a JSON object"},
		{"cut off", "{" + ok, "not a JSON object"},
		{"HTML", "<html>Sign in</html>", "not a JSON object"},
		{"no access_token", `{"token_type":"Bearer"}`, "no access_token"},
		{"an empty access_token", `{"access_token":"","token_type":"Bearer"}`, "no access_token"},
		{"an access_token that is none", `{"access_token":{"v":"canary-access-token-0123456789"}}`, "access_token in the answer is not a string"},
		{"a refresh_token that is none", "{" + ok + `,"refresh_token":1}`, "refresh_token in the answer is not a string"},
		{"N_A", `{"access_token":"canary-access-token-0123456789","token_type":"N_A"}`, "N_A"},
		{"another scheme", `{"access_token":"canary-access-token-0123456789","token_type":"MAC"}`, "only Bearer"},
		{"a negative expires_in", "{" + ok + `,"expires_in":-5}`, "expires_in"},
		{"an expires_in of zero", "{" + ok + `,"expires_in":0}`, "expires_in"},
		{"an expires_in in words", "{" + ok + `,"expires_in":"later"}`, "expires_in"},
		{"a token that is not UTF-8", "{\"access_token\":\"canary-access-token-0123456789\xff\",\"token_type\":\"Bearer\"}", "characters"},
		{"deep nesting", "{" + ok + `,"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", "not a JSON object"},
	} {
		rows = append(rows, fault{
			name:  "200: " + a.name,
			reply: func(x *exchange) { x.write(response(200, a.body, "Content-Type: application/json")) }, requests: once, status: 200, text: a.text,
		})
	}
	return rows
}

// TestFaults runs each fault through real sockets: the requests made, what the
// caller sees and for how long it waits, that no secret shows, and that the
// next call after the fault has its token.
func TestFaults(t *testing.T) {
	rows := faults()
	if len(rows) < 60 {
		t.Fatalf("%d rows, want at least 60", len(rows))
	}
	var wg sync.WaitGroup // all at once: most of them wait
	for _, row := range rows {
		wg.Go(func() { row.run(t) })
	}
	wg.Wait()
}

func (f fault) run(t *testing.T) {
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: "+format, append([]any{f.name}, args...)...)
	}
	watch := newCanaries(t)
	config := watch.config
	service := newFaultServer(t, f.reply)
	config.TokenURL = "http://" + service.addr() + "/token"
	if f.config != nil {
		f.config(t, &config, service)
	}
	service.start()
	config.Refresh.Timeout = faultTimeout
	if f.hangs {
		config.Refresh.Timeout = 3 * time.Second
	}
	src, err := stssource.New(config)
	if err != nil {
		fail("New: %v", err)
		return
	}
	// The bound on the time: a caller who is still waiting then gets another
	// error than the expected one.
	ctx, cancel := context.WithTimeout(context.Background(), config.Refresh.Timeout+10*time.Second)
	defer cancel()
	_, err = src.TokenContext(ctx)
	f.check(fail, err)
	watch.checkError(fail, err)
	watch.checkError(fail, src.Status().LastError)
	if n := int(service.requests.Load()); n != f.requests {
		fail("%d requests, want %d", n, f.requests)
	}
	service.broken.Store(false)
	if !f.held {
		recovers(fail, src)
	}
	watch.checkSeen(fail)
}

func (f fault) check(fail func(string, ...any), err error) {
	e, ok := errors.AsType[*stssource.Error](err)
	if !ok {
		fail("got %v, want an *Error", err)
		return
	}
	if e.Stage != stssource.StageExchange && !f.hangs {
		fail("stage %q: %v", e.Stage, err)
	}
	// Of an attempt that is left behind at its deadline, nobody knows how far
	// it was.
	status := f.status
	if f.hangs && e.StatusCode == 0 {
		status = 0
	}
	if e.Temporary != f.temporary || e.StatusCode != status || e.Code != f.code {
		fail("temporary %v, status %d, code %q, want %v, %d, %q: %v", e.Temporary, e.StatusCode, e.Code, f.temporary, f.status, f.code, err)
	}
	if !strings.Contains(err.Error(), f.text) || strings.ContainsAny(err.Error(), "\r\n") {
		fail("the message is not one line with %q: %q", f.text, err)
	}
	if f.is != nil && !errors.Is(err, f.is) {
		fail("errors.Is finds no %v in %v", f.is, err)
	}
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok != (f.code != "" || f.status >= 400 && !strings.Contains(f.text, "larger")) && f.status != 304 && f.status != 101 {
		fail("RetrieveError %v for %v", r, err)
	}
	if !e.NextAttempt.After(time.Now().Add(-time.Minute)) {
		fail("no NextAttempt: %+v", e)
	}
}

// recovers checks that the source that failed has a token as soon as it may ask
// again.
func recovers(fail func(string, ...any), src *stssource.Source) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		tok, err := src.TokenContext(ctx)
		if err == nil {
			if tok.AccessToken != "canary-access-token-0123456789" {
				fail("after the fault: token %q", tok.AccessToken)
			}
			return
		}
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || ctx.Err() != nil {
			fail("after the fault: %v", err)
			return
		}
		time.Sleep(time.Until(e.NextAttempt)) // real sockets, real time
	}
}

// A service that asks to be left alone for a year is asked again after half a
// minute at the latest: nobody restarts a program to end an outage.
func TestRetryAfterAYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{}
		service.Script(ststest.Reply{Status: 503, RetryAfter: "31536000"})
		src := newSource(t, service, nil)
		_, err := src.Token()
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || !e.Temporary || len(service.Requests()) != 1 {
			t.Fatalf("got %v after %d requests, want a temporary error after one", err, len(service.Requests()))
		}
		if wait := time.Until(e.NextAttempt); wait > 30*time.Second || wait < 15*time.Second {
			t.Errorf("asked again in %v, want 15s to 30s", wait)
		}
		time.Sleep(time.Until(e.NextAttempt))
		mustToken(t, src)
	})
}
