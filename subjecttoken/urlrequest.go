package subjecttoken

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
)

// ask sends one request. The duration is what the server wants to be waited.
func (u URL) ask(ctx context.Context, client *http.Client, target *url.URL) ([]byte, time.Duration, *Error) {
	res, err := client.Do(u.request(ctx, target))
	if err != nil {
		return nil, 0, u.networkError(0, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, safehttp.RetryAfter(res.Header), u.statusError(res)
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
	if 0 <= res.ContentLength && res.ContentLength <= 4<<10 {
		_, _ = io.Copy(io.Discard, res.Body) // lets the connection be used again
	}
	text := statusText(res.StatusCode)
	if safehttp.IsRedirect(res.StatusCode) {
		text += u.redirectText(res)
	}
	e := u.fail(res.StatusCode, errors.New(text))
	e.Temporary = safehttp.TemporaryStatus(res.StatusCode)
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

func (u URL) secrets() redact.Secrets {
	values := []string{}
	for _, vs := range u.Header {
		for _, v := range vs {
			_, credentials, _ := strings.Cut(v, " ") // of "Bearer credentials"
			values = append(values, v, credentials)
		}
	}
	if target, err := url.Parse(u.URL); err == nil {
		values = append(values, target.RawQuery)
		for _, vs := range target.Query() {
			values = append(values, vs...)
		}
	}
	return redact.New(longer(values)...)
}
