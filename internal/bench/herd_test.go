package bench

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/bench/busy"
)

// herd is many callers of one cache, each of which asks again and again.
type herd struct {
	callers  int
	pace     time.Duration // between the calls of one caller
	duration time.Duration
	life     time.Duration // of a token, from the answer that brings it
	latency  time.Duration // of an exchange
	refusal  time.Duration // how long the service takes to say 503
}

var bigHerd = herd{
	callers:  1000,
	pace:     10 * time.Millisecond,
	duration: 10 * time.Second,
	life:     2 * time.Second,
	latency:  300 * time.Millisecond,
	refusal:  20 * time.Millisecond,
}

// early is how long before its end a token is renewed, where that can be set.
const early = 500 * time.Millisecond

// margins returns what a contender is set to, and the margin that it then keeps.
func margins(contender string) (set, kept time.Duration) {
	switch contender {
	case "sts":
		return 0, early // by default, a quarter of the life
	case "azcore":
		return early, 0 // not within 30 seconds of the last attempt
	}
	return early, early
}

// scenario is how the service fares. Instants count from the first token's
// arrival, or, if there is none, from the first call.
type scenario struct {
	name  string
	cold  bool // no token to begin with
	fails func(at time.Duration) bool
}

var (
	healthy = scenario{name: "healthy", fails: func(time.Duration) bool { return false }}
	// The first token ends at 2 s.
	outage = scenario{name: "outage", fails: func(at time.Duration) bool {
		return at >= 1400*time.Millisecond && at < 2400*time.Millisecond
	}}
	down = scenario{name: "down", cold: true, fails: func(time.Duration) bool { return true }}
)

// service is a token service in the process, with a scenario.
type service struct {
	herd     herd
	scenario scenario
	begin    atomic.Pointer[time.Time] // nil until the scenario begins

	exchanges, failures atomic.Int64 // begun before the end
}

// errUnavailable is what x/oauth2 makes of a 503, and what our engine takes for
// a failure that passes.
var errUnavailable = &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusServiceUnavailable, Status: "503 Service Unavailable"}}

// issue is one exchange. After the end it takes no time, so that whoever still
// waits is released.
func (s *service) issue(context.Context) (string, time.Time, error) {
	at := time.Duration(-1)
	if begin := s.begin.Load(); begin != nil {
		at = time.Since(*begin)
	}
	over := at >= s.herd.duration
	if !over {
		s.exchanges.Add(1)
	}
	if at >= 0 && s.scenario.fails(at) {
		if !over {
			s.failures.Add(1)
			time.Sleep(s.herd.refusal)
		}
		return "", time.Time{}, errUnavailable
	}
	if !over {
		time.Sleep(s.herd.latency)
	}
	return "token", time.Now().Add(s.herd.life), nil
}

// call is one call as its caller saw it.
type call struct {
	at, took time.Duration
	failed   bool
}

// run lets the herd loose on a cache.
func (h herd) run(sc scenario, c cache, early time.Duration) (*service, []call) {
	s := &service{herd: h, scenario: sc}
	token := c.new(s.issue, early)
	ctx := context.Background()
	if !sc.cold {
		token(ctx)
	}
	calls := make([][]call, h.callers)
	for i := range calls {
		calls[i] = make([]call, 0, h.duration/h.pace+1)
	}
	begin := time.Now()
	s.begin.Store(&begin)
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			time.Sleep(h.pace * time.Duration(i) / time.Duration(h.callers))
			for time.Since(begin) < h.duration {
				before := time.Now()
				_, err := token(ctx)
				calls[i] = append(calls[i], call{before.Sub(begin), time.Since(before), err != nil})
				time.Sleep(h.pace)
			}
		})
	}
	wg.Wait()
	return s, slices.Concat(calls...)
}

// blocked is from when on a call is said to have waited: far more than a busy
// machine takes to run a goroutine.
const blocked = 10 * time.Millisecond

// outcome is what is told of a run.
type outcome struct {
	Calls, Blocked, Errors, Exchanges, Failures int
	P50, P99, P999, Max                         time.Duration
}

func (s *service) outcome(calls []call) outcome {
	o := outcome{Calls: len(calls), Exchanges: int(s.exchanges.Load()), Failures: int(s.failures.Load())}
	took := make([]time.Duration, len(calls))
	for i, c := range calls {
		took[i] = c.took
		if c.took > blocked {
			o.Blocked++
		}
		if c.failed {
			o.Errors++
		}
	}
	slices.Sort(took)
	o.P50, o.P99, o.P999, o.Max = quantile(took, 0.5), quantile(took, 0.99), quantile(took, 0.999), quantile(took, 1)
	return o
}

// ideal is how many exchanges a healthy run needs, with tokens that are renewed
// by this margin: the first, and one each time a token is due.
func (h herd) ideal(margin time.Duration) int {
	n := 1
	for at := h.life - margin; at < h.duration; at += h.latency + h.life - margin {
		n++
	}
	return n
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// curve is a run over time, in steps of bucket.
type curve struct {
	Scenario, Contender string
	Step                time.Duration
	Latency             []time.Duration // the 99.9th percentile of the calls under way
	Errors              []int           // of the calls that ended
}

const bucket = 50 * time.Millisecond

func (h herd) curve(calls []call) curve {
	n := int(h.duration / bucket)
	under := make([][]time.Duration, n)
	c := curve{Step: bucket, Latency: make([]time.Duration, n), Errors: make([]int, n)}
	for _, k := range calls {
		last := int((k.at + k.took) / bucket)
		for i := int(k.at / bucket); i <= min(last, n-1); i++ {
			under[i] = append(under[i], k.took)
		}
		if k.failed && last < n {
			c.Errors[last]++
		}
	}
	for i, took := range under {
		slices.Sort(took)
		c.Latency[i] = quantile(took, 0.999)
	}
	return c
}

var curveFile = flag.String("curves", "", "the file to which BenchmarkHerd appends each run over time, as lines of JSON")

// BenchmarkHerd lets 1,000 callers loose on each cache, for 10 seconds in which
// tokens live for 2. Run it with -benchtime 1x. The row limit calls nothing: what
// it has of latency is the machine's. In defaults the margins are those that the
// libraries come with, which are longer than the tokens live.
func BenchmarkHerd(b *testing.B) {
	nothing := cache{"limit", func(issueFunc, time.Duration) tokenFunc {
		return func(context.Context) (string, error) { return "", nil }
	}}
	for _, sc := range []scenario{healthy, outage, down} {
		b.Run(sc.name, func(b *testing.B) {
			if sc.name == healthy.name {
				b.Run(nothing.name, func(b *testing.B) { benchmarkHerd(b, sc, nothing, 0, "") })
			}
			for _, c := range caches {
				set, kept := margins(c.name)
				b.Run(c.name, func(b *testing.B) {
					benchmarkHerd(b, sc, c, set, *curveFile)
					if sc.name == healthy.name {
						b.ReportMetric(float64(bigHerd.ideal(kept)), "ideal")
					}
				})
			}
		})
	}
	b.Run("defaults", func(b *testing.B) {
		for _, c := range caches {
			if c.name == "oauth2" || c.name == "cloud" {
				b.Run(c.name, func(b *testing.B) {
					benchmarkHerd(b, healthy, c, 0, "")
					b.ReportMetric(float64(bigHerd.ideal(0)), "ideal")
				})
			}
		}
	})
}

func benchmarkHerd(b *testing.B, sc scenario, c cache, margin time.Duration, curves string) {
	for range b.N {
		others := busy.Watch()
		s, calls := bigHerd.run(sc, c, margin)
		if share, ok := others(); ok {
			b.ReportMetric(100*share, "others-%")
		}
		report(b, s.outcome(calls))
		if curves != "" {
			k := bigHerd.curve(calls)
			k.Scenario, k.Contender = sc.name, c.name
			appendJSON(b, curves, k)
		}
	}
	b.ReportMetric(0, "ns/op") // of no meaning here
}

func report(b *testing.B, o outcome) {
	for unit, n := range map[string]int{
		"calls": o.Calls, "blocked": o.Blocked, "errors": o.Errors, "exchanges": o.Exchanges, "failed-requests": o.Failures,
	} {
		b.ReportMetric(float64(n), unit)
	}
	for unit, d := range map[string]time.Duration{
		"p50-ns": o.P50, "p99-ns": o.P99, "p99.9-ns": o.P999, "max-ns": o.Max,
	} {
		b.ReportMetric(float64(d), unit)
	}
}

func appendJSON(tb testing.TB, file string, v any) {
	f := must(tb, func() (*os.File, error) { return os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666) })
	defer f.Close()
	if err := json.NewEncoder(f).Encode(v); err != nil {
		tb.Fatal(err)
	}
}
