package ststest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

// exchange stands for the code under test: it exchanges a token at tokenURL.
func exchange(client *http.Client, tokenURL string) (string, error) {
	form := url.Values{
		"grant_type":         {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":      {"made-up subject token"},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:jwt"},
		"audience":           {"api"},
	}
	request, err := http.NewRequest("POST", tokenURL, strings.NewReader(form.Encode()))
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

func Example() {
	service := &ststest.Handler{Lifetime: time.Minute}
	client := &http.Client{Transport: service.RoundTripper()}

	token, err := exchange(client, "https://sts.test/token")
	fmt.Println(service.Valid(token), err)

	request := service.Requests()[0]
	fmt.Println(request.Params["audience"], request.Status, request.Problem == "")
	// Output:
	// true <nil>
	// [api] 200 true
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
		_, err := exchange(client, "https://sts.test/token")
		fmt.Println(err)
	}
	// Output:
	// token exchange: 503 Service Unavailable
	// token exchange: 503 Service Unavailable
	// token exchange: 400 Bad Request
	// <nil>
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
	token, err := exchange(client, "https://sts.test/token")
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
