package gcp_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
)

func TestIDToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		src, err := gcp.IDToken(w.issued(t), gcp.IDTokenConfig{
			ServiceAccount: robot, Delegates: []string{"123"}, Audience: "https://service.example", IncludeEmail: true, HTTPClient: w.client(),
		})
		if err != nil {
			t.Fatal(err)
		}
		token := mustToken(t, src)
		mustToken(t, src)
		want := []iamCall{{
			Host: "iamcredentials.googleapis.com", Path: "/v1/projects/-/serviceAccounts/" + robot + ":generateIdToken",
			Authorization: "Bearer " + w.request(t).AccessToken,
			Body:          map[string]any{"audience": "https://service.example", "includeEmail": true, "delegates": []any{"projects/-/serviceAccounts/123"}},
		}}
		if diff := cmp.Diff(want, w.iamCalls()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		// synctest's clock stands at a whole second.
		if strings.Count(token.AccessToken, ".") != 2 || token.TokenType != "Bearer" || time.Until(token.Expiry) != time.Hour {
			t.Errorf("got %s %s for %v", token.TokenType, token.AccessToken, time.Until(token.Expiry))
		}
	})
}

func TestIDTokenFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		body string
		want string
	}{
		{"not JSON", "hello", "the answer is not a JSON object with a token"},
		{"no token", `{"accessToken":"canary"}`, "the answer is not a JSON object with a token"},
		{"not a JWT", `{"token":"canary"}`, "is not a JSON Web Token that says when it ends"},
		{"a JWT without an end", `{"token":"eyJhbGciOiJub25lIn0.e30.canary"}`, "is not a JSON Web Token that says when it ends"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.answer(ststest.Reply{Status: 200, Body: tt.body})
				src, err := gcp.IDToken(w.issued(t), gcp.IDTokenConfig{ServiceAccount: robot, Audience: "a", HTTPClient: w.client()})
				if err != nil {
					t.Fatal(err)
				}
				_, err = src.Token()
				checkMentions(t, err, "stssource: impersonation with iamcredentials.googleapis.com: ", tt.want)
				if e, ok := errors.AsType[*stssource.Error](err); !ok || e.Temporary || strings.Contains(err.Error(), "canary") {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestIDTokenMistakes(t *testing.T) {
	_, err := gcp.IDToken(nil, gcp.IDTokenConfig{Refresh: stssource.Refresh{Before: -1}, Delegates: []string{"x"}})
	checkMentions(t, err, "gcp: invalid IDTokenConfig: ", "ServiceAccount: is empty", "Audience: is empty", "source: is nil", "Delegates: ", "Refresh.Before")
	_, err = gcp.IDToken(lasting(0), gcp.IDTokenConfig{Audience: "a", URL: "https://iamcredentials.googleapis.com" + generate})
	checkMentions(t, err, "URL: the path is not that of impersonation, /v1/projects/-/serviceAccounts/NAME:generateIdToken")
}
