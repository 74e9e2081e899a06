package subjecttoken_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sts/sts/subjecttoken"
)

// TestMain lets the test binary be the program that Exec runs: with "child"
// and the file of a script as its arguments it follows that script.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		follow(os.Args[2])
		return
	}
	// With -race a program waits a second before it ends, unless told not to.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// script is what a child does, in the order of its fields.
type script struct {
	Count      string // append a line to this file, so that runs can be counted
	EnvTo      string // write the environment to this file, as JSON
	Spawn      string // start a grandchild that keeps stdout open, and write its process ID to this file
	WriteTo    string // write Content to this file
	Content    string
	WriteMode  os.FileMode   // and give it this mode
	Stdout     string        // print this
	StdoutFrom string        // print this file, whatever it holds
	Fill       int           // print so many "x"
	Stderr     string        // print this to standard error
	Sleep      time.Duration // wait
	Kill       bool          // kill yourself
	Exit       int           // end with this exit code
}

func follow(file string) {
	var s script
	raw, err := os.ReadFile(file)
	check(err)
	check(json.Unmarshal(raw, &s))
	if s.Count != "" {
		f, err := os.OpenFile(s.Count, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		check(err)
		_, err = f.WriteString("run\n")
		check(err)
	}
	if s.EnvTo != "" {
		env, err := json.Marshal(os.Environ())
		check(err)
		check(os.WriteFile(s.EnvTo, env, 0o600))
	}
	if s.Spawn != "" {
		grandchild := exec.Command(os.Args[0], "child", file+".grandchild")
		grandchild.Stdout, grandchild.Stderr = os.Stdout, os.Stderr
		check(grandchild.Start())
		check(os.WriteFile(s.Spawn, fmt.Append(nil, grandchild.Process.Pid), 0o600))
	}
	if s.WriteTo != "" {
		check(os.WriteFile(s.WriteTo, []byte(s.Content), 0o600))
		if s.WriteMode != 0 {
			check(os.Chmod(s.WriteTo, s.WriteMode))
		}
	}
	if s.StdoutFrom != "" {
		raw, err := os.ReadFile(s.StdoutFrom)
		check(err)
		_, _ = os.Stdout.Write(raw)
	}
	os.Stdout.WriteString(s.Stdout)
	signal.Ignore(syscall.Signal(13)) // SIGPIPE: do not end by yourself because nobody reads
	os.Stdout.WriteString(strings.Repeat("x", s.Fill))
	os.Stderr.WriteString(s.Stderr)
	time.Sleep(s.Sleep)
	if s.Kill {
		self, err := os.FindProcess(os.Getpid())
		check(err)
		check(self.Kill())
		time.Sleep(time.Minute)
	}
	os.Exit(s.Exit)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(99)
	}
}

// command returns the command line that follows s.
func command(t testing.TB, s script) []string {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "script")
	writeFile(t, file, string(raw))
	if s.Spawn != "" {
		writeFile(t, file+".grandchild", `{"Sleep": 60000000000}`)
	}
	return []string{os.Args[0], "child", file}
}

func writeFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tempFile returns a new file with content.
func tempFile(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	writeFile(t, path, content)
	return path
}

// unsigned returns a JSON Web Token with the given claims.
func unsigned(claims string) string {
	segment := base64.RawURLEncoding.EncodeToString
	return segment([]byte(`{"alg":"none"}`)) + "." + segment([]byte(claims)) + ".c2ln"
}

// plain is a Token without its Format, so that a test's difference shows it.
type plain subjecttoken.Token

// canary stands for a secret: it must not be in any error.
const canary = "CANARY-5f1d6c1e-secret-93b207"

// refused checks that err is an *Error that has each of the texts and shows no
// canary in any way of printing it, and returns it.
func refused(t testing.TB, err error, texts ...string) *subjecttoken.Error {
	t.Helper()
	e, ok := err.(*subjecttoken.Error)
	if !ok {
		t.Fatalf("error = %v (%T), want a *subjecttoken.Error", err, err)
	}
	if !strings.HasPrefix(err.Error(), e.Source+": ") {
		t.Errorf("error %q does not begin with its source %q", err, e.Source)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not mention %q", err, text)
		}
	}
	asJSON, _ := json.Marshal(e)
	for _, shown := range []string{err.Error(), fmt.Sprintf("%+v %#v", err, err), string(asJSON)} {
		if strings.Contains(shown, canary) || strings.Contains(shown, canary[:12]) {
			t.Errorf("the error shows a secret: %s", shown)
		}
	}
	for cause := error(e); cause != nil; cause = unwrap(cause) {
		if shown := fmt.Sprintf("%v %+v %#v", cause, cause, cause); strings.Contains(shown, canary[:12]) {
			t.Errorf("a cause shows a secret: %s", shown)
		}
	}
	return e
}

func unwrap(err error) error {
	if e, ok := err.(interface{ Unwrap() error }); ok {
		return e.Unwrap()
	}
	return nil
}
