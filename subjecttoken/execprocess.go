package subjecttoken

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
)

const (
	// waitDelay is how long the pipes of a program that has ended, or was
	// killed, are still read: what it wrote is in them already, and whoever
	// else holds them is not asked.
	waitDelay = 200 * time.Millisecond

	stderrKept  = 32 << 10 // of its beginning, and of its end
	stderrShown = 1 << 10
)

// run runs the program and returns its standard output.
func (e Exec) run(ctx context.Context) ([]byte, error) {
	if !execSupported {
		return nil, fmt.Errorf("cannot run programs on this platform: %w", errors.ErrUnsupported)
	}
	limited, cancel := context.WithTimeout(ctx, e.timeout())
	defer cancel()
	stdout, stderr := &capped{full: cancel}, &ends{}
	cmd := exec.CommandContext(limited, e.Command[0], e.Command[1:]...)
	cmd.Dir = e.Dir
	cmd.Env = e.environ(cmd.Environ()) // knows Dir, as PWD
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = waitDelay
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, e.startError(ctx, err)
	}
	err := cmd.Wait()
	switch {
	case stdout.over:
		return nil, fmt.Errorf("killed: its output is %w", errTooBig)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return stdout.kept, nil
	}
	return nil, e.runError(ctx, limited, err, stdout.kept, stderr.String())
}

// startError explains why the program did not start.
func (e Exec) startError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("not run: %w", ctx.Err())
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	if lookErr, ok := errors.AsType[*exec.Error](err); ok {
		err = lookErr.Err
	}
	if _, dirErr := os.Stat(e.Dir); e.Dir != "" && dirErr != nil {
		return fmt.Errorf("not started: no directory %s: %w", e.Dir, err) // err alone does not tell it from the program
	}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("not started: %w: install the program or name its full path; Command has one element for the program and one for each argument", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not started: %w: the program must be a file that this user may execute", err)
	}
	return fmt.Errorf("not started: %w", err)
}

// runError explains how the program ended. Its cause is the caller's context,
// the time limit or the *exec.ExitError, in this order, as a killed program
// has all of them.
func (e Exec) runError(ctx, limited context.Context, err error, stdout []byte, stderr string) error {
	said := e.said(stdout, stderr)
	switch {
	case ctx.Err() != nil:
		return because(ctx.Err(), "killed: %v%s", ctx.Err(), said)
	case limited.Err() != nil:
		return because(limited.Err(), "killed: no answer within %v%s", e.timeout(), said)
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	switch {
	case !ok:
		return fmt.Errorf("reading its output: %w", err)
	case exit.ExitCode() < 0:
		return because(exit, "killed by %v%s", exit.ProcessState, said)
	}
	return because(exit, "exit code %d%s", exit.ExitCode(), said)
}

// said is what a failed program tells about it: its standard error, and in
// Google's protocol the failure on its standard output.
func (e Exec) said(stdout []byte, stderr string) string {
	text := ""
	if e.Format == FormatGoogle {
		if r, err := readResponse(stdout); err == nil && r.failed() {
			text = ": " + e.failure(r)
		}
	}
	secrets := redact.New(append(e.secretValues(), outputValues(stdout, stderr)...)...)
	if stderr = secrets.Ends(stderr, stderrShown); stderr != "" {
		text += ": standard error: " + stderr
	}
	return text
}

// secretValues are the values of Env and those among the arguments.
func (e Exec) secretValues() []string {
	values := secretArgs(e.Command[1:])
	for _, entry := range e.Env {
		_, value, _ := strings.Cut(entry, "=")
		values = append(values, value)
	}
	return longer(values)
}

// secretArgs returns the arguments that may be secrets: what is given to an
// option, and whatever else is not a plain word, such as a subcommand.
func secretArgs(args []string) []string {
	var values []string
	option := false
	for _, arg := range args {
		afterOption := option
		option = strings.HasPrefix(arg, "-")
		_, value, given := strings.Cut(arg, "=")
		switch {
		case option && given:
			values = append(values, value)
		case option && !plainWord(arg[1:]):
			values = append(values, arg[min(2, len(arg)):]) // -pValue
		case !option && (afterOption || !plainWord(arg)):
			values = append(values, arg)
		}
	}
	return values
}

func plainWord(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' && r != '_' })
}

// outputValues returns the words and JSON strings of a program's standard
// output that its standard error repeats: a token that is printed on both.
func outputValues(stdout []byte, stderr string) []string {
	words := strings.Fields(string(stdout))
	dec := json.NewDecoder(bytes.NewReader(stdout))
	for {
		token, err := dec.Token()
		if err != nil {
			break
		}
		if s, ok := token.(string); ok {
			words = append(words, s)
		}
	}
	const telling = 8 // shorter words are those of a message, not tokens
	var repeated []string
	for _, w := range words {
		if len(w) >= telling && strings.Contains(stderr, w[:telling]) {
			repeated = append(repeated, w)
		}
	}
	return repeated
}

// capped keeps what is written up to maxSize, and calls full when there is
// more. It is no [bytes.Buffer], whose ReadFrom would keep everything.
type capped struct {
	kept []byte
	full func()
	over bool
}

func (c *capped) Write(p []byte) (int, error) {
	if len(c.kept)+len(p) > maxSize {
		c.over = true
		c.full()
		return 0, errTooBig
	}
	c.kept = append(c.kept, p...)
	return len(p), nil
}

// ends keeps the beginning and the end of what is written.
type ends struct {
	head, tail []byte
	cut        bool
}

func (e *ends) Write(p []byte) (int, error) {
	n := len(p)
	room := min(stderrKept-len(e.head), n)
	e.head = append(e.head, p[:room]...)
	e.tail = append(e.tail, p[room:]...)
	if over := len(e.tail) - stderrKept; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
		e.cut = true
	}
	return n, nil
}

// String returns both ends. Where the middle is missing, so are the lines that
// it began and ended in, or the words if there is but one line: half a secret
// would not be recognized as one.
func (e *ends) String() string {
	head, tail := string(e.head), string(e.tail)
	if !e.cut {
		return head + tail
	}
	between := "\n"
	if !strings.Contains(head, between) || !strings.Contains(tail, between) {
		between = " "
	}
	head = head[:strings.LastIndex(head, between)+1]
	_, tail, _ = strings.Cut(tail, between)
	return head + " ... " + tail
}
