package ststest_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/ststest"
)

const (
	grantType    = "urn:ietf:params:oauth:grant-type:token-exchange"
	accessToken  = "urn:ietf:params:oauth:token-type:access_token"
	intermediary = "urn:ietf:params:oauth:token-type:access_boundary_intermediary_token"
	jwt          = "urn:ietf:params:oauth:token-type:jwt"
	provider     = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider"
	workforce    = "//iam.googleapis.com/locations/global/workforcePools/pool/providers/provider"
)

// message is a request that a test alters before it is sent.
type message struct {
	method string
	url    string
	header http.Header
	form   url.Values
	json   map[string]any // sent in place of form if not nil
	raw    string         // sent in place of both if not empty
}

// validRFC is a request that RFC8693 mode accepts.
func validRFC() *message {
	return &message{
		method: "POST",
		url:    "https://sts.test/token",
		header: http.Header{
			"Content-Type": {"application/x-www-form-urlencoded"},
			"Accept":       {"application/json"},
		},
		form: url.Values{
			"grant_type":         {grantType},
			"subject_token":      {"subject"},
			"subject_token_type": {jwt},
		},
	}
}

// validGoogle is a request that Google mode accepts as a form of v1.
func validGoogle() *message {
	m := validRFC()
	m.url = "https://sts.test/v1/token"
	m.header.Del("Accept")
	m.form.Set("requested_token_type", accessToken)
	m.form.Set("audience", provider)
	m.form.Set("scope", "https://www.googleapis.com/auth/cloud-platform")
	return m
}

// asJSON turns the form into a JSON body. Alter the form before and the JSON
// after.
func (m *message) asJSON() *message {
	m.header.Set("Content-Type", "application/json")
	m.json = make(map[string]any)
	for name, values := range m.form {
		parts := strings.Split(name, "_")
		for i, part := range parts[1:] {
			parts[i+1] = strings.ToUpper(part[:1]) + part[1:]
		}
		m.json[strings.Join(parts, "")] = values[0]
	}
	return m
}

func (m *message) body() string {
	if m.raw != "" {
		return m.raw
	}
	if m.json == nil {
		return m.form.Encode()
	}
	b, err := json.Marshal(m.json)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (m *message) request(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), m.method, m.url, strings.NewReader(m.body()))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, m.header)
	return r
}

// answered is a response that has been read.
type answered struct {
	Status int
	Header http.Header
	Body   string
}

func (a answered) members(t *testing.T) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.Body), &members); err != nil {
		t.Fatalf("body %q: %v", a.Body, err)
	}
	return members
}

// send hands m to h in memory.
func send(t *testing.T, h *ststest.Handler, m *message) answered {
	t.Helper()
	response, err := h.RoundTripper().RoundTrip(m.request(t))
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response)
}

func read(t *testing.T, response *http.Response) answered {
	t.Helper()
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, string(b)}
}

// token sends m and returns the access token of the answer.
func token(t *testing.T, h *ststest.Handler, m *message) string {
	t.Helper()
	token, _ := send(t, h, m).members(t)["access_token"].(string)
	if token == "" {
		t.Fatal("no token was issued")
	}
	return token
}

// refusal is an error answer of either shape, without its text.
type refusal struct {
	Status int
	Code   string // of RFC 6749
	RPC    string // the status of a google.rpc.Status
}

func refusalOf(t *testing.T, a answered) (r refusal, text string) {
	t.Helper()
	members := a.members(t)
	r.Status = a.Status
	if inner, ok := members["error"].(map[string]any); ok {
		r.RPC, _ = inner["status"].(string)
		text, _ = inner["message"].(string)
		return r, text
	}
	r.Code, _ = members["error"].(string)
	text, _ = members["error_description"].(string)
	return r, text
}

// last returns the record of the latest request.
func last(t *testing.T, h *ststest.Handler) ststest.Request {
	t.Helper()
	list := h.Requests()
	if len(list) == 0 {
		t.Fatal("no request was recorded")
	}
	return list[len(list)-1]
}

// checkRefused sends m and compares the refusal; says is how its text, and
// the Problem in the record, begin.
func checkRefused(t *testing.T, h *ststest.Handler, m *message, want refusal, says string) {
	t.Helper()
	got, text := refusalOf(t, send(t, h, m))
	if got != want || !strings.HasPrefix(text, says) {
		t.Errorf("refused with %+v %q, want %+v %q...", got, text, want, says)
	}
	if r := last(t, h); r.Problem != text || r.Status != want.Status || r.AccessToken != "" {
		t.Errorf("recorded problem %q, status %d, token %q; want %q, %d and no token", r.Problem, r.Status, r.AccessToken, text, want.Status)
	}
}

// checkAccepted sends m and wants a token.
func checkAccepted(t *testing.T, h *ststest.Handler, m *message) {
	t.Helper()
	if a := send(t, h, m); a.Status != http.StatusOK {
		t.Errorf("status %d, body %s", a.Status, a.Body)
	}
	if r := last(t, h); r.Problem != "" || r.Status != http.StatusOK || r.AccessToken == "" {
		t.Errorf("recorded problem %q, status %d, token %q", r.Problem, r.Status, r.AccessToken)
	}
}
