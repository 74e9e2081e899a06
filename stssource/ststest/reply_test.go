package ststest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

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

func TestMembersThatCannotBeEncodedPanic(t *testing.T) {
	h := new(ststest.Handler)
	h.Script(ststest.Reply{Members: map[string]any{"x": func() {}}})
	defer func() {
		if text, _ := recover().(string); !strings.HasPrefix(text, "ststest: json: ") {
			t.Errorf("panic %q", text)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), validRFC().request(t))
}

func TestResetOverHTTP2(t *testing.T) {
	h := new(ststest.Handler)
	h.Script(ststest.Reply{Reset: true})
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	m := validRFC()
	m.url = server.URL
	response, err := server.Client().Do(m.request(t))
	if err == nil {
		response.Body.Close()
		t.Errorf("status %d, want an error", response.StatusCode)
	}
	if got := len(h.Requests()); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
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

func TestStallOverASocketSendsTheHalf(t *testing.T) {
	s := ststest.NewServer(nil)
	defer s.Close()
	s.Handler.Script(ststest.Reply{Body: "0123456789", Stall: true})
	m := validRFC()
	m.url = s.TokenURL
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	response, err := s.Client().Do(m.request(t).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, b); err != nil || string(b) != "01234" {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestStallEndsWhenTheBodyIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // which fails if the handler stays
		h := new(ststest.Handler)
		h.Script(ststest.Reply{Stall: true})
		response, err := h.RoundTripper().RoundTrip(validRFC().request(t).WithContext(context.Background()))
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
				response, err := exchange(t, ststest.Reply{Status: 502, Body: body, Truncate: true})
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				if response.StatusCode != 502 {
					t.Errorf("status %d", response.StatusCode)
				}
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
