package main

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/go-sts/sts/stssource"
)

// sources keeps a source for each of the callers that came last. It is safe for
// concurrent use.
type sources struct {
	make func(callerToken string) (*stssource.Source, error)
	max  int           // the most that are kept
	life time.Duration // how long each is

	mu      sync.Mutex
	byKey   map[key]*list.Element
	recent  list.List // of *entry, the one that was asked for last in front
	evicted int
}

// key stands for a caller's token. A hash has the same length for each token,
// and gives nothing away where a key is logged or dumped. It must be one that
// nobody can find a second token for: that would get the first one's source.
type key [sha256.Size]byte

type entry struct {
	key    key
	made   time.Time
	source *stssource.Source
}

func newSources(max int, life time.Duration, make func(string) (*stssource.Source, error)) *sources {
	return &sources{make: make, max: max, life: life, byKey: map[key]*list.Element{}}
}

// of returns what is kept for a caller, and makes it if need be. That makes no
// request: the lock is not held while anybody waits for the network.
func (s *sources) of(callerToken string) (*entry, error) {
	k := key(sha256.Sum256([]byte(callerToken)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(k)
	if found, ok := s.byKey[k]; ok {
		s.recent.MoveToFront(found)
		return found.Value.(*entry), nil
	}
	src, err := s.make(callerToken)
	if err != nil {
		return nil, err
	}
	e := &entry{key: k, made: time.Now(), source: src}
	s.byKey[k] = s.recent.PushFront(e)
	if s.recent.Len() > s.max {
		s.remove(s.recent.Back())
		s.evicted++
	}
	return e, nil
}

// expire removes what has outlived its time: the entry of k, and those that
// nobody has asked for lately.
func (s *sources) expire(k key) {
	old := func(e *list.Element) bool { return time.Since(e.Value.(*entry).made) >= s.life }
	if found, ok := s.byKey[k]; ok && old(found) {
		s.remove(found)
	}
	for e := s.recent.Back(); e != nil && old(e); e = s.recent.Back() {
		s.remove(e)
	}
}

// remove forgets an entry. There is nothing to close: a source that nobody holds
// stops by itself.
func (s *sources) remove(e *list.Element) {
	s.recent.Remove(e)
	delete(s.byKey, e.Value.(*entry).key)
}

// refused makes e the next to go: tokens that are refused take the place of each
// other, not of those that are good. It stays until then, as it remembers the
// refusal and keeps the token service from being asked again and again.
func (s *sources) refused(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.byKey[e.key]; ok && found.Value == e {
		s.recent.MoveToBack(found)
	}
}
