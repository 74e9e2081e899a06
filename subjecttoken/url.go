package subjecttoken

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
)

// URL is a [Provider] that asks an HTTP endpoint by GET, such as a metadata
// server or the token endpoint of a CI service.
//
// Network errors and the statuses 408, 429, 500, 502, 503 and 504 are retried,
// at most three times and within Timeout, after pauses that grow and are partly
// random. A Retry-After header is honoured. Redirects are refused,
// since Header often holds secrets. A body over 1 MiB is an error. White space
// around the token is removed.
type URL struct {
	// URL is the endpoint. Required. It must be https. Plain http is allowed to
	// this machine and to metadata servers: link-local addresses, those of AWS
	// in fd00:ec2::/32, and metadata.google.internal.
	URL string

	// Header is sent with each request. If it has no Accept field, the request
	// accepts application/json if JSONField is set, and anything otherwise.
	// Errors do not show it.
	Header http.Header

	// Type is the token's type, such as [TypeJWT]. If empty, the exchange
	// decides: see [Token].
	Type string

	// JSONField says where the token is if the body is a JSON document: the
	// name of a top-level member, or a JSON pointer (RFC 6901) if it starts
	// with "/". If empty, the whole body is the token.
	JSONField string

	// Client's Transport and Timeout are used for the requests; its cookie jar
	// and redirect policy are not. If nil, all sources share one transport.
	Client *http.Client

	// Timeout limits one call of SubjectToken, with all its attempts and
	// pauses: 1 ms to 10 minutes. If zero, it is 10 seconds.
	Timeout time.Duration

	// InsecureHTTP allows plain http to any host. The whole network in between
	// can then read the headers and the token.
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

// Validate reports all that is wrong with u. It sends nothing.
func (u URL) Validate() error {
	_, err := u.parse()
	return invalid(u.source(), err, checkField(u.JSONField), checkType(u.Type), checkTimeout(u.Timeout), checkHeader(u.Header))
}

// Format prints u.String(), whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { redact.Format(f, u.String()) }

// MarshalText returns the text of String.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// String returns a description that names the endpoint, without header and
// query.
func (u URL) String() string {
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
		return nil, errors.New("field URL is required")
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
