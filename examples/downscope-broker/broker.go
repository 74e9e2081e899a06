package main

import (
	"container/list"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
)

// broker answers GET /token?bucket=NAME with a token for that bucket. It keeps
// one source for each of the buckets that were asked for last, and no more than
// max of them: a client that makes up names must not fill the memory.
type broker struct {
	source *stssource.Source   // of the token that may do more
	config gcp.DownscopeConfig // but for the boundary
	role   string
	max    int

	mu      sync.Mutex
	recent  list.List // of *entry, the one that was asked for last in front
	evicted int
}

type entry struct {
	bucket string
	source *stssource.Source
}

// bucketName is what a bucket can be called, narrowly: no name has a character
// that means something in a resource name or in an expression.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)

// answer is what a client gets. It is what a token endpoint would answer.
type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in,omitempty"`
}

func (b *broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := checkClient(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet || r.URL.Path != "/token" {
		http.NotFound(w, r)
		return
	}
	src, err := b.sourceOf(r.URL.Query().Get("bucket"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	token, err := src.TokenContext(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway) // its errors hold no secrets
		return
	}
	a := answer{AccessToken: token.AccessToken, TokenType: token.TokenType}
	if !token.Expiry.IsZero() {
		a.ExpiresIn = int64(time.Until(token.Expiry).Seconds())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(a)
}

// checkClient keeps web pages out, which a browser on this machine would let
// ask: they cannot set a header of their own for another host, and those that
// have their name resolve to this machine give themselves away by it.
func checkClient(r *http.Request) error {
	if r.Header.Get("Broker-Request") != "true" {
		return errors.New("the header Broker-Request: true is missing")
	}
	host, _, err := net.SplitHostPort(r.Host)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("the host is not this machine")
	}
	return nil
}

// sourceOf returns the source of a bucket's tokens. Making one makes no request:
// the lock is not held while anybody waits for the network.
func (b *broker) sourceOf(bucket string) (*stssource.Source, error) {
	if !bucketName.MatchString(bucket) {
		return nil, errors.New("the parameter bucket is not the name of a bucket")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for e := b.recent.Front(); e != nil; e = e.Next() {
		if found := e.Value.(*entry); found.bucket == bucket {
			b.recent.MoveToFront(e)
			return found.source, nil
		}
	}
	config := b.config
	config.AccessBoundary = gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{
		AvailableResource:    "//storage.googleapis.com/projects/_/buckets/" + bucket,
		AvailablePermissions: []string{"inRole:" + b.role},
	}}}
	src, err := gcp.Downscope(b.source, config)
	if err != nil {
		return nil, err
	}
	b.recent.PushFront(&entry{bucket, src})
	if b.recent.Len() > b.max {
		b.recent.Remove(b.recent.Back()) // nothing to close: it stops by itself
		b.evicted++
	}
	return src, nil
}
