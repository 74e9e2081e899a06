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

// cache keeps one token, shares it, and renews it before it ends. It knows
// nothing of where tokens come from.
//
// While a token is neither due nor ended, callers read current and one clock
// and are gone. mu is taken to begin, join or end a flight, never across one.
//
// There may be a cache for each user of a service: what only matters after a
// failure, or to an observer, is a pointer away.
type cache struct {
	source   fetcher
	refresh  *Refresh       // not written to
	random   func() float64 // in [0, 1)
	reporter *reporter      // nil: nobody wants to be told

	current atomic.Pointer[entry] // nil: no token; stored with mu held

	mu        sync.Mutex
	flight    *flight       // the exchange that is under way, if any
	timer     *time.Timer   // starts the next refresh when no caller is there to notice
	trouble   *trouble      // never nil, and not written to
	took      time.Duration // what the last successful attempt took
	succeeded int64         // when that ended, in Unix nanoseconds; 0: never
	exchanges uint32        // attempts made so far
	failures  uint32        // those of them that failed
	rejects   uint16        // tokens in a row that an API rejected soon after they came
	forgotten bool          // why there is no token, if there ever was one: it was invalidated

	running atomic.Int32 // calls of fetch under way, those left behind included
}

// trouble is what is known of the failures since the last success.
type trouble struct {
	failures  int       // failed attempts in a row
	refusals  int       // failed flights in a row that left callers without a token
	last      error     // why the last attempt failed
	nextTry   time.Time // while the token is valid: no attempt before this
	held      error     // given to callers until heldUntil
	heldUntil time.Time // and then the next caller begins a flight
}

var noTrouble = new(trouble)

// fetcher is where a cache has its tokens from.
type fetcher interface {
	// fetch gets a token. refusals is how many flights in a row have failed and
	// left callers without one: the more, the less it should ask of the service.
	fetch(ctx context.Context, refusals int) (oauth2.Token, error)

	// name says where tokens come from, for a message.
	name() string
}

func newCache(source fetcher, r *Refresh) *cache {
	return &cache{source: source, refresh: r, random: rand.Float64, reporter: newReporter(r), trouble: noTrouble}
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
	if c.flight == nil && c.current.Load() == e && !time.Now().Before(c.trouble.nextTry) {
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
	if f := c.flight; f != nil {
		// From now on somebody waits for it.
		if f.deadline.IsZero() {
			f.deadline = time.Now().Add(c.refresh.timeout())
		}
		return f, nil
	}
	if c.trouble.held != nil && time.Now().Before(c.trouble.heldUntil) {
		return nil, c.trouble.held
	}
	return c.begin(c.trigger()), nil
}

// trigger says why there is no token to hand out. It requires that mu is held.
func (c *cache) trigger() Trigger {
	switch {
	case c.current.Load() != nil:
		return TriggerExpired
	case c.forgotten:
		return TriggerInvalidated
	}
	return TriggerFirst
}

// gaveUp returns the error of a caller whose ctx ended while it waited. It says
// for whom the caller waited: a service that hangs has no error of its own yet.
func (c *cache) gaveUp(ctx context.Context) error {
	c.mu.Lock()
	last := c.trouble.last
	c.mu.Unlock()
	err := context.Cause(ctx)
	if !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if _, unnamed := c.source.(fetchFunc); !unnamed {
		err = fmt.Errorf("no token from %s yet: %w", c.source.name(), err)
	}
	if last != nil {
		err = fmt.Errorf("%w; the last attempt failed: %w", err, last)
	}
	return &Error{Stage: StageWait, Temporary: true, Err: err}
}

// invalidate forgets the current token if it is the one with this value.
func (c *cache) invalidate(accessToken string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.current.Load(); e != nil && e.token.AccessToken == accessToken {
		c.forget()
	}
}

// reject is invalidate for a token that an API answered with 401. It reports
// whether another token is worth a try. An API that rejects every token must not
// have the service asked for one with each request: while rejections follow each
// other, a token is kept for as long as an error would be.
func (c *cache) reject(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	current := c.current.Load()
	if current == nil || current.token.AccessToken != e.token.AccessToken {
		return true // there is, or will be, another already
	}
	_, age := current.ages()
	if age >= maxHold {
		c.rejects = 0
	}
	if c.rejects > 0 && age < doubled(firstHold, maxHold, int(c.rejects), 1) {
		return false
	}
	c.rejects++
	c.forget()
	return true
}

// forget drops the current token. It requires that mu is held.
func (c *cache) forget() {
	c.current.Store(nil)
	c.forgotten = true
	c.stop()
}

// arm starts the timer. It holds the cache weakly: a source that nobody
// references any more is collected, and the timer then finds nothing.
func (c *cache) arm(d time.Duration) {
	d = min(max(d, 0), maxSleep)
	if c.timer != nil {
		c.timer.Reset(d)
		return
	}
	self := weak.Make(c)
	c.timer = time.AfterFunc(d, func() {
		if c := self.Value(); c != nil {
			c.onTimer()
		}
	})
}

func (c *cache) stop() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// onTimer starts the refresh that is due, if the token was used since it was
// fetched: what nobody uses is not kept fresh.
func (c *cache) onTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.current.Load()
	if e == nil || c.flight != nil {
		return
	}
	_, age := e.ages()
	if wait := max(e.due-age, time.Until(c.trouble.nextTry)); wait > 0 {
		c.arm(wait)
		return
	}
	if e.used.Load() && age < e.end {
		c.begin(TriggerAhead)
	}
}

// status returns what is known now.
func (c *cache) status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{LastError: c.trouble.last, Exchanges: int(c.exchanges), Failures: int(c.failures)}
	if c.succeeded != 0 {
		s.LastSuccess = time.Unix(0, c.succeeded)
	}
	e := c.current.Load()
	if e == nil || e.left() <= 0 {
		return s
	}
	s.Valid = true
	s.Expiry = e.token.Expiry
	if e.due != forever {
		s.NextRefresh = e.start.Add(e.due).Round(0)
	}
	if c.trouble.nextTry.After(s.NextRefresh) {
		s.NextRefresh = c.trouble.nextTry.Round(0)
	}
	return s
}
