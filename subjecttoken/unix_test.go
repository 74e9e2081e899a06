//go:build unix

package subjecttoken_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sts/sts/subjecttoken"
)

// Opening a pipe to which nobody writes would block for ever.
func TestFilePipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := pipe + "-link"
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link} {
		_, err := subjecttoken.File{Path: path}.SubjectToken(t.Context())
		refused(t, err, "is a named pipe")
	}
	exec := subjecttoken.Exec{Command: []string{"no-such-program"}, Format: subjecttoken.FormatGoogle, OutputFile: pipe}
	_, err := exec.SubjectToken(t.Context())
	refused(t, err, "output file "+pipe, "is a named pipe")
}

func TestFilePermission(t *testing.T) {
	if os.Geteuid() == 0 {
		// The superuser may read everything: this is for everybody else.
		t.Skip("runs as root")
	}
	path := tempFile(t, canary)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	_, err := subjecttoken.File{Path: path}.SubjectToken(t.Context())
	if refused(t, err, "let the user that runs this program read it"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v is not fs.ErrPermission", err)
	}
}

// A file of /proc says that it is empty, and has content all the same.
func TestFileWithoutSize(t *testing.T) {
	const path = "/proc/sys/kernel/ostype"
	if _, err := os.Stat(path); err != nil {
		t.Skip(err)
	}
	if got, err := (subjecttoken.File{Path: path}).SubjectToken(t.Context()); err != nil || got.Value != "Linux" {
		t.Errorf("SubjectToken() = %q, %v; want Linux", got.Value, err)
	}
}

// Whether the time is up or the caller gives up, the program and what it has
// started are gone.
func TestExecKillsGroup(t *testing.T) {
	for _, row := range []struct {
		name    string
		timeout time.Duration // of the Exec
		cancel  time.Duration // when the caller gives up
		is      error
		text    string
	}{
		{name: "timeout", timeout: 500 * time.Millisecond, cancel: time.Minute, is: context.DeadlineExceeded, text: "no answer within 500ms"},
		{name: "cancel", timeout: time.Minute, cancel: 500 * time.Millisecond, is: context.Canceled, text: "killed: context canceled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			pidFile := filepath.Join(t.TempDir(), "pid")
			exec := subjecttoken.Exec{Command: command(t, script{Spawn: pidFile, Stderr: "waiting", Sleep: time.Minute}), Timeout: row.timeout}
			ctx, cancel := context.WithCancel(t.Context())
			defer time.AfterFunc(row.cancel, cancel).Stop()
			start := time.Now()
			_, err := exec.SubjectToken(ctx)
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("SubjectToken() took %v, although it had only 500ms", took)
			}
			e := refused(t, err, row.text, "standard error: waiting")
			if !errors.Is(err, row.is) || e.Temporary != (row.name == "timeout") {
				t.Errorf("error %v (temporary: %v) is not %v", err, e.Temporary, row.is)
			}
			waitGone(t, pidFile)
		})
	}
}

// waitGone waits until the process whose ID is in the file is no more.
func waitGone(t *testing.T, pidFile string) {
	t.Helper()
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	// A killed process without a parent may stay a zombie for a moment.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
	}
	t.Errorf("process %d still runs", pid)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}

// What a program leaves behind may keep its output open: its token is used
// without waiting for that, and what it left is let alone.
func TestExecLeavesDaemonAlone(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	exec := subjecttoken.Exec{Command: command(t, script{Spawn: pidFile, Stdout: "token"})}
	start := time.Now()
	got, err := exec.SubjectToken(t.Context())
	if took := time.Since(start); err != nil || got.Value != "token" || took > 5*time.Second {
		t.Errorf("SubjectToken() = %q, %v after %v; want the token at once", got.Value, err, took)
	}
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(string(raw))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the daemon %d is gone: %v", pid, err)
	}
}

func TestOutputFileMode(t *testing.T) {
	for mode, trusted := range map[fs.FileMode]bool{0o600: true, 0o644: true, 0o620: false, 0o602: false, 0o666: false} {
		t.Run(mode.String(), func(t *testing.T) {
			exec, count := outputExec(t, script{Stdout: response("FROM_EXEC")}, response("CACHED"))
			if err := os.Chmod(exec.OutputFile, mode); err != nil {
				t.Fatal(err)
			}
			got, err := exec.SubjectToken(t.Context())
			if trusted {
				if err != nil || got.Value != "CACHED" {
					t.Errorf("SubjectToken() = %q, %v; want CACHED", got.Value, err)
				}
				return
			}
			refused(t, err, "output file "+exec.OutputFile, "others may write to it", "chmod go-w")
			if n := runs(count); n != 0 {
				t.Errorf("the program ran %d times, want 0", n)
			}
		})
	}
}

// A program with the umask of a group writes a file that is refused later: it
// is replaced at once.
func TestOutputFileModeMended(t *testing.T) {
	exec, count := outputExec(t, script{Stdout: response("FROM_EXEC"), Content: response("FROM_FILE"), WriteMode: 0o660}, "")
	for _, want := range []string{"FROM_EXEC", "FROM_EXEC"} {
		if got, err := exec.SubjectToken(t.Context()); err != nil || got.Value != want {
			t.Errorf("SubjectToken() = %q, %v; want %s", got.Value, err, want)
		}
	}
	if n := runs(count); n != 1 {
		t.Errorf("the program ran %d times, want 1", n)
	}
}

// Whoever owns an output file chooses the token, whatever its mode.
func TestOutputFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "out")
	response := `{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:jwt","id_token":"theirs","expiration_time":99999999999}`
	if err := os.WriteFile(path, []byte(response), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	e := subjecttoken.Exec{Command: []string{"/nonexistent/never-run"}, Format: subjecttoken.FormatGoogle, OutputFile: path}
	_, err := e.SubjectToken(t.Context())
	if err == nil || !strings.Contains(err.Error(), "others may write to it") {
		t.Errorf("got %v, want a refusal of the file", err)
	}
}
