//go:build unix

package subjecttoken

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
)

// openNonblock keeps open from waiting for the writer of a named pipe.
const openNonblock = syscall.O_NONBLOCK

const execSupported = true

// ownGroup makes the command the leader of a process group of its own, and
// ends the whole group when its context does: what a shell script has started
// must not outlive it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}

// othersMayWrite reports whether somebody beside this user and root may change
// the file: it is theirs, or its mode lets them.
func othersMayWrite(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return info.Mode().Perm()&0o022 != 0 || ok && stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
}
