package bench

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/auth/credentials"
	cloudaccount "cloud.google.com/go/auth/credentials/externalaccount"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google/externalaccount"

	"github.com/go-sts/sts/stssource"
	"github.com/go-sts/sts/subjecttoken"
)

const (
	audience = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/k8s"
	scope    = "https://www.googleapis.com/auth/cloud-platform"
)

// world is where a source makes its exchanges: a token service, a client that
// reaches it, and the file with the subject token.
type world struct {
	tokenURL string
	client   *http.Client
	file     string
}

// subjectFile writes a subject token into a file, as Kubernetes projects one:
// a JWT of about a kilobyte that ends in the year 2100.
func subjectFile(tb testing.TB) string {
	part := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"aud":["sts.example.com"],"exp":4102444800,"iat":1767225600,"iss":"https://kubernetes.default.svc","sub":"system:serviceaccount:default:app","pad":%q}`,
		strings.Repeat("x", 350))
	jwt := part([]byte(`{"alg":"RS256","kid":"key-1"}`)) + "." + part([]byte(claims)) + "." + part(make([]byte, 256))
	path := filepath.Join(tb.TempDir(), "subject-token")
	if err := os.WriteFile(path, []byte(jwt), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// source is a whole source of one library: it reads the file, makes the
// exchange and keeps the token.
type source struct {
	name string
	new  func(world) (tokenFunc, error)
}

// tokenFunc returns a source's current access token.
type tokenFunc func(context.Context) (string, error)

// sources are the contenders that make an exchange by themselves.
var sources = []source{
	{"sts", newSTS},
	{"oauth2/externalaccount", newExternalAccount},
	{"cloud/externalaccount", newCloudAccount},
	{"azidentity", newWorkloadIdentity},
}

func stsConfig(w world) stssource.Config {
	return stssource.Config{
		TokenURL:     w.tokenURL,
		SubjectToken: subjecttoken.File{Path: w.file},
		Audiences:    []string{audience},
		Scopes:       []string{scope},
		HTTPClient:   w.client,
	}
}

func newSTS(w world) (tokenFunc, error) {
	src, err := stssource.New(stsConfig(w))
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		t, err := src.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}, nil
}

func newExternalAccount(w world) (tokenFunc, error) {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, w.client)
	src, err := externalaccount.NewTokenSource(ctx, externalaccount.Config{
		Audience:         audience,
		SubjectTokenType: subjecttoken.TypeJWT,
		TokenURL:         w.tokenURL,
		Scopes:           []string{scope},
		CredentialSource: &externalaccount.CredentialSource{File: w.file},
	})
	if err != nil {
		return nil, err
	}
	return oauth2Token(src), nil
}

func oauth2Token(src oauth2.TokenSource) tokenFunc {
	return func(context.Context) (string, error) {
		t, err := src.Token()
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}
}

func newCloudAccount(w world) (tokenFunc, error) {
	creds, err := cloudaccount.NewCredentials(&cloudaccount.Options{
		Audience:         audience,
		SubjectTokenType: subjecttoken.TypeJWT,
		TokenURL:         w.tokenURL,
		Scopes:           []string{scope},
		CredentialSource: &cloudaccount.CredentialSource{File: w.file},
		Client:           w.client,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		t, err := creds.Token(ctx)
		if err != nil {
			return "", err
		}
		return t.Value, nil
	}, nil
}

// newCloudBlocking is cloud auth set to refresh while its caller waits: the
// option is not in the package externalaccount, but in the way that credential
// files take.
func newCloudBlocking(w world) (tokenFunc, error) {
	file := fmt.Sprintf(`{"type":"external_account","audience":%q,"subject_token_type":%q,"token_url":%q,"credential_source":{"file":%q}}`,
		audience, subjecttoken.TypeJWT, w.tokenURL, w.file)
	creds, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, []byte(file), &credentials.DetectOptions{
		Scopes:              []string{scope},
		DisableAsyncRefresh: true,
		Client:              w.client,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		t, err := creds.Token(ctx)
		if err != nil {
			return "", err
		}
		return t.Value, nil
	}, nil
}

func newWorkloadIdentity(w world) (tokenFunc, error) {
	cred, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{
			Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: authority(w.tokenURL)},
			Transport: w.client,
		},
		ClientID:                 "client",
		DisableInstanceDiscovery: true,
		TenantID:                 tenantID,
		TokenFilePath:            w.file,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (string, error) {
		t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		return t.Token, err
	}, nil
}

// authority returns the part of a token URL that azidentity wants to know.
func authority(tokenURL string) string {
	host, _, _ := strings.Cut(strings.TrimPrefix(tokenURL, "https://"), "/")
	return "https://" + host + "/"
}
