// Package jwt reads when a JSON Web Token ends. It verifies nothing: whoever
// receives the token does that.
package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// Expiry returns the exp claim (RFC 7519, section 4.1.4) of token, or the zero
// Time if token is not a JSON Web Token or has none.
func Expiry(token string) time.Time {
	header, rest, ok := strings.Cut(token, ".")
	if !ok || !isObject(header) {
		return time.Time{}
	}
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return time.Time{}
	}
	claims, ok := decode(nil, payload)
	if !ok {
		return time.Time{}
	}
	var c struct {
		Exp float64 `json:"exp"` // NumericDate may have a fraction
	}
	// The upper bound is the year 9999, beyond which a Time no longer prints
	// as RFC 3339.
	if json.Unmarshal(claims, &c) != nil || c.Exp <= 0 || c.Exp > 253402300799 {
		return time.Time{}
	}
	sec, frac := math.Modf(c.Exp)
	return time.Unix(int64(sec), int64(frac*1e9))
}

func isObject(segment string) bool {
	var buf [512]byte // enough for most headers
	b, ok := decode(buf[:0], segment)
	return ok && bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) && json.Valid(b)
}

// decode appends what segment stands for.
func decode(b []byte, segment string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.AppendDecode(b, []byte(strings.TrimRight(segment, "=")))
	return b, err == nil
}
