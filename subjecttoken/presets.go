package subjecttoken

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// GitLab returns a [Provider] of the ID token of a GitLab CI/CD job. The job
// asks for one in .gitlab-ci.yml, where it names an environment variable and
// the audience:
//
//	id_tokens:
//	  GITLAB_OIDC_TOKEN:
//	    aud: https://sts.example.com
//
// If variable is empty, it is GITLAB_OIDC_TOKEN. The token is valid for as long
// as the job may run. See
// https://docs.gitlab.com/ci/secrets/id_token_authentication.
func GitLab(variable string) Provider {
	if variable == "" {
		variable = "GITLAB_OIDC_TOKEN"
	}
	return preset{
		source: "GitLab ID token",
		read:   []string{variable},
		advice: "in a GitLab job, name the variable under `id_tokens` in .gitlab-ci.yml, with the `aud` that the token is for",
		check:  checkName("the variable's name", variable),
	}
}

// CircleCI returns a [Provider] of the OpenID Connect token of a CircleCI job.
//
// If audience is empty, it is the token in CIRCLE_OIDC_TOKEN_V2 or, where that
// is not set, in CIRCLE_OIDC_TOKEN, whose sub claim says less. Its audience is
// the organization's ID, and it is valid for an hour. Otherwise each call runs
// the command "circleci run oidc get", which makes a token for audience, and
// works in jobs only. See https://circleci.com/docs/openid-connect-tokens/ and
// https://circleci.com/docs/oidc-tokens-with-custom-claims/.
func CircleCI(audience string) Provider {
	p := preset{
		source: "CircleCI OIDC token",
		read:   []string{"CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN"},
		advice: "in a CircleCI job, give the job a `context` in the workflow of .circleci/config.yml",
		check:  checkBlank("the audience", audience),
	}
	if audience != "" {
		claims, _ := json.Marshal(map[string]string{"aud": audience}) // strings always marshal
		p.need, p.read = []string{"CIRCLECI"}, nil
		p.command = []string{"circleci", "run", "oidc", "get", "--claims", string(claims)}
		p.advice = "run this in a job on CircleCI, where the command `circleci run oidc get` works"
	}
	return p
}

// Bitbucket returns a [Provider] of the OpenID Connect token of a step of
// Bitbucket Pipelines, in BITBUCKET_STEP_OIDC_TOKEN. The step sets "oidc: true"
// in bitbucket-pipelines.yml. The audience is then the one that the
// repository's settings show; a list "audiences" under "oidc" asks for others.
// See
// https://support.atlassian.com/bitbucket-cloud/docs/integrate-pipelines-with-resource-servers-using-oidc/
// and
// https://www.atlassian.com/blog/bitbucket/bitbucket-pipelines-oidc-now-supports-multiple-audiences.
func Bitbucket() Provider {
	return preset{
		source: "Bitbucket Pipelines OIDC token",
		read:   []string{"BITBUCKET_STEP_OIDC_TOKEN"},
		advice: "in a step of Bitbucket Pipelines, set `oidc: true` on the step in bitbucket-pipelines.yml",
	}
}

// HCPTerraform returns a [Provider] of the workload identity token of a run of
// HCP Terraform (formerly Terraform Cloud) or Terraform Enterprise. Set the
// environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE of the workspace to the
// audience; each run then has the token in TFC_WORKLOAD_IDENTITY_TOKEN. For a
// workspace with several tokens, tag names one of them, and both names end in
// "_" and the tag. See
// https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/manual-generation.
func HCPTerraform(tag string) Provider {
	if tag != "" {
		tag = "_" + tag
	}
	return preset{
		source: "HCP Terraform workload identity token",
		read:   []string{"TFC_WORKLOAD_IDENTITY_TOKEN" + tag},
		advice: "in a run of HCP Terraform, set the workspace's environment variable TFC_WORKLOAD_IDENTITY_AUDIENCE" + tag + " to what the token is for",
		check:  checkName("the tag", tag),
	}
}

// Buildkite returns a [Provider] of the OpenID Connect token of a Buildkite
// job. Each call runs the command "buildkite-agent oidc request-token", which
// makes one for audience. If audience is empty, Buildkite's default is used.
// See https://buildkite.com/docs/agent/v3/cli-oidc.
func Buildkite(audience string) Provider {
	p := preset{
		source:  "Buildkite OIDC token",
		need:    []string{"BUILDKITE_JOB_ID", "BUILDKITE_AGENT_ACCESS_TOKEN"},
		command: []string{"buildkite-agent", "oidc", "request-token"},
		advice:  "run this in a Buildkite job, and pass the job's environment and buildkite-agent on into a container",
		check:   checkBlank("the audience", audience),
	}
	if audience != "" {
		p.command = append(p.command, "--audience", audience)
	}
	return p
}

// EKSServiceAccount returns a [Provider] of the service account token that
// Amazon EKS mounts into a pod for IAM roles for service accounts, in the file
// that AWS_WEB_IDENTITY_TOKEN_FILE names. Its audience is sts.amazonaws.com, or
// what the service account's annotation eks.amazonaws.com/audience says. Where
// you can mount a token for your own audience, [File] is better. See
// https://github.com/aws/amazon-eks-pod-identity-webhook.
func EKSServiceAccount() Provider {
	return preset{
		source: "EKS service account token",
		read:   []string{"AWS_WEB_IDENTITY_TOKEN_FILE"},
		file:   true,
		advice: "in a pod on EKS, annotate the service account with `eks.amazonaws.com/role-arn` and start the pod anew",
	}
}

// AzureWorkloadIdentity returns a [Provider] of the service account token that
// Microsoft Entra Workload ID mounts into a pod, in the file that
// AZURE_FEDERATED_TOKEN_FILE names. Its audience is the one that the webhook
// was installed with, by default api://AzureADTokenExchange. Where you can
// mount a token for your own audience, [File] is better. See
// https://azure.github.io/azure-workload-identity/docs/installation/mutating-admission-webhook.html.
func AzureWorkloadIdentity() Provider {
	return preset{
		source: "Azure workload identity token",
		read:   []string{"AZURE_FEDERATED_TOKEN_FILE"},
		file:   true,
		advice: "in a pod on AKS, label the pod `azure.workload.identity/use: \"true\"` and start it anew",
	}
}

// preset is an Env, File or Exec that knows its platform.
type preset struct {
	source  string
	read    []string // variables with the token, the best first
	file    bool     // they name its file
	command []string // or the command that prints it
	need    []string // and the variables that the command needs
	advice  string   // what sets the variables
	check   error    // what is wrong with the parameters
}

var _ Provider = preset{}

// SubjectToken reads the variable or file, or runs the command.
func (p preset) SubjectToken(ctx context.Context) (Token, error) {
	if err := p.Validate(); err != nil {
		return Token{}, err
	}
	provider, err := p.provider()
	if err != nil {
		return Token{}, fail(p.source, err)
	}
	t, err := provider.SubjectToken(ctx)
	return t, relabel(p.source, err, nil)
}

// provider returns what the environment has now.
func (p preset) provider() (Provider, error) {
	if p.command != nil {
		// What the command needs may be secret: in Env it is hidden.
		e := Exec{Command: p.command}
		for _, name := range p.need {
			e.Env = append(e.Env, name+"="+os.Getenv(name))
		}
		return e, missing(p.advice, p.need...)
	}
	for _, name := range p.read {
		switch value := variable(name); {
		case value == "":
		case p.file && strings.HasPrefix(value, "eyJ"): // an error would show it as the file's name
			return nil, fmt.Errorf("environment variable %s is a token, and not the name of its file", name)
		case p.file:
			return File{Path: value}, nil
		default:
			return Env{Name: name}, nil
		}
	}
	return nil, missing(p.advice, p.read[0])
}

// Validate reports all that is wrong with p. It does not read the environment.
func (p preset) Validate() error { return invalid(p.source, p.check) }

// String names the preset, as errors do.
func (p preset) String() string { return p.source }

// MarshalText returns the text of String.
func (p preset) MarshalText() ([]byte, error) { return []byte(p.source), nil }

// relabel puts err, which comes from one of this package's providers, under
// the name of a preset, and appends what advice says of it.
func relabel(source string, err error, advice func(*Error) string) error {
	inner, ok := errors.AsType[*Error](err)
	if !ok {
		return err // nil
	}
	e := *inner
	e.Source, e.Err = source, err
	if safehttp.IsRedirect(e.StatusCode) {
		// A URL's advice is to change its field.
		e.Err = fmt.Errorf("%s: %s redirects, which is not followed, as it would get the header, too", inner.Source, statusText(e.StatusCode))
	}
	if advice == nil || errors.Is(err, context.Canceled) {
		return &e
	}
	if text := advice(&e); text != "" {
		e.Err = fmt.Errorf("%w: %s", e.Err, text)
	}
	return &e
}

// variable returns the value of an environment variable, without the white
// space that a shell or a settings page leaves around it.
func variable(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// missing names those of the environment variables that are not there and says
// what to do. It returns nil if all are.
func missing(advice string, names ...string) error {
	var absent []string
	for _, name := range names {
		if variable(name) == "" {
			absent = append(absent, name)
		}
	}
	switch len(absent) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("environment variable %s is not set: %s", absent[0], advice)
	}
	return fmt.Errorf("environment variables %s are not set: %s", strings.Join(absent, " and "), advice)
}

func checkRequired(field, value string) error {
	if value == "" {
		return errors.New("field " + field + " is required")
	}
	return nil
}

// checkBlank catches what was copied with a line break: audiences are compared
// byte by byte.
func checkBlank(field, value string) error {
	if value != strings.TrimSpace(value) {
		return errors.New(field + " begins or ends with white space")
	}
	return nil
}

// checkName catches the dollar sign of a shell and what no name can have.
func checkName(what, name string) error {
	if strings.ContainsAny(name, "$={} \t\r\n\x00") {
		return errors.New(what + " has a character that no environment variable's name has")
	}
	return nil
}
