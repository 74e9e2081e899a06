package stssource_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// answering returns a source whose service answers each request with status and
// body.
func answering(t testing.TB, status int, body string, edit func(*stssource.Config)) *stssource.Source {
	return newSource(t, &ststest.Handler{}, func(c *stssource.Config) {
		c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: readCloser(body), Request: r}, nil
		})}
		if edit != nil {
			edit(c)
		}
	})
}

// Whatever a service answers with 200 is a token that can be used, or an error
// of one line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(goodAnswer))
	for _, row := range []string{
		`{"access_token":"a","expires_in":"3599"}`, `{"access_token":"a","expires_in":3599.0}`,
		`{"access_token":"a","expires_in":1e999}`, `{"access_token":"a","expires_in":-1}`,
		`{"access_token":"a","token_type":"N_A"}`, `{"access_token":"a\nb"}`, `{"access_token":"a","access_token":""}`,
		`{"error":"invalid_grant"}`, `{"error":{"status":"X"}}`, `null`, `[]`, `""`, `{`, ``, "\xef\xbb\xbf{}", `{"access_token":null}`,
	} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Now()
		tok, err := answering(t, 200, string(body), nil).Token()
		if err != nil {
			checkOneLine(t, err)
			return
		}
		if tok.AccessToken == "" || strings.ContainsAny(tok.AccessToken, "\r\n\x00") || tok.TokenType != "Bearer" {
			t.Errorf("a token that cannot be used: %q of type %q", tok.AccessToken, tok.TokenType)
		}
		if !tok.Expiry.IsZero() && !tok.Expiry.After(now) {
			t.Errorf("a token that has ended: %v", tok.Expiry)
		}
	})
}

// Whatever a service answers otherwise is an error of one line that does not
// show the subject token.
func FuzzRefusal(f *testing.F) {
	for _, row := range []string{
		`{"error":"invalid_grant","error_description":"stale"}`, `{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}`,
		`{"error":7}`, `{"error":null,"error_description":[]}`, `<html>`, "", "\x00", "canary-subject-token-0123456789",
		`{"error":"canary-subject-token-0123456789"}`, "canary-subject-token-\n0123456789",
		`{"error_description":"canary-subject\u002dtoken-0123456789"}`,
	} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const secret = "canary-subject-token-0123456789"
		_, err := answering(t, 400, string(body), func(c *stssource.Config) {
			c.SubjectToken = subjecttoken.Static{Value: secret}
		}).Token()
		checkOneLine(t, err)
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the subject token: %v", err)
		}
	})
}

func checkOneLine(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*stssource.Error](err)
	if !ok {
		t.Fatalf("not an *Error: %v", err)
	}
	if text := e.Error(); strings.ContainsAny(text, "\r\n\x00") || len(text) > 4000 {
		t.Errorf("not one line of sensible length: %q", text)
	}
}

// Whatever is configured, New and the first exchange end without a panic, and
// without an error that shows the secret.
func FuzzConfig(f *testing.F) {
	f.Add("https://sts.example.com/token", "id", "canary-secret-0123456789", "aud", "https://r.example", "scope", "key", "v")
	f.Add("http://[::1]:80/", "a:b", "p+ s%", "", "/x", "a b", "callback", "f")
	f.Add("https://u:p@h/#f?q", "", "", " ", "#", "", "fields", "access_token")
	f.Add("%zz://", "\x00", "\xff", "\n", ":", "\x7f", "", "")
	f.Fuzz(func(t *testing.T, tokenURL, id, secret, audience, resource, scope, name, value string) {
		src, err := stssource.New(stssource.Config{
			TokenURL:     tokenURL,
			SubjectToken: subjecttoken.Static{Value: "subject"},
			Audiences:    []string{audience},
			Resources:    []string{resource},
			Scopes:       []string{scope},
			ClientID:     id,
			ClientSecret: secret,
			Query:        url.Values{name: {value}},
			HTTPClient: &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 400, Header: http.Header{}, Body: readCloser(r.URL.String()), Request: r}, nil
			})},
		})
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = src.TokenContext(ctx)
			checkOneLine(t, err)
		}
		if len(secret) >= 12 && !strings.Contains(tokenURL+id+audience+resource+scope+name+value, secret) &&
			strings.Contains(err.Error(), secret) {
			t.Errorf("the error shows the secret: %v", err)
		}
	})
}
