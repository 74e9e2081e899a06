package stssource_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

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

func exampleConfig() stssource.Config {
	return stssource.Config{
		TokenURL:     "https://sts.googleapis.com/v1/token",
		SubjectToken: subjecttoken.File{Path: tokenFile},
		Audiences:    []string{"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"},
		Scopes:       []string{"https://www.googleapis.com/auth/cloud-platform"},
		HTTPClient:   httpClient,
	}
}
