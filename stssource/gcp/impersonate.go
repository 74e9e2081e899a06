package gcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/stssource"
)

// Limits and default of generateAccessToken. A lifetime of more than an hour
// needs an organization policy that allows it.
const (
	minLifetime     = 10 * time.Minute
	maxLifetime     = 12 * time.Hour
	defaultLifetime = time.Hour
)

// ImpersonateConfig describes access tokens of a service account, made by the
// method generateAccessToken of the IAM Service Account Credentials API.
// ServiceAccount, or a URL that names it, is required. See
// https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken.
type ImpersonateConfig struct {
	// ServiceAccount is the email address of the service account. The identity
	// that impersonates it needs the role roles/iam.serviceAccountTokenCreator
	// on it; for a federated identity, roles/iam.workloadIdentityUser will do.
	ServiceAccount string

	// Delegates are the email addresses of service accounts in between: the
	// first is impersonated by the caller, and each of the others by the one
	// before it. If empty, there are none.
	Delegates []string

	// Scopes are the scopes of the tokens, one in each element. If empty, it is
	// [CloudPlatform] alone.
	Scopes []string

	// Lifetime is how long a token lives: 10 minutes to 12 hours, in whole
	// seconds. If zero, it is an hour. More than an hour needs an organization
	// policy that allows it.
	Lifetime time.Duration

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

// Impersonate returns a Source of access tokens of a service account. They are
// made with tokens of source, which must have the scope [CloudPlatform].
//
// If source fails, its error is returned. If source has the methods
// TokenContext and Invalidate of a [stssource.Source], it is asked by the
// first, and told by the second when the API rejects its token. If source is
// nil or c invalid, the error reports all mistakes, joined by [errors.Join].
func Impersonate(source oauth2.TokenSource, c ImpersonateConfig) (*stssource.Source, error) {
	wrong := c.check()
	if source == nil {
		wrong.add("source", "is nil")
	}
	a := c.account().resolved()
	call := newIAMCall(source, a, c.HTTPClient, map[string]any{
		"scope":    c.scopes(),
		"lifetime": fmt.Sprintf("%ds", c.lifetime()/time.Second),
	})
	src, err := stssource.NewFromFunc(func(ctx context.Context) (*oauth2.Token, error) {
		return call.token(ctx, decodeAccessToken)
	}, c.Refresh)
	if err := errors.Join(append(wrong.errors(), err)...); err != nil {
		return nil, fmt.Errorf("gcp: invalid ImpersonateConfig: %w", err)
	}
	return src, nil
}

// Format prints c without the query of its URL, where an API key may be,
// whatever the verb.
func (c ImpersonateConfig) Format(f fmt.State, _ rune) { redact.Format(f, c.describe()) }

// MarshalText returns the text that Format prints.
func (c ImpersonateConfig) MarshalText() ([]byte, error) { return []byte(c.describe()), nil }

func (c ImpersonateConfig) describe() string {
	return fmt.Sprintf("gcp.ImpersonateConfig{service account: %q, scopes: %q, URL: %q}", c.ServiceAccount, c.Scopes, withoutQuery(c.URL))
}

func (c ImpersonateConfig) account() account {
	return account{name: c.ServiceAccount, delegates: c.Delegates, universe: c.Universe, url: c.URL, method: "generateAccessToken"}
}

func (c ImpersonateConfig) scopes() []string {
	if len(c.Scopes) == 0 {
		return []string{CloudPlatform}
	}
	return c.Scopes
}

func (c ImpersonateConfig) lifetime() time.Duration {
	if c.Lifetime == 0 {
		return defaultLifetime
	}
	return c.Lifetime
}

func (c ImpersonateConfig) check() mistakes {
	wrong := c.account().check()
	for i, s := range c.Scopes {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			wrong.add("Scopes", "element %d, %.200q, is not one scope", i, s)
		}
	}
	wrong.join("Lifetime", checkLifetime(c.lifetime()))
	return wrong
}

func checkLifetime(d time.Duration) error {
	if d < minLifetime || d > maxLifetime || d%time.Second != 0 {
		return fmt.Errorf("%v is not between %d and %d whole seconds", d, minLifetime/time.Second, maxLifetime/time.Second)
	}
	return nil
}

// decodeAccessToken reads the answer of generateAccessToken. Its errors do not
// quote it.
func decodeAccessToken(body []byte) (*oauth2.Token, error) {
	var answer struct {
		AccessToken string `json:"accessToken"`
		ExpireTime  string `json:"expireTime"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.AccessToken == "" {
		return nil, errors.New("the answer is not a JSON object with an accessToken")
	}
	end, err := time.Parse(time.RFC3339, answer.ExpireTime)
	if err != nil {
		return nil, errors.New("the expireTime of the answer is not a time (RFC 3339)")
	}
	return &oauth2.Token{AccessToken: answer.AccessToken, TokenType: "Bearer", Expiry: end}, nil
}
