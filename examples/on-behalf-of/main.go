// Command on-behalf-of is a service that calls another API for whoever calls it,
// and with that caller's rights, not its own: it exchanges the caller's access
// token, together with its own token as the actor, for one that the API takes.
// You want this between the services of a system, where each is to know for whom
// it works, and none is to hold a token that can do everything.
//
//	go run ./examples/on-behalf-of
//
// starts a token service and an API on this machine, has callers ask the service
// at once and again, and prints what they got and how many exchanges were made:
// one for each caller, however many requests; none for a caller that is known;
// and what happens when a token is refused or the token service is down.
//
// With a real token service it serves until it is interrupted:
//
//	go run ./examples/on-behalf-of \
//		-token-url https://sts.example.com/token \
//		-actor-file /var/run/secrets/tokens/my-service \
//		-audience https://api.example.com \
//		-api https://api.example.com/things \
//		-listen 127.0.0.1:8080
//	curl -H 'Authorization: Bearer THE-CALLERS-TOKEN' http://127.0.0.1:8080/
//
// Two limits keep it safe. Sources are kept for -max callers, those that came
// last: whoever sends made-up tokens must not fill the memory. And each is kept
// for -life only: the token service alone knows whether a caller's token is still
// good, and is asked about it no less often than that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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
		fmt.Fprintln(os.Stderr, "on-behalf-of:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	tokenURL, actorFile          string
	audience, scope, api, listen string
	max                          int
	life                         time.Duration
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("on-behalf-of", flag.ExitOnError)
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint of a real service; if empty, show how it works")
	fs.StringVar(&o.actorFile, "actor-file", "", "file with the token of this service, for -token-url")
	fs.StringVar(&o.audience, "audience", "", "audience of the access tokens: the API")
	fs.StringVar(&o.scope, "scope", "", "scopes of the access tokens, separated by spaces")
	fs.StringVar(&o.api, "api", "", "URL of the API to call, for -token-url")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on")
	fs.IntVar(&o.max, "max", 3, "the most callers to keep tokens for")
	fs.DurationVar(&o.life, "life", 5*time.Minute, "how long a caller's token is taken to be good before it is exchanged anew")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.tokenURL == "" && o.actorFile+o.audience+o.scope+o.api != "":
		return o, errors.New("-actor-file, -audience, -scope and -api are for a real service: set -token-url")
	case o.tokenURL != "" && (o.actorFile == "" || o.api == ""):
		return o, errors.New("-token-url needs -actor-file, the token of this service, and -api, what to call")
	case o.max < 1 || o.life <= 0:
		return o, errors.New("-max must be at least 1, and -life above 0")
	}
	if u, err := url.Parse(o.api); o.api != "" && (err != nil || u.Host == "") {
		return o, fmt.Errorf("-api %q is not a URL with a host", o.api)
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
	config := o.config(subjecttoken.File{Path: o.actorFile})
	config.Refresh.Logger = slog.Default() // failures are logged; callers are told little
	s, err := newService(config, o)
	if err != nil {
		return err
	}
	return serve(ctx, s, o.listen, func(url string) {
		fmt.Fprintf(out, "%s/ calls %s for whoever sends a token\n", url, o.api)
	})
}

// config describes the exchange, but for the caller's token.
func (o options) config(actor subjecttoken.Provider) stssource.Config {
	config := stssource.Config{
		TokenURL:   o.tokenURL,
		ActorToken: actor,
		Scopes:     strings.Fields(o.scope),
		Refresh:    stssource.Refresh{Timeout: 5 * time.Second}, // callers have no more patience
	}
	if o.audience != "" {
		config.Audiences = []string{o.audience}
	}
	return config
}

// serve serves s until ctx is done. It calls ready when it listens.
func serve(ctx context.Context, s *service, listen string, ready func(url string)) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready("http://" + listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
