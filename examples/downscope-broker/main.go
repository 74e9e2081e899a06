// Command downscope-broker hands out tokens that can read one bucket each, so
// that its clients never see the token that can read them all. You want this
// where a job, a plugin or a customer's code is to read its own data and no more.
// To see it work, with nothing to configure:
//
//	go run ./examples/downscope-broker
//
// That starts a token service on loopback, has clients ask the broker for the
// tokens of several buckets, prints what happened, and ends by itself.
//
// With a credential file it serves real tokens until it is interrupted:
//
//	go run ./examples/downscope-broker -credentials credentials.json -listen 127.0.0.1:8099
//	curl -H 'Broker-Request: true' 'http://127.0.0.1:8099/token?bucket=my-bucket'
//
// Whoever can connect to it gets tokens, so that it listens on loopback alone. A
// real one would know its clients, and which bucket is whose.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "downscope-broker:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	credentials, listen, role string
	max                       int
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("downscope-broker", flag.ExitOnError)
	fs.StringVar(&o.credentials, "credentials", "", "credential file of the token to narrow down; if empty, show how it works")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:0", "address to listen on, of this machine")
	fs.StringVar(&o.role, "role", "roles/storage.objectViewer", "what the tokens may do with their bucket")
	fs.IntVar(&o.max, "max", 3, "the most buckets to keep tokens of")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.max < 1 {
		return o, errors.New("-max must be at least 1")
	}
	host, _, err := net.SplitHostPort(o.listen)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return o, fmt.Errorf("-listen %s is not a port of this machine, such as 127.0.0.1:8099", o.listen)
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.credentials == "" {
		return demo(ctx, o, out)
	}
	config, err := gcp.FromFile(o.credentials)
	if err != nil {
		return err
	}
	source, err := gcp.New(config)
	if err != nil {
		return err
	}
	return serve(ctx, o, newBroker(source, o, gcp.DownscopeConfig{Endpoint: config.Endpoint}), func(address string) {
		fmt.Fprintf(out, "listening on http://%s/token?bucket=NAME\n", address)
	})
}

// serve serves b until ctx is done, and tells ready where.
func serve(ctx context.Context, o options, b *broker, ready func(address string)) error {
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready(listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newBroker(source *stssource.Source, o options, config gcp.DownscopeConfig) *broker {
	return &broker{source: source, config: config, role: o.role, max: o.max}
}
