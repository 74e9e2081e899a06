//go:build !unix

package subjecttoken

import (
	"io/fs"
	"os/exec"
	"runtime"
)

const openNonblock = 0

// There are no processes where Go runs inside of a WebAssembly host.
const execSupported = runtime.GOARCH != "wasm"

// ownGroup leaves the command as it is: there are no process groups here, so
// only the command itself is ended with its context.
func ownGroup(*exec.Cmd) {}

// othersMayWrite is false: permission bits say nothing here.
func othersMayWrite(fs.FileInfo) bool { return false }
