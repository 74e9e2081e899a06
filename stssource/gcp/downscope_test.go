package gcp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/gcp"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// lasting returns a source of one token that ends after life, for ever if life
// is zero.
func lasting(life time.Duration) oauth2.TokenSource {
	token := &oauth2.Token{AccessToken: "source-token"}
	if life != 0 {
		token.Expiry = time.Now().Add(life)
	}
	return sourceFunc(func() (*oauth2.Token, error) { return token, nil })
}

func (w *world) downscope(t *testing.T, source oauth2.TokenSource, change func(*gcp.DownscopeConfig)) *stssource.Source {
	t.Helper()
	c := gcp.DownscopeConfig{AccessBoundary: *oneRule(), HTTPClient: w.client()}
	if change != nil {
		change(&c)
	}
	src, err := gcp.Downscope(source, c)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestDownscopeRequest(t *testing.T) {
	options := `{"accessBoundary":{"accessBoundaryRules":[{"availableResource":"` + bucket + `","availablePermissions":["` + viewer + `"]}]}}`
	want := values(
		"grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"requested_token_type", subjecttoken.TypeAccessToken,
		"subject_token", "source-token",
		"subject_token_type", subjecttoken.TypeAccessToken,
		"options", options,
	)
	for _, tt := range []struct {
		name, host, path, encoding string
		change                     func(*gcp.DownscopeConfig)
	}{
		{"default", "sts.googleapis.com", "/v1/token", "form", nil},
		{"v1beta", "sts.googleapis.com", "/v1beta/token", "json", func(c *gcp.DownscopeConfig) { c.Endpoint.Version = gcp.V1Beta }},
		{"v1beta as a form", "sts.googleapis.com", "/v1beta/token", "form", func(c *gcp.DownscopeConfig) { c.Endpoint.Version, c.Form = gcp.V1Beta, true }},
		{"region", "sts.us-east1.rep.googleapis.com", "/v1/token", "form", func(c *gcp.DownscopeConfig) { c.Endpoint.Region = "us-east1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				mustToken(t, w.downscope(t, lasting(time.Hour), tt.change))
				got := w.request(t)
				if diff := cmp.Diff(want, got.Params); diff != "" {
					t.Errorf("parameters (-want +got):\n%s", diff)
				}
				if got.Host != tt.host || got.Path != tt.path || got.Encoding != tt.encoding {
					t.Errorf("%s%s as %s", got.Host, got.Path, got.Encoding)
				}
			})
		})
	}
}

// A token never outlives the one that it was made from, nor what the service
// says.
func TestDownscopeExpiry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source time.Duration  // life of the source's token; zero: not known
		answer map[string]any // what is special about the answer
		want   time.Duration  // zero: not known
	}{
		{"absent, as Google leaves it out", 40 * time.Minute, nil, 40 * time.Minute},
		{"larger", 40 * time.Minute, map[string]any{"expires_in": 3600}, 40 * time.Minute},
		{"smaller", 40 * time.Minute, map[string]any{"expires_in": 600}, 10 * time.Minute},
		{"known of the answer alone", 0, map[string]any{"expires_in": 600}, 10 * time.Minute},
		{"not known at all", 0, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				w.sts.Script(ststest.Reply{Members: tt.answer})
				token := mustToken(t, w.downscope(t, lasting(tt.source), nil))
				var got time.Duration
				if !token.Expiry.IsZero() {
					got = time.Until(token.Expiry)
				}
				if got != tt.want {
					t.Errorf("lives for %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// One request serves all callers until the token is due, and the next token is
// made from the source's next one.
func TestDownscopeIsCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		n := 0
		source := sourceFunc(func() (*oauth2.Token, error) {
			n++
			return &oauth2.Token{AccessToken: []string{"first", "second", "third"}[n-1], Expiry: time.Now().Add(time.Hour)}, nil
		})
		src := w.downscope(t, source, nil)
		first := mustToken(t, src)
		for range 100 {
			if got := mustToken(t, src); got.AccessToken != first.AccessToken {
				t.Fatal("another token")
			}
		}
		if got := len(w.sts.Requests()); got != 1 {
			t.Fatalf("%d requests for 101 calls", got)
		}
		time.Sleep(57 * time.Minute)
		synctest.Wait()
		second := mustToken(t, src)
		requests := w.sts.Requests()
		if len(requests) != 2 || requests[1].Params.Get("subject_token") != "second" || second.AccessToken == first.AccessToken {
			t.Fatalf("%d requests, token %s", len(requests), second.AccessToken)
		}
		if left := time.Until(second.Expiry); left < 57*time.Minute {
			t.Errorf("the second token has %v left", left)
		}
		// A token that a service rejects is replaced although the source's is not.
		src.Invalidate(second)
		if got := mustToken(t, src); got.AccessToken == second.AccessToken {
			t.Error("the rejected token was handed out again")
		}
	})
}

// Nobody who stops asking keeps the token service busy.
func TestDownscopeUnusedStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		source := sourceFunc(func() (*oauth2.Token, error) {
			return &oauth2.Token{AccessToken: "t", Expiry: time.Now().Add(time.Hour)}, nil
		})
		src := w.downscope(t, source, nil)
		mustToken(t, src)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := len(w.sts.Requests()); got > 2 {
			t.Errorf("%d requests in a day in which nobody asked", got)
		}
		mustToken(t, src)
	})
}

// A token that is asked for by its own source's TokenContext comes with an
// error that says all there is to say.
func TestDownscopeChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		src := w.downscope(t, w.issued(t), nil)
		token := mustToken(t, src)
		requests := w.sts.Requests()
		if len(requests) != 2 || requests[1].Params.Get("subject_token") != requests[0].AccessToken || token.AccessToken != requests[1].AccessToken {
			t.Errorf("requests %+v", requests)
		}

		w.sts.Script(ststest.Reply{Error: "invalid_target", Times: -1})
		_, err := w.downscope(t, w.issued(t), nil).Token()
		e, ok := errors.AsType[*stssource.Error](err)
		r, isRetrieve := errors.AsType[*oauth2.RetrieveError](err)
		if !ok || e.Stage != stssource.StageSubjectToken || !isRetrieve || r.ErrorCode != "invalid_target" {
			t.Errorf("got %v", err)
		}
	})
}

// An outage of a moment is bridged; in a longer one few requests are made, and
// the error is the token service's.
func TestDownscopeOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.sts.Script(ststest.Reply{Status: 503, Times: 3})
		mustToken(t, w.downscope(t, lasting(time.Hour), nil))

		w.sts.Reset()
		w.sts.Script(ststest.Reply{Status: 503, Times: -1})
		src := w.downscope(t, lasting(time.Hour), nil)
		var err error
		for range 1000 {
			_, err = src.Token()
		}
		e, ok := errors.AsType[*stssource.Error](err)
		if !ok || e.Stage != stssource.StageExchange || e.StatusCode != 503 || e.Host != "sts.googleapis.com" || !e.Temporary {
			t.Errorf("got %v", err)
		}
		if n := len(w.sts.Requests()); n > 8 {
			t.Errorf("%d requests for 1000 calls", n)
		}
		w.sts.Script()
		time.Sleep(time.Minute)
		mustToken(t, src)
	})
}

func TestDownscopeOfEndedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		_, err := w.downscope(t, lasting(-time.Hour), nil).Token()
		checkMentions(t, err, "token source", "expired 1h0m0s ago")
		if n := len(w.sts.Requests()); n != 0 {
			t.Errorf("%d requests were made", n)
		}
	})
}

func TestDownscopeMistakes(t *testing.T) {
	_, err := gcp.Downscope(nil, gcp.DownscopeConfig{
		Endpoint: gcp.Endpoint{Version: "v3"},
		Refresh:  stssource.Refresh{Timeout: -1, Before: -1},
	})
	checkMentions(t, err, "gcp: invalid DownscopeConfig: ", "the token source is nil", "AccessBoundary.Rules: there are 0", `Endpoint.Version: "v3"`,
		"Refresh.Timeout is negative", "Refresh.Before is negative")
	if n := strings.Count(err.Error(), "Refresh.Timeout"); n != 1 {
		t.Errorf("one mistake is told %d times: %v", n, err)
	}
	_, err = gcp.Downscope(lasting(0), gcp.DownscopeConfig{AccessBoundary: *oneRule(), Endpoint: gcp.Endpoint{MTLS: true}})
	checkMentions(t, err, "HTTPClient: is nil, and Endpoint.MTLS needs one")
	_, err = gcp.Downscope(lasting(0), gcp.DownscopeConfig{AccessBoundary: *oneRule(), Refresh: stssource.Refresh{Before: -1}})
	checkMentions(t, err, "gcp: invalid DownscopeConfig: ", "Refresh.Before is negative")
}

var _ http.Handler = (*world)(nil)
