package gcp_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-sts/sts/stssource/gcp"
)

// iamcredentials makes a host of that service of one of the token service.
var iamcredentials = strings.NewReplacer("sts", "iamcredentials", "STS", "IAMCREDENTIALS")

// A subject token is of no use to the service that impersonates, nor a federated
// token to the token service: a file that has them the other way round is wrong.
func TestHostOfTheOtherService(t *testing.T) {
	for member, raw := range map[string]string{
		"token_url":                         "https://iamcredentials.googleapis.com/v1/token",
		"token_info_url":                    "https://us-east1-iamcredentials.googleapis.com/v1/introspect",
		"service_account_impersonation_url": "https://sts.googleapis.com" + generate,
	} {
		_, err := gcp.FromJSON(credentialFile(members{member: raw}))
		checkMentions(t, err, "gcp: credential file: "+member+": a token would be sent to ", "allow the host by name, in allowedHosts")
	}
}

// A file must not send a token to a host that neither Google nor the caller
// vouches for.
func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		url   string
		allow []string
		ok    bool
	}{
		{"Google", "https://sts.googleapis.com/v1/token", nil, true},
		{"a region", "https://sts.europe-west4.rep.googleapis.com/v1/token", nil, true},
		{"a region in an older spelling", "https://us-west-1-sts.googleapis.com/v1/token", nil, true},
		{"for client certificates", "https://sts.mtls.googleapis.com/v1/token", nil, true},
		{"the domain itself", "https://googleapis.com/v1/token", nil, false},
		{"a service that keeps what it is sent", "https://storage.googleapis.com/upload/storage/v1/b/bucket/o?uploadType=media&name=x", nil, false},
		{"a bucket called sts", "https://sts.storage.googleapis.com/x", nil, false},
		{"a service called like a region", "https://sts.run.googleapis.com/x", nil, false},
		{"the dotted capital I, which is another letter", "https://sts.googleap\u0130s.com/v1/token", nil, false},
		{"the same, escaped", "https://sts.googleap%C4%B0s.com/v1/token", nil, false},
		{"upper case", "HTTPS://STS.GOOGLEAPIS.COM/v1/token", nil, true},
		{"its own port", "https://sts.googleapis.com:443/v1/token", nil, true},
		{"an endpoint of one's own at Google", "https://sts-xyz.p.googleapis.com/v1/token", nil, true},
		{"another port", "https://sts.googleapis.com:8443/v1/token", nil, false},
		{"another port, allowed", "https://sts.googleapis.com:8443/v1/token", []string{"sts.googleapis.com"}, true},
		{"http", "http://sts.googleapis.com/v1/token", nil, false},
		{"http, although the host is allowed", "http://sts.example/token", []string{"sts.example"}, false},
		{"Google as a user name", "https://sts.googleapis.com@evil.example/v1/token", nil, false},
		{"Google as a user name and password", "https://sts.googleapis.com:443@evil.example/v1/token", nil, false},
		{"a user name", "https://me@sts.googleapis.com/v1/token", nil, false},
		{"Google below another", "https://sts.googleapis.com.evil.example/v1/token", nil, false},
		{"Google at the end of a name", "https://evilgoogleapis.com/v1/token", nil, false},
		{"Google with a dash", "https://sts-googleapis.com/v1/token", nil, false},
		{"another top level", "https://sts.googleapis.co/v1/token", nil, false},
		{"a dot at the end", "https://sts.googleapis.com./v1/token", nil, false},
		{"an empty label", "https://evil..googleapis.com/v1/token", nil, false},
		{"Google in the path", "https://evil.example/sts.googleapis.com/v1/token", nil, false},
		{"Google in the query", "https://evil.example?.googleapis.com", nil, false},
		{"Google in the fragment", "https://evil.example#.googleapis.com", nil, false},
		{"Google after a backslash", `https://evil.example\.googleapis.com/v1/token`, nil, false},
		{"Google after an escape", "https://evil.example%2f.googleapis.com/v1/token", nil, false},
		{"Google after a NUL", "https://evil.example%00.googleapis.com/v1/token", nil, false},
		{"letters that look alike", "https://sts.gооgleapis.com/v1/token", nil, false},
		{"a full stop of another script", "https://evil.example。googleapis.com/v1/token", nil, false},
		{"an address", "https://203.0.113.1/v1/token", nil, false},
		{"a zone", "https://[fe80::1%25.googleapis.com]/v1/token", nil, false},
		{"no scheme", "//sts.googleapis.com/v1/token", nil, false},
		{"another scheme", "ftp://sts.googleapis.com/v1/token", nil, false},
		{"no host", "https:///v1/token", nil, false},
		{"another host", "https://sts.example/token", nil, false},
		{"another host, allowed", "https://sts.example/token", []string{"x.example", "STS.example"}, true},
		{"below a host that is allowed", "https://a.sts.example/token", []string{"sts.example"}, false},
		{"allowed with its port", "https://sts.example:8443/token", []string{"sts.example:8443"}, true},
		{"allowed with another port", "https://sts.example:8443/token", []string{"sts.example:8444"}, false},
		{"this machine", "http://localhost:8080/token", nil, false},
		{"this machine, allowed", "http://localhost:8080/token", []string{"localhost"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, member := range []string{"token_url", "token_info_url", "service_account_impersonation_url"} {
				raw, allow := tt.url, slices.Clone(tt.allow)
				if u, err := url.Parse(raw); err == nil && member == "service_account_impersonation_url" {
					u.Path, u.Host = generate, iamcredentials.Replace(u.Host)
					raw = u.String()
					for i, host := range allow {
						allow[i] = iamcredentials.Replace(host)
					}
				}
				_, err := gcp.FromJSON(credentialFile(members{member: raw}), allow...)
				if tt.ok && err != nil {
					t.Errorf("%s: %v", member, err)
				}
				if !tt.ok {
					checkMentions(t, err, "gcp: credential file: "+member+": ")
				}
			}
		})
	}
}

// A file could call the stranger's domain its universe.
func TestUniverse(t *testing.T) {
	evil := members{"universe_domain": "evil.example", "token_url": "https://sts.evil.example/v1/token"}
	_, err := gcp.FromJSON(credentialFile(evil))
	checkMentions(t, err, `universe_domain: "evil.example" is another cloud than googleapis.com: if that is right, allow it by name, in allowedHosts`)
	if _, err := gcp.FromJSON(credentialFile(evil), "evil.example"); err != nil {
		t.Errorf("a universe that is allowed: %v", err)
	}
	evil["token_url"] = "https://sts.googleapis.com/v1/token"
	_, err = gcp.FromJSON(credentialFile(evil), "evil.example")
	checkMentions(t, err, `token_url: a token would be sent to "sts.googleapis.com", which is not a host of the service sts of evil.example`)
}

// Whatever a file says, no token goes to a host that was not allowed.
func FuzzFromJSON(f *testing.F) {
	f.Add(string(credentialFile(nil)))
	for _, raw := range []string{"https://sts.googleapis.com@evil.example", `https://evil.example\@googleapis.com`, "https://evil.example:443#@googleapis.com"} {
		f.Add(string(credentialFile(members{"token_url": raw})))
		f.Add(string(credentialFile(members{"service_account_impersonation_url": raw + generate, "universe_domain": "evil.example"})))
	}
	f.Add(string(credentialFile(source(members{"executable": members{"command": "x", "timeout_millis": 1e5}}))))
	f.Fuzz(func(t *testing.T, data string) {
		c, err := gcp.FromJSON([]byte(data))
		if err != nil {
			return
		}
		targets := []string{"https://sts.googleapis.com"}
		if u, err := c.Endpoint.TokenURL(); err != nil {
			t.Errorf("the endpoint is not right: %v", err)
		} else {
			targets = append(targets, u)
		}
		if c.Impersonate != nil {
			targets = append(targets, c.Impersonate.URL)
		}
		for _, target := range targets {
			u, err := url.Parse(target)
			beyondASCII := func(r rune) bool { return r > '~' }
			if err != nil || !strings.HasSuffix("."+strings.ToLower(u.Hostname()), ".googleapis.com") || u.User != nil || u.Scheme != "https" ||
				strings.ContainsFunc(u.Host, beyondASCII) {
				t.Errorf("a token goes to %s (%v)", target, err)
			}
		}
		if b, err := json.Marshal(c); err != nil || c.ClientSecret != "" && strings.Contains(string(b), c.ClientSecret) && !strings.Contains(c.Audience, c.ClientSecret) {
			t.Errorf("%s, %v", b, err)
		}
	})
}
