package gcp_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
)

type clientSideCase struct {
	ID    string
	Input struct {
		SourceToken  string `json:"source_token"`
		SessionKey   string `json:"session_key_base64"`
		Intermediary string `json:"intermediary_token"`
		Plaintext    string `json:"plaintext_utf8"`
		Rules        []caseRule
		SourceExpiry int64 `json:"source_expiry_unix"`
		Callers      int   `json:"then_concurrent_callers"`
	}
	Expected struct {
		Request struct {
			FormContains map[string][]string `json:"form_contains"`
			Absent       []string
		}
		Error          *struct{ Kind string }
		OutputPrefix   string `json:"output_prefix_hex"`
		KeyHex         string `json:"key_hex"`
		Sealed         string `json:"base64url_nopad"`
		Restrictions   string `json:"restrictions_proto_hex"`
		Token          string
		ExpectedExpiry int64 `json:"intermediary_expiry_unix"`
		STSRequests    int   `json:"sts_requests"`
	}
}

// Cases from other libraries that seal boundaries by themselves. Their tokens
// have a nonce that is not at random, which ours never have: they are opened.
func TestClientSideCases(t *testing.T) {
	data, err := os.ReadFile("testdata/clientside.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []clientSideCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	run := map[string]func(*testing.T, clientSideCase){
		"csab-intermediary-request":     runIntermediaryRequest,
		"csab-tink-vector":              runTinkVector,
		"csab-token-plain-rule":         runTokenVector,
		"csab-bad-cel":                  runBadCondition,
		"csab-expiry-copied":            runExpiryCopied,
		"csab-one-refresh-many-callers": runOneRefresh,
	}
	if len(cases) != len(run) {
		t.Errorf("%d cases, want %d", len(cases), len(run))
	}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run[c.ID](t, c) })
		})
	}
}

func runIntermediaryRequest(t *testing.T, c clientSideCase) {
	w := newWorld()
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: c.Input.SourceToken})
	if _, err := w.downscoper(t, source, nil).Token(t.Context(), *oneRule()); err != nil {
		t.Fatal(err)
	}
	got := w.request(t).Params
	if got.Get("subject_token") != c.Input.SourceToken {
		t.Errorf("subject_token %q", got.Get("subject_token"))
	}
	for name, want := range c.Expected.Request.FormContains {
		if !slices.Equal(want, got[name]) {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	for _, name := range c.Expected.Request.Absent {
		if got.Has(name) {
			t.Errorf("%s was sent", name)
		}
	}
}

// runTinkVector checks what the other tests open tokens with, and that the
// keyset of the case makes for the prefix of the case.
func runTinkVector(t *testing.T, c clientSideCase) {
	if c.Input.SessionKey != keyset || c.Expected.OutputPrefix != keyPrefix || c.Expected.KeyHex != keyHex {
		t.Fatal("it is not the keyset of the other tests")
	}
	_, plain := opened(t, &oauth2.Token{AccessToken: c.Expected.Sealed}, keyPrefix)
	if plain != c.Input.Plaintext {
		t.Errorf("opened %q, want %q", plain, c.Input.Plaintext)
	}
	w := newWorld()
	w.sealing(keyset)
	token, err := w.downscoper(t, lasting(time.Hour), nil).Token(t.Context(), *oneRule())
	if err != nil {
		t.Fatal(err)
	}
	opened(t, token, c.Expected.OutputPrefix)
}

// runTokenVector compares how a token is made up. The names in its rule are not
// such as Google takes, and are refused; that the encoding is the one of field
// is what TestDownscoperSeals shows.
func runTokenVector(t *testing.T, c clientSideCase) {
	intermediary, message := opened(t, &oauth2.Token{AccessToken: c.Expected.Token}, keyPrefix)
	r := c.Input.Rules[0]
	if want := field(1, field(1, r.Resource)+field(2, r.Permissions[0])); message != want || hex.EncodeToString([]byte(message)) != c.Expected.Restrictions {
		t.Errorf("sealed %q, want %q", message, want)
	}
	w := newWorld()
	w.sts.Script(ststest.Reply{Members: map[string]any{"access_token": intermediary, "access_boundary_session_key": c.Input.SessionKey}})
	d := w.downscoper(t, lasting(time.Hour), nil)
	token, err := d.Token(t.Context(), *oneRule())
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := opened(t, token, keyPrefix); got != c.Input.Intermediary {
		t.Errorf("made for %q, want %q", got, c.Input.Intermediary)
	}
	_, err = d.Token(t.Context(), gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{{AvailableResource: r.Resource, AvailablePermissions: r.Permissions}}})
	checkMentions(t, err, "availableResource", "availablePermissions[0]")
}

// runBadCondition is about what becomes of a parser's error; the parser is
// package celcondition's.
func runBadCondition(t *testing.T, c clientSideCase) {
	w := newWorld()
	r := c.Input.Rules[0]
	d := w.downscoper(t, lasting(time.Hour), func(d *gcp.DownscoperConfig) {
		d.ParseCondition = func(e string) ([]byte, error) {
			if e != r.Condition.Expression {
				t.Errorf("parsed %q", e)
			}
			return nil, errors.New("missing )")
		}
	})
	_, err := d.Token(t.Context(), gcp.AccessBoundary{Rules: []gcp.AccessBoundaryRule{
		{AvailableResource: r.Resource, AvailablePermissions: r.Permissions, AvailabilityCondition: r.Condition},
	}})
	checkMentions(t, err, "Rules[0]: availabilityCondition cannot be parsed: missing )")
	if n := len(w.sts.Requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

func runExpiryCopied(t *testing.T, c clientSideCase) {
	w := newWorld()
	end := time.Unix(c.Input.SourceExpiry, 0)
	time.Sleep(time.Until(end.Add(-time.Hour))) // the clock of a bubble begins earlier
	source := sourceFunc(func() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "source-token", Expiry: end}, nil })
	token, err := w.downscoper(t, source, nil).Token(t.Context(), *oneRule())
	if err != nil {
		t.Fatal(err)
	}
	if got := token.Expiry.Unix(); got != c.Expected.ExpectedExpiry {
		t.Errorf("ends at %d, want %d", got, c.Expected.ExpectedExpiry)
	}
}

// runOneRefresh has the first token renewed by whoever comes when little of its
// life is left: by the timer, before the callers.
func runOneRefresh(t *testing.T, c clientSideCase) {
	w := newWorld()
	source := sourceFunc(func() (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "source-token", Expiry: time.Now().Add(time.Hour)}, nil
	})
	d := w.downscoper(t, source, nil)
	if _, err := d.Token(t.Context(), *oneRule()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(45 * time.Minute)
	var wg sync.WaitGroup
	for range c.Input.Callers {
		wg.Go(func() {
			token, err := d.Token(t.Context(), *oneRule())
			if err != nil {
				t.Error(err)
			} else if left := time.Until(token.Expiry); left < 30*time.Minute {
				t.Errorf("a token with %v left", left)
			}
		})
	}
	wg.Wait()
	if n := len(w.sts.Requests()); n != c.Expected.STSRequests {
		t.Errorf("%d requests, want %d", n, c.Expected.STSRequests)
	}
}
