package gcp_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// gcpCase is a case drawn from another library's behaviour or from the API
// reference; see testdata/cases.json. Members that a case does not have are
// zero.
type gcpCase struct {
	ID, Area string
	Input    struct {
		Audience                 string
		Audiences                []string
		SubjectTokenType         string   `json:"subject_token_type"`
		WorkforcePoolUserProject string   `json:"workforce_pool_user_project"`
		ClientID                 string   `json:"client_id"`
		ClientSecret             string   `json:"client_secret"`
		OptionsLen               []int    `json:"options_len"`
		UserProjectLen           []int    `json:"user_project_len"`
		CredentialSource         any      `json:"credential_source"`
		TokenURLs                []string `json:"token_urls"`
		URLs                     []string
		Scopes                   []string
		ImpersonationURL         string         `json:"service_account_impersonation_url"`
		Impersonation            map[string]any `json:"service_account_impersonation"`
		TokenLifetime            *int           `json:"token_lifetime_seconds"`
		STSResponse              *caseResponse  `json:"sts_response"`
		IAMResponse              *caseResponse  `json:"iam_response"`
		Response                 *caseResponse
		Rules                    []caseRule
		RuleCount                int       `json:"rule_count"`
		AvailableResource        *string   `json:"available_resource"`
		AvailablePermissions     *[]string `json:"available_permissions"`
		Source                   json.RawMessage
		SourceError              string `json:"source_error"`
	}
	Expected struct {
		Error *struct {
			Kind         string
			Mentions     []string
			Status       int
			GoogleStatus string `json:"google_status"`
			Message      string
		}
		OK      any
		JSON    any
		Metrics string
		Token   *struct {
			AccessToken string `json:"access_token"`
			Expiry      *time.Time
		}
		Request struct {
			Headers      map[string]string
			HeadersRegex map[string]string   `json:"headers_regex"`
			FormContains map[string][]string `json:"form_contains"`
			FormExact    map[string]string   `json:"form_exact_values"`
			Absent       []string
		}
		STSRequest struct {
			FormContains map[string][]string `json:"form_contains"`
		} `json:"sts_request"`
		IAMRequest struct {
			Headers      map[string]string
			JSON         map[string]any
			JSONContains map[string]any `json:"json_contains"`
		} `json:"iam_request"`
	}
}

type caseResponse struct {
	Status int
	JSON   any
}

type caseRule struct {
	Resource    string   `json:"available_resource"`
	Permissions []string `json:"available_permissions"`
	Condition   *gcp.AvailabilityCondition
}

// decidedOtherwise says, for a case that leaves a choice or that another rule
// overrides, what is done here and why.
var decidedOtherwise = map[string]string{
	"imp-url-hosts-valid": "the case is about hosts, and its URLs have no path of a method: they get one, without which a URL is " +
		"refused here (see imp-bad-url)",
	"cab-universe-mismatch": "an oauth2.TokenSource does not tell which universe its tokens are of, so that there is nothing to compare",
}

// reasons are what the error of a case must be about besides what the case says
// itself: an error for another reason would pass as well.
var reasons = map[string]string{
	"cfg-source-empty":        "credential_source: has none of file, url and executable",
	"cfg-source-url-and-file": "credential_source: has file and url",
	"cfg-source-url-and-cert": "credential_source.certificate: is a source that is not supported yet",
	"cfg-source-env-id":       "AWS",
	"cfg-source-non-object":   "credential_source: is a string, not an object",
	"cfg-format-null":         "credential_source.format.type: is null",
	"cab-permission-prefix":   "Rules[0]: availablePermissions[0]",
	"cab-blank-permission":    "Rules[0]: availablePermissions[0] is empty",
	"cab-node-no-permission":  "Rules[0]: availablePermissions are missing",
	"cab-empty-resource":      "Rules[0]: availableResource is empty",
	"imp-lifetime-599":        "service_account_impersonation.token_lifetime_seconds: ",
	"imp-bad-url":             "service_account_impersonation_url: the path",
}

func TestCases(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []gcpCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 32 {
		t.Errorf("%d cases, want 32", len(cases))
	}
	special := map[string]func(*testing.T, gcpCase){
		"opt-nonworkforce-audiences": runAudiences,
		"opt-size-limit-v1beta":      runSizeLimit,
		"opt-user-project-length":    runUserProjectLength,
		"cfg-token-url-valid":        runTokenURLs,
		"imp-url-hosts-valid":        runImpersonationURLs,
		"cab-rules-10-ok":            runTenRules,
		"cab-universe-mismatch":      runUniverseMismatch,
	}
	areas := map[string]func(*testing.T, gcpCase){
		"google.options": runFile, "config": runFile, "impersonation": runFile, "metrics": runFile,
		"cab.json": runBoundary, "cab.validate": runBoundary, "cab.flow": runBoundary,
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			run := special[c.ID]
			if run == nil {
				run = areas[c.Area]
			}
			synctest.Test(t, func(t *testing.T) { run(t, c) })
		})
	}
}

// file returns a credential file with what the case has of one.
func (c gcpCase) file(change map[string]any) []byte {
	in := c.Input
	members := map[string]any{
		"type":                              "external_account",
		"audience":                          or(in.Audience, audience),
		"subject_token_type":                or(in.SubjectTokenType, subjecttoken.TypeJWT),
		"token_url":                         "https://sts.googleapis.com/v1/token",
		"credential_source":                 in.CredentialSource,
		"service_account_impersonation_url": in.ImpersonationURL,
		"workforce_pool_user_project":       in.WorkforcePoolUserProject,
		"client_id":                         in.ClientID,
		"client_secret":                     in.ClientSecret,
	}
	if in.CredentialSource == nil {
		members["credential_source"] = map[string]any{"file": "testdata/subject-token"}
	}
	if c.Area == "impersonation" && in.ImpersonationURL == "" {
		members["service_account_impersonation_url"] = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/" + robot + ":generateAccessToken"
	}
	if in.Impersonation != nil {
		members["service_account_impersonation"] = in.Impersonation
	}
	if in.TokenLifetime != nil {
		members["service_account_impersonation"] = map[string]any{"token_lifetime_seconds": *in.TokenLifetime}
	}
	maps.Copy(members, change)
	data, _ := json.Marshal(members)
	return data
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// runFile runs a case whose input is a credential file.
func runFile(t *testing.T, c gcpCase) {
	w := newWorld()
	w.sts.ClientID, w.sts.ClientSecret = c.Input.ClientID, c.Input.ClientSecret
	if r := c.Input.STSResponse; r != nil {
		w.sts.Script(ststest.JSON(r.Status, r.JSON))
	}
	if r := c.Input.IAMResponse; r != nil {
		w.answer(ststest.JSON(r.Status, r.JSON))
	}
	config, err := gcp.FromJSON(c.file(nil))
	if want := c.Expected.Error; want != nil && want.Kind == "config" {
		checkMentions(t, err, append(want.Mentions, reasons[c.ID])...)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	config.Scopes, config.HTTPClient = c.Input.Scopes, w.client()
	token, err := mustNew(t, config).Token()
	c.checkFlow(t, w, token, err)
}

func (c gcpCase) checkFlow(t *testing.T, w *world, token *oauth2.Token, err error) {
	if want := c.Expected.Error; want != nil {
		e, ok := errors.AsType[*stssource.Error](err)
		r, ok2 := errors.AsType[*oauth2.RetrieveError](err)
		if !ok || !ok2 || e.Stage != gcp.StageImpersonation || e.StatusCode != want.Status || e.Code != want.GoogleStatus ||
			e.Description != want.Message || r.ErrorCode != want.GoogleStatus {
			t.Errorf("got %#v %v, want %+v", e, err, want)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := w.sts.Requests()[0]
	for name, value := range c.Expected.Request.Headers {
		if got.Header.Get(name) != value {
			t.Errorf("header %s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	for name, pattern := range c.Expected.Request.HeadersRegex {
		if !regexp.MustCompile(pattern).MatchString(got.Header.Get(name)) {
			t.Errorf("header %s: %q, want %s", name, got.Header.Get(name), pattern)
		}
	}
	if m := c.Expected.Metrics; !strings.Contains(got.Header.Get("X-Goog-Api-Client"), m) {
		t.Errorf("metrics %q, want %q", got.Header.Get("X-Goog-Api-Client"), m)
	}
	for _, form := range []map[string][]string{c.Expected.Request.FormContains, c.Expected.STSRequest.FormContains} {
		for name, want := range form {
			if diff := cmp.Diff(want, got.Params[name]); diff != "" {
				t.Errorf("parameter %s (-want +got):\n%s", name, diff)
			}
		}
	}
	for name, want := range c.Expected.Request.FormExact {
		if got.Params.Get(name) != want {
			t.Errorf("parameter %s: %s, want %s", name, got.Params.Get(name), want)
		}
	}
	for _, name := range c.Expected.Request.Absent {
		if got.Params.Has(name) {
			t.Errorf("parameter %s was sent: %s", name, got.Params.Get(name))
		}
	}
	c.checkIAM(t, w)
	if want := c.Expected.Token; want != nil && (token.AccessToken != want.AccessToken || !token.Expiry.Equal(*want.Expiry)) {
		t.Errorf("got token %s until %v, want %+v", token.AccessToken, token.Expiry, want)
	}
}

func (c gcpCase) checkIAM(t *testing.T, w *world) {
	want := c.Expected.IAMRequest
	if want.JSON == nil && want.JSONContains == nil {
		return
	}
	calls := w.iamCalls()
	if len(calls) != 1 {
		t.Fatalf("%d calls of the IAM API, want 1", len(calls))
	}
	if a := want.Headers["Authorization"]; a != "" && calls[0].Authorization != a {
		t.Errorf("Authorization %q, want %q", calls[0].Authorization, a)
	}
	if want.JSON != nil {
		if diff := cmp.Diff(want.JSON, calls[0].Body); diff != "" {
			t.Errorf("IAM body (-want +got):\n%s", diff)
		}
	}
	for name, value := range want.JSONContains {
		if calls[0].Body[name] != value {
			t.Errorf("IAM body has %s %v, want %v", name, calls[0].Body[name], value)
		}
	}
}

func runAudiences(t *testing.T, c gcpCase) {
	for _, a := range c.Input.Audiences {
		_, err := gcp.FromJSON(c.file(map[string]any{"audience": a, "workforce_pool_user_project": "p"}))
		checkMentions(t, err, "workforce_pool_user_project: is for workforce pools")
	}
	if _, err := gcp.FromJSON(c.file(map[string]any{"audience": workforce, "workforce_pool_user_project": "p"})); err != nil {
		t.Errorf("the provider of a workforce pool: %v", err)
	}
}

func runSizeLimit(t *testing.T, c gcpCase) {
	for i, n := range c.Input.OptionsLen {
		w := newWorld()
		config := w.config()
		config.Endpoint.Version = gcp.V1Beta
		// "<" would be six characters if it was escaped for HTML.
		config.ExtraOptions = map[string]any{"x": strings.Repeat("<", n-len(`{"x":""}`))}
		src, err := gcp.New(config)
		if i == 1 {
			checkMentions(t, err, "ExtraOptions", "4097", "4096")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		w.sts.Script(ststest.JSON(200, map[string]any{"access_token": "t", "token_type": "Bearer", "expires_in": 60}))
		mustToken(t, src)
		if got := len(w.sts.Requests()[0].Params.Get("options")); got != n {
			t.Errorf("options of %d characters were sent, want %d", got, n)
		}
	}
}

func runUserProjectLength(t *testing.T, c gcpCase) {
	for i, n := range c.Input.UserProjectLen {
		_, err := gcp.FromJSON(c.file(map[string]any{"audience": workforce, "workforce_pool_user_project": strings.Repeat("p", n)}))
		if i == 0 && err != nil {
			t.Errorf("%d characters: %v", n, err)
		}
		if i == 1 {
			checkMentions(t, err, "workforce_pool_user_project", "33", "32")
		}
	}
}

func runTokenURLs(t *testing.T, c gcpCase) {
	for _, u := range c.Input.TokenURLs {
		config, err := gcp.FromJSON(c.file(map[string]any{"token_url": u}))
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		mustNew(t, config)
	}
}

func runImpersonationURLs(t *testing.T, c gcpCase) {
	for _, raw := range c.Input.URLs {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		u.Path = "/v1/projects/-/serviceAccounts/" + robot + ":generateAccessToken"
		config, err := gcp.FromJSON(c.file(map[string]any{"service_account_impersonation_url": u.String()}))
		if err != nil {
			t.Errorf("%s: %v", u, err)
			continue
		}
		mustNew(t, config)
		_, err = gcp.FromJSON(c.file(map[string]any{"service_account_impersonation_url": raw}))
		checkMentions(t, err, "service_account_impersonation_url: the path")
	}
}

// boundary returns the access boundary of the case.
func (c gcpCase) boundary() gcp.AccessBoundary {
	in := c.Input
	rule := caseRule{Resource: bucket, Permissions: []string{viewer}}
	if in.AvailableResource != nil {
		rule.Resource = *in.AvailableResource
	}
	if in.AvailablePermissions != nil {
		rule.Permissions = *in.AvailablePermissions
	}
	rules := in.Rules
	if rules == nil {
		rules = slices.Repeat([]caseRule{rule}, max(1, in.RuleCount))
	}
	var b gcp.AccessBoundary
	for _, r := range rules {
		b.Rules = append(b.Rules, gcp.AccessBoundaryRule{
			AvailableResource: r.Resource, AvailablePermissions: r.Permissions, AvailabilityCondition: r.Condition,
		})
	}
	return b
}

const (
	bucket = "//storage.googleapis.com/projects/_/buckets/example-bucket"
	viewer = "inRole:roles/storage.objectViewer"
)

func runBoundary(t *testing.T, c gcpCase) {
	w := newWorld()
	if r := c.Input.Response; r != nil {
		w.sts.Script(ststest.JSON(r.Status, r.JSON))
	}
	cause := errors.New(c.Input.SourceError)
	source := sourceFunc(func() (*oauth2.Token, error) {
		if c.Input.SourceError != "" {
			return nil, cause
		}
		return &oauth2.Token{AccessToken: "subject_token_0"}, nil
	})
	src, err := gcp.Downscope(source, gcp.DownscopeConfig{AccessBoundary: c.boundary(), HTTPClient: w.client()})
	if want := c.Expected.Error; want != nil && want.Kind == "config" {
		checkMentions(t, err, append(want.Mentions, reasons[c.ID])...)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	token, err := src.Token()
	if c.Expected.Error != nil {
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || e.Stage != stssource.StageSubjectToken || !errors.Is(err, cause) || len(w.sts.Requests()) != 0 {
			t.Errorf("got %v after %d requests, want the source's error and none", err, len(w.sts.Requests()))
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := c.Expected.Token; want != nil && (token.AccessToken != want.AccessToken || !token.Expiry.IsZero()) {
		t.Errorf("got %s until %v, want %+v", token.AccessToken, token.Expiry, want)
	}
	c.checkBoundary(t, w.request(t).Params.Get("options"))
}

func (c gcpCase) checkBoundary(t *testing.T, options string) {
	var got any
	if err := json.Unmarshal([]byte(options), &got); err != nil {
		t.Fatal(err)
	}
	if c.Expected.JSON != nil {
		if diff := cmp.Diff(c.Expected.JSON, got); diff != "" {
			t.Errorf("options (-want +got):\n%s", diff)
		}
	}
	if c.ID == "cab-json-html-escape" && (!strings.Contains(options, c.Input.Rules[0].Condition.Expression) || strings.Contains(options, `\u00`)) {
		t.Errorf("options are escaped for HTML: %s", options)
	}
}

func runTenRules(t *testing.T, c gcpCase) {
	if err := c.boundary().Validate(); err != nil {
		t.Errorf("10 rules: %v", err)
	}
	c.Input.RuleCount = 11
	checkMentions(t, c.boundary().Validate(), "Rules: there are 11, and there must be 1 to 10")
}

// See decidedOtherwise: the universe of the endpoint is what counts.
func runUniverseMismatch(t *testing.T, c gcpCase) {
	w := newWorld()
	src, err := gcp.Downscope(w.issued(t), gcp.DownscopeConfig{
		AccessBoundary: c.boundary(), HTTPClient: w.client(), Endpoint: gcp.Endpoint{Universe: "different-universe.example"},
	})
	if err != nil {
		t.Fatal(err)
	}
	mustToken(t, src)
	if got := w.sts.Requests()[1].Host; got != "sts.different-universe.example" {
		t.Errorf("asked %s; decided otherwise: %s", got, decidedOtherwise[c.ID])
	}
}
