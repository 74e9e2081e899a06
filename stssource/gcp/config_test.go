package gcp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

func TestRequest(t *testing.T) {
	fingerprint := sha256.Sum256([]byte("certificate"))
	bound := base64.RawURLEncoding.EncodeToString(fingerprint[:])
	common := values(
		"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"requested_token_type", subjecttoken.TypeAccessToken,
		"subject_token", "subject-token",
		"subject_token_type", subjecttoken.TypeJWT,
		"audience", audience,
		"scope", gcp.CloudPlatform,
	)
	for _, tt := range []struct {
		name     string
		change   func(*gcp.Config)
		path     string
		encoding string
		params   url.Values // in place of those of common; an empty value takes one out
	}{
		{name: "default"},
		{
			name:   "scopes",
			change: func(c *gcp.Config) { c.Scopes = []string{"a", "b"} },
			params: values("scope", "a b"),
		},
		{
			name:     "v1beta has the encoding of its reference",
			change:   func(c *gcp.Config) { c.Endpoint.Version = gcp.V1Beta },
			path:     "/v1beta/token",
			encoding: "json",
		},
		{
			name:   "v1beta as a form",
			change: func(c *gcp.Config) { c.Endpoint.Version, c.Form = gcp.V1Beta, true },
			path:   "/v1beta/token",
		},
		{
			name:     "v1beta by its URL",
			change:   func(c *gcp.Config) { c.Endpoint.URL = "https://sts.example/v1beta/token" },
			path:     "/v1beta/token",
			encoding: "json",
		},
		{
			name: "workforce",
			change: func(c *gcp.Config) {
				c.Audience, c.SubjectTokenType, c.WorkforcePoolUserProject = workforce, subjecttoken.TypeSAML2, "project"
			},
			params: values("audience", workforce, "subject_token_type", subjecttoken.TypeSAML2, "options", `{"userProject":"project"}`),
		},
		{
			name: "actor",
			change: func(c *gcp.Config) {
				c.ActorToken, c.ActorTokenType = subjecttoken.Static{Value: "actor"}, subjecttoken.TypeIDToken
			},
			params: values("actor_token", "actor", "actor_token_type", subjecttoken.TypeIDToken),
		},
		{
			name: "all options, the members in order and not escaped for HTML",
			change: func(c *gcp.Config) {
				c.BindCertFingerprint = bound
				c.AccessBoundary = &gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{
					AvailableResource: bucket, AvailablePermissions: []string{viewer},
					AvailabilityCondition: &gcp.AvailabilityCondition{Expression: "1 < 2 && true", Title: "t"},
				}}}
			},
			params: values("options", `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"`+bucket+
				`","availablePermissions":["`+viewer+`"],"availabilityCondition":{"expression":"1 < 2 && true","title":"t"}}]},`+
				`"bindCertFingerprint":"`+bound+`"}`),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				config := w.config()
				if tt.change != nil {
					tt.change(&config)
				}
				mustToken(t, mustNew(t, config))
				got := w.request(t)
				want := make(url.Values)
				for name, v := range common {
					want[name] = v
				}
				for name, v := range tt.params {
					want[name] = v
				}
				if diff := cmp.Diff(want, got.Params); diff != "" {
					t.Errorf("parameters (-want +got):\n%s", diff)
				}
				if got.Path != or(tt.path, "/v1/token") || got.Encoding != or(tt.encoding, "form") {
					t.Errorf("%s as %s, want %s as %s", got.Path, got.Encoding, tt.path, tt.encoding)
				}
			})
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*gcp.Config)
		want   []string
	}{
		{"all at once", func(c *gcp.Config) {
			*c = gcp.Config{
				Endpoint:       gcp.Endpoint{Version: "v3"},
				ActorTokenType: "x",
				Scopes:         []string{"a b"},
				ClientSecret:   "canary",
				QuotaProject:   "a b",
				AccessBoundary: &gcp.AccessBoundary{},
				Refresh:        stssource.Refresh{Timeout: -1},
			}
		}, []string{
			"gcp: invalid Config: Audience: is empty", `Endpoint.Version: "v3"`, "ActorTokenType: ", "Scopes[0]: ", "ClientSecret is set and ClientID is not",
			"SubjectToken is nil", `QuotaProject: "a b"`, "AccessBoundary.Rules: there are 0", "Refresh.Timeout is negative",
		}},
		{"impersonation", func(c *gcp.Config) {
			c.Scopes = []string{"a b"}
			c.Impersonate = &gcp.ImpersonateConfig{Lifetime: time.Minute, Delegates: []string{robot, "x"}, Refresh: stssource.Refresh{Before: -1}}
		}, []string{
			"Impersonate: Refresh.Before is negative",
			"Impersonate.ServiceAccount: is empty", "Impersonate.Lifetime: 1m0s is not between 600 and 43200",
			`Impersonate.Delegates: element 1, "x"`, `Impersonate.Scopes: element 0, "a b"`,
		}},
		{"a boundary with impersonation", func(c *gcp.Config) {
			c.AccessBoundary, c.Impersonate = oneRule(), &gcp.ImpersonateConfig{ServiceAccount: robot}
		}, []string{"AccessBoundary: would bind the federated token and not those of the service account"}},
		{"a boundary with a workforce pool", func(c *gcp.Config) {
			c.AccessBoundary, c.Audience = oneRule(), workforce
		}, []string{"AccessBoundary: workforce pools have none"}},
		{"v1beta: SAML", func(c *gcp.Config) {
			c.Endpoint.Version, c.SubjectTokenType = gcp.V1Beta, subjecttoken.TypeSAML2
		}, []string{"SubjectTokenType: v1beta does not take", "use v1"}},
		{"v1beta: no subject token", func(c *gcp.Config) { c.Endpoint.Version, c.SubjectToken = gcp.V1Beta, nil },
			[]string{"SubjectToken is nil"}},
		{"v1beta: actor", func(c *gcp.Config) {
			c.Endpoint.Version, c.ActorToken = gcp.V1Beta, subjecttoken.Static{Value: "a"}
		}, []string{"ActorToken: v1beta takes none"}},
		{"v1beta: certificate binding", func(c *gcp.Config) {
			c.Endpoint.Version, c.BindCertFingerprint = gcp.V1Beta, strings.Repeat("A", 43)
		}, []string{"BindCertFingerprint: v1beta has none"}},
		{"v1beta: client credentials do not go into JSON", func(c *gcp.Config) {
			c.Endpoint.Version, c.ClientID = gcp.V1Beta, "id"
		}, []string{"use Form"}},
		{"a type that Google does not know", func(c *gcp.Config) { c.SubjectTokenType = subjecttoken.TypeRefreshToken },
			[]string{"SubjectTokenType: Google's service does not take"}},
		{"a fingerprint in hexadecimal", func(c *gcp.Config) { c.BindCertFingerprint = strings.Repeat("a", 64) },
			[]string{"BindCertFingerprint: is not base64.RawURLEncoding of a SHA-256"}},
		{"a fingerprint in the other base64", func(c *gcp.Config) { c.BindCertFingerprint = strings.Repeat("+", 42) + "8" },
			[]string{"BindCertFingerprint: is not base64.RawURLEncoding of a SHA-256"}},
		{"options that have a field", func(c *gcp.Config) {
			c.ExtraOptions = map[string]any{"userProject": "p", "accessBoundary": nil, "bindCertFingerprint": ""}
		}, []string{
			`ExtraOptions: "userProject" cannot be set here: set WorkforcePoolUserProject`,
			`ExtraOptions: "accessBoundary" cannot be set here: set AccessBoundary`,
			`ExtraOptions: "bindCertFingerprint" cannot be set here: set BindCertFingerprint`,
		}},
		{"options that are no JSON", func(c *gcp.Config) { c.ExtraOptions = map[string]any{"x": func() {}} },
			[]string{"ExtraOptions: cannot be encoded as JSON"}},
		{"options of v1 have a limit, too", func(c *gcp.Config) { c.ExtraOptions = map[string]any{"x": strings.Repeat("x", 4<<20)} },
			[]string{"ExtraOptions: make options of 4194312 characters, and v1 takes 4194304"}},
		{"a user project that is none", func(c *gcp.Config) { c.Audience, c.WorkforcePoolUserProject = workforce, "a/b" },
			[]string{`WorkforcePoolUserProject: "a/b" is not the number or ID of a project`}},
		{"a host that asks for a certificate and no client that has one", func(c *gcp.Config) { c.Endpoint.MTLS, c.HTTPClient = true, nil },
			[]string{"HTTPClient: is nil, and Endpoint.MTLS needs one"}},
		{"the provider's own check", func(c *gcp.Config) { c.Endpoint.Version, c.SubjectToken = gcp.V1Beta, subjecttoken.File{} },
			[]string{"SubjectToken: file"}},
		{"Refresh of the impersonated token", func(c *gcp.Config) {
			c.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot, Refresh: stssource.Refresh{Before: -1}}
		}, []string{"Refresh.Before is negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := newWorld().config()
			tt.change(&config)
			src, err := gcp.New(config)
			checkMentions(t, err, tt.want...)
			if src != nil {
				t.Error("there is a Source with the error")
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func oneRule() *gcp.AccessBoundary {
	return &gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{AvailableResource: bucket, AvailablePermissions: []string{viewer}}}}
}

// What is wrong is told once, though more than one check would find it.
func TestConfigMistakesAreToldOnce(t *testing.T) {
	for name, change := range map[string]func(*gcp.Config){
		"universe": func(c *gcp.Config) {
			c.Endpoint.Universe, c.Impersonate = "x", &gcp.ImpersonateConfig{ServiceAccount: robot}
		},
		"URL":      func(c *gcp.Config) { c.Endpoint.URL = "http://sts.example/token" },
		"audience": func(c *gcp.Config) { c.Audience = "" },
		"provider": func(c *gcp.Config) { c.SubjectToken = nil },
	} {
		config := newWorld().config()
		change(&config)
		_, err := gcp.New(config)
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProjects(t *testing.T) {
	for _, project := range []string{"my-project-az09", "123456", "example.com:my_project", "AZ"} {
		config := newWorld().config()
		config.QuotaProject = project
		if _, err := gcp.New(config); err != nil {
			t.Error(err)
		}
	}
}

// Where only the provider knows the type, v1beta's limits hold as well, and v1's
// do not.
func TestV1BetaTypeOfProvider(t *testing.T) {
	t.Setenv("GCP_TEST_ENDED", unsignedJWT(time.Unix(1, 0)))
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		config := w.config()
		config.Endpoint.Version = gcp.V1Beta
		config.SubjectToken = subjecttoken.Static{Value: "saml", Type: subjecttoken.TypeSAML2}
		_, err := mustNew(t, config).Token()
		checkMentions(t, err, "subject token: ", "v1beta does not take", "saml2")
		if n := len(w.sts.Requests()); n != 0 {
			t.Errorf("%d requests were made", n)
		}
		config.Endpoint.Version = gcp.V1
		mustToken(t, mustNew(t, config))
		config.Endpoint.Version = gcp.V1Beta
		config.SubjectToken = subjecttoken.File{Path: "testdata/missing"}
		_, err = mustNew(t, config).Token()
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the provider's error is lost: %v", err)
		}
		for provider, name := range map[subjecttoken.Provider]string{
			subjecttoken.Env{Name: "GCP_TEST_ENDED"}:                    "subjecttoken.Env(GCP_TEST_ENDED)",
			subjecttoken.Static{Value: unsignedJWT(time.Now().Add(-1))}: "subjecttoken.Static",
		} {
			config.SubjectToken = provider
			_, err = mustNew(t, config).Token()
			checkMentions(t, err, name, "expired")
		}
	})
}

// Google's clients do not form-encode the parts of Basic credentials, and send
// an ID without a secret in the same way.
func TestClientCredentials(t *testing.T) {
	for _, tt := range []struct{ id, secret, want string }{
		{"id+/%", "se cret&", "id+/%:se cret&"},
		{"id", "", "id:"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.sts.Script(ststest.JSON(200, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 60}))
			config := w.config()
			config.ClientID, config.ClientSecret = tt.id, tt.secret
			config.Audience, config.WorkforcePoolUserProject = workforce, "project"
			mustToken(t, mustNew(t, config))
			got := w.sts.Requests()[0]
			if want := "Basic " + base64.StdEncoding.EncodeToString([]byte(tt.want)); got.Header.Get("Authorization") != want {
				t.Errorf("Authorization %q, want %q", got.Header.Get("Authorization"), want)
			}
			if got.Params.Has("client_id") || got.Params.Has("options") {
				t.Errorf("the body has client_id or options: %v", got.Params)
			}
		})
	}
}

func TestQuotaProject(t *testing.T) {
	for _, project := range []string{"", "my-project"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			config := w.config()
			config.QuotaProject = project
			resp, err := mustNew(t, config).Client(w.client()).Get("https://storage.googleapis.com/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			var want []string // not even an empty value
			if project != "" {
				want = []string{project}
			}
			if diff := cmp.Diff(want, w.storage[0]["X-Goog-User-Project"]); resp.StatusCode != 200 || diff != "" {
				t.Errorf("%s, project (-want +got):\n%s", resp.Status, diff)
			}
			if got := w.request(t).Header.Get("X-Goog-User-Project"); got != "" {
				t.Errorf("the token service was told the project %q", got)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	impersonate := &gcp.ImpersonateConfig{ServiceAccount: robot}
	for _, tt := range []struct {
		name   string
		change func(*gcp.Config)
		want   string // the end of the header
	}{
		{"a value", func(*gcp.Config) {}, " google-byoid-sdk source/programmatic sa-impersonation/false config-lifetime/false"},
		{"a file", func(c *gcp.Config) { c.SubjectToken = subjecttoken.File{Path: "testdata/subject-token"} }, " source/file sa-impersonation/false config-lifetime/false"},
		{"a URL", func(c *gcp.Config) { c.SubjectToken = subjecttoken.URL{URL: "https://idp.example/"} }, " source/url sa-impersonation/false config-lifetime/false"},
		{"a program", func(c *gcp.Config) { c.SubjectToken = subjecttoken.Exec{Command: []string{"echo", "subject-token"}} }, " source/executable sa-impersonation/false config-lifetime/false"},
		{"impersonation", func(c *gcp.Config) { c.Impersonate = impersonate }, " sa-impersonation/true config-lifetime/false"},
		{"v1beta", func(c *gcp.Config) {
			c.Endpoint.Version, c.SubjectToken = gcp.V1Beta, subjecttoken.File{Path: "testdata/subject-token"}
		}, " source/file sa-impersonation/false config-lifetime/false"},
		{"another host", func(c *gcp.Config) { c.Endpoint.URL = "https://sts.googleapis.com.example/v1/token" }, ""},
		{"a universe", func(c *gcp.Config) { c.Endpoint.Universe = "universe.example" }, " config-lifetime/false"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			config := w.config()
			tt.change(&config)
			config.HTTPClient = &http.Client{Transport: ststest.RoundTripper(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Host == "idp.example" {
					_, _ = rw.Write([]byte("subject-token"))
					return
				}
				w.ServeHTTP(rw, r)
			}))}
			mustToken(t, mustNew(t, config))
			got := w.request(t).Header.Get("X-Goog-Api-Client")
			if !strings.HasSuffix(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got %q, want the end %q", got, tt.want)
			}
		})
	}
}

func TestModuleVersion(t *testing.T) {
	const path = "github.com/go-sts/sts"
	other := &debug.Module{Path: "other.example", Version: "v9.9.9"}
	for _, tt := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"no build information", nil, "unknown"},
		{"a dependency", &debug.BuildInfo{Main: *other, Deps: []*debug.Module{other, {Path: path, Version: "v1.2.3"}}}, "v1.2.3"},
		{"the main module", &debug.BuildInfo{Main: debug.Module{Path: path, Version: "v1.2.3"}, Deps: []*debug.Module{other}}, "v1.2.3"},
		{"the main module, as it is developed", &debug.BuildInfo{Main: debug.Module{Path: path, Version: "(devel)"}}, "unknown"},
	} {
		if got := gcp.VersionIn(tt.info); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	config := newWorld().config()
	config.ClientID, config.ClientSecret = "id", "canary"
	config.SubjectToken = subjecttoken.Static{Value: "canary"}
	config.Endpoint.URL = "https://h.example/token?key=canary"
	config.ExtraOptions = map[string]any{"x": "canary"}
	config.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot}
	var out strings.Builder
	for _, v := range []any{config, &config, struct{ C gcp.Config }{config}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, verb, v)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		out.Write(b)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "config", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "config", v)
	}
	if strings.Contains(out.String(), "canary") || strings.Contains(out.String(), fmt.Sprintf("%x", "canary")) {
		t.Errorf("a secret shows: %s", out.String())
	}
	if !strings.Contains(out.String(), audience) || !strings.Contains(out.String(), robot) {
		t.Errorf("what is no secret does not show: %s", out.String())
	}
}

// A key in the query of a URL is a secret wherever there is a URL.
func TestURLsHideTheirQuery(t *testing.T) {
	const secret, host = "?key=canary", "h.example"
	endpoint := gcp.Endpoint{URL: "https://" + host + "/token" + secret}
	method := "https://" + host + generate + secret
	for _, v := range []any{
		endpoint, &endpoint, gcp.DownscopeConfig{Endpoint: endpoint}, gcp.DownscoperConfig{Endpoint: endpoint}, gcp.ImpersonateConfig{URL: method}, gcp.IDTokenConfig{URL: method},
	} {
		var out strings.Builder
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&out, verb, v)
		}
		b, _ := json.Marshal(v) // a DownscopeConfig has functions
		out.Write(b)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		if strings.Contains(out.String(), "canary") || !strings.Contains(out.String(), host) {
			t.Errorf("%T shows the secret, or not the host: %s", v, out.String())
		}
	}
	if url, err := endpoint.TokenURL(); url != endpoint.URL {
		t.Errorf("TokenURL() = %s, %v", url, err)
	}
}

// A Config may be changed once New has returned.
func TestConfigIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		config := w.config()
		config.Scopes = []string{"scope"}
		config.AccessBoundary = oneRule()
		src := mustNew(t, config)
		config.Scopes[0] = "changed"
		config.AccessBoundary.Rules[0].AvailableResource = "changed"
		mustToken(t, src)
		p := w.request(t).Params
		if p.Get("scope") != "scope" || strings.Contains(p.Get("options"), "changed") {
			t.Errorf("sent %v", p)
		}
	})
}

// The federated token is kept behind the impersonated one, and nobody is told
// of it.
func TestImpersonateTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		var attempts []stssource.Attempt
		config := w.config()
		config.Scopes = []string{"scope"}
		config.Endpoint.Universe = "universe.example"
		config.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot}
		config.Refresh.Observe = func(a stssource.Attempt) { attempts = append(attempts, a) }
		mustToken(t, mustNew(t, config))
		synctest.Wait()
		call := w.iamCalls()[0]
		if call.Host != "iamcredentials.universe.example" || cmp.Diff([]any{"scope"}, call.Body["scope"]) != "" || len(attempts) != 1 {
			t.Errorf("call %+v, %d attempts", call, len(attempts))
		}
		if got := w.request(t); got.Params.Get("scope") != gcp.CloudPlatform || got.Host != "sts.universe.example" {
			t.Errorf("exchange %+v", got)
		}
		// Without impersonation the same observer is told of the exchange.
		config.Impersonate = nil
		mustToken(t, mustNew(t, config))
		synctest.Wait()
		if len(attempts) != 2 {
			t.Errorf("%d attempts were told", len(attempts))
		}
		attempts = attempts[:1]
		// Its own values are not overridden.
		own := newWorld()
		own.answer(ststest.Reply{Status: 200, Body: `{"accessToken":"t","expireTime":"2100-01-01T00:00:00Z"}`})
		config.Impersonate = &gcp.ImpersonateConfig{
			ServiceAccount: robot, Scopes: []string{"own"}, Universe: "googleapis.com", HTTPClient: own.client(),
			Refresh: stssource.Refresh{Timeout: time.Second},
		}
		mustToken(t, mustNew(t, config))
		synctest.Wait()
		call = own.iamCalls()[0]
		if call.Host != "iamcredentials.googleapis.com" || cmp.Diff([]any{"own"}, call.Body["scope"]) != "" || len(attempts) != 1 {
			t.Errorf("call %+v, %d attempts", call, len(attempts))
		}
	})
}

// The client of a Config asks for the subject token as well, without the token
// that a layer of its transport would add.
func TestSubjectTokenByHTTPClient(t *testing.T) {
	asked := make(map[string]http.Header)
	w := newWorld()
	client := func(name string) *http.Client {
		base := ststest.RoundTripper(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host != "idp.example" {
				w.ServeHTTP(rw, r)
				return
			}
			asked[name] = r.Header
			_, _ = rw.Write([]byte("token"))
		}))
		stray := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "stray"})
		return &http.Client{Transport: &oauth2.Transport{Source: stray, Base: &stssource.Transport{Base: base}}}
	}
	config := w.config()
	config.HTTPClient = client("of the Config")
	config.SubjectToken = subjecttoken.URL{URL: "https://idp.example/"}
	config.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot}
	mustToken(t, mustNew(t, config))
	if h := asked["of the Config"]; h == nil || h.Get("Authorization") != "" {
		t.Errorf("the subject token was asked for with %v", h)
	}
	if u := config.SubjectToken.(subjecttoken.URL); u.Client != nil {
		t.Error("New changed the Config")
	}
	config.SubjectToken = subjecttoken.URL{URL: "https://idp.example/", Client: client("own")}
	mustToken(t, mustNew(t, config))
	if asked["own"] == nil {
		t.Error("a client of the provider's own was not used")
	}
}

// A transport that is a nil pointer to one that adds a token is none, as it is
// to package stssource.
func TestNilTransport(t *testing.T) {
	for _, transport := range []http.RoundTripper{(*oauth2.Transport)(nil), (*stssource.Transport)(nil)} {
		config := newWorld().config()
		config.HTTPClient = &http.Client{Transport: transport}
		config.SubjectToken = subjecttoken.URL{URL: "https://idp.example/"}
		config.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot}
		mustNew(t, config)
	}
}
