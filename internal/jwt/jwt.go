// Package jwt reads when a JSON Web Token ends. It verifies nothing: whoever
// receives the token does that.
package jwt

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
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
	if !ok || !startsObject(claims) {
		return time.Time{}
	}
	seconds := number(claims, "exp") // NumericDate may have a fraction
	// The upper bound is the year 9999, beyond which a Time no longer prints
	// as RFC 3339.
	if !(seconds > 0 && seconds <= 253402300799) {
		return time.Time{}
	}
	sec, frac := math.Modf(seconds)
	return time.Unix(int64(sec), int64(frac*1e9))
}

func isObject(segment string) bool {
	var buf [512]byte // enough for most headers
	b, ok := decode(buf[:0], segment)
	return ok && startsObject(b) && json.Valid(b)
}

func startsObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(b, space), []byte("{")) }

// decode appends what segment stands for.
func decode(b []byte, segment string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.AppendDecode(b, []byte(strings.TrimRight(segment, "=")))
	return b, err == nil
}

const space = " \t\r\n"

// number returns the value of a JSON object's own member of that name; zero if
// there is none that is a number. Every subject token is looked at before each
// exchange: for encoding/json, which would go twice through all of the claims,
// that is a tenth of a whole exchange on a local network.
func number(object []byte, name string) float64 {
	found, depth := 0.0, 0
	for i := 0; i < len(object); i++ {
		switch object[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(object, i)
			if depth == 1 && string(object[i+1:end]) == name {
				if value, ok := bytes.CutPrefix(bytes.TrimLeft(object[min(end+1, len(object)):], space), []byte(":")); ok {
					found = leadingNumber(bytes.TrimLeft(value, space))
				}
			}
			i = end
		}
	}
	return found
}

// stringEnd returns where the string that begins at i has its closing quote; the
// end of b if it has none.
func stringEnd(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return min(i, len(b))
}

// leadingNumber returns the number that b begins with; zero if there is none, or
// if it may go on. It looks at no more than the number: of names there may be many.
func leadingNumber(b []byte) float64 {
	end := 0
	for end < len(b) && strings.IndexByte("+-.0123456789eE", b[end]) >= 0 {
		end++
	}
	if end == len(b) || strings.IndexByte(",}"+space, b[end]) < 0 || !json.Valid(b[:end]) {
		return 0 // ParseFloat knows more numbers than JSON
	}
	f, _ := strconv.ParseFloat(string(b[:end]), 64) // what is too large is Inf
	return f
}
