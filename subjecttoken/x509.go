package subjecttoken

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// X509 is a [Provider] of a client certificate and its chain, in the form that
// Google's token service takes: a JSON array of certificates in base64, the
// leaf first (the x5c of RFC 7515, section 4.1.6). The type is [TypeMTLS]. Both
// files are read anew at each call.
//
// A certificate is no secret and proves nothing by itself. The token request
// must be made over a connection that is authenticated with it: give the HTTP
// client of the exchange a transport with the key, and use the service's mTLS
// host.
type X509 struct {
	// CertFile is the path of a PEM file that begins with the leaf certificate.
	// Required. Any further certificates in it are not sent.
	CertFile string

	// ChainFile is the path of a PEM file with the certificates between the
	// leaf and the trust anchor, in that order. It may begin with the leaf. If
	// empty, the leaf is sent alone.
	ChainFile string
}

var _ Provider = X509{}

// SubjectToken reads the certificates. The token expires when the leaf does; a
// leaf that has expired is an error.
func (x X509) SubjectToken(ctx context.Context) (Token, error) {
	if err := ctx.Err(); err != nil {
		return Token{}, fail(x.source(), err)
	}
	chain, err := x.chain()
	if err != nil {
		return Token{}, fail(x.source(), err)
	}
	leaf := chain[0]
	if time.Now().After(leaf.NotAfter) {
		return Token{}, fail(x.source(), fmt.Errorf("the certificate expired %v ago: renew it", time.Since(leaf.NotAfter).Round(time.Second)))
	}
	encoded := make([]string, len(chain))
	for i, c := range chain {
		encoded[i] = base64.StdEncoding.EncodeToString(c.Raw)
	}
	value, err := json.Marshal(encoded)
	if err != nil {
		return Token{}, fail(x.source(), err)
	}
	return Token{Value: string(value), Type: TypeMTLS, Expiry: leaf.NotAfter}, nil
}

// Validate reports all that is wrong with x. It does not look at the files.
func (x X509) Validate() error {
	if x.CertFile == "" {
		return invalid(x.source(), errors.New("field CertFile is required"))
	}
	return nil
}

// String returns a description that names the file of the certificate.
func (x X509) String() string { return "subjecttoken.X509(" + x.CertFile + ")" }

func (x X509) source() string { return "certificate file " + x.CertFile }

// chain returns the leaf and what is to be sent after it.
func (x X509) chain() ([]*x509.Certificate, error) {
	own, err := readCertificates(x.CertFile)
	if err != nil {
		return nil, err
	}
	leaf := own[0]
	if x.ChainFile == "" {
		return []*x509.Certificate{leaf}, nil
	}
	rest, err := readCertificates(x.ChainFile)
	if err != nil {
		return nil, fmt.Errorf("chain file %s: %w", x.ChainFile, err)
	}
	if rest[0].Equal(leaf) {
		return rest, nil
	}
	for i, c := range rest {
		if c.Equal(leaf) {
			return nil, fmt.Errorf("chain file %s: the leaf certificate is at place %d: put it first, or leave it out", x.ChainFile, i+1)
		}
	}
	return append([]*x509.Certificate{leaf}, rest...), nil
}

func readCertificates(path string) ([]*x509.Certificate, error) {
	raw, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(bytes.TrimSpace(raw)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue // a key may stand in the same file
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(certs)+1, err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM block of the type CERTIFICATE")
	}
	// pem.Decode passes over what is damaged: the next certificate must not be
	// taken for the leaf.
	if n := bytes.Count(raw, []byte("-----BEGIN CERTIFICATE-----")); n != len(certs) {
		return nil, fmt.Errorf("of %d certificates only %d can be read: the file is damaged", n, len(certs))
	}
	return certs, nil
}
