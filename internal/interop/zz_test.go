package interop

import (
	_ "cloud.google.com/go/auth/credentials"
	_ "cloud.google.com/go/auth/credentials/externalaccount"
	_ "cloud.google.com/go/storage"
	_ "github.com/Shopify/toxiproxy/v2"
	_ "github.com/Shopify/toxiproxy/v2/toxics"
	_ "github.com/dexidp/dex/connector/oidc"
	_ "github.com/dexidp/dex/server"
	_ "github.com/dexidp/dex/server/signer"
	_ "github.com/dexidp/dex/storage/memory"
	_ "github.com/fsouza/fake-gcs-server/fakestorage"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/zitadel/oidc/v3/example/server/exampleop"
	_ "github.com/zitadel/oidc/v3/example/server/storage"
	_ "github.com/zitadel/oidc/v3/pkg/op"
	_ "golang.org/x/oauth2/google/externalaccount"
	_ "google.golang.org/api/option"
	_ "google.golang.org/grpc"
	_ "google.golang.org/grpc/credentials/oauth"
)
