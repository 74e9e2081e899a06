package redact_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-sts/sts/internal/redact"
)

const other = ">>>???>>>???>>>???" // base64 of this differs in its two alphabets

const secret = "s3cret/with+signs \"and\" more"

func TestText(t *testing.T) {
	quoted, _ := json.Marshal(secret)
	for _, row := range []struct {
		name string
		text string
		max  int
		want string
	}{
		{name: "nothing to hide", text: "plain text", max: 100, want: "plain text"},
		{name: "as it is", text: "a " + secret + " b " + secret, max: 100, want: "a [redacted] b [redacted]"},
		{name: "in a query", text: "?a=" + url.QueryEscape(secret) + "&b", max: 100, want: "?a=[redacted]&b"},
		{name: "in a path", text: "/" + url.PathEscape(secret) + "/", max: 100, want: "/[redacted]/"},
		{name: "in JSON", text: string(quoted), max: 100, want: `"[redacted]"`},
		{name: "in base64", text: base64.StdEncoding.EncodeToString([]byte(secret)) + "!", max: 100, want: "[redacted]!"},
		{name: "in base64 for URLs", text: base64.RawURLEncoding.EncodeToString([]byte(secret)) + "!", max: 100, want: "[redacted]!"},
		{name: "in base64 for URLs, with characters of its own", text: base64.RawURLEncoding.EncodeToString([]byte(other)) + "!", max: 100, want: "[redacted]!"},
		{name: "its beginning", text: "begins with " + secret[:15] + "...", max: 100, want: "begins with [redacted]"},
		{name: "its beginning in a query", text: "?a=" + url.QueryEscape(secret)[:20], max: 100, want: "?a=[redacted]"},
		{name: "overlapping itself", text: secret[:12] + secret, max: 100, want: "[redacted]"},
		{name: "overlapping another", text: "x-over" + "lap-1234-y", max: 100, want: "[redacted]-y"},
		{name: "escaped in a way of its own", text: "x=" + secret[:14] + `\u002B` + "tail, y", max: 100, want: "x=[redacted], y"},
		{name: "escaped without need at its beginning", text: `x=s3cret\/with+signs, y`, max: 100, want: "x=[redacted], y"},
		{name: "escaped with Unicode numbers", text: `x=s3cret\u002Fwith\u002bsigns \u0022and\u0022 more, y`, max: 100, want: "x=[redacted], y"},
		{name: "escaped for HTML", text: `x=s3cret&#47;with&#x2b;signs &quot;and&#34; more, y`, max: 100, want: "x=[redacted], y"},
		{name: "percent signs in small letters", text: `x=s3cret%2fwith%2bsigns%20%22and%22%20more&y`, max: 100, want: "x=[redacted]&y"},
		{name: "a short one, escaped", text: `a\/1&amp;b, 50% & 1&`, max: 100, want: "[redacted], 50% & 1&"},
		{name: "escapes of other things", text: `\ \u 100% %2 &; &amp &#; C:\s3cret\u00`, max: 100, want: `\ \u 100% %2 &; &amp &#; C:\s3cret\u00`},
		{name: "hardly any of it", text: "begins with " + secret[:8], max: 100, want: "begins with s3cret/w"},
		{name: "a line of several", text: "key:\n\tsecond-line-of-it\n", max: 100, want: "key: [redacted]"},
		{name: "a short line of several is a word", text: "third", max: 100, want: "third"},
		{name: "a short secret", text: "pin 1234.", max: 100, want: "pin [redacted]."},
		{name: "what is too short for a secret", text: "application/x-www-form-urlencoded", max: 100, want: "application/x-www-form-urlencoded"},
		{name: "what is too short without its escapes", text: "xx-large", max: 100, want: "xx-large"},

		{name: "JSON Web Token", text: "got eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln, why", max: 100, want: "got [redacted], why"},
		{name: "half of one", text: "got eyJhbGciOiJub25lIn0.eyJh", max: 100, want: "got [redacted]"},
		{name: "Google's access token", text: "got ya29.a0Af_x-y", max: 100, want: "got [redacted]"},
		{name: "scheme", text: "Authorization: bearer abcdefghij; x", max: 100, want: "Authorization: [redacted]; x"},
		{name: "scheme of a password", text: "BASIC dXNlcjpwYXNz", max: 100, want: "[redacted]"},
		{name: "a bearer of news", text: "the bearer of it", max: 100, want: "the bearer of it"},

		{name: "one line", text: " a\r\n\tb\x00c\x1b[0m \u2028 d ", max: 100, want: "a b c [0m d"},
		{name: "not UTF-8", text: "a\xffb", max: 100, want: "a\uFFFDb"},
		{name: "exactly as long as may be", text: "abcde", max: 5, want: "abcde"},
		{name: "cut", text: "abcdef", max: 5, want: "abcde..."},
		{name: "cut between characters", text: "abcdöx", max: 5, want: "abcd..."},
		{name: "the cut comes after the hiding", text: "123 " + secret, max: 8, want: "123 [red..."},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := redact.New("", "www", "%78%78", secret, " 1234\n", "first\nsecond-line-of-it\nthird", "x-overlap", "overlap-1234", other, "a/1&b")
			if got := s.Text(row.text, row.max); got != row.want {
				t.Errorf("Text() = %q, want %q", got, row.want)
			}
		})
	}
}

func TestEnds(t *testing.T) {
	s := redact.New(secret)
	for _, row := range []struct {
		name, text string
		max        int
		want       string
	}{
		{name: "short", text: "a\n" + secret, max: 100, want: "a [redacted]"},
		{name: "cut in the middle", text: "123456789", max: 4, want: "12 ... 89"},
		{name: "between characters", text: "1öxxxö2", max: 4, want: "1 ... ö2"},
		{name: "nothing is left", text: "abc", max: 1, want: " ... "},
		{name: "the cut comes after the hiding", text: strings.Repeat("x", 50) + secret, max: 20, want: "xxxxxxxxxx ... [redacted]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := s.Ends(row.text, row.max); got != row.want {
				t.Errorf("Ends() = %q, want %q", got, row.want)
			}
		})
	}
}

func TestBytes(t *testing.T) {
	got := redact.New(secret).Bytes([]byte("a\n\t" + secret + "\x00"))
	if want := "a\n\t[redacted]\x00"; string(got) != want {
		t.Errorf("Bytes() = %q, want %q", got, want)
	}
}

// A secret within another, longer one does not keep that from being found.
func TestSecretsWithinSecrets(t *testing.T) {
	got := redact.New("abcd", "abcd-and-more", "-and").Text("x abcd-and-more abcd", 100)
	if want := "x [redacted] [redacted]"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
}

// withFields is an error that %+v prints the fields of.
type withFields struct {
	Token string
	err   error
}

func (w *withFields) Error() string { return "with fields" }
func (w *withFields) Unwrap() error { return w.err }

// byValue is an error that is not behind a pointer.
type byValue struct{ token string }

func (v byValue) Error() string { return "by value: " + v.token }

func (v byValue) Is(target error) bool { return target == io.EOF }

// several hides the messages of its causes.
type several []error

func (s several) Error() string   { return "several" }
func (s several) Unwrap() []error { return s }

func TestError(t *testing.T) {
	s := redact.New(secret)
	if s.Error(nil) != nil {
		t.Error("Error(nil) is not nil")
	}
	clean := fmt.Errorf("clean: %w", errors.Join(io.EOF, io.ErrClosedPipe))
	if got := s.Error(clean); got != clean {
		t.Errorf("Error() = %v, want a clean error as it is", got)
	}
	leak := &url.Error{Op: "Get", URL: "https://host.test/?" + secret, Err: io.EOF}
	for name, err := range map[string]error{
		"itself":                          leak,
		"a cause":                         fmt.Errorf("outer %w", leak),
		"a cause behind one":              &withFields{err: leak},
		"one of several that do not show": several{nil, io.EOF, leak},
		"not behind a pointer":            byValue{secret},
		"one of several":                  errors.Join(io.EOF, fmt.Errorf("inner: %w", errors.Join(io.ErrClosedPipe, leak))),
	} {
		t.Run(name, func(t *testing.T) {
			got := s.Error(err)
			for _, shown := range []string{got.Error(), fmt.Sprintf("%v %+v %#v %s %q %x %d", got, got, got, got, got, got, got)} {
				if strings.Contains(shown, secret) || strings.Contains(shown, fmt.Sprintf("%x", secret)) {
					t.Errorf("the error shows the secret: %s", shown)
				}
			}
			if !errors.Is(got, io.EOF) || errors.Is(got, io.ErrUnexpectedEOF) {
				t.Errorf("error %v is not io.EOF, or everything", got)
			}
			if _, ok := errors.AsType[*url.Error](got); ok {
				t.Error("the error hands out the cause that shows the secret")
			}
		})
	}
}

type holder struct{ value string }

func (holder) Format(f fmt.State, _ rune) { redact.Format(f, "holder") }

func TestFormat(t *testing.T) {
	const verbs = "%v|%+v|%#v|%s|%q|%x|%d|%08.3f|%t"
	h := holder{secret}
	if got, want := fmt.Sprintf(verbs, h, h, h, h, h, h, h, h, h), strings.Repeat("holder|", 8)+"holder"; got != want {
		t.Errorf("Sprintf() = %q, want %q", got, want)
	}
}

// No text shows a secret that is in it, in whichever form and wherever the cut
// is.
func FuzzText(f *testing.F) {
	f.Add("before ", secret, " after", 100)
	f.Add("before ", "a\nb-long-enough-line", " after", 10)
	f.Add("before ", "abcdefghijkl/mnopqrstuv+wxyz", " after", 1)
	f.Fuzz(func(t *testing.T, before, value, after string, max int) {
		value = strings.TrimSpace(value)
		if len(value) < 8 || max < 0 || strings.Contains(redact.Mark, value) || strings.Contains(before+after, value) || !utf8.ValidString(value) {
			return
		}
		// What the marks and the text around them spell is not the secret.
		if strings.ContainsAny(value, "[] .") {
			return
		}
		s := redact.New(value)
		for _, got := range []string{s.Text(before+value+after, max), s.Ends(before+value+after, max)} {
			if strings.Contains(got, value) {
				t.Errorf("%q is in %q", value, got)
			}
			if len(got) > max+len(" ... ")+utf8.UTFMax {
				t.Errorf("%q is longer than %d", got, max)
			}
		}
	})
}

// The largest body there is, of nothing but beginnings of a secret, takes a time
// that grows with its length and not with the square of it.
func BenchmarkBytesOfBeginnings(b *testing.B) {
	const value = "abcdefghijklmnopqrstuvwxyz0123456789"
	s := redact.New(value)
	text := []byte(strings.Repeat(value[:12]+"-", 1<<20/13))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if got := string(s.Bytes(text)); got != redact.Mark {
			b.Fatalf("Bytes() = %.40q, want one mark", got)
		}
	}
}
