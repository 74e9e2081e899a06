package ststest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// exchange stands for the code under test: it exchanges a token at tokenURL.
func exchange(ctx context.Context, client *http.Client, tokenURL string) (string, error) {
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {"made-up subject token"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"audience":           {"api"},
	}
	request, err := http.NewRequestWithContext(ctx, "POST", tokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("token exchange: %s", response.Status)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.AccessToken, err
}

// A service in memory answers at any token URL.
func Example() {
	service := &ststest.Handler{Lifetime: time.Minute}
	client := &http.Client{Transport: service.RoundTripper()}

	token, err := exchange(context.Background(), client, "https://sts.test/token") // the code under test
	fmt.Println(service.Valid(token), err)

	request := service.Requests()[0]
	fmt.Println(request.Params["audience"], request.Status, request.Problem == "")
	// Output:
	// true <nil>
	// [api] 200 true
}

// A service on a loopback port, for code that must dial.
func ExampleNewServer() {
	server := ststest.NewServer(nil)
	defer server.Close()

	token, err := exchange(context.Background(), server.Client(), server.TokenURL)
	fmt.Println(server.Handler.Valid(token), err)
	// Output: true <nil>
}

// An outage of two requests, then a refusal, then normal service.
func ExampleHandler_Script() {
	service := new(ststest.Handler)
	service.Script(
		ststest.Reply{Status: 503, RetryAfter: "1", Times: 2},
		ststest.Reply{Error: "invalid_grant"},
	)
	client := &http.Client{Transport: service.RoundTripper()}
	for range 4 {
		_, err := exchange(context.Background(), client, "https://sts.test/token")
		fmt.Println(err)
	}
	// Output:
	// token exchange: 503 Service Unavailable
	// token exchange: 503 Service Unavailable
	// token exchange: 400 Bad Request
	// <nil>
}

// A token that soon expires, and comes with a member that RFC 8693 does not
// know.
func ExampleReply() {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{
		Lifetime: 2 * time.Second,
		Members:  map[string]any{"tenant": "one", "issued_token_type": nil}, // adds one, takes one out
	})
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.test/token",
		SubjectToken: subjecttoken.Static{Value: "made up"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.ExpiresIn, token.Extra("tenant"), token.Extra("issued_token_type"))
	// Output: 2 one <nil>
}

// Some services answer a refusal with the status 200.
func ExampleJSON() {
	service := new(ststest.Handler)
	service.Script(ststest.JSON(200, map[string]any{"error": "invalid_scope", "error_description": "no such scope"}))
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.test/token",
		SubjectToken: subjecttoken.Static{Value: "made up"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = src.Token()
	fmt.Println(err)
	// Output: stssource: exchange with sts.test: 200 invalid_scope: no such scope (check Scopes)
}

// A request that breaks a rule is refused, and Problem names the rule.
func ExampleHandler_Requests() {
	service := new(ststest.Handler)
	client := &http.Client{Transport: service.RoundTripper()}
	response, err := client.PostForm("https://sts.test/token", url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {"made-up subject token"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()

	for _, r := range service.Requests() {
		fmt.Printf("%s %s: %d, %s\n", r.Method, r.Path, r.Status, r.Problem)
	}
	// Output: POST /token: 400, Accept must name application/json
}

// A caller leaves while the service does not answer.
func ExampleHandler_Wait() {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{Hang: true})
	client := &http.Client{Transport: service.RoundTripper()}

	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		_, err := exchange(ctx, client, "https://sts.test/token")
		result <- err
	}()
	if err := service.Wait(context.Background(), 1); err != nil { // the request has arrived
		fmt.Println(err)
	}
	cancel()
	fmt.Println(errors.Is(<-result, context.Canceled))
	// Output: true
}

// A service that accepts only one subject token.
func ExampleHandler_accept() {
	service := &ststest.Handler{
		Accept: func(subjectToken string) error {
			if subjectToken != "the right one" {
				return errors.New("unknown subject")
			}
			return nil
		},
	}
	client := &http.Client{Transport: service.RoundTripper()}
	_, err := exchange(context.Background(), client, "https://sts.test/token")
	fmt.Println(err)
	// Output: token exchange: 400 Bad Request
}

// One client for a token service and for the API that trusts it: a ServeMux
// tells the two hosts apart.
func ExampleHandler_Protect() {
	service := new(ststest.Handler)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	})
	mux := http.NewServeMux()
	mux.Handle("sts.test/", service)
	mux.Handle("api.test/", service.Protect(api))
	client := &http.Client{Transport: ststest.RoundTripper(mux)}

	call := func(token string) {
		request, err := http.NewRequest("GET", "https://api.test/", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := client.Do(request)
		if err != nil {
			fmt.Println(err)
			return
		}
		response.Body.Close()
		fmt.Println(response.Status)
	}
	token, err := exchange(context.Background(), client, "https://sts.test/token")
	if err != nil {
		fmt.Println(err)
		return
	}
	call(token)
	service.Revoke(token)
	call(token)
	// Output:
	// 200 OK
	// 401 Unauthorized
}
