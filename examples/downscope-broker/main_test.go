package main

import (
	"context"
	"encoding/json"
	"fmt"
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
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
)

func TestDemo(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), nil, &out); err != nil {
		t.Fatal(err)
	}
	_, steps, _ := strings.Cut(out.String(), "\n\n")
	want := `three buckets, 20 clients each   60 requests, 3 different tokens, 0 refused in TIME, 4 exchanges; 3 buckets kept, 0 dropped
the same again                   60 requests, 3 different tokens, 0 refused in TIME, 0 exchanges; 3 buckets kept, 0 dropped
a fourth bucket                  1 requests, 1 different tokens, 0 refused in TIME, 1 exchanges; 3 buckets kept, 1 dropped
what is not a bucket             1 requests, 0 different tokens, 1 refused in TIME, 0 exchanges; 3 buckets kept, 1 dropped
`
	if diff := cmp.Diff(want, regexp.MustCompile(`in [0-9.]+m?s`).ReplaceAllString(steps, "in TIME")); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// newTestBroker returns a broker in front of a token service in memory.
func newTestBroker(t *testing.T, service *ststest.Handler, max int) *broker {
	t.Helper()
	source, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "source-token", Expiry: time.Now().Add(time.Hour)}, nil
	}, stssource.Refresh{})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: service.RoundTripper()}
	return newBroker(source, options{role: "roles/storage.objectViewer", max: max}, gcp.DownscopeConfig{HTTPClient: client})
}

func get(b *broker, target string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8099"+target, nil)
	r.Header.Set("Broker-Request", "true")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{Mode: ststest.Google}
		b := newTestBroker(t, service, 3)
		w := get(b, "/token?bucket=my-bucket", nil)
		r := service.Requests()[0]
		var got answer
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(answer{AccessToken: r.AccessToken, TokenType: "Bearer", ExpiresIn: 3600}, got); diff != "" {
			t.Errorf("answer (-want +got):\n%s", diff)
		}
		want := `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/my-bucket",` +
			`"availablePermissions":["inRole:roles/storage.objectViewer"]}]}}`
		if r.Params.Get("options") != want || r.Params.Get("subject_token") != "source-token" {
			t.Errorf("exchange %v", r.Params)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Error("the answer may be kept by a cache")
		}
	})
}

func TestRefusals(t *testing.T) {
	service := &ststest.Handler{Mode: ststest.Google}
	service.Script(ststest.Reply{Error: "invalid_grant", Times: -1})
	b := newTestBroker(t, service, 3)
	for _, tt := range []struct {
		name, target string
		change       func(*http.Request)
		status       int
	}{
		{"no bucket", "/token", nil, 400},
		{"a path", "/token?bucket=../other", nil, 400},
		{"a quote", "/token?bucket=a%22b", nil, 400},
		{"another path", "/", nil, 404},
		{"another method", "/token?bucket=my-bucket", func(r *http.Request) { r.Method = http.MethodPost }, 404},
		{"a web page", "/token?bucket=my-bucket", func(r *http.Request) { r.Header.Del("Broker-Request") }, 403},
		{"a name that resolves to this machine", "/token?bucket=my-bucket", func(r *http.Request) { r.Host = "evil.example:8099" }, 403},
		{"the token service refuses", "/token?bucket=my-bucket", nil, 502},
	} {
		w := get(b, tt.target, tt.change)
		if w.Code != tt.status || strings.Contains(w.Body.String(), "source-token") {
			t.Errorf("%s: %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
		}
	}
	if n := len(service.Requests()); n != 1 {
		t.Errorf("%d exchanges, want the one that was refused", n)
	}
}

// However many names clients make up, no more sources are kept than max; those
// that are in use stay.
func TestSourcesAreBounded(t *testing.T) {
	service := &ststest.Handler{Mode: ststest.Google}
	b := newTestBroker(t, service, 3)
	for i := range 100 {
		for _, bucket := range []string{"in-use", fmt.Sprintf("bucket-%d", i)} {
			if w := get(b, "/token?bucket="+bucket, nil); w.Code != http.StatusOK {
				t.Fatal(w.Body)
			}
		}
	}
	if b.recent.Len() != 3 || b.evicted != 98 {
		t.Errorf("%d kept, %d dropped", b.recent.Len(), b.evicted)
	}
	if n := len(service.Requests()); n != 101 {
		t.Errorf("%d exchanges, want 101: the bucket in use was dropped", n)
	}
}

func TestBadCommandLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials.json")
	if err := os.WriteFile(file, []byte(`{"type":"service_account"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"my-bucket"}, `unexpected argument "my-bucket"`},
		{[]string{"-max", "0"}, "-max must be at least 1"},
		{[]string{"-listen", "0.0.0.0:80"}, "-listen 0.0.0.0:80 is not a port of this machine"},
		{[]string{"-listen", ":80"}, "is not a port of this machine"},
		{[]string{"-credentials", file}, "it is the key of a service account"},
	} {
		err := run(t.Context(), tt.args, new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}

// With a credential file the broker serves until it is told to stop.
func TestServes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "credentials.json")
	if err := os.WriteFile(file, []byte(`{"type":"external_account","subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
		"audience":"//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p",
		"credential_source":{"file":"`+filepath.Join(dir, "missing")+`"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	address := make(writer, 1)
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-credentials", file}, address) }()
	url := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(<-address), "listening on "), "NAME") + "my-bucket"
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Broker-Request", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadGateway { // there is no subject token
		t.Errorf("status %s", resp.Status)
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
