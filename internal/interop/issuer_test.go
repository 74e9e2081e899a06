package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// jobToken is what a caller of the issuer's token endpoint must present, as a
// job of a continuous integration service does.
const jobToken = "job-request-token"

// issuer is an OpenID provider like the one of a cluster or of a continuous
// integration service: it signs JWTs, and publishes its key for those who
// verify them.
type issuer struct {
	URL string

	mu  sync.Mutex
	key *ecdsa.PrivateKey
	kid int // how many keys there were before
}

func startIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{key: newKey(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", i.serveDiscovery)
	mux.HandleFunc("GET /keys", i.serveKeys)
	mux.HandleFunc("GET /job/token", i.serveToken)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.URL = server.URL
	return i
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rotate replaces the signing key. The old one is no longer published, so that
// whoever verifies a new token must fetch the keys again.
func (i *issuer) rotate(t *testing.T) {
	t.Helper()
	key := newKey(t)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.kid = key, i.kid+1
}

// token returns a token for the workload that lives for lifetime.
func (i *issuer) token(lifetime time.Duration) string {
	return i.tokenFor("workload", "dex", lifetime)
}

func (i *issuer) tokenFor(subject, audience string, lifetime time.Duration) string {
	now := time.Now()
	return i.sign(map[string]any{
		"iss": i.URL,
		"sub": subject,
		"aud": audience,
		"iat": now.Unix(),
		"exp": now.Add(lifetime).Unix(),
	})
}

// sign returns claims as a JWT (RFC 7519), signed with ES256.
func (i *issuer) sign(claims map[string]any) string {
	i.mu.Lock()
	key, kid := i.key, i.kid
	i.mu.Unlock()
	return signJWT(key, kid, claims)
}

func signJWT(key *ecdsa.PrivateKey, kid int, claims map[string]any) string {
	header := map[string]any{"alg": "ES256", "typ": "JWT", "kid": strconv.Itoa(kid)}
	signed := segment(header) + "." + segment(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		panic(err) // a P-256 key always signs
	}
	// RFC 7518, section 3.4: both numbers at their full length.
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (i *issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer":                                i.URL,
		"authorization_endpoint":                i.URL + "/auth",
		"token_endpoint":                        i.URL + "/token",
		"jwks_uri":                              i.URL + "/keys",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (i *issuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	key, kid := i.key, i.kid
	i.mu.Unlock()
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": strconv.Itoa(kid),
		"x": base64.RawURLEncoding.EncodeToString(point[1:33]),
		"y": base64.RawURLEncoding.EncodeToString(point[33:]),
	}}})
}

// serveToken gives a job its token, as GitHub Actions does.
func (i *issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+jobToken {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	token := i.tokenFor("workload", r.URL.Query().Get("audience"), time.Hour)
	writeJSON(w, map[string]any{"value": token, "count": 1})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(fmt.Sprintf("encoding an answer: %v", err))
	}
}

// tokenFile writes a token into a file, as a kubelet does it.
func (i *issuer) tokenFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	writeFile(t, path, i.token(time.Hour)+"\n")
	return path
}
