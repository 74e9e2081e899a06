// Command healthz reports on a program's access token: as a health endpoint for
// whatever sends it traffic, and as metrics in the package expvar. You want this
// in a service that is of no use without its token.
//
//	go run ./examples/healthz
//
// starts a token service whose tokens live for two seconds, takes it down for a
// while, and prints what GET /healthz answers meanwhile: still 200 as long as
// the old token is valid, though the error can be seen, then 503, and 200 again
// soon after the service is back. It ends by itself.
//
// With a real service it serves /healthz and /debug/vars until it is
// interrupted:
//
//	go run ./examples/healthz \
//		-token-url https://sts.googleapis.com/v1/token \
//		-subject-file /var/run/secrets/tokens/gcp-token \
//		-audience //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X \
//		-scope https://www.googleapis.com/auth/cloud-platform \
//		-listen 127.0.0.1:8080
//
// In Kubernetes, have a readiness probe ask:
//
//	readinessProbe:
//	  httpGet: {path: /healthz, port: 8080}
//	  periodSeconds: 5
//	  timeoutSeconds: 2
//
// and never a liveness probe. That one restarts the container, which mends no
// token service, and a restarted program has lost the token that it could still
// have used for a while: an outage that nobody would have noticed becomes one of
// all replicas at once.
//
// The answers hold no secrets, but the names of hosts and the token service's
// words: serve them on a port that is not open to everybody.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"expvar"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "healthz:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	tokenURL, subjectFile   string
	audience, scope, listen string
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("healthz", flag.ExitOnError)
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint of a real service; if empty, show how it works")
	fs.StringVar(&o.subjectFile, "subject-file", "", "file with the subject token, for -token-url")
	fs.StringVar(&o.audience, "audience", "", "audience of the access token")
	fs.StringVar(&o.scope, "scope", "", "scopes of the access token, separated by spaces")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on; a probe from outside needs one such as :8080")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.tokenURL == "" && o.subjectFile+o.audience+o.scope != "":
		return o, errors.New("-subject-file, -audience and -scope are for a real service: set -token-url")
	case o.tokenURL != "" && o.subjectFile == "":
		return o, errors.New("-token-url needs -subject-file: the token to exchange")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.tokenURL == "" {
		return demo(ctx, o, out)
	}
	config := stssource.Config{
		TokenURL:     o.tokenURL,
		SubjectToken: subjecttoken.File{Path: o.subjectFile},
		Scopes:       strings.Fields(o.scope),
	}
	if o.audience != "" {
		config.Audiences = []string{o.audience}
	}
	src, err := stssource.New(config)
	if err != nil {
		return err
	}
	return serve(ctx, src, o.listen, func(url string) {
		fmt.Fprintf(out, "health is at %s/healthz, metrics are at %s/debug/vars\n", url, url)
	})
}

// serve reports on src until ctx is done. It calls ready when it listens.
func serve(ctx context.Context, src *stssource.Source, listen string, ready func(url string)) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: endpoints(src), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready("http://" + listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// sources are the metrics of all sources of this program, each under its name.
var sources = expvar.NewMap("token_sources")

func endpoints(src *stssource.Source) http.Handler {
	sources.Set("api", expvar.Func(func() any { return healthOf(src) }))
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", healthz(src))
	mux.Handle("GET /debug/vars", expvar.Handler())
	return mux
}

// health is what is told of a source.
type health struct {
	Usable      bool      `json:"usable"` // there is a token that has not ended
	Expiry      time.Time `json:"expiry,omitzero"`
	NextRefresh time.Time `json:"next_refresh,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastError   string    `json:"last_error,omitempty"` // why the last attempt failed, if it did
	Exchanges   int       `json:"exchanges"`
	Failures    int       `json:"failures"` // of the exchanges
}

func healthOf(src *stssource.Source) health {
	s := src.Status()
	h := health{
		Usable:      s.Valid,
		Expiry:      s.Expiry,
		NextRefresh: s.NextRefresh,
		LastSuccess: s.LastSuccess,
		Exchanges:   s.Exchanges,
		Failures:    s.Failures,
	}
	if s.LastError != nil {
		h.LastError = s.LastError.Error() // it holds no secrets
	}
	return h
}

// patience is how long an answer waits for a token, if there is none. It is less
// than what a probe waits for an answer.
const patience = 500 * time.Millisecond

// healthz answers 200 while there is a token to use, and 503 otherwise. A failed
// renewal alone is no reason for a 503: there is time left to mend it.
//
// It asks for the token, not only for the status. A source that nobody asks lets
// its token end; a service without traffic would then be taken for a broken one,
// and get no traffic that could show the contrary. With a token this costs
// nothing, and without one the exchange goes on after the answer.
func healthz(src *stssource.Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		_, _ = src.TokenContext(ctx) // the status tells what came of it
		h := healthOf(src)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !h.Usable {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h)
	})
}
