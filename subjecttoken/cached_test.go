package subjecttoken_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/subjecttoken"
)

// numbered gives "token 1", "token 2", ... that live for so long; 0 is an
// expiry that is not known.
func numbered(asked *atomic.Int32, life time.Duration) subjecttoken.Func {
	return func(context.Context) (subjecttoken.Token, error) {
		token := subjecttoken.Token{Value: fmt.Sprint("token ", asked.Add(1))}
		if life != 0 {
			token.Expiry = time.Now().Add(life)
		}
		return token, nil
	}
}

func TestCached(t *testing.T) {
	for _, row := range []struct {
		name   string
		life   time.Duration
		margin time.Duration
		asked  map[time.Duration]int32 // how often the provider was asked, when a caller comes so much later
	}{
		{name: "one minute before its expiry", life: time.Hour, asked: map[time.Duration]int32{0: 1, 59*time.Minute - 1: 1, 59 * time.Minute: 2}},
		{name: "margin", life: time.Hour, margin: 10 * time.Minute, asked: map[time.Duration]int32{50*time.Minute - 1: 1, 50 * time.Minute: 2}},
		{name: "half of a short life", life: time.Minute, asked: map[time.Duration]int32{30*time.Second - 1: 1, 30 * time.Second: 2}},
		{name: "expiry that is not known", asked: map[time.Duration]int32{0: 2}},
		{name: "expired at once", life: -1, asked: map[time.Duration]int32{0: 2}},
	} {
		for later, want := range row.asked {
			t.Run(fmt.Sprint(row.name, "/", later), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var asked atomic.Int32
					p := subjecttoken.Cached(numbered(&asked, row.life), row.margin)
					for _, pause := range []time.Duration{0, later} {
						time.Sleep(pause)
						got, err := p.SubjectToken(t.Context())
						if want := fmt.Sprint("token ", asked.Load()); err != nil || got.Value != want {
							t.Errorf("SubjectToken() = %q, %v; want %q", got.Value, err, want)
						}
					}
					if got := asked.Load(); got != want {
						t.Errorf("the provider was asked %d times, want %d", got, want)
					}
				})
			})
		}
	}
}

// shared are the two providers that share one call among its callers.
var shared = map[string]func(ask func(context.Context) (string, error)) subjecttoken.Provider{
	"Cached": func(ask func(context.Context) (string, error)) subjecttoken.Provider {
		return subjecttoken.Cached(subjecttoken.Func(func(ctx context.Context) (subjecttoken.Token, error) {
			value, err := ask(ctx)
			return subjecttoken.Token{Value: value}, err
		}), 0)
	},
	"FromTokenSource": func(ask func(context.Context) (string, error)) subjecttoken.Provider {
		return subjecttoken.FromTokenSource(sourceFunc(func() (*oauth2.Token, error) {
			value, err := ask(context.Background())
			return &oauth2.Token{AccessToken: value}, err
		}))
	},
}

// Each caller waits no longer than its own context, and the others have the
// answer of one call.
func TestSharedCall(t *testing.T) {
	for name, provider := range shared {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				p := provider(func(context.Context) (string, error) {
					asked++
					time.Sleep(10 * time.Second)
					return "token", nil
				})
				start := time.Now()
				for i := range 20 {
					go func() {
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Second+1)
						defer cancel()
						got, err := p.SubjectToken(ctx)
						took := time.Since(start)
						if i < 10 {
							refused(t, err, "context deadline exceeded")
							if !errors.Is(err, context.DeadlineExceeded) || took != time.Duration(i)*time.Second+1 {
								t.Errorf("caller %d: %v after %v", i, err, took)
							}
						} else if err != nil || got.Value != "token" || took != 10*time.Second {
							t.Errorf("caller %d: %q, %v after %v", i, got.Value, err, took)
						}
					}()
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				if asked != 1 {
					t.Errorf("the provider was asked %d times, want 1", asked)
				}
			})
		})
	}
}

// A call that nobody waits for is ended, and its error is not for those who
// come later.
func TestCachedAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, ended := 0, 0
		type key struct{}
		p := shared["Cached"](func(ctx context.Context) (string, error) {
			if ctx.Value(key{}) != nil {
				t.Error("the provider's context has a caller's values")
			}
			if asked++; asked == 1 {
				<-ctx.Done()
				ended++
				time.Sleep(time.Second) // slow to give up
				return "", ctx.Err()
			}
			return "token", nil
		})
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, 1), time.Second)
		defer cancel()
		_, err := p.SubjectToken(ctx)
		refused(t, err, "cached subject token: context deadline exceeded")
		synctest.Wait()
		if ended != 1 {
			t.Error("the call was not ended")
		}
		if got, err := p.SubjectToken(t.Context()); err != nil || got.Value != "token" {
			t.Errorf("SubjectToken() = %q, %v; want the token of a new call", got.Value, err)
		}
		_, err = p.SubjectToken(ctx)
		refused(t, err, "context deadline exceeded")
		time.Sleep(time.Minute) // the first call ends
		if asked != 2 {
			t.Errorf("the provider was asked %d times, want 2: not for who has no time at all", asked)
		}
	})
}

// A token source that hangs is not asked again and again.
func TestTokenSourceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := 0, make(chan string)
		p := shared["FromTokenSource"](func(context.Context) (string, error) {
			asked++
			return <-answer, nil
		})
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := p.SubjectToken(ctx)
			refused(t, err, "token source: context deadline exceeded")
			cancel()
		}
		time.AfterFunc(time.Second, func() { answer <- "late" })
		if got, err := p.SubjectToken(t.Context()); err != nil || got.Value != "late" || asked != 1 {
			t.Errorf("SubjectToken() = %q, %v, asked %d times; want the late token of one call", got.Value, err, asked)
		}
	})
}

// A panic is the caller's to recover, and neither it nor a goroutine that ends
// makes later callers wait.
func TestSharedCallPanics(t *testing.T) {
	for name, provider := range shared {
		t.Run(name, func(t *testing.T) {
			asked := 0
			p := provider(func(context.Context) (string, error) {
				switch asked++; asked {
				case 1:
					panic("boom")
				case 2:
					runtime.Goexit()
				}
				return "token", nil
			})
			func() {
				defer func() {
					if v := recover(); v != "boom" {
						t.Errorf("recovered %v, want boom", v)
					}
				}()
				_, _ = p.SubjectToken(t.Context())
			}()
			_, err := p.SubjectToken(t.Context())
			refused(t, err, "ended without an answer")
			if got, err := p.SubjectToken(t.Context()); err != nil || got.Value != "token" {
				t.Errorf("SubjectToken() = %q, %v; want the token", got.Value, err)
			}
		})
	}
}
