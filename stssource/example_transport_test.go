package stssource_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
)

// Client wraps a client that a program already has, and keeps its timeout, its
// cookies, its redirect policy and its transport.
func ExampleSource_Client() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	existing := &http.Client{Transport: httpClient.Transport, Timeout: 5 * time.Second}
	client := src.Client(existing)
	for range 3 {
		resp, err := client.Get("https://api.example.com/")
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body))
	}
	fmt.Println("timeout", client.Timeout, "exchanges", src.Status().Exchanges)
	// Output:
	// 200 hello from api.example.com
	// 200 hello from api.example.com
	// 200 hello from api.example.com
	// timeout 5s exchanges 1
}

// A Source is an oauth2.TokenSource, and goes wherever one is taken.
func ExampleSource_oauth2NewClient() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, httpClient)
	client := oauth2.NewClient(ctx, src)
	resp, err := client.Get("https://api.example.com/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// The caller waits no longer than its context allows; the exchange goes on, and
// the next caller finds its token.
func ExampleSource_TokenContext() {
	slow := make(chan bool)
	service := &ststest.Handler{Accept: func(string) error { <-slow; return nil }}
	config := exampleConfig()
	config.HTTPClient = &http.Client{Transport: service.RoundTripper()}
	src, err := stssource.New(config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // the caller has lost interest
	_, err = src.TokenContext(ctx)
	fmt.Println(err)

	close(slow)
	_, err = src.TokenContext(context.Background())
	fmt.Println(err, len(service.Requests()))
	// Output:
	// stssource: wait: no token from sts.googleapis.com yet: context canceled
	// <nil> 1
}

// Every request names the project that Google charges for it.
func ExampleSource_WithHeader() {
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.URL.Path, r.Header.Get("x-goog-user-project"))
	})
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	charged := src.WithHeader(http.Header{"x-goog-user-project": {"my-project"}})
	client := charged.Client(&http.Client{Transport: ststest.RoundTripper(api)})
	resp, err := client.Get("https://storage.googleapis.com/storage/v1/b")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	// Output: /storage/v1/b my-project
}

// logging is a transport of the program's own.
type logging struct{ next http.RoundTripper }

func (l logging) RoundTrip(r *http.Request) (*http.Response, error) {
	fmt.Println(r.Method, r.URL, "Authorization:", r.Header["Authorization"])
	return l.next.RoundTrip(r)
}

// In a chain of transports, what logs requests belongs above a Transport, where
// there is no token to be logged. So does what retries them: each attempt is
// then authorized anew.
func ExampleTransport() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{
		Transport: logging{&stssource.Transport{Source: src, Base: httpClient.Transport}},
	}
	resp, err := client.Get("https://api.example.com/orders")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// GET https://api.example.com/orders Authorization: []
	// 200 OK
}

// A Source is gRPC's credentials for each call of a connection:
//
//	conn, err := grpc.NewClient(target,
//		grpc.WithTransportCredentials(credentials.NewTLS(nil)),
//		grpc.WithPerRPCCredentials(src))
//
// This is what gRPC asks it for.
func ExampleSource_GetRequestMetadata() {
	src, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "access-token", Expiry: time.Now().Add(time.Hour)}, nil
	}, stssource.Refresh{})
	if err != nil {
		log.Fatal(err)
	}
	quota := src.WithHeader(http.Header{"X-Goog-User-Project": {"my-project"}})
	metadata, err := quota.GetRequestMetadata(context.Background())
	fmt.Println(metadata, err)
	// Output: map[authorization:Bearer access-token x-goog-user-project:my-project] <nil>
}
