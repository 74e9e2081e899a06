package subjecttoken

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lastMoment is when the program is asked for another token although the one
// in OutputFile has not ended: package stssource no longer sends that.
const lastMoment = time.Second

// readOutput looks for a token in OutputFile. Neither a token nor an error
// means that the program has to run.
func (e Exec) readOutput() (t Token, found bool, err error) {
	raw, err := readOutputFile(e.outputPath())
	if err == nil {
		t, err = e.parseGoogle(raw)
	}
	switch {
	case err == nil && time.Until(t.Expiry) >= lastMoment:
		return t, true, nil
	case err == nil, renewable(err):
		return Token{}, false, nil
	}
	return Token{}, false, fmt.Errorf("output file %s: %w", e.outputPath(), err)
}

// outputPath is OutputFile as the program finds it, which runs in Dir.
func (e Exec) outputPath() string {
	if filepath.IsAbs(e.OutputFile) {
		return e.OutputFile
	}
	return filepath.Join(e.Dir, e.OutputFile)
}

// renewable reports whether running the program mends what is wrong with the
// output file. Content that is not JSON is the work of a program that was
// stopped while it wrote; refusing it would refuse it for ever.
func renewable(err error) bool {
	for _, target := range []error{
		fs.ErrNotExist, errEmpty, errCutJSON, errNotJSON, errTooBig, errChanged,
		errExpired, errFailure, errType,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func readOutputFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(err)
	}
	if info.Mode().IsRegular() && othersMayWrite(info) {
		return nil, errors.New("others may write to it, and so choose the token: make it yours, and take the permission away, as chmod go-w does")
	}
	return readFile(path)
}

// runAndKeep runs the program, and keeps its response if it did not do so.
func (e Exec) runAndKeep(ctx context.Context) (Token, error) {
	out, err := e.run(ctx)
	if err != nil {
		return Token{}, err
	}
	t, err := e.parse(out)
	if err != nil {
		return Token{}, err
	}
	if _, kept, _ := e.readOutput(); !kept {
		// The token is good, whether or not the next call can have it from
		// the file.
		_ = writeAtomically(e.outputPath(), out)
	}
	return t, nil
}

// writeAtomically gives path the content, readable by this user alone. No
// reader sees a part of it.
func writeAtomically(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // has mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
