package gcp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

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

// What gcloud iam workload-identity-pools create-cred-config has written. With
// GOOGLE_APPLICATION_CREDENTIALS set, FromEnvironment takes no argument at all.
func ExampleFromFile() {
	config, err := gcp.FromFile("testdata/credentials.json")
	if err != nil {
		log.Fatal(err)
	}
	config.Scopes = []string{"https://www.googleapis.com/auth/devstorage.read_only"}
	config.HTTPClient = httpClient // may be left out
	src, err := gcp.New(config)
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.Impersonate.ServiceAccount, token.Valid())
	// Output: robot@my-project.iam.gserviceaccount.com true
}

// All that is wrong with a file is told at once, by its path.
func ExampleFromJSON_mistakes() {
	_, err := gcp.FromJSON([]byte(`{
		"type": "external_account",
		"audience": "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": "https://sts.googleapis.com.example/v1/token",
		"credential_source": {"executable": {"command": "/opt/get-token", "timeout_millis": 120001}}
	}`))
	for line := range strings.Lines(err.Error()) {
		fmt.Printf("%.99s\n", strings.TrimSpace(line))
	}
	// Output:
	// gcp: credential file: token_url: a token would be sent to "sts.googleapis.com.example", which is no
	// credential_source.executable.timeout_millis: 120001 is more than 120000
	// audience: "https://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/provid
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

// A token that may read the objects of one bucket below one prefix, made from
// one that may do more.
func ExampleDownscope() {
	var source oauth2.TokenSource = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a token of a service account"})
	src, err := gcp.Downscope(source, gcp.DownscopeConfig{
		AccessBoundary: gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{
			AvailableResource:    "//storage.googleapis.com/projects/_/buckets/my-bucket",
			AvailablePermissions: []string{"inRole:roles/storage.objectViewer"},
			AvailabilityCondition: &gcp.AvailabilityCondition{
				Expression: `resource.name.startsWith("projects/_/buckets/my-bucket/objects/customer-a/")`,
			},
		}}},
		HTTPClient: httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.TokenContext(context.Background())
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// Access tokens of a service account, made with federated
// ones. In a Config, the field Impersonate does both at once.
func ExampleImpersonate() {
	federated, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		HTTPClient:   httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	src, err := gcp.Impersonate(federated, gcp.ImpersonateConfig{
		ServiceAccount: "robot@my-project.iam.gserviceaccount.com",
		HTTPClient:     httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// An ID token, which a service behind Cloud Run asks for in place of an access
// token.
func ExampleIDToken() {
	federated, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		HTTPClient:   httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	src, err := gcp.IDToken(federated, gcp.IDTokenConfig{
		ServiceAccount: "robot@my-project.iam.gserviceaccount.com",
		Audience:       "https://my-service.example",
		HTTPClient:     httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.Count(token.AccessToken, ".") == 2, token.Valid())
	// Output: true true
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
