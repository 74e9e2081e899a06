package stssource

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/go-sts/sts/internal/jwt"
	"github.com/go-sts/sts/subjecttoken"
)

func jwtExpiry(token string) time.Time { return jwt.Expiry(token) }

// decodeToken reads a successful answer (RFC 8693, section 2.2.1) to a request
// that was sent at the given instant.
func decodeToken(body []byte, requested string, sent time.Time) (token oauth2.Token, err error) {
	members, err := decodeObject(body)
	if err != nil {
		return token, err
	}
	access, err1 := stringMember(members, "access_token")
	tokenType, err2 := stringMember(members, "token_type")
	refresh, err3 := stringMember(members, "refresh_token")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return token, err
	}
	if access == "" {
		return token, errors.New("the answer has no access_token")
	}
	if !isVisible(access) {
		return token, errors.New("the access_token of the answer has characters that a token cannot have (RFC 6749, appendix A.12)")
	}
	if tokenType, err = checkTokenType(tokenType, requested); err != nil {
		return token, err
	}
	seconds, known, err := expiresIn(members["expires_in"])
	if err != nil {
		return token, err
	}
	token = oauth2.Token{AccessToken: access, TokenType: tokenType, RefreshToken: refresh}
	if known {
		token.ExpiresIn = int64(seconds)
		token.Expiry = sent.Add(time.Duration(seconds * float64(time.Second)))
	}
	// What an oauth2.Token has no field for is left, and expires_in as it came.
	delete(members, "access_token")
	delete(members, "token_type")
	delete(members, "refresh_token")
	return *token.WithExtra(shared(members)), nil
}

// lastExtra is what the last answer said beside its token, if that is no secret.
var lastExtra atomic.Pointer[map[string]any]

// shared returns extra, or an equal map that another token has already. Most
// answers of a service differ in their token alone; for a program with a source
// for each of its users a map each would be a third of what a source takes.
func shared(extra map[string]any) map[string]any {
	for name, v := range extra {
		switch name {
		case "expires_in", "issued_token_type", "scope":
		default:
			return extra // it may be an ID token, or a key
		}
		switch v.(type) {
		case string, float64:
		default:
			return extra
		}
	}
	if last := lastExtra.Load(); last != nil && maps.Equal(*last, extra) {
		return *last
	}
	lastExtra.Store(&extra)
	return extra
}

// decodeObject reads a JSON object. Its errors do not quote the body, which may
// hold a token.
func decodeObject(body []byte) (map[string]any, error) {
	if body = trimmed(body); len(body) == 0 {
		return nil, errors.New("the answer is empty, without an access_token")
	}
	var answer any
	err := json.Unmarshal(body, &answer)
	members, ok := answer.(map[string]any)
	if _, tooLarge := errors.AsType[*json.UnmarshalTypeError](err); tooLarge && ok {
		// A number that no float64 can hold must not fail the token beside it. Its
		// member is null now; that of the lifetime is as large as can be, or as small.
		var raw struct {
			ExpiresIn json.RawMessage `json:"expires_in"`
		}
		err = json.Unmarshal(body, &raw)
		if members["expires_in"] == nil && len(raw.ExpiresIn) > 0 && string(raw.ExpiresIn) != "null" {
			members["expires_in"] = math.MaxFloat64
			if raw.ExpiresIn[0] == '-' {
				members["expires_in"] = -math.MaxFloat64
			}
		}
	}
	if err != nil || !ok {
		return nil, errors.New("the answer is not a JSON object with an access_token: check the path of TokenURL")
	}
	return members, nil
}

// trimmed returns body without white space and without a byte order mark, which
// JSON must not begin with, and what some services write begins with.
func trimmed(body []byte) []byte {
	return bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
}

// stringMember returns the string of that name; empty if there is none or null.
func stringMember(members map[string]any, name string) (string, error) {
	v := members[name]
	s, ok := v.(string)
	if !ok && v != nil {
		return "", fmt.Errorf("%s in the answer is not a string", name)
	}
	return s, nil
}

// isVisible reports whether s is made of visible ASCII characters and spaces,
// as every token is.
func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// checkTokenType returns the token type to keep. Only a Bearer token can be
// used by whoever has no more than the token; N_A is for tokens that are not
// access tokens, and right only if one was asked for.
func checkTokenType(tokenType, requested string) (string, error) {
	switch {
	case isBearer(tokenType):
		return "Bearer", nil
	case strings.EqualFold(tokenType, "N_A") && requested != subjecttoken.TypeAccessToken:
		return "N_A", nil
	case strings.EqualFold(tokenType, "N_A"):
		return "", errors.New("the token_type of the answer is N_A: it is not an access token, which is what was asked for")
	}
	return "", fmt.Errorf("the token_type of the answer is %.40q, and only Bearer can be used", tokenType)
}

// maxLifetime is the most that expires_in is taken to say: a hundred years,
// short of what a Duration can hold.
const maxLifetime = 100 * 365 * 24 * 3600

// expiresIn reads a number of seconds, which services send as a number, as a
// string and as a float. An absent one is not known.
func expiresIn(v any) (seconds float64, known bool, err error) {
	switch v := v.(type) {
	case nil:
		return 0, false, nil
	case float64:
		seconds = v
	case string:
		seconds, err = strconv.ParseFloat(strings.TrimSpace(v), 64)
	default:
		err = strconv.ErrSyntax
	}
	// A range error is a number too large to hold; Inf and NaN without one were
	// spelled out, and are no numbers in JSON.
	if tooLarge := errors.Is(err, strconv.ErrRange); !tooLarge && (err != nil || math.IsInf(seconds, 0) || math.IsNaN(seconds)) {
		return 0, false, errors.New("expires_in in the answer is not a number")
	}
	if seconds <= 0 {
		return 0, false, errors.New("expires_in in the answer is not positive: the token has ended already")
	}
	return min(seconds, maxLifetime), true, nil
}

// decodeRefusal returns what a body says of an error; nothing if it is neither
// form of JSON.
func decodeRefusal(body []byte) (code, description, uri string) {
	var flat struct {
		Error       json.RawMessage `json:"error"`
		Description any             `json:"error_description"`
		URI         any             `json:"error_uri"`
	}
	if json.Unmarshal(trimmed(body), &flat) != nil {
		return "", "", ""
	}
	if json.Unmarshal(flat.Error, &code) == nil {
		description, _ = flat.Description.(string)
		uri, _ = flat.URI.(string)
		return code, description, uri
	}
	var status struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(flat.Error, &status) // what fits is kept
	return status.Status, status.Message, ""
}
