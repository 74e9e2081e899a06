package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^ *[0-9.]+s  (.*[^ ]) +(\d{3})  `).FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1]+": "+m[2])
	}
	want := []string{"healthy: 200", "the service is down: 200", "the token has ended: 503", "the service is back: 200"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("health (-want +got):\n%s\n%s", diff, out.String())
	}
	_, metrics, _ := strings.Cut(out.String(), `"token_sources": `)
	var vars map[string]health
	if err := json.Unmarshal([]byte(metrics), &vars); err != nil {
		t.Fatal(err)
	}
	if h := vars["api"]; !h.Usable || h.Failures < 2 || h.Exchanges-h.Failures < 2 {
		t.Errorf("metrics %+v, want a token after failures", h)
	}
}

// newSource returns a source of tokens that live for an hour.
func newSource(t *testing.T, service *ststest.Handler) *stssource.Source {
	t.Helper()
	src, err := stssource.New(stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "the-subject-token"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
		Refresh:      stssource.Refresh{Before: 10 * time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// probe asks for the health once.
func probe(t *testing.T, handler http.Handler) (int, health) {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
	var h health
	if err := json.Unmarshal(w.Body.Bytes(), &h); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if strings.Contains(w.Body.String(), "the-subject-token") {
		t.Errorf("the answer shows a secret: %s", w.Body)
	}
	return w.Code, h
}

func TestHealthz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := new(ststest.Handler)
		handler := endpoints(newSource(t, service))
		start := time.Now()
		code, h := probe(t, handler)
		want := health{Usable: true, Expiry: start.Add(time.Hour), NextRefresh: start.Add(50 * time.Minute), LastSuccess: start, Exchanges: 1}
		if diff := cmp.Diff(want, h); code != 200 || diff != "" {
			t.Errorf("%d (-want +got):\n%s", code, diff)
		}
		service.Script(ststest.Reply{Error: "invalid_grant", Description: "the subject token was revoked", Times: -1})
		time.Sleep(55 * time.Minute) // the renewal has failed some times
		code, h = probe(t, handler)
		if code != 200 || !h.Usable || !strings.Contains(h.LastError, "revoked") || h.Failures == 0 {
			t.Errorf("with a token and failures: %d %+v", code, h)
		}
		time.Sleep(5 * time.Minute)
		code, h = probe(t, handler)
		if code != 503 || h.Usable || !h.Expiry.IsZero() || !strings.Contains(h.LastError, "revoked") {
			t.Errorf("without a token: %d %+v", code, h)
		}
	})
}

// A service without traffic stays ready: the probe alone keeps its token fresh.
func TestIdleServiceStaysReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := endpoints(newSource(t, new(ststest.Handler)))
		for range 6 * 60 {
			if code, h := probe(t, handler); code != 200 {
				t.Fatalf("%d %+v", code, h)
			}
			time.Sleep(time.Minute)
		}
	})
}

// A probe is answered in time although the token service is not.
func TestSlowService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{Delay: 3 * time.Second}
		handler := endpoints(newSource(t, service))
		start := time.Now()
		if code, h := probe(t, handler); code != 503 || time.Since(start) != patience {
			t.Errorf("%d after %v, %+v", code, time.Since(start), h)
		}
		time.Sleep(3 * time.Second)
		if code, h := probe(t, handler); code != 200 || h.Exchanges != 1 {
			t.Errorf("%d, %+v: want the token of the exchange that the first probe began", code, h)
		}
	})
}

func TestServes(t *testing.T) {
	service := new(ststest.Handler)
	sts := ststest.NewServer(service)
	defer sts.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("the-subject-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	printed, done := make(writer, 1), make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-token-url", sts.TokenURL, "-subject-file", file, "-audience", "aud"}, printed)
	}()
	var url string
	select {
	case text := <-printed:
		url = regexp.MustCompile(`http://\S*/healthz`).FindString(text)
	case err := <-done:
		t.Fatal(err)
	}
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || service.Requests()[0].Params.Get("audience") != "aud" {
		t.Errorf("%s, requests %v", resp.Status, service.Requests())
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// writer passes on what is written.
type writer chan string

func (w writer) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-audience", "aud"}, "set -token-url"},
		{[]string{"-token-url", "https://sts.example.com"}, "-token-url needs -subject-file"},
		{[]string{"-token-url", "http://sts.example.com", "-subject-file", "f"}, "use https"},
		{[]string{"-listen", "nowhere"}, "nowhere"},
		{[]string{"8080"}, `unexpected argument "8080"`},
	} {
		if err := run(t.Context(), tt.args, io.Discard); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
