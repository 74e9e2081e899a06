package subjecttoken

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// GitHubActions is a [Provider] of the OpenID Connect token of a GitHub Actions
// job. Each call asks for a new one, since a token is valid for minutes and a
// job can take hours. Where to ask is in ACTIONS_ID_TOKEN_REQUEST_URL and
// ACTIONS_ID_TOKEN_REQUEST_TOKEN, which GitHub sets if the job has the
// permission "id-token: write". Failures are retried as those of [URL] are.
//
// See https://docs.github.com/en/actions/reference/security/oidc.
type GitHubActions struct {
	// Audience becomes the token's aud claim: whom it is for. If empty, it is
	// the URL of the repository's owner.
	Audience string

	// Client's Transport and Timeout are used for the requests, as described at
	// [URL]. If nil, all sources share one transport.
	Client *http.Client
}

// GCEMetadata is a [Provider] of the identity token, in its full format, that
// Google Cloud's metadata server gives to the default service account of a
// machine, a pod, a Cloud Run service and the like. If GCE_METADATA_HOST is
// set, that host is asked in place of metadata.google.internal. It must be one
// that [URL] allows plain http to. Failures are retried as those of URL are.
//
// See
// https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
type GCEMetadata struct {
	// Audience becomes the token's aud claim: whom it is for. Required.
	Audience string

	// Client's Transport and Timeout are used for the requests, as described at
	// [URL]. If nil, all sources share one transport.
	Client *http.Client
}

// AzureManagedIdentity is a [Provider] of the access token that Azure gives to
// a managed identity: that of an app on App Service, Functions or Container
// Apps, where IDENTITY_ENDPOINT and IDENTITY_HEADER are set, and otherwise that
// of a virtual machine, from its metadata service. Azure Arc and Service Fabric
// work differently and are not supported. Failures are retried as those of
// [URL] are.
//
// See
// https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token,
// https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity
// and https://learn.microsoft.com/en-us/azure/container-apps/managed-identity.
type AzureManagedIdentity struct {
	// Resource is whom the token is for, and becomes its aud claim: the
	// application ID URI or the client ID of an app registration in the
	// identity's tenant. Required.
	Resource string

	// ClientID is the client ID of a user-assigned identity. If empty, it is
	// the system-assigned identity, or the only one there is.
	ClientID string

	// Client's Transport and Timeout are used for the requests, as described at
	// [URL]. If nil, all sources share one transport.
	Client *http.Client
}

var _, _, _ Provider = GitHubActions{}, GCEMetadata{}, AzureManagedIdentity{}

const (
	sourceGitHub = "GitHub Actions OIDC token"
	sourceGCE    = "GCE metadata identity token"
	sourceAzure  = "Azure managed identity token"
)

// SubjectToken asks GitHub for a token of this job.
func (g GitHubActions) SubjectToken(ctx context.Context) (Token, error) {
	const endpoint, secret = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	if err := missing("in a GitHub Actions job, give the job `permissions: id-token: write` in the workflow file", endpoint, secret); err != nil {
		return Token{}, fail(sourceGitHub, err)
	}
	query := url.Values{}
	if g.Audience != "" {
		query.Set("audience", g.Audience)
	}
	u := URL{
		URL:       withQuery(variable(endpoint), query),
		Header:    http.Header{"Authorization": {"Bearer " + variable(secret)}},
		JSONField: "value",
		Client:    g.Client,
	}
	if _, err := u.parse(); err != nil {
		return Token{}, fail(sourceGitHub, fmt.Errorf("environment variable %s: %w", endpoint, err))
	}
	t, err := u.SubjectToken(ctx)
	return t, relabel(sourceGitHub, err, nil)
}

// withQuery appends to the query of a URL, which may have one, without touching
// what is there.
func withQuery(endpoint string, query url.Values) string {
	if len(query) == 0 {
		return endpoint
	}
	separator := "?"
	if strings.Contains(endpoint, "?") {
		separator = "&"
	}
	// "%20" is a space to everybody, "+" only to those who read forms.
	return endpoint + separator + strings.ReplaceAll(query.Encode(), "+", "%20")
}

// Validate reports all that is wrong with g. It does not read the environment.
func (g GitHubActions) Validate() error {
	return invalid(sourceGitHub, checkBlank("field Audience", g.Audience))
}

// String returns the name of the preset, as errors show it.
func (g GitHubActions) String() string { return sourceGitHub }

// MarshalText returns the text of String.
func (g GitHubActions) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// SubjectToken asks the metadata server.
func (g GCEMetadata) SubjectToken(ctx context.Context) (Token, error) {
	if err := g.Validate(); err != nil {
		return Token{}, err
	}
	const host = "GCE_METADATA_HOST"
	endpoint := url.URL{
		Scheme: "http",
		Host:   cmp.Or(variable(host), "metadata.google.internal"),
		Path:   "/computeMetadata/v1/instance/service-accounts/default/identity",
	}
	u := URL{
		URL:    withQuery(endpoint.String(), url.Values{"audience": {g.Audience}, "format": {"full"}}),
		Header: http.Header{"Metadata-Flavor": {"Google"}},
		Client: g.Client,
	}
	if _, err := u.parse(); err != nil {
		return Token{}, fail(sourceGCE, fmt.Errorf("environment variable %s: %w", host, err))
	}
	t, err := u.SubjectToken(ctx)
	return t, relabel(sourceGCE, err, func(e *Error) string {
		switch e.StatusCode {
		case 0:
			return "run this on Google Cloud, or set the environment variable GCE_METADATA_HOST to the host of its metadata server"
		case http.StatusNotFound:
			return "give the machine a service account"
		}
		return ""
	})
}

// Validate reports all that is wrong with g. It makes no request.
func (g GCEMetadata) Validate() error {
	return invalid(sourceGCE, checkRequired("Audience", g.Audience), checkBlank("field Audience", g.Audience))
}

// String returns the name of the preset, as errors show it.
func (g GCEMetadata) String() string { return sourceGCE }

// MarshalText returns the text of String.
func (g GCEMetadata) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// SubjectToken asks the platform's identity endpoint.
func (a AzureManagedIdentity) SubjectToken(ctx context.Context) (Token, error) {
	if err := a.Validate(); err != nil {
		return Token{}, err
	}
	u, err := a.endpoint()
	if err != nil {
		return Token{}, fail(sourceAzure, err)
	}
	t, err := u.SubjectToken(ctx)
	return t, relabel(sourceAzure, err, func(e *Error) string {
		switch e.StatusCode {
		case 0:
			return "run this on Azure; on App Service and Container Apps, give the app a managed identity, which sets the environment variables IDENTITY_ENDPOINT and IDENTITY_HEADER"
		case http.StatusBadRequest:
			return "check Resource and ClientID, and that the machine or app has this managed identity"
		case http.StatusNotFound, http.StatusGone: // the metadata service is being updated, which takes up to 70 seconds
			e.Temporary = true
		}
		return ""
	})
}

func (a AzureManagedIdentity) endpoint() (URL, error) {
	const endpoint, secret = "IDENTITY_ENDPOINT", "IDENTITY_HEADER"
	query := url.Values{"resource": {a.Resource}}
	if a.ClientID != "" {
		query.Set("client_id", a.ClientID)
	}
	u := URL{JSONField: "access_token", Client: a.Client}
	if variable(endpoint) == "" && variable(secret) == "" {
		query.Set("api-version", "2018-02-01")
		u.URL = withQuery("http://169.254.169.254/metadata/identity/oauth2/token", query)
		u.Header = http.Header{"Metadata": {"true"}}
		return u, nil
	}
	if err := missing("App Service and Container Apps set both, and Azure Arc, which does not, is not supported", endpoint, secret); err != nil {
		return URL{}, err
	}
	query.Set("api-version", "2019-08-01")
	u.URL = withQuery(variable(endpoint), query)
	u.Header = http.Header{"X-Identity-Header": {variable(secret)}}
	u.InsecureHTTP = privateHost(u.URL)
	if _, err := u.parse(); err != nil {
		return URL{}, fmt.Errorf("environment variable %s: %w", endpoint, err)
	}
	return u, nil
}

// privateHost reports whether a URL's host is a private address: App Service
// has its endpoint on one, by plain http, in the worker that runs the app.
func privateHost(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && safehttp.Private(u.Hostname())
}

// Validate reports all that is wrong with a. It makes no request.
func (a AzureManagedIdentity) Validate() error {
	return invalid(sourceAzure, checkRequired("Resource", a.Resource), checkBlank("field Resource", a.Resource), checkBlank("field ClientID", a.ClientID))
}

// String returns the name of the preset, as errors show it.
func (a AzureManagedIdentity) String() string { return sourceAzure }

// MarshalText returns the text of String.
func (a AzureManagedIdentity) MarshalText() ([]byte, error) { return []byte(a.String()), nil }
