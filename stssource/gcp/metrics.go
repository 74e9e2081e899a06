package gcp

import (
	"fmt"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/go-sts/sts/subjecttoken"
)

// metrics returns the x-goog-api-client field by which Google counts how its
// identity federation is used. It says nothing about who uses it.
func (c Config) metrics() string {
	return fmt.Sprintf("gl-go/%s auth/%s google-byoid-sdk source/%s sa-impersonation/%t config-lifetime/%t",
		goVersion(), moduleVersion(), sourceKind(c.SubjectToken), c.Impersonate != nil,
		c.Impersonate != nil && c.Impersonate.Lifetime != 0)
}

func sourceKind(p subjecttoken.Provider) string {
	switch p.(type) {
	case subjecttoken.File:
		return "file"
	case subjecttoken.URL:
		return "url"
	case subjecttoken.Exec:
		return "executable"
	case subjecttoken.X509:
		return "x509"
	}
	return "programmatic"
}

// goVersion is the version of Go without spaces, which separate the parts of
// the field.
func goVersion() string {
	v, _, _ := strings.Cut(strings.TrimPrefix(runtime.Version(), "go"), " ")
	return v
}

// moduleVersion is the version of this module in the running program.
var moduleVersion = sync.OnceValue(func() string {
	info, _ := debug.ReadBuildInfo()
	return versionIn(info)
})

func versionIn(info *debug.BuildInfo) string {
	if info == nil {
		return "unknown"
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == "github.com/go-sts/sts" && strings.HasPrefix(m.Version, "v") {
			return m.Version
		}
	}
	return "unknown"
}

// isGoogle reports whether rawURL is a URL of the universe, to which alone the
// metrics are sent.
func isGoogle(rawURL, universe string) bool {
	u, err := url.Parse(rawURL)
	return err == nil && below(u.Hostname(), universe)
}

// below reports whether host is domain or a name below it.
func below(host, domain string) bool {
	host = strings.ToLower(host)
	return host == domain || strings.HasSuffix(host, "."+domain)
}
