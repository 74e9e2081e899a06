package subjecttoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// Where there is no metadata server, nobody answers.
func TestMetadataElsewhere(t *testing.T) {
	boom := errors.New("no route to host")
	for _, row := range []struct {
		p    func(*http.Client) subjecttoken.Provider
		host string
		want string
	}{
		{
			p: func(c *http.Client) subjecttoken.Provider {
				return subjecttoken.GCEMetadata{Audience: canary, Client: c}
			},
			host: "metadata.google.internal",
			want: "GCE metadata identity token: url http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity: " +
				"no answer: no route to host: run this on Google Cloud, or set the environment variable GCE_METADATA_HOST to the host of its metadata server",
		},
		{
			p: func(c *http.Client) subjecttoken.Provider {
				return subjecttoken.AzureManagedIdentity{Resource: canary, Client: c}
			},
			host: "169.254.169.254",
			want: "Azure managed identity token: url http://169.254.169.254/metadata/identity/oauth2/token: no answer: no route to host: " +
				"run this on Azure; on App Service and Container Apps, give the app a managed identity, which sets the environment variables IDENTITY_ENDPOINT and IDENTITY_HEADER",
		},
	} {
		t.Run(row.host, func(t *testing.T) {
			platform(t, nil)
			synctest.Test(t, func(t *testing.T) {
				p := row.p(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host != row.host {
						t.Errorf("asked %s, want %s", r.URL.Host, row.host)
					}
					return nil, boom
				})})
				_, err := p.SubjectToken(t.Context())
				if e := refused(t, err); err.Error() != row.want || !errors.Is(err, boom) || !e.Temporary {
					t.Errorf("error (temporary: %v):\n%v\nwant:\n%s", e.Temporary, err, row.want)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err = p.SubjectToken(ctx)
				if e := refused(t, err, "given up"); e.Temporary || !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "run this") {
					t.Errorf("error %v (temporary: %v), want one that gives no advice, as the caller gave up", err, e.Temporary)
				}
			})
		})
	}
}

// On its platform a preset asks the right question and gives the token without
// a type.
func TestPresetsByHTTP(t *testing.T) {
	const audience = "a&b=c //iam.test/ü+"
	for _, row := range []struct {
		name   string
		p      subjecttoken.Provider
		env    map[string]string // "$host" stands for the service
		body   string            // "%s" stands for the token
		path   string
		query  url.Values
		header http.Header
	}{
		{
			name: "GitHub Actions", p: subjecttoken.GitHubActions{Audience: audience},
			env:  map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://$host/1/idtoken/2?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request\n"},
			body: `{"count": 1, "value": %q}`, path: "/1/idtoken/2", query: url.Values{"api-version": {"2.0"}, "audience": {audience}},
			header: http.Header{"Authorization": {"Bearer request"}, "Accept": {"application/json"}},
		},
		{
			name: "GitHub Actions, no audience, no query", p: subjecttoken.GitHubActions{},
			env:  map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://$host/idtoken", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request"},
			body: `{"value": %q}`, path: "/idtoken", query: url.Values{},
			header: http.Header{"Authorization": {"Bearer request"}, "Accept": {"application/json"}},
		},
		{
			name: "GitHub Actions, no query", p: subjecttoken.GitHubActions{Audience: audience},
			env:  map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://$host/idtoken", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request"},
			body: `{"value": %q}`, path: "/idtoken", query: url.Values{"audience": {audience}},
			header: http.Header{"Authorization": {"Bearer request"}, "Accept": {"application/json"}},
		},
		{
			name: "GCE", p: subjecttoken.GCEMetadata{Audience: audience}, env: map[string]string{"GCE_METADATA_HOST": "$host"},
			body: "%s\n", path: "/computeMetadata/v1/instance/service-accounts/default/identity", query: url.Values{"audience": {audience}, "format": {"full"}},
			header: http.Header{"Metadata-Flavor": {"Google"}, "Accept": {"*/*"}},
		},
		{
			name: "App Service", p: subjecttoken.AzureManagedIdentity{Resource: audience},
			env:  map[string]string{"IDENTITY_ENDPOINT": "http://$host/msi/token", "IDENTITY_HEADER": "secret"},
			body: `{"access_token": %q, "expires_on": "1", "token_type": "Bearer"}`, path: "/msi/token", query: url.Values{"api-version": {"2019-08-01"}, "resource": {audience}},
			header: http.Header{"X-Identity-Header": {"secret"}, "Accept": {"application/json"}},
		},
		{
			name: "App Service, user-assigned", p: subjecttoken.AzureManagedIdentity{Resource: audience, ClientID: "id&"},
			env:  map[string]string{"IDENTITY_ENDPOINT": "http://$host/msi/token/?a=b", "IDENTITY_HEADER": "secret"},
			body: `{"access_token": %q}`, path: "/msi/token/", query: url.Values{"a": {"b"}, "api-version": {"2019-08-01"}, "resource": {audience}, "client_id": {"id&"}},
			header: http.Header{"X-Identity-Header": {"secret"}, "Accept": {"application/json"}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header.Del("User-Agent")
				r.Header.Del("Accept-Encoding")
				if r.Method != "GET" || r.URL.Path != row.path {
					t.Errorf("request is %s %s, want GET %s", r.Method, r.URL.Path, row.path)
				}
				if diff := cmp.Diff(row.query, r.URL.Query()); diff != "" {
					t.Errorf("query mismatch (-want +got):\n%s", diff)
				}
				if strings.Contains(r.RequestURI, "+") || strings.HasSuffix(r.RequestURI, "?") {
					t.Errorf("request for %s has a space that only forms have, or an empty query", r.RequestURI)
				}
				if diff := cmp.Diff(row.header, r.Header); diff != "" {
					t.Errorf("header mismatch (-want +got):\n%s", diff)
				}
				fmt.Fprintf(w, row.body, jwt)
			}))
			defer server.Close()
			env := make(map[string]string)
			for name, value := range row.env {
				env[name] = strings.ReplaceAll(value, "$host", server.Listener.Addr().String())
			}
			platform(t, env)
			got, err := row.p.SubjectToken(t.Context())
			if diff := cmp.Diff(plain{Value: jwt, Expiry: time.Unix(expSeconds, 0)}, plain(got)); diff != "" || err != nil {
				t.Errorf("error %v, mismatch (-want +got):\n%s", err, diff)
			}
		})
	}
}

// The endpoints that no test may ask are asked over a transport without a
// network.
func TestAzureEndpoints(t *testing.T) {
	for _, row := range []struct {
		name   string
		a      subjecttoken.AzureManagedIdentity
		env    map[string]string
		url    string
		header http.Header
	}{
		{
			name: "virtual machine", a: subjecttoken.AzureManagedIdentity{Resource: "api://sts"},
			url:    "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=api%3A%2F%2Fsts",
			header: http.Header{"Metadata": {"true"}, "Accept": {"application/json"}},
		},
		{
			name: "virtual machine, user-assigned", a: subjecttoken.AzureManagedIdentity{Resource: "api://sts", ClientID: "id"},
			url:    "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=id&resource=api%3A%2F%2Fsts",
			header: http.Header{"Metadata": {"true"}, "Accept": {"application/json"}},
		},
		{
			name: "App Service on Linux", a: subjecttoken.AzureManagedIdentity{Resource: "r"},
			env:    map[string]string{"IDENTITY_ENDPOINT": "http://172.16.1.3:8081/msi/token", "IDENTITY_HEADER": "secret"},
			url:    "http://172.16.1.3:8081/msi/token?api-version=2019-08-01&resource=r",
			header: http.Header{"X-Identity-Header": {"secret"}, "Accept": {"application/json"}},
		},
		{
			name: "shared address", a: subjecttoken.AzureManagedIdentity{Resource: "r"},
			env:    map[string]string{"IDENTITY_ENDPOINT": "http://100.64.100.2/msi/token", "IDENTITY_HEADER": "secret"},
			url:    "http://100.64.100.2/msi/token?api-version=2019-08-01&resource=r",
			header: http.Header{"X-Identity-Header": {"secret"}, "Accept": {"application/json"}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			platform(t, row.env)
			row.a.Client = &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.String() != row.url {
					t.Errorf("asked %s, want %s", r.URL, row.url)
				}
				if diff := cmp.Diff(row.header, r.Header); diff != "" {
					t.Errorf("header mismatch (-want +got):\n%s", diff)
				}
				return answer(200, `{"access_token": "token"}`), nil
			})}
			if got, err := row.a.SubjectToken(t.Context()); err != nil || got.Value != "token" {
				t.Errorf("SubjectToken() = %q, %v; want token", got.Value, err)
			}
		})
	}
}

// A token is good for minutes: each exchange gets a new one, with what the
// environment has then.
func TestGitHubActionsAsksAnew(t *testing.T) {
	expiry := []time.Time{time.Now().Add(-time.Minute), time.Now().Add(5 * time.Minute)} // the first one ends during the job
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		fmt.Fprintf(w, `{"value": %q}`, unsigned(fmt.Sprintf(`{"exp": %d}`, expiry[len(asked)-1].Unix())))
	}))
	defer server.Close()
	provider := subjecttoken.GitHubActions{}
	for i, name := range []string{"first", "second"} {
		platform(t, map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": server.URL + "/" + name + "?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": name})
		got, err := provider.SubjectToken(t.Context())
		if err != nil || got.Expiry.Unix() != expiry[i].Unix() {
			t.Errorf("token %d ends at %v, error %v; want %v", i, got.Expiry, err, expiry[i])
		}
	}
	if diff := cmp.Diff([]string{"/first Bearer first", "/second Bearer second"}, asked); diff != "" {
		t.Errorf("requests mismatch (-want +got):\n%s", diff)
	}
}

// Whatever the service answers, neither the request token nor the query nor
// the answer is shown.
func TestPresetsHideSecrets(t *testing.T) {
	reply := func(status int, body string) func() (*http.Response, error) {
		return func() (*http.Response, error) {
			res := answer(status, body)
			res.Header.Set("Location", "https://"+canary+".test/?q="+canary)
			return res, nil
		}
	}
	for _, row := range []struct {
		name      string
		answer    func() (*http.Response, error)
		err       string
		status    int
		asked     int
		temporary bool
	}{
		{name: "401", answer: reply(401, canary), err: "status 401 (Unauthorized)", status: 401, asked: 1},
		{name: "403", answer: reply(403, canary), err: "status 403 (Forbidden)", status: 403, asked: 1},
		{name: "500", answer: reply(500, canary), err: "status 500 (Internal Server Error)", status: 500, asked: 4, temporary: true},
		{name: "503", answer: reply(503, canary), err: "status 503 (Service Unavailable)", status: 503, asked: 4, temporary: true},
		{name: "redirect", answer: reply(302, canary), err: "status 302 (Found) redirects, which is not followed, as it would get the header, too", status: 302, asked: 1},
		{name: "not JSON", answer: reply(200, `"`+canary), err: "the JSON ends in the middle", status: 200, asked: 1},
		{name: "other JSON", answer: reply(200, `{"`+canary+`": 1}`), err: "there is no JSON field", status: 200, asked: 1},
		{name: "lines", answer: reply(200, `{"value": "`+canary+`\na", "access_token": "`+canary+`\na"}`), err: "more than one line", status: 200, asked: 1},
		{name: "network", answer: broken(fmt.Errorf("sending Bearer %s: %w", canary, fs.ErrClosed)), err: "no answer: sending", asked: 4, temporary: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			platform(t, map[string]string{
				"ACTIONS_ID_TOKEN_REQUEST_URL": "https://token.test/a?q=" + canary, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": canary,
				"IDENTITY_ENDPOINT": "https://token.test/a?q=" + canary, "IDENTITY_HEADER": canary,
			})
			asked := 0
			client := answers(&asked, row.answer)
			for source, p := range map[string]subjecttoken.Provider{
				"GitHub Actions OIDC token":    subjecttoken.GitHubActions{Audience: canary, Client: client},
				"Azure managed identity token": subjecttoken.AzureManagedIdentity{Resource: canary, ClientID: canary, Client: client},
			} {
				synctest.Test(t, func(t *testing.T) {
					asked = 0
					_, err := p.SubjectToken(t.Context())
					e := refused(t, err, source+": url https://token.test/a: ", row.err)
					if e.Source != source || e.StatusCode != row.status || e.Temporary != row.temporary || asked != row.asked {
						t.Errorf("error from %q, status %d, temporary: %v after %d requests; want %q, %d, %v, %d",
							e.Source, e.StatusCode, e.Temporary, asked, source, row.status, row.temporary, row.asked)
					}
				})
			}
		})
	}
}

// The advice that an answer's status allows.
func TestMetadataStatus(t *testing.T) {
	for _, row := range []struct {
		status    int
		gce       string // at the end of the error
		azure     string
		temporary bool // of Azure
	}{
		{status: 400, gce: "status 400 (Bad Request)", azure: "status 400 (Bad Request): check Resource and ClientID, and that the machine or app has this managed identity"},
		{status: 404, gce: "status 404 (Not Found): give the machine a service account", azure: "status 404 (Not Found)", temporary: true},
		{status: 410, gce: "status 410 (Gone)", azure: "status 410 (Gone)", temporary: true},
	} {
		t.Run(fmt.Sprint(row.status), func(t *testing.T) {
			platform(t, nil)
			asked := 0
			client := answers(&asked, status(row.status))
			_, err := subjecttoken.GCEMetadata{Audience: "a", Client: client}.SubjectToken(t.Context())
			if e := refused(t, err); !strings.HasSuffix(err.Error(), "/identity: "+row.gce) || e.Temporary {
				t.Errorf("error %v (temporary: %v), want %s", err, e.Temporary, row.gce)
			}
			_, err = subjecttoken.AzureManagedIdentity{Resource: "r", Client: client}.SubjectToken(t.Context())
			if e := refused(t, err); !strings.HasSuffix(err.Error(), "/oauth2/token: "+row.azure) || e.Temporary != row.temporary {
				t.Errorf("error %v (temporary: %v), want %s (%v)", err, e.Temporary, row.azure, row.temporary)
			}
		})
	}
}

// A preset shows its name, and never its client, which may hold a secret.
func TestPresetsShowTheirName(t *testing.T) {
	client := &http.Client{Transport: secretTransport{Secret: canary}}
	for want, p := range map[string]subjecttoken.Provider{
		"GitHub Actions OIDC token":    subjecttoken.GitHubActions{Client: client},
		"GCE metadata identity token":  subjecttoken.GCEMetadata{Client: client},
		"Azure managed identity token": subjecttoken.AzureManagedIdentity{Client: client},
		"GitLab ID token":              subjecttoken.GitLab(""),
	} {
		asJSON, err := json.Marshal(map[string]any{"p": p})
		if err != nil || string(asJSON) != fmt.Sprintf(`{"p":%q}`, want) || fmt.Sprint(p) != want {
			t.Errorf("%T shows itself as %v, %s, %v; want %s", p, p, asJSON, err, want)
		}
		if shown := fmt.Sprintf("%v %+v %#v %d", p, p, p, struct{ P any }{p}); strings.Contains(shown, canary) {
			t.Errorf("%T shows its client: %s", p, shown)
		}
	}
}

type secretTransport struct{ Secret string }

func (secretTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.ErrUnsupported
}
