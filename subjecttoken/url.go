package subjecttoken

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
)

// URL is a [Provider] that asks an HTTP endpoint with GET, such as a metadata
// server or the token endpoint of a continuous integration service.
//
// Network errors and the statuses 408, 429, 500, 502, 503 and 504 are retried
// until Timeout, at most three times, with growing random pauses; Retry-After
// in seconds is honoured. Redirects are refused, as the headers are often
// secrets. A body over 1 MiB is an error. White space around the token is
// removed.
type URL struct {
	// URL is the endpoint. Required. It must be https, or http to this
	// machine or to a metadata server: a link-local address, the ones of AWS
	// in fd00:ec2::/32, or metadata.google.internal.
	URL string

	// Header is sent with each request. It is not changed. If there is no
	// Accept in it, application/json is asked for when JSONField is set, and
	// anything otherwise.
	Header http.Header

	// Type is the token's type. If empty, whoever uses the token decides.
	Type string

	// JSONField says where in the body, then a JSON document, the token is:
	// the name of a top-level member, or an RFC 6901 pointer if it starts
	// with "/". If empty, the whole body is the token.
	JSONField string

	// Client sends the requests. Its Transport and Timeout are used, its
	// cookie jar and redirect policy are not. If nil, all sources share a
	// transport.
	Client *http.Client

	// Timeout limits a call of SubjectToken, all its attempts and pauses
	// taken together: 1 ms to 10 minutes. If zero, 10 seconds.
	Timeout time.Duration

	// InsecureHTTP permits plain http to any host. Everybody between here and
	// there can then read the headers and the token.
	InsecureHTTP bool
}

var _ Provider = URL{}

const (
	urlTimeout  = 10 * time.Second // metadata servers answer at once or need a few retries
	urlAttempts = 4                // some servers answer a lasting mistake with 500
	urlBackoff  = 200 * time.Millisecond

	minTimeout = time.Millisecond
	maxTimeout = 10 * time.Minute
)

// SubjectToken asks the endpoint.
func (u URL) SubjectToken(ctx context.Context) (Token, error) {
	target, err := u.parse()
	if err != nil {
		return Token{}, fail(u.source(), err)
	}
	body, err := u.fetch(ctx, target)
	if err != nil {
		return Token{}, err
	}
	value, err := decode(body, u.JSONField)
	if err != nil {
		return Token{}, u.fail(http.StatusOK, err)
	}
	t, err := newToken(value, u.Type, noExpiry)
	if err != nil {
		return Token{}, u.fail(http.StatusOK, err)
	}
	return t, nil
}

// Validate reports what is wrong with u. It sends nothing.
func (u URL) Validate() error {
	_, err := u.parse()
	return invalid(u.source(), err, checkField(u.JSONField), checkTimeout(u.Timeout), checkHeader(u.Header))
}

// Format prints u without its header and query, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { redact.Format(f, u.describe()) }

// MarshalText gives the text of Format.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.describe()), nil }

func (u URL) describe() string {
	return "subjecttoken.URL(" + strings.TrimPrefix(u.source(), "url ") + ")"
}

// source names the endpoint by what is no secret.
func (u URL) source() string {
	target, err := url.Parse(u.URL)
	if err != nil || target.Host == "" {
		return "url (not valid)"
	}
	return "url " + target.Scheme + "://" + target.Host + target.EscapedPath()
}

func (u URL) parse() (*url.URL, error) {
	if u.URL == "" {
		return nil, errors.New("URL is required")
	}
	plain := safehttp.PlainLinkLocal
	if u.InsecureHTTP {
		plain = safehttp.PlainAnywhere
	}
	return safehttp.CheckURL(u.URL, plain)
}

func (u URL) fail(status int, err error) *Error {
	return &Error{Source: u.source(), StatusCode: status, Err: err}
}

// fetch returns the body of a 200, trying as often as is sensible.
func (u URL) fetch(ctx context.Context, target *url.URL) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	client := safehttp.Client(u.Client)
	for attempt := 1; ; attempt++ {
		body, wait, failure := u.ask(limited, client, target)
		if failure == nil {
			return body, nil
		}
		if limited.Err() != nil {
			return nil, u.ended(ctx, failure)
		}
		wait = max(wait, backoff(attempt))
		if !failure.Temporary || attempt == urlAttempts || !timeFor(limited, wait) {
			return nil, failure
		}
		pause(limited, wait)
		if limited.Err() != nil {
			return nil, u.ended(ctx, failure)
		}
	}
}

func (u URL) timeout() time.Duration {
	if u.Timeout == 0 {
		return urlTimeout
	}
	return u.Timeout
}

// backoff returns the pause after an attempt: up to 200, 400, 800 ms, at least
// half of it, so that a fleet that was started at once does not ask at once.
func backoff(attempt int) time.Duration {
	d := urlBackoff << (attempt - 1)
	return d/2 + rand.N(d/2)
}

// timeFor reports whether ctx leaves time for another attempt after d. If not,
// the caller is better served by the failure now.
func timeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > d
}

// ended says who had no more time, after the last failure.
func (u URL) ended(ctx context.Context, last *Error) *Error {
	cause, text := context.DeadlineExceeded, fmt.Sprintf("no token within %v", u.timeout())
	if err := ctx.Err(); err != nil {
		cause, text = err, "given up: "+err.Error()
	}
	if last.StatusCode != 0 {
		text += ", the last answer being " + statusText(last.StatusCode)
	}
	return &Error{
		Source:     u.source(),
		StatusCode: last.StatusCode,
		Temporary:  !errors.Is(cause, context.Canceled),
		Err:        because(cause, "%s", text),
	}
}

// ask sends one request. The duration is what the server wants to be waited.
func (u URL) ask(ctx context.Context, client *http.Client, target *url.URL) ([]byte, time.Duration, *Error) {
	res, err := client.Do(u.request(ctx, target))
	if err != nil {
		return nil, 0, u.networkError(0, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, retryAfter(res), u.statusError(res)
	}
	body, err := safehttp.ReadBody(res.Body)
	if errors.Is(err, safehttp.ErrBodyTooLarge) {
		return nil, 0, u.fail(res.StatusCode, err)
	}
	if err != nil {
		return nil, 0, u.networkError(res.StatusCode, err)
	}
	return body, 0, nil
}

func (u URL) request(ctx context.Context, target *url.URL) *http.Request {
	req := (&http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Header: make(http.Header)}).WithContext(ctx)
	for name, values := range u.Header {
		for _, v := range values {
			req.Header.Add(name, v) // in canonical form, as a map literal may not be
		}
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", u.accept())
	}
	// net/http takes the host from the request, never from its header.
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	return req
}

func (u URL) accept() string {
	if u.JSONField != "" {
		return "application/json"
	}
	return "*/*"
}

// networkError is temporary unless it is about whom we talk to.
func (u URL) networkError(status int, err error) *Error {
	e := u.fail(status, fmt.Errorf("no answer: %w", u.secrets().Error(safehttp.Cause(err))))
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	e.Temporary = !certificate && !errors.Is(err, context.Canceled)
	return e
}

// statusError describes an answer without its body, which may hold anything.
func (u URL) statusError(res *http.Response) *Error {
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // lets the connection be used again
	text := statusText(res.StatusCode)
	if safehttp.IsRedirect(res.StatusCode) {
		text += u.redirectText(res)
	}
	e := u.fail(res.StatusCode, errors.New(text))
	e.Temporary = passingStatus(res.StatusCode)
	return e
}

func (u URL) redirectText(res *http.Response) string {
	host := "somewhere"
	if to, err := res.Location(); err == nil {
		host = u.secrets().Text(to.Host, 100)
	}
	return fmt.Sprintf(" redirects to %s, which is not followed, as it would get the header, too: set URL to where the token is", host)
}

func statusText(status int) string {
	if name := http.StatusText(status); name != "" {
		return fmt.Sprintf("status %d (%s)", status, name)
	}
	return fmt.Sprintf("status %d", status)
}

// retryAfter reads the header's form in seconds; the form as a date is not
// used by those who serve tokens.
func retryAfter(res *http.Response) time.Duration {
	seconds, err := strconv.ParseInt(res.Header.Get("Retry-After"), 10, 32)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (u URL) secrets() redact.Secrets {
	values := []string{}
	for _, vs := range u.Header {
		values = append(values, vs...)
	}
	if target, err := url.Parse(u.URL); err == nil {
		values = append(values, target.RawQuery)
		for _, vs := range target.Query() {
			values = append(values, vs...)
		}
	}
	return redact.New(longer(values)...)
}
