package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

const (
	requestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"

	issuer     = "https://token.actions.githubusercontent.com"
	subject    = "repo:OWNER/REPO:ref:refs/heads/main"
	stsName    = "https://sts.example.com" // what the token service wants as an ID token's audience
	apiName    = "https://api.example.com"
	jobsSecret = "made-up-secret-of-the-job"
)

// demo shows the program outside of a job, in a job, and in a job that asked for
// a token for somebody else.
func demo(ctx context.Context, out io.Writer) error {
	service := &ststest.Handler{Accept: func(token string) error { return accept(token, out) }}
	sts := ststest.NewServer(service)
	defer sts.Close()
	api := httptest.NewServer(service.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	defer api.Close()
	runner := httptest.NewServer(&runner{out: out})
	defer runner.Close()
	o := options{tokenURL: sts.TokenURL, audience: apiName, idTokenAudience: stsName, api: api.URL}

	fmt.Fprintln(out, "No -token-url: the runner, the token service and the API are played on this machine.")
	fmt.Fprintln(out, "\nOutside of a job:")
	setenv("", "")
	if err := refused(ctx, o, out); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nIn a job:")
	setenv(runner.URL+"/idtoken?api-version=2.0", jobsSecret)
	src, err := newSource(o)
	if err != nil {
		return err
	}
	if err := use(ctx, src, o.api, out); err != nil {
		return err
	}

	fmt.Fprintln(out, "\nIn a job, with an ID token for another audience:")
	o.idTokenAudience = "https://other.example.com"
	return refused(ctx, o, out)
}

// refused runs the program where it must fail, and prints how it does.
func refused(ctx context.Context, o options, out io.Writer) error {
	src, err := newSource(o)
	if err != nil {
		return err
	}
	if err = use(ctx, src, o.api, out); err == nil {
		return errors.New("a token was issued that should have been refused")
	}
	fmt.Fprintf(out, "program  failed: %v\n", err)
	return nil
}

// setenv sets what a runner sets for a job whose permissions include id-token:
// write.
func setenv(url, token string) {
	_ = os.Setenv(requestURL, url)
	_ = os.Setenv(requestToken, token)
}

// runner is the token endpoint of an Actions runner. It fails the first time, as
// real ones do now and then.
type runner struct {
	out   io.Writer
	asked atomic.Int64
}

func (r *runner) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	status := http.StatusOK
	switch {
	case req.Method != http.MethodGet || req.Header.Get("Authorization") != "Bearer "+jobsSecret:
		status = http.StatusUnauthorized
	case r.asked.Add(1) == 1:
		status = http.StatusServiceUnavailable
	}
	audience := req.URL.Query().Get("audience")
	fmt.Fprintf(r.out, "runner   was asked for an ID token for %s: %d\n", audience, status)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if status == http.StatusOK {
		_ = json.NewEncoder(w).Encode(map[string]string{"value": idToken(audience)})
	}
}

type claims struct {
	Issuer   string `json:"iss"`
	Subject  string `json:"sub"`
	Audience string `json:"aud"`
	Expiry   int64  `json:"exp"`
}

// idToken returns a token with what matters of GitHub's claims. It is not
// signed: a real token service checks the signature first of all.
func idToken(audience string) string {
	payload, _ := json.Marshal(claims{issuer, subject, audience, time.Now().Add(5 * time.Minute).Unix()})
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(`{"alg":"none"}`)) + "." + enc(payload) + "."
}

// accept is what the token service makes of an ID token. To leave out the check
// of the subject would let in every repository on GitHub.
func accept(token string, out io.Writer) error {
	var c claims
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errors.New("the ID token is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	switch {
	case err != nil:
		return err
	case c.Issuer != issuer || c.Subject != subject:
		return fmt.Errorf("%s of %s may not do this", c.Subject, c.Issuer)
	case c.Audience != stsName:
		return fmt.Errorf("the ID token is for %s, not for %s", c.Audience, stsName)
	}
	fmt.Fprintf(out, "service  accepted %s\n", c.Subject)
	return nil
}
