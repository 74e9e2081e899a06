package stssource_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// valid returns a Config that New accepts.
func valid() stssource.Config {
	return stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject"},
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		reason string
		edit   func(*stssource.Config)
		want   string // the whole message after "stssource: invalid Config: "
	}{
		{"nothing can be asked", func(c *stssource.Config) { c.TokenURL = "" },
			"TokenURL is empty: set it to the token endpoint, such as https://sts.googleapis.com/v1/token"},
		{"a relative URL", func(c *stssource.Config) { c.TokenURL = "sts.example.com/token" }, "TokenURL: no scheme: begin it with https://"},
		{"the network would see the token", func(c *stssource.Config) { c.TokenURL = "http://sts.example.com/token" },
			"TokenURL: plain http to sts.example.com would show the token to the network: use https"},
		{"net/http makes an Authorization header of it", func(c *stssource.Config) { c.TokenURL = "https://id:secret-canary@sts.example.com/" },
			"TokenURL: a user name or password in the URL would be sent as an Authorization header: remove it"},
		{"never sent", func(c *stssource.Config) { c.TokenURL += "#frag" }, "TokenURL: a fragment is never sent: remove it"},
		{"not a URL, and a port may be a secret", func(c *stssource.Config) { c.TokenURL = "https://sts.example.com:x y" },
			"TokenURL: not a URL: its host, port or %-escapes cannot be read"},
		{"nothing to exchange", func(c *stssource.Config) { c.SubjectToken = nil },
			"SubjectToken is nil: set it to a provider, such as subjecttoken.File{Path: ...}"},
		{"a provider checks itself", func(c *stssource.Config) { c.SubjectToken = subjecttoken.File{} }, "SubjectToken: "},
		{"and so does the actor's", func(c *stssource.Config) { c.ActorToken = subjecttoken.Env{} }, "ActorToken: "},
		{"the short name of a type", func(c *stssource.Config) { c.SubjectTokenType = "jwt" },
			`SubjectTokenType: "jwt" is not a token type: write urn:ietf:params:oauth:token-type:jwt`},
		{"an empty value would be omitted", func(c *stssource.Config) { c.Audiences = []string{"a", " "} }, "Audiences[1] is empty"},
		{"RFC 8693, section 2.1", func(c *stssource.Config) { c.Resources = []string{"/relative"} },
			`Resources[0]: the resource "/relative" is not an absolute URI (RFC 8693, section 2.1)`},
		{"RFC 8693, section 2.1", func(c *stssource.Config) { c.Resources = []string{"https://a.example/#frag"} },
			`Resources[0]: the resource "https://a.example/#frag" has a fragment (RFC 8693, section 2.1)`},
		{"scopes are joined by spaces", func(c *stssource.Config) { c.Scopes = []string{"a b"} },
			`Scopes[0]: "a b" has a space: give each scope an element of its own`},
		{"RFC 6749, section 3.3", func(c *stssource.Config) { c.Scopes = []string{`a"b`} },
			`Scopes[0]: "a\"b" has the character '"', which a scope cannot have (RFC 6749, section 3.3)`},
		{"two places for one parameter", func(c *stssource.Config) { c.EndpointParams = url.Values{"audience": {"a"}} },
			`EndpointParams: "audience" cannot be set here: set Audiences`},
		{"the same by its JSON name", func(c *stssource.Config) {
			c.Encoding = stssource.JSON
			c.EndpointParams = url.Values{"subjectToken": {"secret-canary"}}
		}, `EndpointParams: "subjectToken" cannot be set here: set SubjectToken`},
		{"never by accident", func(c *stssource.Config) { c.Header = http.Header{"authorization": {"secret-canary"}} },
			"Header: authorization cannot be set: use ClientID and ClientSecret, if the service wants them"},
		{"not the name of a field", func(c *stssource.Config) { c.Header = http.Header{"bad name": {"v"}} }, `Header: "bad name" is not the name of a field`},
		{"net/http would refuse it at each exchange", func(c *stssource.Config) { c.Header = http.Header{"X-Key": {"canary\nsecret"}} },
			"Header: the value of X-Key has a control character"},
		{"two parameters, one name", func(c *stssource.Config) {
			c.Encoding = stssource.JSON
			c.EndpointParams = url.Values{"a_b": {"1"}, "aB": {"2"}}
		}, `EndpointParams: "a_b" cannot be set here: "aB" is sent under the same name`},
		{"spelled to slip through", func(c *stssource.Config) {
			c.Encoding = stssource.JSON
			c.EndpointParams = url.Values{"grant__type": {"x"}}
		}, `EndpointParams: "grant__type" cannot be set here: it is always token-exchange`},
		{"a pointer to nothing", func(c *stssource.Config) { c.SubjectToken = (*subjecttoken.File)(nil) }, "SubjectToken is a nil *subjecttoken.File"},
		{"half of a client", func(c *stssource.Config) { c.ClientSecret = "secret-canary" }, "ClientSecret is set and ClientID is not"},
		{"a client authenticates in one way", func(c *stssource.Config) {
			c.ClientID, c.ClientSecret = "id", "secret-canary"
			c.ClientAssertion = subjecttoken.Static{Value: "assertion"}
		}, "ClientSecret and ClientAssertion are both set: a client authenticates in one way"},
		{"no such style", func(c *stssource.Config) { c.AuthStyle = 7 }, "AuthStyle 7 is not known"},
		{"a colon ends the ID", func(c *stssource.Config) { c.ClientID, c.ClientSecret, c.RawBasicAuth = "a:b", "s", true },
			"RawBasicAuth cannot carry a ClientID that has a colon"},
		{"no such encoding", func(c *stssource.Config) { c.Encoding = 9 }, "Encoding 9 is not known: use Form or JSON"},
		{"one member, one value", func(c *stssource.Config) { c.Encoding, c.Audiences = stssource.JSON, []string{"a", "b"} },
			"Audiences has 2 values: the JSON encoding has room for one"},
		{"not in Google's reference", func(c *stssource.Config) { c.Encoding, c.Resources = stssource.JSON, []string{"https://a.example"} },
			"Resources: the JSON encoding has no resource parameter"},
		{"an Authorization header makes Google fail", func(c *stssource.Config) { c.Encoding, c.ClientID = stssource.JSON, "id" },
			"ClientID, ClientSecret and ClientAssertion: the JSON encoding goes without client authentication, " +
				"since an Authorization header makes Google's service fail: use Form"},
		{"negative", func(c *stssource.Config) { c.Refresh.Before = -time.Second }, "Refresh.Before is negative"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			c := valid()
			tt.edit(&c)
			_, err := stssource.New(c)
			const prefix = "stssource: invalid Config: "
			if err == nil || !strings.HasPrefix(err.Error(), prefix+tt.want) || !strings.HasSuffix(tt.want, ": ") && err.Error() != prefix+tt.want {
				t.Errorf("%s:\n got %v\nwant %s%s", tt.reason, err, prefix, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestNewReportsAllMistakesAtOnce(t *testing.T) {
	_, err := stssource.New(stssource.Config{
		TokenURL:     "http://sts.example.com#x",
		Audiences:    []string{""},
		Scopes:       []string{"a b", ""},
		ClientSecret: "s",
		Query:        url.Values{"callback": {"f"}, "alt": {"proto"}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"plain http", "fragment", "SubjectToken is nil", "Audiences[0]", "Scopes[0]", "Scopes[1]", "ClientSecret"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no word of %q in:\n%v", part, err)
		}
	}
}

func TestNewAcceptsLoopbackAndInsecureHTTP(t *testing.T) {
	for _, tt := range []struct {
		url      string
		insecure bool
	}{
		{"http://127.0.0.1:1/token", false},
		{"http://[::1]:1/token", false},
		{"http://localhost/token", false},
		{"HTTPS://STS.GOOGLEAPIS.COM", false},
		{"http://sts.example.com/token", true},
	} {
		c := valid()
		c.TokenURL, c.InsecureHTTP = tt.url, tt.insecure
		if _, err := stssource.New(c); err != nil {
			t.Errorf("%s: %v", tt.url, err)
		}
	}
}

func TestQueryRules(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		edit        func(*stssource.Config)
		want        string // part of the error; empty: sent as it is
	}{
		{"$.xgafv", "2", nil, ""},
		{"$.xgafv", "3", nil, "must be 1 or 2"},
		{"access_token", "canary", nil, "InsecureTokenInQuery"},
		{"access_token", "canary", func(c *stssource.Config) { c.InsecureTokenInQuery = true }, ""},
		{"oauth_token", "canary", nil, "InsecureTokenInQuery"},
		{"oauth_token", "canary", func(c *stssource.Config) { c.InsecureTokenInQuery = true }, ""},
		{"alt", "json", nil, ""},
		{"alt", "proto", nil, "not JSON"},
		{"alt", "media", nil, "not JSON"},
		{"callback", "f", nil, "JSONP"},
		{"callback", "f", func(c *stssource.Config) { c.InsecureTokenInQuery = true }, "JSONP"},
		{"fields", "access_token,expires_in,token_type", nil, ""},
		{"fields", "*", nil, ""},
		{"fields", "token_type", nil, "leaves access_token out"},
		{"fields", "access_token", nil, "leaves expires_in out"},
		{"fields", "access_token", func(c *stssource.Config) { c.Refresh.DefaultLifetime = time.Hour }, ""},
		{"$alt", "json", nil, ""},
		{"$alt", "media", nil, "not JSON"},
		{"$callback", "f", nil, "JSONP"},
		{"$fields", "token_type", nil, "leaves access_token out"},
		{"key", "canary", nil, ""},
		{"prettyPrint", "false", nil, ""},
		{"prettyPrint", "0", nil, "must be true or false"},
		{"quotaUser", strings.Repeat("u", 40), nil, ""},
		{"quotaUser", strings.Repeat("u", 41), nil, "40 is the most"},
		{"uploadType", "media", nil, ""},
		{"upload_protocol", "raw", nil, ""},
		{"a-parameter-of-another-service", "x y&z", nil, ""},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			for _, place := range []string{"Query", "TokenURL"} {
				service := &ststest.Handler{}
				// The table is about what is sent; any answer will do.
				service.Script(ststest.JSON(200, map[string]any{"access_token": "a", "expires_in": 60}))
				c := valid()
				c.HTTPClient = &http.Client{Transport: service.RoundTripper()}
				if tt.edit != nil {
					tt.edit(&c)
				}
				q := url.Values{tt.name: {tt.value}}
				if place == "Query" {
					c.Query = q
				} else {
					c.TokenURL += "?" + q.Encode()
				}
				src, err := stssource.New(c)
				if tt.want != "" {
					if err == nil || !strings.Contains(err.Error(), place) || !strings.Contains(err.Error(), tt.want) {
						t.Errorf("in %s: got %v, want an error that mentions %q", place, err, tt.want)
					}
					if err != nil && strings.Contains(err.Error(), "canary") {
						t.Errorf("the error shows a secret: %v", err)
					}
					continue
				}
				if err != nil {
					t.Errorf("in %s: %v", place, err)
					continue
				}
				mustToken(t, src)
				if got := service.Requests()[0].Query.Get(tt.name); got != tt.value {
					t.Errorf("in %s: sent %q, want %q", place, got, tt.value)
				}
			}
		})
	}
}

// Everything that prints must hide the secrets of a Config and of a Source.
func TestPrintingShowsNoSecret(t *testing.T) {
	c := valid()
	c.TokenURL += "?key=canary-key"
	c.SubjectToken = subjecttoken.Static{Value: "canary-subject"}
	c.ActorToken = subjecttoken.Static{Value: "canary-actor"}
	c.ClientID, c.ClientSecret = "id", "canary-secret"
	c.Header = http.Header{"X-Api-Key": {"canary-header"}}
	c.Query = url.Values{"quotaUser": {"canary-query"}}
	c.EndpointParams = url.Values{"options": {"canary-param"}}
	src, err := stssource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	mustHide := func(how, text string) {
		t.Helper()
		if strings.Contains(text, "canary") {
			t.Errorf("%s shows a secret: %s", how, text)
		}
	}
	for _, v := range []any{c, &c, src, []any{c, src}, struct{ C stssource.Config }{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			mustHide(verb, fmt.Sprintf(verb, v))
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Errorf("json: %v", err)
		}
		mustHide("json", string(b))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		mustHide("slog", log.String())
	}
	if got, want := fmt.Sprint(src), "stssource.Source(sts.example.com)"; got != want {
		t.Errorf("a source prints as %s, want %s", got, want)
	}
}

func TestConfigIsCopied(t *testing.T) {
	service := &ststest.Handler{}
	c := valid()
	c.HTTPClient = &http.Client{Transport: service.RoundTripper()}
	c.Audiences, c.Scopes = []string{"a"}, []string{"s"}
	c.EndpointParams = url.Values{"p": {"v"}}
	src, err := stssource.New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Audiences[0], c.Scopes[0], c.EndpointParams["p"][0] = "changed", "changed", "changed"
	mustToken(t, src)
	p := service.Requests()[0].Params
	if p.Get("audience") != "a" || p.Get("scope") != "s" || p.Get("p") != "v" {
		t.Errorf("a later change of the Config reached the request: %v", p)
	}
}

var _ oauth2.TokenSource = (*stssource.Source)(nil)
