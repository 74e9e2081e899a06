package subjecttoken_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// FuzzJSONField asks for any field of any document: what is found is a token,
// and an error does not show the document.
func FuzzJSONField(f *testing.F) {
	for _, row := range contents {
		if len(row.content) < 1<<10 {
			f.Add(row.content, row.field)
		}
	}
	f.Fuzz(func(t *testing.T, content, field string) {
		if strings.Contains(content, "\x00") || len(content) > 64<<10 {
			return // no environment variable can have this value
		}
		t.Setenv("SUBJECTTOKEN_TEST", content)
		env := subjecttoken.Env{Name: "SUBJECTTOKEN_TEST", JSONField: field}
		got, err := env.SubjectToken(t.Context())
		if err != nil {
			refused(t, err)
			return
		}
		if env.Validate() != nil {
			t.Errorf("field %q is not valid, and still names the token %q", field, got.Value)
		}
		if again, err := (subjecttoken.Static{Value: got.Value}).SubjectToken(t.Context()); err != nil || again.Value != got.Value {
			t.Errorf("token %q becomes %q, %v", got.Value, again.Value, err)
		}
	})
}

// FuzzExecResponse reads any output file. Running the program is stood in for
// by a name that no program has, so that nothing is run.
func FuzzExecResponse(f *testing.F) {
	for _, row := range formats {
		f.Add(row.stdout, row.typ)
	}
	f.Fuzz(func(t *testing.T, content, typ string) {
		e := subjecttoken.Exec{
			Command: []string{"no-such-program"}, Format: subjecttoken.FormatGoogle, Type: typ, OutputFile: tempFile(t, content),
		}
		got, err := e.SubjectToken(context.Background())
		if err != nil {
			refused(t, err)
			return
		}
		if got.Value == "" || got.Expiry.IsZero() || typ != "" && got.Type != typ {
			t.Errorf("got the token %+v", plain(got))
		}
	})
}

// FuzzParseCommand checks that an argument in quotes is itself, and that what
// was split is split the same again.
func FuzzParseCommand(f *testing.F) {
	for _, row := range commands {
		f.Add(row.command)
	}
	f.Fuzz(func(t *testing.T, command string) {
		args, err := subjecttoken.ParseCommand(command)
		if err != nil {
			return
		}
		var quoted []string
		for _, arg := range args {
			quoted = append(quoted, "'"+strings.ReplaceAll(arg, "'", `'"'"'`)+"'")
		}
		again, err := subjecttoken.ParseCommand(strings.Join(quoted, " "))
		if diff := cmp.Diff(args, again); diff != "" || err != nil {
			t.Errorf("error %v, mismatch (-want +got):\n%s", err, diff)
		}
	})
}
