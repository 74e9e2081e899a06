package bench

import (
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/httptransport"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// authorizer is what authorizes requests.
type authorizer struct {
	name      string
	roundTrip func(*http.Request) (*http.Response, error)
}

func authorizers(tb testing.TB) []authorizer {
	base := &canned{&http.Response{StatusCode: http.StatusOK, Body: http.NoBody}}
	src := must(tb, func() (*stssource.Source, error) {
		return stssource.NewFromFunc(issuer(forAnHour).token, stssource.Refresh{})
	})
	cloudClient := &http.Client{Transport: base}
	creds := auth.NewCredentials(&auth.CredentialsOptions{TokenProvider: auth.NewCachedTokenProvider(cloudIssuer(forAnHour), nil)})
	if err := httptransport.AddAuthorizationMiddleware(cloudClient, creds); err != nil {
		tb.Fatal(err)
	}
	return []authorizer{
		{"stub alone", base.RoundTrip},
		{"sts", (&stssource.Transport{Source: src, Base: base}).RoundTrip},
		{"oauth2", (&oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, issuer(forAnHour)), Base: base}).RoundTrip},
		{"cloud", cloudClient.Transport.RoundTrip},
	}
}

// canned gives every request the same answer.
type canned struct{ resp *http.Response }

func (c *canned) RoundTrip(*http.Request) (*http.Response, error) { return c.resp, nil }

// typicalRequest has the header of a call of a generated Google client.
func typicalRequest(tb testing.TB) *http.Request {
	req := must(tb, func() (*http.Request, error) {
		return http.NewRequest(http.MethodGet, "https://storage.googleapis.com/storage/v1/b?project=p", nil)
	})
	for _, name := range []string{"User-Agent", "Accept", "Content-Type", "X-Goog-Api-Client", "X-Goog-User-Project", "X-Goog-Request-Params", "Accept-Encoding"} {
		req.Header.Set(name, "value")
	}
	return req
}

// BenchmarkRoundTrip authorizes a request and hands it to a transport that
// answers at once.
func BenchmarkRoundTrip(b *testing.B) {
	for _, a := range authorizers(b) {
		b.Run(a.name, func(b *testing.B) {
			req := typicalRequest(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.roundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConstruct makes a source, which asks nobody yet.
func BenchmarkConstruct(b *testing.B) {
	w := world{tokenURL: "https://sts.example.com/v1/token", client: &http.Client{Transport: stubService{answer(shortToken, time.Hour)}}, file: subjectFile(b)}
	for _, s := range sources {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.new(w); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, c := range caches {
		b.Run("cache/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.new(forAnHour, 0)
			}
		})
	}
}
