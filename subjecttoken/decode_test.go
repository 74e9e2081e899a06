package subjecttoken_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

const expSeconds = 1900000000

var jwt = unsigned(`{"exp":1900000000}`)

// contents is what a source may hold, and what every provider makes of it.
var contents = []struct {
	name    string // why the row is here
	content string
	typ     string
	field   string
	want    string // the token, or
	err     []string
}{
	{name: "plain text", content: "token", want: "token"},
	{name: "newline of echo", content: "token\n", want: "token"},
	{name: "byte order mark and line end of Windows", content: "\uFEFF token \r\n", want: "token"},
	{name: "JSON without a field is a token, too", content: `["a b"]`, want: `["a b"]`},
	{name: "JSON Web Token brings its expiry", content: jwt + "\n", want: jwt},
	{name: "SAML may be in lines", content: "<a>\n\t<b/>\r\n</a>\n", typ: subjecttoken.TypeSAML2, want: "<a>\n\t<b/>\r\n</a>"},
	{name: "1 MiB is not too much", content: strings.Repeat("x", 1<<20), want: strings.Repeat("x", 1<<20)},

	{name: "empty", content: "", err: []string{"empty or missing token"}},
	{name: "only white space", content: " \r\n\t\uFEFF", err: []string{"empty or missing token"}},
	{name: "over 1 MiB is not cut", content: canary + strings.Repeat("x", 1<<20), err: []string{"larger than 1048576 bytes"}},
	{name: "over 1 MiB of white space", content: canary + strings.Repeat(" ", 1<<20), err: []string{"larger than 1048576 bytes"}},
	{name: "a login page is not a token", content: "<html>\n" + canary + "</html>", err: []string{"more than one line"}},
	{name: "not even if SAML is expected, with a NUL", content: canary + "\x00", typ: subjecttoken.TypeSAML2, err: []string{"control characters"}},
	{name: "an Authorization header", content: "bearer " + canary, err: []string{"begins with \"Bearer\"", "give the token alone"}},
	{name: "DEL", content: canary + "\x7fx", err: []string{"control characters"}},
	{name: "UTF-16, as PowerShell redirects", content: "\xff\xfet\x00o\x00k\x00", err: []string{"not text in UTF-8"}},

	{name: "member", content: `{"a":1e999,"t":"token"}`, field: "t", want: "token"},
	{name: "member with white space", content: "\uFEFF" + `{"t":" token\n"}` + "\n", field: "t", want: "token"},
	{name: "member named like a path", content: `{"a/b":"token"}`, field: "a/b", want: "token"},
	{name: "member names have case", content: `{"T":"` + canary + `","t":"token"}`, field: "t", want: "token"},
	{name: "pointer", content: `{"data":{"t":"token"}}`, field: "/data/t", want: "token"},
	{name: "pointer into an array", content: `[{"t":"a"},{"t":"token"}]`, field: "/1/t", want: "token"},
	{name: "pointer with escapes", content: `{"a/b":{"~1":"token"}}`, field: "/a~1b/~01", want: "token"},
	{name: "pointer to the empty name", content: `{"":"token"}`, field: "/", want: "token"},

	{name: "missing member", content: `{"T":"` + canary + `"}`, field: "t", err: []string{`no JSON field "t"`}},
	{name: "missing end of a pointer", content: `{"a":{"c":"` + canary + `"}}`, field: "/a/b", err: []string{`no JSON field "/a/b"`}},
	{name: "pointer through a string", content: `{"a":"` + canary + `"}`, field: "/a/b", err: []string{`no JSON field "/a/b"`}},
	{name: "index out of range", content: `["` + canary + `"]`, field: "/1", err: []string{`no JSON field "/1"`}},
	{name: "index with a leading zero is none", content: `["` + canary + `"]`, field: "/00", err: []string{`no JSON field "/00"`}},
	{name: "index with a sign is none", content: `["` + canary + `"]`, field: "/+0", err: []string{`no JSON field "/+0"`}},
	{name: "element after the last", content: `["` + canary + `"]`, field: "/-", err: []string{`no JSON field "/-"`}},
	{name: "member of a string", content: `"` + canary + `"`, field: "t", err: []string{`no JSON field "t"`}},
	{name: "empty member", content: `{"t":"","u":"` + canary + `"}`, field: "t", err: []string{`"t"`, "empty or missing token"}},
	{name: "member of white space", content: `{"t":" \n"}`, field: "t", err: []string{`"t"`, "empty or missing token"}},
	{name: "null", content: `{"t":null}`, field: "t", err: []string{`"t" is null, not a string`}},
	{name: "number", content: `{"t":5}`, field: "t", err: []string{`"t" is a number, not a string`}},
	{name: "boolean", content: `{"t":true}`, field: "t", err: []string{`"t" is a boolean, not a string`}},
	{name: "array", content: `{"t":["` + canary + `"]}`, field: "t", err: []string{`"t" is an array, not a string`}},
	{name: "object", content: `{"t":{"` + canary + `":1}}`, field: "t", err: []string{`"t" is an object, not a string`}},
	{name: "line break in a member", content: `{"t":"` + canary + `\nb"}`, field: "t", err: []string{"more than one line"}},
	{name: "empty document", content: " ", field: "t", err: []string{`"t"`, "empty or missing token"}},
	{name: "text instead of JSON", content: canary, field: "t", err: []string{`"t"`, "not JSON"}},
	{name: "JSON cut short", content: `{"t":"` + canary, field: "t", err: []string{`"t"`, "ends in the middle"}},
	{name: "two documents", content: `{"t":"` + canary + `"}{}`, field: "t", err: []string{`"t"`, "more follows"}},
	{name: "JSON over 1 MiB", content: `{"t":"` + canary + `"}` + strings.Repeat(" ", 1<<20), field: "t", err: []string{"larger than 1048576 bytes"}},
}

// sources gives each provider that reads from outside the same content.
var sources = map[string]func(t *testing.T, content, typ, field string) subjecttoken.Provider{
	"File": func(t *testing.T, content, typ, field string) subjecttoken.Provider {
		return subjecttoken.File{Path: tempFile(t, content), Type: typ, JSONField: field}
	},
	"URL": func(t *testing.T, content, typ, field string) subjecttoken.Provider {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(content))
		}))
		t.Cleanup(server.Close)
		return subjecttoken.URL{URL: server.URL, Type: typ, JSONField: field}
	},
	"Exec": func(t *testing.T, content, typ, field string) subjecttoken.Provider {
		return subjecttoken.Exec{Command: command(t, script{StdoutFrom: tempFile(t, content)}), Type: typ, JSONField: field}
	},
	"Env": func(t *testing.T, content, typ, field string) subjecttoken.Provider {
		if strings.Contains(content, "\x00") || len(content) > 64<<10 {
			t.Skip("no environment variable can have this value")
		}
		t.Setenv("SUBJECTTOKEN_TEST", content)
		return subjecttoken.Env{Name: "SUBJECTTOKEN_TEST", Type: typ, JSONField: field}
	},
}

func TestContents(t *testing.T) {
	for name, source := range sources {
		for _, row := range contents {
			t.Run(name+"/"+row.name, func(t *testing.T) {
				got, err := source(t, row.content, row.typ, row.field).SubjectToken(t.Context())
				if row.err != nil {
					refused(t, err, row.err...)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				want := plain{Value: row.want, Type: row.typ}
				if row.want == jwt {
					want.Expiry = time.Unix(expSeconds, 0)
				}
				if diff := cmp.Diff(want, plain(got)); diff != "" {
					t.Errorf("SubjectToken() mismatch (-want +got):\n%s", diff)
				}
			})
		}
	}
}
