package hsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// CheckStateDir tells why a tool should not log in with this state directory: it belongs to another user, or would be made in a
// folder of another user's, and the service would be locked out of it. Files that root writes into a directory that is there are
// given to its owner.
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
	if ok && int(st.Uid) != os.Geteuid() && (os.Geteuid() != 0 || at != dir) {
		return &Error{Kind: Config, Op: "use the state directory",
			Err: fmt.Errorf("%s belongs to user %d; run this as that user (sudo -u '#%d' …), else the service is locked out", at,
				st.Uid, st.Uid)}
	}
	return nil
}
