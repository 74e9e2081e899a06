package stssource

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"golang.org/x/oauth2"
)

// cache keeps one token, shares it, and renews it before it ends. It takes a
// function and knows nothing of where tokens come from.
//
// While a token is neither due nor ended, callers read current and one clock
// and are gone. mu is taken to begin, join or end a flight, never across one.
type cache struct {
	fetch   func(context.Context) (*oauth2.Token, error)
	refresh Refresh
	random  func() float64 // in [0, 1)

	current atomic.Pointer[entry] // nil: no token; stored with mu held

	mu        sync.Mutex
	flight    *flight       // the exchange that is under way, if any
	timer     *time.Timer   // starts the next refresh when no caller is there to notice
	gone      Trigger       // why there is no current token
	failures  int           // failed attempts in a row
	refusals  int           // failed flights in a row that left callers without a token
	nextTry   time.Time     // while the token is valid: no attempt before this
	held      error         // given to callers until heldUntil
	heldUntil time.Time     //
	took      time.Duration // what the last successful attempt took
	stats     Status        // what Status reports, but for what current knows
}

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

func newCache(fetch func(context.Context) (*oauth2.Token, error), r Refresh) *cache {
	return &cache{fetch: fetch, refresh: r, random: rand.Float64, gone: TriggerFirst}
}

// get returns a token that has not ended, waiting for one as long as ctx
// allows.
func (c *cache) get(ctx context.Context) (*entry, error) {
	if e := c.current.Load(); e != nil && e.leased() {
		return e, nil
	}
	return c.getSlow(ctx)
}

func (c *cache) getSlow(ctx context.Context) (*entry, error) {
	for {
		if e := c.current.Load(); e != nil && c.use(e) {
			return e, nil
		}
		f, err := c.join()
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue // a token arrived in between
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, c.gaveUp(ctx)
		}
		if f.err == nil && c.use(f.entry) {
			return f.entry, nil
		}
		if f.err == nil {
			continue // it ended before this caller ran
		}
		if e := c.current.Load(); e != nil && c.use(e) {
			return e, nil // the clocks disagreed for a moment
		}
		return nil, f.err
	}
}

// use reports whether e has not ended by either clock. It renews the lease and,
// if e is due, starts a refresh.
func (c *cache) use(e *entry) bool {
	lease := e.lease.Load()
	mono, age := e.ages()
	if age >= e.end {
		return false
	}
	e.used.Store(true)
	// Of all who find the lease lapsed, one goes on to look at the rest.
	if e.lease.CompareAndSwap(lease, e.leaseFrom(mono, age)) && age >= e.due {
		c.refreshAhead(e)
	}
	return true
}

// refreshAhead starts a refresh of e unless one is under way or a pause after a
// failure is.
func (c *cache) refreshAhead(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight == nil && c.current.Load() == e && !time.Now().Before(c.nextTry) {
		c.begin(TriggerAhead)
	}
}

// join returns the flight to wait for, beginning one if need be. It returns
// nil, nil if there is a token after all, and an error while the error of a
// failed flight is held.
func (c *cache) join() (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.current.Load(); e != nil && e.left() > 0 {
		return nil, nil
	}
	if c.flight != nil {
		return c.flight, nil
	}
	if c.held != nil && time.Now().Before(c.heldUntil) {
		return nil, c.held
	}
	trigger := c.gone
	if c.current.Load() != nil {
		trigger = TriggerExpired
	}
	return c.begin(trigger), nil
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
func (c *cache) attempt(f *flight) (again time.Duration, ok bool) {
	limit := c.limit(f)
	start := time.Now()
	tok, err := c.call(limit)
	report := Attempt{Start: start, Duration: time.Since(start), Trigger: f.trigger}
	var e *entry
	if err == nil {
		e, err = newEntry(tok, start, c.refresh, c.random())
	}
	if err == nil {
		report.Expiry = e.token.Expiry
		c.succeed(f, e, report.Duration)
	} else {
		failure := asError(err)
		report.Err = failure
		again, ok = c.fail(f, failure)
	}
	c.refresh.report(report)
	return again, ok
}

// limit returns how long the next attempt of f may take.
func (c *cache) limit(f *flight) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if left := c.left(); left > 0 {
		return patience(left, c.took, c.refresh.timeout())
	}
	if f.deadline.IsZero() {
		f.deadline = time.Now().Add(c.refresh.timeout())
	}
	return time.Until(f.deadline)
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
func (c *cache) call(limit time.Duration) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	type result struct {
		tok *oauth2.Token
		err error
	}
	results := make(chan result, 1)
	go func() {
		r := result{err: errExited}
		defer func() {
			if v := recover(); v != nil {
				r = result{err: panicError(v)}
			}
			results <- r
		}()
		r.tok, r.err = c.fetch(ctx)
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
		return nil, fmt.Errorf("no answer after %v: %w", limit.Round(time.Millisecond), ctx.Err())
	}
}

var errExited = errors.New("the provider ended its goroutine (runtime.Goexit)")

// panicError describes a recovered value. A value that is not the runtime's own
// may hold anything, a token among it: only its type is told.
func panicError(v any) error {
	if err, ok := v.(interface {
		error
		RuntimeError()
	}); ok {
		return fmt.Errorf("the provider panicked: %w", err)
	}
	return fmt.Errorf("the provider panicked with a %T", v)
}

// succeed makes e the current token and ends f.
func (c *cache) succeed(f *flight, e *entry, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.Store(e)
	c.failures, c.refusals, c.held = 0, 0, nil
	c.nextTry = time.Time{}
	c.took = took
	c.stats.Exchanges++
	c.stats.LastSuccess, c.stats.LastError = time.Now().Round(0), nil
	if e.due != forever {
		c.arm(e.due - time.Since(e.start))
	}
	c.end(f, e, nil)
}

// fail decides what follows a failed attempt: while a token is valid the flight
// ends and a timer starts the next one; otherwise the same flight tries again
// for a while, and then its error is handed to everybody for a while.
func (c *cache) fail(f *flight, err *Error) (again time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures++
	c.stats.Exchanges++
	c.stats.Failures++
	c.stats.LastError = err
	now := time.Now()
	if left := c.left(); left > 0 {
		wait := pauseAhead(c.failures, err.retryAfter, left, c.random())
		c.nextTry = now.Add(wait)
		c.arm(wait)
		c.end(f, nil, err.withNext(c.nextTry))
		return 0, false
	}
	f.tries++
	if f.deadline.IsZero() {
		f.deadline = now.Add(c.refresh.timeout())
	}
	wait := pause(f.tries, err.retryAfter, c.random())
	// After one flight that tried in vain, further ones ask once: the callers
	// of a service that is down make a handful of requests, not four each time.
	if err.Temporary && c.refusals == 0 && f.tries < maxTries && now.Add(wait).Before(f.deadline) {
		return wait, true
	}
	c.refusals++
	c.heldUntil = now.Add(hold(c.refusals, err.retryAfter, err.mendable(), c.random()))
	c.held = err.withNext(c.heldUntil)
	c.end(f, nil, c.held)
	return 0, false
}

// end hands the outcome of f to those who wait. It requires that mu is held.
func (c *cache) end(f *flight, e *entry, err error) {
	f.entry, f.err = e, err
	c.flight = nil
	close(f.done)
}

// gaveUp returns the error of a caller whose ctx ended while it waited.
func (c *cache) gaveUp(ctx context.Context) error {
	c.mu.Lock()
	last := c.stats.LastError
	c.mu.Unlock()
	err := &Error{Stage: StageWait, Temporary: true, Err: context.Cause(ctx)}
	if !errors.Is(err.Err, ctx.Err()) {
		err.Err = fmt.Errorf("%w: %w", ctx.Err(), err.Err)
	}
	if last != nil {
		err.Err = fmt.Errorf("%w; the last attempt failed: %w", err.Err, last)
	}
	return err
}

// invalidate forgets the current token if it is the one with this value.
func (c *cache) invalidate(accessToken string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.current.Load(); e != nil && e.token.AccessToken == accessToken {
		c.current.Store(nil)
		c.gone = TriggerInvalidated
		c.stop()
	}
}

// arm starts the timer. It holds the cache weakly: a source that nobody
// references any more is collected, and the timer then finds nothing.
func (c *cache) arm(d time.Duration) {
	c.stop()
	self := weak.Make(c)
	c.timer = time.AfterFunc(max(d, 0), func() {
		if c := self.Value(); c != nil {
			c.onTimer()
		}
	})
}

func (c *cache) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
}

// onTimer starts the refresh that is due, if the token was used since it was
// fetched: what nobody uses is not kept fresh.
func (c *cache) onTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.current.Load()
	if e == nil || c.flight != nil || !e.used.Load() || e.left() <= 0 {
		return
	}
	c.begin(TriggerAhead)
}

// status returns what is known now.
func (c *cache) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	e := c.current.Load()
	if e == nil || e.left() <= 0 {
		return s
	}
	s.Valid = true
	s.Expiry = e.token.Expiry
	if e.due != forever {
		s.NextRefresh = e.start.Add(e.due).Round(0)
	}
	if c.nextTry.After(s.NextRefresh) {
		s.NextRefresh = c.nextTry.Round(0)
	}
	return s
}
