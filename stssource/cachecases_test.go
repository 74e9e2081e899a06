package stssource_test

import (
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// cacheCase is a conformance case of the area cache. What the cases have in
// common is little, so that each has a test of its own below, by its ID.
type cacheCase struct {
	ID    string
	Area  string
	Input struct {
		ExpiresIn  int64   `json:"expires_in"`
		MarginS    int64   `json:"margin_s"`
		CallsAtMS  []int64 `json:"calls_at_ms"`
		RemainingS []int64 `json:"remaining_s"`
		Callers    int     `json:"concurrent_callers"`
	}
	Expected struct {
		Cumulative  []int `json:"sts_requests_cumulative"`
		STSRequests []int `json:"sts_requests"`
		State       []string
		Refreshes   int
		Returns     string
	}
}

func (c *cacheCase) margin() time.Duration { return time.Duration(c.Input.MarginS) * time.Second }

var cacheCases = map[string]func(*testing.T, cacheCase){
	"cache-custom-margin": func(t *testing.T, c cacheCase) {
		got := requestsAt(t, c, 0)
		if diff := cmp.Diff(c.Expected.Cumulative, got); diff != "" {
			t.Errorf("requests so far (-want +got):\n%s", diff)
		}
	},
	"cache-downscoped-boundary": func(t *testing.T, c cacheCase) {
		// The case counts what each call causes, after a first one.
		got := requestsAt(t, c, 1)
		if diff := cmp.Diff(c.Expected.STSRequests, []int{got[0] - 1, got[1] - got[0]}); diff != "" {
			t.Errorf("requests by call (-want +got):\n%s", diff)
		}
	},
	"cache-225s-boundary": func(t *testing.T, c cacheCase) {
		const life = 3600 * time.Second
		due := stssource.DueAt(stssource.Refresh{Before: c.margin()}, life, 0)
		for i, remaining := range c.Input.RemainingS {
			age := life - time.Duration(remaining)*time.Second
			state := "FRESH"
			if age >= life {
				state = "INVALID"
			} else if age >= due {
				state = "STALE"
			}
			if state != c.Expected.State[i] {
				t.Errorf("with %d s left: %s, want %s", remaining, state, c.Expected.State[i])
			}
		}
	},
	"cache-stale-returns-old": func(t *testing.T, _ cacheCase) {
		s := newStale(t, 0)
		s.latency.Store(int64(time.Minute)) // the refresh hangs
		time.Sleep(55*time.Minute + 30*time.Second)
		s.want(t, "token-1", 0)
		s.wantExchanges(t, 1) // done; the second is under way
		time.Sleep(2 * time.Minute)
		s.want(t, "token-2", 0)
	},
	"cache-stale-then-expired-joins": func(t *testing.T, _ cacheCase) {
		// Exchanges are slow there, so that one is not given up halfway.
		s := newStale(t, 4*time.Minute)
		s.latency.Store(int64(6 * time.Minute))
		time.Sleep(55 * time.Minute) // 59 minutes old; a refresh began 4 minutes ago
		s.want(t, "token-1", 0)
		time.Sleep(time.Minute)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { s.want(t, "token-2", time.Minute) })
		}
		wg.Wait()
		s.wantExchanges(t, 2)
	},
	"cache-error-shared": func(t *testing.T, c cacheCase) {
		iss := &issuer{latency: time.Second, fail: func() error { return errors.New("boom") }}
		src := iss.source(t, stssource.Refresh{})
		errs := make([]error, c.Input.Callers)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = src.Token() })
		}
		wg.Wait()
		if errs[0] == nil || errs[0] != errs[1] || iss.count() != c.Expected.Refreshes {
			t.Errorf("errors %v after %d refreshes, want the same one after %d", errs, iss.count(), c.Expected.Refreshes)
		}
	},
	"cache-async-failure-falls-back": func(t *testing.T, _ cacheCase) {
		// A choice, decided otherwise: the case has the next caller wait for
		// a refresh after one in the background failed. Here nobody waits
		// while a token is valid; the background tries again.
		s := newStale(t, 0)
		s.failing.Store(true)
		time.Sleep(55 * time.Minute)
		synctest.Wait()
		s.want(t, "token-1", 0)
		s.failing.Store(false)
		time.Sleep(time.Second)
		s.want(t, "token-3", 0)
	},
	"cache-invalid-blocks": func(t *testing.T, c cacheCase) {
		s := newStale(t, 0)
		s.latency.Store(int64(time.Second))
		s.src.Invalidate(&oauth2.Token{AccessToken: "token-1"})
		s.want(t, "token-2", time.Second)
	},
}

func TestCacheCases(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, raw := range all {
		var area struct{ Area string }
		if err := json.Unmarshal(raw, &area); err != nil || area.Area != "cache" {
			continue
		}
		var c cacheCase
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		run := cacheCases[c.ID]
		if run == nil {
			t.Errorf("case %s has no test", c.ID)
			continue
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, c) })
		})
	}
	if ran != len(cacheCases) {
		t.Errorf("%d cases ran, want %d", ran, len(cacheCases))
	}
}

// requestsAt calls at the instants of c, after calls at the very beginning, and
// returns how many exchanges there had been after each.
func requestsAt(t *testing.T, c cacheCase, first int) []int {
	iss := &issuer{lifetime: time.Duration(c.Input.ExpiresIn) * time.Second}
	src := iss.source(t, stssource.Refresh{Before: c.margin()})
	begin := time.Now()
	for range first {
		mustToken(t, src)
	}
	var counts []int
	for _, at := range c.Input.CallsAtMS {
		time.Sleep(time.Until(begin.Add(time.Duration(at) * time.Millisecond)))
		mustToken(t, src)
		synctest.Wait() // a refresh in the background counts for this call
		counts = append(counts, iss.count())
	}
	return counts
}

// stale is a source with a one-hour token, due after 55 minutes, and knobs for
// what its service does then.
type stale struct {
	src     *stssource.Source
	latency atomic.Int64
	failing atomic.Bool
}

func newStale(t *testing.T, latency time.Duration) *stale {
	s := new(stale)
	s.latency.Store(int64(latency))
	iss := &issuer{fail: func() error {
		time.Sleep(time.Duration(s.latency.Load()))
		if s.failing.Load() {
			return lasting()
		}
		return nil
	}}
	s.src = iss.source(t, stssource.Refresh{Before: 5 * time.Minute, Timeout: time.Hour})
	s.want(t, "token-1", latency)
	return s
}

func (s *stale) want(t *testing.T, token string, wait time.Duration) {
	t.Helper()
	before := time.Now()
	tok := mustToken(t, s.src)
	if waited := time.Since(before); tok.AccessToken != token || waited != wait {
		t.Errorf("got %s after %v, want %s after %v", tok.AccessToken, waited, token, wait)
	}
}

func (s *stale) wantExchanges(t *testing.T, done int) {
	t.Helper()
	if n := s.src.Status().Exchanges; n != done {
		t.Errorf("%d exchanges are done, want %d", n, done)
	}
}
