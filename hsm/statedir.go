package hsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckStateDir tells why a tool should not log in with this state directory: the folder, or the nearest one above it that is
// there, belongs to another user, and what the tool writes there would lock the service out. nil when it is the process's own.
func CheckStateDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	at := dir
	info, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(st.Uid) != os.Geteuid() {
		return &Error{Kind: Config, Op: "use the state directory",
			Err: fmt.Errorf("%s belongs to user %d; run this as that user (sudo -u '#%d' …), else the service is locked out", at, st.Uid, st.Uid)}
	}
	return nil
}
