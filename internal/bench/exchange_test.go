package bench

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// typicalToken is as long as the opaque tokens of Google's service often are.
var typicalToken = "ya29." + strings.Repeat("0123456789abcdef", 16)

// exchangers are the contenders whose every call makes an exchange. The answer
// says that the token lives for 5 seconds, which x/oauth2 (10 seconds early),
// cloud auth (225 seconds) and azidentity (5 minutes) all take to have ended.
// Cloud auth would exchange in the background and return the old token; it is
// told to wait. Our source is told that the token was rejected.
var exchangers = []source{
	{"bare", newBare},
	{"bare+file", newBareFile},
	{"sts", newInvalidated},
	{"sts/static", newInvalidatedStatic},
	{"oauth2/externalaccount", newExternalAccount},
	{"cloud/externalaccount", newCloudBlocking},
	{"azidentity", newWorkloadIdentity},
}

// newBare posts the same form as sts, with a plain http.Client, and decodes the
// answer: the least that an exchange can be. The form is made once.
func newBare(w world) (tokenFunc, error) {
	form, err := exchangeForm(w.file)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) { return post(ctx, w, form) }, nil
}

// newBareFile is newBare, but for the file, which is read for each exchange as
// the others do, and the form, which is made anew.
func newBareFile(w world) (tokenFunc, error) {
	return func(ctx context.Context) (string, error) {
		form, err := exchangeForm(w.file)
		if err != nil {
			return "", err
		}
		return post(ctx, w, form)
	}, nil
}

func exchangeForm(file string) (string, error) {
	subject, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	return url.Values{
		"grant_type":           {"urn:ietf:params:oauth:grant-type:token-exchange"},
		"requested_token_type": {subjecttoken.TypeAccessToken},
		"subject_token":        {string(subject)},
		"subject_token_type":   {subjecttoken.TypeJWT},
		"audience":             {audience},
		"scope":                {scope},
	}.Encode(), nil
}

func post(ctx context.Context, w world, form string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.tokenURL, strings.NewReader(form))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := w.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var token struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &token); err != nil {
		return "", err
	}
	return token.AccessToken, nil
}

func newInvalidated(w world) (tokenFunc, error) { return invalidated(stsConfig(w)) }

// newInvalidatedStatic is newInvalidated without a file.
func newInvalidatedStatic(w world) (tokenFunc, error) {
	subject, err := os.ReadFile(w.file)
	if err != nil {
		return nil, err
	}
	c := stsConfig(w)
	c.SubjectToken = subjecttoken.Static{Value: string(subject)}
	return invalidated(c)
}

func invalidated(c stssource.Config) (tokenFunc, error) {
	src, err := stssource.New(c)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		t, err := src.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		src.Invalidate(t)
		return t.AccessToken, nil
	}, nil
}

// BenchmarkExchange makes one exchange over a kept connection on loopback.
func BenchmarkExchange(b *testing.B) {
	for _, secure := range []bool{false, true} {
		name := "plain"
		if secure {
			name = "TLS"
		}
		b.Run(name, func(b *testing.B) {
			for _, x := range exchangers {
				if x.name == "azidentity" && !secure {
					continue // it refuses plain http
				}
				b.Run(x.name, func(b *testing.B) { benchmarkExchange(b, x, secure) })
			}
		})
	}
}

func benchmarkExchange(b *testing.B, x source, secure bool) {
	service, exchange := startExchange(b, x, secure)
	sent, received, exchanges := service.sent.Load(), service.received.Load(), service.exchanges.Load()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := exchange(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(b.N)
	b.ReportMetric(float64(service.sent.Load()-sent)/n, "B-sent/op")
	b.ReportMetric(float64(service.received.Load()-received)/n, "B-received/op")
	if made := service.exchanges.Load() - exchanges; made != int64(b.N) {
		b.Errorf("%d exchanges for %d calls", made, b.N)
	}
	if d := service.dials.Load(); d != 1 {
		b.Errorf("%d connections, want one that is kept", d)
	}
}

// startExchange returns a service and a function that makes exchanges with it,
// the first of which has been made.
func startExchange(tb testing.TB, x source, secure bool) (*loopback, tokenFunc) {
	service := newLoopback(tb, secure, answer(typicalToken, 5*time.Second))
	exchange := must(tb, func() (tokenFunc, error) {
		return x.new(world{service.url(secure), service.client, subjectFile(tb)})
	})
	if token, err := exchange(tb.Context()); err != nil || token != typicalToken {
		tb.Fatalf("token %q, error %v", token, err)
	}
	return service, exchange
}
