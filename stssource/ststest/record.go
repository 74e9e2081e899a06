package ststest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Request is a request that a [Handler] has received, with its secrets.
type Request struct {
	// Time is when the request arrived.
	Time time.Time

	// Method, Host and Path are those of the request line and the Host header.
	Method, Host, Path string

	// Query holds the query parameters, those that can be decoded.
	Query url.Values

	// Header holds the header fields, without Host.
	Header http.Header

	// Encoding is "form" or "json", by Content-Type, and empty for any other.
	Encoding string

	// Params holds the parameters of the body under the names of RFC 8693, such
	// as subject_token, in either encoding. Members of a JSON body that are not
	// strings are left out.
	Params url.Values

	// JSON holds the members of a JSON body under their own names. It is nil
	// for a form.
	JSON map[string]any

	// Body is the body as it was sent, cut off at 1 MiB, or at 16 MiB in Google
	// mode.
	Body []byte

	// Status is the HTTP status of the answer. It is zero before the answer,
	// and for a request that was cancelled, left hanging or reset.
	Status int

	// AccessToken is the token that was issued. It is empty if none was.
	AccessToken string

	// Problem names the rule that the request breaks, even if a script had it
	// answered otherwise. It is empty if the request breaks none; a subject
	// token or client assertion that Accept or AcceptAssertion refuses is no
	// such breach.
	Problem string
}

// call is a request on its way through the handler: the record, and what the
// checks need to know beyond it.
type call struct {
	Request
	service  *Handler
	found    bool  // the path is that of the token endpoint
	beta     bool  // Google: the rules of v1beta
	queryErr error // why the query cannot be decoded
	bodyErr  error // why the body cannot be read or decoded
	format   format
}

func (h *Handler) read(r *http.Request) *call {
	c := &call{service: h, Request: Request{
		Time:   time.Now(),
		Method: r.Method,
		Host:   r.Host,
		Path:   r.URL.Path,
		Header: r.Header.Clone(),
	}}
	c.Query, c.queryErr = url.ParseQuery(r.URL.RawQuery)
	c.Body, c.bodyErr = readLimited(r.Body, h.bodyLimit())
	c.found, c.beta = h.endpoint(c.Path)
	c.decode()
	return c
}

// endpoint tells whether path is the token endpoint, and whether it is that of
// v1beta.
func (h *Handler) endpoint(path string) (found, beta bool) {
	beta = h.Mode == Google && strings.Contains(path, "/v1beta/")
	switch {
	case h.Path != "":
		return path == h.Path, beta
	case h.Mode == Google:
		return path == "/v1/token" || path == "/v1beta/token", beta
	}
	return true, false
}

// bodyLimit is 1 MiB, far above any token, and in Google mode enough for
// options of 4 Mi characters in the form encoding, which may triple them.
func (h *Handler) bodyLimit() int64 {
	if h.Mode == Google {
		return 16 << 20
	}
	return 1 << 20
}

func readLimited(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return b, fmt.Errorf("it cannot be read: %w", err)
	}
	if int64(len(b)) > limit {
		return b[:limit], fmt.Errorf("it is over %d bytes", limit)
	}
	return b, nil
}

// encodings are what Request.Encoding says of each media type.
var encodings = map[string]string{
	"application/x-www-form-urlencoded": "form",
	"application/json":                  "json",
}

// decode fills Encoding and, if the body is whole, Params and JSON.
func (c *call) decode() {
	mediaType, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type"))
	c.Encoding = encodings[mediaType]
	switch {
	case c.bodyErr != nil:
	case c.Encoding == "form":
		c.Params, c.bodyErr = url.ParseQuery(string(c.Body))
	case c.Encoding == "json":
		c.JSON, c.bodyErr = decodeObject(c.Body)
		c.Params = params(c.JSON)
	}
}

// decodeObject is json.Unmarshal that lets no member appear twice: which of
// the two counts is a matter of the parser.
func decodeObject(body []byte) (map[string]any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	members := make(map[string]any)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return members, err
		}
		if _, ok := members[name.(string)]; ok {
			return members, fmt.Errorf("member %q appears twice", name)
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return members, err
		}
		members[name.(string)] = value
	}
	if _, err := d.Token(); err != nil {
		return members, err
	}
	if _, err := d.Token(); err != io.EOF {
		return members, errors.New("it goes on after the JSON object")
	}
	return members, nil
}

func params(members map[string]any) url.Values {
	values := make(url.Values)
	for name, value := range members {
		if s, ok := value.(string); ok {
			values.Set(snake(name), s)
		}
	}
	return values
}

// snake turns subjectToken into subject_token.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// record requires that h.mu is held.
func (h *Handler) record(r Request) *Request {
	h.requests = append(h.requests, &r)
	h.waiters = slices.DeleteFunc(h.waiters, func(w waiter) bool {
		if w.n > len(h.requests) {
			return false
		}
		close(w.done)
		return true
	})
	return &r
}

func (h *Handler) answered(r *Request, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.Status, r.AccessToken = a.status, a.token
}

// Requests returns a copy of the requests received so far, in the order of
// their arrival, including those without an answer.
func (h *Handler) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Request, len(h.requests))
	for i, r := range h.requests {
		list[i] = r.clone()
	}
	return list
}

func (r *Request) clone() Request {
	c := *r
	c.Query = cloneValues(r.Query)
	c.Header = r.Header.Clone()
	c.Params = cloneValues(r.Params)
	c.JSON = maps.Clone(r.JSON)
	c.Body = bytes.Clone(r.Body)
	return c
}

func cloneValues(v url.Values) url.Values { return url.Values(http.Header(v).Clone()) }

// waiter is a call of Wait.
type waiter struct {
	n    int
	done chan struct{}
}

// Wait blocks until n requests in all have arrived, answered or not. If ctx is
// done first, it returns [context.Cause] of it. It is for tests with real
// sockets; in a synctest bubble, [testing/synctest.Wait] is simpler.
func (h *Handler) Wait(ctx context.Context, n int) error {
	done, ok := h.wait(n)
	if ok {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (h *Handler) wait(n int) (done chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.requests) >= n {
		return nil, true
	}
	done = make(chan struct{})
	h.waiters = append(h.waiters, waiter{n, done})
	return done, false
}
