package gcp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// StageImpersonation is the Stage of a [stssource.Error] if the IAM Service
// Account Credentials API was asked, as [Impersonate] and [IDToken] do.
const StageImpersonation stssource.Stage = "impersonation"

const (
	// requestTimeout bounds one request, if the HTTP client has no timeout of its
	// own, as it does in a token exchange: the deadline of the whole fetch leaves
	// time for another.
	requestTimeout = 15 * time.Second

	// maxDescription is how much of a service's own words an error shows.
	maxDescription = 512
)

// iamCall asks a method that makes tokens of a service account. It has no
// state.
type iamCall struct {
	source    oauth2.TokenSource
	authorize subjecttoken.Provider
	account   account
	url       string
	host      string
	body      []byte
	client    *http.Client
}

func newIAMCall(source oauth2.TokenSource, a account, client *http.Client, members map[string]any) *iamCall {
	if names := a.delegation(); len(names) > 0 {
		members["delegates"] = names
	}
	body, _ := encodeJSON(members) // strings, lists of them and a bool always encode
	c := &iamCall{source: source, authorize: subjecttoken.FromTokenSource(source), account: a, url: a.target(),
		body: []byte(body), client: safehttp.Client(withoutAuthorization(client))}
	if c.client.Timeout == 0 {
		c.client.Timeout = requestTimeout
	}
	if u, err := url.Parse(c.url); err == nil {
		c.host = u.Host
	}
	return c
}

// token asks for a token. If the one that authorizes the request is rejected,
// its source is told and asked once more.
func (c *iamCall) token(ctx context.Context, decode func([]byte) (*oauth2.Token, error)) (*oauth2.Token, error) {
	for again := false; ; again = true {
		bearer, err := c.bearer(ctx)
		if err != nil {
			return nil, err
		}
		body, failure := c.post(ctx, bearer)
		if failure == nil {
			return c.decoded(body, decode)
		}
		src, ok := c.source.(interface{ Invalidate(*oauth2.Token) })
		if again || !ok || failure.StatusCode != http.StatusUnauthorized {
			return nil, failure
		}
		src.Invalidate(&oauth2.Token{AccessToken: bearer})
	}
}

// bearer returns the token that authorizes the request. An error of one of this
// module's sources says already all there is to say.
func (c *iamCall) bearer(ctx context.Context) (string, error) {
	t, err := c.authorize.SubjectToken(ctx)
	if err == nil {
		return t.Value, nil
	}
	failure := &stssource.Error{Stage: StageImpersonation, Err: err}
	if e, ok := err.(*subjecttoken.Error); ok {
		failure.Temporary = e.Temporary
		if inner, ok := e.Err.(*stssource.Error); ok {
			failure = inner
		}
	}
	return "", failure
}

func (c *iamCall) decoded(body []byte, decode func([]byte) (*oauth2.Token, error)) (*oauth2.Token, error) {
	t, err := decode(body)
	if err == nil && strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		err = errors.New("the token of the answer has characters that a token cannot have")
	}
	if err != nil {
		return nil, &stssource.Error{Stage: StageImpersonation, Host: c.host, StatusCode: http.StatusOK, Err: err}
	}
	return t, nil
}

// secrets returns what must not be shown of a request: the token, and what the
// URL has in its query.
func (c *iamCall) secrets(bearer string) redact.Secrets {
	values := []string{bearer}
	if u, err := url.Parse(c.url); err == nil {
		for _, query := range u.Query() {
			values = append(values, query...)
		}
	}
	return redact.New(values...)
}

// post sends the request once and returns the body of a success.
func (c *iamCall) post(ctx context.Context, bearer string) ([]byte, *stssource.Error) {
	secrets := c.secrets(bearer)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(c.body))
	if err != nil {
		return nil, c.failed(0, secrets, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, c.failed(0, secrets, err)
	}
	defer resp.Body.Close()
	body, err := safehttp.ReadBody(resp.Body)
	switch {
	case safehttp.IsRedirect(resp.StatusCode):
		return nil, c.redirected(resp, secrets)
	case err != nil:
		return nil, c.failed(resp.StatusCode, secrets, fmt.Errorf("reading the answer: %w", err))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, c.refused(resp, body, secrets)
	}
	return body, nil
}

// failed describes a request without an answer.
func (c *iamCall) failed(status int, secrets redact.Secrets, err error) *stssource.Error {
	err = safehttp.Cause(err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	return &stssource.Error{
		Stage:      StageImpersonation,
		Host:       c.host,
		StatusCode: status,
		Temporary:  !untrusted && !errors.Is(err, safehttp.ErrBodyTooLarge),
		Err:        secrets.Error(err),
	}
}

// redirected describes a redirect, which would take the token elsewhere.
func (c *iamCall) redirected(resp *http.Response, secrets redact.Secrets) *stssource.Error {
	to := "nowhere"
	if u, err := resp.Location(); err == nil {
		to = secrets.Text(u.Host, 100)
	}
	return &stssource.Error{Stage: StageImpersonation, Host: c.host, StatusCode: resp.StatusCode,
		Err: fmt.Errorf("%d: a redirect to %q was refused", resp.StatusCode, to)}
}

// refused describes a refusal, which is a google.rpc.Status unless something in
// between answers.
func (c *iamCall) refused(resp *http.Response, body []byte, secrets redact.Secrets) *stssource.Error {
	var answer struct {
		Error struct {
			Status  string `json:"status"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // what fits is kept
	code, message := answer.Error.Status, answer.Error.Message
	if code == "" && message == "" {
		message = textOf(resp, body)
	}
	r := &oauth2.RetrieveError{
		Response:         bare(resp, secrets),
		Body:             secrets.Bytes(body),
		ErrorCode:        secrets.Text(code, 64),
		ErrorDescription: secrets.Text(message, maxDescription),
	}
	return &stssource.Error{
		Stage:       StageImpersonation,
		Host:        c.host,
		StatusCode:  resp.StatusCode,
		Code:        r.ErrorCode,
		Description: r.ErrorDescription + c.hint(resp.StatusCode),
		Temporary:   safehttp.TemporaryStatus(resp.StatusCode),
		Err:         r,
	}
}

// hint says what to look at.
func (c *iamCall) hint(status int) string {
	switch status {
	case http.StatusForbidden, http.StatusNotFound:
		return fmt.Sprintf(" (check that %s exists and that the caller has roles/iam.workloadIdentityUser or "+
			"roles/iam.serviceAccountTokenCreator on it)", c.account.name)
	case http.StatusUnauthorized:
		return " (the token of the source was not accepted: check its scopes, " + CloudPlatform + " being one)"
	}
	return ""
}

// textOf returns a body that is not a google.rpc.Status, if a person can read
// it.
func textOf(resp *http.Response, body []byte) string {
	switch {
	case strings.Contains(resp.Header.Get("Content-Type"), "html"), bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		return "an HTML page: something other than Google's service answered"
	case len(bytes.TrimSpace(body)) == 0, bytes.IndexByte(body, 0) >= 0:
		return "no reason given"
	}
	return string(body)
}

// bare returns resp without the request, and with those header fields alone
// that say what to do next.
func bare(resp *http.Response, secrets redact.Secrets) *http.Response {
	b := &http.Response{Status: resp.Status, StatusCode: resp.StatusCode, Header: make(http.Header), Body: http.NoBody}
	for _, name := range []string{"Content-Type", "Date", "Retry-After", "Www-Authenticate"} {
		for _, v := range resp.Header[name] {
			b.Header.Add(name, secrets.Text(v, maxDescription))
		}
	}
	return b
}

// withoutAuthorization returns a client like base without those layers of its
// transport that would put another token in place of the one that is meant, or
// where none is. Nil stays nil.
func withoutAuthorization(base *http.Client) *http.Client {
	if base == nil {
		return nil
	}
	bare := &http.Client{Transport: base.Transport, Timeout: base.Timeout}
	for {
		switch t := bare.Transport.(type) {
		case *oauth2.Transport:
			bare.Transport = nil
			if t != nil {
				bare.Transport = t.Base
			}
		case *stssource.Transport:
			bare.Transport = nil
			if t != nil {
				bare.Transport = t.Base
			}
		default:
			return bare
		}
	}
}
