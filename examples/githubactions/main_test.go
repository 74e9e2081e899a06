package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
)

// job has the test run as in a job, and restores the environment after it: the
// demo changes it.
func job(t *testing.T, url, token string) {
	t.Helper()
	t.Setenv(requestURL, url)
	t.Setenv(requestToken, token)
}

func TestDemo(t *testing.T) {
	job(t, "", "")
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := regexp.MustCompile(`ends in (1h0m0s|59m.*)`).ReplaceAllString(out.String(), "ends in about 1h")
	// Of an error, the part that says what is wrong.
	text = regexp.MustCompile(`failed: .*?(ACTIONS.* not set|the ID token .*example.com).*`).ReplaceAllString(text, "failed: $1")
	want := `No -token-url: the runner, the token service and the API are played on this machine.

Outside of a job:
program  failed: ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set

In a job:
runner   was asked for an ID token for https://sts.example.com: 503
runner   was asked for an ID token for https://sts.example.com: 200
service  accepted repo:OWNER/REPO:ref:refs/heads/main
program  got an access token that ends in about 1h
program  called the API: 200 OK

In a job, with an ID token for another audience:
runner   was asked for an ID token for https://other.example.com: 200
runner   was asked for an ID token for https://other.example.com: 200
program  failed: the ID token is for https://other.example.com, not for https://sts.example.com
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// In a job the variables of the runner are used, and both audiences go where
// they belong.
func TestInJob(t *testing.T) {
	var asked *http.Request
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_, _ = io.WriteString(w, `{"value":"the-id-token"}`)
	}))
	defer runner.Close()
	job(t, runner.URL+"/idtoken?api-version=2.0", "the-job-secret")
	service := new(ststest.Handler)
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.NotFoundHandler()))
	defer api.Close()

	var out strings.Builder
	args := []string{"-token-url", sts.TokenURL, "-id-token-audience", "of-id-token", "-audience", "of-access-token", "-scope", "a b"}
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatal(err)
	}
	if got := asked.URL.RawQuery + " " + asked.Header.Get("Authorization"); got != "api-version=2.0&audience=of-id-token Bearer the-job-secret" {
		t.Errorf("the runner got %s", got)
	}
	want := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {"of-access-token"},
		"scope":                {"a b"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {"the-id-token"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
	}
	if diff := cmp.Diff(want, service.Requests()[0].Params); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	err := run(t.Context(), append(args, "-api", api.URL), &out)
	if err == nil || err.Error() != "the API answered 404 Not Found: 404 page not found" {
		t.Errorf("got %v, want the API's answer", err)
	}
	for _, secret := range []string{"the-job-secret", "the-id-token", service.Requests()[0].AccessToken} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the output shows %q:\n%s", secret, out.String())
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-token-url", "https://sts.example.com/token"}, "ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set"},
		{[]string{"-token-url", "sts.example.com"}, "TokenURL"},
		{[]string{"-api", "https://api.example.com"}, "set -token-url"},
		{[]string{"job"}, `unexpected argument "job"`},
	} {
		job(t, "", "")
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
