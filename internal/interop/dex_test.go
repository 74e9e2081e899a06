package interop_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// TestDexProviders exchanges a subject token from each kind of source.
func TestDexProviders(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	file := upstream.tokenFile(t)

	for _, tt := range []struct {
		name     string
		provider subjecttoken.Provider
	}{
		{"file", subjecttoken.File{Path: file}},
		{"url, as GitHub Actions has it", subjecttoken.URL{
			URL:       upstream.URL + "/job/token?api-version=2&audience=dex",
			Header:    http.Header{"Authorization": {"Bearer " + jobToken}},
			JSONField: "value",
		}},
		{"program that prints the token", subjecttoken.Exec{Command: child(t, upstream.token(time.Hour))}},
		{"program with Google's protocol, which names the type", subjecttoken.Exec{
			Command: child(t, googleResponse(upstream.token(time.Hour))),
			Format:  subjecttoken.FormatGoogle,
		}},
		{"program with Kubernetes' protocol", subjecttoken.Exec{
			Command: child(t, `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"`+upstream.token(time.Hour)+`"}}`),
			Format:  subjecttoken.FormatKubernetes,
		}},
		{"memory", subjecttoken.Static{Value: upstream.token(time.Hour)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := time.Now()
			token, err := newSource(t, server.config(t, tt.provider)).TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checkDexToken(t, server, token, before)
		})
	}
}

// child returns the command that runs this binary as a program which prints
// output.
func child(t *testing.T, output string) subjecttoken.Secrets {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "output")
	writeFile(t, file, output)
	return subjecttoken.Secrets{self, "child", file}
}

func googleResponse(token string) string {
	return `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeIDToken + `","id_token":"` + token + `"}`
}

// checkDexToken checks that token is one of server for the API, and what it
// says of itself. Dex adds the client to the audience.
func checkDexToken(t *testing.T, server *dex, token *oauth2.Token, before time.Time) {
	t.Helper()
	c := claims(t, token.AccessToken)
	want := map[string]any{"iss": server.URL, "aud": []any{"api", clientID}, "type": "Bearer"}
	got := map[string]any{"iss": c["iss"], "aud": c["aud"], "type": token.Type()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("token mismatch (-want +got):\n%s", diff)
	}
	// Dex drops the fraction of a second that has passed: expires_in is 3599,
	// and counts from when the request was sent.
	if low, high := before.Add(3598*time.Second), before.Add(3601*time.Second); token.Expiry.Before(low) || token.Expiry.After(high) {
		t.Errorf("Expiry = %v, want about an hour after %v", token.Expiry, before)
	}
}

// TestDexWays tries the other ways to ask that Dex accepts.
func TestDexWays(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	file := subjecttoken.File{Path: upstream.tokenFile(t)}

	for _, tt := range []struct {
		name   string
		change func(*stssource.Config)
		aud    any
	}{
		{"secret in the body, where the form encodes it", func(c *stssource.Config) { c.AuthStyle = oauth2.AuthStyleInParams }, []any{"api", clientID}},
		{"no audience: the token is for the client itself", func(c *stssource.Config) { c.Scopes = nil }, clientID},
		{"two audiences by scope", func(c *stssource.Config) { c.Scopes = append(c.Scopes, "audience:server:client_id:second-api") }, []any{"api", "second-api", clientID}},
		{"audience and resource are passed over", func(c *stssource.Config) {
			c.Audiences, c.Resources = []string{"nobody", "else"}, []string{"https://nobody.example"}
		}, []any{"api", clientID}},
		{"an ID token", func(c *stssource.Config) { c.RequestedTokenType = subjecttoken.TypeIDToken }, []any{"api", clientID}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server.config(t, file)
			tt.change(&c)
			token, err := newSource(t, c).TokenContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.aud, claims(t, token.AccessToken)["aud"]); diff != "" {
				t.Errorf("aud mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// failure is what a caller learns of a failure, in the library's type and in
// that of x/oauth2, and how many token requests it took.
type failure struct {
	Stage     stssource.Stage
	Status    int
	Code      string
	Temporary bool
	Requests  int

	RetrieveCode   string // of the *oauth2.RetrieveError
	RetrieveStatus int    // zero: there is none
}

// TestDexRefusals checks what a caller learns of each mistake.
func TestDexRefusals(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	good := upstream.token(time.Hour)

	for _, tt := range []struct {
		name   string
		change func(*stssource.Config)
		want   failure
	}{
		{
			name:   "a subject token of a stranger: access_denied, with the status of bad client credentials",
			change: func(c *stssource.Config) { c.SubjectToken = subjecttoken.Static{Value: forged(t, upstream)} },
			want:   refusal(401, "access_denied"),
		},
		{
			name:   "an expired subject token that says so is not sent",
			change: func(c *stssource.Config) { c.SubjectToken = subjecttoken.Static{Value: upstream.token(-time.Minute)} },
			want:   failure{Stage: stssource.StageSubjectToken},
		},
		{
			name: "an expired subject token, where this machine's clock is behind",
			change: func(c *stssource.Config) {
				c.SubjectToken = subjecttoken.Static{Value: upstream.token(-time.Minute), Expiry: time.Now().Add(time.Hour)}
			},
			want: refusal(401, "access_denied"),
		},
		{
			name:   "a token type that Dex does not know: a code that is not registered",
			change: func(c *stssource.Config) { c.SubjectTokenType = subjecttoken.TypeJWT },
			want:   refusal(400, "request_not_supported"),
		},
		{
			name:   "a wrong client secret",
			change: func(c *stssource.Config) { c.ClientSecret = "wrong" },
			want:   refusal(401, "invalid_client"),
		},
		{
			name:   "an unknown client",
			change: func(c *stssource.Config) { c.ClientID = "nobody" },
			want:   refusal(401, "invalid_client"),
		},
		{
			name:   "a secret that is not form-encoded: its percent sign is no code",
			change: func(c *stssource.Config) { c.RawBasicAuth = true },
			want:   refusal(400, "invalid_request"),
		},
		{
			name:   "an unknown connector",
			change: func(c *stssource.Config) { c.EndpointParams = url.Values{"connector_id": {"nowhere"}} },
			want:   refusal(400, "invalid_request"),
		},
		{
			name:   "no connector",
			change: func(c *stssource.Config) { c.EndpointParams = nil },
			want:   refusal(400, "invalid_request"),
		},
		{
			name:   "an audience that does not trust the client: a lasting mistake with a passing status, tried four times",
			change: func(c *stssource.Config) { c.Scopes = []string{"audience:server:client_id:stranger"} },
			want: failure{
				Stage: stssource.StageExchange, Status: 500, Code: "server_error", Temporary: true, Requests: 4,
				RetrieveStatus: 500, RetrieveCode: "server_error",
			},
		},
		{
			name:   "JSON is not for Dex, which finds no grant type in it",
			change: func(c *stssource.Config) { c.Encoding, c.ClientID, c.ClientSecret = stssource.JSON, "", "" },
			want:   refusal(400, "unsupported_grant_type"),
		},
		{
			name:   "a slash too many: an answer in plain text",
			change: func(c *stssource.Config) { c.TokenURL += "/" },
			want:   failure{Stage: stssource.StageExchange, Status: 404, RetrieveStatus: 404},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := server.config(t, subjecttoken.Static{Value: good})
			tt.change(&c)
			before := server.requests.Load()
			_, err := newSource(t, c).TokenContext(t.Context())
			got := failureOf(t, err)
			got.Requests = int(server.requests.Load() - before)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("failure mismatch (-want +got):\n%s\n%v", diff, err)
			}
			checkSecrets(t, err, good, clientSecret, url.QueryEscape(clientSecret))
		})
	}
}

// refusal is a failure after one request, which says the same in both types.
func refusal(status int, code string) failure {
	return failure{
		Stage: stssource.StageExchange, Status: status, Code: code, Requests: 1,
		RetrieveStatus: status, RetrieveCode: code,
	}
}

func failureOf(t *testing.T, err error) failure {
	t.Helper()
	e, ok := errors.AsType[*stssource.Error](err)
	if !ok {
		t.Fatalf("error %v of type %T, want a *stssource.Error", err, err)
	}
	f := failure{Stage: e.Stage, Status: e.StatusCode, Code: e.Code, Temporary: e.Temporary}
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		f.RetrieveStatus, f.RetrieveCode = r.Response.StatusCode, r.ErrorCode
	}
	return f
}

func checkSecrets(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

// forged returns a token that claims to be of i, signed by somebody else.
func forged(t *testing.T, i *issuer) string {
	t.Helper()
	now := time.Now()
	return signJWT(newKey(t), 0, map[string]any{
		"iss": i.URL, "sub": "workload", "aud": "dex", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
}

// TestDexRotatedSubject has a subject token refused that has just been replaced
// in its file: the exchange reads it once more, and the caller sees no error.
func TestDexRotatedSubject(t *testing.T) {
	upstream := startIssuer(t)
	server := startDex(t, dexConfig{Upstream: upstream.URL})
	values := []string{forged(t, upstream), upstream.token(time.Hour)}
	source := newSource(t, server.config(t, replaced(values)))

	if _, err := source.TokenContext(t.Context()); err != nil {
		t.Error(err)
	}
	if got := server.requests.Load(); got != 2 {
		t.Errorf("%d requests, want 2: the refused one and the one with the new token", got)
	}
}

// replaced returns a provider that gives one value after another.
func replaced(values []string) subjecttoken.Provider {
	next := make(chan string, len(values))
	for _, value := range values {
		next <- value
	}
	return subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
		return subjecttoken.Token{Value: <-next}, nil
	})
}

// TestDexChain uses a token of one Dex as the subject of an exchange with
// another, whose upstream issuer is the first.
func TestDexChain(t *testing.T) {
	upstream := startIssuer(t)
	first := startDex(t, dexConfig{Upstream: upstream.URL})
	second := startDex(t, dexConfig{Upstream: first.URL, UserInfo: true})

	inner := newSource(t, first.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	outer := newSource(t, second.config(t, subjecttoken.FromTokenSource(inner)))

	before := time.Now()
	token, err := outer.TokenContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkDexToken(t, second, token, before)
}

// TestDexChainBroken checks that the reason for a failure at the first link is
// not lost on the way through the second.
func TestDexChainBroken(t *testing.T) {
	upstream := startIssuer(t)
	first := startDex(t, dexConfig{Upstream: upstream.URL})
	second := startDex(t, dexConfig{Upstream: first.URL, UserInfo: true})

	inner := newSource(t, first.config(t, subjecttoken.Static{Value: forged(t, upstream)}))
	outer := newSource(t, second.config(t, subjecttoken.FromTokenSource(inner)))

	_, err := outer.TokenContext(t.Context())
	want := failure{Stage: stssource.StageSubjectToken, RetrieveStatus: 401, RetrieveCode: "access_denied"}
	if diff := cmp.Diff(want, failureOf(t, err)); diff != "" {
		t.Errorf("failure mismatch (-want +got):\n%s", diff)
	}
	if got := second.requests.Load(); got != 0 {
		t.Errorf("%d requests to the second service, want none", got)
	}
}
