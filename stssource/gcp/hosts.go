package gcp

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// trust says to which hosts a credential file may send tokens. Files come by
// mail and from wikis, and one from a stranger must not take the subject token
// to him, or have him impersonate whom he likes.
type trust struct {
	universe string   // that of the file
	allowed  []string // hosts and universes that the caller named
}

// checkUniverse checks the domain that the file says is its cloud's: a file
// could name the stranger's.
func (t trust) checkUniverse() error {
	if t.universe == googleUniverse || t.names(t.universe) {
		return nil
	}
	return fmt.Errorf("%.80q is another cloud than %s: if that is right, allow it by name, in allowedHosts", t.universe, googleUniverse)
}

func (t trust) names(host string) bool {
	return slices.ContainsFunc(t.allowed, func(a string) bool { return strings.EqualFold(a, host) })
}

// services match the names that each service has below a universe's domain:
// global, regional in the spellings that are met, of a private endpoint,
// and for client certificates. Not every name will do: below googleapis.com are
// services that keep for a stranger what is sent to them, such as the upload of
// Cloud Storage, and a bucket can be called sts.
var services = map[string]*regexp.Regexp{
	tokenService:       hostsOf(tokenService),
	credentialsService: hostsOf(credentialsService),
}

const (
	tokenService       = "sts"
	credentialsService = "iamcredentials"
)

func hostsOf(service string) *regexp.Regexp {
	const hosts = `^(REGION[.-])?SERVICE(\.REGION(\.rep)?|-[a-z0-9-]+\.p)?(\.mtls)?$`
	return regexp.MustCompile(strings.NewReplacer("SERVICE", service, "REGION", `[a-z]+(-[a-z]+)+-?[0-9]+`).Replace(hosts))
}

// check checks a URL at which a token is sent to the service.
func (t trust) check(raw, service string) error {
	u, err := safehttp.CheckURL(raw, safehttp.PlainLoopback)
	if err != nil {
		return err
	}
	if t.names(u.Hostname()) || t.names(u.Host) {
		return nil
	}
	name, ok := strings.CutSuffix(strings.ToLower(u.Hostname()), "."+t.universe)
	if !ok || !services[service].MatchString(name) {
		return fmt.Errorf("a token would be sent to %.200q, which is not a host of the service %s of %s: if that is right, allow the host by name, in allowedHosts",
			u.Host, service, t.universe)
	}
	// At other ports of its hosts there is nothing of Google's.
	if port := u.Port(); port != "" && port != "443" {
		return fmt.Errorf("port %s of %.200q is not that of Google's service: if it is right, allow the host by name, in allowedHosts", port, u.Hostname())
	}
	return nil
}
