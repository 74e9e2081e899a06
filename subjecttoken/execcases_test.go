package subjecttoken_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

func configCase(t *testing.T, c testCase) {
	exec := subjecttoken.Exec{Timeout: time.Duration(c.Input.TimeoutMillis) * time.Millisecond}
	if c.Input.Command != "" {
		argv, err := subjecttoken.ParseCommand(c.Input.Command)
		if err != nil {
			t.Fatal(err)
		}
		if c.Expected.Argv != nil {
			if diff := cmp.Diff(c.Expected.Argv, argv); diff != "" {
				t.Errorf("ParseCommand() mismatch (-want +got):\n%s", diff)
			}
		}
		exec.Command = argv
	}
	err := exec.Validate()
	if c.Expected.Error == nil {
		if err != nil {
			t.Errorf("Validate() = %v, want no error", err)
		}
		return
	}
	refused(t, err, "Command is required")
}

func envCase(t *testing.T, c testCase) {
	for name, value := range c.Input.InheritedEnv {
		t.Setenv(name, value)
	}
	envFile := filepath.Join(t.TempDir(), "env")
	exec := subjecttoken.Exec{
		Format:     subjecttoken.FormatGoogle,
		Audience:   c.Input.Audience,
		Type:       c.Input.SubjectTokenType,
		OutputFile: c.Input.OutputFile,
		Command: command(t, script{EnvTo: envFile, Stdout: `{"version":1,"success":true,"token_type":"` +
			subjecttoken.TypeJWT + `","id_token":"t","expiration_time":9999999999}`}),
	}
	email := regexp.MustCompile(`/serviceAccounts/([^/]+):generateAccessToken$`)
	if m := email.FindStringSubmatch(c.Input.ImpersonationURL); m != nil {
		exec.ImpersonatedEmail = m[1]
	}
	if _, err := exec.SubjectToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := childEnv(t, envFile)
	for name, value := range c.Expected.Env {
		if env[name] != value {
			t.Errorf("%s = %q, want %q", name, env[name], value)
		}
	}
	for _, name := range c.Expected.EnvAbsent {
		if value, ok := env[name]; ok {
			t.Errorf("%s = %q, want it absent", name, value)
		}
	}
}

// childEnv returns what a child has written to a script's EnvTo.
func childEnv(t *testing.T, file string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var entries []string
	if err := json.Unmarshal(raw, &entries); err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// at runs f in a bubble whose clock says now. A process that runs in it takes
// no time.
func at(t *testing.T, now int64, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Unix(now, 0)))
		f(t)
	})
}

func responseCase(t *testing.T, c testCase) {
	stdout := c.Input.Stdout + string(c.Input.StdoutJSON)
	exec := subjecttoken.Exec{Format: subjecttoken.FormatGoogle, Command: command(t, script{Stdout: stdout, Exit: c.Input.ExitCode})}
	if c.Input.OutputFile != "" {
		exec.OutputFile = filepath.Join(t.TempDir(), "does-not-exist")
	}
	at(t, c.Input.Now, func(t *testing.T) {
		got, err := exec.SubjectToken(t.Context())
		verdict(t, c, got, err)
		if err != nil && strings.Contains(err.Error(), stdout) {
			t.Errorf("the error shows the output: %v", err)
		}
	})
}

// processCase runs the processes of the cases with a tenth of their timeout,
// and no assertion closer than two seconds.
func processCase(t *testing.T, c testCase) {
	processes := map[string]script{
		"sleeps 60 s": {Sleep: time.Minute},
		"sh -c 'sleep 60 & wait' holding stdout open": {Spawn: filepath.Join(t.TempDir(), "pid"), Sleep: time.Minute},
		"kill -9 $$": {Kill: true},
		"":           {Stdout: string(c.Input.StdoutJSON), Fill: c.Input.StdoutBytes, Exit: c.Input.ExitCode},
	}
	process, ok := processes[c.Input.Process]
	if !ok {
		t.Fatalf("no process for %q", c.Input.Process)
	}
	exec := subjecttoken.Exec{Command: command(t, process), Timeout: time.Duration(c.Input.TimeoutMillis) * time.Millisecond / 10}
	start := time.Now()
	got, err := exec.SubjectToken(t.Context())
	if took := time.Since(start); exec.Timeout > 0 && took > exec.Timeout+2*time.Second {
		t.Errorf("SubjectToken() took %v with a timeout of %v", took, exec.Timeout)
	}
	want := c.Expected.Error
	switch {
	case c.Input.StdoutBytes > 0:
		if err != nil || len(got.Value) != c.Input.StdoutBytes {
			t.Errorf("SubjectToken() = %d bytes, %v; want all %d", len(got.Value), err, c.Input.StdoutBytes)
		}
		return
	case want.Kind == "exec.timeout":
		want.Mentions = []string{"no answer within"}
		want.ErrorsIs = "context.DeadlineExceeded"
	case want.Signal != "":
		want.Mentions = []string{"killed by signal: " + want.Signal}
	default:
		want.Mentions = []string{"exit code 1"}
	}
	verdict(t, c, got, err)
}

func outputFileCase(t *testing.T, c testCase) {
	dir := t.TempDir()
	count := filepath.Join(dir, "count")
	exec := subjecttoken.Exec{
		Format:     subjecttoken.FormatGoogle,
		OutputFile: filepath.Join(dir, "output"),
		Command:    command(t, script{Count: count, Stdout: string(c.Input.ExecutableStdout)}),
	}
	if c.Input.OutputContent != nil {
		writeFile(t, exec.OutputFile, *c.Input.OutputContent)
	}
	at(t, c.Input.Now, func(t *testing.T) {
		got, err := exec.SubjectToken(t.Context())
		verdict(t, c, got, err)
	})
	if got := runs(count); got != *c.Expected.Executions {
		t.Errorf("the program ran %d times, want %d", got, *c.Expected.Executions)
	}
}

// runs returns how often a script with this Count was followed.
func runs(count string) int {
	raw, _ := os.ReadFile(count)
	return strings.Count(string(raw), "\n")
}
