package interop_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// TestLongRun is a long run in miniature: tokens live for two seconds, and one
// trouble follows the other while many callers read from Cloud Storage, half of
// them with a token source, half with our HTTP client. Nobody may fail while
// there is a valid token, and no token may be sent that the service refuses.
//
// The toxics of the network take half a minute, five seconds each: longer than a
// token lives, so that callers must do without one for a while. The next trouble
// begins when the source has recovered from the one before.
func TestLongRun(t *testing.T) {
	r := startRun(t)
	phases := []struct {
		name       string
		begin, end func(*testing.T)
		parts      int // how many times as long as r.phase it takes
	}{
		{"calm", nothing, nothing, 1},
		{"late answers", r.poison(latency), r.heal, toxicParts},
		{"a new key at the issuer", r.rotate, nothing, 1},
		{"resets", r.poison(reset), r.heal, toxicParts},
		{"no answers", r.poison(hang), r.heal, toxicParts},
		{"answers cut off in the header", r.poison(cutHeader), r.heal, toxicParts},
		{"answers cut off in the token", r.poison(cutBody), r.heal, toxicParts},
		{"slow answers", r.poison(bandwidth), r.heal, toxicParts},
		{"Dex stopped, and started with a new key", r.stopDex, r.startDex, 1},
		{"a new key again, and no subject token for a while", r.loseSubject, r.rotate, 1},
		{"calm again", nothing, nothing, 1},
	}
	for _, p := range phases {
		before := r.source.Status()
		p.begin(t)
		r.pass(p.parts)
		p.end(t)
		r.recover(t)
		r.pass(1)
		after := r.source.Status()
		t.Logf("%-50s %3d attempts, %d failed, %4d requests to Dex, %6d reads, %d overtaken, %d errors", p.name,
			after.Exchanges-before.Exchanges, after.Failures-before.Failures,
			r.dex.requests.Swap(0), r.store.passed.Load(), r.store.overtaken.Load(), r.errors())
	}
	r.finish(t)
}

func nothing(*testing.T) {}

// toxicParts times the phase of a run is how long a toxic lasts.
const toxicParts = 4

// run is the state of a long run.
type run struct {
	phase    time.Duration // how long a phase, and the calm after each, takes
	issuer   *issuer
	dex      *dex
	network  *network
	store    *bucket
	source   *stssource.Source
	subjects string // the file with the subject token

	stop    context.CancelFunc
	callers sync.WaitGroup

	mu       sync.Mutex
	attempts []stssource.Attempt
	failed   []call
	late     int // tokens that were handed out after their end
}

// call is one read that failed.
type call struct {
	start, end time.Time
	err        error
}

func startRun(t *testing.T) *run {
	t.Helper()
	r := &run{phase: 1250 * time.Millisecond, issuer: startIssuer(t)}
	callers := 200
	if testing.Short() {
		r.phase, callers = 300*time.Millisecond, 40
	}
	// Of Dex's tokens up to a second goes to rounding: these live for two.
	r.dex = startDex(t, dexConfig{Upstream: r.issuer.URL, Lifetime: 3 * time.Second})
	r.network = startNetwork(t, r.dex)
	r.store = startBucket(t, r.dex)
	r.subjects = r.issuer.tokenFile(t)

	c := r.dex.config(t, subjecttoken.File{Path: r.subjects})
	c.TokenURL = r.network.TokenURL
	c.Refresh.Observe = r.observe
	r.source = newSource(t, c)

	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	t.Cleanup(r.end)
	clients := []*storage.Client{r.store.client(t, r), r.store.clientOverHTTP(t, r.source)}
	for i := range callers {
		r.callers.Go(func() { r.call(ctx, clients[i%len(clients)], time.Duration(i)*time.Millisecond) })
	}
	return r
}

// Token is that of the source, with a look at what it hands out. It counts from
// before the call, since this goroutine may be kept waiting after it.
func (r *run) Token() (*oauth2.Token, error) {
	asked := time.Now()
	token, err := r.source.Token()
	if err == nil && !token.Expiry.After(asked) {
		r.mu.Lock()
		r.late++
		r.mu.Unlock()
	}
	return token, err
}

// pace is how long a caller pauses between two reads: 200 callers then make
// about 800 a second, which two cores carry.
const pace = 250 * time.Millisecond

// patience is how long a caller waits for a read. Without it the storage client,
// which repeats what fails on the network, would still be in its pauses long
// after the network is well.
const patience = 2 * time.Second

// call reads again and again until ctx ends. It begins after a pause of its own,
// so that the callers do not march in step.
func (r *run) call(ctx context.Context, client *storage.Client, offset time.Duration) {
	timer := time.NewTimer(offset)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r.read(ctx, client)
		timer.Reset(pace)
	}
}

func (r *run) read(ctx context.Context, client *storage.Client) {
	start := time.Now()
	limited, cancel := context.WithTimeout(beginningNow(ctx), patience)
	defer cancel()
	if _, err := read(limited, client); err != nil && ctx.Err() == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.failed = append(r.failed, call{start, time.Now(), err})
	}
}

func (r *run) observe(a stssource.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
}

func (r *run) errors() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failed)
}

// pass lets time pass. That is what a long run is made of.
func (r *run) pass(parts int) { time.Sleep(time.Duration(parts) * r.phase) }

// recover waits until the source has a token again. The error of an outage is
// held for about as long as the outage was.
func (r *run) recover(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s := r.source.Status(); !s.Valid || s.LastError != nil; s = r.source.Status() {
		select {
		case <-ctx.Done():
			t.Fatalf("the source did not recover: %v", s.LastError)
		case <-tick.C:
		}
	}
}

func (r *run) poison(x toxic) func(*testing.T) {
	return func(t *testing.T) { r.network.poison(t, x) }
}

func (r *run) heal(*testing.T) { r.network.heal() }

// rotate has the issuer sign with a new key, and the workload's file replaced as
// a kubelet does it: at once.
func (r *run) rotate(t *testing.T) {
	r.issuer.rotate(t)
	temporary := filepath.Join(filepath.Dir(r.subjects), "new")
	writeFile(t, temporary, r.issuer.token(time.Hour))
	if err := os.Rename(temporary, r.subjects); err != nil {
		t.Fatal(err)
	}
}

func (r *run) loseSubject(t *testing.T) {
	if err := os.Remove(r.subjects); err != nil {
		t.Fatal(err)
	}
}

func (r *run) stopDex(*testing.T)    { r.dex.stop() }
func (r *run) startDex(t *testing.T) { r.dex.restart(t) }

// end stops the callers. It lets the network heal first, so that none hangs.
func (r *run) end() {
	r.network.heal()
	r.stop()
	r.callers.Wait()
}

func (r *run) finish(t *testing.T) {
	r.end()
	if got := r.store.refused.Load(); got != 0 {
		t.Errorf("%d requests refused, want none; the last: %v", got, r.store.reason.Load())
	}
	if r.store.passed.Load() == 0 {
		t.Error("no requests passed")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.late != 0 {
		t.Errorf("%d tokens handed out after their end, want none", r.late)
	}
	for _, c := range r.failed {
		if a, ok := r.validDuring(c); ok {
			t.Errorf("a caller failed although a token was valid from %v to %v: from %v to %v: %v",
				a.Start.Add(a.Duration), a.Expiry, c.start, c.end, c.err)
			break // one tells enough
		}
	}
	r.checkAttempts(t)
}

// validDuring returns the attempt that brought a token which was valid for all
// the time of c, if there is one.
func (r *run) validDuring(c call) (stssource.Attempt, bool) {
	for _, a := range r.attempts {
		if a.Err == nil && a.Start.Add(a.Duration).Before(c.start) && a.Expiry.After(c.end) {
			return a, true
		}
	}
	return stssource.Attempt{}, false
}

// checkAttempts checks that tokens were renewed no more often than they need be:
// not before half of their life.
func (r *run) checkAttempts(t *testing.T) {
	t.Helper()
	var last time.Time
	for _, a := range r.attempts {
		if a.Err != nil {
			continue
		}
		if gap := a.Start.Sub(last); !last.IsZero() && gap < 950*time.Millisecond {
			t.Errorf("a token was renewed %v after the one before it (%s)", gap, a.Trigger)
		}
		last = a.Start
	}
}
