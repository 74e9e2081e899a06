package subjecttoken

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// File is a [Provider] that reads a file, anew at each call, since projected
// Kubernetes tokens and the like are replaced long before they expire.
//
// White space around the token is removed. Symbolic links are followed. A
// directory, pipe or device, and a file over 1 MiB, is an error.
//
// A file that is missing, empty, or looks as if it was being written is read
// again for some 40 milliseconds. After that the error is Temporary, since the
// writer may still finish, unless the file is missing. [errors.Is] finds
// [io/fs.ErrNotExist] and [io/fs.ErrPermission].
type File struct {
	// Path is the path of the file. Required. The file need not exist before
	// the first call.
	Path string

	// Type is the token's type, such as [TypeJWT]. If empty, the exchange
	// decides: see [Token].
	Type string

	// JSONField says where the token is if the file is a JSON document: the
	// name of a top-level member, or a JSON pointer (RFC 6901) if it starts
	// with "/". If empty, the whole file is the token.
	JSONField string
}

var _ Provider = File{}

// A writer that truncates and then writes is done within microseconds; 8 reads
// with 5 ms between them leave it time to be scheduled away in between.
const (
	fileReads = 8
	filePause = 5 * time.Millisecond
)

// SubjectToken reads the file.
func (f File) SubjectToken(ctx context.Context) (Token, error) {
	for read := 1; ; read++ {
		if err := ctx.Err(); err != nil {
			return Token{}, fail(f.source(), fmt.Errorf("not read: %w", err))
		}
		t, err := f.token()
		if err == nil {
			return t, nil
		}
		settled := !unfinished(err)
		if read == fileReads || settled && !errors.Is(err, fs.ErrNotExist) {
			return Token{}, &Error{Source: f.source(), Temporary: !settled, Err: err}
		}
		pause(ctx, filePause)
	}
}

// Validate reports all that is wrong with f. It does not look at the file.
func (f File) Validate() error {
	var errs []error
	if f.Path == "" {
		errs = append(errs, errors.New("field Path is required"))
	}
	return invalid(f.source(), append(errs, checkField(f.JSONField), checkType(f.Type))...)
}

// String returns a description that names the file.
func (f File) String() string { return "subjecttoken.File(" + f.Path + ")" }

func (f File) source() string { return "file " + f.Path }

func (f File) token() (Token, error) {
	raw, err := readFile(f.Path)
	if err != nil {
		return Token{}, err
	}
	value, err := decode(raw, f.JSONField)
	if err != nil {
		return Token{}, err
	}
	t, err := newToken(value, f.Type, noExpiry)
	if err == nil && cutJWT(t) {
		return Token{}, errCutJWT
	}
	return t, err
}

// errChanged is a read that may have mixed two contents.
var errChanged = errors.New("the file changes while it is read")

// unfinished reports whether err is what a reader sees of a file that its
// writer has not finished.
func unfinished(err error) bool {
	for _, target := range []error{errChanged, errEmpty, errCutJSON, errCutJWT} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// readFile reads a regular file of at most maxSize bytes.
func readFile(path string) ([]byte, error) {
	// Asking before opening keeps us from waking a device or a pipe's writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(err)
	}
	if err := checkRegular(info); err != nil {
		return nil, err
	}
	// The path may lead elsewhere by now: do not block, and ask again.
	file, err := os.OpenFile(path, os.O_RDONLY|openNonblock, 0)
	if err != nil {
		return nil, fileError(err)
	}
	defer file.Close()
	return readOpen(file)
}

func readOpen(file *os.File) ([]byte, error) {
	before, err := file.Stat()
	if err != nil {
		return nil, fileError(err)
	}
	if err := checkRegular(before); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	buf.Grow(int(min(before.Size(), maxSize)) + bytes.MinRead)
	if _, err := buf.ReadFrom(io.LimitReader(file, maxSize+1)); err != nil {
		return nil, fileError(err)
	}
	raw := buf.Bytes()
	if len(raw) > maxSize {
		return nil, errTooBig
	}
	after, err := file.Stat()
	if err != nil {
		return nil, fileError(err)
	}
	// A file of /proc has more to read than its size says, so only less is
	// suspicious.
	if int64(len(raw)) < after.Size() || before.Size() != after.Size() || !before.ModTime().Equal(after.ModTime()) {
		return nil, errChanged
	}
	return raw, nil
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return errors.New("is a directory: name the file in it")
	case mode&fs.ModeNamedPipe != 0:
		return errors.New("is a named pipe: a token is read anew for each exchange, which needs a regular file")
	}
	return errors.New("is not a regular file")
}

// fileError makes a message of a cause without the path, which the source has
// already named.
func fileError(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: check the path, and that the token is mounted there", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: let the user that runs this program read it, and enter its directories", err)
	}
	return err
}

// pause waits for d, or less if ctx is done first.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
