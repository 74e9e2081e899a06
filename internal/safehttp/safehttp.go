// Package safehttp sends requests that carry secrets: no redirect is followed,
// no cookie is kept, nothing goes over plain http by accident, no body is read
// without a limit, and no error shows a URL.
package safehttp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// MaxBody is the largest body that is read, in bytes. Tokens are a few
// kilobytes; what is larger is not an answer.
const MaxBody = 1 << 20

// shared is the transport of everybody who brings no client of their own: one
// pool of connections for all sources. It is not http.DefaultTransport, which
// any package of the program may have replaced or wrapped.
var shared http.RoundTripper = &http.Transport{
	Proxy:                 proxy,
	DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
	ForceAttemptHTTP2:     true,
	MaxIdleConns:          100,
	MaxIdleConnsPerHost:   4,
	IdleConnTimeout:       90 * time.Second,
	TLSHandshakeTimeout:   10 * time.Second,
	ExpectContinueTimeout: time.Second,
	// Far more than an answer needs, and far less than the default of 10 MB.
	MaxResponseHeaderBytes: 64 << 10,
}

// proxy is http.ProxyFromEnvironment, but asks for metadata directly, also at the
// private addresses where some platforms serve it: a proxy would see the headers
// and the token, and ask its own machine's metadata server at that.
func proxy(req *http.Request) (*url.URL, error) {
	host := req.URL.Hostname()
	if req.URL.Scheme == "http" && (plainAllowed(host, PlainLinkLocal) || Private(host)) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(req)
}

// sharedAddresses are those of RFC 6598, which are as private as those of
// RFC 1918.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// Private reports whether host is an address that is not of the internet.
func Private(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.Unmap().IsPrivate() || sharedAddresses.Contains(ip.Unmap()))
}

// Client returns a client that uses base's Transport and Timeout, follows no
// redirect (it returns the 3xx response) and ignores base's cookie jar. A nil
// base, or one without a Transport, uses the transport that all sources share.
func Client(base *http.Client) *http.Client {
	c := &http.Client{
		Transport: quietTransport{Transport(base)},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	if base != nil {
		c.Timeout = base.Timeout
	}
	return c
}

// Transport returns base's Transport, and the one that all sources share if there
// is none.
func Transport(base *http.Client) http.RoundTripper {
	if base == nil || base.Transport == nil {
		return shared
	}
	return base.Transport
}

// Send has t send req, as an [http.Client] does it that follows no redirect and
// has neither cookies nor a timeout.
func Send(t http.RoundTripper, req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTrip(req)
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(e.RecordHeader[:]) == "HTTP/" {
		err = http.ErrSchemeMismatch // which says what to do
	}
	if err != nil {
		return nil, err
	}
	if resp == nil {
		return nil, fmt.Errorf("the transport %T returned neither a response nor an error", t)
	}
	if resp.Body == nil {
		if resp.ContentLength > 0 {
			return nil, fmt.Errorf("the transport %T returned a response without its body", t)
		}
		resp.Body = http.NoBody
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body.Close() // it is the bare connection, and no context ends a reading of that
		resp.Body = http.NoBody
	}
	return resp, nil
}

// quietTransport leaves of a Location no more than where it points: a client
// shows the whole of one that it cannot parse in its error, and there may be a
// token in it.
type quietTransport struct{ base http.RoundTripper }

func (t quietTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := Send(t.base, req)
	if err != nil || resp.Header.Get("Location") == "" {
		return resp, err
	}
	location, parseErr := resp.Location()
	resp.Header = resp.Header.Clone()
	resp.Header.Del("Location")
	if parseErr == nil {
		resp.Header.Set("Location", (&url.URL{Scheme: location.Scheme, Host: location.Host, Path: "/"}).String())
	}
	return resp, nil
}

// Plain says to which hosts a request may go over plain http.
type Plain int

const (
	PlainLoopback  Plain = iota // this machine only
	PlainLinkLocal              // also metadata servers: link-local addresses and the few others that clouds define
	PlainAnywhere               // any host; the caller has been told
)

// CheckURL parses raw and checks that it can be asked for with a secret: an
// absolute https URL (http as plain allows) with a host, without user
// information and without a fragment. Its errors do not show the URL's user
// information or query.
func CheckURL(raw string, plain Plain) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// net/url quotes what it could not read, which in
		// "https://user:pass/word@host" is a part of the password.
		return nil, errors.New("not a URL: its host, port or %-escapes cannot be read")
	}
	var errs []error
	switch scheme := strings.ToLower(u.Scheme); {
	case scheme == "", strings.Contains(scheme, "."): // of host:port, the host
		errs = append(errs, errors.New("no scheme: begin it with https://"))
	case scheme != "https" && scheme != "http":
		errs = append(errs, fmt.Errorf("scheme %q is not https", u.Scheme))
	case u.Hostname() == "":
		errs = append(errs, errors.New("no host"))
	case scheme == "http" && !plainAllowed(u.Hostname(), plain):
		errs = append(errs, fmt.Errorf("plain http to %s would show the token to the network: use https", u.Host))
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r >= utf8.RuneSelf }) {
		errs = append(errs, errors.New("the host has letters beyond ASCII, which look like others: write it in its xn-- form"))
	}
	if u.User != nil {
		errs = append(errs, errors.New("a user name or password in the URL would be sent as an Authorization header: remove it"))
	}
	if u.Fragment != "" {
		errs = append(errs, errors.New("a fragment is never sent: remove it"))
	}
	return u, errors.Join(errs...)
}

func plainAllowed(host string, plain Plain) bool {
	if plain == PlainAnywhere || Loopback(host) {
		return true
	}
	return plain == PlainLinkLocal && metadata(host)
}

// awsMetadata is where AWS serves metadata by IPv6: unique local addresses
// that it keeps for itself, as it cannot use link-local ones.
var awsMetadata = netip.MustParsePrefix("fd00:ec2::/32")

// metadata reports whether host is, by definition, reached without leaving the
// cloud's own hypervisor.
func metadata(host string) bool {
	if strings.EqualFold(host, "metadata.google.internal") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.Unmap().IsLinkLocalUnicast() || awsMetadata.Contains(ip))
}

// Loopback reports whether host, a name or an address without a port, is this
// machine by definition.
func Loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// TemporaryStatus reports whether a request that was answered with status may
// be made again as it is.
func TemporaryStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// RetryAfter returns how long the Retry-After field of an answer asks to wait, in
// seconds or as a date (RFC 9110, section 10.2.3). What cannot be read is no wish.
func RetryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(time.Until(date), 0)
	}
	return 0
}

// IsNetwork reports whether err comes from a network. The errors of files are
// none, although a syscall.Errno has the methods of a net.Error.
func IsNetwork(err error) bool {
	network, ok := errors.AsType[net.Error](err)
	_, errno := network.(syscall.Errno)
	return ok && !errno
}

// ErrBodyTooLarge is ReadBody's error for a body over [MaxBody]. Unlike its
// other errors it will be the same next time.
var ErrBodyTooLarge = fmt.Errorf("the body is larger than %d bytes", MaxBody)

// ReadBody reads body to its end. A body over [MaxBody] is an error, as a part
// of an answer is none.
func ReadBody(body io.Reader) ([]byte, error) {
	b := make([]byte, 0, 1<<10) // most answers fit
	for {
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > MaxBody:
			return nil, ErrBodyTooLarge
		case err == io.EOF:
			return b, nil
		case err != nil:
			return nil, err
		case len(b) == cap(b):
			b = slices.Grow(b, len(b))
		}
	}
}

// IsRedirect reports whether status asks the client to go elsewhere.
func IsRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}
