package stssource

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
)

// maxDescription is how much of a service's own words an error shows, in bytes.
const maxDescription = 512

// failed describes an exchange without an answer.
func (x *exchanger) failed(t tokens, err error) *Error {
	return &Error{
		Stage:     StageExchange,
		Host:      x.name(),
		Temporary: !errors.Is(err, safehttp.ErrBodyTooLarge) && !isUntrusted(err),
		Err:       x.secrets(t).Error(err),
	}
}

// unusable describes an answer that is neither a token nor a refusal.
func (x *exchanger) unusable(t tokens, resp *http.Response, err error) *Error {
	return &Error{Stage: StageExchange, Host: x.name(), StatusCode: resp.StatusCode, Err: x.secrets(t).Error(err)}
}

// redirectError says where a redirect was to go. It is refused: a 307 or 308
// would post the subject token to another place, and the others ask for a GET.
func redirectError(resp *http.Response) error {
	to := "nowhere"
	if u, err := resp.Location(); err == nil {
		to = u.Host
	}
	return fmt.Errorf("%d: a redirect to %s was refused: set TokenURL to the final address", resp.StatusCode, to)
}

// refused describes a refusal. The body is read as RFC 6749, section 5.2 has
// it, or as a google.rpc.Status, or as text.
func (x *exchanger) refused(t tokens, resp *http.Response, body []byte) *Error {
	secrets := x.secrets(t)
	r := &oauth2.RetrieveError{Response: bareResponse(secrets, resp)}
	if resp.StatusCode > 299 { // with 2xx there may be a token in it
		r.Body = secrets.Bytes(body)
	}
	e := &Error{
		Stage:      StageExchange,
		Host:       x.name(),
		StatusCode: resp.StatusCode,
		Temporary:  safehttp.TemporaryStatus(resp.StatusCode),
		retryAfter: safehttp.RetryAfter(resp.Header),
		Err:        r,
	}
	code, description, uri := decodeRefusal(body)
	if code == "" && description == "" {
		description = bodyText(resp.Header.Get("Content-Type"), body)
	}
	r.ErrorCode = code
	if hints[code] == "" { // what is known to be a code is no secret
		r.ErrorCode = secrets.Text(code, 64)
	}
	r.ErrorDescription = secrets.Text(description, maxDescription)
	r.ErrorURI = secrets.Text(uri, maxDescription)
	e.Code, e.Description = r.ErrorCode, r.ErrorDescription
	e.stale = isStale(code)
	if e.Code == "" && e.Description == "" {
		e.Description = "no reason given"
	}
	return e
}

// isStale reports whether a refusal with this code may be one of a subject
// token that was replaced in the meantime. No single code means it.
func isStale(code string) bool {
	return code == "invalid_grant" || code == "invalid_request" || code == "access_denied"
}

// bodyText returns a body that is not JSON, if a person can read it.
func bodyText(contentType string, body []byte) string {
	if strings.Contains(contentType, "html") || bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return "an HTML page: something other than the token endpoint answered"
	}
	if bytes.IndexByte(body, 0) >= 0 {
		return "a binary body"
	}
	return string(body)
}

// bareResponse returns resp with nothing of the request in it, and only those
// header fields that say what to do next.
func bareResponse(secrets redact.Secrets, resp *http.Response) *http.Response {
	bare := &http.Response{
		Status:     fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
		StatusCode: resp.StatusCode,
		Proto:      resp.Proto,
		ProtoMajor: resp.ProtoMajor,
		ProtoMinor: resp.ProtoMinor,
		Header:     make(http.Header),
		Body:       http.NoBody,
	}
	for _, name := range []string{"Content-Type", "Date", "Retry-After", "Www-Authenticate"} {
		for _, v := range resp.Header[name] {
			bare.Header.Add(name, secrets.Text(v, maxDescription))
		}
	}
	return bare
}

// secrets returns everything in a request with t that must not be shown.
func (x *exchanger) secrets(t tokens) redact.Secrets {
	c := &x.config
	values := []string{t.subject.Value, t.actor.Value, t.assertion.Value, c.ClientSecret}
	if c.ClientSecret != "" {
		values = append(values, c.basicCredentials())
	}
	u, _ := url.Parse(c.TokenURL)
	for name, query := range u.Query() {
		values = append(values, secretLike(query, slices.Contains(secretQuery, strings.TrimPrefix(name, "$")))...)
	}
	for _, header := range c.Header {
		values = append(values, secretLike(header, false)...)
	}
	for name, params := range c.EndpointParams {
		if name != "options" { // where what is quoted says what is wrong
			values = append(values, secretLike(params, false)...)
		}
	}
	return redact.New(values...)
}

// secretLike returns those of values that may be secrets: all if they surely
// are, and otherwise those that are long enough to be one. To hide each "en" and
// each "1" of a message would take its sense.
func secretLike(values []string, surely bool) []string {
	const shortest = 8
	var long []string
	for _, v := range values {
		if surely || len(v) >= shortest {
			long = append(long, v)
		}
	}
	return long
}
