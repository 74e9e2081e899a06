package ststest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
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

func TestReplies(t *testing.T) {
	const plain, object = "text/plain;charset=UTF-8", "application/json;charset=UTF-8"
	noStore := func(h http.Header) http.Header {
		h.Set("Cache-Control", "no-store")
		h.Set("Pragma", "no-cache")
		return h
	}
	for _, test := range []struct {
		reason string
		reply  ststest.Reply
		want   answered // Header without Content-Length
	}{
		{"a status alone", ststest.Reply{Status: 200},
			answered{200, http.Header{}, ""}},
		{"a body that is no JSON", ststest.Reply{Status: 502, Body: "<html>"},
			answered{502, http.Header{"Content-Type": {plain}}, "<html>"}},
		{"a body alone", ststest.Reply{Body: "[1]"},
			answered{200, http.Header{"Content-Type": {object}}, "[1]"}},
		{"a header of one's own", ststest.Reply{Body: "x", Header: http.Header{"content-type": {"text/html"}, "X-Id": {"1", "2"}}},
			answered{200, http.Header{"Content-Type": {"text/html"}, "X-Id": {"1", "2"}}, "x"}},
		{"an OAuth error", ststest.Reply{Error: "invalid_target"},
			answered{400, noStore(http.Header{"Content-Type": {object}}), `{"error":"invalid_target"}` + "\n"}},
		{"an OAuth error in full", ststest.Reply{Status: 401, Error: "access_denied", Description: "<no>"},
			answered{401, noStore(http.Header{"Content-Type": {object}}), `{"error":"access_denied","error_description":"<no>"}` + "\n"}},
		{"when to come back", ststest.Reply{Status: 503, RetryAfter: "2"},
			answered{503, http.Header{"Retry-After": {"2"}}, ""}},
		{"a redirect", ststest.Reply{Redirect: "https://other.test/"},
			answered{307, http.Header{"Location": {"https://other.test/"}}, ""}},
		{"another redirect", ststest.Reply{Status: 308, Redirect: "https://other.test/", Body: "moved"},
			answered{308, http.Header{"Location": {"https://other.test/"}, "Content-Type": {plain}}, "moved"}},
		{"JSON", ststest.JSON(418, map[string]int{"a": 1}),
			answered{418, http.Header{"Content-Type": {object}}, `{"a":1}`}},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h := new(ststest.Handler)
			h.Script(test.reply)
			got := send(t, h, validRFC())
			got.Header.Del("Content-Length")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("answer mismatch (-want +got):\n%s", diff)
			}
			if r := last(t, h); r.Status != test.want.Status || r.AccessToken != "" {
				t.Errorf("recorded status %d and token %q", r.Status, r.AccessToken)
			}
		})
	}
}

func TestJSONPanicsOnWhatCannotBeEncoded(t *testing.T) {
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "ststest: json: ") {
			t.Errorf("panic %q", text)
		}
	}()
	ststest.JSON(200, func() {})
}

func TestMembersOfANormalAnswer(t *testing.T) {
	h := new(ststest.Handler)
	h.Script(ststest.Reply{Members: map[string]any{
		"access_token":  "mine",
		"token_type":    "bearer",
		"expires_in":    "3600",
		"refresh_token": "r",

		"issued_token_type": nil,
	}})
	want := map[string]any{"access_token": "mine", "token_type": "bearer", "expires_in": "3600", "refresh_token": "r"}
	if diff := cmp.Diff(want, send(t, h, validRFC()).members(t)); diff != "" {
		t.Errorf("answer mismatch (-want +got):\n%s", diff)
	}
	if !h.Valid("mine") || last(t, h).AccessToken != "mine" {
		t.Error("the token in the answer is not the one that was issued")
	}
}

func TestLifetimes(t *testing.T) {
	const hour = 3600.0
	for _, test := range []struct {
		reason         string
		handler, reply time.Duration
		want           any
	}{
		{"an hour by default", 0, 0, hour},
		{"the handler's", time.Minute, 0, 60.0},
		{"the reply's comes first", time.Minute, time.Second, 1.0},
		{"fractions are dropped", 1999 * time.Millisecond, 0, 1.0},
		{"even if nothing is left", 999 * time.Millisecond, 0, 0.0},
		{"none", -1, 0, nil},
		{"none for once", time.Minute, -1, nil},
		{"one for once", -1, time.Minute, 60.0},
	} {
		t.Run(test.reason, func(t *testing.T) {
			h := &ststest.Handler{Lifetime: test.handler}
			h.Script(ststest.Reply{Lifetime: test.reply})
			if got := send(t, h, validRFC()).members(t)["expires_in"]; got != test.want {
				t.Errorf("expires_in %v, want %v", got, test.want)
			}
		})
	}
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

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(ststest.Handler)
		h.Script(ststest.Reply{Body: "0123456789", Stall: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		response, err := h.RoundTripper().RoundTrip(validRFC().request(t).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		start := time.Now()
		b, err := io.ReadAll(response.Body)
		if string(b) != "01234" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %q, %v", b, err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("gave up after %v", got)
		}
	})
}

func TestStallEndsWhenTheBodyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if the handler stays
		h := new(ststest.Handler)
		h.Script(ststest.Reply{Stall: true})
		response, err := h.RoundTripper().RoundTrip(validRFC().request(t))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	})
}

// TestBrokenConnections is what must look the same in memory and over a
// socket.
func TestBrokenConnections(t *testing.T) {
	h := new(ststest.Handler)
	plain, secure := ststest.NewServer(h), ststest.NewTLSServer(h)
	defer plain.Close()
	defer secure.Close()
	for _, transport := range []struct {
		name string
		url  string
		http.RoundTripper
	}{
		{"memory", "https://sts.test/token", h.RoundTripper()},
		{"socket", plain.TokenURL, plain.Client().Transport},
		{"TLS", secure.TokenURL, secure.Client().Transport},
	} {
		exchange := func(t *testing.T, reply ststest.Reply) (*http.Response, error) {
			t.Helper()
			h.Script(reply)
			m := validRFC()
			m.url = transport.url
			return transport.RoundTrip(m.request(t))
		}
		t.Run(transport.name+"/reset", func(t *testing.T) {
			_, err := exchange(t, ststest.Reply{Reset: true})
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%v, want %v", err, syscall.ECONNRESET)
			}
		})
		for body, half := range map[string]string{"0123456789": "01234", "": ""} {
			t.Run(transport.name+"/truncate "+body, func(t *testing.T) {
				response, err := exchange(t, ststest.Reply{Status: 200, Body: body, Truncate: true})
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				b, err := io.ReadAll(response.Body)
				if string(b) != half || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("read %q, %v; want %q, %v", b, err, half, io.ErrUnexpectedEOF)
				}
			})
		}
		t.Run(transport.name+"/afterwards", func(t *testing.T) {
			response, err := exchange(t, ststest.Reply{})
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, response).Status; got != 200 {
				t.Errorf("status %d", got)
			}
		})
	}
}
