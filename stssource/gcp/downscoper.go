package gcp

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/protobuf"
	"github.com/go-sts/sts/stssource"
)

// typeIntermediary is the type of tokens that are to be narrowed by whoever
// asks for them.
const typeIntermediary = "urn:ietf:params:oauth:token-type:access_boundary_intermediary_token"

// sessionKeyMember is the member of the answer that has the key for it.
const sessionKeyMember = "access_boundary_session_key"

// halfOfLife is longer than any token lives. As the Before of a Refresh it is
// capped at half of the life.
const halfOfLife = 24 * time.Hour

// DownscoperConfig describes how a [Downscoper] gets what it needs. The zero
// value is good for boundaries without conditions.
type DownscoperConfig struct {
	// ParseCondition returns the syntax tree of a condition's expression, as the
	// wire form of the protocol buffer message google.api.expr.v1alpha1.Expr.
	// That is Parse of package celcondition, which is a module of its own beside
	// this package, since it needs a parser of the Common Expression Language.
	// It may be called by several goroutines at once. If nil, boundaries with
	// conditions are refused.
	ParseCondition func(expression string) ([]byte, error)

	// Endpoint says where the token service is. If zero, it is
	// https://sts.googleapis.com/v1/token. V1Beta cannot do this. Universe must
	// be the one that the tokens of source are from.
	Endpoint Endpoint

	// HTTPClient's Transport and Timeout are used for the requests, as
	// described at [Config]. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when what the tokens are made from is renewed, and who is
	// told. If Before is zero it is half of its life, so that no token that is
	// handed out lives for less than that while the token service answers. If
	// neither the service nor the token of source says when it ends, it is kept
	// for DefaultLifetime; set that for such a source, or it is kept for ever.
	Refresh stssource.Refresh
}

// A Downscoper makes tokens that permit what those of a source do, as far as an
// access boundary allows, which may be another one at each call: one for each
// request of a broker, a job or a file. [Downscope] asks the token service for
// each of them; a Downscoper asks for an intermediary token and a key, and
// seals the boundaries with it by itself, in microseconds.
//
// The intermediary token is cached and renewed as a [stssource.Source] does it,
// and stays inside. Several goroutines may use a Downscoper at once. It needs no
// Close. Google calls this client-side Credential Access Boundaries; see
// https://cloud.google.com/iam/docs/downscoping-short-lived-credentials.
type Downscoper struct {
	source *stssource.Source // of intermediary tokens
	parse  func(expression string) ([]byte, error)
}

// NewDownscoper returns a Downscoper for the tokens of source, which must not
// have an access boundary already. It does not block: the first exchange is
// made when the first token is asked for.
//
// No token outlives the one of source that it was made from, so that a source
// which renews its tokens late makes for tokens that end soon: half an hour is
// a good Refresh.Before for it. If source has a method TokenContext, as a
// [stssource.Source] has, that is called. If source is nil or c invalid, the
// error reports all mistakes, joined by [errors.Join].
func NewDownscoper(source oauth2.TokenSource, c DownscoperConfig) (*Downscoper, error) {
	var wrong mistakes
	wrong.under("Endpoint", c.Endpoint.check())
	if c.Endpoint.isBeta() {
		wrong.add("Endpoint.Version", "v1beta has no intermediary tokens: use v1")
	}
	wrong.join("HTTPClient", c.Endpoint.checkClient(c.HTTPClient))
	c.Refresh.Before = cmp.Or(c.Refresh.Before, halfOfLife)
	tokenURL := c.Endpoint.orDefault()
	src, err := narrowed(source, stssource.Config{
		TokenURL:           tokenURL,
		RequestedTokenType: typeIntermediary,
		HTTPClient:         c.HTTPClient,
		Refresh:            c.Refresh,
	}, checkSessionKey(tokenURL))
	if err := errors.Join(append(wrong.errors(), err)...); err != nil {
		return nil, fmt.Errorf("gcp: invalid DownscoperConfig: %w", err)
	}
	return &Downscoper{src, c.ParseCondition}, nil
}

// checkSessionKey returns what tells whether an answer has a key, so that one
// without is that exchange's error, and counts as a failure.
func checkSessionKey(tokenURL string) func(*oauth2.Token) error {
	u, _ := url.Parse(tokenURL) // has been checked
	return func(t *oauth2.Token) error {
		if _, err := sessionKeyOf(t); err != nil {
			return &stssource.Error{Stage: stssource.StageExchange, Host: u.Host, Err: err}
		}
		return nil
	}
}

// Token returns a new token that permits no more than b. It waits as
// [stssource.Source.TokenContext] does if there is nothing to make it from, and
// has the same errors. One that reports what is wrong with b is returned
// without a request.
func (d *Downscoper) Token(ctx context.Context, b AccessBoundary) (*oauth2.Token, error) {
	if d == nil || d.source == nil {
		return nil, errors.New("gcp: the Downscoper was not made by NewDownscoper")
	}
	restrictions, err := b.encode(d.parse)
	if err != nil {
		return nil, err
	}
	t, err := d.source.TokenContext(ctx)
	if err != nil {
		return nil, err
	}
	key, err := sessionKeyOf(t)
	if err != nil {
		return nil, err // cannot be: the exchange would have failed
	}
	return &oauth2.Token{
		AccessToken: t.AccessToken + "." + base64.RawURLEncoding.EncodeToString(key.seal(restrictions)),
		TokenType:   t.TokenType,
		Expiry:      t.Expiry,
	}, nil
}

// encode returns b as the message ClientSideAccessBoundary. Conditions are sent
// as syntax trees.
func (b AccessBoundary) encode(parse func(string) ([]byte, error)) ([]byte, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	var message []byte
	var wrong mistakes
	for i, r := range b.Rules {
		rule := protobuf.AppendBytes(nil, 1, []byte(r.AvailableResource))
		for _, p := range r.AvailablePermissions {
			rule = protobuf.AppendBytes(rule, 2, []byte(p))
		}
		if c := r.AvailabilityCondition; c != nil {
			tree, err := parseCondition(parse, c.Expression)
			wrong.join(fmt.Sprintf("Rules[%d]", i), prefix("availabilityCondition", err))
			rule = protobuf.AppendBytes(rule, 4, tree)
		}
		message = protobuf.AppendBytes(message, 1, rule)
	}
	if err := errors.Join(wrong.errors()...); err != nil {
		return nil, fmt.Errorf("gcp: invalid AccessBoundary: %w", err)
	}
	return message, nil
}

func parseCondition(parse func(string) ([]byte, error), expression string) ([]byte, error) {
	if parse == nil {
		return nil, errors.New("cannot be parsed: set DownscoperConfig.ParseCondition")
	}
	tree, err := parse(expression)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot be parsed: %w", err)
	case len(tree) == 0:
		// Without a tree the rule would have no condition, and permit more.
		return nil, errors.New("cannot be parsed: ParseCondition returned nothing and no error")
	}
	return tree, nil
}
