package stssource_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/stssource/ststest"
	"github.com/go-sts/sts/subjecttoken"
)

// A caller who leaves is told for whom it waited, and what came of it so far.
func TestErrorOfACallerWhoLeaves(t *testing.T) {
	for _, tt := range []struct {
		reason string
		script []ststest.Reply
		want   string
	}{
		{"a service that hangs has no error of its own", []ststest.Reply{{Hang: true, Times: -1}},
			"stssource: wait: no token from sts.example.com yet: context deadline exceeded"},
		{"the package is named once", []ststest.Reply{{Status: 503}, {Hang: true, Times: -1}},
			"stssource: wait: no token from sts.example.com yet: context deadline exceeded; " +
				"the last attempt failed: exchange with sts.example.com: 503: no reason given"},
	} {
		synctest.Test(t, func(t *testing.T) {
			service := &ststest.Handler{}
			service.Script(tt.script...)
			src := newSource(t, service, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := src.TokenContext(ctx)
			if err == nil || err.Error() != tt.want || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s:\n got %v\nwant %s", tt.reason, err, tt.want)
			}
			time.Sleep(2 * time.Minute) // until the exchange is given up
		})
	}
}

// The subject token is that of another source, whose errors begin alike.
func TestErrorOfAChainNamesThePackageOnce(t *testing.T) {
	service := &ststest.Handler{}
	service.Script(ststest.Reply{Error: "invalid_scope", Times: -1})
	first := newSource(t, service, nil)
	second := newSource(t, service, func(c *stssource.Config) { c.SubjectToken = subjecttoken.FromTokenSource(first) })
	_, err := second.Token()
	const want = "stssource: subject token: token source: exchange with sts.example.com: 400 invalid_scope (check Scopes)"
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

// What to do about a certificate that nobody here trusts is not in its error.
func TestErrorOfAnUnknownAuthority(t *testing.T) {
	src := newSource(t, new(ststest.Handler), func(c *stssource.Config) {
		c.HTTPClient = &http.Client{Transport: untrusting{}}
	})
	_, err := src.Token()
	const want = "stssource: exchange with sts.example.com: tls: failed to verify certificate: x509: certificate signed by unknown authority " +
		"(add its certificate authority to those that this machine, or HTTPClient's Transport, trusts)"
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

// untrusting fails as net/http does.
type untrusting struct{}

func (untrusting) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
}
