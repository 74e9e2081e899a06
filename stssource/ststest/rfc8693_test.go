package ststest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

func TestRFC8693Refuses(t *testing.T) {
	invalid := refusal{Status: 400, Code: "invalid_request"}
	for _, test := range []struct {
		reason string
		change func(*message)
		want   refusal
		says   string
	}{
		{"a GET would put the token into the URL", func(m *message) { m.method = "GET" }, refusal{Status: 405, Code: "invalid_request"}, "the method must be POST"},
		{"PUT is not POST either", func(m *message) { m.method = "PUT" }, refusal{Status: 405, Code: "invalid_request"}, "the method must be POST"},
		{"no Content-Type", func(m *message) { m.header.Del("Content-Type") }, invalid, "Content-Type must be"},
		{"JSON is Google's", func(m *message) { m.asJSON() }, invalid, "Content-Type must be"},
		{"a Content-Type that does not parse", func(m *message) { m.header.Set("Content-Type", "application/x-www-form-urlencoded; =") }, invalid, "Content-Type must be"},
		{"another character set", func(m *message) { m.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=latin1") }, invalid, "the character set"},
		{"no Accept", func(m *message) { m.header.Del("Accept") }, invalid, "Accept must name"},
		{"Accept without JSON", func(m *message) { m.header.Set("Accept", "text/html, application/xml") }, invalid, "Accept must name"},
		{"JSON with weight zero", func(m *message) { m.header.Set("Accept", "application/json;q=0") }, invalid, "Accept must name"},
		{"a token in the URL", func(m *message) { m.url += "?subject_token=subject"; m.form.Del("subject_token") }, invalid, "subject_token is in the URL; it belongs"},
		{"a secret in the URL", func(m *message) { m.url += "?client_secret=x" }, invalid, "client_secret is in the URL; it belongs"},
		{"a parameter in both places", func(m *message) { m.url += "?connector_id=x"; m.form.Set("connector_id", "x") }, invalid, "connector_id is in the URL and in the body"},
		{"a query that does not decode", func(m *message) { m.url += "?a=%zz" }, invalid, "malformed query"},
		{"a body that does not decode", func(m *message) { m.raw = m.body() + "&a=%zz" }, invalid, "malformed body"},
		{"a body over 1 MiB", func(m *message) { m.form.Set("subject_token", strings.Repeat("x", 1<<20)) }, invalid, "malformed body: it is over 1048576 bytes"},
		{"bytes that are no UTF-8", func(m *message) { m.form.Set("subject_token", "\xff") }, invalid, "subject_token is not UTF-8"},
		{"a repeated parameter", func(m *message) { m.form.Add("subject_token", "other") }, invalid, "subject_token is repeated"},
		{"a repeated parameter nobody knows", func(m *message) { m.form["connector_id"] = []string{"x", "x"} }, invalid, "connector_id is repeated"},
		{"an empty parameter", func(m *message) { m.form.Set("scope", "") }, invalid, "scope is empty"},
		{"an empty parameter nobody knows", func(m *message) { m.form.Set("connector_id", "") }, invalid, "connector_id is empty"},
		{"one of several audiences is empty", func(m *message) { m.form["audience"] = []string{"a", ""} }, invalid, "audience is empty"},
		{"no grant_type", func(m *message) { m.form.Del("grant_type") }, invalid, "grant_type is missing"},
		{"another grant", func(m *message) { m.form.Set("grant_type", "client_credentials") }, refusal{Status: 400, Code: "unsupported_grant_type"}, "grant_type must be"},
		{"no subject_token", func(m *message) { m.form.Del("subject_token") }, invalid, "subject_token is missing"},
		{"no subject_token_type", func(m *message) { m.form.Del("subject_token_type") }, invalid, "subject_token_type is missing"},
		{"a short name for the type", func(m *message) { m.form.Set("subject_token_type", "jwt") }, invalid, "subject_token_type must be an absolute URI"},
		{"a scheme alone", func(m *message) { m.form.Set("subject_token_type", "urn:") }, invalid, "subject_token_type must be an absolute URI"},
		{"a space in the type", func(m *message) { m.form.Set("subject_token_type", jwt+" ") }, invalid, "subject_token_type must be an absolute URI"},
		{"actor_token alone", func(m *message) { m.form.Set("actor_token", "actor") }, invalid, "actor_token_type is required"},
		{"actor_token_type alone", func(m *message) { m.form.Set("actor_token_type", jwt) }, invalid, "actor_token_type must not be there"},
		{"an actor type that is no URI", func(m *message) { m.form.Set("actor_token", "actor"); m.form.Set("actor_token_type", "jwt") }, invalid, "actor_token_type must be an absolute URI"},
		{"a requested type of Google's", func(m *message) { m.form.Set("requested_token_type", intermediary) }, invalid, "requested_token_type must be one"},
		{"a relative resource", func(m *message) { m.form.Set("resource", "/api") }, invalid, "resource must be an absolute URI"},
		{"a resource with a fragment", func(m *message) { m.form.Set("resource", "https://api.test/#part") }, invalid, "resource must not have a fragment"},
		{"the second resource is as wrong", func(m *message) { m.form["resource"] = []string{"https://api.test/", "api"} }, invalid, "resource must be an absolute URI"},
		{"two spaces in the scope", func(m *message) { m.form.Set("scope", "a  b") }, refusal{Status: 400, Code: "invalid_scope"}, "scope must be"},
		{"a space before the scope", func(m *message) { m.form.Set("scope", " a") }, refusal{Status: 400, Code: "invalid_scope"}, "scope must be"},
		{"a quotation mark in the scope", func(m *message) { m.form.Set("scope", `a"b`) }, refusal{Status: 400, Code: "invalid_scope"}, "scope must be"},
		{"a backslash in the scope", func(m *message) { m.form.Set("scope", `a\b`) }, refusal{Status: 400, Code: "invalid_scope"}, "scope must be"},
		{"an Authorization header nobody asked for", func(m *message) { m.header.Set("Authorization", "Bearer x") }, invalid, "there is an Authorization header"},
		{"a client_id nobody asked for", func(m *message) { m.form.Set("client_id", "x") }, invalid, "there are client credentials"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validRFC()
			test.change(m)
			checkRefused(t, new(ststest.Handler), m, test.want, test.says)
		})
	}
}

func TestRFC8693Accepts(t *testing.T) {
	for _, test := range []struct {
		reason string
		change func(*message)
	}{
		{"the required parameters are enough", func(m *message) {}},
		{"UTF-8 may be named", func(m *message) { m.header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8") }},
		{"any type includes JSON", func(m *message) { m.header.Set("Accept", "*/*") }},
		{"JSON may be one of many", func(m *message) { m.header.Set("Accept", "text/html;q=0.5, application/json;q=0.9") }},
		{"the token URL may have a query", func(m *message) { m.url += "?tenant=x" }},
		{"unknown parameters are ignored", func(m *message) { m.form.Set("connector_id", "x") }},
		{"audience and resource may be repeated and combined", func(m *message) {
			m.form["audience"] = []string{"a", "b"}
			m.form["resource"] = []string{"https://a.test/x?y=z", "urn:example:b"}
		}},
		{"an actor", func(m *message) { m.form.Set("actor_token", "actor"); m.form.Set("actor_token_type", jwt) }},
		{"any URI is a subject type", func(m *message) { m.form.Set("subject_token_type", "https://a.test/type") }},
		{"a body of 1 MiB", func(m *message) {
			m.form.Set("subject_token", "x"+strings.Repeat("x", 1<<20-len(m.form.Encode())+len("subject")-1))
		}},
		{"scopes with single spaces", func(m *message) { m.form.Set("scope", "openid https://a.test/read") }},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validRFC()
			test.change(m)
			checkAccepted(t, new(ststest.Handler), m)
		})
	}
}

func TestPathOtherThanTheTokenEndpoint(t *testing.T) {
	h := &ststest.Handler{Path: "/oauth/token"}
	m := validRFC()
	checkRefused(t, h, m, refusal{Status: 404, Code: "invalid_request"}, "the path is not")
	m.url = "https://sts.test/oauth/token"
	checkAccepted(t, h, m)
}

func TestMethodNotAllowedNamesPOST(t *testing.T) {
	m := validRFC()
	m.method = "GET"
	if got := send(t, new(ststest.Handler), m).Header.Get("Allow"); got != "POST" {
		t.Errorf("Allow: %q, want POST", got)
	}
}

func TestClientAuthentication(t *testing.T) {
	const id, secret = "a:b", "p+ s%"
	const encoded = "Basic YSUzQWI6cCUyQitzJTI1" // a%3Ab:p%2B+s%25
	const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	confidential := func() *ststest.Handler { return &ststest.Handler{ClientID: id, ClientSecret: secret} }
	public := func() *ststest.Handler { return &ststest.Handler{ClientID: id} }
	asserting := func() *ststest.Handler {
		return &ststest.Handler{ClientID: id, AcceptAssertion: func(a string) error {
			if a == "expired" {
				return errors.New("the assertion has expired")
			}
			return nil
		}}
	}
	set := func(pairs ...string) func(*message) {
		return func(m *message) {
			for i := 0; i < len(pairs); i += 2 {
				m.form.Set(pairs[i], pairs[i+1])
			}
		}
	}
	header := func(values ...string) func(*message) {
		return func(m *message) { m.header["Authorization"] = values }
	}
	both := func(changes ...func(*message)) func(*message) {
		return func(m *message) {
			for _, change := range changes {
				change(m)
			}
		}
	}
	invalid := refusal{Status: 400, Code: "invalid_request"}
	client := refusal{Status: 401, Code: "invalid_client"}
	none := refusal{}
	for _, test := range []struct {
		reason  string
		service func() *ststest.Handler
		change  func(*message)
		want    refusal
		says    string
	}{
		{"the header, form-encoded", confidential, header(encoded), none, ""},
		{"the scheme has no case", confidential, header("bASIC" + strings.TrimPrefix(encoded, "Basic")), none, ""},
		{"the body", confidential, set("client_id", id, "client_secret", secret), none, ""},
		{"a public client", public, set("client_id", id), none, ""},
		{"a public client by header", public, header("Basic YSUzQWI6"), none, ""},
		{"an assertion", asserting, set("client_assertion", "x", "client_assertion_type", assertionType), none, ""},
		{"an assertion with the client_id", asserting, set("client_assertion", "x", "client_assertion_type", assertionType, "client_id", id), none, ""},

		{"nothing", confidential, set(), client, "client authentication is missing"},
		{"another scheme", confidential, header("Bearer x"), client, "the Authorization header is not a Basic one"},
		{"raw, so that it decodes to something else", confidential, header("Basic YTpiOnArIHMl"), client, "wrong client_id or client_secret in the Auth"},
		{"a wrong secret in the header", confidential, header("Basic YSUzQWI6eA=="), client, "wrong client_id or client_secret in the Auth"},
		{"a secret that does not decode is not an empty one", public, header("Basic YSUzQWI6JXp6"), client, "wrong client_id or client_secret in the Auth"}, // a%3Ab:%zz
		{"a client_id that does not decode", public, header("Basic JXp6Og=="), client, "wrong client_id or client_secret in the Auth"},                      // %zz:
		{"a wrong secret in the body", confidential, set("client_id", id, "client_secret", "x"), client, "wrong client_id or client_secret in the body"},
		{"a wrong client_id", confidential, set("client_id", "x", "client_secret", secret), client, "wrong client_id or client_secret in the body"},
		{"no secret", confidential, set("client_id", id), client, "wrong client_id or client_secret in the body"},
		{"a secret from a public client", public, set("client_id", id, "client_secret", "x"), client, "wrong client_id or client_secret in the body"},
		{"two headers", confidential, header(encoded, encoded), invalid, "there are two Authorization headers"},
		{"both places", confidential, both(header(encoded), set("client_id", id, "client_secret", secret)), invalid, "client credentials are in the Authorization header and"},
		{"a stray client_id", confidential, both(header(encoded), set("client_id", id)), invalid, "client credentials are in the Authorization header and"},
		{"an assertion nobody takes", confidential, set("client_assertion", "x", "client_assertion_type", assertionType), client, "the service takes no client assertions"},
		{"an assertion and a secret", asserting, set("client_assertion", "x", "client_assertion_type", assertionType, "client_secret", "x"), invalid, "there are a client_secret and"},
		{"an assertion of another type", asserting, set("client_assertion", "x", "client_assertion_type", "urn:x"), invalid, "client_assertion_type must be"},
		{"an assertion without a type", asserting, set("client_assertion", "x"), invalid, "client_assertion_type must be"},
		{"a type without an assertion", asserting, set("client_assertion_type", assertionType), invalid, "client_assertion is missing"},
		{"an assertion with another client_id", asserting, set("client_assertion", "x", "client_assertion_type", assertionType, "client_id", "x"), client, "client_id is not that of"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h, m := test.service(), validRFC()
			test.change(m)
			if test.want == none {
				checkAccepted(t, h, m)
				return
			}
			checkRefused(t, h, m, test.want, test.says)
		})
	}

	t.Run("a refused client is told the scheme", func(t *testing.T) {
		a := send(t, confidential(), validRFC())
		if got, want := a.Header.Get("WWW-Authenticate"), `Basic realm="ststest"`; got != want {
			t.Errorf("WWW-Authenticate: %q, want %q", got, want)
		}
	})
	t.Run("an assertion that is turned down breaks no rule", func(t *testing.T) {
		h, m := asserting(), validRFC()
		set("client_assertion", "expired", "client_assertion_type", assertionType)(m)
		got, text := refusalOf(t, send(t, h, m))
		if got != client || text != "the assertion has expired" || last(t, h).Problem != "" {
			t.Errorf("refused with %+v %q, problem %q", got, text, last(t, h).Problem)
		}
	})
	t.Run("assertions without a client_id to compare", func(t *testing.T) {
		h, m := asserting(), validRFC()
		h.ClientID = ""
		set("client_assertion", "x", "client_assertion_type", assertionType, "client_id", "any")(m)
		checkAccepted(t, h, m)
		m = validRFC()
		set("client_id", "any")(m)
		checkRefused(t, h, m, client, "wrong client_id")
	})
}

func TestAnswerOfRFC8693(t *testing.T) {
	for _, test := range []struct {
		reason string
		change func(*message)
		want   map[string]any
	}{
		{"an access token by default", func(m *message) {}, map[string]any{
			"issued_token_type": accessToken, "token_type": "Bearer", "expires_in": 3600.0,
		}},
		{"the scope if one was asked for", func(m *message) { m.form.Set("scope", "a b") }, map[string]any{
			"issued_token_type": accessToken, "token_type": "Bearer", "expires_in": 3600.0, "scope": "a b",
		}},
		{"N_A for what is not an access token", func(m *message) { m.form.Set("requested_token_type", jwt) }, map[string]any{
			"issued_token_type": jwt, "token_type": "N_A", "expires_in": 3600.0,
		}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h, m := new(ststest.Handler), validRFC()
			test.change(m)
			a := send(t, h, m)
			members := a.members(t)
			token, _ := members["access_token"].(string)
			if token == "" || token != last(t, h).AccessToken {
				t.Errorf("access_token %q, recorded as %q", token, last(t, h).AccessToken)
			}
			delete(members, "access_token")
			if diff := cmp.Diff(test.want, members); diff != "" {
				t.Errorf("answer mismatch (-want +got):\n%s", diff)
			}
			header := http.Header{
				"Content-Type":   {"application/json;charset=UTF-8"},
				"Cache-Control":  {"no-store"},
				"Pragma":         {"no-cache"},
				"Content-Length": a.Header["Content-Length"],
			}
			if diff := cmp.Diff(header, a.Header); diff != "" {
				t.Errorf("header mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
