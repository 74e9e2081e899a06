package gcp

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-sts/sts/internal/safehttp"
)

// account names a service account and the method of the IAM Service Account
// Credentials API that makes tokens of it.
type account struct {
	name      string
	delegates []string
	universe  string
	url       string
	method    string
}

// accountName is the email address of a service account, or its unique ID.
var accountName = regexp.MustCompile(`^([A-Za-z0-9._-]+@[A-Za-z0-9.-]+\.[A-Za-z0-9-]+|[0-9]+)$`)

const resourcePrefix = "projects/-/serviceAccounts/"

// resolved returns a with its name, if only the URL has it.
func (a account) resolved() account {
	if a.name == "" {
		a.name, _ = a.nameInURL()
	}
	return a
}

// nameInURL returns the name of the service account in a.url.
func (a account) nameInURL() (string, error) {
	u, err := url.Parse(a.url)
	if err != nil {
		return "", errors.New("not a URL")
	}
	head, ok := strings.CutSuffix(u.Path, ":"+a.method)
	_, name, found := strings.Cut(head, "/serviceAccounts/")
	if !ok || !found || !accountName.MatchString(name) {
		return "", fmt.Errorf("the path is not that of impersonation, /v1/%sNAME:%s", resourcePrefix, a.method)
	}
	return name, nil
}

func (a account) target() string {
	if a.url != "" {
		return a.url
	}
	e := Endpoint{Universe: a.universe}
	return "https://iamcredentials." + e.universe() + "/v1/" + resourcePrefix + a.name + ":" + a.method
}

// delegation returns the delegates as the API wants them.
func (a account) delegation() []string {
	var names []string
	for _, d := range a.delegates {
		names = append(names, resourcePrefix+d)
	}
	return names
}

func (a account) check() mistakes {
	var wrong mistakes
	if a.url != "" {
		a.checkURL(&wrong)
	} else if a.name == "" {
		wrong.add("ServiceAccount", "is empty: set it to the service account's email address")
	}
	if a.name != "" && !accountName.MatchString(a.name) {
		wrong.add("ServiceAccount", "%.200q is not the email address of a service account", a.name)
	}
	for i, d := range a.delegates {
		if !accountName.MatchString(d) {
			wrong.add("Delegates", "element %d, %.200q, is not the email address of a service account", i, d)
		}
	}
	if a.universe != "" {
		wrong.join("Universe", checkDomain(a.universe))
	}
	return wrong
}

func (a account) checkURL(wrong *mistakes) {
	if _, err := safehttp.CheckURL(a.url, safehttp.PlainLoopback); err != nil {
		wrong.join("URL", err)
		return
	}
	name, err := a.nameInURL()
	wrong.join("URL", err)
	if err == nil && a.name != "" && a.name != name {
		wrong.add("URL", "names the service account %.200q, and ServiceAccount is another", name)
	}
}
