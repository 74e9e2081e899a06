package stssource_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// conformanceCase is a case drawn from another library's behaviour or from an
// RFC; see testdata/cases.json. Members that a case does not have are zero.
type conformanceCase struct {
	ID     string
	Origin string
	Area   string
	Input  struct {
		Audience           string
		Resource           string
		Resources          []string
		Scopes             []string
		ActorToken         string   `json:"actor_token"`
		ActorTokenType     string   `json:"actor_token_type"`
		RequestedTokenType string   `json:"requested_token_type"`
		SubjectToken       string   `json:"subject_token"`
		SubjectTokenType   string   `json:"subject_token_type"`
		SubjectTokens      []string `json:"subject_tokens"`
		OptionsRaw         string   `json:"options_raw"`
		Headers            map[string]string
		ClientID           string `json:"client_id"`
		ClientSecret       string `json:"client_secret"`
		ClientAuth         string `json:"client_auth"`
		HTTPClient         string `json:"http_client"`
		Response           *caseResponse
		Responses          []caseResponse
	}
	Expected struct {
		Request struct {
			Method       string
			URL          string
			Headers      map[string]string
			NoHeaders    []string            `json:"no_headers"`
			FormExact    map[string][]string `json:"form_exact"`
			FormContains map[string][]string `json:"form_contains"`
			BodyExact    string              `json:"body_exact"`
			RawContains  string              `json:"raw_contains"`
			Absent       []string
		}
		Token *struct {
			AccessToken         string `json:"access_token"`
			TokenType           string `json:"token_type"`
			IssuedTokenType     string `json:"issued_token_type"`
			RefreshToken        string `json:"refresh_token"`
			RefreshTokenPresent bool   `json:"refresh_token_present"`
			ExpiresIn           int64  `json:"expires_in"`
			Expiry              json.RawMessage
			Scope               []string
			Extra               map[string]any
		}
		SessionKey string `json:"session_key_base64"`
		Requests   int
		Error      *struct {
			Kind         string
			Mentions     []string
			Status       int
			Code         string
			Description  *string
			URI          *string
			GoogleStatus string `json:"google_status"`
			BodyContains string `json:"body_contains"`
			Requests     int
		}
		ErrorTextMustNotContain string `json:"error_text_must_not_contain"`
	}
}

type caseResponse struct {
	Status         int
	JSON           any
	Body           string
	TransportError string `json:"transport_error"`
}

// decidedOtherwise says, for a case that leaves a choice or that another rule
// overrides, what is done here and why.
var decidedOtherwise = map[string]string{
	"clientauth-body-no-secret": "RFC 6749, section 2.3.1 lets an empty secret be omitted, and section 3.2 treats a parameter " +
		"without a value as omitted: client_id goes alone",
	"err-then-recover": "the subject token has changed by the time of the refusal, so that the first call already sends the new one " +
		"and succeeds: the second call has its token without a request",
}

func loadCases(t *testing.T) []conformanceCase {
	t.Helper()
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []conformanceCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// tokenServiceURL is where cases send their requests unless they say otherwise.
// Nothing is dialled: the service is in memory.
const tokenServiceURL = "https://sts.googleapis.com/v1/token"

func TestConformanceCases(t *testing.T) {
	ran := 0
	for _, c := range loadCases(t) {
		if !strings.HasPrefix(c.Area, "sts.") {
			continue
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runCase(t, c) })
		})
	}
	if ran < 20 {
		t.Errorf("only %d cases ran", ran)
	}
}

func runCase(t *testing.T, c conformanceCase) {
	service := &ststest.Handler{}
	service.Script(c.replies()...)
	config, provider := c.config(service)
	src, err := stssource.New(config)
	if want := c.Expected.Error; want != nil && want.Kind == "config" {
		checkMentions(t, err, want.Mentions)
		return
	}
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	tok, err := src.Token()
	switch c.ID {
	case "err-then-recover":
		if err != nil || tok.AccessToken != "ACCESS_TOKEN" || len(service.Requests()) != 2 {
			t.Errorf("got %v, %v after %d requests", tok, err, len(service.Requests()))
		}
		if got := service.Requests()[1].Params.Get("subject_token"); got != c.Input.SubjectTokens[1] {
			t.Errorf("the second request sent %q", got)
		}
		return
	case "err-google-stale-id-token":
		if provider.asked != 2 {
			t.Errorf("the subject token was read %d times, want once more after the refusal", provider.asked)
		}
	}
	c.checkError(t, err, len(service.Requests()))
	c.checkRequest(t, service.Requests()[0])
	if err == nil {
		c.checkToken(t, tok)
	}
	if n := c.Expected.Requests; n != 0 && len(service.Requests()) != n {
		t.Errorf("%d requests, want %d", len(service.Requests()), n)
	}
}

// sequence is a provider that gives one token after the other, the last one for
// ever.
type sequence struct {
	values []string
	typ    string
	asked  int
}

func (s *sequence) SubjectToken(context.Context) (subjecttoken.Token, error) {
	v := s.values[min(s.asked, len(s.values)-1)]
	s.asked++
	return subjecttoken.Token{Value: v, Type: s.typ}, nil
}

func (c *conformanceCase) config(service *ststest.Handler) (stssource.Config, *sequence) {
	in := &c.Input
	values := in.SubjectTokens
	if len(values) == 0 {
		values = []string{or(in.SubjectToken, "HEADER.PAYLOAD.SIGNATURE")}
	}
	provider := &sequence{values: values, typ: or(in.SubjectTokenType, subjecttoken.TypeJWT)}
	config := stssource.Config{
		TokenURL:           tokenServiceURL,
		SubjectToken:       provider,
		RequestedTokenType: in.RequestedTokenType,
		Resources:          in.Resources,
		Scopes:             in.Scopes,
		ClientID:           in.ClientID,
		ClientSecret:       in.ClientSecret,
		HTTPClient:         &http.Client{Transport: service.RoundTripper()},
		Header:             make(http.Header),
	}
	if in.Audience != "" {
		config.Audiences = []string{in.Audience}
	}
	if in.Resource != "" {
		config.Resources = append(config.Resources, in.Resource)
	}
	if in.ActorToken != "" {
		config.ActorToken = subjecttoken.Static{Value: in.ActorToken, Type: in.ActorTokenType}
	}
	if in.OptionsRaw != "" {
		config.EndpointParams = url.Values{"options": {in.OptionsRaw}}
	}
	for name, value := range in.Headers {
		config.Header.Set(name, value)
	}
	switch in.ClientAuth {
	case "body":
		config.AuthStyle = oauth2.AuthStyleInParams
	case "basic":
		config.AuthStyle = oauth2.AuthStyleInHeader
	}
	if in.HTTPClient != "" { // one that would add an Authorization header
		config.HTTPClient = &http.Client{Transport: &oauth2.Transport{
			Source: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "stray"}),
			Base:   service.RoundTripper(),
		}}
	}
	return config, provider
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func (c *conformanceCase) replies() []ststest.Reply {
	responses := c.Input.Responses
	if c.Input.Response != nil {
		responses = append(responses, *c.Input.Response)
	}
	if len(responses) == 0 {
		// The sample answer of the cases that are about the request.
		responses = append(responses, caseResponse{Status: 200, JSON: map[string]any{
			"access_token": "Sample.Access.Token", "token_type": "Bearer", "expires_in": 3600,
			"issued_token_type": subjecttoken.TypeAccessToken,
		}})
	}
	var replies []ststest.Reply
	for _, r := range responses {
		switch {
		case r.TransportError != "":
			replies = append(replies, ststest.Reply{Reset: true})
		case r.JSON != nil:
			replies = append(replies, ststest.JSON(r.Status, r.JSON))
		default:
			replies = append(replies, ststest.Reply{Status: r.Status, Body: r.Body})
		}
	}
	// The last answer is repeated: a service does not change its mind because
	// it is asked again.
	replies[len(replies)-1].Times = -1
	return replies
}

func checkMentions(t *testing.T, err error, words []string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not mention %q: %v", w, err)
		}
	}
}

func (c *conformanceCase) checkRequest(t *testing.T, got ststest.Request) {
	t.Helper()
	want := c.Expected.Request
	if want.Method != "" && got.Method != want.Method {
		t.Errorf("method %s, want %s", got.Method, want.Method)
	}
	if got := "https://" + got.Host + got.Path; want.URL != "" && got != want.URL {
		t.Errorf("URL %s, want %s", got, want.URL)
	}
	for name, value := range want.Headers {
		if got.Header.Get(name) != value {
			t.Errorf("header %s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	for name, value := range c.Input.Headers {
		if got.Header.Get(name) != value {
			t.Errorf("header %s: %q, want %q", name, got.Header.Get(name), value)
		}
	}
	for _, name := range want.NoHeaders {
		if got.Header.Get(name) != "" {
			t.Errorf("header %s was sent: %q", name, got.Header.Get(name))
		}
	}
	for name, values := range want.FormContains {
		if diff := cmp.Diff(values, got.Params[name]); diff != "" && decidedOtherwise[c.ID] == "" {
			t.Errorf("parameter %s (-want +got):\n%s", name, diff)
		}
	}
	if want.FormExact != nil {
		if diff := cmp.Diff(url.Values(want.FormExact), got.Params); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
	}
	if want.BodyExact != "" && string(got.Body) != want.BodyExact {
		t.Errorf("body %s\nwant %s", got.Body, want.BodyExact)
	}
	if !strings.Contains(string(got.Body), want.RawContains) {
		t.Errorf("body %s\ndoes not contain %s", got.Body, want.RawContains)
	}
	for _, name := range want.Absent {
		if got.Params.Has(name) {
			t.Errorf("parameter %s was sent: %q", name, got.Params[name])
		}
	}
	if c.ID == "clientauth-body-no-secret" && got.Params.Has("client_secret") {
		t.Errorf("an empty client_secret was sent; decided otherwise: %s", decidedOtherwise[c.ID])
	}
}

func (c *conformanceCase) checkToken(t *testing.T, got *oauth2.Token) {
	t.Helper()
	if key := c.Expected.SessionKey; key != "" && got.Extra("access_boundary_session_key") != key {
		t.Errorf("session key %v, want %s", got.Extra("access_boundary_session_key"), key)
	}
	want := c.Expected.Token
	if want == nil {
		return
	}
	if got.AccessToken != want.AccessToken {
		t.Errorf("access token %q, want %q", got.AccessToken, want.AccessToken)
	}
	if want.TokenType != "" && got.TokenType != want.TokenType {
		t.Errorf("token type %q, want %q", got.TokenType, want.TokenType)
	}
	if want.RefreshToken != "" && got.RefreshToken != want.RefreshToken || want.RefreshTokenPresent && got.RefreshToken == "" {
		t.Errorf("refresh token %q", got.RefreshToken)
	}
	if string(want.Expiry) == "null" && !got.Expiry.IsZero() {
		t.Errorf("expiry %v, want none", got.Expiry)
	}
	if want.ExpiresIn != 0 && !got.Expiry.Equal(time.Now().Add(time.Duration(want.ExpiresIn)*time.Second)) {
		t.Errorf("expiry %v, want in %d s", got.Expiry, want.ExpiresIn)
	}
	if want.Scope != nil {
		scope, _ := got.Extra("scope").(string)
		if diff := cmp.Diff(want.Scope, strings.Fields(scope)); diff != "" {
			t.Errorf("scope (-want +got):\n%s", diff)
		}
	}
	if want.IssuedTokenType != "" && got.Extra("issued_token_type") != want.IssuedTokenType {
		t.Errorf("issued_token_type %v, want %s", got.Extra("issued_token_type"), want.IssuedTokenType)
	}
	for name, value := range want.Extra {
		if diff := cmp.Diff(value, got.Extra(name)); diff != "" {
			t.Errorf("extra member %s (-want +got):\n%s", name, diff)
		}
	}
}

func (c *conformanceCase) checkError(t *testing.T, err error, requests int) {
	t.Helper()
	want := c.Expected.Error
	if want == nil && c.Expected.ErrorTextMustNotContain == "" {
		if err != nil {
			t.Fatalf("Token: %v", err)
		}
		return
	}
	e, ok := errors.AsType[*stssource.Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	if secret := c.Expected.ErrorTextMustNotContain; secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("the error shows the subject token: %v", err)
	}
	if want == nil {
		return
	}
	checkMentions(t, err, want.Mentions)
	if want.Status != 0 && e.StatusCode != want.Status {
		t.Errorf("status %d, want %d", e.StatusCode, want.Status)
	}
	if code := or(want.Code, want.GoogleStatus); e.Code != code {
		t.Errorf("code %q, want %q", e.Code, code)
	}
	if want.Description != nil && !slices.Contains([]string{*want.Description, "no reason given"}, e.Description) {
		t.Errorf("description %q, want %q", e.Description, *want.Description)
	}
	if !strings.Contains(e.Description, want.BodyContains) {
		t.Errorf("description %q does not contain %q", e.Description, want.BodyContains)
	}
	if want.Requests != 0 && requests != want.Requests {
		t.Errorf("%d requests, want %d", requests, want.Requests)
	}
	if want.Kind == "sts.oauth" {
		if r, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || r.ErrorCode != want.Code {
			t.Errorf("no *oauth2.RetrieveError with the code in %v", err)
		}
	}
}

func TestConformanceCaseRetryAfterNetworkError(t *testing.T) {
	// err-retry-timeout asks for the same body twice, which the table does not
	// look at.
	synctest.Test(t, func(t *testing.T) {
		service := &ststest.Handler{}
		service.Script(ststest.Reply{Reset: true})
		src := newSource(t, service, nil)
		mustToken(t, src)
		requests := service.Requests()
		if len(requests) != 2 || string(requests[0].Body) != string(requests[1].Body) {
			t.Errorf("requests %v, want two with the same body", requests)
		}
	})
}

// TestSupplierCases covers subject.supplier: a Config has one field for the
// subject token, so that none and two are told apart by the type system and by
// New.
func TestSupplierCases(t *testing.T) {
	if _, err := stssource.New(stssource.Config{TokenURL: tokenServiceURL}); err == nil || !strings.Contains(err.Error(), "SubjectToken") {
		t.Errorf("supplier-none: got %v, want an error about SubjectToken", err)
	}
	// supplier-ctx-go: a supplier gets the context it is called with. The
	// source calls it with the exchange's own, which has a deadline and no
	// caller's values: the exchange serves many callers.
	type key struct{}
	var got context.Context
	supplier := subjecttoken.Func(func(ctx context.Context) (subjecttoken.Token, error) {
		got = ctx
		return subjecttoken.Token{Value: "v"}, nil
	})
	ctx := context.WithValue(t.Context(), key{}, "v")
	if _, err := supplier.SubjectToken(ctx); err != nil || got != ctx {
		t.Errorf("supplier-ctx-go: the function got %v, %v", got, err)
	}
	src := newSource(t, &ststest.Handler{}, func(c *stssource.Config) { c.SubjectToken = supplier })
	mustToken(t, src)
	if _, ok := got.Deadline(); !ok {
		t.Error("supplier-ctx-go: the exchange's context has no deadline")
	}
}

// newSource returns a Source on service, whose config edit may change.
func newSource(t testing.TB, service *ststest.Handler, edit func(*stssource.Config)) *stssource.Source {
	t.Helper()
	config := stssource.Config{
		TokenURL:     "https://sts.example.com/token",
		SubjectToken: subjecttoken.Static{Value: "subject"},
		HTTPClient:   &http.Client{Transport: service.RoundTripper()},
	}
	if edit != nil {
		edit(&config)
	}
	src, err := stssource.New(config)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return src
}
