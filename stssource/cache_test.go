package stssource_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// issuer is a fetch function with a lifetime, a latency and a failure mode.
// The zero value issues one-hour tokens at once.
type issuer struct {
	lifetime time.Duration
	latency  time.Duration
	fail     func() error // nil: no failure

	mu      sync.Mutex
	started []time.Time
	running int
	overlap bool
}

func (i *issuer) fetch(ctx context.Context) (*oauth2.Token, error) {
	i.mu.Lock()
	start := time.Now()
	i.started = append(i.started, start)
	n := len(i.started)
	i.running++
	i.overlap = i.overlap || i.running > 1
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		i.running--
		i.mu.Unlock()
	}()
	select {
	case <-time.After(i.latency):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if i.fail != nil {
		if err := i.fail(); err != nil {
			return nil, err
		}
	}
	life := i.lifetime
	if life == 0 {
		life = time.Hour
	}
	return &oauth2.Token{AccessToken: "token-" + strconv.Itoa(n), Expiry: start.Add(life)}, nil
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.started)
}

func (i *issuer) source(t testing.TB, r stssource.Refresh) *stssource.Source {
	t.Helper()
	src, err := stssource.NewFromFunc(i.fetch, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.idle)
	return src
}

// idle waits for a fetch that is under way: a bubble must not end before it.
func (i *issuer) idle() {
	for {
		i.mu.Lock()
		running := i.running
		i.mu.Unlock()
		if running == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// passing is an error that may pass by itself.
func passing() error {
	return &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusServiceUnavailable}, ErrorCode: "unavailable"}
}

// lasting is an error that will not pass by itself.
func lasting() error {
	return &oauth2.RetrieveError{Response: &http.Response{StatusCode: http.StatusBadRequest}, ErrorCode: "invalid_client"}
}

func mustToken(t testing.TB, src oauth2.TokenSource) *oauth2.Token {
	t.Helper()
	tok, err := src.Token()
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return tok
}

func TestManyCallersShareOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 300 * time.Millisecond}
		src := iss.source(t, stssource.Refresh{})
		var wg sync.WaitGroup
		var got sync.Map
		for range 100 {
			wg.Go(func() {
				tok := mustToken(t, src)
				got.Store(tok.AccessToken, true)
				if _, shared := got.LoadOrStore(tok, true); shared {
					t.Error("two callers were handed the same *oauth2.Token")
				}
			})
		}
		wg.Wait()
		if n := iss.count(); n != 1 {
			t.Errorf("%d exchanges for 100 callers at once, want 1", n)
		}
	})
}

func TestCallersShareOneError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 300 * time.Millisecond, fail: lasting}
		src := iss.source(t, stssource.Refresh{})
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = src.Token() })
		}
		wg.Wait()
		for _, err := range errs {
			if err == nil || err != errs[0] {
				t.Fatalf("errors differ: %v and %v", err, errs[0])
			}
		}
		if n := iss.count(); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestTokenIsRenewedAheadAndNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{lifetime: time.Hour, latency: 2 * time.Second}
		src := iss.source(t, stssource.Refresh{Before: 5 * time.Minute})
		begin := time.Now()
		mustToken(t, src)
		for time.Since(begin) < 3*time.Hour {
			before := time.Now()
			mustToken(t, src)
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("after %v a caller waited %v", time.Since(begin), waited)
			}
			time.Sleep(time.Second)
		}
		var at []time.Duration
		for _, s := range iss.started {
			at = append(at, s.Sub(begin))
		}
		// Each 55 minutes after the one before was begun.
		want := []time.Duration{0, 55 * time.Minute, 110 * time.Minute, 165 * time.Minute}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("exchanges began at (-want +got):\n%s", diff)
		}
	})
}

func TestUsedTokenIsRenewedWithoutCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{lifetime: time.Hour}
		src := iss.source(t, stssource.Refresh{})
		mustToken(t, src)
		time.Sleep(24 * time.Hour)
		// One more exchange for the token that was used; nobody used the second.
		if n := iss.count(); n != 2 {
			t.Errorf("%d exchanges by a source that nobody uses, want 2", n)
		}
		runtime.KeepAlive(src)
	})
}

func TestCallerLeavesWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 2 * time.Second}
		src := iss.source(t, stssource.Refresh{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := src.TokenContext(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want one that is context.DeadlineExceeded", err)
		}
		if waited := time.Since(begin); waited != 50*time.Millisecond {
			t.Errorf("the caller left after %v, want 50ms", waited)
		}
		// The exchange it began goes on, for the next caller.
		if tok := mustToken(t, src); tok.AccessToken != "token-1" {
			t.Errorf("got %s, want token-1: the first caller's context ended the exchange", tok.AccessToken)
		}
	})
}

func TestCallerContextValuesStayOut(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		var seen any
		src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
			seen = ctx.Value(key{})
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the exchange has no deadline")
			}
			return &oauth2.Token{AccessToken: "a"}, nil
		}, stssource.Refresh{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.TokenContext(context.WithValue(t.Context(), key{}, "one caller's")); err != nil {
			t.Fatal(err)
		}
		if seen != nil {
			t.Errorf("the exchange, which many share, got one caller's context value %v", seen)
		}
	})
}

func TestFailureWhileTokenIsValidReachesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		iss := &issuer{lifetime: time.Hour, fail: func() error {
			if down.Load() {
				return lasting()
			}
			return nil
		}}
		src := iss.source(t, stssource.Refresh{})
		mustToken(t, src)
		time.Sleep(54 * time.Minute)
		down.Store(true)
		for range 5 * 60 {
			mustToken(t, src)
			time.Sleep(time.Second)
		}
		if s := src.Status(); s.LastError == nil || !s.Valid || s.Failures < 3 {
			t.Errorf("Status = %+v, want valid with a last error and several failures", s)
		}
		down.Store(false)
		time.Sleep(30 * time.Second)
		if tok := mustToken(t, src); tok.AccessToken == "token-1" {
			t.Error("still the first token: the source gave up before its end")
		}
		if s := src.Status(); s.LastError != nil {
			t.Errorf("LastError = %v after a success", s.LastError)
		}
	})
}

func TestHungRefreshLeavesTimeForAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		n := 0
		src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
			n++
			if hang.Swap(false) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &oauth2.Token{AccessToken: "a" + strconv.Itoa(n), Expiry: time.Now().Add(100 * time.Second)}, nil
		}, stssource.Refresh{Before: 20 * time.Second, Timeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, src)
		hang.Store(true)
		begin := time.Now()
		for time.Since(begin) < 150*time.Second {
			before := time.Now()
			mustToken(t, src)
			if waited := time.Since(before); waited != 0 {
				t.Fatalf("a caller waited %v behind a refresh that hangs", waited)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestProviderThatNeverReturnsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		var stuck atomic.Bool
		stuck.Store(true)
		src, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
			if stuck.Swap(false) {
				<-release // whatever its context says
			}
			return &oauth2.Token{AccessToken: "a"}, nil
		}, stssource.Refresh{Timeout: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = src.Token()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 11*time.Second {
			t.Errorf("after %v: %v; want a deadline error after about 10s", time.Since(begin), err)
		}
		time.Sleep(time.Minute)
		mustToken(t, src)
	})
}

func TestPanicAndGoexitAreErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func() error
		want string
	}{
		{"an error that is a nil *Error", func() error { return (*stssource.Error)(nil) }, `^stssource: fetch: panic in github\.com/go-sts/sts/stssource\.\(\*Error\)\.\w+ \(errors\.go:\d+\): runtime error: invalid memory address or nil pointer dereference$`},
		{"an error that is a nil *RetrieveError", func() error { return (*oauth2.RetrieveError)(nil) }, `^stssource: fetch: panic in golang\.org/x/oauth2\.\(\*RetrieveError\)\.Error \(token\.go:\d+\): runtime error: invalid memory address or nil pointer dereference$`},
		{"panic with a secret", func() error { panic("secret-canary") }, `^stssource: fetch: panic in github\.com/go-sts/sts/stssource_test\.TestPanicAndGoexitAreErrors\.func\d+ \(cache_test\.go:\d+\) with a string$`},
		//lint:ignore SA5000 it is to panic
		{"runtime panic, which holds no data", func() error { var m map[string]int; m["a"] = 1; return nil }, `^stssource: fetch: panic in github\.com/go-sts/sts/stssource_test\.TestPanicAndGoexitAreErrors\.func\d+ \(cache_test\.go:\d+\): assignment to entry in nil map$`},
		{"goexit", func() error { runtime.Goexit(); return nil }, `^stssource: fetch: the provider ended its goroutine \(runtime\.Goexit\)$`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken := true
				src, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
					if broken {
						return nil, tt.do()
					}
					return &oauth2.Token{AccessToken: "a"}, nil
				}, stssource.Refresh{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = src.Token()
				if err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) {
					t.Errorf("got %v, want %s", err, tt.want)
				}
				broken = false
				time.Sleep(time.Second)
				mustToken(t, src) // not wedged
			})
		})
	}
}

func TestOutageIsBridgedForCallersWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		iss := &issuer{fail: func() error {
			if time.Since(begin) < 1300*time.Millisecond {
				return passing()
			}
			return nil
		}}
		mustToken(t, iss.source(t, stssource.Refresh{}))
	})
}

func TestErrorIsHeldWhileServiceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{latency: 20 * time.Millisecond, fail: passing}
		src := iss.source(t, stssource.Refresh{})
		begin := time.Now()
		for time.Since(begin) < 10*time.Second {
			_, err := src.Token()
			e, ok := errors.AsType[*stssource.Error](err)
			if !ok || !e.Temporary {
				t.Fatalf("got %v, want a temporary *Error", err)
			}
			if !e.NextAttempt.After(time.Now()) {
				t.Fatalf("NextAttempt %v is not in the future", e.NextAttempt)
			}
			time.Sleep(time.Millisecond)
		}
		if n := iss.count(); n > 10 || n < 5 {
			t.Errorf("%d requests in 10s to a service that is down, want 5 to 10", n)
		}
	})
}

func TestClocks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		awake time.Duration // passes by both clocks
		step  time.Duration // passes by the wall clock alone
		want  string
	}{
		{"asleep for longer than the token lives", time.Minute, time.Hour, "token-2"},
		{"asleep to just before its end: served, and renewed", time.Minute, 58*time.Minute + 59*time.Second, "token-1"},
		{"wall clock set back by a day: the monotonic clock tells", time.Hour, -24 * time.Hour, "token-2"},
		{"wall clock set back: still young", time.Minute, -24 * time.Hour, "token-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				iss := &issuer{lifetime: time.Hour}
				src := iss.source(t, stssource.Refresh{Before: time.Nanosecond})
				mustToken(t, src)
				time.Sleep(tt.awake - time.Second)
				mustToken(t, src)
				stssource.StepWallClock(src, tt.step)
				time.Sleep(time.Second)
				if tok := mustToken(t, src); tok.AccessToken != tt.want {
					t.Errorf("got %s, want %s", tok.AccessToken, tt.want)
				}
			})
		})
	}
}

// Calls that do not return are left behind, but not without bound.
func TestProvidersLeftBehindAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int64
		src, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
			calls.Add(1)
			<-release // whatever its context says
			return &oauth2.Token{AccessToken: "a"}, nil
		}, stssource.Refresh{Timeout: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err = src.Token(); err == nil {
				t.Fatal("a token from nowhere")
			}
			time.Sleep(30 * time.Second)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%d calls under way, want 3", n)
		}
		if !strings.Contains(err.Error(), "must heed its context") {
			t.Errorf("the error does not say what is wrong: %v", err)
		}
		close(release)
		time.Sleep(30 * time.Second)
		mustToken(t, src)
	})
}

// An Expiry before the year 1, as of a function that takes a minute off one that
// it does not know, is that of a token that ended long ago.
func TestExpiryBeforeAllTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
			time.Sleep(time.Millisecond)
			return &oauth2.Token{AccessToken: "a", Expiry: time.Time{}.Add(-time.Minute)}, nil
		}, stssource.Refresh{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Token(); err == nil || !strings.Contains(err.Error(), "the new token ended") {
			t.Errorf("got %v, want an error that says that the token has ended", err)
		}
		if s := src.Status(); s.Valid || s.LastError == nil {
			t.Errorf("the status is good: %+v", s)
		}
	})
}

// Whoever joins a refresh that was begun ahead waits no longer than Timeout.
func TestJoiningARefreshIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
			if hang.Load() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &oauth2.Token{AccessToken: "a", Expiry: time.Now().Add(time.Hour)}, nil
		}, stssource.Refresh{Before: 5 * time.Minute, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		tok := mustToken(t, src)
		hang.Store(true)
		time.Sleep(55*time.Minute + time.Second) // the refresh has begun
		src.Invalidate(tok)
		begin := time.Now()
		if _, err := src.Token(); err == nil || time.Since(begin) > time.Minute {
			t.Errorf("after %v: %v, want an error within a minute", time.Since(begin), err)
		}
	})
}

// The errors of files have the methods of a net.Error, and do not pass by
// themselves.
func TestFileErrorIsNotRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{fail: func() error { _, err := os.ReadFile("/nonexistent/token"); return err }}
		_, err := iss.source(t, stssource.Refresh{}).Token()
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || e.Temporary || !errors.Is(err, fs.ErrNotExist) || iss.count() != 1 {
			t.Errorf("got %v after %d calls, want a lasting error after one", err, iss.count())
		}
	})
}

// A caller waits because the wall clock was set forward; it is set right again
// while the refresh fails.
func TestFailureAfterAClockWasSetRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		iss := &issuer{latency: time.Second, fail: func() error {
			if down.Load() {
				return lasting()
			}
			return nil
		}}
		src := iss.source(t, stssource.Refresh{})
		mustToken(t, src)
		down.Store(true)
		stssource.StepWallClock(src, 2*time.Hour)
		time.Sleep(time.Second)
		time.AfterFunc(time.Second/2, func() { stssource.StepWallClock(src, -2*time.Hour) })
		if tok := mustToken(t, src); tok.AccessToken != "token-1" {
			t.Errorf("got %s, want token-1, which is valid", tok.AccessToken)
		}
	})
}

// With a monotonic reading in it, an Expiry would be compared by the clock that
// stands still while the machine sleeps.
func TestExpiryIsOfTheWallClock(t *testing.T) {
	tok := mustToken(t, (&issuer{}).source(t, stssource.Refresh{}))
	if tok.Expiry != tok.Expiry.Round(0) {
		t.Errorf("the expiry has a monotonic reading: %v", tok.Expiry)
	}
}

func TestInvalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := &issuer{}
		src := iss.source(t, stssource.Refresh{})
		first := mustToken(t, src)
		src.Invalidate(nil)
		src.Invalidate(&oauth2.Token{AccessToken: "another"})
		if got := mustToken(t, src).AccessToken; got != "token-1" {
			t.Errorf("got %s after invalidations of other tokens, want token-1", got)
		}
		src.Invalidate(first)
		if src.Status().Valid {
			t.Error("valid after Invalidate")
		}
		if got := mustToken(t, src).AccessToken; got != "token-2" {
			t.Errorf("got %s after Invalidate, want token-2", got)
		}
		src.Invalidate(first) // late: another caller was faster
		if got := mustToken(t, src).AccessToken; got != "token-2" {
			t.Errorf("got %s after a late Invalidate, want token-2", got)
		}
	})
}

func TestCallersMayChangeTheirToken(t *testing.T) {
	iss := &issuer{}
	src := iss.source(t, stssource.Refresh{})
	// oauth2.NewClient writes into the token it is given, from two goroutines
	// here: the race detector sees it if that is one token.
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { mustToken(t, oauth2.ReuseTokenSource(nil, src)) })
	}
	wg.Wait()
	mustToken(t, src).AccessToken = "changed"
	if got := mustToken(t, src).AccessToken; got != "token-1" {
		t.Errorf("the cached token is now %q", got)
	}
}

// A function's error says when to ask again by the response in it.
func TestRetryAfterOfAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		iss := &issuer{fail: func() error {
			if time.Since(begin) > 0 {
				return nil
			}
			return &oauth2.RetrieveError{Response: &http.Response{StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}}}
		}}
		mustToken(t, iss.source(t, stssource.Refresh{}))
		if waited := time.Since(begin); waited != 7*time.Second {
			t.Errorf("asked again after %v, want 7s", waited)
		}
	})
}

// A hit allocates nothing but the caller's own copy.
func TestAllocationsOfAHit(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	src := (&issuer{}).source(t, stssource.Refresh{})
	mustToken(t, src)
	if n := testing.AllocsPerRun(1000, func() { stssource.Header(src) }); n != 0 {
		t.Errorf("%v allocations for the header, want 0", n)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = src.Token() }); n != 1 {
		t.Errorf("%v allocations for Token, want 1", n)
	}
	transport := &stssource.Transport{Source: src, Base: stub{&http.Response{StatusCode: 200}}}
	req, _ := http.NewRequest("GET", "https://api.example.com/", nil)
	if n := testing.AllocsPerRun(1000, func() { _, _ = transport.RoundTrip(req) }); n > 3 {
		t.Errorf("%v allocations for RoundTrip, want at most 3", n)
	}
}
