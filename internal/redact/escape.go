package redact

import (
	"html"
	"strconv"
	"strings"
)

// escaped returns where the values are in text, or long beginnings of them, with
// characters escaped that did not need to be. A service quotes what it was sent
// in the way of its language: PHP writes \/ for a slash, .NET \u002B for a plus,
// and a page of HTML &#43;.
func (s Secrets) escaped(text string) []span {
	if !strings.ContainsAny(text, `\%&`) {
		return nil
	}
	var found []span
	for _, v := range s.values {
		enough := len(v)
		if len(v) >= 2*prefixLen {
			enough = prefixLen
		}
		for i := range len(text) {
			length, n := escapedCommon(text[i:], v)
			if n < enough || length == n { // without an escape it is one of the forms
				continue
			}
			found = append(found, span{start: i, end: i + length, open: n < len(v)})
		}
	}
	return found
}

// escapedCommon returns how many bytes of v text begins with, escaped or not, and
// how long they are in text.
func escapedCommon(text, v string) (length, n int) {
	for n < len(v) && length < len(text) {
		c, size := unescape(text[length:])
		if size == 0 || c != v[n] {
			c, size = text[length], 1
		}
		if c != v[n] {
			break
		}
		length += size
		n++
	}
	return length, n
}

// unescape returns the ASCII character that text begins with in an escaped form,
// and the length of that; zero if it begins with none.
func unescape(text string) (c byte, size int) {
	switch {
	case strings.HasPrefix(text, "%"):
		return hexByte(text, 1, 3)
	case strings.HasPrefix(text, `\u00`):
		return hexByte(text, 4, 6)
	case strings.HasPrefix(text, `\`) && len(text) > 1:
		return text[1], 2
	case strings.HasPrefix(text, "&"):
		const longest = len("&#x0000;")
		entity, _, ok := strings.Cut(text[:min(len(text), longest)], ";")
		if plain := html.UnescapeString(entity + ";"); ok && len(plain) == 1 {
			return plain[0], len(entity) + 1
		}
	}
	return 0, 0
}

// hexByte returns the byte that text[from:to] writes in hexadecimal digits.
func hexByte(text string, from, to int) (c byte, size int) {
	if len(text) < to {
		return 0, 0
	}
	n, err := strconv.ParseUint(text[from:to], 16, 8)
	if err != nil {
		return 0, 0
	}
	return byte(n), to
}
