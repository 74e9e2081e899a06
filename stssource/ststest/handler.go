// Package ststest is a token service for tests: what net/http/httptest is to
// HTTP, for OAuth 2.0 token exchange (RFC 8693) and for Google's Security Token
// Service.
//
// A [Handler] checks requests strictly, issues tokens, and records what it was
// sent. Serve it in memory by [Handler.RoundTripper], or on a loopback port by
// [NewServer]. [Handler.Script] makes it fail. [Handler.Protect] wraps an API,
// which then accepts only tokens that the Handler has issued.
//
// In memory it works in a bubble of [testing/synctest], where an hour passes at
// once. Here a short outage must not show:
//
//	func TestOutage(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			service := &ststest.Handler{Lifetime: time.Hour}
//			src := newSource(t, &http.Client{Transport: service.RoundTripper()})
//			if _, err := src.Token(); err != nil {
//				t.Fatal(err)
//			}
//			service.Script(ststest.Reply{Status: 503, Times: 3})
//			time.Sleep(time.Hour) // of the bubble's time
//			token, err := src.Token()
//			if err != nil || !service.Valid(token.AccessToken) {
//				t.Error("the outage shows:", err)
//			}
//		})
//	}
//
// [Handler.Requests] returns what was sent. A request that broke a rule of the
// protocol was refused, and its Problem names the rule.
//
// The package does not issue JSON Web Tokens, and does not look into a subject
// token unless Handler.Accept does. It records and prints tokens and client
// secrets: use made-up ones only.
package ststest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Mode is the set of rules that a [Handler] checks requests by.
type Mode int

const (
	// RFC8693 is a strict reading of RFC 8693 and, below it, RFC 6749: form
	// bodies only, and an error for whatever they tell a client not to send,
	// even where most servers accept it. Beyond them, the Accept header must
	// name JSON, and nothing that belongs into the body may be in the URL.
	RFC8693 Mode = iota

	// Google is the method token of Google's Security Token Service, v1 and
	// v1beta: form bodies, or JSON with the members of the API reference; its
	// limits on audience, options and query parameters; no Authorization header
	// but a client's. Whatever the service would ignore and a client should not
	// send, such as an empty parameter or a second audience, is an error as
	// well.
	//
	// Errors have the two shapes of that service: a google.rpc.Status for a
	// request that does not reach the token logic, and the object of RFC 6749,
	// section 5.2, for a refusal by the token logic. The query parameters
	// fields, prettyPrint, callback and $.xgafv do what they do there; alt must
	// be json. See
	// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token.
	Google
)

// Handler is a token service. The zero value is ready to use: it has the rules
// of RFC 8693, accepts any subject token and no client authentication, and
// issues tokens that live for an hour. It does not look into subject tokens;
// Accept may.
//
// Set the fields before the first request. The methods may be called at any
// time, from several goroutines. A Handler must not be copied after its first
// use.
type Handler struct {
	// Mode selects the rules. If zero, it is [RFC8693].
	Mode Mode

	// Path is the path of the token endpoint; any other is answered with 404.
	// If empty, every path is the token endpoint, or in Google mode /v1/token
	// and /v1beta/token. In Google mode a path that has /v1beta/ in it gets the
	// rules of v1beta, and any other those of v1.
	Path string

	// Lifetime is how long issued tokens are valid. If zero, it is one hour. If
	// negative, they do not expire, and answers have no expires_in. Otherwise
	// expires_in is in whole seconds, without the fraction.
	//
	// In Google mode a token made from an access token ends with that one, and
	// its answer has no expires_in unless a [Reply] sets a Lifetime. (Google v1
	// leaves it out for tokens of users only. Here nobody knows whose token it
	// is, and a missing expires_in is what clients get wrong.)
	Lifetime time.Duration

	// Delay is how long each answer is held back. If zero, it is not. A request
	// that is cancelled meanwhile gets no answer.
	Delay time.Duration

	// ClientID and ClientSecret are the credentials of the one client. If
	// ClientID is empty, there is none, and client credentials are refused.
	// Otherwise they are required: in a Basic Authorization header with both
	// parts form-encoded, or as parameters of the body, never both (RFC 6749,
	// section 2.3.1). If ClientSecret is empty, it is a public client, which
	// sends client_id alone. Google mode takes the header only, also without
	// form-encoding, as Google's own clients send it.
	ClientID, ClientSecret string

	// AcceptAssertion reports by its error whether a client assertion (RFC
	// 7523, section 2.2) is good. If nil, none is. It is for RFC8693 mode only,
	// and may be called from several goroutines.
	AcceptAssertion func(assertion string) error

	// Accept reports by its error whether a subject token is good. The text of
	// the error becomes the description of an invalid_grant error (RFC 8693,
	// section 2.2.2, says invalid_request; Google and others say
	// invalid_grant). If nil, every subject token is good. It may be called
	// from several goroutines.
	Accept func(subjectToken string) error

	mu       sync.Mutex // guards what follows; not held while waiting, calling out or writing
	script   []Reply
	requests []*Request
	waiters  []waiter
	issued   map[string]grant // the valid tokens
	serial   int              // tokens issued so far
}

// ServeHTTP answers a request by the script or, if there is none, by the rules
// of h.Mode.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := h.read(r)
	bad := h.check(c)
	if bad != nil {
		c.Problem = bad.text
	}
	record, reply := h.admit(c)
	if !pause(r.Context(), cmp.Or(reply.Delay, h.Delay)) {
		return
	}
	if reply.Hang {
		<-r.Context().Done()
		return
	}
	if reply.Reset {
		reset(w)
		return
	}
	a := h.answer(c, reply, bad)
	h.answered(record, a)
	a.send(w, r, reply)
}

func (h *Handler) check(c *call) *refusal {
	if h.Mode == Google {
		return checkGoogle(c)
	}
	return checkRFC8693(c)
}

// admit records a request and takes its reply off the script in one step, so
// that the two have the same order.
func (h *Handler) admit(c *call) (*Request, Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.record(c.Request), h.nextReply(c)
}

// pause waits for d, or until ctx is done, and tells which.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Script sets how the next requests are answered: one by each [Reply], unless
// its Times says otherwise. After the last one the answers are normal again.
// What is left of an earlier script is dropped, so Script without arguments
// ends an outage. Requests to another path than that of the token endpoint do
// not count.
func (h *Handler) Script(replies ...Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script = slices.Clone(replies)
}

// nextReply takes the next reply off the script. Without one it returns the
// zero Reply, which means normal service. It requires that h.mu is held.
func (h *Handler) nextReply(c *call) Reply {
	if len(h.script) == 0 || !c.found {
		return Reply{}
	}
	next := h.script[0]
	switch {
	case next.Times < 0:
	case next.Times > 1:
		h.script[0].Times--
	default:
		h.script = h.script[1:]
	}
	return next
}

// Reset drops the script, the recorded requests and the issued tokens of h,
// which are then no longer valid. The fields stay as they are.
func (h *Handler) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script, h.requests, h.issued = nil, nil, nil
}
