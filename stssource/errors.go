package stssource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/subjecttoken"
)

// Stage is the step on the way to a token at which an error arose.
type Stage string

const (
	StageSubjectToken    Stage = "subject token"    // Config.SubjectToken was asked
	StageActorToken      Stage = "actor token"      // Config.ActorToken was asked
	StageClientAssertion Stage = "client assertion" // Config.ClientAssertion was asked
	StageExchange        Stage = "exchange"         // the token endpoint was asked
	StageFetch           Stage = "fetch"            // the function given to NewFromFunc was called; or a provider panicked or did not return
	StageWait            Stage = "wait"             // the caller's context ended before there was a token
	StageRequest         Stage = "request"          // a Transport was to authorize a request
)

// Error is the error of every failure to get a token. Its text is one line that
// says what was being done, with which host, what came back and, where that is
// known, what to do. Neither its text nor its fields hold a secret.
//
// If the token endpoint refused the exchange, [errors.As] finds an
// [*oauth2.RetrieveError]. For other failures, [errors.As] and [errors.Is] find
// the cause: a [*subjecttoken.Error], [context.DeadlineExceeded],
// [io/fs.ErrNotExist] and the like.
type Error struct {
	// Stage is what was being done.
	Stage Stage

	// Host is the host that was asked for a token. If empty, none was.
	Host string

	// StatusCode is the HTTP status of its answer. If zero, there was none.
	StatusCode int

	// Code is the error code of its answer: an OAuth one (RFC 6749, section
	// 5.2), such as invalid_grant, or the status of a google.rpc.Status, such
	// as UNAVAILABLE. If empty, the answer had none.
	Code string

	// Description is the service's own description of the error, without
	// secrets and cut after 512 bytes. If empty, the answer had none.
	Description string

	// Temporary reports whether the same request may succeed later, without
	// anybody changing anything.
	Temporary bool

	// NextAttempt is when the source tries again at the earliest. Until then,
	// callers who have no token get this error at once. If zero, the next
	// caller has it try again.
	NextAttempt time.Time

	// Err is the cause.
	Err error

	retryAfter time.Duration // what the service asked for in Retry-After
	stale      bool          // a new subject token may mend it
	strayed    bool          // the HTTP client added an Authorization header
}

// errorPrefix begins the text of each error, once.
const errorPrefix = "stssource: "

// Error returns the description of e.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(errorPrefix)
	b.WriteString(string(e.Stage))
	if e.Host != "" {
		b.WriteString(" with " + e.Host)
	}
	b.WriteString(": ")
	b.WriteString(e.outcome())
	if hint := e.hint(); hint != "" {
		b.WriteString(" (" + hint + ")")
	}
	return b.String()
}

// maxCause is how much of a cause's message an error shows, in bytes.
const maxCause = 2048

// outcome says what came back.
func (e *Error) outcome() string {
	if e.StatusCode == 0 || e.Code == "" && e.Description == "" {
		if e.Err == nil {
			return "failed"
		}
		// A source may have its tokens from another one, whose errors begin alike.
		cause := strings.ReplaceAll(e.Err.Error(), errorPrefix, "")
		return redact.Secrets{}.Text(cause, maxCause)
	}
	parts := []string{fmt.Sprintf("%d", e.StatusCode)}
	if e.Code != "" {
		parts[0] += " " + e.Code
	}
	if e.Description != "" {
		parts = append(parts, e.Description)
	}
	return strings.Join(parts, ": ")
}

// hints says what to look at, by the code of the refusal. They are suggestions:
// services use the codes of RFC 6749 and RFC 8693 loosely.
var hints = map[string]string{
	"invalid_client":         "check ClientID, ClientSecret and AuthStyle; Keycloak says this of an unknown audience, too",
	"unauthorized_client":    "the client may not use token exchange, or a condition at the service excludes the subject token",
	"invalid_grant":          "the service does not accept the subject token: check its issuer, audience and age",
	"invalid_token":          "the service does not accept the subject token: check its issuer, audience and age",
	"invalid_target":         "check Audiences and Resources: the service does not know them, or they are disabled",
	"invalid_scope":          "check Scopes",
	"access_denied":          "the service does not accept the subject token, or forbids this exchange",
	"unsupported_grant_type": "the service does not offer token exchange at this TokenURL",
	"unsupported_token_type": "check SubjectTokenType and RequestedTokenType",
	"invalid_request":        "check the subject and actor token, the client's credentials and the parameters",
}

func (e *Error) hint() string {
	if e.Stage != StageExchange {
		return ""
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](e.Err); ok {
		return "add its certificate authority to those that this machine, or HTTPClient's Transport, trusts"
	}
	if e.StatusCode == 0 {
		return ""
	}
	if e.strayed {
		return "Config.HTTPClient adds an Authorization header to token requests: use one that does not"
	}
	if hint := hints[e.Code]; hint != "" {
		return hint
	}
	switch e.StatusCode {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "check the path of TokenURL"
	case http.StatusUnauthorized:
		return "check the client credentials and the subject token"
	case http.StatusInternalServerError:
		return "if it lasts, check audiences and scopes: some services answer a wrong one like this"
	}
	return ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// withNext returns a copy of e that says when the next attempt may be made.
func (e *Error) withNext(next time.Time) *Error {
	c := *e
	c.NextAttempt = next.Round(0)
	return &c
}

// mendable reports whether e may end by itself as soon as a token that this
// program is given is written or rotated.
func (e *Error) mendable() bool {
	switch e.Stage {
	case StageSubjectToken, StageActorToken, StageClientAssertion:
		return true
	}
	return e.stale
}

// asError returns err as an *Error, which it is unless it comes from a function
// given to NewFromFunc or from the cache itself.
func asError(err error) *Error {
	asked := retryAfter(err)
	if e, ok := err.(*Error); ok && e != nil {
		if asked <= e.retryAfter {
			return e
		}
		c := *e // of another package, which cannot set it
		c.retryAfter = asked
		return &c
	}
	e := &Error{Stage: StageFetch, Temporary: isTemporary(err), Err: err, retryAfter: asked}
	if inner, ok := errors.AsType[*Error](err); ok && inner != nil {
		e.Temporary, e.retryAfter, e.stale = inner.Temporary, max(inner.retryAfter, e.retryAfter), inner.mendable()
	}
	return e
}

// retryAfter returns what the answer in err, if there is one, asks for.
func retryAfter(err error) time.Duration {
	if r, ok := errors.AsType[*oauth2.RetrieveError](err); ok && r != nil && r.Response != nil {
		return safehttp.RetryAfter(r.Response.Header)
	}
	return 0
}

// isTemporary reports whether err, which is no answer of a token endpoint, may
// pass by itself.
func isTemporary(err error) bool {
	if err, ok := errors.AsType[*subjecttoken.Error](err); ok {
		return err.Temporary
	}
	if err, ok := errors.AsType[*oauth2.RetrieveError](err); ok && err != nil && err.Response != nil {
		return safehttp.TemporaryStatus(err.Response.StatusCode)
	}
	if errors.Is(err, context.Canceled) || isUntrusted(err) {
		return false
	}
	return safehttp.IsNetwork(err) || errors.Is(err, context.DeadlineExceeded)
}

// isUntrusted reports whether err says that the other end is not who it should
// be, or does not speak TLS at all, which asking again does not change.
func isUntrusted(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	return verification || authority || host || invalid || errors.Is(err, http.ErrSchemeMismatch)
}
