package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/jwt"
	"github.com/go-sts/sts/stssource"
)

// IDTokenConfig describes OpenID Connect ID tokens of a service account (method
// generateIdToken of the IAM Service Account Credentials API). Audience is
// required, and ServiceAccount or a URL that has it.
type IDTokenConfig struct {
	// ServiceAccount and Delegates are those of [ImpersonateConfig].
	ServiceAccount string
	Delegates      []string

	// Audience is whom the tokens are for: the URL of a Cloud Run service, or
	// the client ID of Identity-Aware Proxy.
	Audience string

	// IncludeEmail adds the claims email and email_verified. If false, the
	// tokens do not have them.
	IncludeEmail bool

	// Universe, URL, HTTPClient and Refresh are those of [ImpersonateConfig].
	Universe   string
	URL        string
	HTTPClient *http.Client
	Refresh    stssource.Refresh
}

// IDToken returns a Source whose tokens are ID tokens of a service account, for
// services that ask for one in place of an access token. They are made with the
// tokens of source, as [Impersonate] makes access tokens, and end when they say
// so themselves. For a credential file that names a service account, take the
// Source of its Config without Impersonate as source, and the service account
// from there. If c is not right, all mistakes are returned at once, joined by
// [errors.Join].
func IDToken(source oauth2.TokenSource, c IDTokenConfig) (*stssource.Source, error) {
	a := account{name: c.ServiceAccount, delegates: c.Delegates, universe: c.Universe, url: c.URL, method: "generateIdToken"}
	wrong := a.check()
	if source == nil {
		wrong.add("source", "is nil")
	}
	if c.Audience == "" {
		wrong.add("Audience", "is empty: set it to whom the tokens are for, such as the URL of a service")
	}
	call := newIAMCall(source, a.resolved(), c.HTTPClient, map[string]any{
		"audience":     c.Audience,
		"includeEmail": c.IncludeEmail,
	})
	src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
		return call.token(ctx, decodeIDToken)
	}, c.Refresh)
	if err := errors.Join(append(wrong.errors(), err)...); err != nil {
		return nil, fmt.Errorf("gcp: invalid IDTokenConfig: %w", err)
	}
	return src, nil
}

// decodeIDToken reads the answer of generateIdToken. Its errors do not quote it.
func decodeIDToken(body []byte) (*oauth2.Token, error) {
	var answer struct {
		Token string `json:"token"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Token == "" {
		return nil, errors.New("the answer is not a JSON object with a token")
	}
	end := jwt.Expiry(answer.Token)
	if end.IsZero() {
		return nil, errors.New("the token of the answer is not a JSON Web Token that says when it ends")
	}
	return &oauth2.Token{AccessToken: answer.Token, TokenType: "Bearer", Expiry: end}, nil
}
