// Package subjecttoken says where subject tokens come from: the credential
// that a workload already has and that a token exchange (RFC 8693) turns into
// an access token.
//
// A [Provider] is asked anew for every exchange, so that a credential which
// was rotated meanwhile is used at once:
//
//	File    a file, such as a projected Kubernetes token
//	URL     an HTTP endpoint, such as a metadata server
//	Exec    a program's output, such as Google's executable protocol
//	Env     an environment variable
//	X509    a client certificate
//	Static  a value in memory
//	Func    a function of yours
//
// [FromTokenSource] uses another token source's access token as the subject,
// and [Cached] keeps a token that is costly to get.
//
// For many platforms there is a preset, which knows where the platform keeps
// its tokens, and outside of it says what to set: [GitHubActions], [GitLab],
// [CircleCI], [Bitbucket], [Buildkite], [HCPTerraform], [GCEMetadata],
// [AzureManagedIdentity], [AzureWorkloadIdentity] and [EKSServiceAccount].
// Their tokens have no Type, so that whoever uses them decides. For Kubernetes,
// SPIFFE and Vault see the examples.
//
// The providers are plain structs: set their fields and hand them over. Each
// has a Validate method that reports all mistakes of its configuration at
// once, without reading, asking or running anything.
//
// Every error of a provider is an [*Error]. It names the source and says what
// to do, and never shows what was read. Tokens and the providers that hold
// secrets hide them from fmt, log/slog, encoding/json and encoding/xml.
//
// This package does not verify tokens: whoever receives them does that.
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
	TypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TypeSAML1        = "urn:ietf:params:oauth:token-type:saml1"
	TypeSAML2        = "urn:ietf:params:oauth:token-type:saml2"
	TypeJWT          = "urn:ietf:params:oauth:token-type:jwt"
)

// Token types that Google's token service knows besides those of RFC 8693.
const (
	TypeAWS4Request = "urn:ietf:params:aws:token-type:aws4_request" // a signed GetCallerIdentity request
	TypeMTLS        = "urn:ietf:params:oauth:token-type:mtls"       // the client certificate of the connection
)

// Provider gives subject tokens. Most programs use one of this package's
// providers; implement it, or use [Func], for a source that is not among them.
//
// SubjectToken is called for each exchange. It must be safe for concurrent
// use, should return early when ctx is done, and its errors should not hold
// secrets.
//
// A Provider may also have a method Validate() error, which is called once,
// before the first exchange.
type Provider interface {
	SubjectToken(ctx context.Context) (Token, error)
}

// Token is a subject token. It shows itself without its Value to fmt,
// log/slog, encoding/json and encoding/xml.
type Token struct {
	// Value is the secret.
	Value string

	// Type is the token type URI of RFC 8693, section 3, such as [TypeJWT].
	// If empty, whoever uses the token decides.
	Type string

	// Expiry is when the token ends. If zero, that is not known. The
	// providers of this package fill it from the exp claim if Value is a
	// JSON Web Token and nothing else tells.
	Expiry time.Time
}

// Format prints the token without its value, whatever the verb.
func (t Token) Format(f fmt.State, _ rune) { redact.Format(f, t.describe("Token")) }

// MarshalText gives the text of Format: a token is not stored by mistake.
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

// Static is a [Provider] that always gives the same token. It suits tests and
// tokens that outlive the program; for anything rotated use another provider.
type Static Token

var _ Provider = Static{}

// SubjectToken returns the token, with surrounding white space removed.
func (s Static) SubjectToken(context.Context) (Token, error) {
	t, err := newToken(s.Value, s.Type, s.Expiry)
	if err != nil {
		return Token{}, fail(sourceStatic, err)
	}
	return t, nil
}

// Validate reports whether there is a token in s.
func (s Static) Validate() error {
	_, err := s.SubjectToken(context.Background())
	return err
}

// Format prints s without its value, whatever the verb.
func (s Static) Format(f fmt.State, _ rune) { redact.Format(f, Token(s).describe("Static")) }

// MarshalText gives the text of Format.
func (s Static) MarshalText() ([]byte, error) { return []byte(Token(s).describe("Static")), nil }

const (
	sourceStatic = "static subject token"
	sourceFunc   = "subject token function"
)

// Func is a [Provider] that calls a function. The function gets the very
// context that SubjectToken is called with. Its token is checked and completed
// like any other; its error is wrapped in an [*Error] unless it is one.
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

// Validate reports whether there is a function.
func (f Func) Validate() error {
	if f == nil {
		return fail(sourceFunc, errors.New("the function is nil"))
	}
	return nil
}

// Error says which source gave no subject token and why. It never holds what
// was read from the source, nor the secrets that were used to ask it.
type Error struct {
	// Source names the source: "file /var/run/token", "url
	// https://host/path" (without its query), "command get-token" (without
	// its arguments), "environment variable TOKEN", or the preset, such as
	// "GitLab ID token".
	Source string

	// StatusCode is the HTTP status of the last answer of a [URL] or of a
	// preset that asks one. If zero, there was no answer, or nobody was asked.
	StatusCode int

	// Temporary says that asking again a little later may work without
	// anybody changing anything.
	Temporary bool

	// Err is the cause, and says what to do where that is known.
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
