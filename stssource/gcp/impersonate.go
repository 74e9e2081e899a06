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

	"github.com/go-sts/sts/stssource"
)

// Limits and default of generateAccessToken. A lifetime of more than an hour
// needs an organization policy that allows it.
const (
	minLifetime     = 10 * time.Minute
	maxLifetime     = 12 * time.Hour
	defaultLifetime = time.Hour
)

// ImpersonateConfig describes access tokens of a service account (AIP-4117, and
// the method generateAccessToken of the IAM Service Account Credentials API).
// Only ServiceAccount, or a URL that has it, is required.
type ImpersonateConfig struct {
	// ServiceAccount is its email address. The one who impersonates it needs
	// the role roles/iam.serviceAccountTokenCreator on it, or as a federated
	// identity roles/iam.workloadIdentityUser.
	ServiceAccount string

	// Delegates are the email addresses of service accounts in between, the
	// first of which the one who impersonates may impersonate, and each the next.
	// If empty, there are none.
	Delegates []string

	// Scopes are the scopes of the tokens. If empty, [CloudPlatform].
	Scopes []string

	// Lifetime is how long a token lives: 10 minutes to 12 hours, in whole
	// seconds. If zero, an hour, which is the most unless an organization policy
	// allows more.
	Lifetime time.Duration

	// Universe is the domain of the cloud. If empty, googleapis.com.
	Universe string

	// URL, if not empty, is the URL of the method for this service account, such
	// as that of a regional endpoint. It must be https, or http to this machine.
	URL string

	// HTTPClient is whose Transport and Timeout the requests use, as described at
	// [Config]. If nil, all sources share one transport.
	HTTPClient *http.Client

	// Refresh says when the tokens are renewed, and who is told. Its zero value
	// is good.
	Refresh stssource.Refresh
}

// Impersonate returns a Source of access tokens of a service account, made with
// the tokens of source, which must have the scope [CloudPlatform]. If source
// fails, its error is returned. A source that has the methods TokenContext and
// Invalidate of a [stssource.Source] is asked by the one, and told by the other
// of a token that was rejected. If c is not right, all mistakes are returned at
// once, joined by [errors.Join].
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
