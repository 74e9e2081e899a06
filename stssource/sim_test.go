package stssource_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

const simDefault = 300

var (
	simSeeds = flag.Int("sim.seeds", simDefault, "how many random histories TestSimulation runs")
	simSeed  = flag.Int64("sim.seed", -1, "the one history to run: replays a failure")
)

// TestSimulation runs random histories of callers, faults and clock steps
// against the engine, and checks what must hold in all of them. A failure names
// its seed; go test -run TestSimulation -sim.seed N replays it.
func TestSimulation(t *testing.T) {
	first, n := int64(0), int64(*simSeeds)
	if testing.Short() || raceEnabled && n == simDefault {
		n = min(n, 50) // the detector makes each ten times as long
	}
	if *simSeed >= 0 {
		first, n = *simSeed, 1
	}
	for seed := first; seed < first+n && !t.Failed(); seed++ {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, seed) })
		})
	}
}

// world is one history: a service with its faults, and what is known of the
// tokens it issued.
type world struct {
	t     *testing.T
	begin time.Time

	mu       sync.Mutex
	rng      *rand.Rand // with mu
	fault    string
	latency  time.Duration
	lifetime time.Duration
	running  int
	issued   map[string]*issuedToken
	newest   *issuedToken
	failures []time.Time // attempts that failed since the last success
}

// issuedToken is a token as the simulation knows it.
type issuedToken struct {
	start   time.Time
	life    time.Duration
	shift   time.Duration // by how much the wall clock was stepped since, in all
	stepped time.Time     // when it was stepped last
	arrived bool
	invalid time.Time // when it was invalidated; zero if it was not
}

// left is how much of the life of k is left by the clock that says more.
func (k *issuedToken) left() time.Duration {
	return k.life - max(time.Since(k.start), time.Since(k.start)+k.shift)
}

var (
	simLifetimes = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, time.Minute, 5 * time.Minute, time.Hour}
	simFaults    = []string{"", "", "", "passing", "lasting", "hang", "panic", "slow", "no token"}
)

const simTimeout = 20 * time.Second

func simulate(t *testing.T, seed int64) {
	w := &world{
		t:      t,
		begin:  time.Now(),
		rng:    rand.New(rand.NewPCG(uint64(seed), 1)),
		issued: make(map[string]*issuedToken),
	}
	w.turn()
	src, err := stssource.NewFromFunc(w.fetch, stssource.Refresh{Timeout: simTimeout})
	if err != nil {
		t.Fatal(err)
	}
	engine := rand.New(rand.NewPCG(uint64(seed), 2))
	stssource.Seed(src, engine.Float64)

	length := time.Duration(30+w.rng.IntN(600)) * time.Second
	callers := 1 + w.rng.IntN(8)
	pace := time.Duration(1+w.rng.IntN(3000)) * time.Millisecond
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Since(w.begin) < length {
				w.call(src)
				time.Sleep(w.random(pace))
			}
		})
	}
	wg.Go(func() {
		for time.Since(w.begin) < length {
			time.Sleep(w.random(20 * time.Second))
			w.disturb(src)
		}
	})
	wg.Wait()
	w.recover(src)
}

// random returns a duration up to most.
func (w *world) random(most time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(most)) + 1)
}

// turn chooses what the service does from now on. It requires mu, or that
// nobody else is there yet.
func (w *world) turn() {
	w.fault = simFaults[w.rng.IntN(len(simFaults))]
	w.latency = time.Duration(w.rng.IntN(500)) * time.Millisecond
	w.lifetime = simLifetimes[w.rng.IntN(len(simLifetimes))]
}

// fetch is the service.
func (w *world) fetch(ctx context.Context) (*oauth2.Token, error) {
	w.mu.Lock()
	w.running++
	if w.running > 1 {
		w.t.Error("two exchanges at once")
	}
	fault, latency, life := w.fault, w.latency, w.lifetime
	name := fmt.Sprint("token-", len(w.issued))
	k := &issuedToken{start: time.Now(), life: life}
	w.issued[name] = k
	w.mu.Unlock()

	ok := false
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running--
		if ok && k.left() > 0 {
			k.arrived = true
			w.newest, w.failures = k, nil
			return
		}
		w.failed()
	}()
	if fault == "slow" {
		latency *= 10
	}
	if fault == "hang" {
		latency = time.Hour
	}
	select {
	case <-time.After(latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch fault {
	case "passing":
		return nil, passing()
	case "lasting":
		return nil, lasting()
	case "panic":
		panic("simulated")
	case "no token":
		return nil, nil
	}
	ok = true
	return &oauth2.Token{AccessToken: name, Expiry: k.start.Add(life)}, nil
}

// failed notes a failed attempt: without a success in between, ten seconds see
// at most five attempts ahead of an end (pauses of 0.2, 0.4, 0.8, 1.6, 3.2 s and
// more), four in the flight that callers wait for, and six with the error held
// in between (0.25, 0.5, 1, 2, 4 s).
func (w *world) failed() {
	now := time.Now()
	w.failures = append(w.failures, now)
	recent := 0
	for _, at := range w.failures {
		if now.Sub(at) < 10*time.Second {
			recent++
		}
	}
	if recent > 16 {
		w.t.Errorf("%d failed attempts within 10s", recent)
	}
}

// valid returns the token that must be served now, if there is one.
func (w *world) valid() *issuedToken {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.newest; k != nil && k.invalid.IsZero() && k.left() > 0 {
		return k
	}
	return nil
}

// call is one caller, patient or not.
func (w *world) call(src *stssource.Source) {
	ctx, limit := w.t.Context(), time.Duration(0)
	switch w.random(4) {
	case 1: // a deadline
		limit = w.random(3 * time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	case 2: // cancelled by somebody else
		limit = w.random(3 * time.Second)
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer time.AfterFunc(limit, cancel).Stop()
		defer cancel()
	}
	before, served := time.Now(), w.valid()
	tok, err := src.TokenContext(ctx)
	waited := time.Since(before)

	at := fmt.Sprintf("at %v", time.Since(w.begin))
	if limit > 0 && waited > limit {
		w.t.Errorf("%s: a caller with %v waited %v", at, limit, waited)
	}
	// A flight that is joined late: what is left of an attempt ahead, and then
	// the whole of the deadline.
	if waited > 2*simTimeout+time.Second {
		w.t.Errorf("%s: a caller waited %v", at, waited)
	}
	if err != nil {
		w.checkError(at, err, served, limit, waited)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.issued[tok.AccessToken]
	if k == nil || !k.arrived {
		w.t.Errorf("%s: a token that was not issued: %v", at, tok.AccessToken)
		return
	}
	if left := k.left(); left <= 0 && time.Since(k.stepped) >= lease {
		w.t.Errorf("%s: %s was handed out %v after its end", at, tok.AccessToken, -left)
	}
	if !k.invalid.IsZero() && k.invalid.Before(before) {
		w.t.Errorf("%s: %s was handed out %v after it was invalidated", at, tok.AccessToken, time.Since(k.invalid))
	}
}

// lease is for how long the engine may not notice a step of a clock.
const lease = 10 * time.Millisecond

func (w *world) checkError(at string, err error, served *issuedToken, limit, waited time.Duration) {
	if served != nil && w.valid() == served {
		w.t.Errorf("%s: an error while a token is valid: %v", at, err)
	}
	e, ok := errors.AsType[*stssource.Error](err)
	if !ok {
		w.t.Errorf("%s: not an *Error: %v", at, err)
		return
	}
	if e.Stage == stssource.StageWait && waited != limit {
		w.t.Errorf("%s: a caller with %v left after %v", at, limit, waited)
	}
}

// disturb changes what the service does, rejects the token, or steps a clock.
func (w *world) disturb(src *stssource.Source) {
	w.mu.Lock()
	what := w.rng.IntN(10)
	step := time.Duration(w.rng.Int64N(int64(2*time.Hour))) - time.Hour
	w.mu.Unlock()
	switch {
	case what < 6:
		w.mu.Lock()
		w.turn()
		w.mu.Unlock()
	case what < 8:
		if k := w.valid(); k != nil {
			w.invalidate(src, k)
		}
	default:
		w.mu.Lock()
		defer w.mu.Unlock()
		if k := w.issued[stssource.StepWallClock(src, step)]; k != nil {
			k.shift += step
			k.stepped = time.Now()
		}
	}
}

func (w *world) invalidate(src *stssource.Source, k *issuedToken) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, other := range w.issued {
		if other == k {
			k.invalid = time.Now()
			src.Invalidate(&oauth2.Token{AccessToken: name})
		}
	}
}

// recover ends all faults. What is under way may take its deadline, and the last
// error may be held for half a minute; then there must be a token.
func (w *world) recover(src *stssource.Source) {
	w.mu.Lock()
	w.fault, w.latency, w.lifetime = "", 10*time.Millisecond, time.Hour
	w.mu.Unlock()
	time.Sleep(simTimeout + 31*time.Second)
	if _, err := src.Token(); err != nil {
		w.t.Errorf("no token after the last fault: %v", err)
	}
	if s := src.Status(); !s.Valid {
		w.t.Errorf("after the last fault: %+v", s)
	}
	time.Sleep(time.Second) // for the refresh that this call may have begun
}
