package stssource

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Trigger says why an attempt to get a token was made.
type Trigger string

const (
	TriggerFirst       Trigger = "first"       // there was no token yet
	TriggerAhead       Trigger = "ahead"       // the token was due for renewal, and still valid
	TriggerExpired     Trigger = "expired"     // the token had ended before a new one came
	TriggerInvalidated Trigger = "invalidated" // the token was rejected: see Source.Invalidate
)

// Attempt is one attempt to get a token, as [Refresh].Observe is told of it. It
// holds no token.
type Attempt struct {
	Start    time.Time     // when it began
	Duration time.Duration // how long it took, including the subject token
	Trigger  Trigger       // why it was made
	Err      error         // an *Error, or nil if it brought a token
	Expiry   time.Time     // when that token ends; zero if it failed or the end is not known
}

// Status is what a [Source] knows of itself, for health checks and metrics. It
// holds no token. All instants are readings of the wall clock.
type Status struct {
	Valid       bool      // a token is cached and has not ended
	Expiry      time.Time // when the cached token ends; zero if there is none or its end is not known
	NextRefresh time.Time // when the cached token is renewed next; zero if never
	LastSuccess time.Time // when the last token arrived; zero if none did
	LastError   error     // an *Error: why the last attempt failed; nil if it did not
	Exchanges   int       // attempts made so far, failed ones included
	Failures    int       // attempts that failed
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

// report tells the observer and the logger of a.
func (r Refresh) report(a Attempt) {
	if r.Observe != nil {
		r.Observe(a)
	}
	if r.Logger == nil {
		return
	}
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
