package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	want := "through the proxy: 200 OK hello from the API, /things"
	if len(lines) != 3 || !strings.HasPrefix(lines[1], "without the proxy: 401") || lines[2] != want {
		t.Errorf("printed:\n%s", out.String())
	}
}

// start runs a proxy to api, and returns its URL.
func start(t *testing.T, service *ststest.Handler, api string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	config := stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	}
	addrs, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- serve(ctx, config, api, "127.0.0.1:0", func(addr string) { addrs <- addr }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return "http://" + <-addrs
}

// A streaming body goes through as it comes, and a token of the caller's does
// not go through at all.
func TestProxy(t *testing.T) {
	service := new(ststest.Handler)
	first := make(chan string)
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, buf)
		first <- string(buf)
		_, _ = io.Copy(w, r.Body)
	})))
	defer api.Close()
	body, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "first")
		if got := <-first; got != "first" { // it arrived before the rest was written
			t.Errorf("the API got %q", got)
		}
		_, _ = io.WriteString(writer, " second")
		writer.Close()
	}()
	req, _ := http.NewRequest("POST", start(t, service, api.URL)+"/upload", body)
	req.Header.Set("Authorization", "Bearer the-callers-own")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	if diff := cmp.Diff([]any{200, " second"}, []any{resp.StatusCode, string(got)}); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestProxyWithoutToken(t *testing.T) {
	service := new(ststest.Handler)
	service.Script(ststest.Reply{Error: "invalid_target", Times: -1})
	resp, err := http.Get(start(t, service, "https://api.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), "invalid_target") {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
}

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"https://api.example.com"}, "unexpected argument"},
		{[]string{"-token-url", "https://sts.example.com"}, "-upstream is missing"},
		{[]string{"-upstream", "https://api.example.com"}, "-upstream needs -token-url and -subject-file"},
		{[]string{"-upstream", "nowhere", "-token-url", "https://sts.example.com", "-subject-file", "f"}, `-upstream "nowhere" is not a URL with a host`},
		{[]string{"-upstream", "https://api.example.com", "-token-url", "http://sts.example.com", "-subject-file", "f"}, "use https"},
		{[]string{"-upstream", "https://api.example.com", "-token-url", "https://sts.example.com", "-subject-file", "f", "-listen", "0.0.0.0:0"},
			"is open to the network"},
	} {
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
