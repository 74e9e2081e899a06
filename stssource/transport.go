package stssource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// Transport is an [http.RoundTripper] that authorizes requests with tokens of a
// [Source]. Most programs use [Source.Client]; use Transport directly in a
// chain of transports. It is safe for concurrent use; its fields must not
// change once it is in use.
//
// A request waits for a token as long as its own context allows. One that has
// an Authorization field is sent as it is. After a redirect to another host
// that is no subdomain of the first one, a request is sent without a token, as
// net/http does with sensitive fields; Base must set Response.Request for this,
// as every transport has to. Plain http is refused, except to this machine.
//
// If the answer is 401 with a Bearer challenge (RFC 6750, section 3), the token
// that was sent is invalidated, and the request is sent once more with a new
// one if its body can be sent again. If the API rejects new tokens, too, it
// gets the same one for a while, at most half a minute, and its answers are
// returned.
//
// Response.Request is the request that was sent, with its Authorization field.
type Transport struct {
	// Source provides the tokens. Required.
	Source *Source

	// Base sends the requests. If nil, it is [http.DefaultTransport].
	Base http.RoundTripper

	// InsecureHTTP allows plain http to any host. The whole network in between
	// can then read the token.
	InsecureHTTP bool
}

// RoundTrip implements [http.RoundTripper]. Failures to get a token are of type
// [*Error]; errors of Base are returned as they are.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if hasAuthorization(req.Header) || req.Response != nil && leftOrigin(req) {
		return t.base().RoundTrip(req)
	}
	if err := t.check(req); err != nil {
		closeBody(req)
		return nil, err
	}
	e, err := t.Source.authorization(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base().RoundTrip(t.authorized(req, e.header))
	if err != nil || resp == nil || resp.StatusCode != http.StatusUnauthorized || !challengesBearer(resp) {
		return resp, err
	}
	if !t.Source.cache.reject(e) {
		return resp, nil
	}
	return t.replay(req, resp, e)
}

// authorization returns a token that has a ready-made Authorization value.
func (s *Source) authorization(ctx context.Context) (*entry, error) {
	if s == nil || s.cache == nil {
		return nil, errUnmade
	}
	e, err := s.cache.get(ctx)
	if err == nil && e.header == "" {
		err = &Error{Stage: StageRequest, Err: fmt.Errorf("the token type is %q, which no Authorization header can carry", e.token.TokenType)}
	}
	return e, err
}

// CloseIdleConnections closes the idle connections of Base.
// [http.Client.CloseIdleConnections] calls it.
func (t *Transport) CloseIdleConnections() {
	if c, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// replay sends req once more with another token than the rejected one. It returns
// the first response if that cannot be done.
func (t *Transport) replay(req *http.Request, first *http.Response, rejected *entry) (*http.Response, error) {
	hasBody := req.Body != nil && req.Body != http.NoBody
	if hasBody && req.GetBody == nil {
		return first, nil
	}
	// The exchange may need the connection that this answer occupies.
	readShort(first)
	e, err := t.Source.cache.get(req.Context())
	if err != nil || e.header == "" || e.header == rejected.header {
		return first, nil
	}
	again := t.authorized(req, e.header)
	if hasBody {
		if again.Body, err = req.GetBody(); err != nil {
			return first, nil
		}
	}
	if first.Body != nil {
		first.Body.Close()
	}
	return t.base().RoundTrip(again)
}

// readShort reads the body of resp into memory if it is known to be short.
func readShort(resp *http.Response) {
	if resp.Body == nil || resp.ContentLength < 0 || resp.ContentLength > 4<<10 {
		return
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
}

// failing is a reader at the end of what could be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func (t *Transport) check(req *http.Request) error {
	if t.Source == nil {
		return &Error{Stage: StageRequest, Err: errors.New("Transport.Source is nil")}
	}
	if req.URL == nil {
		return nil // for the base to refuse
	}
	if strings.EqualFold(req.URL.Scheme, "http") && !t.InsecureHTTP && !safehttp.Loopback(req.URL.Hostname()) {
		return &Error{Stage: StageRequest, Err: fmt.Errorf(
			"a request to %s by plain http would show the token to the network: use https", req.URL.Host)}
	}
	return nil
}

// authorizedRequest is a request with what was added to it, in one allocation.
// The value slice belongs to this request alone, whatever a base does to it; the
// other fields share theirs with the caller's request, which no RoundTripper may
// modify.
type authorizedRequest struct {
	req   http.Request
	value [1]string
}

// authorized returns a shallow copy of req with authorization as its
// Authorization field, and with the fields of the source that it has none of.
func (t *Transport) authorized(req *http.Request, authorization string) *http.Request {
	a := &authorizedRequest{req: *req, value: [1]string{authorization}}
	h := maps.Clone(req.Header)
	if h == nil {
		h = make(http.Header, 1)
	}
	if t.Source.header != nil {
		for name, values := range *t.Source.header {
			if _, own := h[name]; !own {
				h[name] = slices.Clone(values)
			}
		}
	}
	h["Authorization"] = a.value[:]
	a.req.Header = h
	return &a.req
}

// hasAuthorization reports whether the caller has set an Authorization field, be
// it empty. Besides the spelling that Header.Set gives it, only that of HTTP/2
// is met; to look through the whole header would cost as much as all the rest.
func hasAuthorization(h http.Header) bool {
	_, canonical := h["Authorization"]
	//lint:ignore SA1008 HTTP/2 spells it so
	_, lower := h["authorization"]
	return canonical || lower
}

// leftOrigin reports whether req follows a redirect that went, somewhere on its
// way, to a host to which net/http would not send the fields it knows to be
// sensitive: neither the host of the first request nor a subdomain of it. Where
// that cannot be known, it did.
func leftOrigin(req *http.Request) bool {
	const most = 100 // net/http follows 10
	first := req
	for range most {
		if first.Response == nil {
			break
		}
		if first = first.Response.Request; first == nil || first.URL == nil {
			return true
		}
	}
	if first.Response != nil {
		return true
	}
	for r := req; r != first; r = r.Response.Request {
		if r.URL == nil || !staysHome(first.URL, r.URL) {
			return true
		}
	}
	return false
}

func staysHome(home, to *url.URL) bool {
	from, dest := lowerASCII(home.Hostname()), lowerASCII(to.Hostname())
	if dest == from {
		return true
	}
	// An address has no subdomains.
	if strings.ContainsAny(dest, ":%") {
		return false
	}
	return strings.HasSuffix(dest, "."+from)
}

// lowerASCII lowers the letters of ASCII alone: strings.ToLower makes an i of the
// dotted capital I of Turkish, and so a host of another one.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// challengesBearer reports whether resp asks for a Bearer token. A field may hold
// several challenges, and quoted strings (RFC 9110, section 11.6.1).
func challengesBearer(resp *http.Response) bool {
	for _, field := range resp.Header.Values("Www-Authenticate") {
		for _, part := range splitUnquoted(field) {
			scheme, _, _ := strings.Cut(strings.TrimSpace(part), " ")
			if strings.EqualFold(scheme, "Bearer") {
				return true
			}
		}
	}
	return false
}

// splitUnquoted splits s at the commas that are not within a quoted string.
func splitUnquoted(s string) []string {
	quoted, escaped := false, false
	return strings.FieldsFunc(s, func(r rune) bool {
		switch {
		case escaped:
			escaped = false
		case quoted && r == '\\':
			escaped = true
		case r == '"':
			quoted = !quoted
		}
		return r == ',' && !quoted
	})
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
