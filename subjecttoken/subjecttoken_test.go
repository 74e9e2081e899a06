package subjecttoken_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/subjecttoken"
)

// holders is everything that holds a secret, which none may show, and what
// each shows instead.
var holders = map[string]any{
	"Token(":           subjecttoken.Token{Value: canary, Type: subjecttoken.TypeJWT, Expiry: time.Unix(expSeconds, 0)},
	"Static(":          subjecttoken.Static{Value: canary},
	"URL(":             subjecttoken.URL{URL: "https://host.test/?q=" + canary, Header: http.Header{"X": {canary}}},
	"URL(not":          subjecttoken.URL{URL: "https://user:" + canary + "@:a/"},
	"Exec(":            subjecttoken.Exec{Command: []string{"program", canary}, Env: []string{"A=" + canary}},
	"Exec(command p":   subjecttoken.Exec{Command: []string{"program --password " + canary}},
	"FromTokenSource(": subjecttoken.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: canary})),
	"Cached(":          subjecttoken.Cached(subjecttoken.Static{Value: canary}, 0),
}

func TestSecretsAreHidden(t *testing.T) {
	var verbs strings.Builder
	for verb := '!'; verb <= '~'; verb++ {
		// %p and %w are the two that fmt refuses before it asks the value;
		// go vet reports them.
		if verb != '%' && verb != 'p' && verb != 'w' && verb != '*' && !strings.ContainsRune("#+-. 0123456789[]", verb) {
			fmt.Fprintf(&verbs, "%%%c %%+%c %%#%c %%-9.3%c ", verb, verb, verb, verb)
		}
	}
	for name, v := range holders {
		for what, shown := range map[string]any{"value": v, "in a struct": struct{ A any }{v}, "in a slice": []any{v}, "in a map": map[string]any{"a": v}} {
			text := verbs.String()
			var args []any
			for range strings.Count(text, "%") {
				args = append(args, shown)
			}
			out := fmt.Sprintf(text, args...)
			asJSON, err := json.Marshal(shown)
			if err != nil {
				t.Errorf("%s %s: %v", name, what, err)
			}
			var logged bytes.Buffer
			for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
				slog.New(h).Info("m", "a", shown, slog.Group("g", "a", shown))
			}
			out += string(asJSON) + logged.String() + fmt.Sprint(shown) + fmt.Sprintln(shown)
			if what == "value" {
				asXML, err := xml.Marshal(shown)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				out += string(asXML)
				if !strings.Contains(fmt.Sprint(shown), "subjecttoken."+strings.TrimSuffix(name, "not")) {
					t.Errorf("%s shows itself as %v", name, shown)
				}
			}
			// %x would show the secret in hexadecimal digits.
			for _, secret := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("%d", []byte(canary))[1:20]} {
				if i := strings.Index(out, secret); i >= 0 {
					t.Errorf("%s %s shows its secret: %s", name, what, out[max(0, i-100):i+len(secret)])
				}
			}
		}
	}
}

func TestTokenText(t *testing.T) {
	for want, token := range map[string]subjecttoken.Token{
		"subjecttoken.Token(empty)":      {},
		"subjecttoken.Token([redacted])": {Value: canary},
		"subjecttoken.Token([redacted], urn:ietf:params:oauth:token-type:jwt, expires 2030-03-17T17:46:40Z)": {
			Value: canary, Type: subjecttoken.TypeJWT, Expiry: time.Unix(expSeconds, 0),
		},
	} {
		if got := fmt.Sprint(token); got != want {
			t.Errorf("token shows itself as %s, want %s", got, want)
		}
	}
}

// Static and Func hold their tokens to what is asked of every other source.
func TestStaticAndFunc(t *testing.T) {
	expiry := time.Unix(1800000000, 0)
	for _, row := range []struct {
		name string
		in   subjecttoken.Token
		want plain
		err  string
	}{
		{name: "trimmed", in: subjecttoken.Token{Value: " token\n", Type: "t"}, want: plain{Value: "token", Type: "t"}},
		{name: "expiry of the token", in: subjecttoken.Token{Value: jwt}, want: plain{Value: jwt, Expiry: time.Unix(expSeconds, 0)}},
		{name: "expiry that is told", in: subjecttoken.Token{Value: jwt, Expiry: expiry}, want: plain{Value: jwt, Expiry: expiry}},
		{name: "empty", in: subjecttoken.Token{Value: "\n"}, err: "empty or missing token"},
		{name: "lines", in: subjecttoken.Token{Value: canary + "\nb"}, err: "more than one line"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for source, p := range map[string]subjecttoken.Provider{
				"static subject token":   subjecttoken.Static(row.in),
				"subject token function": subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) { return row.in, nil }),
			} {
				got, err := p.SubjectToken(t.Context())
				if row.err != "" {
					refused(t, err, source+": ", row.err)
				} else if diff := cmp.Diff(row.want, plain(got)); diff != "" || err != nil {
					t.Errorf("%s: error %v, mismatch (-want +got):\n%s", source, err, diff)
				}
			}
		})
	}
}

func TestFuncContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got context.Context
	f := subjecttoken.Func(func(ctx context.Context) (subjecttoken.Token, error) {
		got = ctx
		return subjecttoken.Token{Value: "token"}, nil
	})
	if _, err := f.SubjectToken(ctx); err != nil || got != ctx {
		t.Errorf("the function got another context: %v, %v", got, err)
	}
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// Errors of others keep their identity, and show nothing.
func TestForeignErrors(t *testing.T) {
	cause := errors.New("cause")
	own := &subjecttoken.Error{Source: "own", Temporary: true, Err: cause}
	for _, row := range []struct {
		name      string
		err       error
		is        error
		temporary bool
		text      string
	}{
		{name: "an error", err: cause, is: cause, text: "cause"},
		{name: "one that shows a token", err: fmt.Errorf("bad token %s: %w", jwt, cause), is: cause, text: "bad token [redacted]: cause"},
		{name: "one of ours within", err: fmt.Errorf("more: %w", own), is: own, temporary: true, text: "more: own: cause"},
		{name: "of the network", err: timeout{cause}, is: timeout{cause}, temporary: true, text: "cause"},
		{name: "time is up", err: context.DeadlineExceeded, is: context.DeadlineExceeded, temporary: true, text: "deadline"},
		{name: "given up", err: context.Canceled, is: context.Canceled, text: "canceled"},
		{name: "server is down", err: &oauth2.RetrieveError{Response: &http.Response{StatusCode: 503}}, temporary: true, text: "cannot fetch token"},
		{name: "server refuses", err: &oauth2.RetrieveError{Response: &http.Response{StatusCode: 400}}, text: "cannot fetch token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for source, p := range map[string]subjecttoken.Provider{
				"subject token function": subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) { return subjecttoken.Token{}, row.err }),
				"token source":           subjecttoken.FromTokenSource(sourceFunc(func() (*oauth2.Token, error) { return nil, row.err })),
			} {
				_, err := p.SubjectToken(t.Context())
				e := refused(t, err, source+": ", row.text)
				if e.Temporary != row.temporary || row.is != nil && !errors.Is(err, row.is) || strings.Contains(err.Error(), jwt) {
					t.Errorf("%s: error %v (temporary: %v), want %v (%v)", source, err, e.Temporary, row.is, row.temporary)
				}
			}
		})
	}
	f := subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) { return subjecttoken.Token{}, own })
	if _, err := f.SubjectToken(t.Context()); err != own {
		t.Errorf("error = %v, want the function's own *Error as it is", err)
	}
}

type sourceFunc func() (*oauth2.Token, error)

func (f sourceFunc) Token() (*oauth2.Token, error) { return f() }

type contextSource struct {
	sourceFunc
	got *context.Context
}

func (s contextSource) TokenContext(ctx context.Context) (*oauth2.Token, error) {
	*s.got = ctx
	return &oauth2.Token{AccessToken: "with context"}, nil
}

func TestFromTokenSource(t *testing.T) {
	expiry := time.Unix(expSeconds, 0)
	p := subjecttoken.FromTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token", Expiry: expiry}))
	got, err := p.SubjectToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plain{Value: "token", Type: subjecttoken.TypeAccessToken, Expiry: expiry}, plain(got)); diff != "" {
		t.Errorf("SubjectToken() mismatch (-want +got):\n%s", diff)
	}
	for _, token := range []*oauth2.Token{nil, {}} {
		_, err := subjecttoken.FromTokenSource(sourceFunc(func() (*oauth2.Token, error) { return token, nil })).SubjectToken(t.Context())
		refused(t, err, "token source: empty or missing token")
	}
	var ctx context.Context
	got, err = subjecttoken.FromTokenSource(contextSource{got: &ctx}).SubjectToken(t.Context())
	if err != nil || got.Value != "with context" || ctx != t.Context() {
		t.Errorf("SubjectToken() = %q, %v; want TokenContext to be called with the caller's context", got.Value, err)
	}
}

func TestEnv(t *testing.T) {
	t.Setenv("SUBJECTTOKEN_TEST", "")
	_, err := subjecttoken.Env{Name: "SUBJECTTOKEN_TEST"}.SubjectToken(t.Context())
	refused(t, err, "environment variable SUBJECTTOKEN_TEST: empty or missing token")
	_, err = subjecttoken.Env{Name: "SUBJECTTOKEN_NEVER_SET"}.SubjectToken(t.Context())
	refused(t, err, "environment variable SUBJECTTOKEN_NEVER_SET: not set")
}

// All mistakes are reported at once, without touching anything, and without
// showing a secret.
func TestValidate(t *testing.T) {
	ok := []string{"program"}
	for _, row := range []struct {
		name string
		p    interface{ Validate() error }
		err  []string
	}{
		{name: "Static", p: subjecttoken.Static{Value: "token"}},
		{name: "Static empty", p: subjecttoken.Static{}, err: []string{"empty or missing token"}},
		{name: "Static with a short type", p: subjecttoken.Static{Value: "token", Type: "JWT"}, err: []string{`Type: "JWT" is not`, "write " + subjecttoken.TypeJWT}},
		{name: "Static with a type of its own", p: subjecttoken.Static{Value: "token", Type: "urn:example:jwt"}},
		{name: "File with a short type", p: subjecttoken.File{Path: "p", Type: "id_token"}, err: []string{"write " + subjecttoken.TypeIDToken}},
		{name: "Env with a short type", p: subjecttoken.Env{Name: "A", Type: "saml2"}, err: []string{"write " + subjecttoken.TypeSAML2}},
		{name: "URL with a short type", p: subjecttoken.URL{URL: "https://host.test/", Type: "access_token"}, err: []string{"write " + subjecttoken.TypeAccessToken}},
		{name: "Exec with a short type", p: subjecttoken.Exec{Command: ok, Type: "jwt"}, err: []string{"write " + subjecttoken.TypeJWT}},
		{name: "Func", p: subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) { panic("called") })},
		{name: "Func nil", p: subjecttoken.Func(nil), err: []string{"is nil"}},
		{name: "FromTokenSource", p: validator(subjecttoken.FromTokenSource(contextSource{}))},
		{name: "FromTokenSource nil", p: validator(subjecttoken.FromTokenSource(nil)), err: []string{"is nil"}},
		{name: "Cached", p: validator(subjecttoken.Cached(subjecttoken.File{Path: "/no/such/file"}, time.Hour))},
		{name: "Cached wrong", p: validator(subjecttoken.Cached(subjecttoken.File{}, -1)), err: []string{"margin is negative", "Path is required"}},
		{name: "Cached nil", p: validator(subjecttoken.Cached(nil, 0)), err: []string{"provider is nil"}},

		{name: "File that is not there yet", p: subjecttoken.File{Path: "/no/such/file", JSONField: "/a~0b/~1"}},
		{name: "File", p: subjecttoken.File{JSONField: "/a~b"}, err: []string{"Path is required", `JSONField "/a~b"`, `"~" is written "~0"`}},
		{name: "pointer with ~ at its end", p: subjecttoken.File{Path: "p", JSONField: "/a~"}, err: []string{`JSONField "/a~"`}},
		{name: "member with ~ is no pointer", p: subjecttoken.File{Path: "p", JSONField: "a~b"}},
		{name: "Env", p: subjecttoken.Env{Name: "SUBJECTTOKEN_NEVER_SET"}},
		{name: "Env wrong", p: subjecttoken.Env{Name: "A=B", JSONField: "/~2"}, err: []string{"Name is not", `JSONField "/~2"`}},
		{name: "Env empty", p: subjecttoken.Env{}, err: []string{"Name is not"}},

		{name: "URL", p: subjecttoken.URL{URL: "https://host.test/", Header: http.Header{"X-A": {"a b\tü"}}, Timeout: time.Millisecond}},
		{
			name: "URL wrong in all ways",
			p: subjecttoken.URL{
				URL: "http://u:" + canary + "@host.test/?q=" + canary + "#f", JSONField: "/~", Timeout: 10*time.Minute + 1,
				Header: http.Header{"bad name": {canary}, "X-B": {canary + "\n"}},
			},
			err: []string{"url http://host.test/: ", "use https", "user name or password", "fragment", "JSONField", "Timeout 10m0.000000001s", `Header has "bad name"`, "Header X-B has a value with"},
		},
		{name: "URL missing", p: subjecttoken.URL{}, err: []string{"URL is required"}},
		{name: "URL without a host", p: subjecttoken.URL{URL: "https:///path"}, err: []string{"no host"}},
		{name: "URL that is none", p: subjecttoken.URL{URL: "https://u:" + canary + "/@host.test/"}, err: []string{"not a URL"}},

		{name: "Exec that is not there yet", p: subjecttoken.Exec{Command: []string{"/no/such/program"}, Env: []string{"A="}, Dir: "/no/such/dir", Timeout: 10 * time.Minute}},
		{name: "Exec of Google", p: subjecttoken.Exec{Command: ok, Format: subjecttoken.FormatGoogle, OutputFile: "f", Audience: "a", ImpersonatedEmail: "e"}},
		{name: "Exec with a field", p: subjecttoken.Exec{Command: ok, JSONField: "a"}},
		{
			name: "Exec wrong in all ways",
			p: subjecttoken.Exec{
				Env: []string{canary, "A=b", "=" + canary, "B=\x00" + canary}, Timeout: -1, JSONField: "/~",
				Format: subjecttoken.FormatKubernetes, OutputFile: "f", Audience: "a", ImpersonatedEmail: "e",
			},
			err: []string{
				"Command is required", "Env[0] is not", "Env[2] is not", "Env[3] is not", "Timeout -1ns", `JSONField "/~"`, "JSONField belongs to FormatText",
				"OutputFile belongs", "Audience belongs", "ImpersonatedEmail belongs",
			},
		},
		{name: "Exec blank", p: subjecttoken.Exec{Command: []string{" "}}, err: []string{"Command is required"}},
		{name: "Exec with NUL", p: subjecttoken.Exec{Command: []string{"a", canary + "\x00"}}, err: []string{"NUL"}},
		{name: "Exec with a format of its own", p: subjecttoken.Exec{Command: ok, Format: 3}, err: []string{"Format is none"}},
		{name: "Exec with a negative format", p: subjecttoken.Exec{Command: ok, Format: -1}, err: []string{"Format is none"}},
		{name: "Exec with a field in Google's format", p: subjecttoken.Exec{Command: ok, Format: subjecttoken.FormatGoogle, JSONField: "a"}, err: []string{"JSONField belongs"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			err := row.p.Validate()
			if row.err != nil {
				refused(t, err, row.err...)
			} else if err != nil {
				t.Errorf("Validate() = %v, want no error", err)
			}
		})
	}
}

func validator(p subjecttoken.Provider) interface{ Validate() error } {
	return p.(interface{ Validate() error })
}

// A provider that nobody checked is an error, not a panic.
func TestUncheckedProviders(t *testing.T) {
	for _, p := range []subjecttoken.Provider{
		subjecttoken.Exec{}, subjecttoken.Func(nil), subjecttoken.FromTokenSource(nil), subjecttoken.Cached(nil, 0),
		subjecttoken.File{}, subjecttoken.URL{}, subjecttoken.Env{}, subjecttoken.Static{}, subjecttoken.X509{},
	} {
		if _, err := p.SubjectToken(t.Context()); err == nil {
			t.Errorf("%T: no error", p)
		} else if _, ok := errors.AsType[*subjecttoken.Error](err); !ok {
			t.Errorf("%T: %v is not an *Error", p, err)
		}
	}
}
