//go:build unix

package subjecttoken_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-sts/sts/subjecttoken"
)

// The token is a member of the JSON document that the program prints.
func ExampleExec() {
	provider := subjecttoken.Exec{
		Command:   []string{"echo", `{"credential": {"token": "from echo"}}`},
		JSONField: "/credential/token",
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: from echo
}

// A program that follows Google's executable protocol tells the token's type
// and when it expires, or why there is none.
func ExampleExec_google() {
	const response = `{
		"version": 1,
		"success": true,
		"token_type": "urn:ietf:params:oauth:token-type:id_token",
		"id_token": "from the program",
		"expiration_time": 4102444800
	}`
	provider := subjecttoken.Exec{
		Command:  []string{"echo", response}, // in place of your program
		Format:   subjecttoken.FormatGoogle,
		Audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/program",
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	fmt.Println(token)
	// Output:
	// from the program
	// subjecttoken.Token([redacted], urn:ietf:params:oauth:token-type:id_token, expires 2100-01-01T00:00:00Z)
}

// A credential plugin of kubectl, such as the one that a kubeconfig names under
// users.user.exec.
func ExampleExec_kubernetes() {
	const response = `{
		"apiVersion": "client.authentication.k8s.io/v1",
		"kind": "ExecCredential",
		"status": {"token": "from the plugin", "expirationTimestamp": "2100-01-01T00:00:00Z"}
	}`
	provider := subjecttoken.Exec{
		Command: []string{"echo", response}, // in place of the plugin
		Format:  subjecttoken.FormatKubernetes,
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value, token.Expiry.Year())
	// Output: from the plugin 2100
}

// A SPIFFE JWT-SVID comes from the SPIRE agent's Workload API, and the agent's
// own command gets one:
//
//	subjecttoken.Exec{
//		Command: []string{"spire-agent", "api", "fetch", "jwt",
//			"-audience", "https://sts.example.com", "-output", "json"},
//		JSONField: "/0/svids/0/svid",
//		Type:      subjecttoken.TypeJWT,
//	}
//
// The output is a list of two documents, the SVIDs and the bundles. A workload
// with several SPIFFE IDs names the one it wants with -spiffeID. See
// https://spiffe.io/docs/latest/deploying/spire_agent/.
func ExampleExec_spiffe() {
	const output = `[
		{"svids": [{"spiffe_id": "spiffe://example.org/job", "svid": "the JWT-SVID", "hint": ""}]},
		{"bundles": {"spiffe://example.org": "e30="}}
	]`
	provider := subjecttoken.Exec{
		Command:   []string{"echo", output}, // in place of spire-agent
		JSONField: "/0/svids/0/svid",
		Type:      subjecttoken.TypeJWT,
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: the JWT-SVID
}
