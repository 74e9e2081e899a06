package stssource

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/subjecttoken"
)

func (x *exchanger) newRequest(ctx context.Context, t tokens) (*http.Request, error) {
	c := &x.config
	params := c.params(t)
	basic := c.authenticate(params, t.assertion)
	body, contentType := []byte(params.Encode()), "application/x-www-form-urlencoded"
	if c.Encoding == JSON {
		body, contentType = encodeJSON(params), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range c.Header {
		for _, v := range values {
			req.Header.Add(name, v)
		}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	if basic != "" {
		req.Header.Set("Authorization", "Basic "+basic)
	}
	return req, nil
}

func (c *Config) requestedType() string {
	if c.RequestedTokenType == "" {
		return subjecttoken.TypeAccessToken
	}
	return c.RequestedTokenType
}

// params returns the parameters of RFC 8693, section 2.1, without those that
// have no value.
func (c *Config) params(t tokens) url.Values {
	p := make(url.Values, 10)
	for name, values := range c.EndpointParams {
		for _, v := range values {
			if v != "" {
				p.Add(name, v)
			}
		}
	}
	p.Set("grant_type", grantType)
	p.Set("requested_token_type", c.requestedType())
	p.Set("subject_token", t.subject.Value)
	p.Set("subject_token_type", t.subject.Type)
	if c.ActorToken != nil {
		p.Set("actor_token", t.actor.Value)
		p.Set("actor_token_type", t.actor.Type)
	}
	if len(c.Audiences) > 0 {
		p["audience"] = c.Audiences
	}
	if len(c.Resources) > 0 {
		p["resource"] = c.Resources
	}
	if len(c.Scopes) > 0 {
		p.Set("scope", strings.Join(c.Scopes, " "))
	}
	return p
}

// authenticate adds this client's authentication to params, or returns the
// credentials for an Authorization header: one of the two, never both.
func (c *Config) authenticate(params url.Values, assertion subjecttoken.Token) (basic string) {
	if c.ClientAssertion != nil {
		params.Set("client_assertion_type", clientAssertionType)
		params.Set("client_assertion", assertion.Value)
	}
	switch {
	case c.sendsBasic():
		return c.basicCredentials()
	case c.ClientID != "":
		params.Set("client_id", c.ClientID)
		if c.ClientSecret != "" {
			params.Set("client_secret", c.ClientSecret)
		}
	}
	return ""
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

// encodeJSON writes params as one object of strings.
func encodeJSON(params url.Values) []byte {
	members := make(map[string]string, len(params))
	for name, values := range params {
		members[lowerCamel(name)] = values[0] // no more: see checkEncoding
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// Escaped for HTML, each < > & of options would count six times against
	// the service's limit.
	e.SetEscapeHTML(false)
	_ = e.Encode(members) // strings always encode
	return bytes.TrimRight(b.Bytes(), "\n")
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
