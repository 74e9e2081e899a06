package interop_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

// rpcServer is a gRPC server over TLS that takes calls with a token for the API.
type rpcServer struct {
	address string
	trust   credentials.TransportCredentials
	calls   atomic.Int64 // that had a good token
}

func startRPC(t *testing.T, issuer *dex) *rpcServer {
	t.Helper()
	certificate, trust := certificate(t)
	s := &rpcServer{trust: trust}
	check := newGuard(t, issuer, nil)
	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			md, _ := metadata.FromIncomingContext(ctx)
			values := md.Get("authorization")
			if len(values) != 1 {
				return nil, status.Errorf(codes.Unauthenticated, "%d authorization values", len(values))
			}
			if err := check.check(ctx, http.Header{"Authorization": values}); err != nil {
				return nil, status.Error(codes.Unauthenticated, err.Error())
			}
			s.calls.Add(1)
			return next(ctx, request)
		}))
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	listener := listen(t, "127.0.0.1:0")
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	s.address = listener.Addr().String()
	return s
}

// certificate returns a certificate for loopback addresses, and credentials of a
// client that trusts it.
func certificate(t *testing.T) (tls.Certificate, credentials.TransportCredentials) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return server.TLS.Certificates[0], credentials.NewClientTLSFromCert(pool, "")
}

var _ credentials.PerRPCCredentials = (*stssource.Source)(nil)

// bothCredentials are a source itself, and gRPC's own credentials over it.
func bothCredentials(source *stssource.Source) map[string]credentials.PerRPCCredentials {
	return map[string]credentials.PerRPCCredentials{
		"source":                 source,
		"gRPC's own TokenSource": oauth.TokenSource{TokenSource: source},
	}
}

// dial returns a client whose calls have c.
func (s *rpcServer) dial(t *testing.T, c credentials.PerRPCCredentials) grpc_health_v1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient(s.address,
		grpc.WithTransportCredentials(s.trust),
		grpc.WithPerRPCCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

func TestRPC(t *testing.T) {
	upstream := startIssuer(t)
	issuer := startDex(t, dexConfig{Upstream: upstream.URL})
	source := newSource(t, issuer.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	server := startRPC(t, issuer)

	for name, credentials := range bothCredentials(source) {
		t.Run(name, func(t *testing.T) {
			client := server.dial(t, credentials)
			before := server.calls.Load()
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if _, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			want, got := []int64{50, 1}, []int64{server.calls.Load() - before, issuer.requests.Load()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("calls and exchanges mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRPCRefused has a token refused by the server: once it is invalidated, the
// next call has a new one.
func TestRPCRefused(t *testing.T) {
	upstream := startIssuer(t)
	issuer := startDex(t, dexConfig{Upstream: upstream.URL})
	c := issuer.config(t, subjecttoken.File{Path: upstream.tokenFile(t)})
	c.Scopes = nil // a token for nobody
	source := newSource(t, c)
	client := startRPC(t, issuer).dial(t, source)

	for want := int64(1); want <= 2; want++ {
		_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if status.Code(err) != codes.Unauthenticated {
			t.Errorf("error %v, want %v", err, codes.Unauthenticated)
		}
		if got := issuer.requests.Load(); got != want {
			t.Errorf("%d exchanges, want %d", got, want)
		}
		token, err := source.TokenContext(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		source.Invalidate(token)
	}
}

// TestRPCNoToken checks what a caller of gRPC sees of a failure to get a token.
func TestRPCNoToken(t *testing.T) {
	upstream := startIssuer(t)
	issuer := startDex(t, dexConfig{Upstream: upstream.URL})
	subject := forged(t, upstream)
	source := newSource(t, issuer.config(t, subjecttoken.Static{Value: subject}))
	server := startRPC(t, issuer)
	for name, credentials := range bothCredentials(source) {
		t.Run(name, func(t *testing.T) {
			_, err := server.dial(t, credentials).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("error %v, want %v", err, codes.Unauthenticated)
			}
			checkSecrets(t, err, subject, clientSecret)
		})
	}
}

// TestRPCDeadline has a call wait for a token that does not come before its
// deadline: it ends there, where gRPC's own credentials would hold it for as long
// as the exchange takes.
func TestRPCDeadline(t *testing.T) {
	issuer := startDex(t, dexConfig{Upstream: startIssuer(t).URL})
	release := make(chan struct{})
	defer close(release)
	source := newSource(t, issuer.config(t, subjecttoken.Func(func(context.Context) (subjecttoken.Token, error) {
		<-release
		return subjecttoken.Token{}, errors.New("nothing to give")
	})))
	client := startRPC(t, issuer).dial(t, source)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if code := status.Code(err); code != codes.Unauthenticated && code != codes.DeadlineExceeded {
		t.Errorf("error %v, want %v or %v", err, codes.Unauthenticated, codes.DeadlineExceeded)
	}
}

// TestRPCPlain checks that gRPC sends no token without TLS, as its credentials
// say that they need it.
func TestRPCPlain(t *testing.T) {
	upstream := startIssuer(t)
	issuer := startDex(t, dexConfig{Upstream: upstream.URL})
	source := newSource(t, issuer.config(t, subjecttoken.File{Path: upstream.tokenFile(t)}))
	for name, credentials := range bothCredentials(source) {
		t.Run(name, func(t *testing.T) {
			_, err := grpc.NewClient("127.0.0.1:0",
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithPerRPCCredentials(credentials))
			if err == nil {
				t.Error("no error, want one about TLS")
			}
		})
	}
}
