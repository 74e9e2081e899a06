package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
)

var (
	errEnd  = errors.New("everything was shown")
	errLate = errors.New("the access token was not renewed in time")
)

// demo plays the kubelet, the token service and the API around the program. It
// ends after three exchanges.
func demo(ctx context.Context, o options, t *timeline) error {
	t.event("program", "has no -token-url: a kubelet, a token service and an API are played here; access tokens live for %v", o.lifetime)
	c, err := newCluster(t)
	if err != nil {
		return err
	}
	defer os.RemoveAll(string(c.volume))
	service := &ststest.Handler{Lifetime: o.lifetime, Accept: c.accept}
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	o.tokenURL, o.tokenFile, o.api = sts.TokenURL, c.volume.path("token"), api.URL

	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute+3*o.lifetime, errLate)
	defer cancel()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	src, err := newSource(o, func(a stssource.Attempt) {
		t.event("program", "%s", describe(a))
		if err := c.next(a); err != nil {
			end(err)
		}
	})
	if err != nil {
		return err
	}
	calls, err := callUntilDone(ctx, src, o)
	if err != nil {
		return err
	}
	if why := context.Cause(ctx); !errors.Is(why, errEnd) {
		return why
	}
	t.event("program", "%d calls, none refused; %d exchanges in %d token requests", calls, src.Status().Exchanges, len(service.Requests()))
	return nil
}

// cluster is what a pod finds around it: a volume that the kubelet keeps fresh,
// and a token service that knows what is in there.
type cluster struct {
	volume volume
	log    *timeline

	mu        sync.Mutex
	tokens    []string // all that were ever in the volume
	exchanges int
	race      bool // replace the next token that arrives before it is looked at
}

func newCluster(t *timeline) (*cluster, error) {
	dir, err := os.MkdirTemp("", "kubernetes-")
	if err != nil {
		return nil, err
	}
	c := &cluster{volume: volume(dir), log: t}
	if err := c.replace(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

// next goes on with the play after an exchange.
func (c *cluster) next(a stssource.Attempt) error {
	if a.Err != nil {
		return a.Err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchanges++
	if c.exchanges == 3 {
		return errEnd
	}
	c.race = c.exchanges == 2
	return c.replace()
}

// replace puts a new token in place of the old one. It requires that mu is held,
// or that nobody else has c yet.
func (c *cluster) replace() error {
	n := len(c.tokens) + 1
	token := serviceAccountToken(n)
	if err := c.volume.write(token); err != nil {
		return err
	}
	c.tokens = append(c.tokens, token)
	c.log.event("kubelet", "token %d is in the volume", n)
	return nil
}

// accept is the token service's opinion of a subject token. Real ones accept a
// token until it expires; here only the newest will do, so that a program that
// kept an old one would be found out.
func (c *cluster) accept(token string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := slices.Index(c.tokens, token) + 1
	if c.race {
		c.race = false
		if err := c.replace(); err != nil {
			return err
		}
	}
	if n != len(c.tokens) {
		c.log.event("service", "token %d is refused: it was replaced on its way here", n)
		return errors.New("the subject token was replaced")
	}
	c.log.event("service", "token %d is accepted", n)
	return nil
}

// serviceAccountToken returns what a projected token looks like, without a
// signature: the embedded service compares it and looks no further.
func serviceAccountToken(serial int) string {
	enc := base64.RawURLEncoding.EncodeToString
	claims := fmt.Appendf(nil, `{"aud":["https://sts.example.com"],"sub":"system:serviceaccount:default:my-app","jti":"%d"}`, serial)
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(claims) + "."
}

// volume is a projected volume's directory as the kubelet writes it:
//
//	token    -> ..data/token
//	..data   -> ..2026_01_31_12_00_00.1234567890
//	..2026_01_31_12_00_00.1234567890/token
//
// All files of a volume are replaced at once, by one rename of ..data.
type volume string

func (v volume) path(name string) string { return filepath.Join(string(v), name) }

func (v volume) write(token string) error {
	next, err := os.MkdirTemp(string(v), time.Now().UTC().Format("..2006_01_02_15_04_05."))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(next, "token"), []byte(token), 0o600); err != nil {
		return err
	}
	old, oldErr := os.Readlink(v.path("..data"))
	if err := os.Symlink(filepath.Base(next), v.path("..data_tmp")); err != nil {
		return err
	}
	if err := os.Rename(v.path("..data_tmp"), v.path("..data")); err != nil {
		return err
	}
	if oldErr != nil { // this is the first token
		return os.Symlink(filepath.Join("..data", "token"), v.path("token"))
	}
	return os.RemoveAll(v.path(old))
}
