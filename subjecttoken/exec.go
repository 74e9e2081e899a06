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
// standard output. The program is started directly, without a shell, and its
// standard input is empty.
//
// When Timeout has passed or the context is done, the program is killed, and on
// Unix its process group with it. When the program ends by itself nothing is
// killed. If something that it left behind keeps its standard output open, what
// was written within 200 ms is used.
//
// A program that fails gives no token, whatever it prints. The error shows its
// exit code or signal and about 1 KiB of its standard error. Hidden in there
// are the values of Env, those of arguments, everything that is also in the
// standard output, and whatever looks like a token. [errors.Is] finds
// [os/exec.ErrNotFound] and [context.DeadlineExceeded].
type Exec struct {
	// Command is the program and its arguments. Required. A name without a path
	// is looked up in this process's PATH. [ParseCommand] splits a command
	// line.
	Command Secrets

	// Env is added to this process's environment, as NAME=value. The values are
	// taken for secrets.
	Env Secrets

	// Dir is the program's working directory. If empty, it is this process's.
	Dir string

	// Type is the token's type, such as [TypeJWT]. If empty, the exchange
	// decides: see [Token]. With [FormatGoogle] the program says which type its
	// token has; if Type is set, the program is told, and must answer with the
	// same, where TypeJWT and TypeIDToken are one.
	Type string

	// Format is how the program writes the token. If zero, it is [FormatText].
	Format Format

	// JSONField says where the token is if the output is a JSON document: the
	// name of a top-level member, or a JSON pointer (RFC 6901) if it starts
	// with "/". If empty, the whole output is the token. It is for FormatText
	// only.
	JSONField string

	// Timeout limits one run of the program: 1 ms to 10 minutes. If zero, it is
	// 30 seconds. The error of a run that takes longer is temporary: whoever
	// waits for a first token has the program run up to four times.
	Timeout time.Duration

	// OutputFile is where a program of [FormatGoogle] keeps its last response.
	// A relative path is relative to Dir, as it is to the program. While the
	// file holds a token that lasts for another second, the program is not run.
	// If empty, the program runs each time.
	//
	// The program also runs if the file is missing, empty, over 1 MiB or not
	// JSON (cut short, say), or holds a failure, an expired token or one of
	// another type than Type. A response of another version, or one that lacks
	// members, is an error. So is a file that is not a regular one, or that on
	// Unix belongs to another user or can be written by its group or everybody:
	// they could choose the token. Keep it in a directory of this user's own.
	//
	// A program need not write the file: if it does not hold a usable response
	// after a run, the response is written to it, atomically and with mode
	// 0600. If that fails the token is returned all the same.
	OutputFile string

	// Audience tells a program of [FormatGoogle] whom the token is for. If
	// empty, it is not told.
	Audience string

	// ImpersonatedEmail tells a program of [FormatGoogle] which service account
	// the token will be used to impersonate. If empty, it is not told.
	ImpersonatedEmail string

	// RequireAllowEnv makes it an error to run the program or to read
	// OutputFile unless the environment variable
	// GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES is 1. Set it if the command
	// comes from a credential file.
	RequireAllowEnv bool
}

var _ Provider = Exec{}

// Format is how a program that [Exec] runs writes its token.
type Format int

const (
	// FormatText is the token alone, or a JSON document that has it at
	// JSONField.
	FormatText Format = iota

	// FormatGoogle is version 1 of the protocol for executables of Google's
	// credential files (AIP-4117). The program gets its parameters in the
	// environment variables GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE, _TOKEN_TYPE,
	// _IMPERSONATED_EMAIL, _OUTPUT_FILE and _INTERACTIVE, which is always 0.
	// See https://google.aip.dev/auth/4117.
	FormatGoogle

	// FormatKubernetes is an ExecCredential of client.authentication.k8s.io, v1
	// or v1beta1, as credential plugins of kubectl write it. The program gets
	// its parameters in the environment variable KUBERNETES_EXEC_INFO.
	FormatKubernetes
)

const (
	execTimeout = 30 * time.Second // the default of Google's libraries
	allowEnv    = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"
)

// SubjectToken runs the program, unless OutputFile holds a token that is still
// good.
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

// Validate reports all that is wrong with e. It does not look for the program.
func (e Exec) Validate() error {
	errs := []error{checkField(e.JSONField), checkType(e.Type), checkTimeout(e.Timeout), checkEnv(e.Env)}
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

// String returns a description that names the program, without its arguments.
func (e Exec) String() string { return "subjecttoken.Exec(" + e.source() + ")" }

// GoString returns the text of String.
func (e Exec) GoString() string { return e.String() }

// MarshalText returns the text of String.
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

// Secrets is a list of strings that is printed and encoded as its length alone.
// A []string can be assigned to it.
type Secrets []string

// Format prints the length of s, whatever the verb.
func (s Secrets) Format(f fmt.State, _ rune) { redact.Format(f, s.describe()) }

// MarshalText returns the text that Format prints.
func (s Secrets) MarshalText() ([]byte, error) { return []byte(s.describe()), nil }

func (s Secrets) describe() string { return fmt.Sprintf("%d %s", len(s), redact.Mark) }
