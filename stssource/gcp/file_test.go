package gcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// members are those of a credential file; nil takes one out.
type members map[string]any

// credentialFile returns a file as gcloud writes it, with changes.
func credentialFile(change members) []byte {
	m := members{
		"type":               "external_account",
		"universe_domain":    "googleapis.com",
		"audience":           audience,
		"subject_token_type": subjecttoken.TypeJWT,
		"token_url":          "https://sts.googleapis.com/v1/token",
		"credential_source":  members{"file": "testdata/subject-token"},
	}
	maps.Copy(m, change)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}

func source(m members) members { return members{"credential_source": m} }

const impersonationURL = "https://iamcredentials.googleapis.com" + generate

func TestFromJSON(t *testing.T) {
	file := subjecttoken.File{Path: "testdata/subject-token", Type: subjecttoken.TypeJWT}
	base := gcp.Config{
		Audience:         audience,
		SubjectToken:     file,
		SubjectTokenType: subjecttoken.TypeJWT,
		Endpoint:         gcp.Endpoint{URL: "https://sts.googleapis.com/v1/token", Universe: "googleapis.com"},
	}
	exec := subjecttoken.Exec{
		Command: []string{"/bin/get token", "--for", "me"}, Format: subjecttoken.FormatGoogle, Type: subjecttoken.TypeJWT,
		Audience: audience, RequireAllowEnv: true,
	}
	with := func(change func(*gcp.Config)) gcp.Config {
		c := base
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name  string
		file  members
		allow []string
		want  gcp.Config
	}{
		{name: "file", want: base},
		{
			name: "file with JSON",
			file: source(members{"file": "f", "format": members{"type": "json", "subject_token_field_name": "access_token"}}),
			want: with(func(c *gcp.Config) {
				c.SubjectToken = subjecttoken.File{Path: "f", Type: subjecttoken.TypeJWT, JSONField: "access_token"}
			}),
		},
		{
			name: "a member's name with a slash is not a pointer",
			file: source(members{"file": "f", "format": members{"type": "json", "subject_token_field_name": "/a~b"}}),
			want: with(func(c *gcp.Config) {
				c.SubjectToken = subjecttoken.File{Path: "f", Type: subjecttoken.TypeJWT, JSONField: "/~1a~0b"}
			}),
		},
		{
			name: "text by its name",
			file: source(members{"file": "testdata/subject-token", "format": members{"type": "text"}}),
			want: base,
		},
		{
			name: "URL with headers, of any host",
			file: source(members{"url": "https://idp.example/token?audience=x", "headers": members{"authorization": "Bearer x"}, "format": members{"type": "json", "subject_token_field_name": "value"}}),
			want: with(func(c *gcp.Config) {
				c.SubjectToken = subjecttoken.URL{
					URL: "https://idp.example/token?audience=x", Header: http.Header{"Authorization": {"Bearer x"}},
					Type: subjecttoken.TypeJWT, JSONField: "value",
				}
			}),
		},
		{
			name: "URL of a metadata server",
			file: source(members{"url": "http://169.254.169.254/metadata/identity/oauth2/token"}),
			want: with(func(c *gcp.Config) {
				c.SubjectToken = subjecttoken.URL{URL: "http://169.254.169.254/metadata/identity/oauth2/token", Type: subjecttoken.TypeJWT}
			}),
		},
		{
			name: "program",
			file: source(members{"executable": members{"command": `"/bin/get token" --for me`}}),
			want: with(func(c *gcp.Config) { c.SubjectToken = exec }),
		},
		{
			name: "program with everything, for impersonation",
			file: members{
				"credential_source": members{"executable": members{
					"command": `"/bin/get token" --for me`, "timeout_millis": 5000, "output_file": "/tmp/out", "interactive_timeout_millis": 1800000,
				}},
				"service_account_impersonation_url": impersonationURL,
			},
			want: with(func(c *gcp.Config) {
				e := exec
				e.Timeout, e.OutputFile, e.ImpersonatedEmail = 5*time.Second, "/tmp/out", robot
				c.SubjectToken, c.Impersonate = e, &gcp.ImpersonateConfig{ServiceAccount: robot, URL: impersonationURL}
			}),
		},
		{
			name: "program with the longest timeout",
			file: source(members{"executable": members{"command": `"/bin/get token" --for me`, "timeout_millis": 120000}}),
			want: with(func(c *gcp.Config) {
				e := exec
				e.Timeout = 2 * time.Minute
				c.SubjectToken = e
			}),
		},
		{
			name: "impersonation with a lifetime",
			file: members{"service_account_impersonation_url": impersonationURL, "service_account_impersonation": members{"token_lifetime_seconds": 43200}},
			want: with(func(c *gcp.Config) {
				c.Impersonate = &gcp.ImpersonateConfig{ServiceAccount: robot, URL: impersonationURL, Lifetime: 12 * time.Hour}
			}),
		},
		{
			name: "workforce",
			file: members{
				"audience": workforce, "subject_token_type": subjecttoken.TypeSAML2, "workforce_pool_user_project": "p", "token_info_url": "https://sts.googleapis.com/v1/introspect",
				"client_id": "id", "client_secret": "secret", "quota_project_id": "q",
			},
			want: with(func(c *gcp.Config) {
				f := file
				f.Type = subjecttoken.TypeSAML2
				c.Audience, c.SubjectToken, c.SubjectTokenType, c.WorkforcePoolUserProject = workforce, f, subjecttoken.TypeSAML2, "p"
				c.ClientID, c.ClientSecret, c.QuotaProject = "id", "secret", "q"
			}),
		},
		{
			name: "the universe decides on a token_url that is not there",
			file: members{"universe_domain": "Universe.Example", "token_url": nil}, allow: []string{"universe.example"},
			want: with(func(c *gcp.Config) { c.Endpoint = gcp.Endpoint{Universe: "universe.example"} }),
		},
		{
			name: "no universe and no token_url",
			file: members{"universe_domain": nil, "token_url": nil},
			want: with(func(c *gcp.Config) { c.Endpoint = gcp.Endpoint{} }),
		},
		{
			name: "unknown members, and some that are null",
			file: members{"future": members{"x": 1}, "quota_project_id": json.RawMessage("null"), "credential_source": members{
				"file": "testdata/subject-token", "url": nil, "headers": nil, "format": nil, "future": true,
			}},
			want: base,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := gcp.FromJSON(credentialFile(tt.file), tt.allow...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(tt.want), plain(got), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
			if _, err := gcp.New(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// plain returns the fields of c in a type that does not hide them.
func plain(c gcp.Config) any {
	type fields gcp.Config
	return fields(c)
}

func TestFromJSONMistakes(t *testing.T) {
	exe := func(m members) members {
		m["command"] = "/bin/true"
		return source(members{"executable": m})
	}
	format := func(m members) members { return source(members{"file": "f", "format": m}) }
	for _, tt := range []struct {
		name string
		file members
		want string
	}{
		{"no audience", members{"audience": nil}, "audience: is missing"},
		{"audience of a wrong form", members{"audience": "https:" + audience}, `audience: "https://iam.googleapis.com/`},
		{"audience that is a list", members{"audience": []string{audience}}, "audience: is an array, not a string"},
		{"no subject_token_type", members{"subject_token_type": ""}, "subject_token_type: is missing"},
		{"type that Google does not know", members{"subject_token_type": subjecttoken.TypeSAML1}, "subject_token_type: Google's service does not take"},
		{"token_url that is a number", members{"token_url": 1}, "token_url: is a number, not a string"},
		{"universe that is none", members{"universe_domain": "x y"}, `universe_domain: "x y" is`},
		{"secret without ID", members{"client_secret": "canary"}, "client_secret: is there and client_id is not"},
		{"quota project", members{"quota_project_id": "a b"}, `quota_project_id: "a b" is not the number or ID of a project`},
		{"user project of a workload pool", members{"workforce_pool_user_project": "p"}, "workforce_pool_user_project: is for workforce pools"},
		{"lifetime that is text", members{"service_account_impersonation": members{"token_lifetime_seconds": "3600"}}, "service_account_impersonation.token_lifetime_seconds: is a string, not a number"},
		{"lifetime with a fraction", members{"service_account_impersonation": members{"token_lifetime_seconds": 3600.5}}, "service_account_impersonation.token_lifetime_seconds: 3600.5 is not a whole number"},
		{"lifetime of zero", members{"service_account_impersonation": members{"token_lifetime_seconds": 0}}, "service_account_impersonation.token_lifetime_seconds: 0s is not between 600 and 43200"},
		{"lifetime that overflows", members{"service_account_impersonation": members{"token_lifetime_seconds": int64(1) << 62}}, "is not between 600 and 43200"},
		{"lifetime that is too long", members{"service_account_impersonation_url": impersonationURL, "service_account_impersonation": members{"token_lifetime_seconds": 43201}}, "token_lifetime_seconds: 12h0m1s is not"},
		{"impersonation that is text", members{"service_account_impersonation": "x"}, "service_account_impersonation: is a string, not an object"},
		{"impersonation of nobody", members{"service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x:generateAccessToken"}, "service_account_impersonation_url: the path is not that of impersonation"},
		{"impersonation by http", members{"service_account_impersonation_url": "http://iamcredentials.googleapis.com" + generate}, "service_account_impersonation_url: plain http"},
		{"no source", members{"credential_source": nil}, "credential_source: is missing"},
		{"file that is empty", source(members{"file": ""}), "credential_source.file: is missing"},
		{"URL that is empty", source(members{"url": ""}), "credential_source.url: is missing"},
		{"file that is a list", source(members{"file": []int{}}), "credential_source.file: is an array, not a string"},
		{"three sources", source(members{"file": "f", "url": "https://h.example", "executable": members{}}), "credential_source: has file and url and executable: there must be one of them"},
		{"AWS", source(members{"environment_id": "aws1", "url": "http://169.254.169.254/"}), "credential_source.environment_id: \"aws1\" makes it a source of AWS credentials, which is not supported yet"},
		{"certificate, of which nothing is said (x509-config-neither)", source(members{"certificate": members{"use_default_certificate_config": false}}), "credential_source.certificate: is a source that is not supported yet"},
		{"certificate", source(members{"certificate": members{"use_default_certificate_config": true}}), "credential_source.certificate: is a source that is not supported yet"},
		{"URL by http", source(members{"url": "http://idp.example/"}), "credential_source.url: plain http to idp.example"},
		{"URL that is none", source(members{"url": "idp.example/token"}), "credential_source.url: no scheme: begin it with https://"},
		{"header that is a number", source(members{"url": "https://idp.example", "headers": members{"X-A": 1}}), "credential_source.headers.X-A: is a number, not a string"},
		{"header with a line break", source(members{"url": "https://idp.example", "headers": members{"X-A": "canary\nX-B: canary"}}), "Header X-A has a value with a line break"},
		{"headers that are a list", source(members{"url": "https://idp.example", "headers": []string{"canary"}}), "credential_source.headers: is an array, not an object"},
		{"format that is null", format(nil), ""},
		{"format of no kind", format(members{"type": "xml"}), `credential_source.format.type: "xml" is neither text nor json`},
		{"JSON without a member", format(members{"type": "json"}), "credential_source.format.subject_token_field_name: is missing"},
		{"member without JSON", format(members{"subject_token_field_name": "x"}), "credential_source.format.subject_token_field_name: belongs to the type json"},
		{"program without a command", source(members{"executable": members{}}), "credential_source.executable.command: is missing"},
		{"program that is text", source(members{"executable": "/bin/true canary"}), "credential_source.executable: is a string, not an object"},
		{"command with an open quote", source(members{"executable": members{"command": `/bin/x "canary`}}), "credential_source.executable.command: "},
		{"command that is blank", source(members{"executable": members{"command": "  "}}), "credential_source.executable.command: "},
		{"timeout of zero", exe(members{"timeout_millis": 0}), "credential_source.executable.timeout_millis: 0 is less than 5000"},
		{"timeout just too short", exe(members{"timeout_millis": 4999}), "credential_source.executable.timeout_millis: 4999 is less than 5000"},
		{"timeout just too long", exe(members{"timeout_millis": 120001}), "credential_source.executable.timeout_millis: 120001 is more than 120000"},
		{"timeout with a fraction", exe(members{"timeout_millis": 5000.5}), "credential_source.executable.timeout_millis: 5000.5 is not a whole number"},
		{"timeout that is text", exe(members{"timeout_millis": "30000"}), "credential_source.executable.timeout_millis: is a string, not a number"},
		{"output file", exe(members{"output_file": true}), "credential_source.executable.output_file: is a boolean, not a string"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := gcp.FromJSON(credentialFile(tt.file))
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			checkMentions(t, err, "gcp: credential file: ", tt.want)
			if n := strings.Count(err.Error(), "\n"); n != 0 {
				t.Errorf("one mistake is told as %d: %v", n+1, err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a secret: %v", err)
			}
			if diff := cmp.Diff(plain(gcp.Config{}), plain(got)); diff != "" {
				t.Errorf("there is a Config with the error: %s", diff)
			}
		})
	}
}

func TestFromJSONTellsAllMistakes(t *testing.T) {
	_, err := gcp.FromJSON([]byte(`{"type":"external_account","token_url":"http://x.example","client_secret":5,
		"service_account_impersonation":{"token_lifetime_seconds":1},
		"credential_source":{"executable":{"timeout_millis":1,"output_file":2}}}`))
	checkMentions(t, err, "audience: is missing", "subject_token_type: is missing", "token_url: plain http", "client_secret: is a number",
		"token_lifetime_seconds: 1s", "executable.command: is missing", "executable.timeout_millis: 1 is less", "executable.output_file: is a number")
	if n := strings.Count(err.Error(), "\n"); n != 7 {
		t.Errorf("8 mistakes are told as %d: %v", n+1, err)
	}
}

func TestNotACredentialFile(t *testing.T) {
	for _, tt := range []struct{ data, want string }{
		{"", "is empty: write it anew, as gcloud"},
		{" \n", "is empty"},
		{"canary", "is not a JSON object"},
		{"null", "is not a JSON object"},
		{`["canary"]`, "is not a JSON object"},
		{`{"type":"external_account"`, "is not a JSON object"},
		{string(credentialFile(nil)) + "}", "has more than one JSON object"},
		{"{}", `type: "", not "external_account"`},
		{`{"type":5}`, `type: "", not "external_account"`},
		{`{"type":"service_account","private_key":"canary"}`, `type: "service_account", not "external_account": it is the key of a service account`},
		{`{"type":"authorized_user","refresh_token":"canary"}`, "gcloud auth application-default login"},
		{`{"type":"external_account_authorized_user"}`, "through a workforce pool"},
		{`{"type":"impersonated_service_account"}`, "use Impersonate"},
		{`{"type":"gdch_service_account"}`, "it is not a credential file of workload identity federation"},
	} {
		_, err := gcp.FromJSON([]byte(tt.data))
		checkMentions(t, err, "gcp: credential file: ", tt.want)
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	if _, err := gcp.FromJSON(append([]byte("\xef\xbb\xbf"), credentialFile(nil)...)); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
}

func TestFromFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "credentials.json")
	write := func(data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(credentialFile(nil))
	c, err := gcp.FromFile(path)
	if err != nil || c.Audience != audience {
		t.Errorf("got %v, %v", c, err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", path)
	if c, err := gcp.FromEnvironment(); err != nil || c.Audience != audience {
		t.Errorf("got %v, %v", c, err)
	}
	write(credentialFile(members{"token_url": "https://sts.example/token"}))
	if _, err := gcp.FromEnvironment("sts.example"); err != nil {
		t.Errorf("with the host allowed: %v", err)
	}
	_, err = gcp.FromEnvironment()
	checkMentions(t, err, "gcp: credential file "+path+": token_url: ")
	write(make([]byte, 1<<20+1))
	_, err = gcp.FromFile(path)
	checkMentions(t, err, "larger than 1048576 bytes: not a credential file")
	_, err = gcp.FromFile(dir)
	checkMentions(t, err, "gcp: credential file "+dir+": not a regular file")
	_, err = gcp.FromFile(filepath.Join(dir, "missing"))
	checkMentions(t, err, "gcp: credential file "+filepath.Join(dir, "missing")+": no such file or directory")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("errors.Is does not find fs.ErrNotExist in %v", err)
	}
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "~/credentials.json")
	_, err = gcp.FromEnvironment()
	checkMentions(t, err, "gcp: credential file ~/credentials.json: no such file or directory: check the path in GOOGLE_APPLICATION_CREDENTIALS")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	_, err = gcp.FromEnvironment()
	checkMentions(t, err, "gcp: the environment variable GOOGLE_APPLICATION_CREDENTIALS is not set")
}

// printsResponse, set in a child's environment, makes the test binary a program
// that gives a subject token.
const printsResponse = "GCP_TEST_PRINTS_RESPONSE"

func TestMain(m *testing.M) {
	if os.Getenv(printsResponse) == "1" {
		fmt.Printf(`{"version":1,"success":true,"token_type":%q,"id_token":"%s for %s"}`, subjecttoken.TypeJWT,
			os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE"), os.Getenv("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL"))
		return
	}
	os.Exit(m.Run())
}

// From a file to a token of a service account, for each of the sources.
func TestFromJSONToToken(t *testing.T) {
	t.Setenv(printsResponse, "1")
	for _, tt := range []struct {
		name    string
		source  members
		allow   string
		subject string // empty: refused
	}{
		{"file", members{"file": "testdata/subject-token"}, "", "subject-token"},
		{"URL", members{"url": "https://idp.example/", "headers": members{"X-Key": "key"}, "format": members{"type": "json", "subject_token_field_name": "value"}}, "", "from-url"},
		{"program", members{"executable": members{"command": `"` + os.Args[0] + `" -x`}}, "1", audience + " for " + robot},
		{"program that is not allowed", members{"executable": members{"command": `"` + os.Args[0] + `" -x`}}, "0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", tt.allow)
			w := newWorld()
			config, err := gcp.FromJSON(credentialFile(members{"credential_source": tt.source, "service_account_impersonation_url": impersonationURL}))
			if err != nil {
				t.Fatal(err)
			}
			config.HTTPClient = &http.Client{Transport: ststest.RoundTripper(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Host == "idp.example" && r.Header.Get("X-Key") == "key" {
					_, _ = rw.Write([]byte(`{"value":"from-url"}`))
					return
				}
				w.ServeHTTP(rw, r)
			}))}
			token, err := mustNew(t, config).Token()
			if tt.subject == "" {
				checkMentions(t, err, "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES")
				return
			}
			if err != nil || token.AccessToken != "sa-token~1" {
				t.Fatalf("got %v, %v", token, err)
			}
			if got := w.request(t).Params.Get("subject_token"); got != tt.subject {
				t.Errorf("subject token %q, want %q", got, tt.subject)
			}
		})
	}
}
