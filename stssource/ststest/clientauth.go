package ststest

import (
	"net/http"
	"net/url"
	"slices"
)

const assertionJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// checkClient is client authentication (RFC 6749, section 2.3).
func checkClient(c *call) *refusal {
	h := c.service
	inHeader := len(c.Header.Values("Authorization")) > 0
	inBody := slices.ContainsFunc([]string{"client_id", "client_secret", "client_assertion", "client_assertion_type"}, c.Params.Has)
	switch {
	case h.ClientID == "" && h.AcceptAssertion == nil:
		if inHeader {
			return refuse("there is an Authorization header, but the service has no clients")
		}
		if inBody {
			return refuse("there are client credentials, but the service has no clients")
		}
		return nil
	case inHeader && inBody:
		return refuse("client credentials are in the Authorization header and in the body (RFC 6749, section 2.3: only one method)")
	case inHeader:
		return checkBasic(c)
	case c.Params.Has("client_assertion") || c.Params.Has("client_assertion_type"):
		return checkAssertion(c)
	}
	return checkBodyClient(c)
}

func checkBasic(c *call) *refusal {
	if len(c.Header.Values("Authorization")) > 1 {
		return refuse("there are two Authorization headers")
	}
	rawID, rawSecret, ok := (&http.Request{Header: c.Header}).BasicAuth()
	if !ok {
		return invalidClient("the Authorization header is not a Basic one (RFC 7617)")
	}
	id, errID := url.QueryUnescape(rawID)
	secret, errSecret := url.QueryUnescape(rawSecret)
	if errID == nil && errSecret == nil && c.service.isClient(id, secret) {
		return nil
	}
	// Google's own clients do not form-encode the two.
	if c.service.Mode == Google && c.service.isClient(rawID, rawSecret) {
		return nil
	}
	return invalidClient("wrong client_id or client_secret in the Authorization header; both must be form-encoded (RFC 6749, section 2.3.1)")
}

func checkAssertion(c *call) *refusal {
	if c.Params.Has("client_secret") {
		return refuse("there are a client_secret and a client assertion (RFC 6749, section 2.3: only one method)")
	}
	if c.Params.Get("client_assertion_type") != assertionJWT {
		return refuse("client_assertion_type must be %s (RFC 7523, section 2.2)", assertionJWT)
	}
	if !c.Params.Has("client_assertion") {
		return refuse("client_assertion is missing (RFC 7521, section 4.2)")
	}
	h := c.service
	if id := c.Params.Get("client_id"); id != "" && h.ClientID != "" && id != h.ClientID {
		return invalidClient("client_id is not that of the client (RFC 7521, section 4.2)")
	}
	if h.AcceptAssertion == nil {
		return invalidClient("the service takes no client assertions")
	}
	return nil
}

func checkBodyClient(c *call) *refusal {
	switch h := c.service; {
	case !c.Params.Has("client_id"):
		return invalidClient("client authentication is missing")
	case h.ClientID == "" || !h.isClient(c.Params.Get("client_id"), c.Params.Get("client_secret")):
		return invalidClient("wrong client_id or client_secret in the body")
	}
	return nil
}

func (h *Handler) isClient(id, secret string) bool {
	return id == h.ClientID && secret == h.ClientSecret
}

// invalidClient is the answer to failed client authentication (RFC 6749,
// section 5.2).
func invalidClient(text string) *refusal {
	return &refusal{
		status: http.StatusUnauthorized,
		code:   "invalid_client",
		text:   text,
		header: http.Header{"Www-Authenticate": {`Basic realm="ststest"`}},
	}
}
