package interop_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	coreoidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	zstorage "github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// zitadel is an OpenID provider made with zitadel's library.
type zitadel struct {
	TokenURL string
	storage  *exchangeStorage
}

// exchangeStorage is the example's storage, which accepts tokens of an upstream
// issuer as well, and keeps what it was asked for.
type exchangeStorage struct {
	*zstorage.Storage
	verifier *coreoidc.IDTokenVerifier

	mu   sync.Mutex
	seen []exchangeRequest
}

// exchangeRequest is a token exchange as the storage sees it.
type exchangeRequest struct {
	Subject, Actor      string
	Audience, Resources []string
	Scopes              []string
	Requested           string
}

// zitadelUser is the example's user who may impersonate.
const zitadelUser = "id1"

func startZitadel(t *testing.T, upstream *issuer) *zitadel {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + port + "/"
	storage := &exchangeStorage{
		Storage: zstorage.NewStorageWithClients(zstorage.NewUserStore(base), map[string]*zstorage.Client{
			clientID: zstorage.WebClient(clientID, clientSecret),
		}),
		verifier: newVerifier(t, upstream.URL, &coreoidc.Config{SkipClientIDCheck: true}),
	}
	keepLoggers(t)
	server := httptest.NewUnstartedServer(exampleop.SetupServer(base, storage, quiet(), false))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return &zitadel{TokenURL: base + "oauth/token", storage: storage}
}

// keepLoggers puts the default loggers back, which SetupServer replaces.
func keepLoggers(t *testing.T) {
	logger, output, flags := slog.Default(), log.Writer(), log.Flags()
	t.Cleanup(func() {
		slog.SetDefault(logger)
		log.SetOutput(output)
		log.SetFlags(flags)
	})
}

func (s *exchangeStorage) VerifyExchangeSubjectToken(ctx context.Context, token string, _ oidc.TokenType) (string, string, map[string]any, error) {
	return s.verify(ctx, token)
}

func (s *exchangeStorage) VerifyExchangeActorToken(ctx context.Context, token string, _ oidc.TokenType) (string, string, map[string]any, error) {
	return s.verify(ctx, token)
}

func (s *exchangeStorage) verify(ctx context.Context, token string) (string, string, map[string]any, error) {
	verified, err := s.verifier.Verify(ctx, token)
	if err != nil {
		return "", "", nil, err
	}
	return token, verified.Subject, nil, nil
}

// Targets that the storage treats in a way of their own.
const (
	unknownTarget = "https://unknown.example"
	brokenTarget  = "https://broken.example"
)

func (s *exchangeStorage) ValidateTokenExchangeRequest(ctx context.Context, r op.TokenExchangeRequest) error {
	s.mu.Lock()
	s.seen = append(s.seen, exchangeRequest{
		Subject:   r.GetExchangeSubject(),
		Actor:     r.GetExchangeActor(),
		Audience:  r.GetAudience(),
		Resources: r.GetResourses(),
		Scopes:    r.GetScopes(),
		Requested: string(r.GetRequestedTokenType()),
	})
	s.mu.Unlock()
	for _, resource := range r.GetResourses() {
		switch resource {
		case unknownTarget:
			return &oidc.Error{ErrorType: oidc.InvalidTarget, Description: "no such resource"}
		case brokenTarget:
			return errors.New("the database is read-only")
		}
	}
	return s.Storage.ValidateTokenExchangeRequest(ctx, r)
}

// requests returns what the storage has seen since the last call.
func (s *exchangeStorage) requests() []exchangeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func (z *zitadel) config(t *testing.T, upstream *issuer) stssource.Config {
	return stssource.Config{
		TokenURL:     z.TokenURL,
		SubjectToken: subjecttoken.Static{Value: upstream.tokenFor(zitadelUser, "op", time.Hour)},
		Scopes:       []string{"openid", "profile"},
		ClientID:     clientID,
		ClientSecret: clientSecret,
		HTTPClient:   tokenClient(t),
	}
}

// TestZitadelExchange checks what arrives, and what comes back of it.
func TestZitadelExchange(t *testing.T) {
	upstream := startIssuer(t)
	server := startZitadel(t, upstream)
	plain := exchangeRequest{Subject: zitadelUser, Scopes: []string{"openid", "profile"}, Requested: subjecttoken.TypeAccessToken}

	for _, tt := range []struct {
		name   string
		change func(*stssource.Config)
		want   func(*exchangeRequest)
	}{
		{"impersonation: no actor", func(*stssource.Config) {}, func(*exchangeRequest) {}},
		{
			"delegation: an actor token of a type of its own",
			func(c *stssource.Config) {
				c.ActorToken = subjecttoken.Static{Value: upstream.tokenFor("actor", "op", time.Hour), Type: subjecttoken.TypeIDToken}
			},
			func(r *exchangeRequest) { r.Actor = "actor" },
		},
		{
			"several audiences and resources: each is a parameter",
			func(c *stssource.Config) {
				c.Audiences = []string{"api", "//name with spaces/+%&="}
				c.Resources = []string{"https://one.example/a?b=c", "https://two.example"}
			},
			func(r *exchangeRequest) {
				r.Audience = []string{"api", "//name with spaces/+%&="}
				r.Resources = []string{"https://one.example/a?b=c", "https://two.example"}
			},
		},
		{
			"no scope: no parameter",
			func(c *stssource.Config) { c.Scopes = nil },
			func(r *exchangeRequest) { r.Scopes = []string{} },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, want := server.config(t, upstream), plain
			tt.change(&c)
			tt.want(&want)
			source := newSource(t, c)
			token, err := source.TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]exchangeRequest{want}, server.storage.requests(), emptyIsNil()); diff != "" {
				t.Errorf("requests mismatch (-want +got):\n%s", diff)
			}
			checkLifetime(t, token.Expiry, 5*time.Minute)
			if token.RefreshToken != "" {
				t.Error("a refresh token came without being asked for")
			}
		})
	}
}

// emptyIsNil makes a list that is empty equal to one that is not there.
func emptyIsNil() cmp.Option {
	return cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Comparer(func(a, b []string) bool { return true }))
}

func checkLifetime(t *testing.T, expiry time.Time, want time.Duration) {
	t.Helper()
	if got := time.Until(expiry); got < want-5*time.Second || got > want {
		t.Errorf("the token lives for %v, want %v at the most, and no less by seconds", got, want)
	}
}

// TestZitadelTypes asks for each type of token.
func TestZitadelTypes(t *testing.T) {
	upstream := startIssuer(t)
	server := startZitadel(t, upstream)
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)

	for _, tt := range []struct {
		name      string
		requested string
		issued    string
		tokenType string
		lifetime  time.Duration
		authority bool // whether it authorizes requests
	}{
		{"unsaid: an access token, while the service gives a refresh token to who says nothing", "", subjecttoken.TypeAccessToken, "Bearer", 5 * time.Minute, true},
		{"access token", subjecttoken.TypeAccessToken, subjecttoken.TypeAccessToken, "Bearer", 5 * time.Minute, true},
		{"ID token: no expires_in, but it says itself when it ends", subjecttoken.TypeIDToken, subjecttoken.TypeIDToken, "N_A", time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server.config(t, upstream)
			c.RequestedTokenType = tt.requested
			source := newSource(t, c)
			token, err := source.TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := []any{tt.tokenType, tt.issued}
			got := []any{token.TokenType, token.Extra("issued_token_type")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("type mismatch (-want +got):\n%s", diff)
			}
			checkLifetime(t, token.Expiry, tt.lifetime)
			if err := get(source.Client(tokenClient(t)), api.URL); (err == nil) != tt.authority {
				t.Errorf("a request with the token: %v, want it sent: %t", err, tt.authority)
			}
		})
	}
}

func get(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}

func TestZitadelRefusals(t *testing.T) {
	upstream := startIssuer(t)
	server := startZitadel(t, upstream)

	for _, tt := range []struct {
		name     string
		change   func(*stssource.Config)
		want     failure
		requests int // that reach the storage
	}{
		{
			"a resource that the service does not know",
			func(c *stssource.Config) { c.Resources = []string{unknownTarget} },
			refusal(400, "invalid_target"), 1,
		},
		{
			"an error of the storage: tried four times",
			func(c *stssource.Config) { c.Resources = []string{brokenTarget} },
			failure{
				Stage: stssource.StageExchange, Status: 500, Code: "server_error", Temporary: true,
				RetrieveStatus: 500, RetrieveCode: "server_error",
			}, 4,
		},
		{
			"a subject token of a stranger: not the code that others use",
			func(c *stssource.Config) { c.SubjectToken = subjecttoken.Static{Value: forged(t, upstream)} },
			refusal(400, "invalid_request"), 0,
		},
		{
			"an actor token of a stranger",
			func(c *stssource.Config) { c.ActorToken = subjecttoken.Static{Value: forged(t, upstream)} },
			refusal(400, "invalid_request"), 0,
		},
		{
			"a type that the service does not issue",
			func(c *stssource.Config) { c.RequestedTokenType = subjecttoken.TypeJWT },
			refusal(400, "invalid_request"), 1,
		},
		{
			"a type that the service does not know",
			func(c *stssource.Config) { c.RequestedTokenType = subjecttoken.TypeSAML2 },
			refusal(400, "invalid_request"), 0,
		},
		{
			"a wrong client secret",
			func(c *stssource.Config) { c.ClientSecret = "wrong" },
			refusal(401, "invalid_client"), 0,
		},
		{
			"the secret in the body, which this router does not read there although it says so",
			func(c *stssource.Config) { c.AuthStyle = oauth2.AuthStyleInParams },
			refusal(401, "invalid_client"), 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server.config(t, upstream)
			tt.change(&c)
			_, err := newSource(t, c).TokenContext(t.Context())
			got, want := failureOf(t, err), tt.want
			got.Requests, want.Requests = len(server.storage.requests()), tt.requests
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("failure mismatch (-want +got):\n%s\n%v", diff, err)
			}
			checkSecrets(t, err, clientSecret, url.QueryEscape(clientSecret))
		})
	}
}
