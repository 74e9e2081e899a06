package bench

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// shortToken is the access token where memory is measured: short, so that what
// is counted is the source and not its token.
const shortToken = "ya29.a-token-of-thirty-bytes.."

// answer is the answer of a token service to an exchange, with nothing in it
// that a client need not have.
func answer(token string, life time.Duration) string {
	return fmt.Sprintf(`{"access_token":%q,"issued_token_type":"urn:ietf:params:oauth:token-type:access_token","token_type":"Bearer","expires_in":%d}`,
		token, int(life.Seconds()))
}

// tenantID names the tenant of azidentity's rows, which have a protocol of their
// own: the subject token goes out as a client assertion (RFC 7523).
const tenantID = "00000000-0000-0000-0000-000000000001"

// discovery is what azidentity asks for before its first exchange.
func discovery(host string) string {
	base := "https://" + host + "/" + tenantID
	return fmt.Sprintf(`{"issuer":"%[1]s/v2.0","authorization_endpoint":"%[1]s/oauth2/v2.0/authorize","token_endpoint":"%[1]s/oauth2/v2.0/token"}`, base)
}

// stubService answers each token request at once, in memory.
type stubService struct{ answer string }

func (s stubService) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	body := s.answer
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		body = discovery(r.URL.Host)
	}
	return &http.Response{
		StatusCode:    http.StatusOK,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}

// must returns what f does, and ends the test if that is an error.
func must[T any](tb testing.TB, f func() (T, error)) T {
	tb.Helper()
	v, err := f()
	if err != nil {
		tb.Fatal(err)
	}
	return v
}
