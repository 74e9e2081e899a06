package subjecttoken

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/go-sts/sts/internal/redact"
)

// Exec is a [Provider] that runs a program and reads the token from its
// standard output. The program is run directly, never by a shell; its standard
// input is empty.
//
// When the time is up or the context is done, the program is killed, and on
// Unix everything it has started with it (its process group). When it ends by
// itself nothing is killed; if something it left behind keeps its standard
// output open, what was written is used after 200 ms.
//
// The output of a program that fails is never a token. The error shows its
// exit code or signal and about 1 KiB of its standard error, in which Env's
// values, those among the arguments, what its standard output says as well and
// whatever looks like a token are hidden.
type Exec struct {
	// Command is the program and its arguments. Required. A name without a
	// path is looked up in this process's PATH. See [ParseCommand] for a
	// command in one string.
	Command Secrets

	// Env is added to this process's environment, as NAME=value. Its values
	// are taken for secrets.
	Env Secrets

	// Dir is the program's working directory. If empty, it is this process's.
	Dir string

	// Type is the token's type. If empty, whoever uses the token decides,
	// except with [FormatGoogle], where the program tells. If it is set with
	// FormatGoogle, the program is told, and must answer with the same type.
	Type string

	// Format is how the program writes the token. If zero, [FormatText].
	Format Format

	// JSONField says where in the output, then a JSON document, the token
	// is: the name of a top-level member, or an RFC 6901 pointer if it
	// starts with "/". If empty, the whole output is the token. It belongs
	// to FormatText alone.
	JSONField string

	// Timeout limits a run: 1 ms to 10 minutes. If zero, 30 seconds. The
	// narrower limits of Google's credential files are not checked here.
	Timeout time.Duration

	// OutputFile is where a program of [FormatGoogle] keeps its last
	// response. While that holds a token that has not expired, the program
	// is not run. If empty, the program runs each time.
	//
	// A file that is missing, empty, not JSON (cut short, say) or over
	// 1 MiB, that holds an expired token, one of another type than Type or a
	// failure, is passed over: the program runs. A file that is a response of
	// another kind (no version, another version, members missing) is an
	// error, as is one that is not a regular file, or that on Unix belongs to
	// another user or may be written by its group or everybody, for they
	// could choose the token. Keep it in a directory that is this user's own.
	//
	// If the file does not hold a usable response after a run, the response
	// is written to it, atomically and with mode 0600; should that fail, the
	// token is good nevertheless.
	OutputFile string

	// Audience is what a program of [FormatGoogle] is told the token is for.
	// If empty, it is told nothing.
	Audience string

	// ImpersonatedEmail is the service account that the token will be used
	// to impersonate, for a program of [FormatGoogle]. If empty, none.
	ImpersonatedEmail string

	// RequireAllowEnv makes it an error to run the program or to read
	// OutputFile unless the environment variable
	// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is 1. It is for commands that
	// come from a credential file, and off for those written in Go.
	RequireAllowEnv bool
}

var _ Provider = Exec{}

// Format is how a program of [Exec] writes its token.
type Format int

const (
	// FormatText is the token alone, or with a JSONField a JSON document
	// that has it in there.
	FormatText Format = iota

	// FormatGoogle is version 1 of the protocol that Google's libraries have
	// for executables (AIP-4117). The program gets its parameters in the
	// environment variables GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE, _TOKEN_TYPE,
	// _INTERACTIVE (always 0), _IMPERSONATED_EMAIL and _OUTPUT_FILE.
	FormatGoogle

	// FormatKubernetes is an ExecCredential of client.authentication.k8s.io,
	// v1 or v1beta1, as kubectl's credential plugins write it. The program
	// gets its parameters in KUBERNETES_EXEC_INFO.
	FormatKubernetes
)

const (
	execTimeout = 30 * time.Second // the default of Google's libraries
	allowEnv    = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"
)

// SubjectToken runs the program, unless OutputFile still holds its answer.
func (e Exec) SubjectToken(ctx context.Context) (Token, error) {
	if len(e.Command) == 0 {
		return Token{}, e.Validate()
	}
	t, err := e.token(ctx)
	if err != nil {
		temporary := errors.Is(err, context.DeadlineExceeded)
		return Token{}, &Error{Source: e.source(), Temporary: temporary, Err: err}
	}
	return t, nil
}

func (e Exec) token(ctx context.Context) (Token, error) {
	if err := ctx.Err(); err != nil {
		return Token{}, fmt.Errorf("not run: %w", err)
	}
	if e.RequireAllowEnv && os.Getenv(allowEnv) != "1" {
		return Token{}, fmt.Errorf("not run: set the environment variable %s to 1 to let credential files run commands", allowEnv)
	}
	if e.OutputFile == "" {
		out, err := e.run(ctx)
		if err != nil {
			return Token{}, err
		}
		return e.parse(out)
	}
	t, found, err := e.readOutput()
	if err != nil || found {
		return t, err
	}
	return e.runAndKeep(ctx)
}

// parse reads the token from the output of a program that succeeded.
func (e Exec) parse(out []byte) (Token, error) {
	switch e.Format {
	case FormatGoogle:
		return e.parseGoogle(out)
	case FormatKubernetes:
		return e.parseKubernetes(out)
	}
	value, err := decode(out, e.JSONField)
	if err != nil {
		return Token{}, err
	}
	return newToken(value, e.Type, noExpiry)
}

func (e Exec) timeout() time.Duration {
	if e.Timeout == 0 {
		return execTimeout
	}
	return e.Timeout
}

// Validate reports what is wrong with e. It does not look for the program.
func (e Exec) Validate() error {
	errs := []error{checkField(e.JSONField), checkTimeout(e.Timeout), checkEnv(e.Env)}
	add := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	add(len(e.Command) == 0 || strings.TrimSpace(e.Command[0]) == "", "field Command is required: a program and its arguments")
	add(strings.Contains(strings.Join(e.Command, ""), "\x00"), "field Command has a NUL byte")
	add(e.Format < FormatText || e.Format > FormatKubernetes, "field Format is none of this package's")
	add(e.JSONField != "" && e.Format != FormatText, "field JSONField belongs to FormatText: the other formats say where the token is")
	google := e.Format == FormatGoogle
	add(e.OutputFile != "" && !google, "field OutputFile belongs to FormatGoogle")
	add(e.Audience != "" && !google, "field Audience belongs to FormatGoogle")
	add(e.ImpersonatedEmail != "" && !google, "field ImpersonatedEmail belongs to FormatGoogle")
	return invalid(e.source(), errs...)
}

// checkEnv names a wrong entry by its place: it may be a secret as it stands.
func checkEnv(env []string) error {
	var errs []error
	for i, entry := range env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" || strings.Contains(entry, "\x00") {
			errs = append(errs, fmt.Errorf("field Env[%d] is not of the form NAME=value", i))
		}
	}
	return errors.Join(errs...)
}

// String names the program alone.
func (e Exec) String() string { return "subjecttoken.Exec(" + e.source() + ")" }

// GoString is String.
func (e Exec) GoString() string { return e.String() }

// MarshalText gives the text of String.
func (e Exec) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// source names the program without its arguments, also where somebody wrote
// them into the same string.
func (e Exec) source() string {
	if len(e.Command) == 0 {
		return "command"
	}
	name := e.Command[0]
	if fields := strings.Fields(name); len(e.Command) == 1 && len(fields) > 1 {
		name = fields[0] + " ..."
	}
	return "command " + name
}

// Secrets is a list of strings that shows no more of itself than its length.
// Fields of this type are set with a plain []string.
type Secrets []string

// Format prints the length of s, whatever the verb.
func (s Secrets) Format(f fmt.State, _ rune) { redact.Format(f, s.describe()) }

// MarshalText gives the text of Format.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.describe()), nil }

func (s Secrets) describe() string { return fmt.Sprintf("%d %s", len(s), redact.Mark) }
