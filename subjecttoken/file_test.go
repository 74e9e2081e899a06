package subjecttoken_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sts/sts/subjecttoken"
)

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	path := func(name, content string) string {
		writeFile(t, filepath.Join(dir, name), content)
		return filepath.Join(dir, name)
	}
	loop := filepath.Join(dir, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Skip("no symbolic links:", err)
	}
	for _, row := range []struct {
		name      string
		path      string
		field     string
		temporary bool
		is        error
		err       string
	}{
		{name: "missing: the mount may be wrong", path: filepath.Join(dir, "missing"), is: fs.ErrNotExist, err: "check the path, and that the token is mounted there"},
		{name: "directory", path: dir, err: "is a directory: name the file in it"},
		{name: "symbolic link to itself", path: loop, err: "too many levels"},
		{name: "device", path: os.DevNull, err: "is not a regular file"},
		{name: "empty: the writer may be about to fill it", path: path("empty", ""), temporary: true, err: "empty or missing token"},
		{name: "header of a JSON Web Token", path: path("header", "eyJ"+canary), temporary: true, err: "ends in the middle"},
		{name: "header and claims of one", path: path("claims", "eyJ"+canary+".x"), temporary: true, err: "ends in the middle"},
		{name: "half a JSON document", path: path("half", `{"t":"`+canary), field: "t", temporary: true, err: "ends in the middle"},
		{name: "other content will not get better", path: path("lines", canary+"\n"+canary), err: "more than one line"},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // so that reading again takes no time
				_, err := subjecttoken.File{Path: row.path, JSONField: row.field}.SubjectToken(t.Context())
				e := refused(t, err, row.err, "file "+row.path)
				if e.Temporary != row.temporary {
					t.Errorf("Temporary = %v, want %v", e.Temporary, row.temporary)
				}
				if n := strings.Count(err.Error(), row.path); n != 1 {
					t.Errorf("error %q names the path %d times", err, n)
				}
				if row.is != nil && !errors.Is(err, row.is) {
					t.Errorf("error %v is not %v", err, row.is)
				}
			})
		})
	}
}

func TestFileOpaqueTokenThatLooksLikeJWT(t *testing.T) {
	file := subjecttoken.File{Path: tempFile(t, "eyJvcGFxdWUiOjF9"), Type: subjecttoken.TypeAccessToken}
	if got, err := file.SubjectToken(t.Context()); err != nil || got.Value != "eyJvcGFxdWUiOjF9" {
		t.Errorf("SubjectToken() = %q, %v; the type says that it is no JSON Web Token", got.Value, err)
	}
}

func TestFileContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := subjecttoken.File{Path: tempFile(t, "token")}.SubjectToken(ctx)
	if e := refused(t, err, "not read"); !errors.Is(e, context.Canceled) || e.Temporary {
		t.Errorf("error %v (temporary: %v) is not context.Canceled, for good", err, e.Temporary)
	}
}

// Cancelling ends the wait for a writer.
func TestFileContextWhileWaiting(t *testing.T) {
	path := tempFile(t, "")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := subjecttoken.File{Path: path}.SubjectToken(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 12*time.Millisecond {
			t.Errorf("error %v after %v, want context.DeadlineExceeded after 12ms", err, time.Since(start))
		}
	})
}

// A writer that truncates, waits and writes is waited for.
func TestFileUnfinished(t *testing.T) {
	for _, row := range []struct{ name, before, after, field string }{
		{name: "truncated", before: "", after: jwt},
		{name: "first half", before: jwt[:30], after: jwt},
		{name: "first half of JSON", before: `{"t":"`, after: `{"t":"` + jwt + `"}`, field: "t"},
		{name: "not yet there", after: jwt},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := tempFile(t, row.before)
			if row.name == "not yet there" {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				time.AfterFunc(12*time.Millisecond, func() { writeFile(t, path, row.after) })
				got, err := subjecttoken.File{Path: path, JSONField: row.field}.SubjectToken(t.Context())
				if err != nil || got.Value != jwt {
					t.Errorf("SubjectToken() = %q, %v; want the finished token", got.Value, err)
				}
			})
		})
	}
}

// Kubernetes replaces a directory of files by swapping a symbolic link to it,
// and removes the old directory. A reader must see the old token or the new
// one, whole.
func TestFileRotation(t *testing.T) {
	rotations, limit := 10_000, 10*time.Second // whichever a machine reaches first
	if testing.Short() {
		rotations = 500
	}
	dir := t.TempDir()
	swap(t, dir, 0)
	done := make(chan struct{})
	written := 0
	go func() {
		defer close(done)
		for start := time.Now(); written < rotations && time.Since(start) < limit; {
			written++
			swap(t, dir, written)
		}
	}()
	file := subjecttoken.File{Path: filepath.Join(dir, "token")}
	reads, last := 0, -1
	for running := true; running; reads++ {
		select {
		case <-done:
			running = false
		default:
		}
		got, err := file.SubjectToken(t.Context())
		if err != nil {
			t.Fatalf("read %d: %v", reads, err)
		}
		n := -1
		if _, err := fmt.Sscanf(got.Value, "eyJ.%d.end", &n); err != nil || got.Value != rotated(n) {
			t.Fatalf("read %d: got a token that was never written: %q", reads, got.Value)
		}
		if n < last {
			t.Fatalf("read %d: token %d after token %d", reads, n, last)
		}
		last = n
	}
	if last != written {
		t.Errorf("the last read had token %d, want %d", last, written)
	}
	t.Logf("%d reads of %d rotations", reads, written)
}

func rotated(i int) string { return fmt.Sprintf("eyJ.%d.end", i) }

// swap makes dir/token, a link to dir/..data/token, hold rotated(i), as the
// kubelet does: a new directory, a link to it, a rename over the old link.
func swap(t *testing.T, dir string, i int) {
	data, name := filepath.Join(dir, "..data"), fmt.Sprintf("..%d", i)
	err := errors.Join(
		os.Mkdir(filepath.Join(dir, name), 0o700),
		os.WriteFile(filepath.Join(dir, name, "token"), []byte(rotated(i)), 0o600),
		os.Symlink(name, data+"_tmp"),
		os.Rename(data+"_tmp", data),
	)
	if i == 0 {
		err = errors.Join(err, os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "token")))
	} else {
		old := filepath.Join(dir, fmt.Sprintf("..%d", i-1))
		err = errors.Join(err, os.Remove(filepath.Join(old, "token")), os.Remove(old))
	}
	if err != nil {
		t.Error(err)
	}
}
