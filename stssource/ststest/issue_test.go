package ststest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

func TestTokensAreToldApart(t *testing.T) {
	h := new(ststest.Handler)
	m := validRFC()
	one, two := token(t, h, m), token(t, h, m)
	m.form.Set("requested_token_type", jwt)
	three := token(t, h, m)
	for token, prefix := range map[string]string{one: "ststest-access-1-", two: "ststest-access-2-", three: "ststest-jwt-3-"} {
		secret, ok := strings.CutPrefix(token, prefix)
		if !ok || len(secret) < 20 {
			t.Errorf("token %q, want %q and something that cannot be guessed", token, prefix)
		}
	}
}

func TestValid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &ststest.Handler{Lifetime: time.Minute}
		token := token(t, h, validRFC())
		if h.Valid("") || h.Valid("x") {
			t.Error("a token that was never issued is valid")
		}
		time.Sleep(time.Minute - 1)
		if !h.Valid(token) {
			t.Error("the token ends too early")
		}
		time.Sleep(time.Nanosecond)
		if h.Valid(token) {
			t.Error("the token has not ended")
		}
	})
}

func TestLifeBeginsWithTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &ststest.Handler{Lifetime: time.Minute, Delay: time.Minute}
		if !h.Valid(token(t, h, validRFC())) {
			t.Error("the token has ended before it was sent")
		}
	})
}

func TestValidWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &ststest.Handler{Lifetime: -1}
		token := token(t, h, validRFC())
		time.Sleep(10000 * time.Hour)
		if !h.Valid(token) {
			t.Error("the token has ended")
		}
	})
}

func TestWhatIsNoAccessTokenIsNotValid(t *testing.T) {
	h, m := new(ststest.Handler), validRFC()
	m.form.Set("requested_token_type", jwt)
	if h.Valid(token(t, h, m)) {
		t.Error("a token of type N_A gives access")
	}
}

func TestARestrictedTokenEndsWithItsSubject(t *testing.T) {
	for _, test := range []struct {
		reason   string
		subject  string // if empty, a token of the same service
		lifetime time.Duration
		want     time.Duration
	}{
		{"the subject's end", "", 0, time.Minute},
		{"the end of a subject from elsewhere is not known", "elsewhere", 0, time.Hour},
		{"a scripted end", "", time.Second, time.Second},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &ststest.Handler{Mode: ststest.Google}
				h.Script(ststest.Reply{Lifetime: time.Minute}, ststest.Reply{Lifetime: test.lifetime})
				m := validGoogle()
				subject := token(t, h, m)
				boundary(rule)(m)
				m.form.Set("subject_token", subject)
				if test.subject != "" {
					m.form.Set("subject_token", test.subject)
				}
				restricted := token(t, h, m)
				time.Sleep(test.want - 1)
				if !h.Valid(restricted) {
					t.Error("the token ends too early")
				}
				time.Sleep(time.Nanosecond)
				if h.Valid(restricted) {
					t.Error("the token has not ended")
				}
			})
		})
	}
}

func TestRevoke(t *testing.T) {
	h := new(ststest.Handler)
	h.Revoke("never issued")
	one, two := token(t, h, validRFC()), token(t, h, validRFC())
	h.Revoke(one)
	if h.Valid(one) || !h.Valid(two) {
		t.Errorf("valid: %t, %t; want false, true", h.Valid(one), h.Valid(two))
	}
}

func TestReset(t *testing.T) {
	h := new(ststest.Handler)
	one := token(t, h, validRFC())
	h.Script(ststest.Reply{Status: 503})
	h.Reset()
	if h.Valid(one) || len(h.Requests()) != 0 {
		t.Error("something was kept")
	}
	if two := token(t, h, validRFC()); two == one || !h.Valid(two) {
		t.Errorf("token %q after %q", two, one)
	}
}

func TestProtect(t *testing.T) {
	h := new(ststest.Handler)
	good, revoked := token(t, h, validRFC()), token(t, h, validRFC())
	h.Revoke(revoked)
	api := ststest.RoundTripper(h.Protect(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello")
	})))
	type got struct {
		Status    int
		Challenge string
		Hello     bool
	}
	missing := got{Status: 401, Challenge: `Bearer realm="ststest"`}
	invalid := got{Status: 401, Challenge: `Bearer realm="ststest", error="invalid_token", error_description="unknown, expired or revoked"`}
	hello := got{Status: 200, Hello: true}
	for _, test := range []struct {
		reason string
		header []string
		want   got
	}{
		{"a good token", []string{"Bearer " + good}, hello},
		{"the scheme has no case", []string{"bEARER " + good}, hello},
		{"there may be several spaces", []string{"Bearer  " + good}, hello},
		{"no header", nil, missing},
		{"another scheme", []string{"Basic " + good}, missing},
		{"a scheme without a token", []string{"Bearer"}, missing},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, missing},
		{"an unknown token", []string{"Bearer " + good + "x"}, invalid},
		{"a revoked token", []string{"Bearer " + revoked}, invalid},
	} {
		t.Run(test.reason, func(t *testing.T) {
			r := newRequest(t, "GET", "https://api.test/", nil)
			r.Header["Authorization"] = test.header
			response, err := api.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			a := read(t, response)
			if diff := cmp.Diff(test.want, got{a.Status, a.Header.Get("WWW-Authenticate"), a.Body == "hello"}); diff != "" {
				t.Errorf("answer mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// TestProtectWithMembersThatAreNoToken has a service that answers without a
// token: nothing must become valid by that.
func TestProtectWithMembersThatAreNoToken(t *testing.T) {
	h := new(ststest.Handler)
	h.Script(ststest.Reply{Members: map[string]any{"access_token": nil}})
	if got := send(t, h, validRFC()).members(t)["access_token"]; got != nil {
		t.Errorf("token %q", got)
	}
	if h.Valid("") || last(t, h).AccessToken != "" {
		t.Error("no token at all is valid")
	}
}
