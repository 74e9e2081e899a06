// Command githubactions calls an API from a GitHub Actions job without a secret
// in the repository's settings: the runner gives the job an ID token that says
// which workflow of which repository it is, and the program exchanges that for
// an access token. You want this in a workflow that deploys, publishes or reads
// something, where the token service trusts GitHub's issuer.
//
//	go run ./examples/githubactions
//
// plays it on this machine: it shows what the error says outside of a job, then
// starts stand-ins for the runner's token endpoint, which fails once first, for
// the token service, which checks the repository and the audience, and for an
// API.
//
// In a workflow:
//
//	permissions:
//	  contents: read
//	  id-token: write # without it, the runner gives no token
//	jobs:
//	  report:
//	    runs-on: ubuntu-latest
//	    steps:
//	    - uses: actions/checkout@v4
//	    - uses: actions/setup-go@v5
//	    - run: |
//	        go run ./examples/githubactions \
//	          -token-url https://sts.googleapis.com/v1/token \
//	          -id-token-audience https://iam.googleapis.com/$PROVIDER \
//	          -audience //iam.googleapis.com/$PROVIDER \
//	          -scope https://www.googleapis.com/auth/cloud-platform \
//	          -api https://storage.googleapis.com/storage/v1/b?project=$PROJECT
//	      env:
//	        PROJECT: my-project
//	        PROVIDER: projects/N/locations/global/workloadIdentityPools/P/providers/X
//
// There are two audiences: that of the ID token is the token service, that of
// the exchange is where the access token is to be used, or with Google the
// provider that knows GitHub.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "githubactions:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	tokenURL, idTokenAudience string
	audience, scope, api      string
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("githubactions", flag.ExitOnError)
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint of a real service, in a real job; if empty, play everything on this machine")
	fs.StringVar(&o.idTokenAudience, "id-token-audience", "", "audience of the ID token; if empty, GitHub takes the URL of the repository's owner")
	fs.StringVar(&o.audience, "audience", "", "audience of the access token")
	fs.StringVar(&o.scope, "scope", "", "scopes of the access token, separated by spaces")
	fs.StringVar(&o.api, "api", "", "URL to call with the access token; if empty, none is called")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.tokenURL == "" && o != (options{}):
		return o, errors.New("-id-token-audience, -audience, -scope and -api are for a real service: set -token-url")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.tokenURL == "" {
		return demo(ctx, out)
	}
	src, err := newSource(o)
	if err != nil {
		return err
	}
	return use(ctx, src, o.api, out)
}

// newSource is all that a job needs. The runner is asked anew for each exchange:
// its tokens live for minutes, and a job may take hours.
func newSource(o options) (*stssource.Source, error) {
	config := stssource.Config{
		TokenURL:     o.tokenURL,
		SubjectToken: subjecttoken.GitHubActions{Audience: o.idTokenAudience},
		Scopes:       strings.Fields(o.scope),
	}
	if o.audience != "" {
		config.Audiences = []string{o.audience}
	}
	return stssource.New(config)
}

// use gets an access token and calls the API with it, if there is one.
func use(ctx context.Context, src *stssource.Source, api string, out io.Writer) error {
	token, err := src.TokenContext(ctx)
	if err != nil {
		return err
	}
	end := "has no known end"
	if !token.Expiry.IsZero() {
		end = "ends in " + time.Until(token.Expiry).Round(time.Second).String()
	}
	fmt.Fprintf(out, "program  got an access token that %s\n", end)
	if api == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
	if err != nil {
		return err
	}
	resp, err := src.Client(nil).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 400 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the API answered %s: %s", resp.Status, cmp.Or(strings.TrimSpace(string(body)), "nothing more"))
	}
	fmt.Fprintf(out, "program  called the API: %s\n", resp.Status)
	return nil
}
