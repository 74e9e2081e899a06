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

// TestGoogleTokenLogicRefuses sends each request in both encodings.
func TestGoogleTokenLogicRefuses(t *testing.T) {
	actor := func(token, tokenType string) func(*message) {
		return and(setForm("actor_token", token), setForm("actor_token_type", tokenType))
	}
	withOptions := func(o string) func(*message) { return setForm("options", o) }
	userProject := func(n int) string { return `{"userProject":"` + strings.Repeat("x", n) + `"}` }
	eleven := strings.Split(strings.TrimSuffix(strings.Repeat(rule+"\n", 11), "\n"), "\n")
	for _, test := range []struct {
		reason string
		change func(*message)
		code   string // if not invalid_request
		says   string
	}{
		{"an empty parameter", setForm("scope", ""), "", "scope is empty"},
		{"no grant_type", delForm("grant_type"), "", "grant_type is missing"},
		{"another grant", setForm("grant_type", "client_credentials"), "unsupported_grant_type", "grant_type must be"},
		{"the grant without its namespace", setForm("grant_type", "token-exchange"), "unsupported_grant_type", "grant_type must be"},
		{"no requested_token_type", delForm("requested_token_type"), "", "requested_token_type is missing"},
		{"a type nobody issues", setForm("requested_token_type", jwt), "", "requested_token_type is not one"},
		{"an intermediary token from v1beta", beta(and(boundary(rule), delForm("options"), setForm("requested_token_type", intermediary))), "", "requested_token_type is not one"},
		{"no subject_token", delForm("subject_token"), "", "subject_token is missing"},
		{"no subject_token_type", delForm("subject_token_type"), "", "subject_token_type is missing"},
		{"a type of RFC 8693 that nobody takes", setForm("subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "", "subject_token_type is not one"},
		{"SAML in v1beta", beta(setForm("subject_token_type", saml2)), "", "subject_token_type is not one"},
		{"a certificate in v1beta", beta(setForm("subject_token_type", mtls)), "", "subject_token_type is not one"},
		{"actor_token alone", setForm("actor_token", "x"), "", "actor_token and actor_token_type"},
		{"actor_token_type alone", setForm("actor_token_type", jwt), "", "actor_token and actor_token_type"},
		{"an actor that is an access token", actor("x", accessToken), "", "actor_token_type must be"},
		{"no audience", delForm("audience"), "", "audience is missing"},
		{"no scope", delForm("scope"), "", "scope is missing"},
		{"two spaces in the scope", setForm("scope", "a  b"), "invalid_scope", "scope must be"},
		{"an audience that is a URL", setForm("audience", "https:"+provider), "", "audience must be"},
		{"a pool is no provider", setForm("audience", strings.TrimSuffix(provider, "/providers/provider")), "", "audience must be"},
		{"something after the provider", setForm("audience", provider+"/x"), "", "audience must be"},
		{"a workforce pool in v1beta", beta(setForm("audience", workforce)), "", "audience must be"},
		{"an access token with neither audience nor boundary", and(boundary(rule), delForm("options")), "", "audience is missing"},

		{"an intermediary token for another subject", and(boundary(rule), delForm("options"), setForm("requested_token_type", intermediary), setForm("subject_token_type", jwt)), "", "subject_token_type must be that of an access token"},
		{"an intermediary token with a boundary", and(boundary(rule), setForm("requested_token_type", intermediary)), "", "options must not have an accessBoundary"},
		{"an intermediary token with an audience", and(setForm("requested_token_type", intermediary), setForm("subject_token_type", accessToken)), "", "audience must not be there"},

		{"options that are no object", withOptions(`[]`), "", "options: it is not a JSON object"},
		{"options that do not decode", withOptions(`{`), "", "options: "},
		{"options over 4096 characters in v1beta", beta(withOptions(`{"userProject":"x"}` + strings.Repeat(" ", 4096))), "", "options are over 4096"},
		{"options over 4 Mi characters", withOptions(`{"userProject":"x"}` + strings.Repeat(" ", 4<<20)), "", "options are over 4194304"},
		{"an unknown option", withOptions(`{"audiences":["x"]}`), "", "options: json: unknown field"},
		{"an option in another case", withOptions(`{"userproject":"x"}`), "", `options: unknown member "userproject"`},
		{"an option twice", withOptions(`{"userProject":"x","userProject":"x"}`), "", `options: member "userProject" appears twice`},
		{"a project that is a number", withOptions(`{"userProject":1}`), "", "options: json: cannot unmarshal"},
		{"33 characters of userProject", withOptions(userProject(33)), "", "options: userProject must have"},
		{"an empty userProject", withOptions(userProject(0)), "", "options: userProject must have"},
		{"a fingerprint in v1beta", beta(withOptions(`{"bindCertFingerprint":"` + strings.Repeat("A", 43) + `"}`)), "", "options: bindCertFingerprint"},
		{"a fingerprint in hexadecimal", withOptions(`{"bindCertFingerprint":"` + strings.Repeat("0", 64) + `"}`), "", "options: bindCertFingerprint"},
		{"a fingerprint with padding", withOptions(`{"bindCertFingerprint":"` + strings.Repeat("A", 43) + `="}`), "", "options: bindCertFingerprint"},
		{"a fingerprint with a bad escape", withOptions(`{"bindCertFingerprint":"%zz"}`), "", "options: bindCertFingerprint"},

		{"a boundary with an audience", and(boundary(rule), setForm("audience", provider)), "", "audience must not be there"},
		{"a boundary with a scope", and(boundary(rule), setForm("scope", "a")), "", "scope must not be there"},
		{"a boundary that is null", withOptions(`{"accessBoundary":null}`), "", "options: accessBoundary: it is not a JSON object"},
		{"no rules", boundary(), "", "options: accessBoundary: it must have 1 to 10 rules"},
		{"eleven rules", boundary(eleven...), "", "options: accessBoundary: it must have 1 to 10 rules"},
		{"a boundary over 2048 characters", boundary(rule + strings.Repeat(" ", 2048)), "", "options: accessBoundary: it is over 2048"},
		{"an unknown member of a rule", boundary(strings.Replace(rule, "{", `{"name":"x",`, 1)), "", `options: unknown member "name"`},
		{"a member of a condition in a rule", boundary(strings.Replace(rule, "{", `{"title":"x",`, 1)), "", "options: accessBoundary: json: unknown field"},
		{"a member of a rule in another case", boundary(strings.Replace(rule, "availableResource", "AvailableResource", 1)), "", `options: unknown member "AvailableResource"`},
		{"a resource that is a URL", boundary(ruleFor("https:"+bucket, "inRole:roles/viewer", "")), "", "options: accessBoundary: rule 0: availableResource"},
		{"no resource", boundary(ruleFor("", "inRole:roles/viewer", "")), "", "options: accessBoundary: rule 0: availableResource"},
		{"the second rule is as wrong", boundary(rule, ruleFor("x", "inRole:roles/viewer", "")), "", "options: accessBoundary: rule 1: availableResource"},
		{"no permissions", boundary(strings.Replace(rule, `"inRole:roles/storage.objectViewer"`, "", 1)), "", "options: accessBoundary: rule 0: availablePermissions are missing"},
		{"a permission that is no role", boundary(ruleFor(bucket, "storage.objects.get", "")), "", "options: accessBoundary: rule 0: availablePermissions must be roles"},
		{"a role without its prefix", boundary(ruleFor(bucket, "roles/storage.objectViewer", "")), "", "options: accessBoundary: rule 0: availablePermissions must be roles"},
		{"a condition without an expression", boundary(ruleFor(bucket, "inRole:roles/viewer", `{"title":"x"}`)), "", "options: accessBoundary: rule 0: expression is missing"},
		{"an unknown member of a condition", boundary(ruleFor(bucket, "inRole:roles/viewer", `{"expression":"true","name":"x"}`)), "", `options: unknown member "name"`},
	} {
		want := refusal{Status: 400, Code: "invalid_request"}
		if test.code != "" {
			want.Code = test.code
		}
		for encoding, encode := range map[string]func(*message){"form": func(*message) {}, "json": func(m *message) { m.asJSON() }} {
			t.Run(test.reason+"/"+encoding, func(t *testing.T) {
				m := validGoogle()
				test.change(m)
				encode(m)
				checkRefused(t, &ststest.Handler{Mode: ststest.Google}, m, want, test.says)
			})
		}
	}
}

func TestGoogleAccepts(t *testing.T) {
	ten := strings.Split(strings.TrimSuffix(strings.Repeat(ruleFor(bucket, "inRole:roles/x", "")+"\n", 10), "\n"), "\n")
	for _, test := range []struct {
		reason string
		change func(*message)
	}{
		{"a form of v1", func(m *message) {}},
		{"JSON of v1", func(m *message) { m.asJSON() }},
		{"a form of v1beta", beta(func(m *message) {})},
		{"JSON of v1beta", beta(func(m *message) { m.asJSON() })},
		{"JSON with a character set", func(m *message) { m.asJSON().header.Set("Content-Type", "application/json; charset=utf-8") }},
		{"an ID token", setForm("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")},
		{"AWS in v1beta", beta(setForm("subject_token_type", aws))},
		{"SAML", setForm("subject_token_type", saml2)},
		{"a certificate", setForm("subject_token_type", mtls)},
		{"a workforce pool", setForm("audience", workforce)},
		{"an actor", and(setForm("actor_token", "x"), setForm("actor_token_type", jwt))},
		{"an actor as JSON", func(m *message) {
			and(setForm("actor_token", "x"), setForm("actor_token_type", jwt))(m)
			m.asJSON()
		}},
		{"every query parameter", query("$.xgafv=2&alt=json&callback=a.b&fields=access_token,token_type&key=k&prettyPrint=true&quotaUser=" + strings.Repeat("x", 40) + "&uploadType=media&upload_protocol=raw")},
		{"32 characters of userProject", setForm("options", `{"userProject":"`+strings.Repeat("x", 32)+`"}`)},
		{"4096 characters of options in v1beta", beta(setForm("options", `{"userProject":"x"}`+strings.Repeat(" ", 4096-19)))},
		{"4097 characters of options in v1", setForm("options", `{"userProject":"x"}`+strings.Repeat(" ", 4097-19))},
		{"4 Mi characters of options, each escaped", setForm("options", `{"userProject":"x"}`+strings.Repeat("\n", 4<<20-19))},
		{"options that were escaped twice", setForm("options", "%7B%22userProject%22%3A+%22x%22%7D")},
		{"a fingerprint", setForm("options", `{"bindCertFingerprint":"`+base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32)))+`"}`)},
		{"a fingerprint in the standard alphabet, escaped", setForm("options", `{"bindCertFingerprint":"`+strings.ReplaceAll(base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\xff", 32))), "/", "%2F")+`"}`)},
		{"a boundary", boundary(rule)},
		{"a boundary in v1beta", beta(boundary(rule))},
		{"ten rules", boundary(ten...)},
		{"a boundary of 2048 characters", boundary(rule + strings.Repeat(" ", 2048-26-len(rule)))},
		{"a role of an organization", boundary(ruleFor(bucket, "inRole:organizations/1/roles/x", ""))},
		{"a role of a project", boundary(ruleFor(bucket, "inRole:projects/p/roles/x", ""))},
		{"a condition", boundary(ruleFor(bucket, "inRole:roles/x", `{"expression":"true","title":"t","description":"d","location":"l"}`))},
		{"a boundary around a federated token", and(boundary(rule), setForm("subject_token_type", jwt), setForm("audience", provider), setForm("scope", "a"))},
		{"an access token from another service", setForm("subject_token_type", accessToken)},
		{"an intermediary token", and(boundary(rule), delForm("options"), setForm("requested_token_type", intermediary))},
	} {
		t.Run(test.reason, func(t *testing.T) {
			m := validGoogle()
			test.change(m)
			checkAccepted(t, &ststest.Handler{Mode: ststest.Google}, m)
		})
	}
}

func TestGooglePathChoosesTheVersion(t *testing.T) {
	invalid := refusal{Status: 400, Code: "invalid_request"}
	m := validGoogle()
	m.form.Set("subject_token_type", saml2)

	h := &ststest.Handler{Mode: ststest.Google, Path: "/proxy/v1beta/token"}
	m.url = "https://sts.test/proxy/v1beta/token"
	checkRefused(t, h, m, invalid, "subject_token_type is not one")

	h = &ststest.Handler{Mode: ststest.Google, Path: "/proxy/token"}
	m.url = "https://sts.test/proxy/token"
	checkAccepted(t, h, m)
}

func TestGoogleClient(t *testing.T) {
	header := func(value string) func(*message) {
		return func(m *message) { m.header.Set("Authorization", value) }
	}
	client := refusal{Status: 401, Code: "invalid_client"}
	for _, test := range []struct {
		reason string
		change func(*message)
		want   refusal
		says   string
	}{
		{"form-encoded", header("Basic YSUzQWI6cCUyQitzJTI1"), refusal{}, ""},
		{"raw, as Google's clients send it", header("Basic aWQ6cCsgcyU="), client, "wrong client_id"}, // another client's
		{"nothing", func(m *message) {}, client, "client authentication is missing"},
		{"a token", header("Bearer x"), refusal{Status: 401, RPC: "UNAUTHENTICATED"}, "There is an Authorization header"},
		{"two headers", func(m *message) { m.header["Authorization"] = []string{"Basic eDp5", "Basic eDp5"} }, refusal{Status: 400, Code: "invalid_request"}, "there are two"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h, m := &ststest.Handler{Mode: ststest.Google, ClientID: "a:b", ClientSecret: "p+ s%"}, validGoogle()
			test.change(m)
			if test.says == "" {
				checkAccepted(t, h, m)
				return
			}
			checkRefused(t, h, m, test.want, test.says)
		})
	}
	t.Run("raw, as Google's clients send it", func(t *testing.T) {
		h, m := &ststest.Handler{Mode: ststest.Google, ClientID: "id", ClientSecret: "p+ s%"}, validGoogle()
		header("Basic aWQ6cCsgcyU=")(m)
		checkAccepted(t, h, m)
	})
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
			if b, err := base64.StdEncoding.DecodeString(key); err != nil || hasKey != (len(b) == 32) || hasKey != (m.form.Get("requested_token_type") == intermediary) {
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
	t.Run("a scripted status has the reason of a failure", func(t *testing.T) {
		h, m := &ststest.Handler{Mode: ststest.Google}, validGoogle()
		h.Script(ststest.Reply{Status: http.StatusServiceUnavailable})
		m.url += "?$.xgafv=1"
		want := map[string]any{"error": map[string]any{
			"code": 503.0, "message": "Service Unavailable", "status": "UNAVAILABLE",
			"errors": []any{map[string]any{"domain": "global", "message": "Service Unavailable", "reason": "backendError"}},
		}}
		if diff := cmp.Diff(want, send(t, h, m).members(t)); diff != "" {
			t.Errorf("body mismatch (-want +got):\n%s", diff)
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
