package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	_, steps, _ := strings.Cut(out.String(), "\n\n")
	want := `a caller                       1 exchanges, 1 kept, 0 dropped: 200 hello caller-1
the same caller again          0 exchanges, 1 kept, 0 dropped: 200 hello caller-1
another one, 50 times at once  1 exchanges, 2 kept, 0 dropped: 200 hello caller-2
a third and a fourth           2 exchanges, 3 kept, 1 dropped: 200 hello caller-3, 200 hello caller-4
the first, who was dropped     1 exchanges, 3 kept, 2 dropped: 200 hello caller-1
one without a token            0 exchanges, 3 kept, 2 dropped: 401 send an access token
one with a made-up token       1 exchanges, 3 kept, 3 dropped: 401 the token service does not accept your token
the token service is down      1 exchanges, 3 kept, 4 dropped: 503 the token service does not answer as it should, in N seconds again
still down, a known caller     0 exchanges, 3 kept, 4 dropped: 200 hello caller-1
the token service is back      1 exchanges, 3 kept, 5 dropped: 200 hello caller-6
`
	got := regexp.MustCompile(`in \d+ seconds`).ReplaceAllString(steps, "in N seconds")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// newTestService returns a service whose token service and API are in memory.
func newTestService(t *testing.T, sts *ststest.Handler, actor subjecttoken.Provider) *service {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("sts.example.com/", sts)
	mux.Handle("api.example.com/", sts.Protect(whoami(sts)))
	client := &http.Client{Transport: ststest.RoundTripper(mux)}
	o := options{tokenURL: "https://sts.example.com/token", api: "https://api.example.com/", audience: "api", max: 3, life: time.Minute}
	config := o.config(actor)
	config.HTTPClient = client
	s, err := newService(config, o)
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	return s
}

func get(ctx context.Context, s *service, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

var actor = subjecttoken.Static{Value: actorToken}

func TestExchange(t *testing.T) {
	sts := new(ststest.Handler)
	w := get(t.Context(), newTestService(t, sts, actor), "bearer caller-1")
	if w.Code != 200 || w.Body.String() != "hello caller-1" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	p := sts.Requests()[0].Params
	got := []string{p.Get("subject_token"), p.Get("subject_token_type"), p.Get("actor_token"), p.Get("actor_token_type"), p.Get("audience")}
	want := []string{"caller-1", subjecttoken.TypeAccessToken, actorToken, subjecttoken.TypeJWT, "api"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// Whatever is dropped and made anew at the same time, each caller gets what is
// its own.
func TestManyCallers(t *testing.T) {
	s := newTestService(t, new(ststest.Handler), actor)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			caller := fmt.Sprintf("caller-%d", i%8) // for whom there are 3 places
			if w := get(t.Context(), s, "Bearer "+caller); w.Body.String() != "hello "+caller {
				t.Errorf("%s got %d %s", caller, w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	if n := s.sources.recent.Len(); n != 3 || len(s.sources.byKey) != n {
		t.Errorf("%d sources and %d keys are kept", n, len(s.sources.byKey))
	}
}

func TestFailures(t *testing.T) {
	missing := subjecttoken.File{Path: filepath.Join(t.TempDir(), "missing")}
	for _, tt := range []struct {
		name       string
		actor      subjecttoken.Provider
		reply      ststest.Reply
		caller     string
		status     int
		retryAfter string
		exchanges  int
	}{
		{"no scheme", actor, ststest.Reply{}, "caller-1", 401, "", 0},
		{"another scheme", actor, ststest.Reply{}, "Basic Y2FsbGVyLTE6", 401, "", 0},
		{"no token", actor, ststest.Reply{}, "Bearer ", 401, "", 0},
		{"refused, as RFC 8693 says it", actor, ststest.Reply{Error: "invalid_request"}, "Bearer caller-1", 401, "", 1},
		{"refused, as most say it", actor, ststest.Reply{Error: "invalid_grant"}, "Bearer caller-1", 401, "", 1},
		{"refused, as some say it", actor, ststest.Reply{Error: "invalid_token"}, "Bearer caller-1", 401, "", 1},
		{"this service's own credentials", actor, ststest.Reply{Error: "invalid_client"}, "Bearer caller-1", 502, "", 1},
		{"an audience that is not known", actor, ststest.Reply{Error: "invalid_target"}, "Bearer caller-1", 502, "", 1},
		{"no actor token", missing, ststest.Reply{}, "Bearer caller-1", 502, "", 0},
		{"down, for 20 seconds", actor, ststest.Reply{Status: 503, RetryAfter: "20"}, "Bearer caller-1", 503, "20", 1},
		{"no answer in time", actor, ststest.Reply{Hang: true}, "Bearer caller-1", 503, "1", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sts := new(ststest.Handler)
				tt.reply.Times = -1
				sts.Script(tt.reply) // the zero reply is the normal one
				s := newTestService(t, sts, tt.actor)
				w := get(t.Context(), s, tt.caller)
				if w.Code != tt.status || w.Header().Get("Retry-After") != tt.retryAfter || len(sts.Requests()) != tt.exchanges {
					t.Errorf("%d %s %v after %d exchanges", w.Code, w.Body, w.Header(), len(sts.Requests()))
				}
				if challenge := w.Header().Get("WWW-Authenticate"); (tt.status == 401) != strings.HasPrefix(challenge, "Bearer") {
					t.Errorf("challenge %q", challenge)
				}
				time.Sleep(time.Minute) // until what hangs was given up
			})
		})
	}
}

// A caller that leaves does not end the exchange, which the next one finds done.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sts := &ststest.Handler{Delay: 2 * time.Second}
		s := newTestService(t, sts, actor)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		get(ctx, s, "Bearer caller-1")
		if waited := time.Since(start); waited != time.Second {
			t.Errorf("waited for %v", waited)
		}
		time.Sleep(2 * time.Second)
		if w := get(t.Context(), s, "Bearer caller-1"); w.Code != 200 || len(sts.Requests()) != 1 {
			t.Errorf("%d %s after %d exchanges", w.Code, w.Body, len(sts.Requests()))
		}
	})
}

// A token that was revoked is good for no longer than life.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := false
		sts := &ststest.Handler{Accept: func(string) error {
			if revoked {
				return errors.New("revoked")
			}
			return nil
		}}
		s := newTestService(t, sts, actor)
		for _, want := range []int{200, 200, 401} { // after 0, 59 and 60 seconds
			if w := get(t.Context(), s, "Bearer caller-1"); w.Code != want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, want)
			}
			if !revoked {
				time.Sleep(58 * time.Second)
			}
			revoked = true
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute) // what nobody asks for goes with the next caller
		revoked = false
		get(t.Context(), s, "Bearer caller-2")
		if n := s.sources.recent.Len(); n != 1 {
			t.Errorf("%d sources are kept, want that of the one caller", n)
		}
	})
}

// The caller that has not come for the longest time is the one to go.
func TestLeastRecentlyUsed(t *testing.T) {
	sts := new(ststest.Handler)
	s := newTestService(t, sts, actor)
	for _, caller := range []string{"caller-1", "caller-2", "caller-3", "caller-1", "caller-4", "caller-1", "caller-2"} {
		get(t.Context(), s, "Bearer "+caller)
	}
	if n := len(sts.Requests()); n != 5 {
		t.Errorf("%d exchanges, want 5: caller-2 alone was dropped", n)
	}
}

// However many tokens somebody makes up, the callers that are in use stay.
func TestMadeUpTokens(t *testing.T) {
	sts := &ststest.Handler{Accept: accept}
	s := newTestService(t, sts, actor)
	for _, caller := range []string{"caller-1", "caller-2", "guess", "another-guess", "a-third-guess", "caller-1", "caller-2"} {
		get(t.Context(), s, "Bearer "+caller)
	}
	if n := len(sts.Requests()); n != 5 {
		t.Errorf("%d exchanges, want one for each token", n)
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-api", "https://api.example.com"}, "set -token-url"},
		{[]string{"-token-url", "https://sts.example.com", "-api", "https://api.example.com"}, "-token-url needs -actor-file"},
		{[]string{"-token-url", "http://sts.example.com", "-actor-file", "f", "-api", "https://api.example.com"}, "use https"},
		{[]string{"-token-url", "https://sts.example.com", "-actor-file", "f", "-api", "api.example.com"}, `-api "api.example.com" is not a URL with a host`},
		{[]string{"-max", "0"}, "-max must be at least 1"},
		{[]string{"-listen", "nowhere"}, "nowhere"},
		{[]string{"caller"}, `unexpected argument "caller"`},
	} {
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
