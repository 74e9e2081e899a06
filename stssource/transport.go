package stssource

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// Transport is an [http.RoundTripper] that authorizes requests with tokens from
// a [Source]. [Source.Client] makes one; use it directly to put it into a chain
// of transports. Its fields must not change once it is in use.
//
// A request waits for a token as long as its own context allows. It is sent
// as it is if the caller has set an Authorization field, and without a token
// after a redirect to another host, as net/http does with the fields it knows
// to be sensitive. Plain http is refused but to this machine.
//
// If the answer is 401 with a Bearer challenge (RFC 6750, section 3), exactly
// the token that was sent is invalidated, and the request is sent once more
// with a new one if its body can be sent again.
type Transport struct {
	Source *Source           // where tokens come from; required
	Base   http.RoundTripper // what sends the requests; if nil, http.DefaultTransport

	// InsecureHTTP allows a token to be sent by plain http to any host, where
	// the whole network can read it.
	InsecureHTTP bool
}

// RoundTrip implements [http.RoundTripper]. Its own errors are of type
// [*Error]; those of Base are returned as they are.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Authorization") != "" || leftOrigin(req) {
		return t.base().RoundTrip(req)
	}
	if err := t.check(req); err != nil {
		closeBody(req)
		return nil, err
	}
	e, err := t.Source.cache.get(req.Context())
	if err == nil && e.header == "" {
		err = &Error{Stage: StageRequest, Err: fmt.Errorf("the token type is %q, which no Authorization header can carry", e.token.TokenType)}
	}
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base().RoundTrip(t.authorized(req, e.header))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !challengesBearer(resp) {
		return resp, err
	}
	t.Source.cache.invalidate(e.token.AccessToken)
	return t.replay(req, resp)
}

// replay sends req once more with a new token. It returns the first response if
// that cannot be done.
func (t *Transport) replay(req *http.Request, first *http.Response) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return first, nil
	}
	e, err := t.Source.cache.get(req.Context())
	if err != nil || e.header == "" {
		return first, nil
	}
	again := t.authorized(req, e.header)
	if req.GetBody != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return first, nil
		}
	}
	// Read to its end the connection can be used again; no more than a little,
	// as nobody waits for it.
	_, _ = io.CopyN(io.Discard, first.Body, 4<<10)
	first.Body.Close()
	return t.base().RoundTrip(again)
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
// The value slice belongs to this request alone: a base may edit it in place.
type authorizedRequest struct {
	req   http.Request
	value [1]string
}

// authorized returns a shallow copy of req with authorization as its
// Authorization field, and with the fields of the source that it has none of.
func (t *Transport) authorized(req *http.Request, authorization string) *http.Request {
	a := &authorizedRequest{req: *req, value: [1]string{authorization}}
	h := make(http.Header, len(req.Header)+len(t.Source.header)+1)
	for name, values := range t.Source.header {
		h[name] = slices.Clone(values)
	}
	for name, values := range req.Header {
		h[name] = values
	}
	h["Authorization"] = a.value[:]
	a.req.Header = h
	return &a.req
}

// leftOrigin reports whether req follows a redirect that went, somewhere on its
// way, to a host to which net/http would not send the fields it knows to be
// sensitive: neither the host of the first request nor a subdomain of it.
func leftOrigin(req *http.Request) bool {
	first := req
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	for r := req; r != first; r = r.Response.Request {
		if !staysHome(first.URL, r.URL) {
			return true
		}
	}
	return false
}

func staysHome(home, to *url.URL) bool {
	from, dest := strings.ToLower(home.Hostname()), strings.ToLower(to.Hostname())
	if dest == from {
		return true
	}
	// An address has no subdomains.
	if strings.ContainsAny(dest, ":%") {
		return false
	}
	return strings.HasSuffix(dest, "."+from)
}

// challengesBearer reports whether resp asks for a Bearer token.
func challengesBearer(resp *http.Response) bool {
	for _, challenge := range resp.Header.Values("Www-Authenticate") {
		if len(challenge) >= 6 && strings.EqualFold(challenge[:6], "Bearer") {
			return true
		}
	}
	return false
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		req.Body.Close()
	}
}
