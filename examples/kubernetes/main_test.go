package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
)

func TestDemo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege there")
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-lifetime", "1s", "-every", "20ms"}, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := regexp.MustCompile(`(?m)^ *[0-9.]+s +`).ReplaceAllString(out.String(), "")
	text = regexp.MustCompile(`\d{2,} calls`).ReplaceAllString(text, "MANY calls")
	// A renewal that came late, on a machine that is busy, changes nothing else.
	text = regexp.MustCompile(`access token: .*`).ReplaceAllString(text, "access token")
	_, text, _ = strings.Cut(text, "\n")
	want := `kubelet  token 1 is in the volume
service  token 1 is accepted
program  has a new access token
kubelet  token 2 is in the volume
service  token 2 is accepted
program  has a new access token
kubelet  token 3 is in the volume
kubelet  token 4 is in the volume
service  token 3 is refused: it was replaced on its way here
service  token 4 is accepted
program  has a new access token
program  MANY calls, none refused; 3 exchanges in 4 token requests
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// A reader of the volume sees the old token or the new one, and nothing else is
// left in it.
func TestVolume(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("symbolic links need a privilege there")
	}
	v := volume(t.TempDir())
	for _, token := range []string{"first", "second", "third"} {
		if err := v.write(token); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(v.path("token"))
		if err != nil || string(got) != token {
			t.Errorf("read %q, %v; want %q", got, err, token)
		}
	}
	entries, err := os.ReadDir(string(v))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 3 { // token, ..data and one generation
		t.Errorf("the volume has %v", entries)
	}
}

func TestRealService(t *testing.T) {
	service := new(ststest.Handler)
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("the-subject-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-token-url", sts.TokenURL, "-token-file", file, "-audience", "aud", "-scope", "a b", "-api", api.URL, "-duration", "1ms"}
	if err := run(t.Context(), args, io.Discard); err != nil {
		t.Fatal(err)
	}
	want := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"audience":             {"aud"},
		"scope":                {"a b"},
		"requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"subject_token":        {"the-subject-token"},
		"subject_token_type":   {"urn:ietf:params:oauth:token-type:jwt"},
	}
	if diff := cmp.Diff(want, service.Requests()[0].Params); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	service.Script(ststest.Reply{Error: "invalid_grant", Times: -1})
	err := run(t.Context(), args, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "call 1: ") || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("got %v, want the refusal", err)
	}
}

func TestErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "token")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-audience", "aud"}, "set -token-url"},
		{[]string{"-lifetime", "1ms"}, "-lifetime 1s or more"},
		{[]string{"volume"}, `unexpected argument "volume"`},
		{[]string{"-token-url", "http://sts.example.com/token"}, "use https"},
		{[]string{"-token-url", "https://sts.example.com/token", "-token-file", missing}, missing},
	} {
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
