package stssource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// The examples run against a token service and an API in memory, which
// httpClient reaches under whatever name: nothing is dialled.
var (
	exampleService = &ststest.Handler{Mode: ststest.Google}
	exampleAPI     = exampleService.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello from "+r.Host)
	}))
	httpClient = &http.Client{Transport: ststest.RoundTripper(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Host {
		case "sts.googleapis.com":
			exampleService.ServeHTTP(w, r)
		case "metadata.google.internal":
			_, _ = io.WriteString(w, `{"value":"`+unsignedJWT(time.Now().Add(time.Hour))+`"}`)
		default:
			exampleAPI.ServeHTTP(w, r)
		}
	}))}
	tokenFile = filepath.Join(os.TempDir(), fmt.Sprintf("stssource-example-%d", os.Getpid()))
)

// printsToken, set in a child's environment, makes the test binary a program
// that prints a token and ends.
const printsToken = "STSSOURCE_TEST_PRINTS_TOKEN"

func TestMain(m *testing.M) {
	if token := os.Getenv(printsToken); token != "" {
		fmt.Println(token)
		return
	}
	if err := os.WriteFile(tokenFile, []byte("subject-token\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	os.Remove(tokenFile)
	os.Exit(code)
}

func Example() {
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.googleapis.com/v1/token",
		SubjectToken: subjecttoken.File{Path: tokenFile}, // such as a projected Kubernetes token
		Audiences:    []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"},
		Scopes:       []string{"https://www.googleapis.com/auth/cloud-platform"},
		HTTPClient:   httpClient, // may be left out
	})
	if err != nil {
		log.Fatal(err) // all mistakes at once
	}
	client := src.Client(httpClient) // or oauth2.NewClient(ctx, src)
	resp, err := client.Get("https://storage.googleapis.com/storage/v1/b?project=my-project")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// Google's v1beta method takes JSON, as its reference documents it, and no
// Authorization header.
func ExampleNew_googleV1beta() {
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.googleapis.com/v1beta/token",
		Encoding:     stssource.JSON,
		SubjectToken: subjecttoken.File{Path: tokenFile},
		Audiences:    []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"},
		Scopes:       []string{"https://www.googleapis.com/auth/cloud-platform"},
		Query:        url.Values{"prettyPrint": {"false"}},
		HTTPClient:   httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.TokenType, token.Extra("issued_token_type"))
	fmt.Println("lives for", time.Until(token.Expiry).Round(time.Second))
	// Output:
	// Bearer urn:ietf:params:oauth:token-type:access_token
	// lives for 1h0m0s
}

// The subject token comes from an HTTP endpoint, here one that answers with a
// JSON document.
func ExampleNew_url() {
	src, err := stssource.New(stssource.Config{
		TokenURL: "https://sts.googleapis.com/v1/token",
		SubjectToken: subjecttoken.URL{
			URL:       "http://metadata.google.internal/identity?audience=sts",
			Header:    http.Header{"Metadata-Flavor": {"Google"}},
			JSONField: "value",
			Client:    httpClient,
		},
		Audiences:  []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/vm"},
		Scopes:     []string{"https://www.googleapis.com/auth/cloud-platform"},
		HTTPClient: httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// The subject token is what a program prints.
func ExampleNew_exec() {
	src, err := stssource.New(stssource.Config{
		TokenURL: "https://sts.googleapis.com/v1/token",
		SubjectToken: subjecttoken.Exec{
			Command: []string{os.Args[0]}, // a program that prints a token
			Env:     []string{printsToken + "=subject-token"},
			Timeout: 20 * time.Second,
		},
		Audiences:  []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ci"},
		Scopes:     []string{"https://www.googleapis.com/auth/cloud-platform"},
		HTTPClient: httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// Any server that speaks RFC 8693, with a client of its own, further parameters
// of the body, and an actor.
func ExampleNew_rfc8693() {
	server := ststest.NewServer(&ststest.Handler{ClientID: "my-service", ClientSecret: "s3cr:et/+%"})
	defer server.Close()

	src, err := stssource.New(stssource.Config{
		TokenURL:         server.TokenURL,
		SubjectToken:     subjecttoken.File{Path: tokenFile},
		SubjectTokenType: subjecttoken.TypeIDToken,
		ActorToken:       subjecttoken.Static{Value: "who acts on the subject's behalf"},
		Audiences:        []string{"inventory", "billing"},
		Scopes:           []string{"read", "write"},
		EndpointParams:   url.Values{"connector_id": {"cluster"}},
		ClientID:         "my-service",
		ClientSecret:     "s3cr:et/+%",
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.TokenType, token.Extra("scope"))
	request := server.Handler.Requests()[0]
	fmt.Println(request.Params["audience"], request.Params["connector_id"])
	// Output:
	// Bearer read write
	// [inventory billing] [cluster]
}

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

// A refusal says what the service said and what to look at.
func ExampleError() {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{Error: "invalid_target", Description: "The target service indicated by the audience parameter is unknown."})
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject-token"},
		Audiences:    []string{"inventroy"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = src.Token()
	fmt.Println(err)

	var e *stssource.Error
	if errors.As(err, &e) {
		fmt.Println(e.StatusCode, e.Code, e.Temporary)
	}
	// Output:
	// stssource: exchange with sts.example.com: 400 invalid_target: The target service indicated by the audience parameter is unknown. (check Audiences and Resources: the service does not know them, or they are disabled)
	// 400 invalid_target false
}

// The refresh engine over any function that gets a token.
func ExampleNewFromFunc() {
	n := 0
	src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
		n++ // one call at a time
		return &oauth2.Token{AccessToken: fmt.Sprint("token-", n), Expiry: time.Now().Add(time.Hour)}, nil
	}, stssource.Refresh{})
	if err != nil {
		log.Fatal(err)
	}
	for range 3 {
		token, err := src.Token()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.AccessToken)
	}
	// Output:
	// token-1
	// token-1
	// token-1
}

// A service rejected a token that has not ended: its session was revoked, say.
func ExampleSource_Invalidate() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	first, _ := src.Token()
	src.Invalidate(first)
	second, _ := src.Token()
	src.Invalidate(first) // late: there is another token by now
	third, _ := src.Token()
	fmt.Println(second.AccessToken == first.AccessToken, third.AccessToken == second.AccessToken)
	// Output: false true
}

// Status is for health checks and metrics.
func ExampleSource_Status() {
	src, err := stssource.New(exampleConfig())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(src.Status().Valid)
	if _, err := src.Token(); err != nil {
		log.Fatal(err)
	}
	s := src.Status()
	fmt.Println(s.Valid, s.LastError, s.Exchanges, s.NextRefresh.Before(s.Expiry))
	// Output:
	// false
	// true <nil> 1 true
}

func exampleConfig() stssource.Config {
	return stssource.Config{
		TokenURL:     "https://sts.googleapis.com/v1/token",
		SubjectToken: subjecttoken.File{Path: tokenFile},
		Audiences:    []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"},
		Scopes:       []string{"https://www.googleapis.com/auth/cloud-platform"},
		HTTPClient:   httpClient,
	}
}
