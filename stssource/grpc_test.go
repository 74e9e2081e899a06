package stssource_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// perRPC is credentials.PerRPCCredentials of google.golang.org/grpc, which this
// module does not require.
type perRPC interface {
	GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error)
	RequireTransportSecurity() bool
}

var _ perRPC = (*stssource.Source)(nil)

func TestRequestMetadata(t *testing.T) {
	src := (&issuer{}).source(t, stssource.Refresh{})
	quota := src.WithHeader(http.Header{"X-Goog-User-Project": {"my-project"}, "X-Many": {"a", "b"}})
	for _, tt := range []struct {
		name string
		src  *stssource.Source
		want map[string]string
	}{
		{"the token", src, map[string]string{"authorization": "Bearer token-1"}},
		{"and the header, each field of which has one value here", quota, map[string]string{
			"authorization": "Bearer token-1", "x-goog-user-project": "my-project", "x-many": "a, b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.src.GetRequestMetadata(t.Context(), "https://api.example.com/service")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("GetRequestMetadata() mismatch (-want +got):\n%s", diff)
			}
		})
	}
	if !src.RequireTransportSecurity() {
		t.Error("a token may go over a connection without TLS")
	}
}

func TestRequestMetadataRefuses(t *testing.T) {
	opaque, err := stssource.NewFromFunc(func(context.Context) (*oauth2.Token, error) {
		return &oauth2.Token{AccessToken: "assertion", TokenType: "N_A"}, nil
	}, stssource.Refresh{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		src  *stssource.Source
	}{
		{"no token for a header", opaque},
		{"no source", nil},
		{"a source that nobody made", &stssource.Source{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.src.GetRequestMetadata(t.Context())
			if e, ok := errors.AsType[*stssource.Error](err); !ok || e.Stage != stssource.StageRequest || got != nil {
				t.Errorf("got %v, error %v, want an error of the stage %s", got, err, stssource.StageRequest)
			}
		})
	}
}

// The deadline of a call bounds its wait, and not the exchange.
func TestRequestMetadataWaitsAsLongAsTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := (&issuer{latency: time.Second}).source(t, stssource.Refresh{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		_, err := src.GetRequestMetadata(ctx)
		if waited := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || waited != 50*time.Millisecond {
			t.Errorf("error %v after %v, want the deadline after 50ms", err, waited)
		}
		if _, err := src.GetRequestMetadata(t.Context()); err != nil {
			t.Errorf("the exchange ended with the call that began it: %v", err)
		}
	})
}
