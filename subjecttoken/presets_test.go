package subjecttoken_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// platformVariables is every variable that a preset reads: the tests may run
// on one of the platforms.
var platformVariables = []string{
	"ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITLAB_OIDC_TOKEN", "STS_ID_TOKEN",
	"CIRCLECI", "CIRCLE_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "BITBUCKET_STEP_OIDC_TOKEN",
	"TFC_WORKLOAD_IDENTITY_TOKEN", "TFC_WORKLOAD_IDENTITY_TOKEN_STS", "BUILDKITE_JOB_ID", "BUILDKITE_AGENT_ACCESS_TOKEN",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_FEDERATED_TOKEN_FILE", "GCE_METADATA_HOST", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
}

// platform sets the environment to that of one platform.
func platform(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range platformVariables {
		t.Setenv(name, "") // restores it afterwards
		os.Unsetenv(name)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

// Outside of its platform a preset says what is missing and what to set.
func TestPresetsElsewhere(t *testing.T) {
	for _, row := range []struct {
		name string
		p    subjecttoken.Provider
		env  map[string]string
		want string
	}{
		{
			name: "GitHub Actions", p: subjecttoken.GitHubActions{},
			want: "GitHub Actions OIDC token: environment variables ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set: " +
				"in a GitHub Actions job, give the job `permissions: id-token: write` in the workflow file",
		},
		{
			name: "GitHub Actions, half of it", p: subjecttoken.GitHubActions{Audience: "a"},
			env: map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "https://" + canary, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": " \n"},
			want: "GitHub Actions OIDC token: environment variable ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set: " +
				"in a GitHub Actions job, give the job `permissions: id-token: write` in the workflow file",
		},
		{
			name: "GitHub Actions, plain http", p: subjecttoken.GitHubActions{},
			env:  map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": "http://token.test/?q=" + canary, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": canary},
			want: "GitHub Actions OIDC token: environment variable ACTIONS_ID_TOKEN_REQUEST_URL: plain http to token.test would show the token to the network: use https",
		},
		{
			name: "GitLab", p: subjecttoken.GitLab(""),
			want: "GitLab ID token: environment variable GITLAB_OIDC_TOKEN is not set: " +
				"in a GitLab job, name the variable under `id_tokens` in .gitlab-ci.yml, with the `aud` that the token is for",
		},
		{
			name: "GitLab, another variable", p: subjecttoken.GitLab("STS_ID_TOKEN"), env: map[string]string{"GITLAB_OIDC_TOKEN": canary},
			want: "GitLab ID token: environment variable STS_ID_TOKEN is not set: " +
				"in a GitLab job, name the variable under `id_tokens` in .gitlab-ci.yml, with the `aud` that the token is for",
		},
		{
			name: "CircleCI", p: subjecttoken.CircleCI(""), env: map[string]string{"CIRCLECI": "true"},
			want: "CircleCI OIDC token: environment variable CIRCLE_OIDC_TOKEN_V2 is not set: " +
				"in a CircleCI job, give the job a `context` in the workflow of .circleci/config.yml",
		},
		{
			name: "CircleCI, audience", p: subjecttoken.CircleCI("a"), env: map[string]string{"CIRCLE_OIDC_TOKEN": canary},
			want: "CircleCI OIDC token: environment variable CIRCLECI is not set: " +
				"run this in a job on CircleCI, where the command `circleci run oidc get` works",
		},
		{
			name: "Bitbucket", p: subjecttoken.Bitbucket(),
			want: "Bitbucket Pipelines OIDC token: environment variable BITBUCKET_STEP_OIDC_TOKEN is not set: " +
				"in a step of Bitbucket Pipelines, set `oidc: true` on the step in bitbucket-pipelines.yml",
		},
		{
			name: "HCP Terraform", p: subjecttoken.HCPTerraform(""),
			want: "HCP Terraform workload identity token: environment variable TFC_WORKLOAD_IDENTITY_TOKEN is not set: " +
				"in a run of HCP Terraform, set the workspace's environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE to what the token is for",
		},
		{
			name: "HCP Terraform, tag", p: subjecttoken.HCPTerraform("STS"), env: map[string]string{"TFC_WORKLOAD_IDENTITY_TOKEN": canary},
			want: "HCP Terraform workload identity token: environment variable TFC_WORKLOAD_IDENTITY_TOKEN_STS is not set: " +
				"in a run of HCP Terraform, set the workspace's environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE_STS to what the token is for",
		},
		{
			name: "Buildkite", p: subjecttoken.Buildkite("a"),
			want: "Buildkite OIDC token: environment variables BUILDKITE_JOB_ID and BUILDKITE_AGENT_ACCESS_TOKEN are not set: " +
				"run this in a Buildkite job, and pass the job's environment and buildkite-agent on into a container",
		},
		{
			name: "EKS", p: subjecttoken.EKSServiceAccount(),
			want: "EKS service account token: environment variable AWS_WEB_IDENTITY_TOKEN_FILE is not set: " +
				"in a pod on EKS, annotate the service account with `eks.amazonaws.com/role-arn` and start the pod anew",
		},
		{
			name: "EKS, the token in place of its file", p: subjecttoken.EKSServiceAccount(), env: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "eyJ" + canary},
			want: "EKS service account token: environment variable AWS_WEB_IDENTITY_TOKEN_FILE is a token, and not the name of its file",
		},
		{
			name: "AKS", p: subjecttoken.AzureWorkloadIdentity(),
			want: "Azure workload identity token: environment variable AZURE_FEDERATED_TOKEN_FILE is not set: " +
				"in a pod on AKS, label the pod `azure.workload.identity/use: \"true\"` and start it anew",
		},
		{
			name: "Azure, half of App Service", p: subjecttoken.AzureManagedIdentity{Resource: "r"}, env: map[string]string{"IDENTITY_ENDPOINT": "http://" + canary},
			want: "Azure managed identity token: environment variable IDENTITY_HEADER is not set: " +
				"App Service and Container Apps set both, and Azure Arc, which does not, is not supported",
		},
		{
			name: "Azure, a public endpoint", p: subjecttoken.AzureManagedIdentity{Resource: "r"},
			env:  map[string]string{"IDENTITY_ENDPOINT": "http://192.0.2.1/?q=" + canary, "IDENTITY_HEADER": canary},
			want: "Azure managed identity token: environment variable IDENTITY_ENDPOINT: plain http to 192.0.2.1 would show the token to the network: use https",
		},
		{
			name: "GCE, a host that is no metadata server", p: subjecttoken.GCEMetadata{Audience: canary}, env: map[string]string{"GCE_METADATA_HOST": "host.test"},
			want: "GCE metadata identity token: environment variable GCE_METADATA_HOST: plain http to host.test would show the token to the network: use https",
		},
		{
			name: "GCE, a host with a path", p: subjecttoken.GCEMetadata{Audience: canary}, env: map[string]string{"GCE_METADATA_HOST": "127.0.0.1/?x="},
			want: "GCE metadata identity token: environment variable GCE_METADATA_HOST: not a URL: its host, port or %-escapes cannot be read",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			platform(t, row.env)
			_, err := row.p.SubjectToken(t.Context())
			e := refused(t, err)
			source, _, _ := strings.Cut(row.want, ": ")
			if err.Error() != row.want || e.Source != source || e.Temporary || e.StatusCode != 0 {
				t.Errorf("error from %q (status %d, temporary: %v):\n%v\nwant:\n%s", e.Source, e.StatusCode, e.Temporary, err, row.want)
			}
			if err := row.p.(interface{ Validate() error }).Validate(); err != nil {
				t.Errorf("Validate() = %v: it reads the environment", err)
			}
		})
	}
}

// On its platform a preset reads its variable or file at each call.
func TestPresetsFromEnvironment(t *testing.T) {
	file := tempFile(t, "placeholder")
	for _, row := range []struct {
		name string
		p    subjecttoken.Provider
		env  map[string]string // "$token" stands for the token, or for the file with it
		file bool
	}{
		{name: "GitLab", p: subjecttoken.GitLab(""), env: map[string]string{"GITLAB_OIDC_TOKEN": "$token", "STS_ID_TOKEN": "other"}},
		{name: "GitLab, another variable", p: subjecttoken.GitLab("STS_ID_TOKEN"), env: map[string]string{"GITLAB_OIDC_TOKEN": "other", "STS_ID_TOKEN": "$token"}},
		{name: "CircleCI", p: subjecttoken.CircleCI(""), env: map[string]string{"CIRCLE_OIDC_TOKEN_V2": "$token\n", "CIRCLE_OIDC_TOKEN": "other"}},
		{name: "CircleCI, older", p: subjecttoken.CircleCI(""), env: map[string]string{"CIRCLE_OIDC_TOKEN_V2": " ", "CIRCLE_OIDC_TOKEN": "$token"}},
		{name: "Bitbucket", p: subjecttoken.Bitbucket(), env: map[string]string{"BITBUCKET_STEP_OIDC_TOKEN": "$token"}},
		{name: "HCP Terraform", p: subjecttoken.HCPTerraform(""), env: map[string]string{"TFC_WORKLOAD_IDENTITY_TOKEN": "$token", "TFC_WORKLOAD_IDENTITY_TOKEN_STS": "other"}},
		{name: "HCP Terraform, tag", p: subjecttoken.HCPTerraform("STS"), env: map[string]string{"TFC_WORKLOAD_IDENTITY_TOKEN": "other", "TFC_WORKLOAD_IDENTITY_TOKEN_STS": "$token"}},
		{name: "EKS", p: subjecttoken.EKSServiceAccount(), env: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file}, file: true},
		{name: "AKS", p: subjecttoken.AzureWorkloadIdentity(), env: map[string]string{"AZURE_FEDERATED_TOKEN_FILE": file}, file: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			for i, token := range []string{jwt, unsigned(`{"exp": 1800000000, "n": 2}`)} {
				env := make(map[string]string)
				for name, value := range row.env {
					env[name] = strings.ReplaceAll(value, "$token", token)
				}
				if row.file {
					writeFile(t, file, token+"\n")
				}
				platform(t, env)
				got, err := row.p.SubjectToken(t.Context())
				expiry := time.Unix([]int64{expSeconds, 1800000000}[i], 0)
				if diff := cmp.Diff(plain{Value: token, Expiry: expiry}, plain(got)); diff != "" || err != nil {
					t.Errorf("error %v, mismatch (-want +got):\n%s", err, diff)
				}
			}
		})
	}
}

// What is there and is no token is reported as the provider beneath does.
func TestPresetsFromEnvironmentErrors(t *testing.T) {
	platform(t, map[string]string{"BITBUCKET_STEP_OIDC_TOKEN": canary + "\nb", "AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token"})
	_, err := subjecttoken.Bitbucket().SubjectToken(t.Context())
	refused(t, err, "Bitbucket Pipelines OIDC token: environment variable BITBUCKET_STEP_OIDC_TOKEN: more than one line")
	_, err = subjecttoken.EKSServiceAccount().SubjectToken(t.Context())
	if e := refused(t, err, "EKS service account token: file /no/such/token: ", "check the path"); !errors.Is(err, fs.ErrNotExist) || e.Temporary {
		t.Errorf("error %v is not fs.ErrNotExist, or is temporary", err)
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", tempFile(t, ""))
	_, err = subjecttoken.EKSServiceAccount().SubjectToken(t.Context())
	if e := refused(t, err, "empty or missing token"); !e.Temporary {
		t.Errorf("error %v of an empty file is not temporary", err)
	}
}

// programs puts a program with each name into PATH. Each prints its arguments
// as a token, unless FAIL_WITH is set, which it prints and fails.
func programs(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		script := "#!/bin/sh\nif [ -n \"$FAIL_WITH\" ]; then echo \"$FAIL_WITH\" >&2; exit 3; fi\nprintf '%s|' \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func TestPresetsByCommand(t *testing.T) {
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("there is no shell to be the program")
	}
	buildkite := map[string]string{"BUILDKITE_JOB_ID": "job", "BUILDKITE_AGENT_ACCESS_TOKEN": canary}
	circle := map[string]string{"CIRCLECI": "true", "CIRCLE_OIDC_TOKEN": "other"}
	for _, row := range []struct {
		name   string
		source string
		p      subjecttoken.Provider
		env    map[string]string
		want   string
	}{
		{name: "Buildkite", source: "Buildkite OIDC token: command buildkite-agent", p: subjecttoken.Buildkite(""), env: buildkite, want: "oidc|request-token|"},
		{name: "Buildkite, audience", source: "Buildkite OIDC token: command buildkite-agent", p: subjecttoken.Buildkite("a $b"), env: buildkite, want: "oidc|request-token|--audience|a $b|"},
		{name: "CircleCI", source: "CircleCI OIDC token: command circleci", p: subjecttoken.CircleCI(`a"b c`), env: circle, want: `run|oidc|get|--claims|{"aud":"a\"b c"}|`},
	} {
		t.Run(row.name, func(t *testing.T) {
			platform(t, row.env)
			programs(t, "buildkite-agent", "circleci")
			got, err := row.p.SubjectToken(t.Context())
			if err != nil || got.Value != row.want || got.Type != "" {
				t.Errorf("SubjectToken() = %q, %v; want %q", got.Value, err, row.want)
			}
			t.Setenv("FAIL_WITH", "no token for "+row.env["BUILDKITE_AGENT_ACCESS_TOKEN"])
			_, err = row.p.SubjectToken(t.Context())
			refused(t, err, row.source+": ", "exit code 3", "no token for")
			t.Setenv("PATH", t.TempDir())
			_, err = row.p.SubjectToken(t.Context())
			refused(t, err, row.source+": ")
		})
	}
}

func TestPresetsValidate(t *testing.T) {
	for _, row := range []struct {
		p   subjecttoken.Provider
		err []string // nothing if it is valid
	}{
		{p: subjecttoken.GitHubActions{}},
		{p: subjecttoken.GitHubActions{Audience: "a\n"}, err: []string{"GitHub Actions OIDC token: field Audience begins or ends with white space"}},
		{p: subjecttoken.GCEMetadata{Audience: "a"}},
		{p: subjecttoken.GCEMetadata{}, err: []string{"GCE metadata identity token: field Audience is required"}},
		{p: subjecttoken.GCEMetadata{Audience: " a"}, err: []string{"field Audience begins or ends with white space"}},
		{p: subjecttoken.AzureManagedIdentity{Resource: "r"}},
		{p: subjecttoken.AzureManagedIdentity{ClientID: "a "}, err: []string{"Azure managed identity token: field Resource is required", "field ClientID begins or ends"}},
		{p: subjecttoken.AzureManagedIdentity{Resource: "\tr"}, err: []string{"field Resource begins or ends"}},
		{p: subjecttoken.GitLab("$STS_ID_TOKEN"), err: []string{"GitLab ID token: the variable's name has a character"}},
		{p: subjecttoken.HCPTerraform("a b"), err: []string{"HCP Terraform workload identity token: the tag has a character"}},
		{p: subjecttoken.CircleCI("a\n"), err: []string{"CircleCI OIDC token: the audience begins or ends"}},
		{p: subjecttoken.Buildkite("a\n"), err: []string{"Buildkite OIDC token: the audience begins or ends"}},
	} {
		t.Run(fmt.Sprint(row.p, row.err), func(t *testing.T) {
			platform(t, nil)
			err := validator(row.p).Validate()
			if row.err == nil {
				if err != nil {
					t.Errorf("Validate() = %v, want no error", err)
				}
				return
			}
			refused(t, err, row.err...)
			switch row.p.(type) {
			case subjecttoken.GitHubActions: // what it asks is GitHub's to judge
			default:
				_, err = row.p.SubjectToken(t.Context())
				refused(t, err, row.err...)
			}
		})
	}
}
