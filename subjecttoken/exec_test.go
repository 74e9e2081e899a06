package subjecttoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/go-sts/sts/subjecttoken"
)

func TestExecFailure(t *testing.T) {
	long := "begin " + strings.Repeat("middle ", 20_000) + "end"
	for _, row := range []struct {
		name   string
		script script
		env    []string
		args   []string
		format subjecttoken.Format
		err    []string
		not    string // what must not be shown
	}{
		{name: "exit code and standard error", script: script{Exit: 3, Stderr: "no\n such\taccount\n"}, err: []string{"exit code 3: standard error: no such account"}},
		{name: "exit code alone", script: script{Exit: 3}, err: []string{"exit code 3"}, not: "standard error"},
		{name: "signal", script: script{Kill: true, Stderr: "oh"}, err: []string{"killed by signal: killed: standard error: oh"}},
		{name: "its output is no token", script: script{Exit: 1, Stdout: canary}, err: []string{"exit code 1"}},
		{name: "long standard error keeps both ends", script: script{Exit: 1, Stderr: long}, err: []string{"standard error: begin middle", " ... ", "middle end"}, not: strings.Repeat("middle ", 160)},
		{name: "a value of Env", script: script{Exit: 1, Stderr: "password is " + canary + "."}, env: []string{"PASSWORD=" + canary}, err: []string{"password is [redacted]."}},
		{name: "the beginning of one", script: script{Exit: 1, Stderr: "password begins with " + canary[:14]}, env: []string{"PASSWORD=" + canary}, err: []string{"begins with [redacted]"}},
		{name: "a line of one", script: script{Exit: 1, Stderr: "key:\n  " + canary}, env: []string{"KEY=-----BEGIN\n" + canary + "\n-----END"}, err: []string{"key: [redacted]"}},
		{name: "an option's value", script: script{Exit: 1, Stderr: "bad password correct-horse"}, args: []string{"--password", "correct-horse"}, err: []string{"bad password [redacted]"}},
		{name: "an option's value with =", script: script{Exit: 1, Stderr: "bad password correct-horse"}, args: []string{"--password=correct-horse"}, err: []string{"bad password [redacted]"}},
		{name: "an option's value attached", script: script{Exit: 1, Stderr: "bad password " + canary}, args: []string{"-p" + canary}, err: []string{"bad password [redacted]"}},
		{name: "another argument", script: script{Exit: 1, Stderr: "bad password " + canary}, args: []string{canary}, err: []string{"bad password [redacted]"}},
		{name: "a plain word is no secret", script: script{Exit: 1, Stderr: "print-token: bad option --verbose=1"}, args: []string{"print-token", "--verbose=1"}, err: []string{"print-token: bad option --verbose=1"}},
		{name: "what it prints on both", script: script{Exit: 1, Stdout: "token: " + canary, Stderr: "printed " + canary}, err: []string{"printed [redacted]"}},
		{name: "what it prints on both, as JSON", script: script{Exit: 1, Stdout: `{"t":"` + canary + `\n"}`, Stderr: "printed " + canary + "\n"}, err: []string{"printed [redacted]"}},
		{name: "what looks like a token", script: script{Exit: 1, Stderr: "sent " + jwt + " to"}, err: []string{"sent [redacted] to"}},
		{
			name: "Google's failure", format: subjecttoken.FormatGoogle,
			script: script{Exit: 1, Stdout: `{"version":1,"success":false,"code":"401","message":"not today"}`, Stderr: "oh"},
			err:    []string{`exit code 1: the program reports a failure: code "401": not today: standard error: oh`},
		},
		{
			name: "Google's failure with secrets", format: subjecttoken.FormatGoogle, env: []string{"PASSWORD=" + canary},
			script: script{Stdout: `{"version":1,"success":false,"code":"401","message":"password ` + canary + ` token ` + jwt + `"}`},
			err:    []string{`code "401": password [redacted] token [redacted]`},
		},
		{
			name: "Google's success is not one", format: subjecttoken.FormatGoogle,
			script: script{Exit: 2, Stdout: response(canary)},
			err:    []string{"exit code 2"}, not: "reports a failure",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := subjecttoken.Exec{Command: append(command(t, row.script), row.args...), Env: row.env, Format: row.format}
			_, err := e.SubjectToken(t.Context())
			got := refused(t, err, append(row.err, "command "+os.Args[0])...)
			if row.not != "" && strings.Contains(err.Error(), row.not) {
				t.Errorf("the error shows %q: %v", row.not, err)
			}
			if len(err.Error()) > 2000 || strings.Contains(err.Error(), jwt[:20]) || got.Temporary {
				t.Errorf("the error is long, shows a token or is temporary (%v): %v", got.Temporary, err)
			}
			if exit, ok := errors.AsType[*exec.ExitError](err); row.script.Exit != 0 && (!ok || exit.ExitCode() != row.script.Exit) {
				t.Errorf("error %v is not an *exec.ExitError with the code %d", err, row.script.Exit)
			}
		})
	}
}

// A secret that the cut goes through is not shown by half. The white space
// around it is shown as one blank, so that both ends of the cut are shown.
func TestExecStderrCutThroughSecret(t *testing.T) {
	const kept = 32 << 10
	blank := strings.Repeat(strings.Repeat(" ", 63)+"\n", 4*kept/64)
	for _, row := range []struct{ name, stderr, want string }{
		{name: "in the head", stderr: "head" + blank[:kept-8-4] + canary + blank + "tail", want: "standard error: head ... tail"},
		{name: "in the tail", stderr: "head" + blank + canary + blank[:kept-8-4] + "tail", want: "standard error: head ... tail"},
		{name: "in the only line's head", stderr: "head" + strings.Repeat(" ", kept-8-4) + canary + strings.Repeat(" ", kept) + "tail", want: "standard error: head ... tail"},
		{name: "in neither", stderr: "head" + blank + "between" + blank + "tail", want: "standard error: head ... tail"},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := subjecttoken.Exec{Command: command(t, script{Exit: 1, Stderr: row.stderr}), Env: []string{"PASSWORD=" + canary}}
			_, err := e.SubjectToken(t.Context())
			refused(t, err)
			if !strings.HasSuffix(err.Error(), row.want) {
				t.Errorf("error = %q, want %q at its end", err, row.want)
			}
		})
	}
}

func TestExecNotStarted(t *testing.T) {
	notExecutable := tempFile(t, "")
	for _, row := range []struct {
		name string
		exec subjecttoken.Exec
		is   error
		err  []string
	}{
		{name: "not in PATH", exec: subjecttoken.Exec{Command: []string{"no-such-program", canary}}, is: exec.ErrNotFound, err: []string{"command no-such-program: not started", "install the program"}},
		{name: "no such file", exec: subjecttoken.Exec{Command: []string{"/no/such/program", canary}}, is: fs.ErrNotExist, err: []string{"command /no/such/program: not started"}},
		{name: "arguments in the program's name", exec: subjecttoken.Exec{Command: []string{"no-such-program --password " + canary}}, is: exec.ErrNotFound, err: []string{"command no-such-program ...: not started", "one element for the program and one for each argument"}},
		{name: "not executable", exec: subjecttoken.Exec{Command: []string{notExecutable}}, is: fs.ErrPermission, err: []string{"may execute"}},
		{name: "no such directory", exec: subjecttoken.Exec{Command: []string{os.Args[0]}, Dir: "/no/such/directory"}, is: fs.ErrNotExist, err: []string{"no directory /no/such/directory"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := row.exec.SubjectToken(t.Context())
			if refused(t, err, row.err...); !errors.Is(err, row.is) {
				t.Errorf("error %v is not %v", err, row.is)
			}
		})
	}
}

func TestExecContext(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := subjecttoken.Exec{Command: command(t, script{Count: count, Stdout: "token"})}.SubjectToken(ctx)
	if refused(t, err, "not run"); !errors.Is(err, context.Canceled) || runs(count) != 0 {
		t.Errorf("error %v is not context.Canceled, or the program ran %d times", err, runs(count))
	}
}

func TestExecCallersDeadline(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := subjecttoken.Exec{Command: command(t, script{Sleep: time.Minute})}.SubjectToken(ctx)
	if refused(t, err, "killed: context deadline exceeded"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v is not context.DeadlineExceeded", err)
	}
}

// A program that prints without end is stopped, on either of its outputs.
func TestExecOutputWithoutEnd(t *testing.T) {
	t.Parallel()
	start := time.Now()
	_, err := subjecttoken.Exec{Command: command(t, script{Fill: 64 << 20, Sleep: time.Minute})}.SubjectToken(t.Context())
	refused(t, err, "larger than 1048576 bytes")
	if errors.Is(err, context.Canceled) || time.Since(start) > 20*time.Second {
		t.Errorf("error %v after %v; want it at once, and not for cancelling", err, time.Since(start))
	}
	chatty := subjecttoken.Exec{Command: command(t, script{Stderr: strings.Repeat("x", 8<<20), Stdout: "token"})}
	if got, err := chatty.SubjectToken(t.Context()); err != nil || got.Value != "token" {
		t.Errorf("SubjectToken() = %q, %v; standard error should not matter", got.Value, err)
	}
}

func TestExecDirAndEnv(t *testing.T) {
	t.Setenv("INHERITED", "a")
	t.Setenv("OVERRIDDEN", "a")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", "of the program that runs us")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", "of the program that runs us")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ID", "of the program that runs us")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_REVOKE", "1")
	dir := t.TempDir()
	for _, row := range []struct {
		name   string
		exec   subjecttoken.Exec
		stdout string
		want   map[string]string
		absent []string
	}{
		{
			name: "text", stdout: "token",
			exec: subjecttoken.Exec{Env: []string{"OVERRIDDEN=b", "ADDED=c=d"}, Dir: dir},
			want: map[string]string{"INHERITED": "a", "OVERRIDDEN": "b", "ADDED": "c=d", "PWD": dir},
		},
		{
			name: "Google's protocol", stdout: response("token"),
			exec:   subjecttoken.Exec{Env: []string{"GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE=1"}, Format: subjecttoken.FormatGoogle},
			want:   map[string]string{"INHERITED": "a", "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE": "0"},
			absent: []string{"GOOGLE_EXTERNAL_ACCOUNT_IMPERSONATED_EMAIL", "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "GOOGLE_EXTERNAL_ACCOUNT_ID", "GOOGLE_EXTERNAL_ACCOUNT_REVOKE"},
		},
		{
			name: "Kubernetes", stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"token"}}`,
			exec: subjecttoken.Exec{Format: subjecttoken.FormatKubernetes},
			want: map[string]string{"KUBERNETES_EXEC_INFO": `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"interactive":false}}`},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			envFile := filepath.Join(t.TempDir(), "env")
			row.exec.Command = command(t, script{EnvTo: envFile, Stdout: row.stdout})
			if got, err := row.exec.SubjectToken(t.Context()); err != nil || got.Value != "token" {
				t.Fatalf("SubjectToken() = %q, %v; want the token", got.Value, err)
			}
			env := childEnv(t, envFile)
			got := make(map[string]string)
			for name := range row.want {
				got[name] = env[name]
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("environment mismatch (-want +got):\n%s", diff)
			}
			for _, name := range row.absent {
				if value, ok := env[name]; ok {
					t.Errorf("%s = %q, want it absent", name, value)
				}
			}
		})
	}
}

// formats is what the two protocols make of a program's output; it is also
// what the fuzzers start from.
var formats = []struct {
	name   string
	format subjecttoken.Format
	typ    string
	stdout string
	want   plain
	err    []string
}{
	{
		name: "jwt with an expiry", format: subjecttoken.FormatGoogle, stdout: response("token"),
		want: plain{Value: "token", Type: subjecttoken.TypeJWT, Expiry: time.Unix(9999999999, 0)},
	},
	{
		name: "the type that is asked for", format: subjecttoken.FormatGoogle, typ: subjecttoken.TypeJWT, stdout: response("token"),
		want: plain{Value: "token", Type: subjecttoken.TypeJWT, Expiry: time.Unix(9999999999, 0)},
	},
	{
		name: "a JWT where an ID token is asked for, which is the same", format: subjecttoken.FormatGoogle, typ: subjecttoken.TypeIDToken, stdout: response("token"),
		want: plain{Value: "token", Type: subjecttoken.TypeIDToken, Expiry: time.Unix(9999999999, 0)},
	},
	{
		name: "expiry of the token itself, if it is not told", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeIDToken + `","id_token":"` + jwt + `"}`,
		want:   plain{Value: jwt, Type: subjecttoken.TypeIDToken, Expiry: time.Unix(expSeconds, 0)},
	},
	{
		name: "expiry with a fraction", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeSAML2 + `","saml_response":"token","expiration_time":9999999998.5}`,
		want:   plain{Value: "token", Type: subjecttoken.TypeSAML2, Expiry: time.Unix(9999999998, 0)},
	},
	{
		name: "another type than is asked for", format: subjecttoken.FormatGoogle, typ: subjecttoken.TypeSAML2, stdout: response(canary),
		err: []string{"gives a token of type " + subjecttoken.TypeJWT, "Type asks for " + subjecttoken.TypeSAML2},
	},
	{
		name: "unknown type", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + canary + `","id_token":"x"}`, err: []string{`"token_type" that is none of`},
	},
	{
		name: "token in the other member", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeSAML2 + `","id_token":"` + canary + `"}`,
		err:    []string{`no "saml_response"`, "empty or missing token"},
	},
	{
		name: "no token, and expired", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeJWT + `","expiration_time":1}`,
		err:    []string{`the response has no "id_token"`, "has expired"},
	},
	{
		name: "token in lines", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeJWT + `","id_token":"a\n` + canary + `"}`,
		err:    []string{`"id_token"`, "more than one line"},
	},
	{
		name: "expiry in milliseconds", format: subjecttoken.FormatGoogle,
		stdout: `{"version":1,"success":true,"token_type":"` + subjecttoken.TypeJWT + `","id_token":"x","expiration_time":9999999999000}`,
		err:    []string{`"expiration_time"`, "in seconds"},
	},
	{name: "version as a string", format: subjecttoken.FormatGoogle, stdout: `{"version":"` + canary + `","success":true}`, err: []string{"a string where \"version\" needs another type"}},
	{name: "version as a fraction", format: subjecttoken.FormatGoogle, stdout: `{"version":1.5,"success":true}`, err: []string{"a number where \"version\" needs another type"}},
	{name: "failure without a message", format: subjecttoken.FormatGoogle, stdout: `{"version":1,"success":false,"code":"401"}`, err: []string{`not both "code" and "message"`}},
	{name: "an array", format: subjecttoken.FormatGoogle, stdout: `["` + canary + `"]`, err: []string{"an array instead of an object"}},
	{name: "no output", format: subjecttoken.FormatGoogle, stdout: "", err: []string{"empty or missing token"}},

	{
		name: "ExecCredential", format: subjecttoken.FormatKubernetes, typ: subjecttoken.TypeIDToken,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":" token\n","expirationTimestamp":"2099-01-02T03:04:05Z"}}`,
		want:   plain{Value: "token", Type: subjecttoken.TypeIDToken, Expiry: time.Date(2099, 1, 2, 3, 4, 5, 0, time.UTC)},
	},
	{
		name: "ExecCredential of the version before", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"` + jwt + `"}}`,
		want:   plain{Value: jwt, Expiry: time.Unix(expSeconds, 0)},
	},
	{
		name: "another version", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential","status":{"token":"` + canary + `"}}`, err: []string{`"apiVersion"`},
	},
	{
		name: "another kind", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"` + canary + `","status":{"token":"` + canary + `"}}`, err: []string{`"kind"`},
	},
	{
		name: "a certificate instead of a token", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"clientKeyData":"` + canary + `"}}`, err: []string{`"status.token"`, "empty or missing token"},
	},
	{
		name: "no status", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}`, err: []string{`"status.token"`, "empty or missing token"},
	},
	{
		name: "expired", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"` + canary + `","expirationTimestamp":"2020-01-02T03:04:05Z"}}`,
		err:    []string{"has expired, at 2020-01-02T03:04:05Z"},
	},
	{
		name: "not a time", format: subjecttoken.FormatKubernetes,
		stdout: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t","expirationTimestamp":"` + canary + `"}}`, err: []string{`"status.expirationTimestamp"`},
	},
	{name: "a token alone for Google", format: subjecttoken.FormatGoogle, stdout: canary, err: []string{"not JSON: the program has to write it as https://google.aip.dev/auth/4117 says"}},
	{name: "a token alone", format: subjecttoken.FormatKubernetes, stdout: canary, err: []string{"not JSON"}},
}

func TestExecFormats(t *testing.T) {
	for _, row := range formats {
		t.Run(row.name, func(t *testing.T) {
			e := subjecttoken.Exec{Command: command(t, script{Stdout: row.stdout}), Format: row.format, Type: row.typ}
			got, err := e.SubjectToken(t.Context())
			if row.err != nil {
				refused(t, err, row.err...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, plain(got)); diff != "" {
				t.Errorf("SubjectToken() mismatch (-want +got):\n%s", diff)
			}
		})
	}
}

// KUBERNETES_EXEC_INFO is itself an ExecCredential.
func TestKubernetesInfo(t *testing.T) {
	envFile := filepath.Join(t.TempDir(), "env")
	e := subjecttoken.Exec{Format: subjecttoken.FormatKubernetes, Command: command(t, script{EnvTo: envFile})}
	_, _ = e.SubjectToken(t.Context())
	var info struct {
		Spec struct{ Interactive *bool }
	}
	if err := json.Unmarshal([]byte(childEnv(t, envFile)["KUBERNETES_EXEC_INFO"]), &info); err != nil || info.Spec.Interactive == nil {
		t.Errorf("KUBERNETES_EXEC_INFO does not say whether it is interactive: %v", err)
	}
}
