package gcp_test

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// The examples run against Google in memory, which httpClient reaches under
// whatever name: nothing is dialled.
var (
	google     = newWorld()
	httpClient = google.client()
)

// A program that runs in Kubernetes, outside of Google Cloud, and calls Cloud
// Storage.
func Example() {
	src, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"}, // such as a projected Kubernetes token
		HTTPClient:   httpClient,                                        // may be left out
	})
	if err != nil {
		log.Fatal(err) // all mistakes at once
	}
	client := src.Client(httpClient) // or oauth2.NewClient(ctx, src)
	resp, err := client.Get("https://storage.googleapis.com/storage/v1/b?project=my-project")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// A person's login by an identity provider of the company, through a workforce
// pool. The project is charged for the calls.
func ExampleNew_workforce() {
	src, err := gcp.New(gcp.Config{
		Audience:                 gcp.WorkforceProvider{Pool: "pool", Provider: "okta"}.Audience(),
		SubjectToken:             subjecttoken.Static{Value: "an ID token of okta", Type: subjecttoken.TypeIDToken},
		WorkforcePoolUserProject: "my-project",
		HTTPClient:               httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// Access tokens of a service account, and a project that is charged for the
// requests that the Source's Client sends.
func ExampleNew_impersonation() {
	src, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "github"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		Scopes:       []string{"https://www.googleapis.com/auth/devstorage.read_only"},
		Impersonate:  &gcp.ImpersonateConfig{ServiceAccount: "robot@my-project.iam.gserviceaccount.com"},
		QuotaProject: "my-project",
		HTTPClient:   httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("lives for", time.Until(token.Expiry).Round(time.Minute))
	// Output: lives for 1h0m0s
}

// The API version v1beta, at an endpoint in Europe.
func ExampleNew_v1beta() {
	src, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		Endpoint:     gcp.Endpoint{Version: gcp.V1Beta, Region: "europe-west1"},
		HTTPClient:   httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

func ExampleWorkloadIdentityProvider_Audience() {
	provider := gcp.WorkloadIdentityProvider{ProjectNumber: "123456789012", Pool: "my-pool", Provider: "github"}
	fmt.Println(provider.Audience())
	// Output: //iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/my-pool/providers/github
}

func ExampleWorkforceProvider_Audience() {
	provider := gcp.WorkforceProvider{Pool: "my-pool", Provider: "okta"}
	fmt.Println(provider.Audience())
	// Output: //iam.googleapis.com/locations/global/workforcePools/my-pool/providers/okta
}

func ExampleEndpoint_TokenURL() {
	for _, e := range []gcp.Endpoint{
		{},
		{Version: gcp.V1Beta},
		{Region: "europe-west1"},
		{MTLS: true},
		{Universe: "universe.example"},
	} {
		fmt.Println(e.TokenURL())
	}
	// Output:
	// https://sts.googleapis.com/v1/token <nil>
	// https://sts.googleapis.com/v1beta/token <nil>
	// https://sts.europe-west1.rep.googleapis.com/v1/token <nil>
	// https://sts.mtls.googleapis.com/v1/token <nil>
	// https://sts.universe.example/v1/token <nil>
}

// What went wrong, for a program to act on.
func ExampleNew_errors() {
	service := &ststest.Handler{Mode: ststest.Google}
	service.Script(ststest.Reply{Error: "invalid_target", Description: "The provider is disabled.", Times: -1})
	src, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	})
	if err != nil {
		log.Fatal(err)
	}
	_, err = src.Token()
	if e, ok := errors.AsType[*stssource.Error](err); ok {
		fmt.Println(e.Stage, e.Host, e.StatusCode, e.Code, e.Temporary)
	}
	// Output: exchange sts.googleapis.com 400 invalid_target false
}
