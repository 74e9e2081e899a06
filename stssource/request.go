package stssource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/subjecttoken"
)

func (x *exchanger) newRequest(ctx context.Context, t tokens) (*http.Request, error) {
	c := &x.config
	body, contentType := c.body(t)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.TokenURL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	own := [...]string{contentType, "application/json"}
	req.Header["Content-Type"], req.Header["Accept"] = own[:1:1], own[1:]
	if c.sendsBasic() {
		req.Header.Set("Authorization", "Basic "+c.basicCredentials())
	}
	return req, nil
}

func (c *Config) requestedType() string {
	if c.RequestedTokenType == "" {
		return subjecttoken.TypeAccessToken
	}
	return c.RequestedTokenType
}

// param is one parameter of a token request.
type param struct{ name, value string }

// body returns the body of a request and its media type.
func (c *Config) body(t tokens) ([]byte, string) {
	var buf [16]param // enough for most
	params := c.params(buf[:0], t)
	if c.Encoding == JSON {
		return encodeJSON(params), "application/json"
	}
	return encodeForm(params), "application/x-www-form-urlencoded"
}

// params appends the parameters of RFC 8693, section 2.1, and this client's
// authentication where that goes into the body: sorted by name, as url.Values
// writes them, and without those that have no value.
func (c *Config) params(params []param, t tokens) []param {
	add := func(name string, values ...string) {
		for _, v := range values {
			if v != "" {
				params = append(params, param{name, v})
			}
		}
	}
	for name, values := range c.EndpointParams {
		add(name, values...)
	}
	add("grant_type", grantType)
	add("requested_token_type", c.requestedType())
	add("subject_token", t.subject.Value)
	add("subject_token_type", t.subject.Type)
	add("actor_token", t.actor.Value)
	add("actor_token_type", t.actor.Type)
	add("audience", c.Audiences...)
	add("resource", c.Resources...)
	add("scope", strings.Join(c.Scopes, " "))
	if c.ClientAssertion != nil {
		add("client_assertion_type", clientAssertionType)
		add("client_assertion", t.assertion.Value)
	}
	if !c.sendsBasic() { // one of the two, never both
		add("client_id", c.ClientID)
		add("client_secret", c.ClientSecret)
	}
	slices.SortStableFunc(params, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return params
}

// encodeForm writes params as application/x-www-form-urlencoded. That is what
// url.Values does, but into one buffer: most of a request is the subject token,
// and values of several kilobytes are not copied for each step.
func encodeForm(params []param) []byte {
	size := 0
	for _, p := range params {
		size += len(p.name) + len(p.value) + 2
	}
	b := make([]byte, 0, size+size/4) // most values have little to escape
	for i, p := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(b, p.name)
		b = append(b, '=')
		b = appendEscaped(b, p.value)
	}
	return b
}

// appendEscaped appends what url.QueryEscape makes of s. Of a token, that is s.
func appendEscaped(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	copied := 0
	for i := range len(s) {
		c := s[i]
		if unreserved[c] {
			continue
		}
		b = append(b, s[copied:i]...)
		copied = i + 1
		if c == ' ' {
			b = append(b, '+')
		} else {
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	return append(b, s[copied:]...)
}

// unreserved are the characters that stand for themselves (RFC 3986, section
// 2.3).
var unreserved = func() (set [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~") {
		set[c] = true
	}
	return set
}()

// encodeJSON writes params as one object of strings. There is one of each: see
// checkEncoding.
func encodeJSON(params []param) []byte {
	members := make(map[string]string, len(params))
	for _, p := range params {
		members[lowerCamel(p.name)] = p.value
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// Escaped for HTML, each < > & of options would count six times against
	// the service's limit.
	e.SetEscapeHTML(false)
	_ = e.Encode(members) // strings always encode
	return bytes.TrimRight(b.Bytes(), "\n")
}

// sendsBasic reports whether this client authenticates by a header: if it has a
// secret and nothing else is asked for, or if that is.
func (c *Config) sendsBasic() bool {
	if c.ClientID == "" || c.ClientAssertion != nil {
		return false
	}
	return c.AuthStyle == oauth2.AuthStyleInHeader || c.AuthStyle == oauth2.AuthStyleAutoDetect && c.ClientSecret != ""
}

// basicCredentials returns what follows "Basic " (RFC 6749, section 2.3.1).
func (c *Config) basicCredentials() string {
	id, secret := c.ClientID, c.ClientSecret
	if !c.RawBasicAuth {
		id, secret = url.QueryEscape(id), url.QueryEscape(secret)
	}
	return base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
}

// lowerCamel turns subject_token_type into subjectTokenType.
func lowerCamel(name string) string {
	head, tail, ok := strings.Cut(name, "_")
	for ok {
		var part string
		part, tail, ok = strings.Cut(tail, "_")
		if part != "" {
			head += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	return head
}
