package stssource

import (
	"time"
)

// StepWallClock makes the wall clock appear to have moved by d, beyond what has
// passed, since the cached token was fetched: forward as after a suspension of
// the machine, during which the monotonic clock stands still, or, if d is
// negative, set back.
func StepWallClock(s *Source, d time.Duration) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	old := s.cache.current.Load()
	if old == nil {
		return
	}
	e := &entry{token: old.token, header: old.header, start: old.start, wall: old.wall - int64(d), due: old.due, end: old.end}
	e.used.Store(old.used.Load())
	e.lease.Store(old.lease.Load())
	s.cache.current.Store(e)
}

// Seed makes the random parts of s reproducible.
func Seed(s *Source, random func() float64) { s.cache.random = random }
