// Command exec-helper is both sides of Google's executable protocol: a helper
// that prints a subject token, and a program that runs it and exchanges what it
// prints. You want this where the credential comes from something that only
// another program can talk to: a command line tool, a hardware key, an agent of
// your company's.
//
//	go run ./examples/exec-helper
//
// starts a token service on this machine and runs itself as the helper: once
// with success, once not at all, as the helper's answer is still in a file, once
// with a failure that the helper explains, and once with a helper that hangs,
// which is stopped together with the child that it has started.
//
// The helper alone is
//
//	GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=https://sts.example.com exec-helper token
//
// and, as it speaks the protocol, it also works with Google's own libraries. They
// run it if their credential file says so, and
// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 is in the environment:
//
//	"credential_source": {
//	  "executable": {
//	    "command": "/usr/local/bin/exec-helper token",
//	    "timeout_millis": 5000,
//	    "output_file": "/home/me/.cache/exec-helper/response.json"
//	  }
//	}
//
// Its token is made up, so that no real service accepts it: to make a helper of
// your own, replace the function mint. To run one of yours:
//
//	go run ./examples/exec-helper \
//		-command "/usr/local/bin/my-helper --profile work" \
//		-token-url https://sts.googleapis.com/v1/token \
//		-audience //iam.googleapis.com/projects/N/locations/global/workloadIdentityPools/P/providers/X \
//		-scope https://www.googleapis.com/auth/cloud-platform
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	part, args := run, os.Args[1:]
	if len(args) > 0 && args[0] == "token" {
		part, args = helper, args[1:]
	}
	if err := part(ctx, args, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "exec-helper:", err)
		os.Exit(1)
	}
}

// options are the command line of the program that runs a helper.
type options struct {
	command, outputFile       string
	tokenURL, audience, scope string
	timeout                   time.Duration
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("exec-helper", flag.ExitOnError)
	fs.StringVar(&o.command, "command", "", "helper to run, with its arguments; if empty, show how it works")
	fs.StringVar(&o.outputFile, "output-file", "", "file that keeps the helper's answer; if empty, the helper runs each time")
	fs.StringVar(&o.tokenURL, "token-url", "", "token endpoint, for -command")
	fs.StringVar(&o.audience, "audience", "", "audience of the exchange, which the helper is told")
	fs.StringVar(&o.scope, "scope", "", "scopes of the access token, separated by spaces")
	fs.DurationVar(&o.timeout, "timeout", 0, "how long a helper may take; if 0, 30s, and 1s without -command")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: put the helper and its arguments into -command, between quotes", fs.Arg(0))
	case o.command == "" && o.outputFile+o.tokenURL+o.audience+o.scope != "":
		return o, errors.New("-output-file, -token-url, -audience and -scope are for a helper of yours: set -command")
	case o.command != "" && o.tokenURL == "":
		return o, errors.New("-command needs -token-url: where to exchange what the helper prints")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.command == "" {
		return demo(ctx, o, out)
	}
	command, err := subjecttoken.ParseCommand(o.command)
	if err != nil {
		return fmt.Errorf("-command: %w", err)
	}
	src, err := newSource(o, command)
	if err != nil {
		return err
	}
	return use(ctx, src, out)
}

// provider is the helper, as a source of subject tokens. The command is not
// given to a shell.
func provider(o options, command []string) subjecttoken.Exec {
	return subjecttoken.Exec{
		Command:    command,
		Format:     subjecttoken.FormatGoogle,
		Type:       subjecttoken.TypeJWT, // the helper must answer with the same
		Audience:   o.audience,
		OutputFile: o.outputFile,
		Timeout:    o.timeout,
	}
}

func newSource(o options, command []string) (*stssource.Source, error) {
	config := stssource.Config{
		TokenURL:     o.tokenURL,
		SubjectToken: provider(o, command),
		Scopes:       strings.Fields(o.scope),
	}
	if o.audience != "" {
		config.Audiences = []string{o.audience}
	}
	return stssource.New(config)
}

// use stands for what a program does with its tokens.
func use(ctx context.Context, src *stssource.Source, out io.Writer) error {
	token, err := src.TokenContext(ctx)
	if err != nil {
		return err
	}
	end := "has no known end"
	if !token.Expiry.IsZero() {
		end = "ends in " + time.Until(token.Expiry).Round(time.Second).String()
	}
	fmt.Fprintf(out, "  got an access token that %s\n", end)
	return nil
}
