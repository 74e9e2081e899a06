package subjecttoken_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// commands is also what the fuzzer starts from.
var commands = []struct {
	name    string // why the row is here
	command string
	want    []string
	err     string
}{
	{name: "program alone", command: "get-token", want: []string{"get-token"}},
	{name: "white space of any kind and length", command: " a\tb \r\n c ", want: []string{"a", "b", "c"}},
	{name: "double quotes", command: `a "b c"`, want: []string{"a", "b c"}},
	{name: "single quotes", command: `a 'b c'`, want: []string{"a", "b c"}},
	{name: "quotes within an argument", command: `a --b="c d"'e f'g`, want: []string{"a", "--b=c de fg"}},
	{name: "quotes within other quotes", command: `a "it's" 'say "b"'`, want: []string{"a", "it's", `say "b"`}},
	{name: "empty arguments", command: `a "" ''`, want: []string{"a", "", ""}},
	{name: "escaped outside of quotes", command: `a b\ c \" \' \\d`, want: []string{"a", "b c", `"`, "'", `\d`}},
	{name: "escaped in double quotes", command: `a "\"b\" \\ \n \'"`, want: []string{"a", `"b" \ \n \'`}},
	{name: "nothing is escaped in single quotes", command: `a 'b\' c\'`, want: []string{"a", `b\`, "c'"}},
	{name: "Windows path", command: `C:\tools\get-token.exe -x`, want: []string{`C:\tools\get-token.exe`, "-x"}},
	{name: "Windows path with a blank", command: `"C:\Program Files\get-token.exe" -x`, want: []string{`C:\Program Files\get-token.exe`, "-x"}},
	{name: "backslash at the end", command: `a b\`, want: []string{"a", `b\`}},
	{name: "no shell", command: "a $HOME ~ *.txt `b` $(c) | d; e && f > g #h", want: []string{"a", "$HOME", "~", "*.txt", "`b`", "$(c)", "|", "d;", "e", "&&", "f", ">", "g", "#h"}},
	{name: "beyond ASCII", command: `näher "größer als"`, want: []string{"näher", "größer als"}},

	{name: "empty", command: "", err: "the command is blank"},
	{name: "blank", command: " \t\n", err: "the command is blank"},
	{name: "blank program", command: `" " a`, err: "the command is blank"},
	{name: "double quote without an end", command: `a "` + canary, err: "a double quote without an end"},
	{name: "escaped end of a double quote", command: `a "` + canary + `\"`, err: "a double quote without an end"},
	{name: "single quote without an end", command: `a '` + canary, err: "a single quote without an end"},
	{name: "NUL", command: "a\x00" + canary, err: "a NUL byte"},
}

func TestParseCommand(t *testing.T) {
	for _, row := range commands {
		t.Run(row.name, func(t *testing.T) {
			got, err := subjecttoken.ParseCommand(row.command)
			if row.err != "" {
				if err == nil || !strings.Contains(err.Error(), row.err) || strings.Contains(err.Error(), canary) {
					t.Errorf("ParseCommand() = %q, %v; want an error with %q alone", got, err, row.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("ParseCommand() mismatch (-want +got):\n%s", diff)
			}
		})
	}
}
