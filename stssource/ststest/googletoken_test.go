package ststest_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/ststest"
)

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
		{"the pool of a fleet without the provider", setForm("audience", "identitynamespace:p.svc.id.goog"), "", "audience must be"},
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
		{"the pool of a fleet", setForm("audience", "identitynamespace:p.svc.id.goog:https://gkehub.googleapis.com/projects/p/locations/global/memberships/m")},
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
