package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// lifetime is that of the embedded service's tokens. Real ones live for an hour.
const lifetime = 2 * time.Second

// demo reports on a source whose token service goes down and comes back.
func demo(ctx context.Context, o options, out io.Writer) error {
	service := &ststest.Handler{Lifetime: lifetime}
	sts := ststest.NewServer(service)
	defer sts.Close()
	src, err := stssource.New(stssource.Config{
		TokenURL:     sts.TokenURL,
		SubjectToken: subjecttoken.Static{Value: "a-subject-token"},
		Refresh:      stssource.Refresh{Before: lifetime / 2},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "No -token-url: a token service was started on this machine, with tokens of %v.\n\n", lifetime)

	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	failed := make(chan error, 1)
	err = serve(ctx, src, o.listen, func(url string) {
		go func() {
			failed <- watch(ctx, &prober{url: url, out: out, start: time.Now()}, service)
			cancel()
		}()
	})
	if err != nil {
		return err
	}
	return <-failed
}

// watch looks at the health while the service fails and recovers.
func watch(ctx context.Context, p *prober, service *ststest.Handler) error {
	raw, _, err := p.get(ctx, "/healthz")
	if err != nil {
		return err
	}
	fmt.Fprintf(p.out, "GET /healthz: %s\n", raw)

	for _, step := range []struct {
		what                 string
		down, usable, failed bool // the service, the token, and the last attempt
	}{
		{"healthy", false, true, false},
		{"the service is down", true, true, true},
		{"the token has ended", true, false, true},
		{"the service is back", false, true, false},
	} {
		service.Script()
		if step.down {
			service.Script(ststest.Reply{Status: http.StatusServiceUnavailable, Times: -1})
		}
		if err := p.until(ctx, step.what, step.usable, step.failed); err != nil {
			return err
		}
	}
	return p.metrics(ctx)
}

// prober asks a health endpoint, as a load balancer or the kubelet does.
type prober struct {
	url   string
	out   io.Writer
	start time.Time
}

// metrics prints what the package expvar says of the source.
func (p *prober) metrics(ctx context.Context) error {
	raw, _, err := p.get(ctx, "/debug/vars")
	if err != nil {
		return err
	}
	var vars struct {
		Sources json.RawMessage `json:"token_sources"`
	}
	if err := json.Unmarshal(raw, &vars); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "\nGET /debug/vars: \"token_sources\": %s\n", vars.Sources)
	return nil
}

func (p *prober) get(ctx context.Context, path string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, err
}

// until asks every 50 ms until the health is as it should be, and prints it.
func (p *prober) until(ctx context.Context, what string, usable, failed bool) error {
	for {
		body, status, err := p.get(ctx, "/healthz")
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		var h health
		if err := json.Unmarshal(body, &h); err != nil {
			return err
		}
		if h.Usable == usable && (h.LastError != "") == failed {
			fmt.Fprintf(p.out, "%5.2fs  %-20s %d  %s\n", time.Since(p.start).Seconds(), what, status, h)
			return nil
		}
		if usable && failed && !h.Usable {
			return fmt.Errorf("the token ended before a failure was seen: this machine is too busy for tokens of %v", lifetime)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// String says what matters to whoever watches.
func (h health) String() string {
	token := "no token"
	if h.Usable {
		token = fmt.Sprintf("token ends in %.1fs", time.Until(h.Expiry).Seconds())
	}
	text := fmt.Sprintf("%s, %d exchanges, %d failed", token, h.Exchanges, h.Failures)
	if h.LastError != "" {
		text += "\n        last error: " + h.LastError
	}
	return text
}
