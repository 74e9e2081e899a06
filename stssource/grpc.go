package stssource

import (
	"context"
	"strings"
)

// GetRequestMetadata returns the metadata that authorizes a call: with
// [Source.RequireTransportSecurity] it makes a Source the PerRPCCredentials of
// google.golang.org/grpc/credentials, for grpc.WithPerRPCCredentials and
// grpc.PerRPCCredentials.
//
// A call waits for a token as long as its own context allows, and then fails with
// an [*Error]; gRPC gives it the code Unauthenticated, or Internal where the
// credentials are those of a single call. A token that a service rejects is kept:
// tell [Source.Invalidate]. The fields of [Source.WithHeader] are metadata, too.
func (s *Source) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	e, err := s.authorization(ctx)
	if err != nil {
		return nil, err
	}
	metadata := make(map[string]string, 1)
	if s.header != nil {
		for name, values := range *s.header {
			metadata[strings.ToLower(name)] = strings.Join(values, ", ")
		}
	}
	metadata["authorization"] = e.header
	return metadata, nil
}

// RequireTransportSecurity returns true: gRPC then refuses to send a token over a
// connection without TLS.
func (s *Source) RequireTransportSecurity() bool { return true }
