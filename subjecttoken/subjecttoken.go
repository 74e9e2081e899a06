// Package subjecttoken provides subject tokens: credentials that a workload
// already has, and that a token exchange (RFC 8693) turns into access tokens.
//
// Choose a [Provider], and give it to package stssource:
//
//	src, err := stssource.New(stssource.Config{
//		TokenURL:     "https://sts.example.com/token",
//		SubjectToken: subjecttoken.File{Path: "/var/run/secrets/sts/token"},
//		Audiences:    []string{"my-api"},
//	})
//
// It is asked for a token at each exchange, so that a rotated one is used at
// once. These providers are structs whose fields are their configuration:
//
//	File    a file, such as a projected Kubernetes token
//	URL     an HTTP endpoint, such as a metadata server
//	Exec    a program's output
//	Env     an environment variable
//	X509    a client certificate
//	Static  a value in memory
//	Func    a function of yours
//
// Presets know where a platform keeps its tokens, and say what to set up where
// there are none: [GitHubActions], [GitLab], [CircleCI], [Bitbucket],
// [Buildkite], [HCPTerraform], [GCEMetadata], [AzureManagedIdentity],
// [AzureWorkloadIdentity] and [EKSServiceAccount]. [FromTokenSource] makes a
// provider of an [oauth2.TokenSource], and [Cached] keeps the tokens of a
// costly one. The examples of File, Exec and URL show Kubernetes, SPIFFE and
// Vault.
//
// All providers are safe for concurrent use. Their errors are of type [*Error].
// Tokens, and providers that hold secrets, hide them from fmt, log/slog,
// encoding/json and encoding/xml.
//
// The package does not verify tokens, and does not find out by itself on which
// platform it runs.
package subjecttoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
)

// The token types of RFC 8693, section 3.
const (
	TypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"  // an OAuth 2.0 access token
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token" // an OAuth 2.0 refresh token
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"      // an OpenID Connect ID token
	TypeSAML1        = "urn:ietf:params:oauth:token-type:saml1"         // a SAML 1.1 assertion, base64url-encoded
	TypeSAML2        = "urn:ietf:params:oauth:token-type:saml2"         // a SAML 2.0 assertion, base64url-encoded
	TypeJWT          = "urn:ietf:params:oauth:token-type:jwt"           // any JSON Web Token
)

// Token types of Google's Security Token Service that are not in RFC 8693. See
// https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token.
const (
	TypeAWS4Request = "urn:ietf:params:aws:token-type:aws4_request" // a signed GetCallerIdentity request
	TypeMTLS        = "urn:ietf:params:oauth:token-type:mtls"       // a client certificate: see X509
)

// Provider provides subject tokens. Most programs use one of this package's
// providers. For any other source use [Func], or implement Provider.
//
// SubjectToken is called for each exchange. It must be safe for concurrent use
// and should return soon after ctx is done. Its errors must not hold secrets.
//
// A Provider may also have a method Validate() error, which reports mistakes in
// its configuration. New of package stssource calls it; it should not block.
type Provider interface {
	SubjectToken(ctx context.Context) (Token, error)
}

// Token is a subject token. fmt, log/slog, encoding/json and encoding/xml show
// it without its Value.
type Token struct {
	// Value is the token itself, a secret.
	Value string

	// Type is the token type URI (RFC 8693, section 3), such as [TypeJWT]. If
	// empty, the exchange decides: stssource sends Config.SubjectTokenType.
	Type string

	// Expiry is when the token ends. If zero, that is not known. Providers of
	// this package take it from the source if it says so, and from the exp
	// claim if Value is a JSON Web Token.
	Expiry time.Time
}

// Format prints the token without its value, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { redact.Format(f, t.describe("Token")) }

// MarshalText returns the text that Format prints, so that a token is not
// encoded by mistake. There is no way to decode it.
func (t Token) MarshalText() ([]byte, error) { return []byte(t.describe("Token")), nil }

func (t Token) describe(name string) string {
	text := "subjecttoken." + name + "(" + redact.Mark
	if t.Value == "" {
		text = "subjecttoken." + name + "(empty"
	}
	if t.Type != "" {
		text += ", " + t.Type
	}
	if !t.Expiry.IsZero() {
		text += ", expires " + t.Expiry.UTC().Format(time.RFC3339)
	}
	return text + ")"
}

// Static is a [Provider] that always returns the same token. Use it in tests,
// and for tokens that outlive the program.
type Static Token

var _ Provider = Static{}

// SubjectToken returns the token, without the white space around it. An empty
// Value is an error.
func (s Static) SubjectToken(context.Context) (Token, error) {
	t, err := newToken(s.Value, s.Type, s.Expiry)
	if err != nil {
		return Token{}, fail(sourceStatic, err)
	}
	return t, nil
}

// Validate reports whether s has a usable token.
func (s Static) Validate() error {
	_, err := newToken(s.Value, s.Type, s.Expiry)
	return invalid(sourceStatic, err, checkType(s.Type))
}

// Format prints s without its value, whatever the verb.
func (s Static) Format(f fmt.State, _ rune) { redact.Format(f, Token(s).describe("Static")) }

// MarshalText returns the text that Format prints.
func (s Static) MarshalText() ([]byte, error) { return []byte(Token(s).describe("Static")), nil }

const (
	sourceStatic = "static subject token"
	sourceFunc   = "subject token function"
)

// Func is a [Provider] that calls a function, with the context that
// SubjectToken was given. White space around the token is removed, an empty
// Value is an error, and an Expiry that is zero is read from the token if it is
// a JSON Web Token. An error of the function is wrapped in an [*Error], unless
// it is one.
type Func func(context.Context) (Token, error)

var _ Provider = Func(nil)

// SubjectToken calls f.
func (f Func) SubjectToken(ctx context.Context) (Token, error) {
	if err := f.Validate(); err != nil {
		return Token{}, err
	}
	t, err := f(ctx)
	if err == nil {
		t, err = newToken(t.Value, t.Type, t.Expiry)
	}
	if err != nil {
		// An error that comes with a token may quote it.
		return Token{}, foreign(sourceFunc, redact.New(t.Value).Error(err))
	}
	return t, nil
}

// Validate reports whether f is not nil.
func (f Func) Validate() error {
	if f == nil {
		return fail(sourceFunc, errors.New("the function is nil"))
	}
	return nil
}

// Error is the error of every provider of this package. It says which source
// gave no subject token, and why. It never holds what was read from the source,
// or the secrets that were sent to it.
type Error struct {
	// Source names the source: "file /var/run/token", "url https://host/path"
	// (without the query), "command get-token" (without the arguments),
	// "environment variable TOKEN", or the preset, such as "GitLab ID token".
	Source string

	// StatusCode is the HTTP status of the last answer. If zero, there was
	// none, or the source is not asked by HTTP.
	StatusCode int

	// Temporary reports whether the same call may succeed a little later,
	// without anybody changing anything.
	Temporary bool

	// Err is the cause. Where that is known, it says what to do.
	Err error
}

// Error returns the source and the cause.
func (e *Error) Error() string { return e.Source + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(source string, err error) error { return &Error{Source: source, Err: err} }

// foreign wraps an error of code that is not ours. Such an error may hold
// anything, so what looks like a token is hidden.
func foreign(source string, err error) error {
	if e, ok := err.(*Error); ok {
		return e
	}
	return &Error{Source: source, Temporary: passing(err), Err: redact.Secrets{}.Error(err)}
}

// passing reports whether err is of the kind that goes away by itself: the
// network's, or a server's that is overloaded or down.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Temporary
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil {
		return safehttp.TemporaryStatus(e.Response.StatusCode)
	}
	return safehttp.IsNetwork(err) || errors.Is(err, context.DeadlineExceeded)
}

// caused is a message of ours with a cause whose own message would repeat it,
// or would show what must not be shown.
type caused struct {
	text  string
	cause error
}

func (c *caused) Error() string { return c.text }
func (c *caused) Unwrap() error { return c.cause }

func because(cause error, format string, args ...any) error {
	return &caused{text: fmt.Sprintf(format, args...), cause: cause}
}
