package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
)

const audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p"

func subjectFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("the-subject-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWithoutConfiguration(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-duration", "4s", "-every", "100ms"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := regexp.MustCompile(`^(\d+) requests, 0 refused, (\d+) exchanges, 1 requests that waited$`)
	if !last.MatchString(lines[len(lines)-1]) {
		t.Errorf("last line %q\n%s", lines[len(lines)-1], out.String())
	}
	if !strings.Contains(out.String(), "exchange in the background took") {
		t.Errorf("no refresh in the background:\n%s", out.String())
	}
}

// The request to a service in Google mode, v1beta and JSON, equals the API
// reference field by field.
func TestRealServiceRequest(t *testing.T) {
	service := &ststest.Handler{Mode: ststest.Google}
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()

	var out strings.Builder
	err := run(t.Context(), []string{
		"-token-url", sts.URL + "/v1beta/token?key=canary", "-json",
		"-subject-file", subjectFile(t),
		"-audience", audience,
		"-scope", "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email",
		"-api", api.URL, "-duration", "100ms",
	}, &out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	r := service.Requests()[0]
	want := map[string]any{
		"grantType":          "urn:ietf:params:oauth:grant-type:token-exchange",
		"audience":           audience,
		"scope":              "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email",
		"requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
		"subjectToken":       "the-subject-token",
		"subjectTokenType":   "urn:ietf:params:oauth:token-type:jwt",
	}
	if diff := cmp.Diff(want, r.JSON); diff != "" {
		t.Errorf("JSON body (-want +got):\n%s", diff)
	}
	if r.Method != "POST" || r.Path != "/v1beta/token" || r.Header.Get("Content-Type") != "application/json" || r.Query.Get("key") != "canary" {
		t.Errorf("%s %s?%v %v", r.Method, r.Path, r.Query, r.Header)
	}
	if r.Header.Get("Authorization") != "" || r.Problem != "" {
		t.Errorf("Authorization %q, problem %q", r.Header.Get("Authorization"), r.Problem)
	}
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), "the-subject-token") {
		t.Errorf("the output shows a secret:\n%s", out.String())
	}
}

func TestRefusedRequestsAreAnError(t *testing.T) {
	service := &ststest.Handler{}
	sts := ststest.NewServer(service)
	defer sts.Close()
	for _, tt := range []struct {
		name  string
		reply ststest.Reply
		api   int // status of the API
		want  string
	}{
		{"by the service", ststest.Reply{Error: "invalid_target", Times: -1}, 200, "1 of 1 requests were refused"},
		{"by the API", ststest.Reply{}, 403, "1 of 1 requests were refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service.Script(tt.reply)
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.api) }))
			defer api.Close()
			var out strings.Builder
			err := run(t.Context(), []string{
				"-token-url", sts.TokenURL, "-subject-file", subjectFile(t), "-api", api.URL,
				"-duration", "50ms", "-every", "1s",
			}, &out)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s\n%s", err, tt.want, out.String())
			}
		})
	}
}

func TestBadCommandLines(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-token-url", "https://sts.example.com/token"}, "-token-url needs -subject-file: the token to exchange"},
		{[]string{"token"}, `unexpected argument "token"`},
		{[]string{"-every", "0s"}, "-every must be above 0"},
		{[]string{"-audience", "a"}, "-subject-file, -audience, -scope and -api are for a real service: set -token-url or -config"},
		{[]string{"-config", "f", "-audience", "a"}, "-config has all of -token-url, -subject-file, -subject-type and -audience in it: leave them out"},
		{[]string{"-token-url", "http://sts.example.com/token", "-subject-file", "f"},
			"stssource: invalid Config: TokenURL: plain http to sts.example.com would show the token to the network: use https"},
	} {
		err := run(context.Background(), tt.args, new(strings.Builder))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}

// A credential file as gcloud writes it is all it takes.
func TestCredentialFile(t *testing.T) {
	service := &ststest.Handler{Mode: ststest.Google}
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	file, err := json.Marshal(map[string]any{
		"type":               "external_account",
		"audience":           audience,
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url":          sts.TokenURL,
		"credential_source":  map[string]any{"file": subjectFile(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	args := []string{"-config", path, "-api", api.URL, "-duration", "100ms"}
	if err := run(t.Context(), args, &out); err == nil || !strings.Contains(err.Error(), "token_url") {
		t.Errorf("got %v, want a refusal to send the token to another host than Google's", err)
	}
	if err := run(t.Context(), append(args, "-allow-host", "127.0.0.1"), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {audience},
		"scope":                {"https://www.googleapis.com/auth/cloud-platform"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {"the-subject-token"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
	}
	if diff := cmp.Diff(want, service.Requests()[0].Params); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}
