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

func ExampleFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "token") // in a pod: /var/run/secrets/...
	if err := os.WriteFile(path, []byte("first\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	provider := subjecttoken.File{Path: path, Type: subjecttoken.TypeJWT}
	token, err := provider.SubjectToken(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Value)
	fmt.Println(token) // the value is hidden

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
	// subjecttoken.Token([redacted], urn:ietf:params:oauth:token-type:jwt)
	// second
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
