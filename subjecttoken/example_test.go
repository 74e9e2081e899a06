package subjecttoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/subjecttoken"
)

// The file is read each time, so that a rotated token is used at once.
func ExampleFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, []byte("first\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	provider := subjecttoken.File{Path: path, Type: subjecttoken.TypeJWT}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)

	// The token is rotated.
	if err := os.WriteFile(path, []byte("second\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	token, err = provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output:
	// first
	// second
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
// The kubelet replaces the file before the token expires. Do not use the token
// in /var/run/secrets/kubernetes.io/serviceaccount: its audience is the
// cluster's API server, and whoever gets it can act there as the pod. See
// https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/.
func ExampleFile_kubernetes() {
	const mountPath = "testdata" // in a pod, say /var/run/secrets/sts

	provider := subjecttoken.File{Path: mountPath + "/token", Type: subjecttoken.TypeJWT}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: service account token
}

func ExampleURL() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer request-token" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"value": "token for %s"}`, r.FormValue("audience"))
	}))
	defer server.Close()

	provider := subjecttoken.URL{
		URL:       server.URL + "/token?audience=sts",
		Header:    http.Header{"Authorization": {"Bearer request-token"}},
		JSONField: "value",
		Type:      subjecttoken.TypeIDToken,
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: token for sts
}

// Vault signs an identity token for whoever has a Vault token; the audience is
// the client_id of the role. See
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

func ExampleEnv() {
	os.Setenv("EXAMPLE_ID_TOKEN", "from the environment")
	defer os.Unsetenv("EXAMPLE_ID_TOKEN")

	provider := subjecttoken.Env{Name: "EXAMPLE_ID_TOKEN", Type: subjecttoken.TypeIDToken}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)

	_, err = subjecttoken.Env{Name: "EXAMPLE_MISSING"}.SubjectToken(context.Background())
	fmt.Println(err)
	// Output:
	// from the environment
	// environment variable EXAMPLE_MISSING: not set
}

// Google's token service takes a client certificate as the subject token. The
// token request must be made over a connection that is authenticated with that
// certificate, so the exchange needs an HTTP client with its key:
//
//	cert, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
//	client := &http.Client{Transport: &http.Transport{
//		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
//	}}
func ExampleX509() {
	provider := subjecttoken.X509{
		CertFile:  "testdata/client.pem",
		ChainFile: "testdata/intermediate.pem",
	}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	var certificates [][]byte // DER, the leaf first
	if err := json.Unmarshal([]byte(token.Value), &certificates); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(certificates), token.Type)
	// Output: 2 urn:ietf:params:oauth:token-type:mtls
}

func ExampleStatic() {
	provider := subjecttoken.Static{Value: "always the same", Type: subjecttoken.TypeJWT}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: always the same
}

func ExampleFunc() {
	provider := subjecttoken.Func(func(ctx context.Context) (subjecttoken.Token, error) {
		return subjecttoken.Token{Value: "from a function", Type: subjecttoken.TypeJWT}, nil
	})
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	// Output: from a function
}

// The access tokens of another source are the subject: to get tokens for
// another audience, or that permit less.
func ExampleFromTokenSource() {
	var source oauth2.TokenSource = oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "access token"})

	provider := subjecttoken.FromTokenSource(source)
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value, token.Type)
	// Output: access token urn:ietf:params:oauth:token-type:access_token
}

// Several exchanges share a token that is costly to get.
func ExampleCached() {
	calls := 0
	costly := subjecttoken.Func(func(ctx context.Context) (subjecttoken.Token, error) {
		calls++ // Cached makes one call at a time
		return subjecttoken.Token{Value: "costly", Expiry: time.Now().Add(time.Hour)}, nil
	})

	provider := subjecttoken.Cached(costly, 5*time.Minute)
	for range 3 {
		if _, err := provider.SubjectToken(context.Background()); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(calls)
	// Output: 1
}

// A token that is printed or encoded does not show its value.
func ExampleToken() {
	token := subjecttoken.Token{Value: "secret", Type: subjecttoken.TypeJWT}
	fmt.Printf("%+v\n", token)
	text, err := json.Marshal(token)
	fmt.Println(string(text), err)
	// Output:
	// subjecttoken.Token([redacted], urn:ietf:params:oauth:token-type:jwt)
	// "subjecttoken.Token([redacted], urn:ietf:params:oauth:token-type:jwt)" <nil>
}

// An error names its source and says whether trying again may help.
func ExampleError() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "who are you?", http.StatusForbidden)
	}))
	defer server.Close()

	for _, provider := range []subjecttoken.Provider{
		subjecttoken.File{Path: "testdata/missing"},
		subjecttoken.URL{URL: server.URL},
	} {
		_, err := provider.SubjectToken(context.Background())
		var e *subjecttoken.Error
		if !errors.As(err, &e) {
			log.Fatal(err)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			fmt.Println(e.Source, "is missing")
		case e.StatusCode != 0:
			fmt.Println("the server answered with", e.StatusCode)
		}
		fmt.Println("temporary:", e.Temporary)
	}
	// Output:
	// file testdata/missing is missing
	// temporary: false
	// the server answered with 403
	// temporary: false
}

// All mistakes are reported at once, and nothing is sent.
func ExampleURL_Validate() {
	err := subjecttoken.URL{URL: "http://sts.example.com/token", Timeout: time.Hour}.Validate()
	fmt.Println(err)
	// Output:
	// url http://sts.example.com/token: plain http to sts.example.com would show the token to the network: use https
	// field Timeout 1h0m0s is not between 1ms and 10m0s
}

func ExampleParseCommand() {
	command, err := subjecttoken.ParseCommand(`/opt/get-token --audience="my service" '$HOME | wc'`)
	if err != nil {
		log.Fatal(err)
	}
	for _, arg := range command {
		fmt.Println(arg)
	}
	// Output:
	// /opt/get-token
	// --audience=my service
	// $HOME | wc
}
