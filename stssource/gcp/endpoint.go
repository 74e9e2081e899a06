package gcp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-sts/sts/internal/redact"
	"github.com/go-sts/sts/internal/safehttp"
	"github.com/go-sts/sts/stssource"
)

// Versions of the token service's API. See
// https://cloud.google.com/iam/docs/reference/sts/rest.
const (
	// V1 is the current version.
	V1 = "v1"

	// V1Beta is an older version, which can do less: it takes no actor tokens
	// and no SAML assertions, has no workforce pools and no certificate
	// binding, and its options have at most 4,096 characters.
	V1Beta = "v1beta"
)

// googleUniverse is the universe domain of Google Cloud itself.
const googleUniverse = "googleapis.com"

// Endpoint says where Google's Security Token Service is. If zero, it is
// https://sts.googleapis.com/v1/token.
type Endpoint struct {
	// Version is [V1] or [V1Beta]. If empty, it is the version in the path of
	// URL, and without a URL it is V1.
	Version string

	// Region is the region, such as us-east1, of a regional endpoint, where
	// requests are then handled. If empty, it is the global endpoint. Not all
	// regions have one.
	Region string

	// Universe is the domain of the cloud. If empty, it is googleapis.com.
	Universe string

	// MTLS selects the host that asks for a client certificate. The HTTP client
	// must present one.
	MTLS bool

	// URL is the whole token URL, for a Private Service Connect endpoint, a
	// proxy or an emulator: https, or http to this machine. If empty, it is
	// made from the other fields. It does not go with Region and MTLS.
	URL string
}

// TokenURL returns the URL that token requests are sent to. If e is invalid,
// the error reports all mistakes, joined by [errors.Join].
func (e Endpoint) TokenURL() (string, error) {
	if err := errors.Join(e.check().errors()...); err != nil {
		return "", fmt.Errorf("gcp: invalid Endpoint: %w", err)
	}
	return e.url(), nil
}

// Format prints the token URL without its query, where an API key may be,
// whatever the verb.
func (e Endpoint) Format(f fmt.State, _ rune) { redact.Format(f, e.describe()) }

// MarshalText returns the text that Format prints.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.describe()), nil }

func (e Endpoint) describe() string { return "gcp.Endpoint(" + withoutQuery(e.url()) + ")" }

// withoutQuery returns what is no secret of a URL.
func withoutQuery(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "not a URL"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (e Endpoint) url() string {
	if e.URL != "" {
		return e.URL
	}
	return "https://" + e.host() + "/" + e.version() + "/token"
}

func (e Endpoint) host() string {
	switch {
	case e.Region != "":
		return "sts." + e.Region + ".rep." + e.universe()
	case e.MTLS:
		return "sts.mtls." + e.universe()
	}
	return "sts." + e.universe()
}

func (e Endpoint) universe() string {
	if e.Universe == "" {
		return googleUniverse
	}
	return strings.ToLower(e.Universe)
}

func (e Endpoint) version() string {
	if e.Version != "" {
		return e.Version
	}
	if u, err := url.Parse(e.URL); err == nil && slices.Contains(strings.Split(u.Path, "/"), V1Beta) {
		return V1Beta
	}
	return V1
}

func (e Endpoint) isBeta() bool { return e.version() == V1Beta }

// encoding returns how parameters are written: as the reference of v1beta
// documents them there unless form is set, and as RFC 8693 has them elsewhere.
func (e Endpoint) encoding(form bool) stssource.Encoding {
	if e.isBeta() && !form {
		return stssource.JSON
	}
	return stssource.Form
}

// region is a name such as us-east1. The list of regions grows; a region that
// does not exist has no host either.
var region = regexp.MustCompile(`^[a-z]+(-[a-z]+)+[0-9]+$`)

func (e Endpoint) check() mistakes {
	var wrong mistakes
	if !slices.Contains([]string{"", V1, V1Beta}, e.Version) {
		wrong.add("Version", "%q is neither %s nor %s", e.Version, V1, V1Beta)
	}
	if e.Region != "" && !region.MatchString(e.Region) {
		wrong.add("Region", "%q is not a region such as us-east1", e.Region)
	}
	if e.Universe != "" {
		wrong.join("Universe", checkDomain(e.Universe))
	}
	if e.Region != "" && e.MTLS {
		wrong.add("MTLS", "there is no such host for a region")
	}
	if e.URL == "" {
		return wrong
	}
	if e.Region != "" || e.MTLS {
		wrong.add("URL", "says which host is asked: leave Region and MTLS out")
	}
	_, err := safehttp.CheckURL(e.URL, safehttp.PlainLoopback)
	wrong.join("URL", err)
	return wrong
}

// checkClient checks the client of requests to e. Whether it has a certificate
// cannot be seen.
func (e Endpoint) checkClient(client *http.Client) error {
	if e.MTLS && client == nil {
		return errors.New("is nil, and Endpoint.MTLS needs one that presents a client certificate")
	}
	return nil
}

var domain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// checkDomain checks the name of a universe.
func checkDomain(name string) error {
	if !domain.MatchString(strings.ToLower(name)) {
		return fmt.Errorf("%.80q is not a domain such as %s", name, googleUniverse)
	}
	return nil
}

// orDefault returns the token URL, and that of the zero Endpoint if e is not
// right: its mistakes are told by check, and once is enough.
func (e Endpoint) orDefault() string {
	if len(e.check()) > 0 {
		return Endpoint{}.url()
	}
	return e.url()
}
