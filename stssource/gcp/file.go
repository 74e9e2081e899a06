package gcp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/safehttp"
)

// credentialsEnv is where all of Google's tools look for the name of a
// credential file.
const credentialsEnv = "GOOGLE_APPLICATION_CREDENTIALS"

// FromEnvironment reads the credential file that the environment variable
// GOOGLE_APPLICATION_CREDENTIALS names; see [FromJSON]. It is an error if that
// is not set. The other places where Google's libraries look are not tried.
func FromEnvironment(allowedHosts ...string) (Config, error) {
	path := os.Getenv(credentialsEnv)
	if path == "" {
		return Config{}, fmt.Errorf("gcp: the environment variable %s is not set: set it to the path of a credential file, as "+
			"gcloud iam workload-identity-pools create-cred-config writes it", credentialsEnv)
	}
	c, err := FromFile(path, allowedHosts...)
	if errors.Is(err, fs.ErrNotExist) { // somebody else may have set it, and no shell expands a ~ in it
		return Config{}, fmt.Errorf("%w: check the path in %s", err, credentialsEnv)
	}
	return c, err
}

// FromFile reads a credential file; see [FromJSON]. [errors.Is] finds
// [io/fs.ErrNotExist] and the like.
func FromFile(path string, allowedHosts ...string) (Config, error) {
	data, err := readFile(path)
	if err == nil {
		var c Config
		if c, err = fromJSON(data, allowedHosts); err == nil {
			return c, nil
		}
	}
	return Config{}, fmt.Errorf("gcp: credential file %s: %w", path, err)
}

// readFile reads a regular file of a sensible size: opening a pipe might block.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, withoutPath(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	data, err := safehttp.ReadBody(io.Reader(f))
	if errors.Is(err, safehttp.ErrBodyTooLarge) {
		return nil, fmt.Errorf("larger than %d bytes: not a credential file", safehttp.MaxBody)
	}
	return data, withoutPath(err)
}

// withoutPath leaves the path out of an error that is shown after it.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// FromJSON reads the contents of a credential file of the type external_account
// (https://google.aip.dev/auth/4117), as the commands create-cred-config of
// gcloud iam workload-identity-pools and workforce-pools write it. The subject
// token may come from a file, a URL or a program. The error reports all
// mistakes, joined by [errors.Join], each with the path of the member. Unknown
// members are ignored.
//
// A file says where tokens are sent, and may come from anybody. Its token_url and
// token_info_url must be https URLs of the service sts below googleapis.com, and
// its service_account_impersonation_url one of iamcredentials: global, regional
// or at a private endpoint. With allowedHosts the caller trusts further hosts,
// each as "host", for any port, or as "host:port"; one on this machine may use
// http. A universe_domain other than googleapis.com must be among them, and
// stands for the same services below it.
//
// A credential_source.url may be any https URL, or http to this machine or a
// metadata server: nothing is sent there but headers that are in the same file.
// A program is run only while the environment variable
// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is 1.
func FromJSON(data []byte, allowedHosts ...string) (Config, error) {
	c, err := fromJSON(data, allowedHosts)
	if err != nil {
		return Config{}, fmt.Errorf("gcp: credential file: %w", err)
	}
	return c, nil
}

func fromJSON(data []byte, allowedHosts []string) (Config, error) {
	var wrong mistakes
	o, err := decodeObject(data, &wrong)
	if err == nil {
		err = checkFileType(o)
	}
	if err != nil {
		return Config{}, err
	}
	c := readConfig(o, allowedHosts)
	wrong.ofFile(c.check())
	return c, errors.Join(wrong.errors()...)
}

// useInstead says, for the types of credential files that are not read here,
// what one is and what to do.
var useInstead = map[string]string{
	"service_account": "the key of a service account, a secret that lasts: use workload identity federation in its place, " +
		"or package golang.org/x/oauth2/google",
	"authorized_user": "the login of a person (gcloud auth application-default login): use package golang.org/x/oauth2/google",
	"external_account_authorized_user": "the login of a person through a workforce pool: use Google's own libraries, " +
		"or a file by gcloud iam workforce-pools create-cred-config",
	"impersonated_service_account": "an impersonation on top of another credential: make a source of that one and use Impersonate",
}

func checkFileType(o object) error {
	const want = "external_account"
	t, _ := o.members["type"].(string)
	if t == want {
		return nil
	}
	if is := useInstead[t]; is != "" {
		return fmt.Errorf("type: %q, not %q: it is %s", t, want, is)
	}
	return fmt.Errorf("type: %.80q, not %q: it is not a credential file of workload identity federation", t, want)
}

// readConfig reads everything. What it cannot use it adds to o.wrong.
func readConfig(o object, allowedHosts []string) Config {
	c := Config{
		Audience:                 o.required("audience"),
		SubjectTokenType:         o.required("subject_token_type"),
		Endpoint:                 Endpoint{URL: o.text("token_url"), Universe: strings.ToLower(o.text("universe_domain"))},
		WorkforcePoolUserProject: o.text("workforce_pool_user_project"),
		ClientID:                 o.text("client_id"),
		ClientSecret:             o.text("client_secret"),
		QuotaProject:             o.text("quota_project_id"),
	}
	if c.ClientSecret != "" && c.ClientID == "" {
		o.add("client_secret", "is there and client_id is not")
	}
	c.Impersonate = readImpersonation(o)
	t := trust{universe: c.Endpoint.universe(), allowed: allowedHosts}
	if err := t.checkUniverse(); err != nil {
		o.add("universe_domain", "%w", err)
		t.universe = googleUniverse
	}
	for _, m := range []struct{ name, service string }{
		{"token_url", tokenService},
		{"token_info_url", tokenService},
		{"service_account_impersonation_url", credentialsService},
	} {
		if raw := o.text(m.name); raw != "" {
			o.wrong.join(m.name, t.check(raw, m.service))
		}
	}
	c.SubjectToken = readSource(o, c)
	return c
}

func readImpersonation(o object) *ImpersonateConfig {
	var lifetime time.Duration
	if settings, ok := o.child("service_account_impersonation"); ok {
		if n, ok := settings.whole("token_lifetime_seconds"); ok {
			lifetime = time.Duration(min(max(n, 0), int64(2*maxLifetime/time.Second))) * time.Second
			settings.wrong.join(settings.path+"token_lifetime_seconds", checkLifetime(lifetime))
		}
	}
	target := o.text("service_account_impersonation_url")
	if target == "" {
		return nil
	}
	i := ImpersonateConfig{URL: target, Lifetime: lifetime}
	i.ServiceAccount = i.account().resolved().name
	return &i
}

// fileNames are the names that fields have in a credential file.
var fileNames = map[string]string{
	"Audience":                   "audience",
	"SubjectTokenType":           "subject_token_type",
	"Endpoint.URL":               "token_url",
	"Endpoint.Universe":          "universe_domain",
	"WorkforcePoolUserProject":   "workforce_pool_user_project",
	"QuotaProject":               "quota_project_id",
	"Impersonate.URL":            "service_account_impersonation_url",
	"Impersonate.ServiceAccount": "service_account_impersonation_url",
	"Impersonate.Universe":       "universe_domain",
	"Impersonate.Lifetime":       "service_account_impersonation.token_lifetime_seconds",
}

// ofFile adds mistakes in a Config that came from a file, under the names that
// the file has for the fields, unless there is one already.
func (m *mistakes) ofFile(others mistakes) {
	found := object{wrong: m}
	for _, o := range others {
		if name := fileNames[o.field]; name != "" {
			o.field = name
		}
		if !found.reported(o.field) {
			*m = append(*m, o)
		}
	}
}
