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

// DownscopeConfig describes how tokens are narrowed down. Only AccessBoundary is
// required.
type DownscopeConfig struct {
	// AccessBoundary is what the new tokens may do at the most.
	AccessBoundary AccessBoundary

	// Endpoint is where the token service is. If zero, v1 at
	// sts.googleapis.com. Its Universe must be the one of the tokens, which do
	// not tell.
	Endpoint Endpoint

	// Form sends a form to v1beta, too; see [Config].
	Form bool

	// HTTPClient is whose Transport and Timeout the requests use; see [Config].
	HTTPClient *http.Client

	// Refresh says when the tokens are renewed, and who is told. Its zero value
	// is good.
	Refresh stssource.Refresh
}

// Downscope returns a Source of tokens that may do what those of source may,
// within the access boundary of c: to hand to somebody who is trusted with less.
// A Google access token that is bounded already cannot be bounded again.
//
// Its tokens are cached, and end no later than the token of source that they
// were made from, whatever the answer says. If source fails, no request is made,
// and [errors.Is] and [errors.As] find its error. A source that has a method
// TokenContext is asked by it. If c is not right, all mistakes are returned at
// once, joined by [errors.Join].
func Downscope(source oauth2.TokenSource, c DownscopeConfig) (*stssource.Source, error) {
	provider := &endKeeper{Provider: subjecttoken.FromTokenSource(source)}
	var wrong mistakes
	wrong.under("AccessBoundary", c.AccessBoundary.check())
	wrong.under("Endpoint", c.Endpoint.check())
	wrong.join("HTTPClient", c.Endpoint.checkClient(c.HTTPClient))
	inner, err := stssource.New(stssource.Config{
		TokenURL:       c.Endpoint.orDefault(),
		SubjectToken:   provider,
		EndpointParams: url.Values{"options": {options{boundary: &c.AccessBoundary}.encode(c.Endpoint, &wrong)}},
		Encoding:       c.Endpoint.encoding(c.Form),
		HTTPClient:     c.HTTPClient,
		Refresh:        stssource.Refresh{Timeout: c.Refresh.Timeout},
	})
	if err := errors.Join(append(wrong.errors(), errors.Unwrap(err))...); err != nil {
		return nil, fmt.Errorf("gcp: invalid DownscopeConfig: %w", err)
	}
	d := &downscoper{exchange: inner, source: provider}
	src, err := stssource.NewFromFunc(d.fetch, c.Refresh)
	if err != nil {
		return nil, fmt.Errorf("gcp: invalid DownscopeConfig: %w", err)
	}
	return src, nil
}

// downscoper makes narrowed tokens one after the other. exchange has the
// retries and the checks of stssource; what it keeps is dropped at once, as the
// Source around it is the cache.
type downscoper struct {
	exchange *stssource.Source
	source   *endKeeper
}

func (d *downscoper) fetch(ctx context.Context) (*oauth2.Token, error) {
	t, err := d.exchange.TokenContext(ctx)
	if err != nil {
		return nil, err
	}
	d.exchange.Invalidate(t)
	if end := d.source.end(); !end.IsZero() && (t.Expiry.IsZero() || t.Expiry.After(end)) {
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
