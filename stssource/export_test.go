package stssource

import (
	"context"
	"runtime"
	"time"
)

// StepWallClock makes the wall clock appear to have moved by d, beyond what has
// passed, since the cached token was fetched: forward as after a suspension of
// the machine, during which the monotonic clock stands still, or, if d is
// negative, set back. It returns that token's value; empty if there is none.
func StepWallClock(s *Source, d time.Duration) string {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	old := s.cache.current.Load()
	if old == nil {
		return ""
	}
	e := &entry{token: old.token, header: old.header, start: old.start, wall: old.wall - int64(d), due: old.due, end: old.end}
	e.used.Store(old.used.Load())
	e.lease.Store(old.lease.Load())
	s.cache.current.Store(e)
	return e.token.AccessToken
}

// Seed makes the random parts of s reproducible.
func Seed(s *Source, random func() float64) { s.cache.random = random }

// The arithmetic of when to do what, for tables.
var (
	DueAt      = Refresh.dueAt
	Patience   = patience
	Pause      = pause
	PauseAhead = pauseAhead
	Hold       = hold
)

// Forever is the age that no token reaches.
const Forever = forever

// Header returns the ready-made Authorization value, as the transport gets it.
func Header(s *Source) string {
	e, err := s.cache.get(context.Background())
	if err != nil {
		return ""
	}
	return e.header
}

// OnCollect has f called when the engine of s, which is what a timer could hold,
// has been collected.
func OnCollect(s *Source, f func()) {
	runtime.AddCleanup(s.cache, func(f func()) { f() }, f)
}

// LastExtra is what the last answer that may be shared said beside its token.
func LastExtra() map[string]any {
	if last := lastExtra.Load(); last != nil {
		return *last
	}
	return nil
}
