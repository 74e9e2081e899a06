package stssource_test

import (
	"bytes"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// The observer and the logger are told of every attempt, why it was made and
// what came of it, and never see a token.
func TestObserverAndLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		type attempt struct {
			At, Took time.Duration
			Trigger  stssource.Trigger
			OK       bool
			Lives    time.Duration // from the attempt's start
		}
		var got []attempt
		var log bytes.Buffer
		service := &ststest.Handler{Delay: time.Second}
		src := newSource(t, service, func(c *stssource.Config) {
			c.TokenURL += "?key=canary-key"
			c.SubjectToken = subjecttoken.Static{Value: "canary-subject-token"}
			c.ClientID, c.ClientSecret = "id", "canary-secret"
			c.Refresh = stssource.Refresh{
				Before: 5 * time.Minute,
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				Observe: func(a stssource.Attempt) {
					o := attempt{At: a.Start.Sub(begin), Took: a.Duration, Trigger: a.Trigger, OK: a.Err == nil}
					if a.Err == nil {
						o.Lives = a.Expiry.Sub(a.Start)
					} else if _, ok := errors.AsType[*stssource.Error](a.Err); !ok {
						t.Errorf("the observer got %T, want an *Error", a.Err)
					}
					got = append(got, o)
				},
			}
			service.ClientID, service.ClientSecret = "id", "canary-secret"
		})
		first := mustToken(t, src)
		service.Script(ststest.Reply{Error: "canceled"}) // one failure in the background
		time.Sleep(58 * time.Minute)
		mustToken(t, src)
		src.Invalidate(mustToken(t, src))
		second := mustToken(t, src) // the first was invalidated
		service.Script(ststest.Reply{Hang: true, Times: -1})
		time.Sleep(2 * time.Hour) // ended
		service.Script()
		time.Sleep(time.Minute)
		mustToken(t, src)
		synctest.Wait()

		want := []attempt{
			{0, time.Second, stssource.TriggerFirst, true, time.Hour},
			{55 * time.Minute, time.Second, stssource.TriggerAhead, false, 0},
		}
		if diff := cmp.Diff(want, got[:2]); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
		triggers := make(map[stssource.Trigger]int)
		for _, a := range got {
			triggers[a.Trigger]++
		}
		for _, trigger := range []stssource.Trigger{stssource.TriggerFirst, stssource.TriggerInvalidated, stssource.TriggerExpired} {
			if triggers[trigger] != 1 {
				t.Errorf("%d attempts with trigger %s, want 1: %v", triggers[trigger], trigger, triggers)
			}
		}
		for _, secret := range []string{"canary", first.AccessToken, second.AccessToken} {
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log shows %s:\n%s", secret, log.String())
			}
		}
		if n := strings.Count(log.String(), "\n"); n != len(got) {
			t.Errorf("%d lines in the log for %d attempts", n, len(got))
		}
		if first := strings.SplitN(log.String(), "\n", 2)[0]; !strings.Contains(first, "level=DEBUG") || !strings.Contains(first, "trigger=first") {
			t.Errorf("first line %q", first)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "400 canceled") {
			t.Errorf("the failure is not in the log:\n%s", log.String())
		}
	})
}

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now().Round(0)
		var down atomic.Bool
		iss := &issuer{latency: time.Second, fail: func() error {
			if down.Load() {
				return lasting()
			}
			return nil
		}}
		src := iss.source(t, stssource.Refresh{Before: 5 * time.Minute})
		if diff := cmp.Diff(stssource.Status{}, src.Status()); diff != "" {
			t.Errorf("before the first token (-want +got):\n%s", diff)
		}
		mustToken(t, src)
		want := stssource.Status{
			Valid:       true,
			Expiry:      begin.Add(time.Hour),
			NextRefresh: begin.Add(55 * time.Minute),
			LastSuccess: begin.Add(time.Second),
			Exchanges:   1,
		}
		if diff := cmp.Diff(want, src.Status()); diff != "" {
			t.Errorf("with a token (-want +got):\n%s", diff)
		}
		down.Store(true)
		time.Sleep(55 * time.Minute)
		synctest.Wait()
		s := src.Status()
		if !s.Valid || s.LastError == nil || s.Failures != 1 || s.Exchanges != 2 || !s.NextRefresh.After(time.Now()) {
			t.Errorf("after a failed refresh: %+v", s)
		}
		if e, ok := errors.AsType[*stssource.Error](s.LastError); !ok || !e.NextAttempt.Equal(s.NextRefresh) {
			t.Errorf("the last error says that the next attempt is at %v, and the status at %v", e.NextAttempt, s.NextRefresh)
		}
		time.Sleep(5 * time.Minute)
		if s := src.Status(); s.Valid || !s.Expiry.IsZero() || !s.NextRefresh.IsZero() || s.LastSuccess != want.LastSuccess {
			t.Errorf("after the end: %+v", s)
		}
	})
}

// What failed last is told in the same words by a status, to the observer and to
// callers, also between the attempts of one flight; and what failed once counts.
func TestStatusOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		var told error
		iss := &issuer{fail: func() error {
			if down.Load() {
				return passing()
			}
			return nil
		}}
		src := iss.source(t, stssource.Refresh{Observe: func(a stssource.Attempt) { told = a.Err }})
		first := make(chan error, 1)
		go func() { _, err := src.Token(); first <- err }()
		synctest.Wait()
		e, ok := errors.AsType[*stssource.Error](src.Status().LastError)
		if !ok || !e.NextAttempt.After(time.Now()) || iss.count() != 1 {
			t.Errorf("between two of %d attempts: %+v, want when the next one is", iss.count(), e)
		}
		err := <-first
		synctest.Wait()
		if s := src.Status(); s.LastError != err || told != err {
			t.Errorf("the caller got %v, the status has %v, the observer %v", err, s.LastError, told)
		}
		down.Store(false)
		time.Sleep(time.Minute)
		mustToken(t, src)
		if s := src.Status(); s.Failures != 4 || s.Exchanges != 5 || s.LastError != nil {
			t.Errorf("after the outage: %+v, want 4 failures in 5 attempts, and none last", s)
		}
	})
}

// While an observer blocks, 64 attempts are kept for it.
func TestObserverThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var told atomic.Int64
		iss := &issuer{lifetime: time.Minute}
		src := iss.source(t, stssource.Refresh{Observe: func(stssource.Attempt) { told.Add(1); <-release }})
		for range 200 {
			mustToken(t, src)
			time.Sleep(time.Minute)
		}
		close(release)
		synctest.Wait()
		if n := told.Load(); n != 65 {
			t.Errorf("the observer was told of %d attempts, want the one it blocked in and 64", n)
		}
	})
}

func TestNewFromFuncRefuses(t *testing.T) {
	if _, err := stssource.NewFromFunc(nil, stssource.Refresh{}); err == nil {
		t.Error("a nil function was accepted")
	}
	_, err := stssource.NewFromFunc((&issuer{}).fetch, stssource.Refresh{Before: -1, Timeout: -1})
	if err == nil || !strings.Contains(err.Error(), "Refresh.Before") || !strings.Contains(err.Error(), "Refresh.Timeout") {
		t.Errorf("got %v, want both negative durations named", err)
	}
}

// Whatever an observer does, callers have their answers.
func TestObserverHarmsNobody(t *testing.T) {
	for _, tt := range []struct {
		name    string
		observe func(src *stssource.Source)
	}{
		{"it asks for a token", func(src *stssource.Source) { _, _ = src.Token() }},
		{"it ends its goroutine", func(*stssource.Source) { runtime.Goexit() }},
		{"it takes its time", func(*stssource.Source) { time.Sleep(time.Hour) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var src *stssource.Source
				var told atomic.Int64
				var log bytes.Buffer
				iss := &issuer{fail: func() error {
					if time.Since(begin) < time.Second {
						return passing()
					}
					return nil
				}}
				src = iss.source(t, stssource.Refresh{
					Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
					Observe: func(stssource.Attempt) {
						told.Add(1)
						tt.observe(src)
					},
				})
				mustToken(t, src)
				if waited := time.Since(begin); waited > 5*time.Second {
					t.Errorf("the caller waited %v", waited)
				}
				time.Sleep(24 * time.Hour)
				if n := told.Load(); int(n) != iss.count() {
					t.Errorf("the observer was told of %d attempts, want all %d", n, iss.count())
				}
				if n := strings.Count(log.String(), "trigger="); n != iss.count() {
					t.Errorf("the logger was told of %d attempts, want all %d", n, iss.count())
				}
			})
		})
	}
}
