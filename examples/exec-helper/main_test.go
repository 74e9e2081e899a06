package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// TestMain makes the test binary a helper as well, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "token" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := regexp.MustCompile(`ends in (1h0m0s|59m.*)`).ReplaceAllString(out.String(), "ends in about 1h")
	text = regexp.MustCompile(`command .*exec-helper\S*:`).ReplaceAllString(text, "command SELF:")
	want := `No -command: this program is its own helper, and a token service was started on this machine.

A helper that works:
  got an access token that ends in about 1h

Again, in a program that was started anew:
  got an access token that ends in about 1h
  the helper was not run: its answer was in the output file

A helper that reports a failure:
  command SELF: the program reports a failure: code "LOGIN_REQUIRED": run 'example login' first

A helper that hangs:
  command SELF: killed: no answer within 1s: standard error: waiting for an answer that does not come
  its child was stopped as well
`
	if runtime.GOOS == "windows" {
		want = strings.Replace(want, "its child was stopped as well", "its child goes on: only Unix can stop both", 1)
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

// command is the command line of this program as a helper.
func command(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return `'` + self + `' token`
}

func TestHelperOfYours(t *testing.T) {
	service := &ststest.Handler{Accept: accept}
	sts := ststest.NewServer(service)
	defer sts.Close()
	file := filepath.Join(t.TempDir(), "response.json")
	args := []string{"-command", command(t), "-token-url", sts.TokenURL, "-output-file", file, "-scope", "a b"}
	if err := run(t.Context(), append(args, "-audience", audience), io.Discard); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r response
	if err := json.Unmarshal(kept, &r); err != nil {
		t.Fatal(err)
	}
	p := service.Requests()[0].Params
	got := []string{p.Get("subject_token"), p.Get("subject_token_type"), p.Get("audience"), p.Get("scope")}
	if diff := cmp.Diff([]string{r.IDToken, subjecttoken.TypeJWT, audience, "a b"}, got); diff != "" {
		t.Errorf("request (-what the helper kept +got):\n%s", diff)
	}
	if info, err := os.Stat(file); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%v, %v: others can read the token", info.Mode(), err)
	}
	_ = os.Remove(file)
	if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), `code "NO_AUDIENCE"`) {
		t.Errorf("got %v, want the helper's failure", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the failure was kept: %v", err)
	}
}

func TestAnswer(t *testing.T) {
	for _, tt := range []struct{ audience, tokenType, wantType, wantCode string }{
		{"aud", "", subjecttoken.TypeJWT, ""},
		{"aud", subjecttoken.TypeIDToken, subjecttoken.TypeIDToken, ""},
		{"aud", subjecttoken.TypeSAML2, "", "TOKEN_TYPE"},
		{"", subjecttoken.TypeJWT, "", "NO_AUDIENCE"},
	} {
		r := answer(tt.audience, tt.tokenType)
		if r.TokenType != tt.wantType || r.Code != tt.wantCode || r.Success != (tt.wantCode == "") || r.Version != 1 {
			t.Errorf("audience %q, type %q: %+v", tt.audience, tt.tokenType, r)
		}
		if left := time.Until(time.Unix(r.ExpirationTime, 0)); r.Success && (left <= 0 || left > 10*time.Minute) {
			t.Errorf("the token ends in %v", left)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"my-helper"}, `unexpected argument "my-helper": put the helper and its arguments into -command`},
		{[]string{"-audience", "aud"}, "set -command"},
		{[]string{"-command", "my-helper"}, "-command needs -token-url"},
		{[]string{"-command", "'my-helper", "-token-url", "https://sts.example.com"}, "-command: "},
		{[]string{"-command", "/nowhere/my-helper", "-token-url", "https://sts.example.com"}, "command /nowhere/my-helper: not started"},
		{[]string{"-command", "my-helper", "-token-url", "https://sts.example.com", "-timeout", "1h"}, "Timeout"},
	} {
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
