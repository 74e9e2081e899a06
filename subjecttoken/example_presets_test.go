package subjecttoken_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/go-sts/sts/subjecttoken"
)

func ExampleGitHubActions() {
	// The service that GitHub has for a job with "id-token: write".
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"value": "token for %s"}`, r.FormValue("audience"))
	}))
	defer server.Close()
	os.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", server.URL+"/idtoken?api-version=2.0")
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

// Outside of its platform a preset says what is missing.
func ExampleGitLab() {
	provider := subjecttoken.GitLab("STS_ID_TOKEN")
	_, err := provider.SubjectToken(context.Background())
	fmt.Println(err)
	// Output: GitLab ID token: environment variable STS_ID_TOKEN is not set: in a GitLab job, name the variable under `id_tokens` in .gitlab-ci.yml, with the `aud` that the token is for
}

// In Kubernetes, mount a token whose audience is the token service:
//
//	volumes:
//	- name: sts-token
//	  projected:
//	    sources:
//	    - serviceAccountToken:
//	        path: token
//	        audience: https://sts.example.com
//	        expirationSeconds: 3600
//
// The kubelet replaces the file before the token ends. The token in
// /var/run/secrets/kubernetes.io/serviceaccount is not for this: its audience
// is the cluster's API server, and whoever gets it can act there as the pod.
// See https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/.
func ExampleFile_kubernetes() {
	mount, err := os.MkdirTemp("", "sts-token") // in a pod: the volume's mountPath
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(mount)
	if err := os.WriteFile(filepath.Join(mount, "token"), []byte("projected token"), 0o600); err != nil {
		log.Fatal(err)
	}

	provider := subjecttoken.File{Path: filepath.Join(mount, "token"), Type: subjecttoken.TypeJWT}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: projected token
}

// A SPIFFE JWT-SVID comes from the SPIRE agent's Workload API, and its command
// asks there without a library:
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

// Vault signs an identity token for whoever has a Vault token; the role's
// client_id is the audience. A secret that holds a token is read alike. See
// https://developer.hashicorp.com/vault/api-docs/secret/identity/tokens.
func ExampleURL_vault() {
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/identity/oidc/token/sts" || r.Header.Get("X-Vault-Token") != "vault-token" {
			http.Error(w, `{"errors": ["permission denied"]}`, http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"request_id": "1", "data": {"client_id": "sts", "token": "signed by Vault", "ttl": 3600}}`)
	}))
	defer vault.Close()

	provider := subjecttoken.URL{
		URL:       vault.URL + "/v1/identity/oidc/token/sts",
		Header:    http.Header{"X-Vault-Token": {"vault-token"}},
		JSONField: "/data/token",
		Type:      subjecttoken.TypeJWT,
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: signed by Vault
}
