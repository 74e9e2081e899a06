package ststest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
	"github.com/google/go-cmp/cmp"
)

func TestRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &ststest.Handler{Mode: ststest.Google}
		h.Script(ststest.Reply{Members: map[string]any{"access_token": "issued"}})
		form := validGoogle()
		form.url += "?quotaUser=me"
		send(t, h, form)
		time.Sleep(time.Second)
		asJSON := validGoogle().asJSON()
		asJSON.json["audience"] = 1
		send(t, h, asJSON)

		start := time.Now().Add(-time.Second)
		params := form.form
		without := copyOf(params)
		without.Del("audience") // which is no string
		want := []ststest.Request{
			{
				Time:        start,
				Method:      "POST",
				Host:        "sts.test",
				Path:        "/v1/token",
				Query:       url.Values{"quotaUser": {"me"}},
				Header:      http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
				Encoding:    "form",
				Params:      params,
				Body:        []byte(params.Encode()),
				Status:      200,
				AccessToken: "issued",
			},
			{
				Time:     start.Add(time.Second),
				Method:   "POST",
				Host:     "sts.test",
				Path:     "/v1/token",
				Query:    url.Values{},
				Header:   http.Header{"Content-Type": {"application/json"}},
				Encoding: "json",
				Params:   without,
				JSON: map[string]any{
					"grantType":          grantType,
					"audience":           1.0,
					"scope":              params.Get("scope"),
					"requestedTokenType": accessToken,
					"subjectToken":       "subject",
					"subjectTokenType":   jwt,
				},
				Body:    []byte(asJSON.body()),
				Status:  400,
				Problem: `Invalid value at "audience": it must be a string.`,
			},
		}
		if diff := cmp.Diff(want, h.Requests()); diff != "" {
			t.Errorf("Requests() mismatch (-want +got):\n%s", diff)
		}
	})
}

func copyOf(v url.Values) url.Values {
	c := make(url.Values)
	for name, values := range v {
		c[name] = append([]string(nil), values...)
	}
	return c
}

func TestRequestsIsACopy(t *testing.T) {
	h := &ststest.Handler{Mode: ststest.Google}
	m := validGoogle().asJSON()
	m.url += "?quotaUser=me"
	send(t, h, m)
	want := fmt.Sprintf("%+v", h.Requests()) // which shares nothing with the record

	changed := h.Requests()[0]
	changed.Query.Set("quotaUser", "changed")
	changed.Header.Set("Content-Type", "changed")
	changed.Params["scope"][0] = "changed"
	changed.JSON["scope"] = "changed"
	changed.Body[0] = 'x'
	if diff := cmp.Diff(want, fmt.Sprintf("%+v", h.Requests())); diff != "" {
		t.Errorf("the record was changed (-want +got):\n%s", diff)
	}
}

func TestRequestIsDecodedAsFarAsPossible(t *testing.T) {
	h, m := new(ststest.Handler), validRFC()
	m.header.Set("Content-Type", "text/plain")
	m.raw = "subject"
	send(t, h, m)
	if r := last(t, h); r.Encoding != "" || r.Params != nil || string(r.Body) != "subject" {
		t.Errorf("encoding %q, parameters %v, body %q", r.Encoding, r.Params, r.Body)
	}

	m = validRFC()
	m.form.Set("subject_token", strings.Repeat("x", 1<<20))
	send(t, h, m)
	if r := last(t, h); len(r.Body) != 1<<20 || r.Params != nil {
		t.Errorf("%d bytes, parameters %v", len(r.Body), r.Params)
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	h := new(ststest.Handler)
	r := validRFC().request(t)
	r.Body = io.NopCloser(iotest.ErrReader(errors.New("broken")))
	response, err := h.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got, text := refusalOf(t, read(t, response))
	if want := "malformed body: it cannot be read: broken"; got.Status != 400 || text != want {
		t.Errorf("status %d, %q; want 400, %q", got.Status, text, want)
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := new(ststest.Handler)
		if err := h.Wait(t.Context(), 0); err != nil {
			t.Errorf("Wait for nothing: %v", err)
		}
		go func() {
			for range 2 {
				time.Sleep(time.Second)
				send(t, h, validRFC())
			}
		}()
		for _, n := range []int{0, 2, 1} {
			if err := h.Wait(t.Context(), n); err != nil {
				t.Error(err)
			}
			if got := len(h.Requests()); got < n {
				t.Errorf("%d requests after waiting for %d", got, n)
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errCause)
		defer cancel()
		if err := h.Wait(ctx, 3); err != errCause {
			t.Errorf("Wait: %v, want %v", err, errCause)
		}
	})
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	h := new(ststest.Handler)
	const clients, exchanges = 8, 20
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range exchanges {
				token := token(t, h, validRFC())
				h.Valid(token)
				h.Requests()
				h.Revoke(token)
				h.Script()
			}
		})
	}
	if err := h.Wait(t.Context(), clients*exchanges); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, r := range h.Requests() {
		seen[r.AccessToken] = true
	}
	if len(seen) != clients*exchanges {
		t.Errorf("%d tokens, want %d", len(seen), clients*exchanges)
	}
}

// TestRecordHasTheOrderOfTheScript sends requests at once and wants the one
// that was recorded first to have the first answer.
func TestRecordHasTheOrderOfTheScript(t *testing.T) {
	h := new(ststest.Handler)
	var want []int
	var script []ststest.Reply
	for i := range 100 {
		want = append(want, 500+i)
		script = append(script, ststest.Reply{Status: 500 + i})
	}
	h.Script(script...)
	var wg sync.WaitGroup
	for range want {
		wg.Go(func() { send(t, h, validRFC()) })
	}
	wg.Wait()
	var got []int
	for _, r := range h.Requests() {
		got = append(got, r.Status)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("statuses mismatch (-want +got):\n%s", diff)
	}
}
