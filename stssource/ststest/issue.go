package ststest

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

const (
	tokenType          = "urn:ietf:params:oauth:token-type:"
	typeAccessToken    = tokenType + "access_token"
	typeIntermediary   = tokenType + "access_boundary_intermediary_token"
	typeAWS            = "urn:ietf:params:aws:token-type:aws4_request"
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)

// issue answers with a new token (RFC 8693, section 2.2.1).
func (h *Handler) issue(c *call, reply Reply) answer {
	lifetime := cmp.Or(reply.Lifetime, h.Lifetime, time.Hour)
	requested := cmp.Or(c.Params.Get("requested_token_type"), typeAccessToken)
	members := map[string]any{
		"access_token":      h.newToken(requested),
		"issued_token_type": requested,
		"token_type":        c.schemeOf(requested),
	}
	if lifetime >= 0 && (reply.Lifetime != 0 || !c.endsWithSubject()) {
		members["expires_in"] = int64(lifetime / time.Second)
	}
	if scope := c.Params.Get("scope"); scope != "" && h.Mode != Google {
		members["scope"] = scope
	}
	var key *sessionKey
	if requested == typeIntermediary {
		key = newSessionKey()
		members["access_boundary_session_key"] = key.keyset()
	}
	override(members, reply.Members)
	token, _ := members["access_token"].(string)
	if token != "" && c.schemeOf(requested) == "Bearer" {
		h.remember(token, grant{h.end(c, reply, lifetime), key})
	}
	a := c.render(http.StatusOK, c.format.selected(members))
	a.token = token
	return a
}

// newToken makes a token that cannot be guessed, with a beginning that tells a
// person who reads a test's output what it is and which.
func (h *Handler) newToken(requested string) string {
	kind := strings.TrimSuffix(strings.TrimPrefix(requested, tokenType), "_token")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serial++
	return fmt.Sprintf("ststest-%s-%d-%s", kind, h.serial, rand.Text())
}

// schemeOf returns the token_type: N_A for what is not an access token.
func (c *call) schemeOf(requested string) string {
	if requested == typeAccessToken || c.service.Mode == Google {
		return "Bearer"
	}
	return "N_A"
}

// endsWithSubject tells whether Google leaves expires_in out.
func (c *call) endsWithSubject() bool {
	return c.service.Mode == Google && c.Params.Get("subject_token_type") == typeAccessToken
}

// end is when a token issued now expires.
func (h *Handler) end(c *call, reply Reply, lifetime time.Duration) time.Time {
	if reply.Lifetime == 0 && c.endsWithSubject() {
		if g, ok := h.lookup(c.Params.Get("subject_token")); ok {
			return g.end
		}
	}
	if lifetime < 0 {
		return time.Time{}
	}
	return time.Now().Add(lifetime)
}

func override(members, with map[string]any) {
	maps.Copy(members, with)
	maps.DeleteFunc(members, func(_ string, v any) bool { return v == nil })
}

// grant is what h knows of a token that it has issued.
type grant struct {
	end time.Time   // zero: never
	key *sessionKey // nil, but for an intermediary token
}

func (h *Handler) remember(token string, g grant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.issued == nil {
		h.issued = make(map[string]grant)
	}
	h.issued[token] = g
}

func (h *Handler) lookup(token string) (g grant, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	g, ok = h.issued[token]
	return g, ok
}

// Valid reports whether h has issued accessToken, and it has neither expired
// nor been revoked. It is false for tokens whose token_type is N_A, which give
// no access. An intermediary token of Google's gives none either; a token that
// was made from it, by sealing an access boundary with its session key, is as
// good as it is.
func (h *Handler) Valid(accessToken string) bool {
	g, ok := h.access(accessToken)
	return ok && (g.end.IsZero() || time.Now().Before(g.end))
}

// access returns what h knows of a token that may give access.
func (h *Handler) access(token string) (g grant, ok bool) {
	if g, ok = h.lookup(token); ok {
		return g, g.key == nil
	}
	dot := strings.LastIndexByte(token, '.')
	if dot < 0 {
		return g, false
	}
	g, ok = h.lookup(token[:dot])
	return g, ok && g.key != nil && g.key.opens(token[dot+1:])
}

// Revoke makes accessToken invalid from now on, and what was made from it. An
// unknown one is ignored.
func (h *Handler) Revoke(accessToken string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.issued, accessToken)
}

// Protect returns a handler that passes a request on to next if its
// Authorization header has a Bearer token (RFC 6750, section 2.1) that is
// [Handler.Valid]. Otherwise it answers with 401 and a Bearer challenge, with
// the error code invalid_token if there was a token.
func (h *Handler) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := bearer(r.Header)
		if token != "" && h.Valid(token) {
			next.ServeHTTP(w, r)
			return
		}
		challenge := `Bearer realm="ststest"`
		if token != "" {
			challenge += `, error="invalid_token", error_description="unknown, expired or revoked"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, "401 unauthorized", http.StatusUnauthorized)
	})
}

// bearer returns the token of the one Authorization header, if it is of that
// scheme, whose name is not case-sensitive (RFC 9110, section 11.1).
func bearer(header http.Header) string {
	values := header.Values("Authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
