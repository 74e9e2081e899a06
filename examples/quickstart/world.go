package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

const (
	// lifetime is that of the embedded service's tokens. Real ones live for an
	// hour; nobody would watch that.
	lifetime = 3 * time.Second

	// rotation is how often the subject token changes, as Kubernetes does it
	// about once an hour. Only the newest two are accepted.
	rotation = 2 * time.Second
)

// world is what a workload would find around it: a token service, an API that
// takes its tokens, and a subject token in a file that is replaced now and then.
type world struct {
	sts    *ststest.Server
	api    *httptest.Server
	dir    string
	serial atomic.Int64
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp("", "quickstart-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir}
	service := &ststest.Handler{
		Mode:     ststest.Google,
		Path:     "/v1beta/token",
		Lifetime: lifetime,
		Delay:    200 * time.Millisecond, // what an exchange over a network takes
		Accept:   w.accept,
	}
	if err := w.writeSubject(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	w.sts = ststest.NewServer(service)
	w.api = httptest.NewServer(service.Protect(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, "hello\n")
	})))
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() { w.rotate(ctx) })
	return w, nil
}

// point directs the program at w.
func (w *world) point(o *options) {
	o.tokenURL = w.sts.TokenURL
	o.json = true
	o.subjectFile = w.subjectFile()
	o.audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/quickstart"
	o.scope = "https://www.googleapis.com/auth/cloud-platform"
	o.api = w.api.URL
}

func (w *world) close() {
	w.cancel()
	w.wg.Wait()
	w.sts.Close()
	w.api.Close()
	os.RemoveAll(w.dir)
}

func (w *world) subjectFile() string { return filepath.Join(w.dir, "token") }

func (w *world) rotate(ctx context.Context) {
	ticker := time.NewTicker(rotation)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_ = w.writeSubject() // the old one is still there if that fails
		case <-ctx.Done():
			return
		}
	}
}

// writeSubject puts a new subject token in place of the old one at once: a
// reader sees either.
func (w *world) writeSubject() error {
	next := filepath.Join(w.dir, "token.next")
	if err := os.WriteFile(next, []byte(subject(w.serial.Add(1))), 0o600); err != nil {
		return err
	}
	return os.Rename(next, w.subjectFile())
}

// subject returns an unsigned JWT. The embedded service compares it and looks
// no further.
func subject(serial int64) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(fmt.Appendf(nil, `{"sub":"quickstart","jti":"%d"}`, serial)) + "."
}

func (w *world) accept(token string) error {
	newest := w.serial.Load()
	if token == subject(newest) || token == subject(newest-1) {
		return nil
	}
	return errors.New("the subject token was replaced long ago")
}
