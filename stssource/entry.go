package stssource

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// leaseTime is how long one look at both clocks is good for. It bounds how long
// after the end of a suspension, or a step of the wall clock, a token that has
// ended may still be handed out.
const leaseTime = 10 * time.Millisecond

// entry is a token and when it ends. Everything is counted as an age since
// start, by whichever clock says more: the monotonic clock stands still while
// the machine is suspended, and the wall clock can be set back.
type entry struct {
	token  oauth2.Token  // callers get copies
	header string        // the Authorization value; empty if the token has none
	start  time.Time     // when the attempt began, with its monotonic reading
	wall   int64         // the wall clock at start, in Unix nanoseconds
	due    time.Duration // the age at which a refresh begins
	end    time.Duration // the age at which the token is no longer handed out

	lease atomic.Int64 // the age by the monotonic clock until which nothing needs to be compared
	used  atomic.Bool  // whether the token was handed out
}

// newEntry checks tok and works out when it is due and when it ends. The
// attempt that brought it began at start.
func newEntry(tok oauth2.Token, start time.Time, r Refresh, random float64) (*entry, error) {
	if tok.AccessToken == "" {
		return nil, errors.New("no access token and no error")
	}
	e := &entry{start: start, wall: start.UnixNano(), end: forever}
	switch {
	case !tok.Expiry.IsZero():
		// Sub stops at the least Duration there is, from which nothing can be taken.
		e.end = max(tok.Expiry.Sub(start), -forever/2)
	case r.DefaultLifetime > 0:
		e.end = r.DefaultLifetime
	}
	if e.left() <= 0 {
		return nil, &Error{Stage: StageFetch, Temporary: true, Err: fmt.Errorf("the new token ended %v ago: check this machine's clock",
			-e.left().Round(time.Millisecond))}
	}
	e.due = r.dueAt(e.end, random)
	e.keep(tok)
	return e, nil
}

// keep copies tok. The Expiry that is handed out has no monotonic reading: with
// one, oauth2.ReuseTokenSource would not notice a suspension of the machine.
func (e *entry) keep(tok oauth2.Token) {
	e.token = tok
	if e.end != forever {
		e.token.Expiry = e.start.Add(e.end).Round(0)
	}
	if isBearer(tok.TokenType) {
		// One string serves both: the token is the end of the header.
		e.header = "Bearer " + tok.AccessToken
		e.token.AccessToken = e.header[len("Bearer "):]
	}
}

// isBearer reports whether a token of this type goes into a header as a Bearer
// token. N_A (RFC 8693, section 2.2.1) is not a scheme.
func isBearer(tokenType string) bool {
	return tokenType == "" || strings.EqualFold(tokenType, "Bearer")
}

// leased reports whether a look at both clocks that found e neither due nor
// ended is recent enough. It reads the monotonic clock alone.
func (e *entry) leased() bool { return int64(time.Since(e.start)) < e.lease.Load() }

// ages returns the age of e by the monotonic clock, and by the clock that says
// more.
func (e *entry) ages() (mono, age time.Duration) {
	now := time.Now()
	mono = now.Sub(e.start)
	return mono, max(mono, time.Duration(now.UnixNano()-e.wall))
}

// left returns how much of the life of e is left; it is negative after its end.
func (e *entry) left() time.Duration {
	_, age := e.ages()
	return e.end - age
}

// leaseFrom returns the lease to give at these ages: leaseTime, but not past
// the instant at which e becomes due or ends.
func (e *entry) leaseFrom(mono, age time.Duration) int64 {
	next := e.end
	if age < e.due {
		next = e.due
	}
	return int64(mono + min(leaseTime, next-age))
}
