package stssource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/subjecttoken"
)

const (
	grantType           = "urn:ietf:params:oauth:grant-type:token-exchange"
	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

	// requestTimeout bounds one token request, if the HTTP client has no
	// timeout of its own. An exchange is quick; a request that takes longer has
	// met a dead connection or a server in trouble, and the deadline of the
	// whole exchange leaves time for another.
	requestTimeout = 15 * time.Second

	// subjectSkew is how much of its life a subject token must have left to be
	// worth sending.
	subjectSkew = time.Second
)

// exchanger makes token exchanges as its config says. It has no state.
type exchanger struct {
	config    Config // its TokenURL has the Query in it
	transport http.RoundTripper
	timeout   time.Duration // of a single request
}

// tokens are the credentials of one exchange.
type tokens struct {
	subject, actor, assertion subjecttoken.Token
}

func newExchanger(c Config) *exchanger {
	if len(c.Query) > 0 {
		u, _ := url.Parse(c.TokenURL) // checked
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += c.Query.Encode()
		c.TokenURL, c.Query = u.String(), nil
	}
	x := &exchanger{config: c, timeout: requestTimeout}
	if c.HTTPClient != nil && c.HTTPClient.Timeout > 0 {
		x.timeout = c.HTTPClient.Timeout
	}
	x.transport = safehttp.Transport(withoutAuthorization(c.HTTPClient))
	return x
}

// name is the host of the service.
func (x *exchanger) name() string { return hostOf(x.config.TokenURL) }

// withoutAuthorization returns a client like base without those layers of its
// transport that would authorize the request.
func withoutAuthorization(base *http.Client) *http.Client {
	if base == nil {
		return nil
	}
	bare := &http.Client{Transport: base.Transport}
	for {
		switch t := bare.Transport.(type) {
		case *oauth2.Transport:
			bare.Transport = nil
			if t != nil {
				bare.Transport = t.Base
			}
		case *Transport:
			bare.Transport = nil
			if t != nil {
				bare.Transport = t.Base
			}
		default:
			return bare
		}
	}
}

// fetch turns a subject token into an access token. If the service refuses
// in a way that may mean that a token has just been replaced, the providers are
// asked once more, and what they give is sent if it is another. That is left out
// after refusals, which a provider whose tokens are new each time would double.
func (x *exchanger) fetch(ctx context.Context, refusals int) (oauth2.Token, error) {
	t, err := x.gather(ctx)
	if err != nil {
		return oauth2.Token{}, err
	}
	token, err := x.request(ctx, t)
	if err == nil || refusals > 0 || !asError(err).stale {
		return token, err
	}
	again, gatherErr := x.gather(ctx)
	if gatherErr != nil || again.same(t) {
		return oauth2.Token{}, err
	}
	return x.request(ctx, again)
}

// same reports whether t and u would be sent as the same request.
func (t tokens) same(u tokens) bool {
	return t.subject.Value == u.subject.Value && t.actor.Value == u.actor.Value && t.assertion.Value == u.assertion.Value
}

// gather asks the providers.
func (x *exchanger) gather(ctx context.Context) (t tokens, err error) {
	c := &x.config
	t.subject, err = ask(ctx, StageSubjectToken, c.SubjectToken, c.SubjectTokenType)
	if err == nil && c.ActorToken != nil {
		t.actor, err = ask(ctx, StageActorToken, c.ActorToken, c.ActorTokenType)
	}
	if err == nil && c.ClientAssertion != nil {
		t.assertion, err = ask(ctx, StageClientAssertion, c.ClientAssertion, "")
	}
	return t, err
}

// ask gets a token from p and refuses what no service would accept.
func ask(ctx context.Context, stage Stage, p subjecttoken.Provider, defaultType string) (subjecttoken.Token, error) {
	t, err := p.SubjectToken(ctx)
	if err != nil {
		return t, &Error{Stage: stage, Temporary: isTemporary(err), Err: redact.New(t.Value).Error(err)}
	}
	if t.Value == "" {
		return t, &Error{Stage: stage, Err: fmt.Errorf("%T returned an empty or missing token and no error", p)}
	}
	if t.Type == "" {
		t.Type = defaultType
	}
	if t.Type == "" {
		t.Type = subjecttoken.TypeJWT
	}
	if t.Expiry.IsZero() {
		t.Expiry = jwtExpiry(t.Value)
	}
	if left := time.Until(t.Expiry); !t.Expiry.IsZero() && left < subjectSkew {
		return t, &Error{Stage: stage, Err: fmt.Errorf("%s: the token %s: renew it at its source, or check this machine's clock",
			describe(p), ended(left))}
	}
	return t, nil
}

func ended(left time.Duration) string {
	if left > 0 {
		return fmt.Sprintf("expires in %v", left.Round(time.Millisecond))
	}
	return fmt.Sprintf("expired %v ago", -left.Round(time.Second))
}

// describe names a provider for a message.
func describe(p subjecttoken.Provider) string {
	if s, ok := p.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", p)
}

// request sends one token request and reads the answer. It asks the transport
// itself and no http.Client, which would follow redirects: those would post the
// subject token elsewhere.
func (x *exchanger) request(ctx context.Context, t tokens) (token oauth2.Token, err error) {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	req, err := x.newRequest(ctx, t)
	if err != nil {
		return token, x.failed(t, safehttp.Cause(err))
	}
	sent := time.Now()
	resp, err := safehttp.Send(x.transport, req)
	if err != nil {
		return token, x.failed(t, late(ctx, sent, err))
	}
	defer resp.Body.Close()
	if safehttp.IsRedirect(resp.StatusCode) {
		return token, x.unusable(t, resp, redirectError(resp))
	}
	body, err := safehttp.ReadBody(resp.Body)
	if err != nil {
		e := x.failed(t, fmt.Errorf("reading the answer: %w", late(ctx, sent, err)))
		e.StatusCode = resp.StatusCode
		return token, e
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		e := x.refused(t, resp, body)
		e.strayed = x.strayed(req, resp)
		return token, e
	}
	token, err = decodeToken(body, x.config.requestedType(), sent)
	if err != nil {
		if code, _, _ := decodeRefusal(body); code != "" {
			return token, x.refused(t, resp, body) // some services refuse with 200
		}
		return token, x.unusable(t, resp, err)
	}
	if token.Expiry.IsZero() {
		token.Expiry = inheritedExpiry(token, t.subject)
	}
	return token, nil
}

// late says how long there was no answer, if that is what err is about. Transports
// differ in what they make of the end of a context; the deadline is in the error
// in any case.
func late(ctx context.Context, sent time.Time, err error) error {
	err = safehttp.Cause(err)
	if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("no answer after %v: %w", time.Since(sent).Round(time.Millisecond), err)
}

// strayed reports whether a transport of the caller's added an Authorization
// header of its own, which may be why the service refuses. The transports that do
// so by their type are left out from the beginning; others show it in the request
// that they say they have sent.
func (x *exchanger) strayed(req *http.Request, resp *http.Response) bool {
	if x.config.sendsBasic() {
		return false
	}
	return hasAuthorization(req.Header) || resp.Request != nil && hasAuthorization(resp.Request.Header)
}

// inheritedExpiry returns when a token ends of which the answer does not say
// so: with the subject token, as Google's do, or as it says itself if that is
// earlier.
func inheritedExpiry(token oauth2.Token, subject subjecttoken.Token) time.Time {
	own := jwtExpiry(token.AccessToken)
	if subject.Expiry.IsZero() || !own.IsZero() && own.Before(subject.Expiry) {
		return own
	}
	return subject.Expiry
}
