package bench

import (
	"context"
	"net/http"
	"time"

	"cloud.google.com/go/auth"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/oauth2"

	"github.com/go-sts/sts/stssource"
)

// issueFunc stands for an exchange: it returns a token and when that ends.
type issueFunc func(context.Context) (token string, expiry time.Time, err error)

// cache is what one library puts around an exchange that it does not know.
type cache struct {
	name string
	// new returns a cache around issue that renews a token early before its
	// end, or, if early is zero, when the library does by default.
	new func(issue issueFunc, early time.Duration) tokenFunc
}

// caches are the contenders. azcore's is public only as a part of a pipeline for
// HTTP requests, and is asked by sending one over a stub.
var caches = []cache{
	{"sts", newSTSCache},
	{"oauth2", newOAuth2Cache},
	{"cloud", newCloudCache},
	{"aws", newAWSCache},
	{"azcore", newAzureCache},
}

func newSTSCache(issue issueFunc, early time.Duration) tokenFunc {
	src, err := stssource.NewFromFunc(issuer(issue).token, stssource.Refresh{Before: early})
	if err != nil {
		panic(err) // neither the function nor early can be wrong
	}
	return func(ctx context.Context) (string, error) {
		t, err := src.TokenContext(ctx)
		if err != nil {
			return "", err
		}
		return t.AccessToken, nil
	}
}

// issuer is an issueFunc as x/oauth2 and we want it.
type issuer issueFunc

func (i issuer) token(ctx context.Context) (*oauth2.Token, error) {
	token, expiry, err := i(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token, Expiry: expiry}, nil
}

func (i issuer) Token() (*oauth2.Token, error) { return i.token(context.Background()) }

func newOAuth2Cache(issue issueFunc, early time.Duration) tokenFunc {
	if early == 0 {
		return oauth2Token(oauth2.ReuseTokenSource(nil, issuer(issue)))
	}
	return oauth2Token(oauth2.ReuseTokenSourceWithExpiry(nil, issuer(issue), early))
}

type cloudIssuer issueFunc

func (i cloudIssuer) Token(ctx context.Context) (*auth.Token, error) {
	token, expiry, err := i(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: token, Expiry: expiry}, nil
}

func newCloudCache(issue issueFunc, early time.Duration) tokenFunc {
	p := auth.NewCachedTokenProvider(cloudIssuer(issue), &auth.CachedTokenProviderOptions{ExpireEarly: early})
	return func(ctx context.Context) (string, error) {
		t, err := p.Token(ctx)
		if err != nil {
			return "", err
		}
		return t.Value, nil
	}
}

func newAWSCache(issue issueFunc, early time.Duration) tokenFunc {
	retrieve := func(ctx context.Context) (aws.Credentials, error) {
		token, expiry, err := issue(ctx)
		return aws.Credentials{SessionToken: token, AccessKeyID: "id", SecretAccessKey: "key", CanExpire: true, Expires: expiry}, err
	}
	c := aws.NewCredentialsCache(aws.CredentialsProviderFunc(retrieve), func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early })
	return func(ctx context.Context) (string, error) {
		t, err := c.Retrieve(ctx)
		return t.SessionToken, err
	}
}

// azureIssuer is a credential whose service tells when to renew, if early is set.
type azureIssuer struct {
	issue issueFunc
	early time.Duration
}

func (i azureIssuer) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expiry, err := i.issue(ctx)
	t := azcore.AccessToken{Token: token, ExpiresOn: expiry}
	if i.early > 0 {
		t.RefreshOn = expiry.Add(-i.early)
	}
	return t, err
}

func newAzureCache(issue issueFunc, early time.Duration) tokenFunc {
	sent := &echo{}
	pipeline := runtime.NewPipeline("bench", "v0.0.0", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(azureIssuer{issue, early}, []string{scope}, nil)},
	}, &policy.ClientOptions{Transport: sent, Retry: policy.RetryOptions{MaxRetries: -1}})
	return func(ctx context.Context) (string, error) {
		req, err := runtime.NewRequest(ctx, http.MethodGet, "https://api.example.com/v1/things")
		if err != nil {
			return "", err
		}
		resp, err := pipeline.Do(req)
		if err != nil {
			return "", err
		}
		return resp.Request.Header.Get("Authorization"), nil
	}
}

// echo answers each request at once.
type echo struct{}

func (*echo) Do(r *http.Request) (*http.Response, error) { return (*echo).RoundTrip(nil, r) }

func (*echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// forAnHour issues tokens that live for an hour.
func forAnHour(context.Context) (string, time.Time, error) {
	return shortToken, time.Now().Add(time.Hour), nil
}
