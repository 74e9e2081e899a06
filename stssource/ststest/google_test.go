package ststest_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

const (
	saml2 = "urn:ietf:params:oauth:token-type:saml2"
	mtls  = "urn:ietf:params:oauth:token-type:mtls"
	aws   = "urn:ietf:params:aws:token-type:aws4_request"
)

// boundary makes options with the given rules, and no audience or scope, of a
// valid request for Google mode.
func boundary(rules ...string) func(*message) {
	return func(m *message) {
		m.form.Set("subject_token_type", accessToken)
		m.form.Set("options", `{"accessBoundary":{"accessBoundaryRules":[`+strings.Join(rules, ",")+`]}}`)
		m.form.Del("audience")
		m.form.Del("scope")
	}
}

// ruleFor is one rule of a boundary.
func ruleFor(resource, permission, condition string) string {
	rule := fmt.Sprintf(`{"availableResource":%q,"availablePermissions":[%q]`, resource, permission)
	if condition != "" {
		rule += `,"availabilityCondition":` + condition
	}
	return rule + "}"
}

const bucket = "//storage.googleapis.com/projects/_/buckets/b"

var rule = ruleFor(bucket, "inRole:roles/storage.objectViewer", "")

func setForm(name, value string) func(*message) {
	return func(m *message) { m.form.Set(name, value) }
}

func delForm(name string) func(*message) {
	return func(m *message) { m.form.Del(name) }
}

func query(q string) func(*message) {
	return func(m *message) { m.url += "?" + q }
}

func beta(change func(*message)) func(*message) {
	return func(m *message) {
		m.url = "https://sts.test/v1beta/token"
		change(m)
	}
}

func and(changes ...func(*message)) func(*message) {
	return func(m *message) {
		for _, change := range changes {
			change(m)
		}
	}
}

// TestGoogleFrontEndRefuses has what is refused before the token logic.
func TestGoogleFrontEndRefuses(t *testing.T) {
	invalid := refusal{Status: 400, RPC: "INVALID_ARGUMENT"}
	missing := refusal{Status: 404, RPC: "NOT_FOUND"}
	credential := refusal{Status: 401, RPC: "UNAUTHENTICATED"}
	for _, test := range []struct {
		reason string
		change func(*message)
		want   refusal
		says   string
	}{
		{"another path", func(m *message) { m.url = "https://sts.test/token" }, missing, "There is no method POST /token"},
		{"a version that does not exist", func(m *message) { m.url = "https://sts.test/v2/token" }, missing, "There is no method"},
		{"another method", func(m *message) { m.method = "GET" }, missing, "There is no method GET"},
		{"an unknown query parameter", query("tenant=x"), invalid, `Invalid payload received. Unknown name "tenant" in the query`},
		{"a field in the query", query("audience=x"), invalid, `Invalid payload received. Unknown name "audience" in the query`},
		{"a query that does not decode", query("key=%zz"), invalid, "Malformed query"},
		{"an error format that does not exist", query("$.xgafv=3"), invalid, `Invalid value of the query parameter "$.xgafv"`},
		{"a format that is not offered", query("alt=proto"), invalid, `Invalid value of the query parameter "alt"`},
		{"a format that does not exist", query("alt=xml"), invalid, `Invalid value of the query parameter "alt"`},
		{"a callback that is code", query("callback=a()"), invalid, `Invalid value of the query parameter "callback"`},
		{"a field that the answer never has", query("fields=access_token,scope"), invalid, `Invalid value of the query parameter "fields"`},
		{"an empty key", query("key="), invalid, `Invalid value of the query parameter "key"`},
		{"a Boolean that is none", query("prettyPrint=1"), invalid, `Invalid value of the query parameter "prettyPrint"`},
		{"41 characters of quotaUser", query("quotaUser=" + strings.Repeat("x", 41)), invalid, `Invalid value of the query parameter "quotaUser"`},
		{"an empty uploadType", query("uploadType="), invalid, `Invalid value of the query parameter "uploadType"`},
		{"an empty upload_protocol", query("upload_protocol="), invalid, `Invalid value of the query parameter "upload_protocol"`},
		{"a repeated query parameter", query("alt=json&alt=json"), invalid, `Invalid value of the query parameter "alt"`},
		{"a token in the query", query("access_token=x"), credential, "There is a credential in the query, access_token"},
		{"an older name for a token in the query", query("oauth_token=x"), credential, "There is a credential in the query, oauth_token"},
		{"an Authorization header", func(m *message) { m.header.Set("Authorization", "Bearer x") }, credential, "There is an Authorization header"},
		{"Basic, where there is no client", func(m *message) { m.header.Set("Authorization", "Basic eDp5") }, credential, "There is an Authorization header"},
		{"no Content-Type", func(m *message) { m.header.Del("Content-Type") }, invalid, "Content-Type must be"},
		{"another Content-Type", func(m *message) { m.header.Set("Content-Type", "text/plain") }, invalid, "Content-Type must be"},
		{"a form that does not decode", func(m *message) { m.raw = "a=%zz" }, invalid, "Invalid payload received: invalid URL escape"},
		{"a body over 16 MiB", func(m *message) { m.raw = strings.Repeat("x", 16<<20+1) }, invalid, "Invalid payload received: it is over"},
		{"JSON that is no object", func(m *message) { m.asJSON().raw = `[]` }, invalid, "Invalid payload received: it is not a JSON object"},
		{"JSON that ends early", func(m *message) { m.asJSON().raw = `{"audience":"x"` }, invalid, "Invalid payload received: "},
		{"JSON with a member without a value", func(m *message) { m.asJSON().raw = `{"audience"}` }, invalid, "Invalid payload received: "},
		{"JSON with a name that is no string", func(m *message) { m.asJSON().raw = `{1:2}` }, invalid, "Invalid payload received: "},
		{"JSON with something after it", func(m *message) { m.asJSON().raw = `{} {}` }, invalid, "Invalid payload received: it goes on"},
		{"JSON that is no UTF-8", func(m *message) { m.asJSON().raw = "{\"audience\":\"\xff\"}" }, invalid, "Invalid payload received: it is not UTF-8"},
		{"a member twice", func(m *message) { m.asJSON().raw = `{"audience":"x","audience":"x"}` }, invalid, `Invalid payload received: member "audience" appears twice`},
		{"a member with its name in the form", func(m *message) { m.asJSON().json["user_project"] = "x" }, invalid, `Invalid payload received. Unknown name "user_project"`},
		{"snake case in JSON", func(m *message) { m.asJSON().raw = `{"grant_type":"x"}` }, invalid, `Invalid payload received. Unknown name "grant_type"`},
		{"an initial capital", func(m *message) { m.asJSON().json["Audience"] = "x" }, invalid, `Invalid payload received. Unknown name "Audience"`},
		{"camel case in a form", setForm("subjectToken", "x"), invalid, `Invalid payload received. Unknown name "subjectToken"`},
		{"resource, which only RFC 8693 has", setForm("resource", "https://api.test/"), invalid, `Invalid payload received. Unknown name "resource"`},
		{"client_id in the body", setForm("client_id", "x"), invalid, `Invalid payload received. Unknown name "client_id"`},
		{"options that are an object", func(m *message) { m.asJSON().json["options"] = map[string]any{} }, invalid, `Invalid value at "options"`},
		{"a scope that is a list", func(m *message) { m.asJSON().json["scope"] = []string{"a"} }, invalid, `Invalid value at "scope"`},
		{"null", func(m *message) { m.asJSON().json["scope"] = nil }, invalid, `Invalid value at "scope"`},
		{"a second audience", func(m *message) { m.form.Add("audience", provider) }, invalid, `Invalid payload received. Field "audience" is repeated`},
		{"an actor in v1beta", beta(setForm("actor_token", "x")), invalid, `Invalid payload received. Unknown name "actor_token"`},
		{"an actor in v1beta, as JSON", beta(func(m *message) { m.asJSON().json["actorTokenType"] = jwt }), invalid, `Invalid payload received. Unknown name "actorTokenType"`},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validGoogle()
			test.change(m)
			checkRefused(t, &ststest.Handler{Mode: ststest.Google}, m, test.want, test.says)
		})
	}
}

func TestAnswerOfGoogle(t *testing.T) {
	federated := map[string]any{"issued_token_type": accessToken, "token_type": "Bearer", "expires_in": 3600.0}
	for _, test := range []struct {
		reason string
		change func(*message)
		want   map[string]any // apart from the token and the session key
	}{
		{"no scope in the answer", func(m *message) {}, federated},
		{"no expires_in with a boundary", boundary(rule), map[string]any{"issued_token_type": accessToken, "token_type": "Bearer"}},
		{"the type that was asked for, and Bearer", and(boundary(rule), delForm("options"), setForm("requested_token_type", intermediary)), map[string]any{"issued_token_type": intermediary, "token_type": "Bearer"}},
		{"some fields", query("fields=access_token,expires_in"), map[string]any{"expires_in": 3600.0}},
		{"all fields", query("fields=*"), federated},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validGoogle()
			test.change(m)
			got := send(t, &ststest.Handler{Mode: ststest.Google}, m).members(t)
			if got["access_token"] == nil {
				t.Error("there is no access_token")
			}
			delete(got, "access_token")
			key, hasKey := got["access_boundary_session_key"].(string)
			if _, err := base64.StdEncoding.DecodeString(key); err != nil || hasKey != (m.form.Get("requested_token_type") == intermediary) {
				t.Errorf("session key %q", key)
			}
			delete(got, "access_boundary_session_key")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer mismatch (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("fields can leave the token out", func(t *testing.T) {
		m := validGoogle()
		query("fields=token_type")(m)
		want := map[string]any{"token_type": "Bearer"}
		if diff := cmp.Diff(want, send(t, &ststest.Handler{Mode: ststest.Google}, m).members(t)); diff != "" {
			t.Errorf("answer mismatch (-want +got):\n%s", diff)
		}
	})
}

func TestGoogleShapesOfAnswers(t *testing.T) {
	const message = `Invalid value at \"scope\": it must be a string.`
	for _, test := range []struct {
		reason string
		query  string
		want   string
	}{
		{"indented by default", "", "{\n  \"error\": {\n    \"code\": 400,\n    \"message\": \"" + message + "\",\n    \"status\": \"INVALID_ARGUMENT\"\n  }\n}\n"},
		{"compact on demand", "?prettyPrint=false", `{"error":{"code":400,"message":"` + message + `","status":"INVALID_ARGUMENT"}}` + "\n"},
		{"the first error format", "?prettyPrint=false&$.xgafv=1", `{"error":{"code":400,"errors":[{"domain":"global","message":"` + message + `","reason":"badRequest"}],"message":"` + message + `","status":"INVALID_ARGUMENT"}}` + "\n"},
		{"the second error format", "?prettyPrint=false&$.xgafv=2", `{"error":{"code":400,"message":"` + message + `","status":"INVALID_ARGUMENT"}}` + "\n"},
		{"JSONP", "?prettyPrint=false&callback=got.it", `got.it({"error":{"code":400,"message":"` + message + `","status":"INVALID_ARGUMENT"}});`},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validGoogle().asJSON()
			m.json["scope"] = 1
			m.url += test.query
			a := send(t, &ststest.Handler{Mode: ststest.Google}, m)
			if diff := cmp.Diff(test.want, a.Body); diff != "" {
				t.Errorf("body mismatch (-want +got):\n%s", diff)
			}
			want := "application/json;charset=UTF-8"
			if strings.Contains(test.query, "callback") {
				want = "text/javascript;charset=UTF-8"
			}
			if got := a.Header.Get("Content-Type"); got != want {
				t.Errorf("Content-Type %q, want %q", got, want)
			}
		})
	}
	t.Run("indented where the query has not been read", func(t *testing.T) {
		m := validGoogle()
		m.url = "https://sts.test/"
		if a := send(t, &ststest.Handler{Mode: ststest.Google}, m); !strings.HasPrefix(a.Body, "{\n  ") {
			t.Errorf("body %q", a.Body)
		}
	})
	t.Run("a scripted status has the reason of a failure", func(t *testing.T) {
		h, m := &ststest.Handler{Mode: ststest.Google}, validGoogle()
		h.Script(ststest.Reply{Status: http.StatusInternalServerError})
		m.url += "?$.xgafv=1"
		want := map[string]any{"error": map[string]any{
			"code": 500.0, "message": "Internal Server Error", "status": "INTERNAL",
			"errors": []any{map[string]any{"domain": "global", "message": "Internal Server Error", "reason": "backendError"}},
		}}
		if diff := cmp.Diff(want, send(t, h, m).members(t)); diff != "" {
			t.Errorf("body mismatch (-want +got):\n%s", diff)
		}
	})
	t.Run("the lowest error status has a body too", func(t *testing.T) {
		h := &ststest.Handler{Mode: ststest.Google}
		h.Script(ststest.Reply{Status: 400})
		got, _ := refusalOf(t, send(t, h, validGoogle()))
		if want := (refusal{Status: 400, RPC: "INVALID_ARGUMENT"}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
	t.Run("a status that no code stands for", func(t *testing.T) {
		h := &ststest.Handler{Mode: ststest.Google}
		h.Script(ststest.Reply{Status: http.StatusTeapot})
		got, _ := refusalOf(t, send(t, h, validGoogle()))
		if want := (refusal{Status: 418, RPC: "UNKNOWN"}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
