package stssource_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// raceEnabled is whether the race detector watches, which makes everything
// slower by an order of magnitude.
var raceEnabled bool

// A day of callers who come every so often: only the first waits, and the
// tokens cost little more than the 24 that they must.
func TestSimulatedDay(t *testing.T) {
	for _, every := range []time.Duration{time.Second, time.Minute, 7 * time.Minute, 13 * time.Minute, 31 * time.Minute} {
		for _, through := range []string{"Token", "oauth2.NewClient"} {
			t.Run(through+" every "+every.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					iss := &issuer{lifetime: time.Hour, latency: 300 * time.Millisecond}
					src := iss.source(t, stssource.Refresh{})
					call := func() error { _, err := src.Token(); return err }
					if through == "oauth2.NewClient" {
						base := &http.Client{Transport: stub{&http.Response{StatusCode: 200, Body: http.NoBody}}}
						client := oauth2.NewClient(context.WithValue(t.Context(), oauth2.HTTPClient, base), src)
						call = func() error { _, err := client.Get("https://api.example.com/"); return err }
					}
					waited := 0
					for begin := time.Now(); time.Since(begin) < 24*time.Hour; time.Sleep(every) {
						before := time.Now()
						if err := call(); err != nil {
							t.Fatal(err)
						}
						if time.Since(before) > 0 {
							waited++
						}
					}
					if waited != 1 {
						t.Errorf("%d callers waited, want the first alone", waited)
					}
					if n := iss.count(); n > 28 || n < 24 {
						t.Errorf("%d exchanges, want 24 to 28", n)
					}
				})
			})
		}
	}
}

// Over ten lifetimes, whatever they are, a busy source makes one exchange each
// time a token becomes due.
func TestExchangesOverTenLifetimes(t *testing.T) {
	for _, life := range []time.Duration{
		time.Second, 5 * time.Second, time.Minute, 200 * time.Second, 300 * time.Second, time.Hour, 12 * time.Hour,
	} {
		t.Run(life.String(), func(t *testing.T) {
			every := 50 * time.Millisecond
			if (testing.Short() || raceEnabled) && life > time.Hour {
				every = time.Second // 8.6 million calls otherwise
			}
			synctest.Test(t, func(t *testing.T) {
				iss := &issuer{lifetime: life}
				src := iss.source(t, stssource.Refresh{})
				stssource.Seed(src, func() float64 { return 0.5 })
				for begin := time.Now(); time.Since(begin) < 10*life; time.Sleep(every) {
					if _, err := src.Token(); err != nil {
						t.Fatal(err)
					}
				}
				due := stssource.DueAt(stssource.Refresh{}, life, 0.5)
				ideal := 1 + int(10*life/due)
				if n := iss.count(); n < ideal-1 || n > ideal+1 {
					t.Errorf("%d exchanges over ten lifetimes, want %d, or one more or less", n, ideal)
				}
			})
		})
	}
}

// herd has 1,000 goroutines ask for a token every 10 ms for 10 s. It returns how
// many calls waited after the first token was there, and how many failed.
func herd(t *testing.T, src *stssource.Source, perCall time.Duration) (waited, failed int64, slowest time.Duration) {
	var wg sync.WaitGroup
	var w, f, slow atomic.Int64
	begin := time.Now()
	for range 1000 {
		wg.Go(func() {
			for time.Since(begin) < 10*time.Second {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if perCall > 0 {
					ctx, cancel = context.WithTimeout(ctx, perCall)
				}
				before := time.Now()
				_, err := src.TokenContext(ctx)
				took := time.Since(before)
				cancel()
				if err != nil {
					f.Add(1)
				}
				if took > 0 && before != begin {
					w.Add(1)
				}
				for old := slow.Load(); int64(took) > old && !slow.CompareAndSwap(old, int64(took)); old = slow.Load() {
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return w.Load(), f.Load(), time.Duration(slow.Load())
}

func TestHerd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{lifetime: 2 * time.Second, latency: 300 * time.Millisecond}
		src := iss.source(t, stssource.Refresh{Before: 500 * time.Millisecond})
		waited, failed, _ := herd(t, src, 0)
		if waited != 0 || failed != 0 {
			t.Errorf("%d calls waited after the first, %d failed", waited, failed)
		}
		// One at 0 s, and one 1.5 s after each before it was begun.
		if n := iss.count(); n != 7 {
			t.Errorf("%d exchanges in 10 s, want 7", n)
		}
	})
}

func TestHerdThroughAnOutageAroundAnExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var failures atomic.Int64
		iss := &issuer{lifetime: 2 * time.Second, latency: 20 * time.Millisecond, fail: func() error {
			if at := time.Since(begin); at > 1400*time.Millisecond && at < 2400*time.Millisecond {
				failures.Add(1)
				return passing()
			}
			return nil
		}}
		_, failed, slowest := herd(t, iss.source(t, stssource.Refresh{}), 0)
		if failed != 0 {
			t.Errorf("%d calls failed", failed)
		}
		if n := failures.Load(); n > 6 || n < 2 {
			t.Errorf("%d failed requests, want 2 to 6", n)
		}
		if slowest > 3*time.Second {
			t.Errorf("a caller waited %v", slowest)
		}
	})
}

func TestHerdWithTheServiceDownFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 20 * time.Millisecond, fail: passing}
		_, failed, slowest := herd(t, iss.source(t, stssource.Refresh{}), 100*time.Millisecond)
		if failed == 0 {
			t.Error("no call failed")
		}
		if slowest > 100*time.Millisecond {
			t.Errorf("a caller with 100ms waited %v", slowest)
		}
		if n := iss.count(); n > 10 {
			t.Errorf("%d requests in 10s, want at most 10", n)
		}
	})
}

func TestDroppedSourceIsCollected(t *testing.T) {
	collected := make(chan struct{})
	func() {
		src := (&issuer{}).source(t, stssource.Refresh{})
		mustToken(t, src) // the timer is pending, for 55 minutes
		if src.Status().NextRefresh.IsZero() {
			t.Fatal("no refresh is planned")
		}
		stssource.OnCollect(src, func() { close(collected) })
	}()
	deadline := time.After(20 * time.Second)
	for {
		runtime.GC()
		select {
		case <-collected:
			buf := make([]byte, 1<<20)
			if stacks := string(buf[:runtime.Stack(buf, true)]); strings.Contains(stacks, "stssource.(*cache)") {
				t.Errorf("a goroutine is left:\n%s", stacks)
			}
			return
		case <-deadline:
			t.Fatal("the source was not collected: something holds it, its timer perhaps")
		case <-time.After(time.Millisecond):
		}
	}
}
