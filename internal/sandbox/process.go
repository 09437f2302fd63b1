package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Hide keeps the process from dumping core, and from being traced and looked into by others of its user. It reports whether
// that is so.
func Hide() bool {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	return Hidden()
}

// Hidden reports whether the process neither dumps core nor can be traced by others of its user.
func Hidden() bool {
	core := unix.Rlimit{Cur: 1}
	err := unix.Getrlimit(unix.RLIMIT_CORE, &core)
	dumpable, wrong := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	return err == nil && core.Cur == 0 && core.Max == 0 && wrong == nil && dumpable == 0
}

// GiveUpPrivileges takes from the calling thread all capabilities and the way to new privileges, through setuid programs and
// the like; an exec does not bring them back.
func GiveUpPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if NoCapabilities() { // a service manager's filter of system calls may forbid what follows
		return nil
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // kernels before 4.3 know none
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // takes a capability; the sets below are what counts
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// NoNewPrivileges reports whether the calling thread can gain no privileges.
func NoNewPrivileges() bool {
	set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	return err == nil && set == 1
}

// NoCapabilities reports whether the calling thread has no capabilities.
func NoCapabilities() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	return unix.Capget(&header, &sets[0]) == nil && sets == [2]unix.CapUserData{}
}

// CloseFrom closes the descriptors from first on: what a parent left open by mistake. The Go runtime's own, which are of no type
// of file, stay.
func CloseFrom(first int) {
	const most = 4096
	for fd := first; fd < most; fd++ {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT != 0 {
			_ = unix.Close(fd)
		}
	}
	_ = unix.CloseRange(most, 1<<31-1, 0)
}
