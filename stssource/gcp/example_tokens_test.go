package gcp_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/subjecttoken"
)

// A Source of federated tokens makes those of a service account. In a Config,
// the field Impersonate does both at once.
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
		Lifetime:       30 * time.Minute,
		HTTPClient:     httpClient,
	})
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("lives for", time.Until(token.Expiry).Round(time.Minute))
	// Output: lives for 30m0s
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
	fmt.Println("a JSON Web Token:", strings.Count(token.AccessToken, ".") == 2)
	// Output: a JSON Web Token: true
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

// A broker hands out tokens that can read one bucket each, without a request
// for each of them. With conditions in the boundaries, ParseCondition is
// celcondition.Parse.
func ExampleDownscoper() {
	source, err := gcp.New(gcp.Config{
		Audience:     gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(),
		SubjectToken: subjecttoken.File{Path: "testdata/subject-token"},
		HTTPClient:   httpClient,
		Refresh:      stssource.Refresh{Before: 30 * time.Minute}, // tokens cannot outlive those of source
	})
	if err != nil {
		log.Fatal(err)
	}
	downscoper, err := gcp.NewDownscoper(source, gcp.DownscoperConfig{HTTPClient: httpClient})
	if err != nil {
		log.Fatal(err)
	}
	for _, bucket := range []string{"customer-a", "customer-b"} {
		token, err := downscoper.Token(context.Background(), gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{
			AvailableResource:    "//storage.googleapis.com/projects/_/buckets/" + bucket,
			AvailablePermissions: []string{"inRole:roles/storage.objectViewer"},
		}}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(bucket, "for", time.Until(token.Expiry).Round(time.Minute))
	}
	// Output:
	// customer-a for 1h0m0s
	// customer-b for 1h0m0s
}
