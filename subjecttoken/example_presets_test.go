package subjecttoken_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/go-sts/sts/subjecttoken"
)

// The workflow file gives the job the permission:
//
//	permissions:
//	  id-token: write
func ExampleGitHubActions() {
	github := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"value": "token for %s"}`, r.FormValue("audience"))
	}))
	defer github.Close()
	os.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", github.URL+"/idtoken?api-version=2.0") // GitHub does this
	os.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
	defer os.Unsetenv("ACTIONS_ID_TOKEN_REQUEST_URL")
	defer os.Unsetenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")

	provider := subjecttoken.GitHubActions{Audience: "https://sts.example.com"}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token for https://sts.example.com
}

// The job in .gitlab-ci.yml asks for a token and names its audience:
//
//	id_tokens:
//	  STS_ID_TOKEN:
//	    aud: https://sts.example.com
func ExampleGitLab() {
	provider := subjecttoken.GitLab("STS_ID_TOKEN")

	_, err := provider.SubjectToken(context.Background())
	fmt.Println(err) // this is no GitLab job

	os.Setenv("STS_ID_TOKEN", "token of a GitLab job") // GitLab does this
	defer os.Unsetenv("STS_ID_TOKEN")
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output:
	// GitLab ID token: environment variable STS_ID_TOKEN is not set: in a GitLab job, name the variable under `id_tokens` in .gitlab-ci.yml, with the `aud` that the token is for
	// token of a GitLab job
}

// With an audience, the token comes from the command "circleci run oidc get".
func ExampleCircleCI() {
	os.Setenv("CIRCLE_OIDC_TOKEN_V2", "token of a CircleCI job") // CircleCI does this
	defer os.Unsetenv("CIRCLE_OIDC_TOKEN_V2")

	provider := subjecttoken.CircleCI("")
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token of a CircleCI job
}

// The step in bitbucket-pipelines.yml asks for a token:
//
//	step:
//	  oidc: true
func ExampleBitbucket() {
	os.Setenv("BITBUCKET_STEP_OIDC_TOKEN", "token of a Bitbucket step") // Bitbucket does this
	defer os.Unsetenv("BITBUCKET_STEP_OIDC_TOKEN")

	provider := subjecttoken.Bitbucket()
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token of a Bitbucket step
}

// Outside of its platform, a preset says what is missing.
func ExampleBuildkite() {
	provider := subjecttoken.Buildkite("https://sts.example.com")
	_, err := provider.SubjectToken(context.Background())
	fmt.Println(err)
	// Output: Buildkite OIDC token: environment variables BUILDKITE_JOB_ID and BUILDKITE_AGENT_ACCESS_TOKEN are not set: run this in a Buildkite job, and pass the job's environment and buildkite-agent on into a container
}

// A workspace can have several tokens, told apart by a tag. Here it sets the
// variable TFC_WORKLOAD_IDENTITY_AUDIENCE_STS to the audience.
func ExampleHCPTerraform() {
	os.Setenv("TFC_WORKLOAD_IDENTITY_TOKEN_STS", "token of a run") // HCP Terraform does this
	defer os.Unsetenv("TFC_WORKLOAD_IDENTITY_TOKEN_STS")

	provider := subjecttoken.HCPTerraform("STS")
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token of a run
}

func ExampleGCEMetadata() {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "token for %s", r.FormValue("audience"))
	}))
	defer metadata.Close()
	os.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(metadata.URL, "http://")) // not needed on Google Cloud
	defer os.Unsetenv("GCE_METADATA_HOST")

	provider := subjecttoken.GCEMetadata{Audience: "https://sts.example.com"}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token for https://sts.example.com
}

// An app on App Service or Container Apps. On a virtual machine no variable is
// needed.
func ExampleAzureManagedIdentity() {
	azure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Identity-Header") != "header" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"access_token": "token for %s"}`, r.FormValue("resource"))
	}))
	defer azure.Close()
	os.Setenv("IDENTITY_ENDPOINT", azure.URL+"/msi/token") // Azure does this
	os.Setenv("IDENTITY_HEADER", "header")
	defer os.Unsetenv("IDENTITY_ENDPOINT")
	defer os.Unsetenv("IDENTITY_HEADER")

	provider := subjecttoken.AzureManagedIdentity{Resource: "api://my-app"}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token for api://my-app
}

func ExampleAzureWorkloadIdentity() {
	os.Setenv("AZURE_FEDERATED_TOKEN_FILE", "testdata/token") // AKS does this
	defer os.Unsetenv("AZURE_FEDERATED_TOKEN_FILE")

	provider := subjecttoken.AzureWorkloadIdentity()
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: service account token
}

func ExampleEKSServiceAccount() {
	os.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "testdata/token") // EKS does this
	defer os.Unsetenv("AWS_WEB_IDENTITY_TOKEN_FILE")

	provider := subjecttoken.EKSServiceAccount()
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: service account token
}
