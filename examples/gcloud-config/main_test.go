package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource/ststest"
)

const (
	audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p"
	robot    = "robot@my-project.iam.gserviceaccount.com"
)

// google is a token service and the IAM API on loopback, and a credential file
// that points to them.
type google struct {
	sts  *ststest.Handler
	iam  []string // bodies of the requests to the IAM API
	file string
}

func newGoogle(t *testing.T, more string) *google {
	t.Helper()
	g := &google{sts: &ststest.Handler{Mode: ststest.Google}}
	server := ststest.NewServer(g.sts)
	t.Cleanup(server.Close)
	iam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.iam = append(g.iam, string(body))
		fmt.Fprintf(w, `{"accessToken":"the-secret-token","expireTime":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(iam.Close)
	dir := t.TempDir()
	g.file = filepath.Join(dir, "credentials.json")
	write(t, filepath.Join(dir, "token"), "the-subject-token\n")
	more = strings.ReplaceAll(more, "IAM", iam.URL+"/v1/projects/-/serviceAccounts/"+robot+":generateAccessToken")
	write(t, g.file, fmt.Sprintf(`{"type":"external_account","audience":%q,"subject_token_type":"urn:ietf:params:oauth:token-type:jwt",
		"token_url":"%s?prettyPrint=false","credential_source":{"file":%q}%s}`, audience, server.TokenURL, filepath.Join(dir, "token"), more))
	return g
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// output returns what the program prints, with what differs from run to run
// replaced.
func output(t *testing.T, args ...string) string {
	t.Helper()
	var out strings.Builder
	if err := run(t.Context(), args, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	for pattern, mark := range map[string]string{
		`127\.0\.0\.1:\d+`:                    "HOST",
		`file \S*[/\\]token,`:                 "file DIR/token,",
		`in (1h0m0s|59m59s), at 20[0-9TZ:-]+`: "in about 1h",
		`took( +)[0-9.]+(µs|ms|s)`:            "took${1}a moment",
		`length( +)\d+ characters`:            "length${1}N characters",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, mark)
	}
	return text
}

const described = `identity        the service account robot@my-project.iam.gserviceaccount.com
accepted by     //iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p
subject token   file DIR/token, as a urn:ietf:params:oauth:token-type:jwt
exchanged at    POST http://HOST/v1/token
impersonated at POST http://HOST/v1/projects/-/serviceAccounts/robot@my-project.iam.gserviceaccount.com:generateAccessToken
quota project   my-quota
scopes          https://www.googleapis.com/auth/cloud-platform
`

const impersonating = `,"service_account_impersonation_url":"IAM","quota_project_id":"my-quota"`

func TestDemo(t *testing.T) {
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "")
	_, got, _ := strings.Cut(output(t), "\n}\n\n")
	want := `identity        what the provider makes of the subject token
accepted by     //iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider
subject token   file DIR/token, as a urn:ietf:params:oauth:token-type:jwt
exchanged at    POST http://HOST/v1/token
scopes          https://www.googleapis.com/auth/cloud-platform

token type      Bearer
length          N characters
issued as       urn:ietf:params:oauth:token-type:access_token
ends            in about 1h
took            a moment
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestDryRun(t *testing.T) {
	g := newGoogle(t, impersonating)
	got := output(t, "-dry-run", "-allow-host", "127.0.0.1", g.file)
	if diff := cmp.Diff(described, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if n := len(g.sts.Requests()) + len(g.iam); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func TestToken(t *testing.T) {
	g := newGoogle(t, impersonating)
	want := described + `
token type      Bearer
length          N characters
ends            in about 1h
took            a moment
`
	if diff := cmp.Diff(want, output(t, "-allow-host", "127.0.0.1", g.file)); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if len(g.sts.Requests()) != 1 || len(g.iam) != 1 {
		t.Errorf("%d exchanges, %d impersonations", len(g.sts.Requests()), len(g.iam))
	}
	want += "token           the-secret-token\n"
	if diff := cmp.Diff(want, output(t, "-allow-host", "127.0.0.1", "-show-token", g.file)); diff != "" {
		t.Errorf("output with -show-token (-want +got):\n%s", diff)
	}
}

func TestWithoutImpersonation(t *testing.T) {
	g := newGoogle(t, "")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", g.file)
	got := output(t, "-allow-host", "127.0.0.1", "-scope", "a b")
	for _, want := range []string{"what the provider makes of the subject token", "scopes          a b\n", "issued as       urn:ietf:params:oauth:token-type:access_token"} {
		if !strings.Contains(got, want) {
			t.Errorf("the output does not have %q:\n%s", want, got)
		}
	}
	if scope := g.sts.Requests()[0].Params.Get("scope"); scope != "a b" {
		t.Errorf("scope %q", scope)
	}
}

// What may be secret in a file is not printed.
func TestSourcesWithSecrets(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{`{"url":"https://idp.example/token?key=canary","headers":{"Authorization":"canary"}}`, "GET https://idp.example/token, as a"},
		{`{"executable":{"command":"/opt/get-token --password canary"}}`, "command /opt/get-token, as a"},
	} {
		file := filepath.Join(t.TempDir(), "credentials.json")
		write(t, file, `{"type":"external_account","audience":"`+audience+`","subject_token_type":"t","client_id":"id","client_secret":"canary",
			"credential_source":`+tt.source+`}`)
		got := output(t, "-dry-run", file)
		if !strings.Contains(got, tt.want) || strings.Contains(got, "canary") || !strings.Contains(got, "client          id") {
			t.Errorf("output:\n%s\nwant %q", got, tt.want)
		}
	}
}

func TestErrors(t *testing.T) {
	g := newGoogle(t, "")
	g.sts.Script(ststest.Reply{Error: "invalid_target", Times: -1})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{g.file}, "token_url: a token would be sent to"},
		{[]string{"-allow-host", "127.0.0.1", g.file}, "invalid_target"},
		{[]string{"-dry-run", "-show-token", g.file}, "-dry-run gets no token"},
		{[]string{"a", "b"}, "more than one file is named, \"a\" and \"b\"; flags go before"},
		{[]string{"-scope", `"`, "-allow-host", "127.0.0.1", g.file}, "Scopes[0]"},
	} {
		err := run(t.Context(), tt.args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.args, err, tt.want)
		}
	}
}
