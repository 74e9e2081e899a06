package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// network is what lies between a client and a Dex.
type network struct {
	TokenURL string
	proxy    *toxiproxy.Proxy
}

func startNetwork(t *testing.T, server *dex) *network {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics log to a logger of the process
	u, err := url.Parse(server.TokenURL)
	if err != nil {
		t.Fatal(err)
	}
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(api, "dex", "127.0.0.1:0", u.Host)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	n := &network{TokenURL: "http://" + proxy.Listen + u.Path, proxy: proxy}
	t.Cleanup(func() {
		n.heal() // lets go of what is held back
		proxy.Stop()
	})
	return n
}

// toxic is a way in which a network is bad: of answers, since requests shall
// arrive and be counted.
type toxic struct {
	Type       string         `json:"type"`
	Attributes map[string]any `json:"attributes"`
}

var (
	latency   = toxic{"latency", map[string]any{"latency": 300}}      // milliseconds
	bandwidth = toxic{"bandwidth", map[string]any{"rate": 1}}         // KB a second: an answer takes about one
	reset     = toxic{"reset_peer", map[string]any{"timeout": 0}}     // instead of an answer
	hang      = toxic{"timeout", map[string]any{"timeout": 0}}        // nothing comes, and nothing ends
	cutHeader = toxic{"limit_data", map[string]any{"bytes": 20}}      // the end, in the second line
	cutBody   = toxic{"limit_data", map[string]any{"bytes": 400}}     // the end, in the middle of the token
	never     = toxic{"latency", map[string]any{"latency": 3600_000}} // too late for everybody
)

func (n *network) poison(t *testing.T, x toxic) {
	t.Helper()
	raw, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(string(raw))); err != nil {
		t.Fatal(err)
	}
}

func (n *network) heal() { n.proxy.Toxics.ResetToxics(context.Background()) }

// startBadNetwork returns the Config of a workload that asks a Dex through a
// network with x.
func startBadNetwork(t *testing.T, x toxic) (stssource.Config, *network, *dex) {
	t.Helper()
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	between := startNetwork(t, server)
	between.poison(t, x)
	c := server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)})
	c.TokenURL = between.TokenURL
	return c, between, server
}

// TestSlowNetworks has answers come late, but come.
func TestSlowNetworks(t *testing.T) {
	for _, tt := range []struct {
		name  string
		toxic toxic
		least time.Duration
	}{
		{"latency", latency, 300 * time.Millisecond},
		{"slow bandwidth", bandwidth, 500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _, server := startBadNetwork(t, tt.toxic)
			start := time.Now()
			if _, err := newSource(t, c).TokenContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took < tt.least {
				t.Errorf("the exchange took %v: the network was not slow", took)
			}
			if got := server.requests.Load(); got != 1 {
				t.Errorf("%d requests, want 1: slow is not broken", got)
			}
		})
	}
}

// brokenNetworks are those through which no answer comes.
func brokenNetworks() []brokenNetwork {
	return []brokenNetwork{
		{"reset", reset, syscall.ECONNRESET},
		{"hang", hang, context.DeadlineExceeded},
		{"an answer after an hour", never, context.DeadlineExceeded},
		{"cut off in the header", cutHeader, nil}, // net/http has no error for it to be compared with
		{"cut off in the token", cutBody, io.ErrUnexpectedEOF},
		{"an answer that is too slow", bandwidth, context.DeadlineExceeded},
	}
}

type brokenNetwork struct {
	name  string
	toxic toxic
	cause error
}

// TestBrokenNetworks checks what a caller learns when no answer comes at all.
func TestBrokenNetworks(t *testing.T) {
	for _, tt := range brokenNetworks() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _, server := startBadNetwork(t, tt.toxic)
			c.HTTPClient.Timeout = 200 * time.Millisecond
			_, err := newSource(t, c).TokenContext(t.Context())
			if got := failureOf(t, err); got.Stage != stssource.StageExchange || !got.Temporary {
				t.Errorf("failure %+v, want a temporary one of the exchange", got)
			}
			if tt.cause != nil && !errors.Is(err, tt.cause) {
				t.Errorf("error %v, want one that is %v", err, tt.cause)
			}
			if got := server.requests.Load(); got != 4 {
				t.Errorf("%d requests, want 4", got)
			}
			checkSecrets(t, err, clientSecret, url.QueryEscape(clientSecret))
		})
	}
}

// TestHealingNetworks has a network get well during the first exchange: the
// caller waits, and sees no error.
func TestHealingNetworks(t *testing.T) {
	for _, tt := range brokenNetworks() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, between, server := startBadNetwork(t, tt.toxic)
			c.HTTPClient.Timeout = 300 * time.Millisecond
			source := newSource(t, c)
			result := make(chan error, 1)
			go func() {
				_, err := source.TokenContext(t.Context())
				result <- err
			}()
			<-server.arrived
			between.heal()
			if err := <-result; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDexAway has Dex stopped when the first token is asked for, and started
// again while the caller waits.
func TestDexAway(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	failed := make(chan struct{}, 1)
	c := server.config(t, subjecttoken.File{Path: upstream.tokenFile(t)})
	c.HTTPClient.Transport = &watch{base: c.HTTPClient.Transport, failed: failed}
	source := newSource(t, c)
	server.stop()

	result := make(chan error, 1)
	go func() {
		_, err := source.TokenContext(t.Context())
		result <- err
	}()
	<-failed
	server.restart(t)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// watch is a transport that tells of requests that failed.
type watch struct {
	base   http.RoundTripper
	failed chan struct{}
}

func (w *watch) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.base.RoundTrip(r)
	if err != nil {
		select {
		case w.failed <- struct{}{}:
		default:
		}
	}
	return response, err
}
