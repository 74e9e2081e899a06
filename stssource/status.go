package stssource

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Trigger is the reason why an attempt to get a token was made.
type Trigger string

const (
	TriggerFirst       Trigger = "first"       // there was no token yet
	TriggerAhead       Trigger = "ahead"       // the token was still valid, and due for renewal
	TriggerExpired     Trigger = "expired"     // the token had expired
	TriggerInvalidated Trigger = "invalidated" // the token had been rejected: see Source.Invalidate
)

// Attempt describes one attempt to get a token, for [Refresh].Observe. It holds
// no secret.
type Attempt struct {
	Start    time.Time     // when it began
	Duration time.Duration // how long it took, including asking for the subject token
	Trigger  Trigger       // why it was made
	Err      error         // why it failed, an *Error; nil if it succeeded
	Expiry   time.Time     // when the new token expires; zero if that is not known or it failed
}

// Status is the state of a [Source], for health checks and metrics. It holds no
// secret. A token that nobody asks for is renewed once at most: a health check
// that nothing else keeps company must ask for it, too.
type Status struct {
	Valid       bool      // whether a token is cached that has not expired
	Expiry      time.Time // when that token expires; zero if there is none or it is not known
	NextRefresh time.Time // when that token is renewed, if it is used; zero if never
	LastSuccess time.Time // when an attempt last succeeded; zero if none did
	LastError   error     // why the last attempt failed, an *Error; nil if it succeeded or there was none
	Exchanges   int       // number of attempts so far, failed ones included
	Failures    int       // number of attempts that failed
}

// maxReports is how many attempts are kept for an observer that blocks.
const maxReports = 64

// reporter tells an observer and a logger of attempts, one after another, from a
// goroutine of its own: they may take their time, ask for a token or end that
// goroutine.
type reporter struct {
	refresh *Refresh

	mu      sync.Mutex
	queue   []Attempt // not yet told
	telling bool      // a goroutine tells them
}

func newReporter(r *Refresh) *reporter {
	if r.Observe == nil && r.Logger == nil {
		return nil
	}
	return &reporter{refresh: r}
}

// add has a told. A nil reporter tells nobody.
func (r *reporter) add(a Attempt) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxReports {
		return
	}
	r.queue = append(r.queue, a)
	if !r.telling {
		r.telling = true
		go r.tell()
	}
}

// tell calls the observer and the logger until there is nothing left to tell.
func (r *reporter) tell() {
	idle := false
	defer func() {
		if !idle { // the observer ended this goroutine: another goes on
			go r.tell()
		}
	}()
	for {
		a, ok := r.next()
		if !ok {
			idle = true
			return
		}
		r.refresh.report(a)
	}
}

func (r *reporter) next() (a Attempt, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		r.queue, r.telling = nil, false
		return Attempt{}, false
	}
	a = r.queue[0]
	r.queue = r.queue[1:]
	return a, true
}

// report tells the logger and then the observer of a: an observer may take its
// time, or end the goroutine.
func (r *Refresh) report(a Attempt) {
	if r.Logger != nil {
		r.log(a)
	}
	if r.Observe != nil {
		r.Observe(a)
	}
}

func (r *Refresh) log(a Attempt) {
	ctx := context.Background()
	attrs := []slog.Attr{slog.String("trigger", string(a.Trigger)), slog.Duration("duration", a.Duration)}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", a.Err.Error()))
		r.Logger.LogAttrs(ctx, slog.LevelWarn, "token refresh failed", attrs...)
		return
	}
	attrs = append(attrs, slog.Time("expiry", a.Expiry))
	r.Logger.LogAttrs(ctx, slog.LevelDebug, "token refreshed", attrs...)
}
