package subjecttoken_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

// response returns a response of Google's protocol with a token that lasts.
func response(token string) string {
	return fmt.Sprintf(`{"version":1,"success":true,"token_type":%q,"id_token":%q,"expiration_time":9999999999}`, subjecttoken.TypeJWT, token)
}

// outputExec returns an Exec with an OutputFile that holds content, unless
// that is empty, and the file that counts its runs. A script with a Content
// writes that to the OutputFile.
func outputExec(t *testing.T, s script, content string) (e subjecttoken.Exec, count string) {
	t.Helper()
	dir := t.TempDir()
	s.Count = filepath.Join(dir, "count")
	e = subjecttoken.Exec{Format: subjecttoken.FormatGoogle, OutputFile: filepath.Join(dir, "output")}
	if content != "" {
		writeFile(t, e.OutputFile, content)
	}
	if s.Content != "" {
		s.WriteTo = e.OutputFile
	}
	e.Command = command(t, s)
	return e, s.Count
}

func TestOutputFile(t *testing.T) {
	for _, row := range []struct {
		name    string
		content string
		typ     string
		want    string   // the token, or
		err     []string // the error
	}{
		{name: "usable", content: response("CACHED"), want: "CACHED"},
		{name: "of the configured type", content: response("CACHED"), typ: subjecttoken.TypeJWT, want: "CACHED"},
		{name: "absent", want: "FROM_EXEC"},
		{name: "empty", content: " ", want: "FROM_EXEC"},
		{name: "cut short", content: response(canary)[:80], want: "FROM_EXEC"},
		{name: "not an object", content: `[]`, want: "FROM_EXEC"},
		{name: "over 1 MiB", content: response("CACHED") + strings.Repeat(" ", 1<<20), want: "FROM_EXEC"},
		{name: "failure", content: `{"version":1,"success":false,"code":"1","message":"m"}`, want: "FROM_EXEC"},
		{
			name:    "of the type that was configured before",
			content: fmt.Sprintf(`{"version":1,"success":true,"token_type":%q,"saml_response":"CACHED","expiration_time":9999999999}`, subjecttoken.TypeSAML2),
			typ:     subjecttoken.TypeJWT, want: "FROM_EXEC",
		},
		{
			name:    "about to end: no exchange would send it",
			content: strings.Replace(response("CACHED"), "9999999999", fmt.Sprint(time.Now().Unix()+1), 1),
			want:    "FROM_EXEC",
		},
		{name: "no version", content: `{"success":true,"id_token":"` + canary + `"}`, err: []string{"output file", `no "version"`}},
		{name: "no success", content: `{"version":1,"id_token":"` + canary + `"}`, err: []string{"output file", `no "success"`}},
		{
			name:    "no expiry",
			content: fmt.Sprintf(`{"version":1,"success":true,"token_type":%q,"id_token":%q}`, subjecttoken.TypeJWT, canary),
			err:     []string{"output file", `no "expiration_time"`},
		},
		{
			name:    "no token",
			content: fmt.Sprintf(`{"version":1,"success":true,"token_type":%q,"expiration_time":9999999999}`, subjecttoken.TypeJWT),
			err:     []string{"output file", `no "id_token"`, "empty or missing token"},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			exec, count := outputExec(t, script{Stdout: response("FROM_EXEC")}, row.content)
			exec.Type = row.typ
			got, err := exec.SubjectToken(t.Context())
			if row.err != nil {
				refused(t, err, row.err...)
			} else if err != nil || got.Value != row.want {
				t.Errorf("SubjectToken() = %q, %v; want %s", got.Value, err, row.want)
			}
			want := 0
			if row.want == "FROM_EXEC" {
				want = 1
			}
			if n := runs(count); n != want {
				t.Errorf("the program ran %d times, want %d", n, want)
			}
		})
	}
}

// A response that the program did not keep is kept for it, for this user only
// and without leaving anything else behind; the next call has it from there.
func TestOutputFileWritten(t *testing.T) {
	exec, count := outputExec(t, script{Stdout: response("FROM_EXEC")}, `{"version":1`)
	var got []plain
	for range 2 {
		token, err := exec.SubjectToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, plain(token))
	}
	want := plain{Value: "FROM_EXEC", Type: subjecttoken.TypeJWT, Expiry: time.Unix(9999999999, 0)}
	if diff := cmp.Diff([]plain{want, want}, got); diff != "" {
		t.Errorf("tokens mismatch (-want +got):\n%s", diff)
	}
	if n := runs(count); n != 1 {
		t.Errorf("the program ran %d times, want 1", n)
	}
	info, err := os.Stat(exec.OutputFile)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("the output file has mode %v, want 0600", mode)
	}
	entries, _ := os.ReadDir(filepath.Dir(exec.OutputFile))
	if len(entries) != 2 {
		t.Errorf("the directory has %v, want the output file and the count", entries)
	}
}

// What the program keeps itself is not touched.
func TestOutputFileOfProgram(t *testing.T) {
	content := response("KEPT") + "\n"
	exec, _ := outputExec(t, script{Stdout: response("FROM_EXEC"), Content: content}, "")
	if _, err := exec.SubjectToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	if raw, _ := os.ReadFile(exec.OutputFile); string(raw) != content {
		t.Errorf("the output file has %q, want what the program wrote", raw)
	}
}

// The program runs in Dir, and finds a relative OutputFile there.
func TestOutputFileInDir(t *testing.T) {
	dir, here := t.TempDir(), t.TempDir()
	t.Chdir(here)
	exec := subjecttoken.Exec{Format: subjecttoken.FormatGoogle, Dir: dir, OutputFile: "output"}
	exec.Command = command(t, script{WriteTo: "output", Content: response("KEPT"), Stdout: response("FROM_EXEC")})
	for _, want := range []string{"FROM_EXEC", "KEPT"} {
		if got, err := exec.SubjectToken(t.Context()); err != nil || got.Value != want {
			t.Errorf("SubjectToken() = %q, %v; want %s", got.Value, err, want)
		}
	}
	if entries, _ := os.ReadDir(here); len(entries) > 0 {
		t.Errorf("%v was written to this process's directory", entries)
	}
}

// A token is good even where it cannot be kept.
func TestOutputFileNotWritable(t *testing.T) {
	exec, _ := outputExec(t, script{Stdout: response("FROM_EXEC")}, "")
	exec.OutputFile = filepath.Join(t.TempDir(), "no", "such", "directory", "output")
	if got, err := exec.SubjectToken(t.Context()); err != nil || got.Value != "FROM_EXEC" {
		t.Errorf("SubjectToken() = %q, %v; want FROM_EXEC", got.Value, err)
	}
}

func TestOutputFileFailureIsNotKept(t *testing.T) {
	exec, _ := outputExec(t, script{Stdout: response(canary), Exit: 1}, "")
	_, err := exec.SubjectToken(t.Context())
	refused(t, err, "exit code 1")
	if _, err := os.Stat(exec.OutputFile); err == nil {
		t.Error("the response of a program that failed was kept")
	}
}

// The gate is for exactly "1", and comes before the file as well.
func TestAllowEnv(t *testing.T) {
	for value, allowed := range map[string]bool{"1": true, "": false, "0": false, "true": false, " 1": false} {
		t.Run(value, func(t *testing.T) {
			t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", value)
			exec, count := outputExec(t, script{Stdout: response("FROM_EXEC")}, response("CACHED"))
			exec.RequireAllowEnv = true
			withoutFile := exec
			withoutFile.OutputFile = ""
			for want, e := range map[string]subjecttoken.Exec{"CACHED": exec, "FROM_EXEC": withoutFile} {
				got, err := e.SubjectToken(t.Context())
				if !allowed {
					refused(t, err, "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES to 1")
				} else if err != nil || got.Value != want {
					t.Errorf("SubjectToken() = %q, %v; want %s", got.Value, err, want)
				}
			}
			if n := runs(count); !allowed && n != 0 {
				t.Errorf("the program ran %d times, want 0", n)
			}
		})
	}
}
