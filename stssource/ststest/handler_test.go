package ststest_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

// statuses sends n requests and returns the status of each answer.
func statuses(t *testing.T, h *ststest.Handler, n int) []int {
	t.Helper()
	list := make([]int, n)
	for i := range list {
		list[i] = send(t, h, validRFC()).Status
	}
	return list
}

func TestScript(t *testing.T) {
	for _, test := range []struct {
		reason string
		script []ststest.Reply
		want   []int
	}{
		{"no script", nil, []int{200, 200}},
		{"one request each, then normal service", []ststest.Reply{{Status: 503}, {Status: 429}}, []int{503, 429, 200}},
		{"the zero reply is normal", []ststest.Reply{{}, {Status: 503}}, []int{200, 503, 200}},
		{"several requests", []ststest.Reply{{Status: 503, Times: 2}, {Status: 429}}, []int{503, 503, 429, 200}},
		{"all requests", []ststest.Reply{{Status: 429}, {Status: 503, Times: -1}, {Status: 500}}, []int{429, 503, 503, 503, 503}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h := new(ststest.Handler)
			h.Script(test.script...)
			if diff := cmp.Diff(test.want, statuses(t, h, len(test.want))); diff != "" {
				t.Errorf("statuses mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScriptReplacesTheLastOne(t *testing.T) {
	h := new(ststest.Handler)
	h.Script(ststest.Reply{Status: 503, Times: -1})
	statuses(t, h, 1)
	h.Script()
	if got := statuses(t, h, 1); got[0] != 200 {
		t.Errorf("status %d after the script was ended", got[0])
	}
}

func TestScriptIsTheHandlersOwn(t *testing.T) {
	h := new(ststest.Handler)
	script := []ststest.Reply{{Status: 503, Times: 2}, {Status: 429}}
	h.Script(script...)
	script[1].Status = 500
	want := []int{503, 503, 429}
	if diff := cmp.Diff(want, statuses(t, h, 3)); diff != "" {
		t.Errorf("statuses mismatch (-want +got):\n%s", diff)
	}
	if script[0].Times != 2 {
		t.Error("the caller's slice was changed")
	}
}

func TestScriptIsForTheTokenEndpoint(t *testing.T) {
	h := &ststest.Handler{Path: "/token"}
	h.Script(ststest.Reply{Status: 503})
	m := validRFC()
	m.url = "https://sts.test/other"
	if got := send(t, h, m).Status; got != 404 {
		t.Errorf("status %d at another path", got)
	}
	if got := statuses(t, h, 1); got[0] != 503 {
		t.Errorf("status %d, want the scripted one", got[0])
	}
}

func TestScriptedReplyToABadRequest(t *testing.T) {
	h := new(ststest.Handler)
	m := validRFC()
	m.form.Del("subject_token")

	h.Script(ststest.Reply{Status: 503}, ststest.Reply{Lifetime: time.Minute})
	if got := send(t, h, m).Status; got != 503 {
		t.Errorf("status %d, want the scripted one", got)
	}
	if last(t, h).Problem == "" {
		t.Error("the problem is not recorded")
	}
	if got := send(t, h, m).Status; got != 400 {
		t.Errorf("status %d for a reply that is the normal one, want a refusal", got)
	}
}

func TestDelay(t *testing.T) {
	for _, test := range []struct {
		reason         string
		handler, reply time.Duration
		want           time.Duration
	}{
		{"none", 0, 0, 0},
		{"the handler's", time.Second, 0, time.Second},
		{"the reply's instead", time.Second, time.Minute, time.Minute},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &ststest.Handler{Delay: test.handler}
				h.Script(ststest.Reply{Delay: test.reply})
				start := time.Now()
				send(t, h, validRFC())
				if got := time.Since(start); got != test.want {
					t.Errorf("answered after %v, want %v", got, test.want)
				}
				if got := last(t, h).Time; !got.Equal(start) {
					t.Errorf("recorded at %v, want %v", got, start)
				}
			})
		})
	}
}

// TestWaitingEndsWithTheContext has the replies that a client must not wait
// for.
func TestWaitingEndsWithTheContext(t *testing.T) {
	for _, test := range []struct {
		reason string
		reply  ststest.Reply
	}{
		{"a delay", ststest.Reply{Delay: time.Hour}},
		{"no answer", ststest.Reply{Hang: true}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := new(ststest.Handler)
				h.Script(test.reply)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				response, err := h.RoundTripper().RoundTrip(validRFC().request(t).WithContext(ctx))
				if response != nil || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, %v", response, err)
				}
				if got := time.Since(start); got != time.Second {
					t.Errorf("gave up after %v", got)
				}
				synctest.Wait() // for the handler, which must have given up too
				if r := last(t, h); r.Status != 0 || r.AccessToken != "" {
					t.Errorf("recorded status %d and token %q", r.Status, r.AccessToken)
				}
			})
		})
	}
}

func TestTheServiceWorksWhileARequestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(ststest.Handler)
		h.Script(ststest.Reply{Hang: true}, ststest.Reply{Delay: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 2 {
			go h.RoundTripper().RoundTrip(validRFC().request(t).WithContext(ctx))
		}
		synctest.Wait()
		if got := len(h.Requests()); got != 2 {
			t.Errorf("%d requests recorded, want 2", got)
		}
		checkAccepted(t, h, validRFC())
	})
}

func TestAcceptTurnsDownSubjectTokens(t *testing.T) {
	for _, mode := range []ststest.Mode{ststest.RFC8693, ststest.Google} {
		h := &ststest.Handler{Mode: mode, Accept: func(subject string) error {
			if subject == "old" {
				return errors.New("it is stale: 100%")
			}
			return nil
		}}
		m := validGoogle()
		m.header.Set("Accept", "application/json")
		checkAccepted(t, h, m)

		m.form.Set("subject_token", "old")
		got, text := refusalOf(t, send(t, h, m))
		if want := (refusal{Status: 400, Code: "invalid_grant"}); got != want || text != "it is stale: 100%" {
			t.Errorf("refused with %+v %q, want %+v", got, text, want)
		}
		if r := last(t, h); r.Problem != "" || r.Status != 400 || r.AccessToken != "" {
			t.Errorf("recorded problem %q, status %d, token %q", r.Problem, r.Status, r.AccessToken)
		}
	}
}

func TestAcceptIsNotAskedAboutBadRequests(t *testing.T) {
	h := &ststest.Handler{Accept: func(string) error {
		t.Error("Accept was called")
		return nil
	}}
	m := validRFC()
	m.form.Del("subject_token_type")
	send(t, h, m)
	h.Script(ststest.Reply{Status: 503})
	send(t, h, validRFC())
}

func TestARequestThatIsCancelledAlreadyGetsNoAnswer(t *testing.T) {
	h := new(ststest.Handler)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, validRFC().request(t).WithContext(ctx))
	if r := last(t, h); r.Status != 0 || r.AccessToken != "" || w.Body.Len() != 0 {
		t.Errorf("recorded status %d and token %q, sent %q", r.Status, r.AccessToken, w.Body)
	}
}
