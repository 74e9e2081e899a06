// Command quickstart shows what the library is for, in one command and without
// any configuration:
//
//	go run ./examples/quickstart
//
// It starts a token service and a protected API on loopback, keeps rotating a
// subject token in a file, and calls the API with tokens that live for three
// seconds. The timeline shows that they are renewed in the background, so that
// only the first request waits.
//
// With -token-url it uses a real service instead, for example Google's:
//
//	go run ./examples/quickstart \
//		-token-url https://sts.googleapis.com/v1/token \
//		-subject-file /var/run/secrets/tokens/gcp-token \
//		-audience //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X \
//		-scope https://www.googleapis.com/auth/cloud-platform \
//		-api https://storage.googleapis.com/storage/v1/b?project=PROJECT
//
// With -config it uses a credential file of Google's, as gcloud writes it.
//
// It ends by itself. The exit status is 1 if a request was refused.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	tokenURL, subjectFile, subjectType string
	audience, scope, api               string
	config, allowHost                  string
	json                               bool
	duration, every                    time.Duration
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("quickstart", flag.ExitOnError)
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint of a real service; if empty, one is started here")
	fs.StringVar(&o.subjectFile, "subject-file", "", "file with the subject token, for -token-url")
	fs.StringVar(&o.subjectType, "subject-type", "", "type of the subject token; if empty, that of a JWT")
	fs.StringVar(&o.audience, "audience", "", "audience of the new token")
	fs.StringVar(&o.scope, "scope", "", "scopes of the new token, separated by spaces")
	fs.StringVar(&o.api, "api", "", "URL to call with the token, for -token-url and -config; if empty, none is called")
	fs.StringVar(&o.config, "config", "", "a Google credential file to use instead")
	fs.StringVar(&o.allowHost, "allow-host", "", "a further host that the file of -config may send tokens to")
	fs.BoolVar(&o.json, "json", false, "encode the request as JSON, as the reference of Google's v1beta says")
	fs.DurationVar(&o.duration, "duration", 9*time.Second, "for how long to make requests")
	fs.DurationVar(&o.every, "every", 300*time.Millisecond, "the time between requests")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.every <= 0:
		return o, errors.New("-every must be above 0")
	case o.config != "" && o.tokenURL+o.subjectFile+o.subjectType+o.audience != "":
		return o, errors.New("-config has all of -token-url, -subject-file, -subject-type and -audience in it: leave them out")
	case o.tokenURL != "" && o.subjectFile == "":
		return o, errors.New("-token-url needs -subject-file: the token to exchange")
	case o.config+o.tokenURL == "" && o.subjectFile+o.audience+o.scope+o.api != "":
		return o, errors.New("-subject-file, -audience, -scope and -api are for a real service: set -token-url or -config")
	}
	return o, nil
}

// run is the whole program. It returns an error if a request was refused.
func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	t := &timeline{out: out, start: time.Now()}
	if o.config+o.tokenURL == "" {
		world, err := startWorld(ctx)
		if err != nil {
			return err
		}
		defer world.close()
		world.point(&o)
		t.printf("No -token-url: a token service and an API were started on loopback, with tokens of %v.", lifetime)
	}
	src, err := t.source(o)
	if err != nil {
		return err
	}
	return t.call(ctx, src, o)
}

// source returns a Source as o describes it.
func (t *timeline) source(o options) (*stssource.Source, error) {
	refresh := stssource.Refresh{Observe: t.observe}
	if o.config != "" {
		t.printf("credential file %s", o.config)
		config, err := gcp.FromFile(o.config, optional(o.allowHost)...)
		if err != nil {
			return nil, err
		}
		config.Scopes = strings.Fields(o.scope)
		config.Refresh = refresh
		return gcp.New(config)
	}
	t.printf("token endpoint  %s", strings.SplitN(o.tokenURL, "?", 2)[0])
	t.printf("subject token   %s", o.subjectFile)
	return stssource.New(stssource.Config{
		TokenURL:         o.tokenURL,
		SubjectToken:     subjecttoken.File{Path: o.subjectFile},
		SubjectTokenType: o.subjectType,
		Audiences:        optional(o.audience),
		Scopes:           strings.Fields(o.scope),
		Encoding:         encoding(o.json),
		Refresh:          refresh,
	})
}

func optional(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func encoding(json bool) stssource.Encoding {
	if json {
		return stssource.JSON
	}
	return stssource.Form
}

// timeline prints what happens and counts it.
type timeline struct {
	out   io.Writer
	start time.Time

	mu                        sync.Mutex
	requests, refused, waited int
}

func (t *timeline) printf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *timeline) event(format string, args ...any) {
	t.printf("%6.2fs  "+format, append([]any{time.Since(t.start).Seconds()}, args...)...)
}

// observe is told of each attempt to get a token.
func (t *timeline) observe(a stssource.Attempt) {
	how := "while a request waited"
	if a.Trigger == stssource.TriggerAhead {
		how = "in the background"
	}
	if a.Err != nil {
		t.event("exchange %s failed: %v", how, a.Err)
		return
	}
	t.event("exchange %s took %v", how, a.Duration.Round(time.Millisecond))
}

// call makes requests until the time is up, by turns through a client that
// wraps an existing one and through oauth2.NewClient.
func (t *timeline) call(ctx context.Context, src *stssource.Source, o options) error {
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	clients := []struct {
		name string
		*http.Client
	}{
		{"Source.Client   ", src.Client(&http.Client{Timeout: 30 * time.Second})},
		{"oauth2.NewClient", oauth2.NewClient(context.Background(), src)},
	}
	for i := 0; ctx.Err() == nil; i++ {
		c := clients[i%len(clients)]
		t.request(src, c.Client, c.name, o.api)
		select {
		case <-time.After(o.every):
		case <-ctx.Done():
		}
	}
	s := src.Status()
	t.printf("%d requests, %d refused, %d exchanges, %d requests that waited", t.requests, t.refused, s.Exchanges, t.waited)
	if t.refused > 0 {
		return fmt.Errorf("%d of %d requests were refused", t.refused, t.requests)
	}
	return nil
}

// request makes one request, or without an API only asks for a token.
func (t *timeline) request(src *stssource.Source, client *http.Client, via, api string) {
	waits := !src.Status().Valid // there is no token yet: this caller will wait for one
	begin := time.Now()
	outcome, ok := "token only", true
	if api == "" {
		if _, err := src.Token(); err != nil {
			outcome, ok = err.Error(), false
		}
	} else {
		outcome, ok = get(client, api)
	}
	took := time.Since(begin).Round(time.Millisecond)
	t.mu.Lock()
	t.requests++
	if !ok {
		t.refused++
	}
	if waits {
		t.waited++
	}
	n := t.requests
	t.mu.Unlock()
	t.event("request %2d by %s  %-12s in %-6v %s", n, via, outcome, took, tokenState(src.Status()))
}

func tokenState(s stssource.Status) string {
	switch {
	case !s.Valid:
		return "no token"
	case s.Expiry.IsZero():
		return "token without an end"
	}
	return fmt.Sprintf("token %.1fs old, ends in %.1fs", time.Since(s.LastSuccess).Seconds(), time.Until(s.Expiry).Seconds())
}

func get(client *http.Client, api string) (outcome string, ok bool) {
	resp, err := client.Get(api)
	if err != nil {
		return err.Error(), false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Status, resp.StatusCode < 400
}
