package stssource

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// flight is one exchange, shared by everybody who waits for it. entry and err
// are set before done is closed.
type flight struct {
	trigger  Trigger
	tries    int       // attempts made while there was no token to serve
	deadline time.Time // of those tries; zero before the first
	done     chan struct{}
	entry    *entry
	err      error
}

// begin starts a flight. It requires that mu is held and none is under way.
func (c *cache) begin(trigger Trigger) *flight {
	f := &flight{trigger: trigger, done: make(chan struct{})}
	c.flight = f
	c.stop()
	go c.fly(f)
	return f
}

// fly makes attempts until one succeeds or the flight is given up.
func (c *cache) fly(f *flight) {
	for {
		pause, again := c.attempt(f)
		if !again {
			return
		}
		time.Sleep(pause)
	}
}

// attempt asks for a token once. It reports whether to ask again, and after
// what pause.
func (c *cache) attempt(f *flight) (pause time.Duration, again bool) {
	limit, refusals := c.limit(f)
	start := time.Now()
	tok, err := c.call(limit, refusals)
	report := Attempt{Start: start, Duration: time.Since(start), Trigger: f.trigger}
	var e *entry
	if err == nil {
		e, err = newEntry(tok, start, *c.refresh, c.random())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchanges++
	if err == nil {
		report.Expiry = e.token.Expiry
		c.succeed(f, e, report.Duration)
	} else {
		pause, again = c.fail(f, asError(err))
		report.Err = c.trouble.last
	}
	c.reporter.add(report)
	return pause, again
}

// limit returns how long the next attempt of f may take, and how many flights in
// a row have failed.
func (c *cache) limit(f *flight) (limit time.Duration, refusals int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.left(); left > 0 {
		return patience(left, c.took, c.refresh.timeout()), c.trouble.refusals
	}
	if f.deadline.IsZero() {
		f.deadline = time.Now().Add(c.refresh.timeout())
	}
	return time.Until(f.deadline), c.trouble.refusals
}

// left returns how much of the current token's life is left; zero if there is
// no token.
func (c *cache) left() time.Duration {
	if e := c.current.Load(); e != nil {
		return max(e.left(), 0)
	}
	return 0
}

// grace is how long a call that was cancelled has to return with an error of
// its own before it is left behind.
const grace = 100 * time.Millisecond

// call runs fetch under a deadline of its own, with none of a caller's context
// values. A fetch that panics, exits its goroutine or does not return is an
// error and harms nobody else.
func (c *cache) call(limit time.Duration, refusals int) (oauth2.Token, error) {
	if n := c.running.Load(); n >= maxRunning {
		return oauth2.Token{}, &Error{Stage: StageFetch, Temporary: true, Err: fmt.Errorf(
			"%d earlier calls have not returned although their time was up: the provider must heed its context", n)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	type result struct {
		tok oauth2.Token
		err error
	}
	results := make(chan result, 1)
	c.running.Add(1)
	go func() {
		r := result{err: errExited}
		defer func() {
			if v := recover(); v != nil {
				r = result{err: panicError(v)}
			}
			c.running.Add(-1)
			results <- r
		}()
		r.tok, r.err = c.source.fetch(ctx, refusals)
		if r.err != nil {
			// Here, as the methods of a foreign error may panic.
			r.err = asError(r.err)
			_ = r.err.Error()
		}
	}()
	select {
	case r := <-results:
		return r.tok, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-results:
		return r.tok, r.err
	case <-time.After(grace):
		return oauth2.Token{}, fmt.Errorf("no answer after %v: %w", limit.Round(time.Millisecond), ctx.Err())
	}
}

var errExited = errors.New("the provider ended its goroutine (runtime.Goexit)")

// panicError describes a recovered value, and where the panic began. A value
// that is not the runtime's own may hold anything, a token among it: only its
// type is told.
func panicError(v any) error {
	place := panicPlace()
	if err, ok := v.(interface {
		error
		RuntimeError()
	}); ok {
		return fmt.Errorf("panic in %s: %w", place, err)
	}
	return fmt.Errorf("panic in %s with a %T", place, v)
}

// panicPlace returns the function and the line that panicked, for a deferred
// function that has recovered.
func panicPlace() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for panicking, more := false, true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		inRuntime := strings.HasPrefix(f.Function, "runtime.") || strings.HasPrefix(f.Function, "internal/runtime/")
		if panicking && !inRuntime {
			return fmt.Sprintf("%s (%s:%d)", f.Function, filepath.Base(f.File), f.Line)
		}
		panicking = panicking || f.Function == "runtime.gopanic"
	}
	return "a function that is not known"
}

// succeed makes e the current token and ends f. It requires that mu is held.
func (c *cache) succeed(f *flight, e *entry, took time.Duration) {
	c.current.Store(e)
	c.trouble = noTrouble
	c.took = took
	c.succeeded = time.Now().UnixNano()
	if e.due != forever {
		c.arm(e.due - time.Since(e.start))
	}
	c.end(f, e, nil)
}

// fail decides what follows a failed attempt: while a token is valid the flight
// ends and a timer starts the next one; otherwise the same flight tries again
// for a while, and then its error is handed to everybody for a while. It requires
// that mu is held.
func (c *cache) fail(f *flight, err *Error) (wait time.Duration, again bool) {
	c.failures++
	now, t := time.Now(), *c.trouble
	c.trouble = &t
	t.failures++
	if left := c.left(); left > 0 {
		wait := pauseAhead(t.failures, err.retryAfter, left, c.random())
		t.nextTry = now.Add(wait)
		t.last = err.withNext(t.nextTry)
		c.arm(wait)
		c.end(f, nil, t.last)
		return 0, false
	}
	f.tries++
	if f.deadline.IsZero() {
		f.deadline = now.Add(c.refresh.timeout())
	}
	wait = pause(f.tries, err.retryAfter, c.random())
	// After one flight that tried in vain, further ones ask once: the callers
	// of a service that is down make a handful of requests, not four each time.
	if err.Temporary && t.refusals == 0 && f.tries < maxTries && now.Add(wait).Before(f.deadline) {
		t.last = err.withNext(now.Add(wait))
		return wait, true
	}
	t.refusals++
	t.heldUntil = now.Add(hold(t.refusals, err.retryAfter, err.mendable(), c.random()))
	t.last = err.withNext(t.heldUntil)
	t.held = t.last
	c.end(f, nil, t.held)
	return 0, false
}

// end hands the outcome of f to those who wait. It requires that mu is held.
func (c *cache) end(f *flight, e *entry, err error) {
	f.entry, f.err = e, err
	c.flight = nil
	close(f.done)
}
