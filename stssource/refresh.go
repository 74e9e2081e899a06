package stssource

import (
	"errors"
	"log/slog"
	"math"
	"time"
)

// Refresh says when a [Source] renews its token, how long it tries, and who is
// told. The zero value is good for most programs. A negative duration is an
// error of [New].
type Refresh struct {
	// Before is how long before its expiry a token is renewed. If zero, it is
	// renewed when a quarter of its life is left, at most 5 minutes, less up to
	// a fifth of that at random, so that the instances of a program do not all
	// renew at once. A value that is set has no random part. It is never more
	// than half of a token's life.
	Before time.Duration

	// Timeout limits an exchange that callers wait for: asking for the subject
	// token, and all attempts with the pauses between them. If zero, it is 1
	// minute. Each token request has a limit of its own: see
	// [Config].HTTPClient.
	Timeout time.Duration

	// DefaultLifetime is how long a token lives if neither the answer nor the
	// tokens themselves tell. If zero, such a token is kept for ever and never
	// renewed, so set it for a service that does not send expires_in.
	DefaultLifetime time.Duration

	// Observe, if not nil, is called after each attempt to get a token. Calls
	// come one after another, in order, on a goroutine of their own: nobody
	// waits for them. While one blocks, up to 64 attempts are queued, and
	// further ones are dropped. A panic in it ends the program.
	Observe func(Attempt)

	// Logger, if not nil, logs each attempt: successes at level Debug, failures
	// at Warn. No token, secret or URL query is logged.
	Logger *slog.Logger
}

const (
	defaultTimeout = time.Minute

	// maxMargin is enough for the retries of a long outage; a larger part of a
	// long-lived token would only cost exchanges.
	maxMargin = 5 * time.Minute

	// jitterPart is the part of the margin that is given up at random. Less
	// margin, not more: Refresh.Before and the 5 minutes stay upper bounds.
	jitterPart = 0.2

	// maxTries bounds the attempts made while callers wait. Some services
	// answer a lasting mistake with 500; it must not be retried for a minute.
	maxTries = 4

	// minPatience is what a healthy exchange needs at the most, as a rule.
	minPatience = 250 * time.Millisecond

	// firstPause is the pause after a first failure; each further one doubles
	// it. Three pauses, each at least half of its nominal value, bridge an
	// outage of 1.4 seconds at the least.
	firstPause = 400 * time.Millisecond
	maxPause   = 30 * time.Second

	// maxSleep bounds how long a timer waits at a time. A timer outlives the
	// source that nobody references any more; a few bytes of it, until then.
	maxSleep = 30 * time.Minute

	// maxRunning is how many calls of a fetch function may be under way if
	// some do not return when their time is up: the current one and two that
	// were left behind.
	maxRunning = 3

	// firstHold is how long callers get a failed exchange's error at once
	// instead of another exchange; each further failure doubles it.
	firstHold = 500 * time.Millisecond
	maxHold   = 30 * time.Second

	// maxMendableHold is the bound for failures that end when a subject token
	// is rotated: nobody should wait half a minute longer than that.
	maxMendableHold = 5 * time.Second

	// forever is the age that no token reaches.
	forever = time.Duration(math.MaxInt64)
)

func (r Refresh) check() error {
	var errs []error
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Refresh.Before", r.Before},
		{"Refresh.Timeout", r.Timeout},
		{"Refresh.DefaultLifetime", r.DefaultLifetime},
	} {
		if d.value < 0 {
			errs = append(errs, errors.New(d.name+" is negative"))
		}
	}
	return errors.Join(errs...)
}

func (r Refresh) timeout() time.Duration {
	if r.Timeout > 0 {
		return r.Timeout
	}
	return defaultTimeout
}

// dueAt returns the age at which a token that lives for life is to be renewed.
// random is in [0, 1).
func (r Refresh) dueAt(life time.Duration, random float64) time.Duration {
	if life == forever {
		return forever
	}
	if r.Before > 0 {
		return life - min(r.Before, life/2)
	}
	margin := min(life/4, maxMargin)
	return life - margin + time.Duration(random*jitterPart*float64(margin))
}

// patience returns how long an attempt may take while a token with left of its
// life is still served. Half of what is left, so that another attempt can be
// made, but no less than twice what the last success took, nor than minPatience:
// to give up a healthy exchange because little is left would turn slowness into
// an outage.
func patience(left, took, timeout time.Duration) time.Duration {
	return min(max(left/2, 2*took, minPatience), timeout)
}

// doubled returns first doubled n-1 times, at most limit, with the upper half
// of it at random. The lower half is kept, where full jitter would not: four
// attempts within a few milliseconds would survive no outage at all.
func doubled(first, limit time.Duration, n int, random float64) time.Duration {
	d := limit
	if shift := n - 1; shift < 32 && first<<shift < limit {
		d = first << shift
	}
	return d/2 + time.Duration(random*float64(d)/2)
}

// pause returns how long to wait after the nth failure in a row before the next
// attempt, where the service asked for after.
func pause(n int, after time.Duration, random float64) time.Duration {
	return max(doubled(firstPause, maxPause, n, random), after)
}

// pauseAhead is pause while a token with left of its life is still served: at
// most half of that, whatever the service asked for, so that the source tries
// again before callers have to wait.
func pauseAhead(n int, after, left time.Duration, random float64) time.Duration {
	return min(pause(n, after, random), max(left/2, firstPause))
}

// hold returns for how long the error of the nth failed exchange in a row is
// handed to callers before the service is asked again.
func hold(n int, after time.Duration, mendable bool, random float64) time.Duration {
	longest := maxHold
	if mendable {
		longest = maxMendableHold
	}
	return max(doubled(firstHold, longest, n, random), min(after, maxHold))
}
