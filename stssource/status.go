package stssource

import (
	"context"
	"log/slog"
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
