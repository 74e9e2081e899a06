// Command kubernetes calls an API from a pod that holds no lasting secret. The
// kubelet gives the pod a service account token in a file, and replaces it long
// before it expires; the program exchanges it for the API's access tokens. You
// want this in a cluster whose issuer a token service trusts: Google's workload
// identity federation, or a server of your own.
//
//	go run ./examples/kubernetes
//
// plays it on this machine: a directory laid out as the kubelet does it, a token
// service that accepts the newest token in it and no other, and an API. The
// token is replaced twice, once just while it is being exchanged, and no call is
// refused.
//
// In a real pod, mount a token for the audience that the service expects:
//
//	spec:
//	  serviceAccountName: my-app
//	  containers:
//	  - name: my-app
//	    volumeMounts:
//	    - name: sts-token
//	      mountPath: /var/run/secrets/sts
//	      readOnly: true
//	  volumes:
//	  - name: sts-token
//	    projected:
//	      sources:
//	      - serviceAccountToken:
//	          path: token
//	          audience: https://iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X
//	          expirationSeconds: 3600
//
// Do not mount the file by subPath: such a file is never replaced. Then run
//
//	kubernetes \
//		-token-url https://sts.googleapis.com/v1/token \
//		-audience //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X \
//		-scope https://www.googleapis.com/auth/cloud-platform \
//		-api https://storage.googleapis.com/storage/v1/b?project=PROJECT
//
// The exit status is 1 as soon as a call is refused.
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

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	tokenFile, tokenURL  string
	audience, scope, api string
	duration, every      time.Duration
	lifetime             time.Duration
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("kubernetes", flag.ExitOnError)
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint of a real service; if empty, play everything on this machine")
	fs.StringVar(&o.tokenFile, "token-file", "/var/run/secrets/sts/token", "the projected token, for -token-url")
	fs.StringVar(&o.audience, "audience", "", "audience of the access token, for -token-url")
	fs.StringVar(&o.scope, "scope", "", "scopes of the access token, separated by spaces")
	fs.StringVar(&o.api, "api", "", "URL to call with the token, for -token-url; if empty, a token is all that is asked for")
	fs.DurationVar(&o.duration, "duration", 10*time.Second, "for how long to make calls, with -token-url")
	fs.DurationVar(&o.every, "every", 200*time.Millisecond, "the time between calls")
	fs.DurationVar(&o.lifetime, "lifetime", 2*time.Second, "how long access tokens live, without -token-url")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.tokenURL == "" && o.audience+o.scope+o.api != "":
		return o, errors.New("-audience, -scope and -api are for a real service: set -token-url")
	case o.every <= 0 || o.lifetime < time.Second:
		return o, errors.New("-every must be above 0, and -lifetime 1s or more")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	t := &timeline{out: out, start: time.Now()}
	if o.tokenURL == "" {
		return demo(ctx, o, t)
	}
	src, err := newSource(o, func(a stssource.Attempt) { t.event("program", "%s", describe(a)) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.duration)
	defer cancel()
	calls, err := callUntilDone(ctx, src, o)
	if err != nil {
		return err
	}
	t.event("program", "%d calls, none refused; %d exchanges", calls, src.Status().Exchanges)
	return nil
}

// newSource is all that a program in a pod needs. The file is read anew for each
// exchange, so that nothing has to watch it.
func newSource(o options, observe func(stssource.Attempt)) (*stssource.Source, error) {
	config := stssource.Config{
		TokenURL:     o.tokenURL,
		SubjectToken: subjecttoken.File{Path: o.tokenFile},
		Scopes:       strings.Fields(o.scope),
		Refresh:      stssource.Refresh{Observe: observe},
	}
	if o.audience != "" {
		config.Audiences = []string{o.audience}
	}
	return stssource.New(config)
}

// callUntilDone makes one call after another until ctx is done or one fails. It
// returns how many were answered.
func callUntilDone(ctx context.Context, src *stssource.Source, o options) (calls int, err error) {
	client := src.Client(&http.Client{Timeout: 30 * time.Second})
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	for {
		if err := call(src, client, o.api); err != nil {
			return calls, fmt.Errorf("call %d: %w", calls+1, err)
		}
		calls++
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return calls, nil
		}
	}
}

func call(src *stssource.Source, client *http.Client, api string) error {
	if api == "" {
		_, err := src.Token()
		return err
	}
	resp, err := client.Get(api)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		return fmt.Errorf("the API answered %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func describe(a stssource.Attempt) string {
	if a.Err != nil {
		return "exchange failed: " + a.Err.Error()
	}
	if a.Trigger == stssource.TriggerAhead {
		return "has a new access token: nobody waited, as the old one was valid"
	}
	return "has a new access token: a call waited for it"
}

// timeline prints who did what when.
type timeline struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func (t *timeline) event(who, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%5.2fs  %-8s %s\n", time.Since(t.start).Seconds(), who, fmt.Sprintf(format, args...))
}
