package daemon

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Harden takes from the process what it does not need: new privileges through setuid programs, core dumps, the attention of
// debuggers (a process that is not dumpable cannot be traced by others of its user), and files that others may read. It must
// be the first thing a program does.
//
// A thread's "no new privileges" passes on only to threads that it starts, and Go has started several by now. So the mark is
// set on this thread, and the program starts itself once more: the exec keeps this thread alone, and all later ones are its
// children. The process keeps its number, files and environment.
func Harden() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.Umask(0o077)
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core dumps: %w", err)
	}
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if set == 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no new privileges: %w", err)
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return fmt.Errorf("starting again: %w", syscall.Exec(self, os.Args, os.Environ()))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("core dumps: %w", err)
	}
	return nil
}
