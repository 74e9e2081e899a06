// Command gcloud-config says what a credential file of workload identity
// federation amounts to: who the program will be, where each request goes, and
// what the token is like that comes of it.
//
//	go run ./examples/gcloud-config -dry-run credentials.json
//
// With -dry-run it makes no request and runs no command: it reads the file,
// checks it whole, and says what would be done. Without an argument it reads the
// file that GOOGLE_APPLICATION_CREDENTIALS names. The token itself is printed
// with -show-token alone.
//
// A file that sends tokens to other hosts than Google's is refused unless they
// are named with -allow-host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/subjecttoken"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gcloud-config:", err)
		os.Exit(1)
	}
}

// options are the command line.
type options struct {
	file              string
	allow, scopes     string
	dryRun, showToken bool
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet("gcloud-config", flag.ExitOnError)
	fs.StringVar(&o.allow, "allow-host", "", "further hosts that the file may send tokens to, separated by commas")
	fs.StringVar(&o.scopes, "scope", "", "scopes of the token, separated by spaces; if empty, that of all of Google Cloud")
	fs.BoolVar(&o.dryRun, "dry-run", false, "make no request and run no command")
	fs.BoolVar(&o.showToken, "show-token", false, "print the token, which is a secret")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 1 {
		return o, fmt.Errorf("more than one file is named, %q and %q; flags go before the file", fs.Arg(0), fs.Arg(1))
	}
	if o.dryRun && o.showToken {
		return o, errors.New("-dry-run gets no token that -show-token could show")
	}
	o.file = fs.Arg(0)
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.file == "" && os.Getenv("GOOGLE_APPLICATION_CREDENTIALS") == "" {
		return demo(ctx, o, out)
	}
	return show(ctx, o, out)
}

// show says what the file amounts to, and gets a token unless it is a dry run.
func show(ctx context.Context, o options, out io.Writer) error {
	config, err := load(o)
	if err != nil {
		return err
	}
	config.Scopes = strings.Fields(o.scopes)
	src, err := gcp.New(config) // makes no request
	if err != nil {
		return err
	}
	if err := describe(out, config); err != nil || o.dryRun {
		return err
	}
	fmt.Fprintln(out)
	start := time.Now()
	token, err := src.TokenContext(ctx)
	if err != nil {
		return err
	}
	describeToken(out, token, time.Since(start))
	if o.showToken {
		line(out, "token", "%s", token.AccessToken)
	}
	return nil
}

func load(o options) (gcp.Config, error) {
	var hosts []string
	if o.allow != "" {
		hosts = strings.Split(o.allow, ",")
	}
	if o.file == "" {
		return gcp.FromEnvironment(hosts...)
	}
	return gcp.FromFile(o.file, hosts...)
}

func line(out io.Writer, name, format string, args ...any) {
	fmt.Fprintf(out, "%-16s"+format+"\n", append([]any{name}, args...)...)
}

// describe says who the program will be and where each request goes, in the
// order in which they are made.
func describe(out io.Writer, c gcp.Config) error {
	tokenURL, err := c.Endpoint.TokenURL()
	if err != nil {
		return err
	}
	line(out, "identity", "%s", identity(c))
	line(out, "accepted by", "%s", c.Audience)
	line(out, "subject token", "%s, as a %s", subject(c.SubjectToken), c.SubjectTokenType)
	line(out, "exchanged at", "POST %s", withoutQuery(tokenURL))
	if c.Impersonate != nil {
		line(out, "impersonated at", "POST %s", withoutQuery(c.Impersonate.URL))
	}
	if c.ClientID != "" {
		line(out, "client", "%s", c.ClientID)
	}
	if c.QuotaProject != "" {
		line(out, "quota project", "%s", c.QuotaProject)
	}
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = []string{gcp.CloudPlatform}
	}
	line(out, "scopes", "%s", strings.Join(scopes, " "))
	return nil
}

func identity(c gcp.Config) string {
	if c.Impersonate != nil {
		return "the service account " + c.Impersonate.ServiceAccount
	}
	return "what the provider makes of the subject token"
}

// subject says where the subject token comes from, without the header and
// query of a URL and without the arguments of a command, which may be secrets.
func subject(p subjecttoken.Provider) string {
	switch p := p.(type) {
	case subjecttoken.File:
		return "file " + p.Path
	case subjecttoken.URL:
		return "GET " + withoutQuery(p.URL)
	case subjecttoken.Exec:
		return "command " + p.Command[0]
	}
	return fmt.Sprintf("%T", p)
}

func withoutQuery(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "?"
	}
	u.RawQuery = ""
	return u.String()
}

func describeToken(out io.Writer, t *oauth2.Token, took time.Duration) {
	line(out, "token type", "%s", t.TokenType)
	line(out, "length", "%d characters", len(t.AccessToken))
	if issued, ok := t.Extra("issued_token_type").(string); ok {
		line(out, "issued as", "%s", issued)
	}
	if t.Expiry.IsZero() {
		line(out, "ends", "never, as far as is known")
	} else {
		line(out, "ends", "in %v, at %s", time.Until(t.Expiry).Round(time.Second), t.Expiry.UTC().Format(time.RFC3339))
	}
	line(out, "took", "%v", took.Round(time.Millisecond))
}
