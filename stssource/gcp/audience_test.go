package gcp_test

import (
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/gcp"
)

func TestAudiences(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{gcp.WorkloadIdentityProvider{ProjectNumber: "1", Pool: "pool", Provider: "k8s"}.Audience(), audience},
		{gcp.WorkforceProvider{Pool: "pool", Provider: "okta"}.Audience(), workforce},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	for name, a := range map[string]string{
		"workload":                        audience,
		"workforce":                       workforce,
		"pool of a cluster":               "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p.svc.id.goog/providers/k8s",
		"pool of a fleet":                 "identitynamespace:p.svc.id.goog:https://container.googleapis.com/v1/projects/p",
		"location that is not global":     "//iam.googleapis.com/projects/1/locations/eu/workloadIdentityPools/pool/providers/k8s",
		"a pool with a tilde":             "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p~/providers/k8s",
		"names that are collections' own": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/workforcePools/providers/providers",
	} {
		config := newWorld().config()
		config.Audience = a
		if _, err := gcp.New(config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAudienceMistakes(t *testing.T) {
	const pools = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/"
	for _, tt := range []struct {
		name, audience, want string
	}{
		{"none", "", "is empty: set it to the full resource name of the provider, //iam.googleapis.com/projects/NUMBER/"},
		{"the form of an OIDC audience", "https:" + audience, `has the scheme "https:": a full resource name has none, it begins with //iam.googleapis.com/`},
		{"no host", strings.TrimPrefix(audience, "//iam.googleapis.com/"), "does not begin with //iam.googleapis.com/"},
		{"another host", strings.Replace(audience, "iam.", "iam", 1), "does not begin with //iam.googleapis.com/"},
		{"a prefix", "x" + audience, "does not begin with //iam.googleapis.com/"},
		{"of another universe", strings.Replace(audience, "googleapis.com", "universe.example", 1), "does not begin with //iam.googleapis.com/"},
		{"project ID", gcp.WorkloadIdentityProvider{ProjectNumber: "my-project", Pool: "p", Provider: "x"}.Audience(), `has the project "my-project", which must be the project's number`},
		{"no project", gcp.WorkloadIdentityProvider{Pool: "p", Provider: "x"}.Audience(), `has no name after "projects/"`},
		{"no pool", gcp.WorkforceProvider{Provider: "x"}.Audience(), `has no name after "workforcePools/"`},
		{"no provider", gcp.WorkforceProvider{Pool: "x"}.Audience(), `has no name after "providers/"`},
		{"the pool alone", pools + "pool", `has its end where "providers/" belongs`},
		{"without its name", pools + "pool/providers", `has no name after "providers/"`},
		{"a typo", pools + "pool/provider/x", `has "provider" where "providers/" belongs`},
		{"of neither kind", "//iam.googleapis.com/organizations/1", `has "organizations" where "locations/" belongs`},
		{"a suffix", audience + "/subject/me", `has "/subject/me" after the provider`},
		{"a space", audience + " ", "has a space or another character that no resource name has"},
		{"a line break", audience + "\n", "has a space or another character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := newWorld().config()
			config.Audience = tt.audience
			_, err := gcp.New(config)
			checkMentions(t, err, "Audience: ", tt.want)
		})
	}
}

// In another universe, pools may be named for it.
func TestAudienceOfUniverse(t *testing.T) {
	config := newWorld().config()
	config.Endpoint.Universe = "Universe.Example"
	for _, a := range []string{audience, strings.Replace(audience, "googleapis.com", "universe.example", 1)} {
		config.Audience = a
		if _, err := gcp.New(config); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}
