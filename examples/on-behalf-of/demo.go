package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

const actorToken = "token-of-on-behalf-of"

// demo has callers ask a service in front of an embedded token service and API.
func demo(ctx context.Context, o options, out io.Writer) error {
	sts := &ststest.Handler{Accept: accept}
	stsServer := ststest.NewServer(sts)
	defer stsServer.Close()
	api := httptest.NewServer(sts.Protect(whoami(sts)))
	defer api.Close()
	o.tokenURL, o.api, o.audience = stsServer.TokenURL, api.URL, "https://api.example.com"
	s, err := newService(o.config(subjecttoken.Static{Value: actorToken}), o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	err = serve(ctx, s, o.listen, func(url string) {
		fmt.Fprintf(out, "No -token-url: a token service and an API were started on this machine.\n")
		fmt.Fprintf(out, "The service keeps sources for %d callers, each for %v.\n\n", o.max, o.life)
		go func() {
			failed <- ask(ctx, url, s.sources, sts, out)
			cancel()
		}()
	})
	if err != nil {
		return err
	}
	return <-failed
}

// accept takes the tokens of known callers.
func accept(token string) error {
	if !strings.HasPrefix(token, "caller-") {
		return errors.New("nobody has this token")
	}
	return nil
}

// whoami is an API that says whose token it got, and from whom. It looks that up
// in the records of the token service; a real one reads the token's claims sub
// and act.
func whoami(sts *ststest.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		for _, request := range sts.Requests() {
			if request.AccessToken == token && request.Params.Get("actor_token") == actorToken {
				fmt.Fprintf(w, "hello %s", request.Params.Get("subject_token"))
				return
			}
		}
		http.Error(w, "a token without an actor", http.StatusForbidden)
	})
}

// ask sends requests to the service until there is nothing left to show.
func ask(ctx context.Context, url string, kept *sources, sts *ststest.Handler, out io.Writer) error {
	down := ststest.Reply{Status: http.StatusServiceUnavailable, RetryAfter: "20", Times: -1}
	for _, step := range []struct {
		what    string
		callers []string // one after the other
		each    int      // requests of each at once
		service []ststest.Reply
	}{
		{"a caller", []string{"caller-1"}, 1, nil},
		{"the same caller again", []string{"caller-1"}, 1, nil},
		{"another one, 50 times at once", []string{"caller-2"}, 50, nil},
		{"a third and a fourth", []string{"caller-3", "caller-4"}, 1, nil},
		{"the first, who was dropped", []string{"caller-1"}, 1, nil},
		{"one without a token", []string{""}, 1, nil},
		{"one with a made-up token", []string{"stranger"}, 1, nil},
		{"the token service is down", []string{"caller-5"}, 1, []ststest.Reply{down}},
		{"still down, a known caller", []string{"caller-1"}, 1, []ststest.Reply{down}},
		{"the token service is back", []string{"caller-6"}, 1, nil},
	} {
		sts.Script(step.service...)
		before := len(sts.Requests())
		var answers []string
		for _, caller := range step.callers {
			got, err := askAtOnce(ctx, url, caller, step.each)
			if err != nil {
				return err
			}
			answers = append(answers, got)
		}
		kept.mu.Lock()
		n, evicted := kept.recent.Len(), kept.evicted
		kept.mu.Unlock()
		fmt.Fprintf(out, "%-30s %d exchanges, %d kept, %d dropped: %s\n", step.what,
			len(sts.Requests())-before, n, evicted, strings.Join(answers, ", "))
	}
	return nil
}

// askAtOnce sends n requests of one caller at once, and returns the different
// answers.
func askAtOnce(ctx context.Context, url, caller string, n int) (string, error) {
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		answers = map[string]bool{}
		failure error
	)
	for range n {
		wg.Go(func() {
			answer, err := askOnce(ctx, url, caller)
			mu.Lock()
			defer mu.Unlock()
			answers[answer] = true
			failure = errors.Join(failure, err)
		})
	}
	wg.Wait()
	return strings.Join(slices.Sorted(maps.Keys(answers)), ", "), failure
}

func askOnce(ctx context.Context, url, caller string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if caller != "" {
		req.Header.Set("Authorization", "Bearer "+caller)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	answer := fmt.Sprintf("%d %s", resp.StatusCode, strings.TrimSpace(string(body)))
	if after := resp.Header.Get("Retry-After"); after != "" {
		answer += ", in " + after + " seconds again"
	}
	return answer, err
}
