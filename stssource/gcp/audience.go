package gcp

import (
	"errors"
	"fmt"
	"strings"
)

// WorkloadIdentityProvider names a provider of a workload identity pool, which
// is for programs and belongs to a project.
type WorkloadIdentityProvider struct {
	ProjectNumber string // the number, not the ID, of the project that has the pool; required
	Pool          string // the ID of the pool; required
	Provider      string // the ID of the provider in the pool; required
}

// Audience returns the full resource name of p, for Config.Audience. [New]
// checks it.
func (p WorkloadIdentityProvider) Audience() string {
	return iamPrefix + "projects/" + p.ProjectNumber + "/locations/global/workloadIdentityPools/" + p.Pool + "/providers/" + p.Provider
}

// WorkforceProvider names a provider of a workforce identity pool, which is for
// people and belongs to an organization.
type WorkforceProvider struct {
	Pool     string // the ID of the pool; required
	Provider string // the ID of the provider in the pool; required
}

// Audience returns the full resource name of p, for Config.Audience. [New]
// checks it.
func (p WorkforceProvider) Audience() string {
	return iamPrefix + "locations/global/workforcePools/" + p.Pool + "/providers/" + p.Provider
}

const (
	iamPrefix      = "//iam." + googleUniverse + "/"
	workloadFormat = iamPrefix + "projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
)

// checkAudience says what is wrong with the name of a provider. The pools that
// a Google Kubernetes Engine fleet brings along have names of a form of their
// own, identitynamespace:POOL:PROVIDER.
func checkAudience(audience, universe string) error {
	switch {
	case audience == "":
		return errors.New("is empty: set it to the full resource name of the provider, " + workloadFormat)
	case strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%.200q has a space or another character that no resource name has", audience)
	case strings.HasPrefix(audience, "identitynamespace:"):
		return nil
	}
	path, err := providerPath(audience, universe)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path, "projects/") {
		return checkSegments(audience, path, "projects", "locations", "workloadIdentityPools", "providers")
	}
	return checkSegments(audience, path, "locations", "workforcePools", "providers")
}

// providerPath returns audience without the service's name.
func providerPath(audience, universe string) (string, error) {
	for _, host := range []string{universe, googleUniverse} {
		if path, ok := strings.CutPrefix(audience, "//iam."+host+"/"); ok {
			return path, nil
		}
	}
	for _, scheme := range []string{"https:", "http:"} {
		if strings.HasPrefix(audience, scheme) {
			return "", fmt.Errorf("%.200q has the scheme %q: a full resource name has none, it begins with %s", audience, scheme, iamPrefix)
		}
	}
	return "", fmt.Errorf("%.200q does not begin with %s: it must be the full resource name of the provider, %s", audience, iamPrefix, workloadFormat)
}

// checkSegments checks that path is made of the given collections, each with a
// name after it.
func checkSegments(audience, path string, collections ...string) error {
	segments := strings.Split(path, "/")
	for i, collection := range collections {
		at := 2 * i
		if at >= len(segments) || segments[at] != collection {
			found := "its end"
			if at < len(segments) {
				found = fmt.Sprintf("%.40q", segments[at])
			}
			return fmt.Errorf("%.200q has %s where %q belongs", audience, found, collection+"/")
		}
		if at+1 >= len(segments) || segments[at+1] == "" {
			return fmt.Errorf("%.200q has no name after %q", audience, collection+"/")
		}
	}
	if extra := segments[2*len(collections):]; len(extra) > 0 {
		return fmt.Errorf("%.200q has %.40q after the provider", audience, "/"+strings.Join(extra, "/"))
	}
	if collections[0] == "projects" && !isNumber(segments[1]) {
		return fmt.Errorf("%.200q has the project %.40q, which must be the project's number", audience, segments[1])
	}
	return nil
}

func isNumber(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// isWorkforce reports whether audience is, as a whole, the name of a provider
// of a workforce pool.
func isWorkforce(audience, universe string) bool {
	path, err := providerPath(audience, universe)
	return err == nil && strings.HasPrefix(path, "locations/") && checkAudience(audience, universe) == nil
}
