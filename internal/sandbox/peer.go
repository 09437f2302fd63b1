package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// soPeerPIDFD is SO_PEERPIDFD of socket(7), Linux 6.5.
const soPeerPIDFD = 77

// Insider reports whether the process that opened the other end of a connected Unix socket is one that this process has confined
// further, such as a module's, or a child of such a one. They have this process's user, and their own can tell nothing from them;
// but what a filter is put on keeps it, and so do all its children. A process that has a filter more than this one is an
// insider; when strict, so is one with as many: it was started by this process.
//
// Who is gone by now counts as an insider, for nobody can say what it was.
func Insider(socket int, strict bool) (bool, error) {
	who, err := unix.GetsockoptUcred(socket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return true, fmt.Errorf("peer of a socket: %w", err)
	}
	own, err := filters(os.Getpid())
	if err != nil {
		return true, err
	}
	its, err := filters(int(who.Pid))
	if err != nil {
		return true, err
	}
	// The number could by now be another process's, unless the one that connected still lives.
	if fd, err := unix.GetsockoptInt(socket, unix.SOL_SOCKET, soPeerPIDFD); err == nil {
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); err == unix.ESRCH {
			return true, nil
		}
	}
	return its > own || strict && its == own, nil
}

// filters counts the filters that a process is under. A kernel that does not count them (before 5.9) says whether there are any.
func filters(pid int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	count := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch n, err := strconv.Atoi(strings.TrimSpace(value)); {
		case name == "Seccomp_filters" && err == nil:
			return n, nil
		case name == "Seccomp" && err == nil:
			count = min(n, 1)
		}
	}
	return count, nil
}
