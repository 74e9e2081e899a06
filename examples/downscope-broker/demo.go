package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// demo serves a broker in front of an embedded token service, has clients ask
// it, and prints what both of them saw.
func demo(ctx context.Context, o options, out io.Writer) error {
	service := &ststest.Handler{Mode: ststest.Google, Delay: 100 * time.Millisecond}
	sts := ststest.NewServer(service)
	defer sts.Close()
	endpoint := gcp.Endpoint{URL: sts.TokenURL}
	source, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "broker"}.Audience(),
		SubjectToken: subjecttoken.Static{Value: "the-subject-token"},
		Endpoint:     endpoint,
	})
	if err != nil {
		return err
	}
	b := newBroker(source, o, gcp.DownscopeConfig{Endpoint: endpoint})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	err = serve(ctx, o, b, func(address string) {
		fmt.Fprintf(out, "No -credentials: a token service was started at %s.\n", sts.URL)
		fmt.Fprintf(out, "The broker is at http://%s and keeps tokens of %d buckets.\n\n", address, o.max)
		go func() {
			failed <- clients(ctx, "http://"+address, b, service, out)
			cancel()
		}()
	})
	if err != nil {
		return err
	}
	return <-failed
}

// clients asks for tokens until there is nothing left to show.
func clients(ctx context.Context, broker string, b *broker, service *ststest.Handler, out io.Writer) error {
	for _, step := range []struct {
		what    string
		buckets []string
		each    int // clients that ask for each of them at once
	}{
		{"three buckets, 20 clients each", []string{"alpha", "beta", "gamma"}, 20},
		{"the same again", []string{"alpha", "beta", "gamma"}, 20},
		{"a fourth bucket", []string{"delta"}, 1},
		{"what is not a bucket", []string{"../alpha"}, 1},
	} {
		before := len(service.Requests())
		start := time.Now()
		got, err := askAll(ctx, broker, step.buckets, step.each)
		if err != nil {
			return err
		}
		b.mu.Lock()
		kept, evicted := b.recent.Len(), b.evicted
		b.mu.Unlock()
		fmt.Fprintf(out, "%-32s %s in %v, %d exchanges; %d buckets kept, %d dropped\n", step.what, got,
			time.Since(start).Round(10*time.Millisecond), len(service.Requests())-before, kept, evicted)
	}
	return nil
}

// askAll has each clients ask for a token of each bucket at once, and says what
// they got.
func askAll(ctx context.Context, broker string, buckets []string, each int) (string, error) {
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		tokens  = make(map[string]bool)
		refused int
		failure error
	)
	for _, bucket := range buckets {
		for range each {
			wg.Go(func() {
				token, err := ask(ctx, broker, bucket)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					failure = err
				case token == "":
					refused++
				default:
					tokens[token] = true
				}
			})
		}
	}
	wg.Wait()
	return fmt.Sprintf("%d requests, %d different tokens, %d refused", len(buckets)*each, len(tokens), refused), failure
}

// ask returns the token of a bucket; none if the broker refuses.
func ask(ctx context.Context, broker, bucket string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, broker+"/token", nil)
	if err != nil {
		return "", err
	}
	req.URL.RawQuery = "bucket=" + bucket
	req.Header.Set("Broker-Request", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body)
		return "", nil
	}
	var a answer
	err = json.NewDecoder(resp.Body).Decode(&a)
	return a.AccessToken, err
}
