// Package ststest is a token service for tests: what net/http/httptest is to
// HTTP, for the OAuth 2.0 token exchange of RFC 8693 and for Google's Security
// Token Service.
//
// A [Handler] checks each request strictly, answers as a real service would,
// and keeps a record. Serve it in memory, where no socket is opened and the
// clock of a testing/synctest bubble applies:
//
//	service := &ststest.Handler{Lifetime: time.Minute}
//	client := &http.Client{Transport: service.RoundTripper()}
//	// Give client, and any URL as the token URL, to the code under test.
//
// or on a loopback port, for code that must dial:
//
//	server := ststest.NewServer(service)
//	defer server.Close()
//	// Give server.TokenURL, and server.Client(), to the code under test.
//
// Then see what was sent. A request that breaks a rule was answered with an
// error, and its Problem names the rule:
//
//	for _, r := range service.Requests() {
//		if r.Problem != "" {
//			t.Error(r.Problem)
//		}
//	}
//
// [Handler.Script] makes the service fail: an outage of three requests, then a
// refusal, then normal service:
//
//	service.Script(
//		ststest.Reply{Status: 503, RetryAfter: "1", Times: 3},
//		ststest.Reply{Error: "invalid_grant"},
//	)
//
// [Handler.Protect] is the other side: an API that takes only tokens that the
// service has issued, and that have neither expired nor been revoked.
//
// Requests are recorded whole, tokens and client secrets included, and print
// as they are. Use nothing but made-up credentials with this package.
package ststest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Mode is the set of rules a [Handler] keeps to.
type Mode int

const (
	// RFC8693 is the strict reading of RFC 8693 and of RFC 6749 below it: form
	// bodies only, and an error for whatever those documents tell a client not
	// to send, even where most servers let it pass. It goes beyond them in two
	// points: the Accept header must name JSON, and nothing that belongs into
	// the body may be in the URL.
	RFC8693 Mode = iota

	// Google is the token method of Google's Security Token Service, v1 and
	// v1beta: form bodies, or JSON with the members of the API reference; the
	// limits on audience, options and query parameters; no Authorization
	// header. What that service would ignore and a client should not send,
	// such as an empty parameter or a second audience, is an error as well.
	//
	// Errors have the two shapes of the original: a request that never reaches
	// the token logic is answered with a google.rpc.Status, a refusal by the
	// token logic with the flat object of RFC 6749, section 5.2. The query
	// parameters fields, prettyPrint, callback and $.xgafv do what they do
	// there; alt must be json.
	Google
)

// Handler is a token service. The zero value is ready for use: RFC 8693,
// tokens that live for an hour, any subject token accepted, no client
// authentication. It does not look into a subject token, which need not be what
// its type says: that is for Accept.
//
// Set the fields before the first request; the methods may be called at any
// time and from several goroutines. A Handler must not be copied after its
// first use.
type Handler struct {
	// Mode selects the rules. The zero value is RFC8693.
	Mode Mode

	// Path is the path of the token endpoint; any other path is 404. If empty,
	// every path is the token endpoint, and in Google mode /v1/token and
	// /v1beta/token are. In Google mode the rules of v1beta apply to a path
	// that has /v1beta/ in it, those of v1 to any other.
	Path string

	// Lifetime is how long issued tokens are valid. If zero, it is one hour; if
	// negative, tokens do not expire and expires_in is left out. The answer
	// tells it in whole seconds, any fraction dropped.
	//
	// For an access token as the subject, Google mode leaves expires_in out
	// unless a [Reply] sets a Lifetime: the new token ends with the subject
	// token. (Google v1 does so for users' tokens only; here nobody knows whose
	// token it is, and the missing number is what clients get wrong.)
	Lifetime time.Duration

	// Delay is how long each answer is held back. If zero, it is not. A request
	// that is cancelled meanwhile gets no answer.
	Delay time.Duration

	// ClientID and ClientSecret are the credentials of the one client there
	// is. If ClientID is empty, client credentials are refused, since a client
	// should not send what nobody asked for; otherwise they are required, in a
	// Basic Authorization header with both parts form-encoded or as parameters
	// in the body, never both (RFC 6749, section 2.3.1). An empty ClientSecret
	// makes it a public client, which sends client_id alone. Google mode takes
	// the header only, and takes it unencoded as well, as Google's own clients
	// send it.
	ClientID, ClientSecret string

	// AcceptAssertion tells whether a client assertion (RFC 7523, section 2.2)
	// is good. If nil, none is. RFC8693 mode only. It may be called from
	// several goroutines.
	AcceptAssertion func(assertion string) error

	// Accept tells whether a subject token is good; the text of its error
	// becomes the description of an invalid_grant error. (RFC 8693, section
	// 2.2.2, says invalid_request; Google and others say invalid_grant.) If
	// nil, every subject token is. It may be called from several goroutines.
	Accept func(subjectToken string) error

	mu       sync.Mutex // guards what follows; not held while waiting, calling out or writing
	script   []Reply
	requests []*Request
	waiters  []waiter
	issued   map[string]time.Time // when each valid token ends; zero: never
	serial   int                  // tokens issued so far
}

// ServeHTTP answers one request as the script or, without one, the rules of
// h.Mode say.
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

// Script sets how the next requests are answered, one [Reply] for each unless
// its Times says otherwise; after the last one the service is back to normal.
// What is left of an earlier script is dropped, so that Script without
// arguments ends an outage. Requests to a path that is not the token endpoint
// are not counted.
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

// Reset makes h forget its script, the recorded requests and the tokens it has
// issued, which are no longer valid then. The fields stay as they are.
func (h *Handler) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script, h.requests, h.issued = nil, nil, nil
}
