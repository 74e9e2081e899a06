package interop_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/auth/credentials"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

const (
	workloadAudience  = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider"
	workforceAudience = "//iam.googleapis.com/locations/global/workforcePools/pool/providers/provider"
	impersonatePath   = "/v1/projects/-/serviceAccounts/robot@project.iam.gserviceaccount.com:generateAccessToken"
	storageScope      = "https://www.googleapis.com/auth/devstorage.read_only"
)

// cloud is what a credential file refers to, under Google's own names: the token
// service, the service for impersonation, and a server with the subject token.
// It is all in memory, so that no request leaves the process. It keeps what it is
// asked.
type cloud struct {
	sts     *ststest.Handler
	mux     *http.ServeMux
	subject string // the subject token
	dir     string // has it in files, and what a program was told

	mu    sync.Mutex
	asked []request
}

// request is one that is not for the token service.
type request struct {
	Method, Target string
	Header         http.Header
	Body           any
}

func startCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{
		sts:     &ststest.Handler{Mode: ststest.Google},
		mux:     http.NewServeMux(),
		subject: startIssuer(t).token(time.Hour),
		dir:     t.TempDir(),
	}
	c.mux.Handle("sts.googleapis.com/", c.sts)
	c.mux.HandleFunc("GET idp.example/subject", func(w http.ResponseWriter, r *http.Request) {
		c.record(t, r)
		io.WriteString(w, c.subject)
	})
	c.mux.HandleFunc("GET idp.example/subject.json", func(w http.ResponseWriter, r *http.Request) {
		c.record(t, r)
		writeJSON(w, map[string]any{"access_token": c.subject})
	})
	c.mux.HandleFunc("POST iamcredentials.googleapis.com"+impersonatePath, func(w http.ResponseWriter, r *http.Request) {
		c.record(t, r)
		writeJSON(w, map[string]any{"accessToken": "impersonated", "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	})
	writeFile(t, c.path("text"), c.subject)
	writeFile(t, c.path("json"), `{"access_token":"`+c.subject+`"}`)
	writeFile(t, c.path("response"), googleResponse(c.subject))
	return c
}

func (c *cloud) client() *http.Client {
	return &http.Client{Transport: ststest.RoundTripper(c.mux)}
}

func (c *cloud) path(name string) string { return filepath.Join(c.dir, name) }

// record keeps r.
func (c *cloud) record(t *testing.T, r *http.Request) {
	seen := request{Method: r.Method, Target: r.URL.String(), Header: comparableHeader(r.Header)}
	if raw, err := io.ReadAll(r.Body); err != nil {
		t.Error(err)
	} else if len(raw) > 0 {
		if err := json.Unmarshal(raw, &seen.Body); err != nil {
			t.Error(err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, seen)
}

// incomparable are the header fields that may differ between the clients: no
// service takes notice of them. What else may differ, the rows name: see differs.
var incomparable = []string{
	"Accept",          // ours asks for JSON, theirs for nothing
	"Accept-Encoding", // of net/http
	"Content-Length",  // of the body, which is compared itself
	"User-Agent",      // a library's name
}

// metrics are the parts of x-goog-api-client that say how a credential is used.
// The others name the versions of Go and of a library.
var metrics = []string{"google-byoid-sdk", "source/", "sa-impersonation/", "config-lifetime/"}

// comparableHeader returns what of a header must be alike.
func comparableHeader(h http.Header) http.Header {
	h = h.Clone()
	for _, name := range incomparable {
		h.Del(name)
	}
	var parts []string
	for part := range strings.FieldsSeq(h.Get("X-Goog-Api-Client")) {
		if slices.ContainsFunc(metrics, func(m string) bool { return strings.HasPrefix(part, m) }) {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	h.Del("X-Goog-Api-Client")
	if len(parts) > 0 {
		h["X-Goog-Api-Client"] = parts
	}
	return h
}

// seen is everything that a client asked for one token.
type seen struct {
	Exchanges []exchange
	Others    []request
	Program   string // what the environment told the program
	Problems  []string
}

type exchange struct {
	Method, Path string
	Header       http.Header
	Params       url.Values
}

// take returns what was asked since the last call.
func (c *cloud) take(t *testing.T) seen {
	t.Helper()
	var s seen
	for _, r := range c.sts.Requests() {
		s.Exchanges = append(s.Exchanges, exchange{r.Method, r.Path, comparableHeader(r.Header), r.Params})
		if r.Problem != "" {
			s.Problems = append(s.Problems, r.Problem)
		}
	}
	c.sts.Reset()
	c.mu.Lock()
	s.Others, c.asked = c.asked, nil
	c.mu.Unlock()
	for i := range s.Others {
		if v := s.Others[i].Header.Get("Authorization"); strings.HasPrefix(v, "Bearer ") && s.Others[i].Method == http.MethodPost {
			s.Others[i].Header.Set("Authorization", "Bearer <the federated token>")
		}
	}
	raw, err := os.ReadFile(c.path("response.env"))
	if err == nil {
		s.Program = string(raw)
		os.Remove(c.path("response.env"))
	}
	return s
}

// credentialFile is one row: a credential file, as gcloud writes it.
type credentialFile struct {
	name    string
	members map[string]any
	scopes  []string
	client  [2]string // the OAuth client that the token service knows
	// differs takes out of what an oracle sent what it may send differently.
	differs func(*seen)
}

func (c *cloud) credentialFiles() []credentialFile {
	file := map[string]any{"file": c.path("text")}
	header := map[string]any{"Metadata": "True", "authorization": "Bearer job"}
	field := map[string]any{"type": "json", "subject_token_field_name": "access_token"}
	program := map[string]any{"executable": map[string]any{"command": selfCommand(c.path("response")), "timeout_millis": 5000}}
	impersonate := "https://iamcredentials.googleapis.com" + impersonatePath
	return []credentialFile{
		{name: "file", members: map[string]any{"credential_source": file}},
		{name: "file with JSON", members: map[string]any{"credential_source": map[string]any{"file": c.path("json"), "format": field}}},
		{name: "URL", members: map[string]any{"credential_source": map[string]any{"url": "https://idp.example/subject?api-version=1&a=b%20c"}}},
		{name: "URL with headers and JSON", members: map[string]any{"credential_source": map[string]any{
			"url": "https://idp.example/subject.json", "headers": header, "format": field,
		}}},
		{name: "program", members: map[string]any{"credential_source": program, "subject_token_type": subjecttoken.TypeIDToken}},
		{name: "ID token", members: map[string]any{"credential_source": file, "subject_token_type": subjecttoken.TypeIDToken}},
		{name: "several scopes", members: map[string]any{"credential_source": file}, scopes: []string{storageScope, gcp.CloudPlatform}},
		{
			name: "no scope: theirs is an empty parameter or an error, ours that of all of the cloud", members: map[string]any{"credential_source": file},
			scopes: []string{},
			differs: func(s *seen) {
				s.Problems = nil // ststest minds the empty parameter
				for i := range s.Exchanges {
					s.Exchanges[i].Params.Set("scope", gcp.CloudPlatform)
				}
			},
		},
		{name: "quota project: not for the token service", members: map[string]any{"credential_source": file, "quota_project_id": "payer"}},
		{name: "impersonation", members: map[string]any{
			"credential_source": file, "service_account_impersonation_url": impersonate,
		}, scopes: []string{storageScope}},
		{name: "impersonation with a lifetime", members: map[string]any{
			"credential_source": file, "service_account_impersonation_url": impersonate,
			"service_account_impersonation": map[string]any{"token_lifetime_seconds": 2800},
		}},
		{name: "impersonation with a program, which is told the account", members: map[string]any{
			"credential_source": program, "subject_token_type": subjecttoken.TypeIDToken, "service_account_impersonation_url": impersonate,
		}},
		{name: "workforce pool", members: map[string]any{
			"audience": workforceAudience, "credential_source": file, "workforce_pool_user_project": "1234",
		}},
		{name: "workforce pool with a client, whose secret is sent as it is", members: map[string]any{
			"audience": workforceAudience, "credential_source": file, "workforce_pool_user_project": "1234",
			"client_id": "client", "client_secret": clientSecret,
		}, client: [2]string{"client", clientSecret}},
	}
}

func selfCommand(file string) string {
	self, err := os.Executable()
	if err != nil {
		panic(err) // Linux always knows
	}
	return self + " child " + file
}

// json returns the file itself.
func (f credentialFile) json(t *testing.T) []byte {
	t.Helper()
	m := map[string]any{
		"type":               "external_account",
		"audience":           workloadAudience,
		"subject_token_type": subjecttoken.TypeJWT,
		"token_url":          "https://sts.googleapis.com/v1/token",
	}
	maps.Copy(m, f.members)
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestCredentialFiles gives each file to Google's two libraries and to ours:
// they must ask the same.
func TestCredentialFiles(t *testing.T) {
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
	c := startCloud(t)
	for _, f := range c.credentialFiles() {
		t.Run(f.name, func(t *testing.T) {
			c.sts.ClientID, c.sts.ClientSecret = f.client[0], f.client[1]
			if f.scopes == nil {
				f.scopes = []string{gcp.CloudPlatform}
			}
			data := f.json(t)
			if err := askOurs(t, c.client(), data, f.scopes); err != nil {
				t.Fatal(err)
			}
			ours := c.take(t)
			if len(ours.Exchanges) != 1 || len(ours.Problems) > 0 {
				t.Errorf("%d exchanges, rules broken: %q; want 1, none", len(ours.Exchanges), ours.Problems)
			}
			for name, ask := range oracles {
				if len(f.scopes) == 0 && name == "cloud.google.com/go/auth" {
					continue // it wants a scope
				}
				// What differs may well be refused. It was asked all the same.
				if err := ask(t, c.client(), data, f.scopes); err != nil && f.differs == nil {
					t.Fatalf("%s: %v", name, err)
				}
				theirs := c.take(t)
				if f.differs != nil {
					f.differs(&theirs)
				}
				if diff := cmp.Diff(theirs, ours); diff != "" {
					t.Errorf("requests (-%s +ours):\n%s", name, diff)
				}
			}
		})
	}
}

func askOurs(t *testing.T, client *http.Client, data []byte, scopes []string) error {
	config, err := gcp.FromJSON(data)
	if err != nil {
		return err
	}
	config.Scopes = scopes
	config.HTTPClient = client
	source, err := gcp.New(config)
	if err != nil {
		return err
	}
	_, err = source.TokenContext(t.Context())
	return err
}

// oracles are Google's own libraries.
var oracles = map[string]func(t *testing.T, client *http.Client, data []byte, scopes []string) error{
	"golang.org/x/oauth2": func(t *testing.T, client *http.Client, data []byte, scopes []string) error {
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, client)
		c, err := google.CredentialsFromJSONWithType(ctx, data, google.ExternalAccount, scopes...)
		if err != nil {
			return err
		}
		_, err = c.TokenSource.Token()
		return err
	},
	"cloud.google.com/go/auth": func(t *testing.T, client *http.Client, data []byte, scopes []string) error {
		c, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, data, &credentials.DetectOptions{
			Scopes: scopes, Client: client,
		})
		if err != nil {
			return err
		}
		_, err = c.Token(t.Context())
		return err
	},
}
