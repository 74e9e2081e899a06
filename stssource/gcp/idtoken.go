package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/jwt"
	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/stssource"
)

// IDTokenConfig describes OpenID Connect ID tokens of a service account, made
// by the method generateIdToken of the IAM Service Account Credentials API.
// Audience is required, and ServiceAccount or a URL that names it. See
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken.
type IDTokenConfig struct {
	// ServiceAccount is the email address of the service account, as in
	// [ImpersonateConfig].
	ServiceAccount string

	// Delegates are service accounts in between, as in [ImpersonateConfig]. If
	// empty, there are none.
	Delegates []string

	// Audience is whom the tokens are for, such as the URL of a Cloud Run
	// service or the client ID of Identity-Aware Proxy. Required.
	Audience string

	// IncludeEmail adds the claims email and email_verified to the tokens.
	IncludeEmail bool

	// Universe is the domain of the cloud. If empty, it is googleapis.com.
	Universe string

	// URL is the URL of the method for this service account, such as one at a
	// regional endpoint: https, or http to this machine. If empty, it is made
	// from ServiceAccount and Universe.
	URL string

	// HTTPClient's Transport and Timeout are used for the requests, as
	// described at [Config]. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when tokens are renewed, and who is told. The zero value is
	// good for most programs.
	Refresh stssource.Refresh
}

// IDToken returns a Source of ID tokens of a service account, for services such
// as Cloud Run that want one in place of an access token. They are made with
// tokens of source, as [Impersonate] makes access tokens, and expire when their
// exp claim says.
//
// With a credential file that names a service account, take that name from
// Config.Impersonate, and as source the Source of the Config with Impersonate
// set to nil. If source is nil or c invalid, the error reports all mistakes,
// joined by [errors.Join].
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

// Format prints c without the query of its URL, where an API key may be,
// whatever the verb.
func (c IDTokenConfig) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText returns the text that Format prints.
func (c IDTokenConfig) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c IDTokenConfig) describe() string {
	return fmt.Sprintf("gcp.IDTokenConfig{service account: %q, audience: %q, URL: %q}", c.ServiceAccount, c.Audience, withoutQuery(c.URL))
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
