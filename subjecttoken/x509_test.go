package subjecttoken_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// newCertificate returns a certificate that signs itself, in DER.
func newCertificate(t *testing.T, name string, notAfter time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    notAfter.Add(-48 * time.Hour),
		NotAfter:     notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemFile(t *testing.T, blocks ...*pem.Block) string {
	t.Helper()
	var b []byte
	for _, block := range blocks {
		b = append(b, pem.EncodeToMemory(block)...)
	}
	path := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestX509 covers the subject.x509 cases: x509-leaf-only,
// x509-chain-without-leaf and x509-chain-wrong-order. The fourth,
// x509-config-neither, is about a member of credential files.
func TestX509(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	leafDER, otherDER := newCertificate(t, "leaf", tomorrow), newCertificate(t, "other", tomorrow)
	leaf, other := &pem.Block{Type: "CERTIFICATE", Bytes: leafDER}, &pem.Block{Type: "CERTIFICATE", Bytes: otherDER}
	key := &pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary-key")}
	ended := &pem.Block{Type: "CERTIFICATE", Bytes: newCertificate(t, "ended", time.Now().Add(-time.Hour))}
	broken := &pem.Block{Type: "CERTIFICATE", Bytes: []byte("canary-broken")}
	for _, tt := range []struct {
		name        string
		cert, chain []*pem.Block // no chain: no file
		want        [][]byte
		error       string
	}{
		{name: "the leaf alone", cert: []*pem.Block{leaf}, want: [][]byte{leafDER}},
		{name: "a key in the same file is left there", cert: []*pem.Block{key, leaf}, want: [][]byte{leafDER}},
		{name: "what follows the leaf is not sent", cert: []*pem.Block{leaf, other}, want: [][]byte{leafDER}},
		{name: "a chain without the leaf", cert: []*pem.Block{leaf}, chain: []*pem.Block{other}, want: [][]byte{leafDER, otherDER}},
		{name: "a chain with the leaf", cert: []*pem.Block{leaf}, chain: []*pem.Block{leaf, other}, want: [][]byte{leafDER, otherDER}},
		{name: "a chain in another order", cert: []*pem.Block{leaf}, chain: []*pem.Block{other, leaf}, error: "the leaf certificate is at place 2: put it first"},
		{name: "no certificate", cert: []*pem.Block{key}, error: "no PEM block of the type CERTIFICATE"},
		{name: "no chain in the chain file", cert: []*pem.Block{leaf}, chain: []*pem.Block{key}, error: "no PEM block of the type CERTIFICATE"},
		{name: "one that cannot be read", cert: []*pem.Block{broken}, error: "certificate 1 cannot be read"},
		{name: "one that has ended", cert: []*pem.Block{ended}, error: "the certificate expired 1h0m"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := subjecttoken.X509{CertFile: pemFile(t, tt.cert...)}
			if tt.chain != nil {
				p.ChainFile = pemFile(t, tt.chain...)
			}
			if err := p.Validate(); err != nil {
				t.Fatalf("Validate: %v", err)
			}
			tok, err := p.SubjectToken(t.Context())
			if tt.error != "" {
				if _, ok := errors.AsType[*subjecttoken.Error](err); !ok || !strings.Contains(err.Error(), tt.error) {
					t.Errorf("got %v, want an *Error with %q", err, tt.error)
				}
				if err != nil && strings.Contains(err.Error(), "canary") {
					t.Errorf("the error shows what was read: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var encoded []string
			if err := json.Unmarshal([]byte(tok.Value), &encoded); err != nil {
				t.Fatal(err)
			}
			var got [][]byte
			for _, s := range encoded {
				der, err := base64.StdEncoding.DecodeString(s)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, der)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("certificates (-want +got):\n%s", diff)
			}
			if tok.Type != subjecttoken.TypeMTLS || !tok.Expiry.Equal(tomorrow.UTC().Truncate(time.Second)) {
				t.Errorf("type %s, expiry %v, want %v", tok.Type, tok.Expiry, tomorrow)
			}
		})
	}
}

func TestX509Errors(t *testing.T) {
	if err := (subjecttoken.X509{}).Validate(); err == nil || !strings.Contains(err.Error(), "CertFile") {
		t.Errorf("Validate() = %v, want an error about CertFile", err)
	}
	p := subjecttoken.X509{CertFile: filepath.Join(t.TempDir(), "missing.pem")}
	if _, err := p.SubjectToken(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), p.CertFile) {
		t.Errorf("got %v, want fs.ErrNotExist with the path", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.SubjectToken(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if got, want := p.String(), "subjecttoken.X509("+p.CertFile+")"; got != want {
		t.Errorf("String() = %s, want %s", got, want)
	}
}

// Of a file with a damaged leaf, the next certificate is not the leaf.
func TestX509Damaged(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	path := pemFile(t, &pem.Block{Type: "CERTIFICATE", Bytes: newCertificate(t, "leaf", tomorrow)},
		&pem.Block{Type: "CERTIFICATE", Bytes: newCertificate(t, "other", tomorrow)})
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[60] = '!'
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (subjecttoken.X509{CertFile: path}).SubjectToken(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v, want an error about a damaged file", err)
	}
}
