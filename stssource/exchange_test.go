package stssource_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

const poolProvider = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/pool/providers/provider"

// The JSON request to Google's v1beta token method, member by member as in its
// reference, without an Authorization header.
func TestGoogleJSONRequest(t *testing.T) {
	service := &ststest.Handler{Mode: ststest.Google}
	options := `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"//storage.googleapis.com/projects/_/buckets/b",` +
		`"availablePermissions":["inRole:roles/storage.objectViewer"],` +
		`"availabilityCondition":{"expression":"request.time < timestamp('2030-01-01T00:00:00Z') && true"}}]}}`
	for _, tt := range []struct {
		name string
		edit func(*stssource.Config)
		want map[string]any
	}{
		{
			name: "an external credential",
			edit: func(c *stssource.Config) {
				c.Audiences = []string{poolProvider}
				c.Scopes = []string{"https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/userinfo.email"}
			},
			want: map[string]any{
				"grantType":          "urn:ietf:params:oauth:grant-type:token-exchange",
				"audience":           poolProvider,
				"scope":              "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/userinfo.email",
				"requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
				"subjectToken":       "subject",
				"subjectTokenType":   "urn:ietf:params:oauth:token-type:jwt",
			},
		},
		{
			name: "an access boundary, its options not escaped for HTML",
			edit: func(c *stssource.Config) {
				c.SubjectToken = subjecttoken.Static{Value: "ya29.source", Type: subjecttoken.TypeAccessToken}
				c.EndpointParams = url.Values{"options": {options}}
			},
			want: map[string]any{
				"grantType":          "urn:ietf:params:oauth:grant-type:token-exchange",
				"requestedTokenType": "urn:ietf:params:oauth:token-type:access_token",
				"subjectToken":       "ya29.source",
				"subjectTokenType":   "urn:ietf:params:oauth:token-type:access_token",
				"options":            options,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service.Reset()
			src := newSource(t, service, func(c *stssource.Config) {
				c.TokenURL = "https://sts.googleapis.com/v1beta/token"
				c.Encoding = stssource.JSON
				tt.edit(c)
			})
			mustToken(t, src)
			r := service.Requests()[0]
			if r.Problem != "" {
				t.Errorf("the service found a problem: %s", r.Problem)
			}
			if diff := cmp.Diff(tt.want, r.JSON); diff != "" {
				t.Errorf("JSON body (-want +got):\n%s", diff)
			}
			if strings.Contains(string(r.Body), `\u003c`) || strings.Contains(string(r.Body), `\u0026`) {
				t.Errorf("the body is escaped for HTML: %s", r.Body)
			}
			wantHeader := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
			if diff := cmp.Diff(wantHeader, r.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			if r.Method != "POST" || r.Path != "/v1beta/token" || len(r.Query) != 0 {
				t.Errorf("%s %s?%v", r.Method, r.Path, r.Query)
			}
		})
	}
}

func TestFormRequest(t *testing.T) {
	service := &ststest.Handler{ClientID: "cl:ient", ClientSecret: "s3cr:et/+%"}
	src := newSource(t, service, func(c *stssource.Config) {
		c.SubjectToken = subjecttoken.Static{Value: "su+b/je=ct", Type: subjecttoken.TypeIDToken}
		c.ActorToken = subjecttoken.Static{Value: "actor"}
		c.ActorTokenType = subjecttoken.TypeAccessToken
		c.Audiences = []string{"api-1", "api-2"}
		c.Resources = []string{"https://a.example/x", "https://b.example"}
		c.Scopes = []string{"read", "write"}
		c.RequestedTokenType = subjecttoken.TypeIDToken
		c.EndpointParams = url.Values{"connector_id": {"corp"}, "left_out": {""}}
		c.ClientID, c.ClientSecret = "cl:ient", "s3cr:et/+%"
	})
	mustToken(t, src)
	r := service.Requests()[0]
	want := url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"subject_token":        {"su+b/je=ct"},
		"subject_token_type":   {subjecttoken.TypeIDToken},
		"actor_token":          {"actor"},
		"actor_token_type":     {subjecttoken.TypeAccessToken},
		"audience":             {"api-1", "api-2"},
		"resource":             {"https://a.example/x", "https://b.example"},
		"scope":                {"read write"},
		"requested_token_type": {subjecttoken.TypeIDToken},
		"connector_id":         {"corp"},
	}
	if diff := cmp.Diff(want, r.Params); diff != "" {
		t.Errorf("form (-want +got):\n%s", diff)
	}
	if r.Problem != "" {
		t.Errorf("the service found a problem: %s", r.Problem)
	}
}

func TestClientAuthentication(t *testing.T) {
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct {
		name          string
		edit          func(*stssource.Config)
		authorization string
		params        url.Values
	}{
		{"none", func(*stssource.Config) {}, "", url.Values{}},
		{"a public client", func(c *stssource.Config) { c.ClientID = "id" }, "", url.Values{"client_id": {"id"}}},
		{"a secret, in the header by default, both parts form-encoded",
			func(c *stssource.Config) { c.ClientID, c.ClientSecret = "a:b", "p+ s%" }, basic("a%3Ab:p%2B+s%25"), url.Values{}},
		{"not encoded, on purpose",
			func(c *stssource.Config) { c.ClientID, c.ClientSecret, c.RawBasicAuth = "a", "p+ s%", true }, basic("a:p+ s%"), url.Values{}},
		{"in the body", func(c *stssource.Config) {
			c.ClientID, c.ClientSecret, c.AuthStyle = "id", "s", oauth2.AuthStyleInParams
		}, "", url.Values{"client_id": {"id"}, "client_secret": {"s"}}},
		{"an empty secret in the header, when asked for",
			func(c *stssource.Config) { c.ClientID, c.AuthStyle = "id", oauth2.AuthStyleInHeader }, basic("id:"), url.Values{}},
		{"an assertion", func(c *stssource.Config) {
			c.ClientID, c.ClientAssertion = "id", subjecttoken.Static{Value: "jwt"}
		}, "", url.Values{
			"client_id": {"id"}, "client_assertion": {"jwt"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}},
		{"an assertion names its client itself", func(c *stssource.Config) {
			c.ClientAssertion = subjecttoken.Static{Value: "jwt"}
		}, "", url.Values{
			"client_assertion":      {"jwt"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := &ststest.Handler{}
			service.Script(ststest.JSON(200, map[string]any{"access_token": "a", "expires_in": 60}))
			mustToken(t, newSource(t, service, tt.edit))
			r := service.Requests()[0]
			if got := r.Header.Get("Authorization"); got != tt.authorization {
				t.Errorf("Authorization %q, want %q", got, tt.authorization)
			}
			got := url.Values{}
			for name, v := range r.Params {
				if strings.HasPrefix(name, "client_") {
					got[name] = v
				}
			}
			if diff := cmp.Diff(tt.params, got); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

// unsignedJWT returns a JWT that ends at exp. Nobody verifies it here.
func unsignedJWT(exp time.Time) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(fmt.Appendf(nil, `{"exp":%d}`, exp.Unix())) + ".c2ln"
}

func TestAnswers(t *testing.T) {
	const ok = `"access_token":"a","token_type":"Bearer"`
	for _, tt := range []struct {
		name   string
		body   string
		life   time.Duration // zero: no expiry
		error  string        // part of the error; empty: none
		config func(*stssource.Config)
	}{
		{name: "a number", body: `{` + ok + `,"expires_in":3599}`, life: 3599 * time.Second},
		{name: "a string, as some servers send it", body: `{` + ok + `,"expires_in":"3599"}`, life: 3599 * time.Second},
		{name: "a float", body: `{` + ok + `,"expires_in":3599.0}`, life: 3599 * time.Second},
		{name: "an exponent", body: `{` + ok + `,"expires_in":36e2}`, life: time.Hour},
		{name: "more than a Duration holds", body: `{` + ok + `,"expires_in":1e300}`, life: 100 * 365 * 24 * time.Hour},
		{name: "more than a float holds", body: `{` + ok + `,"expires_in":1e999}`, life: 100 * 365 * 24 * time.Hour},
		{name: "absent", body: `{` + ok + `}`},
		{name: "null, beside a number that no float holds", body: `{` + ok + `,"expires_in":null,"nbf":1e999}`},
		{name: "beside a number that no float holds", body: `{` + ok + `,"expires_in":60,"nbf":1e999}`, life: time.Minute},
		{name: "null", body: `{` + ok + `,"expires_in":null}`},
		{name: "absent, with a configured lifetime", body: `{` + ok + `}`, life: time.Minute,
			config: func(c *stssource.Config) { c.Refresh.DefaultLifetime = time.Minute }},
		{name: "zero", body: `{` + ok + `,"expires_in":0}`, error: "expires_in in the answer is not positive"},
		{name: "negative", body: `{` + ok + `,"expires_in":-1}`, error: "expires_in in the answer is not positive"},
		{name: "less than a float holds", body: `{` + ok + `,"expires_in":-1e999}`, error: "expires_in in the answer is not positive"},
		{name: "words", body: `{` + ok + `,"expires_in":"soon"}`, error: "expires_in in the answer is not a number"},
		{name: "infinity is no JSON number", body: `{` + ok + `,"expires_in":"Inf"}`, error: "expires_in in the answer is not a number"},
		{name: "an object", body: `{` + ok + `,"expires_in":{}}`, error: "expires_in in the answer is not a number"},
		{name: "bearer in small letters", body: `{"access_token":"a","token_type":"bearer","expires_in":60}`, life: time.Minute},
		{name: "no token_type", body: `{"access_token":"a","expires_in":60}`, life: time.Minute},
		{name: "a token that needs a proof", body: `{"access_token":"a","token_type":"DPoP"}`, error: `token_type of the answer is "DPoP"`},
		{name: "not an access token", body: `{"access_token":"a","token_type":"N_A"}`, error: "N_A"},
		{name: "no access_token", body: `{"token_type":"Bearer","expires_in":60}`, error: "no access_token"},
		{name: "an empty one", body: `{"access_token":"","token_type":"Bearer"}`, error: "no access_token"},
		{name: "null for one", body: `{"access_token":null,"token_type":"Bearer"}`, error: "no access_token"},
		{name: "a number for one", body: `{"access_token":1,"token_type":"Bearer"}`, error: "access_token in the answer is not a string"},
		{name: "a token that no header can carry", body: `{"access_token":"a\nb","token_type":"Bearer"}`, error: "characters that a token cannot have"},
		{name: "a token that is not UTF-8", body: "{\"access_token\":\"a\xff\",\"token_type\":\"Bearer\"}", error: "characters that a token cannot have"},
		{name: "a member twice: the last one holds, as with encoding/json", body: `{"access_token":"b","access_token":"a","token_type":"Bearer","expires_in":60}`, life: time.Minute},
		{name: "nothing", body: ` `, error: "the answer is empty"},
		{name: "null", body: `null`, error: "not a JSON object"},
		{name: "an array", body: `[{` + ok + `}]`, error: "not a JSON object"},
		{name: "cut off", body: `{` + ok, error: "not a JSON object"},
		{name: "followed by more", body: `{` + ok + `}{}`, error: "not a JSON object"},
		{name: "a refusal with 200", body: `{"error":"invalid_client"}`, error: "200 invalid_client"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &ststest.Handler{}
				service.Script(ststest.Reply{Status: 200, Body: tt.body, Times: -1})
				begin := time.Now()
				tok, err := newSource(t, service, tt.config).Token()
				if tt.error != "" {
					if err == nil || !strings.Contains(err.Error(), tt.error) {
						t.Errorf("got %v, want an error with %q", err, tt.error)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				var want time.Time
				if tt.life != 0 {
					want = begin.Add(tt.life)
				}
				if !tok.Expiry.Equal(want) || tok.AccessToken != "a" || tok.TokenType != "Bearer" {
					t.Errorf("got %+v, want a Bearer token that ends at %v", tok, want)
				}
			})
		})
	}
}

func TestLifetimeCountsFromWhenTheRequestWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{Lifetime: time.Minute, Delay: 10 * time.Second}
		src := newSource(t, service, func(c *stssource.Config) {
			c.SubjectToken = subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
				time.Sleep(5 * time.Second) // not part of the token's life
				return subjecttoken.Token{Value: "s"}, nil
			})
		})
		begin := time.Now()
		tok := mustToken(t, src)
		if got := tok.Expiry.Sub(begin); got != 65*time.Second {
			t.Errorf("the token ends %v after the call began, want 65s: 5s for the subject token and 1m from then", got)
		}
	})
}

// An answer without expires_in: Google's downscoped tokens end with the subject
// token.
func TestMissingExpiresIn(t *testing.T) {
	for _, tt := range []struct {
		name    string
		subject func(now time.Time) subjecttoken.Token
		token   func(now time.Time) string
		want    time.Duration // zero: not known
	}{
		{"the provider knows when the subject token ends",
			func(now time.Time) subjecttoken.Token {
				return subjecttoken.Token{Value: "s", Expiry: now.Add(10 * time.Minute)}
			},
			func(time.Time) string { return "opaque" }, 10 * time.Minute},
		{"the subject token says it itself",
			func(now time.Time) subjecttoken.Token {
				return subjecttoken.Token{Value: unsignedJWT(now.Add(10 * time.Minute))}
			},
			func(time.Time) string { return "opaque" }, 10 * time.Minute},
		{"the new token says it itself",
			func(time.Time) subjecttoken.Token { return subjecttoken.Token{Value: "s"} },
			func(now time.Time) string { return unsignedJWT(now.Add(5 * time.Minute)) }, 5 * time.Minute},
		{"both do: the earlier one holds",
			func(now time.Time) subjecttoken.Token {
				return subjecttoken.Token{Value: unsignedJWT(now.Add(10 * time.Minute))}
			},
			func(now time.Time) string { return unsignedJWT(now.Add(5 * time.Minute)) }, 5 * time.Minute},
		{"nobody does",
			func(time.Time) subjecttoken.Token { return subjecttoken.Token{Value: "s"} },
			func(time.Time) string { return "opaque" }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				service := &ststest.Handler{}
				service.Script(ststest.JSON(200, map[string]any{"access_token": tt.token(now), "token_type": "Bearer"}))
				tok := mustToken(t, newSource(t, service, func(c *stssource.Config) {
					c.SubjectToken = subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) { return tt.subject(now), nil })
				}))
				var want time.Time
				if tt.want != 0 {
					want = now.Add(tt.want)
				}
				if !tok.Expiry.Equal(want) {
					t.Errorf("expiry %v, want %v", tok.Expiry, want)
				}
			})
		})
	}
}

func TestEndedSubjectTokenIsNotSent(t *testing.T) {
	ended := unsignedJWT(time.Now().Add(-3 * time.Minute))
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(ended), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STSSOURCE_TEST_TOKEN", ended)
	for _, tt := range []struct {
		provider subjecttoken.Provider
		names    string
	}{
		{subjecttoken.File{Path: path}, path},
		{subjecttoken.Env{Name: "STSSOURCE_TEST_TOKEN"}, "STSSOURCE_TEST_TOKEN"},
		{subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
			return subjecttoken.Token{Value: ended}, nil
		}), "subjecttoken.Func"},
	} {
		service := &ststest.Handler{}
		_, err := newSource(t, service, func(c *stssource.Config) { c.SubjectToken = tt.provider }).Token()
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || e.Stage != stssource.StageSubjectToken || !strings.Contains(err.Error(), "expired 3m") || !strings.Contains(err.Error(), tt.names) {
			t.Errorf("got %v, want an error about a token of %s that expired 3 minutes ago", err, tt.names)
		}
		if strings.Contains(err.Error(), ended) {
			t.Errorf("the error shows the token: %v", err)
		}
		if n := len(service.Requests()); n != 0 {
			t.Errorf("%d requests, want none", n)
		}
	}
}

func TestSubjectTokenIsReadOnceMoreAfterARefusal(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		sent   []string
		ok     bool
	}{
		{"rotated in the meantime", []string{"old", "new"}, []string{"old", "new"}, true},
		{"the same", []string{"old", "old"}, []string{"old"}, false},
		{"once, not until it works", []string{"old", "older", "new"}, []string{"old", "older"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &ststest.Handler{Accept: func(s string) error {
					if s != "new" {
						return errors.New("ID Token issued at 1 is stale to sign-in.")
					}
					return nil
				}}
				src := newSource(t, service, func(c *stssource.Config) { c.SubjectToken = &sequence{values: tt.values} })
				_, err := src.Token()
				if (err == nil) != tt.ok {
					t.Errorf("Token: %v", err)
				}
				var sent []string
				for _, r := range service.Requests() {
					sent = append(sent, r.Params.Get("subject_token"))
				}
				if diff := cmp.Diff(tt.sent, sent); diff != "" {
					t.Errorf("sent (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestRedirectIsRefused(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			service := &ststest.Handler{}
			service.Script(ststest.Reply{Status: status, Redirect: "https://elsewhere.example/token?q=1"})
			_, err := newSource(t, service, nil).Token()
			want := fmt.Sprintf("stssource: exchange with sts.example.com: %d: a redirect to elsewhere.example was refused: "+
				"set TokenURL to the final address", status)
			if err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if n := len(service.Requests()); n != 1 {
				t.Errorf("%d requests, want 1: the subject token was posted again", n)
			}
		})
	}
}

// The likeliest failures, as their user reads them.
func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		reply ststest.Reply
		want  string
	}{
		{ststest.Reply{Error: "invalid_grant", Description: "ID Token issued at 1 is stale to sign-in."},
			"stssource: exchange with sts.example.com: 400 invalid_grant: ID Token issued at 1 is stale to sign-in. " +
				"(the service does not accept the subject token: check its issuer, audience and age)"},
		{ststest.Reply{Status: 401, Error: "invalid_client"},
			"stssource: exchange with sts.example.com: 401 invalid_client (check ClientID, ClientSecret and AuthStyle; Keycloak says this of an unknown audience, too)"},
		{ststest.Reply{Error: "unauthorized_client", Description: "The given credential is rejected by the attribute condition."},
			"stssource: exchange with sts.example.com: 400 unauthorized_client: The given credential is rejected by the attribute condition. " +
				"(the client may not use token exchange, or a condition at the service excludes the subject token)"},
		{ststest.Reply{Error: "invalid_token", Description: "Invalid token"},
			"stssource: exchange with sts.example.com: 400 invalid_token: Invalid token " +
				"(the service does not accept the subject token: check its issuer, audience and age)"},
		{ststest.Reply{Status: 404, Body: "404 page not found\n"},
			"stssource: exchange with sts.example.com: 404: 404 page not found (check the path of TokenURL)"},
		{ststest.Reply{Status: 403, Body: "<html><title>Sign in</title>"},
			"stssource: exchange with sts.example.com: 403: an HTML page: something other than the token endpoint answered"},
		{ststest.JSON(403, map[string]any{"error": map[string]any{"code": 403, "status": "PERMISSION_DENIED", "message": "The caller does not have permission"}}),
			"stssource: exchange with sts.example.com: 403 PERMISSION_DENIED: The caller does not have permission"},
		{ststest.Reply{Status: 400, Body: `{"error":"invalid_request","error_description":"bad token subject-canary-0123456789"}`},
			"stssource: exchange with sts.example.com: 400 invalid_request: bad token [redacted] (check the subject and actor token, the client's credentials and the parameters)"},
		{ststest.Reply{Status: 400}, "stssource: exchange with sts.example.com: 400: no reason given"},
	} {
		service := &ststest.Handler{}
		service.Script(tt.reply)
		src := newSource(t, service, func(c *stssource.Config) {
			c.SubjectToken = subjecttoken.Static{Value: "subject-canary-0123456789"}
		})
		_, err := src.Token()
		if err == nil || err.Error() != tt.want {
			t.Errorf("\n got %v\nwant %s", err, tt.want)
		}
	}
}

func TestErrorIsARetrieveError(t *testing.T) {
	service := &ststest.Handler{}
	service.Script(ststest.JSON(400, map[string]any{
		"error": "invalid_target", "error_description": "no such subject-canary", "error_uri": "https://example.com/e",
	}))
	src := newSource(t, service, func(c *stssource.Config) { c.SubjectToken = subjecttoken.Static{Value: "subject-canary"} })
	_, err := src.Token()
	r, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		t.Fatalf("no *oauth2.RetrieveError in %v", err)
	}
	if r.ErrorCode != "invalid_target" || r.ErrorURI != "https://example.com/e" || r.Response.StatusCode != 400 {
		t.Errorf("got %+v", r)
	}
	text, _ := json.Marshal(r.Response.Header)
	for _, shown := range []string{string(r.Body), r.ErrorDescription, r.Error(), string(text)} {
		if strings.Contains(shown, "canary") {
			t.Errorf("the error shows the subject token: %s", shown)
		}
	}
}

func TestNATokenIsReturnedAndNotSent(t *testing.T) {
	service := &ststest.Handler{}
	src := newSource(t, service, func(c *stssource.Config) { c.RequestedTokenType = subjecttoken.TypeJWT })
	if tok := mustToken(t, src); tok.TokenType != "N_A" {
		t.Fatalf("token type %q, want N_A", tok.TokenType)
	}
	_, err := src.Client(&http.Client{Transport: service.RoundTripper()}).Get("https://api.example.com/")
	if err == nil || !strings.Contains(err.Error(), "N_A") {
		t.Errorf("got %v, want a refusal to send an N_A token", err)
	}
	if n := len(service.Requests()); n != 1 {
		t.Errorf("%d requests, want the exchange alone", n)
	}
}

// A transport that authorizes requests, wrapped so that nobody can tell, is
// found out by the request that it says it has sent.
func TestStrayAuthorizationIsNamed(t *testing.T) {
	server := ststest.NewServer(&ststest.Handler{})
	defer server.Close()
	src := newSource(t, server.Handler, func(c *stssource.Config) {
		c.TokenURL = server.TokenURL
		c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer stray")
			return http.DefaultTransport.RoundTrip(r)
		})}
	})
	_, err := src.Token()
	if err == nil || !strings.Contains(err.Error(), "Config.HTTPClient adds an Authorization header") {
		t.Errorf("got %v, want an error that names the cause", err)
	}
}

// Short values of a configuration are words of any message, and stay in it; long
// ones may be secrets.
func TestRedactionLeavesTheMessageReadable(t *testing.T) {
	service := &ststest.Handler{}
	service.Script(ststest.Reply{Status: 400, Times: -1,
		Body: `{"error":"access_denied","error_description":"the token of tenant 1000 at /token?code=azure-function-key&x=1 password hunter2-hunter2"}`})
	src := newSource(t, service, func(c *stssource.Config) {
		c.Header = http.Header{"Accept-Language": {"en"}, "X-Api-Version": {"1"}}
		c.Query = url.Values{"code": {"azure-function-key"}}
		c.EndpointParams = url.Values{"password": {"hunter2-hunter2"}}
	})
	_, err := src.Token()
	const want = "400 access_denied: the token of tenant 1000 at /token?code=[redacted]&x=1 password [redacted]"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A provider whose tokens are new each time, as GitHub's are, must not double
// the requests to a service that refuses.
func TestRefusalsOfNewTokensAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{}
		service.Script(ststest.Reply{Error: "invalid_grant", Times: -1})
		n := 0
		src := newSource(t, service, func(c *stssource.Config) {
			c.SubjectToken = subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
				n++
				return subjecttoken.Token{Value: fmt.Sprint("subject-", n)}, nil
			})
		})
		for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
			if _, err := src.Token(); err == nil {
				t.Fatal("a token from a service that refuses")
			}
		}
		if n := len(service.Requests()); n > 10 {
			t.Errorf("%d requests in 10s, want at most 10", n)
		}
	})
}

// The actor token is read anew after a refusal as well.
func TestActorTokenIsReadOnceMoreAfterARefusal(t *testing.T) {
	service := &ststest.Handler{}
	service.Script(ststest.Reply{Error: "invalid_request"})
	src := newSource(t, service, func(c *stssource.Config) { c.ActorToken = &sequence{values: []string{"old", "new"}} })
	mustToken(t, src)
	if got := service.Requests()[1].Params.Get("actor_token"); got != "new" {
		t.Errorf("sent %q, want new", got)
	}
}

// A form is what url.Values makes of the same parameters, whatever the characters.
func TestFormIsEncodedLikeValues(t *testing.T) {
	var every []rune
	for r := range rune(0x250) { // ASCII, and letters of two bytes
		every = append(every, r)
	}
	every = append(every, '€', '😀')
	service := &ststest.Handler{}
	src := newSource(t, service, func(c *stssource.Config) {
		c.Audiences = []string{"b", "a"} // not sorted: their order may mean something
		c.EndpointParams = url.Values{"with space & =": {"~tilde"}, "every": {string(every)}, "zz": {"", "last"}}
	})
	if _, err := src.Token(); err != nil {
		t.Fatal(err)
	}
	got := string(service.Requests()[0].Body)
	values, err := url.ParseQuery(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values.Encode(), got); diff != "" {
		t.Errorf("body mismatch (-url.Values +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{string(every)}, values["every"]); diff != "" {
		t.Errorf("parameter mismatch (-want +got):\n%s", diff)
	}
}

// Tokens may share what their answers said beside them. None gets what another's
// said, and nothing that may be a secret is kept for others.
func TestExtraIsOfTheTokensOwnAnswer(t *testing.T) {
	const start = `{"access_token":"a","token_type":"Bearer","expires_in":60`
	for _, body := range []string{
		start + `}`,
		start + `,"scope":"one"}`,
		start + `,"scope":"two"}`,
		start + `,"scope":"one"}`,
		start + `,"scope":["one"]}`, // cannot be compared
		start + `,"scope":["one"]}`,
		start + `,"id_token":"e30.e30."}`,
		start + `,"id_token":"e30.e30."}`,
		start + `,"issued_token_type":"urn:example:one","scope":null}`,
	} {
		service := &ststest.Handler{}
		service.Script(ststest.Reply{Body: body})
		tok := mustToken(t, newSource(t, service, nil))
		var want map[string]any
		if err := json.Unmarshal([]byte(body), &want); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"expires_in", "scope", "id_token", "issued_token_type"} {
			if diff := cmp.Diff(want[name], tok.Extra(name)); diff != "" {
				t.Errorf("%s: Extra(%q) mismatch (-want +got):\n%s", body, name, diff)
			}
		}
		for _, name := range []string{"access_token", "token_type", "refresh_token"} {
			if got := tok.Extra(name); got != nil {
				t.Errorf("%s: Extra(%q) is %v, which has a field of its own", body, name, got)
			}
		}
		if tok.ExpiresIn != 60 {
			t.Errorf("%s: ExpiresIn is %d", body, tok.ExpiresIn)
		}
		if kept := stssource.LastExtra(); kept["id_token"] != nil {
			t.Errorf("%s: %v is kept for other tokens", body, kept)
		}
	}
}

// Equal answers share what they say, which a source for each of many users needs.
func TestExtraIsShared(t *testing.T) {
	var kept []uintptr
	for range 2 {
		service := &ststest.Handler{}
		service.Script(ststest.Reply{Body: `{"access_token":"a","token_type":"Bearer","refresh_token":"r","expires_in":61,"scope":"s"}`})
		mustToken(t, newSource(t, service, nil))
		kept = append(kept, reflect.ValueOf(stssource.LastExtra()).Pointer())
	}
	if kept[0] != kept[1] {
		t.Error("the second answer was kept beside the first")
	}
}

// A transport that breaks the contract of RoundTripper is an error, no panic.
func TestTransportWithoutAnswer(t *testing.T) {
	for _, tt := range []struct {
		name string
		resp *http.Response
		want string
	}{
		{"neither a response nor an error", nil, "returned neither a response nor an error"},
		{"a response without a body", &http.Response{StatusCode: 200}, "the answer is empty"},
		{"a response without the body that it says it has", &http.Response{StatusCode: 200, ContentLength: 5}, "without its body"},
		{"a refusal without the request", &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(`{"error":"x"}`))}, "400 x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newSource(t, &ststest.Handler{}, func(c *stssource.Config) {
					c.HTTPClient = &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) { return tt.resp, nil })}
				})
				if _, err := src.Token(); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want an error with %q", err, tt.want)
				}
			})
		})
	}
}

// A client's own timeout is kept, also where it is longer than the usual one.
func TestHTTPClientTimeout(t *testing.T) {
	for _, tt := range []struct {
		name             string
		timeout, answers time.Duration
		ok               bool
	}{
		{"none: 15 seconds", 0, 14 * time.Second, true},
		{"none, and the service is slower", 0, 16 * time.Second, false},
		{"longer", time.Minute, 20 * time.Second, true},
		{"shorter", time.Second, 2 * time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &ststest.Handler{Delay: tt.answers}
				src := newSource(t, service, func(c *stssource.Config) { c.HTTPClient.Timeout = tt.timeout })
				_, err := src.Token()
				if (err == nil) != tt.ok {
					t.Errorf("got %v, want success: %v", err, tt.ok)
				}
				if err != nil && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer after ")) {
					t.Errorf("got %v, want how long there was no answer", err)
				}
			})
		})
	}
}

func TestErrorIsOneLine(t *testing.T) {
	src := newSource(t, &ststest.Handler{}, func(c *stssource.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripFunc(func(*http.Request) (*http.Response, error) {
			return nil, errors.Join(errors.New("first\nsecond"), errors.New(strings.Repeat("long ", 10_000)))
		})}
		c.Refresh.Timeout = time.Second
	})
	_, err := src.Token()
	checkOneLine(t, err)
}
