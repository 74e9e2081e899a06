// Package redact keeps secrets out of everything that a person or a log may
// read. It is the one place where text from outside (an error body, a
// program's standard error, the message of somebody else's error) is made fit
// to show.
package redact

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mark stands where a secret stood.
const Mark = "[redacted]"

// prefixLen is how many leading bytes of a long secret give it away: servers
// like to quote the beginning of a token. Twelve is more than any common
// prefix ("Bearer eyJ", "ya29.") and less than anybody could use.
const prefixLen = 12

// minLen is the least that a secret has. A shorter value, such as the x of a
// test, guards nothing, and hiding it would take words apart.
const minLen = 4

// tokenLike matches what is a credential by its look, whether or not it is one
// that was asked for: JSON Web Tokens, Google's access tokens, and whatever
// follows an authentication scheme.
var tokenLike = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*` +
	`|ya29\.[A-Za-z0-9._-]+` +
	`|(?i:\b(?:bearer|basic)[ :]+)[A-Za-z0-9._~+/=-]{8,}`)

// Secrets is a set of values that must never be shown. The zero value knows
// none and still hides whatever looks like a token.
type Secrets struct {
	values []string // as they are
	forms  []string // and in every form in which they travel
}

// New returns the set of the given values, each in every form in which it
// travels: as it is, trimmed, escaped for a URL, for JSON, and in base64.
// Values of fewer than minLen bytes are ignored.
func New(values ...string) Secrets {
	var s Secrets
	seen := make(map[string]bool)
	for _, v := range values {
		if v = strings.TrimSpace(v); len(v) < minLen {
			continue
		}
		s.values = append(s.values, v)
		for _, form := range forms(v) {
			if len(form) >= minLen { // one without its escapes may be shorter
				seen[form] = true
			}
		}
	}
	for form := range seen {
		s.forms = append(s.forms, form)
	}
	return s
}

func forms(v string) []string {
	quoted, _ := json.Marshal(v)         // a string always marshals
	unescaped, _ := url.QueryUnescape(v) // some tokens are escaped themselves
	return append(lines(v),
		v,
		strings.TrimSpace(unescaped),
		url.QueryEscape(v),
		url.PathEscape(v),
		string(quoted[1:len(quoted)-1]),
		base64.StdEncoding.EncodeToString([]byte(v)),
		base64.RawURLEncoding.EncodeToString([]byte(v)),
	)
}

// lines returns the long lines of a value that has several, such as a private
// key: a log that indents them shows them one by one.
func lines(v string) []string {
	if !strings.Contains(v, "\n") {
		return nil
	}
	var long []string
	for line := range strings.Lines(v) {
		if line = strings.TrimSpace(line); len(line) >= prefixLen {
			long = append(long, line)
		}
	}
	return long
}

// Text returns text as one line of at most max bytes in which no secret
// remains: known values and their beginnings are replaced, then whatever looks
// like a token; control characters become spaces. A cut is shown by "...".
func (s Secrets) Text(text string, max int) string {
	text = s.line(text)
	if len(text) <= max {
		return text
	}
	return text[:runeStart(text, max)] + "..."
}

// Ends is Text for what is as telling at its end as at its beginning, such as
// a program's standard error: a cut takes out the middle.
func (s Secrets) Ends(text string, max int) string {
	text = s.line(text)
	if len(text) <= max {
		return text
	}
	return text[:runeStart(text, max/2)] + " ... " + text[runeStart(text, len(text)-max/2):]
}

// line returns text as one line without secrets, uncut.
func (s Secrets) line(text string) string {
	text = s.hide(text)
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// runeStart returns the last beginning of a character in text up to i.
func runeStart(text string, i int) int {
	for i > 0 && i < len(text) && !utf8.RuneStart(text[i]) {
		i--
	}
	return i
}

// Bytes returns text with its secrets replaced and everything else as it was.
func (s Secrets) Bytes(text []byte) []byte { return []byte(s.hide(string(text))) }

func (s Secrets) hide(text string) string {
	var out strings.Builder
	rest := 0 // where what is not yet written begins
	for _, found := range s.find(text) {
		if found.start >= rest {
			out.WriteString(text[rest:found.start])
			out.WriteString(Mark)
		}
		rest = max(rest, found.end)
	}
	out.WriteString(text[rest:])
	return tokenLike.ReplaceAllString(out.String(), Mark)
}

// span is a part of a text. More of it may follow, up to the next break.
type span struct {
	start, end int
	open       bool
}

// find returns where the forms and long beginnings of them are in text, the
// first first. They may overlap: the forms of one secret often begin alike.
func (s Secrets) find(text string) []span {
	var found []span
	whole := make(map[int]bool) // where a whole form starts
	for _, form := range s.forms {
		probe := form
		if len(form) >= 2*prefixLen {
			probe = form[:prefixLen]
		}
		for from := 0; ; {
			i := strings.Index(text[from:], probe)
			if i < 0 {
				break
			}
			start := from + i
			end := start + common(text[start:], form)
			whole[start] = whole[start] || end-start == len(form)
			found = append(found, span{start: start, end: end})
			from = end - len(probe) + 1
		}
	}
	for i, f := range found {
		// What goes on without a break is more of it, escaped in a way
		// that is not among the forms: \/ or \u002B.
		found[i].open = !whole[f.start]
	}
	found = append(found, s.escaped(text)...)
	sort.Slice(found, func(i, j int) bool { return found[i].start < found[j].start })
	end := 0 // of the last open one: looked for once, however many end there
	for i, f := range found {
		if f.open && f.end > end {
			end = f.end + breakIn(text[f.end:])
		}
		if f.open {
			found[i].end = end
		}
	}
	return found
}

// breakIn returns where the first character is in text that ends a token.
func breakIn(text string) int {
	if i := strings.IndexAny(text, " \t\r\n\"'<>,;&(){}[]"); i >= 0 {
		return i
	}
	return len(text)
}

// common returns how many bytes a and b begin with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Error returns err if no message in its tree shows a secret. Otherwise it
// returns an error with the message made clean that still answers errors.Is
// for every cause, but no longer hands the causes out.
func (s Secrets) Error(err error) error {
	if err == nil || s.clean(err) {
		return err
	}
	return &hidden{text: s.Text(err.Error(), 512), cause: err}
}

func (s Secrets) clean(err error) bool {
	if text := err.Error(); s.hide(text) != text {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			return s.clean(cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			if cause != nil && !s.clean(cause) {
				return false
			}
		}
	}
	return true
}

// hidden keeps the identity of an error and not its text. Its cause is behind
// a pointer in an unexported field of a type without Unwrap, and Format keeps
// the verbs that print fields from reaching it.
type hidden struct {
	text  string
	cause error
}

func (h *hidden) Error() string        { return h.text }
func (h *hidden) Is(target error) bool { return errors.Is(h.cause, target) }
