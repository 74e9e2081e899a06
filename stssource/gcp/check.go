package gcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// mistake is something wrong with a field. The field is kept apart from the
// text because the same field has another name in a credential file.
type mistake struct {
	field string
	err   error
}

func (m mistake) Error() string { return m.field + ": " + m.err.Error() }
func (m mistake) Unwrap() error { return m.err }

// mistakes collects what is wrong, so that all of it is told at once.
type mistakes []mistake

func (m *mistakes) add(field, format string, args ...any) {
	*m = append(*m, mistake{field, fmt.Errorf(format, args...)})
}

// join adds err under field, each of joined errors by itself, and nothing if
// err is nil.
func (m *mistakes) join(field string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			m.join(field, e)
		}
		return
	}
	if err != nil {
		*m = append(*m, mistake{field, err})
	}
}

// under adds those of another, the fields of which are below field.
func (m *mistakes) under(field string, others mistakes) {
	for _, o := range others {
		*m = append(*m, mistake{field + "." + o.field, o.err})
	}
}

func (m mistakes) errors() []error {
	errs := make([]error, len(m))
	for i := range m {
		errs[i] = m[i]
	}
	return errs
}

// maxUserProject is the limit of the API reference, in characters.
const maxUserProject = 32

// check returns what is wrong with c, but for what is wrong with the exchange
// that it makes: that is for stssource.New to find.
func (c Config) check() mistakes {
	var wrong mistakes
	wrong.join("Audience", checkAudience(c.Audience, c.Endpoint.universe()))
	wrong.under("Endpoint", c.Endpoint.check())
	wrong.join("SubjectTokenType", c.Endpoint.checkSubjectType(c.SubjectTokenType))
	c.checkActor(&wrong)
	c.checkUserProject(&wrong)
	c.checkBoundary(&wrong)
	wrong.join("HTTPClient", c.Endpoint.checkClient(c.HTTPClient))
	if p := c.QuotaProject; strings.ContainsFunc(p, notInProject) {
		wrong.add("QuotaProject", "%q is not the number or ID of a project", p)
	}
	if c.Impersonate != nil {
		i := c.impersonation()
		i.Universe = c.Impersonate.Universe // that of c has been checked
		wrong.under("Impersonate", i.check())
		wrong.join("Impersonate", checkRefresh(c.Impersonate.Refresh))
	}
	return wrong
}

// checkRefresh returns what a Source of one's own would say of r.
func checkRefresh(r stssource.Refresh) error {
	_, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) { return nil, nil }, r)
	return errors.Unwrap(err)
}

func (c Config) checkActor(wrong *mistakes) {
	if c.ActorToken != nil && c.Endpoint.isBeta() {
		wrong.add("ActorToken", "v1beta takes none: use v1")
	}
	if t := c.ActorTokenType; t != "" && t != subjecttoken.TypeJWT && t != subjecttoken.TypeIDToken {
		wrong.add("ActorTokenType", "%q is neither that of a JWT nor that of an ID token", t)
	}
}

func (c Config) checkUserProject(wrong *mistakes) {
	const field = "WorkforcePoolUserProject"
	p := c.WorkforcePoolUserProject
	if p == "" {
		return
	}
	n := utf8.RuneCountInString(p)
	switch {
	case c.ClientID != "": // not sent, and Google's libraries do not mind
	case n > maxUserProject:
		wrong.add(field, "has %d characters, and %d is the most", n, maxUserProject)
	case strings.ContainsFunc(p, notInProject):
		wrong.add(field, "%q is not the number or ID of a project", p)
	}
	if !isWorkforce(c.Audience, c.Endpoint.universe()) {
		wrong.add(field, "is for workforce pools, and the audience is not the provider of one: leave it out, or set QuotaProject")
	}
}

// notInProject reports a character that no project has in its number or ID,
// domain-scoped ones (example.com:my-project) included.
func notInProject(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.:", r))
}

func (c Config) checkBoundary(wrong *mistakes) {
	const field = "AccessBoundary"
	if c.AccessBoundary == nil {
		return
	}
	wrong.under(field, c.AccessBoundary.check())
	if isWorkforce(c.Audience, c.Endpoint.universe()) {
		wrong.add(field, "workforce pools have none")
	}
	if c.Impersonate != nil {
		wrong.add(field, "would bind the federated token and not those of the service account: use Downscope on the Source")
	}
}

// Token types by the version that takes them, as the API reference has them.
var (
	betaTypes = []string{
		subjecttoken.TypeJWT, subjecttoken.TypeIDToken, subjecttoken.TypeAccessToken, subjecttoken.TypeAWS4Request,
	}
	// neverTypes are types of RFC 8693 that Google does not know. Others pass:
	// v1 has learned new ones before.
	neverTypes = []string{subjecttoken.TypeRefreshToken, subjecttoken.TypeSAML1}
)

// checkSubjectType checks the type of a subject token. The empty one is left
// to stssource, which makes it a JWT.
func (e Endpoint) checkSubjectType(t string) error {
	if t == "" {
		return nil
	}
	if e.isBeta() && !slices.Contains(betaTypes, t) {
		return fmt.Errorf("v1beta does not take %q: use v1", t)
	}
	if slices.Contains(neverTypes, t) {
		//lint:ignore ST1005 Google is a name
		return fmt.Errorf("Google's service does not take %q", t)
	}
	return nil
}

// betaSubject refuses the tokens of a provider that v1beta does not take, where
// only the provider knows their type.
type betaSubject struct{ subjecttoken.Provider }

func (b betaSubject) SubjectToken(ctx context.Context) (subjecttoken.Token, error) {
	t, err := b.Provider.SubjectToken(ctx)
	if err != nil {
		return t, err
	}
	if err := (Endpoint{Version: V1Beta}).checkSubjectType(t.Type); err != nil {
		return subjecttoken.Token{}, fmt.Errorf("the type of the token: %w", err)
	}
	return t, nil
}

// Validate is that of the provider, if it has one.
func (b betaSubject) Validate() error { return validate(b.Provider) }

func validate(p subjecttoken.Provider) error {
	if v, ok := p.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// String names the provider in errors.
func (b betaSubject) String() string { return nameOf(b.Provider) }

func nameOf(p subjecttoken.Provider) string {
	if s, ok := p.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", p)
}
