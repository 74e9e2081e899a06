package gcp_test

import (
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/go-sts/sts/stssource/gcp"
)

// A program that was given a credential file, as gcloud iam
// workload-identity-pools create-cred-config writes it.
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

func ExampleFromEnvironment() {
	os.Setenv("GOOGLE_APPLICATION_CREDENTIALS", "testdata/credentials.json") // whoever deploys it does this
	defer os.Unsetenv("GOOGLE_APPLICATION_CREDENTIALS")

	config, err := gcp.FromEnvironment()
	if err != nil {
		log.Fatal(err)
	}
	config.HTTPClient = httpClient // may be left out
	src, err := gcp.New(config)
	if err != nil {
		log.Fatal(err)
	}
	token, err := src.Token()
	fmt.Println(token.Valid(), err)
	// Output: true <nil>
}

// A file that names a host other than Google's is refused, unless the program
// trusts that host by name.
func ExampleFromJSON() {
	file := []byte(`{
		"type": "external_account",
		"audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s",
		"subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
		"token_url": "https://sts.proxy.example/v1/token",
		"credential_source": {"file": "/var/run/secrets/sts/token"}
	}`)
	_, err := gcp.FromJSON(file)
	fmt.Println(err)

	config, err := gcp.FromJSON(file, "sts.proxy.example")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(config.Endpoint.TokenURL())
	// Output:
	// gcp: credential file: token_url: a token would be sent to "sts.proxy.example", which is not a host of the service sts of googleapis.com: if that is right, allow the host by name, in allowedHosts
	// https://sts.proxy.example/v1/token <nil>
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
