// Command authproxy is a reverse proxy on loopback that adds an access token to
// the requests for one upstream. It is for programs that cannot get a token
// themselves: a shell script with curl, a tool without OAuth, a browser in
// development. Whoever can connect to it acts with the token, so it listens on
// this machine only.
//
//	go run ./examples/authproxy
//
// starts a token service and an API on loopback, makes a request without the
// proxy and one through it, and ends. To use real ones:
//
//	go run ./examples/authproxy \
//		-token-url https://sts.googleapis.com/v1/token \
//		-subject-file /var/run/secrets/tokens/gcp-token \
//		-audience //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X \
//		-scope https://www.googleapis.com/auth/cloud-platform \
//		-upstream https://storage.googleapis.com
//	curl http://127.0.0.1:PORT/storage/v1/b?project=PROJECT
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "authproxy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("authproxy", flag.ExitOnError)
	listen := fs.String("listen", "127.0.0.1:0", "address to listen on; it must be this machine's")
	upstream := fs.String("upstream", "", "URL that requests go to; if empty, show how it works")
	tokenURL := fs.String("token-url", "", "token endpoint")
	subjectFile := fs.String("subject-file", "", "file with the subject token")
	audience := fs.String("audience", "", "audience of the access token")
	scope := fs.String("scope", "", "scopes of the access token, separated by spaces")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case *upstream == "" && fs.NFlag() > 0:
		return errors.New("-upstream is missing: the URL that requests go to")
	case *upstream == "":
		return demo(ctx, out)
	case *tokenURL == "" || *subjectFile == "":
		return errors.New("-upstream needs -token-url and -subject-file: where its tokens come from")
	}
	config := stssource.Config{
		TokenURL:     *tokenURL,
		SubjectToken: subjecttoken.File{Path: *subjectFile},
		Scopes:       strings.Fields(*scope),
	}
	if *audience != "" {
		config.Audiences = []string{*audience}
	}
	return serve(ctx, config, *upstream, *listen, func(addr string) {
		fmt.Fprintf(out, "http://%s -> %s\n", addr, *upstream)
	})
}

// serve runs the proxy until ctx ends. It calls ready when it listens.
func serve(ctx context.Context, config stssource.Config, upstream, listen string, ready func(addr string)) error {
	target, err := url.Parse(upstream)
	if err != nil || target.Host == "" {
		return fmt.Errorf("-upstream %q is not a URL with a host, such as https://api.example.com", upstream)
	}
	src, err := stssource.New(config)
	if err != nil {
		return err
	}
	listener, err := listenLocally(ctx, listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: proxy(src, target), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	ready(listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listenLocally listens on an address that only this machine can reach.
func listenLocally(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("-listen %s is open to the network, and whoever connects acts with the token: use 127.0.0.1", address)
	}
	return listener, nil
}

// proxy sends requests to target with tokens from src.
func proxy(src *stssource.Source, target *url.URL) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// A token of the caller's would be sent in place of the source's.
			r.Out.Header.Del("Authorization")
		},
		Transport: &stssource.Transport{Source: src},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway) // errors hold no secrets
		},
	}
}

// demo runs the proxy between a request and an embedded API.
func demo(ctx context.Context, out io.Writer) error {
	fmt.Fprintln(out, "No -upstream: a token service and an API were started on loopback.")
	service := new(ststest.Handler)
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from the API, %s", r.URL.Path)
	})))
	defer api.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	config := stssource.Config{TokenURL: sts.TokenURL, SubjectToken: subjecttoken.Static{Value: "a-subject-token"}}
	done, addrs := make(chan error, 1), make(chan string, 1)
	go func() { done <- serve(ctx, config, api.URL, "127.0.0.1:0", func(addr string) { addrs <- addr }) }()
	select {
	case err := <-done:
		return err
	case addr := <-addrs:
		if err := show(out, "without the proxy", api.URL+"/things"); err != nil {
			return err
		}
		if err := show(out, "through the proxy", "http://"+addr+"/things"); err != nil {
			return err
		}
	}
	cancel()
	return <-done
}

func show(out io.Writer, how, url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Fprintf(out, "%s: %s %s\n", how, resp.Status, strings.TrimSpace(string(body)))
	return err
}
