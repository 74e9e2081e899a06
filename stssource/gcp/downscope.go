package gcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// DownscopeConfig describes tokens that permit less than others. AccessBoundary
// is required.
type DownscopeConfig struct {
	// AccessBoundary is the most that the tokens permit. Required.
	AccessBoundary AccessBoundary

	// Endpoint says where the token service is. If zero, it is
	// https://sts.googleapis.com/v1/token. Universe must be the one that the
	// tokens of source are from.
	Endpoint Endpoint

	// Form sends the parameters to v1beta in a form. If false, v1beta gets them
	// as JSON. v1 always gets a form.
	Form bool

	// HTTPClient's Transport and Timeout are used for the requests, as
	// described at [Config]. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when tokens are renewed, and who is told. The zero value is
	// good for most programs.
	Refresh stssource.Refresh
}

// Downscope returns a Source of tokens that permit what those of source do, as
// far as the access boundary of c allows, to hand to somebody who is trusted
// with less. The tokens of source must not have an access boundary already.
// For a boundary that differs from one call to the next there is [Downscoper].
//
// The tokens are cached, and expire no later than the token of source that they
// were made from. If source fails, no request is made, and [errors.Is] and
// [errors.As] find its error. If source has a method TokenContext, as a
// [stssource.Source] has, that is called. If source is nil or c invalid, the
// error reports all mistakes, joined by [errors.Join]. See
// https://cloud.google.com/iam/docs/downscoping-short-lived-credentials.
func Downscope(source oauth2.TokenSource, c DownscopeConfig) (*stssource.Source, error) {
	var wrong mistakes
	wrong.under("AccessBoundary", c.AccessBoundary.check())
	wrong.under("Endpoint", c.Endpoint.check())
	wrong.join("HTTPClient", c.Endpoint.checkClient(c.HTTPClient))
	src, err := narrowed(source, stssource.Config{
		TokenURL:       c.Endpoint.orDefault(),
		EndpointParams: url.Values{"options": {options{boundary: &c.AccessBoundary}.encode(c.Endpoint, &wrong)}},
		Encoding:       c.Endpoint.encoding(c.Form),
		HTTPClient:     c.HTTPClient,
		Refresh:        c.Refresh,
	}, nil)
	if err := errors.Join(append(wrong.errors(), err)...); err != nil {
		return nil, fmt.Errorf("gcp: invalid DownscopeConfig: %w", err)
	}
	return src, nil
}

// narrowed returns a Source of what the tokens of source are exchanged for, as
// c says, none of which outlives the one that it was made from. What accept, if
// not nil, finds wrong with an answer is the error of that exchange.
func narrowed(source oauth2.TokenSource, c stssource.Config, accept func(*oauth2.Token) error) (*stssource.Source, error) {
	n := &narrowing{source: &endKeeper{Provider: subjecttoken.FromTokenSource(source)}, accept: accept}
	src, refreshErr := stssource.NewFromFunc(n.fetch, c.Refresh)
	c.SubjectToken, c.Refresh = n.source, stssource.Refresh{Timeout: max(c.Refresh.Timeout, 0)} // what is wrong with it has been found
	exchange, err := stssource.New(c)
	n.exchange = exchange
	// Without the words on a Config that the caller has not seen.
	return src, errors.Join(errors.Unwrap(err), errors.Unwrap(refreshErr))
}

// narrowing makes narrowed tokens one after the other. exchange has the retries
// and the checks of stssource; what it keeps is dropped at once, as the Source
// around it is the cache.
type narrowing struct {
	exchange *stssource.Source
	source   *endKeeper
	accept   func(*oauth2.Token) error
}

func (n *narrowing) fetch(ctx context.Context) (*oauth2.Token, error) {
	t, err := n.exchange.TokenContext(ctx)
	if err != nil {
		return nil, err
	}
	n.exchange.Invalidate(t)
	if n.accept != nil {
		if err := n.accept(t); err != nil {
			return nil, err
		}
	}
	if end := n.source.end(); !end.IsZero() && (t.Expiry.IsZero() || t.Expiry.After(end)) {
		t.Expiry = end
	}
	return t, nil
}

// endKeeper remembers when the last token of a provider ends.
type endKeeper struct {
	subjecttoken.Provider

	mu   sync.Mutex
	last time.Time
}

func (k *endKeeper) SubjectToken(ctx context.Context) (subjecttoken.Token, error) {
	t, err := k.Provider.SubjectToken(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.last = t.Expiry
	}
	return t, err
}

func (k *endKeeper) end() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.last
}

// String names the provider in errors.
func (k *endKeeper) String() string { return "token source" }

// Validate is that of the provider.
func (k *endKeeper) Validate() error { return validate(k.Provider) }
