// Command wrapclient shows how an existing HTTP client gets its requests
// authorized without losing what it has: its timeout, its redirect policy and
// its own stack of transports. You want this in a program that has a client
// already, with retries, logs or metrics in it.
//
//	go run ./examples/wrapclient
//
// The program has a client whose transport logs each request. It calls a
// protected API before and after Source.Client has wrapped that client.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wrapclient:", err)
		os.Exit(1)
	}
}

// logging is a transport as many programs have one: around another, for logs,
// metrics or retries.
type logging struct {
	base http.RoundTripper
	out  io.Writer
}

func (l logging) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(l.out, "  log: %s %s, authorized: %v, %d\n", req.Method, req.URL.Path, req.Header.Get("Authorization") != "", resp.StatusCode)
	return resp, nil
}

func run(out io.Writer) error {
	// What is around the program: a token service and a protected API.
	service := new(ststest.Handler)
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "hello")
	})))
	defer api.Close()

	// The client that the program has.
	existing := &http.Client{
		Timeout:   5 * time.Second,
		Transport: logging{http.DefaultTransport, out},
	}
	fmt.Fprintln(out, "before:")
	if err := call(out, existing, api.URL+"/before"); err != nil {
		return err
	}

	src, err := stssource.New(stssource.Config{
		TokenURL:     sts.TokenURL,
		SubjectToken: subjecttoken.Static{Value: "a-subject-token"},
	})
	if err != nil {
		return err
	}
	client := src.Client(existing) // existing itself stays as it is
	fmt.Fprintln(out, "after:")
	for range 2 {
		if err := call(out, client, api.URL+"/after"); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "timeout %v, exchanges %d\n", client.Timeout, src.Status().Exchanges)
	return nil
}

func call(out io.Writer, client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	fmt.Fprintln(out, " ", resp.Status)
	return nil
}
