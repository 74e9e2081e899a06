package ststest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-sts/sts/stssource/ststest"
)

func TestServer(t *testing.T) {
	for _, test := range []struct {
		reason  string
		start   func(*ststest.Handler) *ststest.Server
		handler *ststest.Handler
		scheme  string
		path    string
	}{
		{"plain", ststest.NewServer, new(ststest.Handler), "http", "/token"},
		{"TLS", ststest.NewTLSServer, new(ststest.Handler), "https", "/token"},
		{"a handler of its own", ststest.NewServer, nil, "http", "/token"},
		{"a path", ststest.NewServer, &ststest.Handler{Path: "/oauth/token"}, "http", "/oauth/token"},
		{"Google", ststest.NewServer, &ststest.Handler{Mode: ststest.Google}, "http", "/v1/token"},
		{"Google with a path", ststest.NewServer, &ststest.Handler{Mode: ststest.Google, Path: "/v1beta/token"}, "http", "/v1beta/token"},
	} {
		t.Run(test.reason, func(t *testing.T) {
			s := test.start(test.handler)
			defer s.Close()
			if !strings.HasPrefix(s.TokenURL, test.scheme+"://127.0.0.1:") || s.TokenURL != s.URL+test.path {
				t.Errorf("TokenURL %q at %q", s.TokenURL, s.URL)
			}
			m := validGoogle()
			m.header.Set("Accept", "application/json")
			m.url = s.TokenURL
			response, err := s.Client().Do(m.request(t))
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, response).Status; got != http.StatusOK {
				t.Errorf("status %d", got)
			}
			if r := last(t, s.Handler); r.Problem != "" || r.Path != test.path {
				t.Errorf("recorded problem %q, path %q", r.Problem, r.Path)
			}
			if test.handler != nil && s.Handler != test.handler {
				t.Error("the server has another handler")
			}
		})
	}
}

func TestServerCloseEndsARequestThatHangs(t *testing.T) {
	for _, reply := range []ststest.Reply{{Hang: true}, {Stall: true}, {Delay: time.Hour}} {
		s := ststest.NewServer(nil)
		s.Handler.Script(reply)
		m := validRFC()
		m.url = s.TokenURL
		done := make(chan struct{})
		go func() {
			defer close(done)
			if response, err := s.Client().Do(m.request(t)); err == nil {
				response.Body.Close()
			}
		}()
		if err := s.Handler.Wait(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s.Close()
		<-done
		if got := time.Since(start); got > 3*time.Second {
			t.Errorf("%+v: Close took %v", reply, got)
		}
		if response, err := s.Client().Do(m.request(t)); err == nil {
			response.Body.Close()
			t.Error("the server still answers")
		}
	}
}
