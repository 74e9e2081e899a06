package bench

import (
	"testing"
	"testing/synctest"
	"time"
)

// A small herd, on the fake clock, where nothing but waiting takes time: every
// number is exact. x/oauth2 is left out, as the clock stands still while
// somebody waits for a mutex, which its callers do.
func TestHerd(t *testing.T) {
	small := bigHerd
	small.callers = 10
	tests := []struct {
		scenario scenario
		cache    string
		want     outcome
		why      string
	}{
		{healthy, "sts", outcome{Exchanges: 6}, "renewed ahead of each end, while nobody waits"},
		{healthy, "cloud", outcome{Exchanges: 6}, "renewed ahead, in the background"},
		{healthy, "aws", outcome{Exchanges: 6, Blocked: 50}, "all ten wait for each of the five that follow the first"},
		{healthy, "azcore", outcome{Exchanges: 5, Blocked: 40}, "renewed at the end alone"},
	}
	for _, tt := range tests {
		t.Run(tt.scenario.name+"/"+tt.cache, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o, kept := small.try(tt.scenario, tt.cache)
				got := outcome{Exchanges: o.Exchanges, Blocked: o.Blocked, Errors: o.Errors, Failures: o.Failures}
				if got != tt.want {
					t.Errorf("%+v, want %+v: %s", got, tt.want, tt.why)
				}
				if ideal := small.ideal(kept); o.Exchanges != ideal {
					t.Errorf("%d exchanges, ideal is %d", o.Exchanges, ideal)
				}
			})
		})
	}
}

// What is promised of an outage is asserted for our own source alone.
func TestHerdInAnOutage(t *testing.T) {
	small := bigHerd
	small.callers = 10
	synctest.Test(t, func(t *testing.T) {
		o, _ := small.try(outage, "sts")
		if o.Errors != 0 || o.Failures < 1 || o.Failures > 6 {
			t.Errorf("outage: %+v: want no errors and 1 to 6 failed requests", o)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		o, _ := small.try(down, "sts")
		if o.Errors != o.Calls || o.Exchanges > 10 || o.Max > 5*time.Second {
			t.Errorf("down: %+v: want at most 10 requests, and an error for each call within 5 s", o)
		}
	})
}

// try runs the herd on the cache of this name.
func (h herd) try(sc scenario, name string) (o outcome, kept time.Duration) {
	for _, c := range caches {
		if c.name == name {
			set, kept := margins(name)
			s, calls := h.run(sc, c, set)
			time.Sleep(time.Second) // for a renewal that is under way
			return s.outcome(calls), kept
		}
	}
	panic("no such cache: " + name)
}

// Blocked calls show for as long as they last, and in the height of what they
// took.
func TestCurve(t *testing.T) {
	h := herd{duration: 200 * time.Millisecond}
	got := h.curve([]call{
		{at: 0, took: time.Microsecond},
		{at: 60 * time.Millisecond, took: 70 * time.Millisecond, failed: true},
		{at: 160 * time.Millisecond, took: time.Hour, failed: true},
	})
	wantLatency := []time.Duration{time.Microsecond, 70 * time.Millisecond, 70 * time.Millisecond, time.Hour}
	wantErrors := []int{0, 0, 1, 0}
	for i := range wantLatency {
		if got.Latency[i] != wantLatency[i] || got.Errors[i] != wantErrors[i] {
			t.Errorf("step %d: %v and %d errors, want %v and %d", i, got.Latency[i], got.Errors[i], wantLatency[i], wantErrors[i])
		}
	}
}

// mostExchangeAllocations is how many an exchange may make for each of the bare
// POST's.
const mostExchangeAllocations = 1.3

// An exchange is compared with the bare POST of the same form, and one that reads
// a file with a POST that does. All go through net/http, whose goroutines make the
// count vary by one or two.
func TestExchangeAllocations(t *testing.T) {
	count := map[string]float64{}
	for _, x := range exchangers[:4] {
		_, exchange := startExchange(t, x, false)
		count[x.name] = testing.AllocsPerRun(200, func() {
			if _, err := exchange(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	for ours, bare := range map[string]string{"sts/static": "bare", "sts": "bare+file"} {
		if ratio := count[ours] / count[bare]; ratio > mostExchangeAllocations {
			t.Errorf("%s: %.2fx the allocations of %s (%v), want at most %vx", ours, ratio, bare, count, mostExchangeAllocations)
		}
	}
}

// The allocations that are promised of a call and of a request.
func TestAllocations(t *testing.T) {
	for _, h := range hits(t) {
		if h.name == "sts" {
			if n := testing.AllocsPerRun(1000, func() { h.call() }); n != 1 {
				t.Errorf("Token: %v allocations, want the copy alone", n)
			}
		}
	}
	req := typicalRequest(t)
	for _, a := range authorizers(t) {
		if a.name == "sts" {
			if n := testing.AllocsPerRun(1000, func() { a.roundTrip(req) }); n != 3 {
				t.Errorf("RoundTrip: %v allocations, want 3", n)
			}
		}
	}
}
