package sandbox

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// mark is the variable by which a program knows that it has started itself once more: the ABI of Landlock that confines it, a
// colon, and why there is none.
const mark = "EPOV_SANDBOX"

// Restart gives up privileges, enters the domain, and starts the program once more. What it takes passes on only to threads
// that a thread starts, and Go has started several by now; the exec keeps the calling thread alone. The process keeps its number,
// environment, and of its descriptors the first three and those that are kept. It returns only to fail, with the process as it
// was but for this thread.
//
// A domain that cannot be entered, or that is nil, keeps nothing from going on; see [Restarted].
func Restart(d *Domain, why string, kept ...int) error {
	runtime.LockOSThread() // and never unlocked, for the thread is not what it was
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := GiveUpPrivileges(); err != nil {
		return err
	}
	abi := 0
	if d != nil {
		if abi, err = d.Enter(); err != nil {
			why = err.Error()
		} else if abi == 0 {
			why = "the kernel has none, or a container forbids it"
		}
	}
	closeAtExec(kept)
	environment := append(os.Environ(), fmt.Sprintf("%s=%d:%s", mark, abi, strings.ReplaceAll(why, "\x00", "")))
	return fmt.Errorf("starting again: %w", syscall.Exec(self, os.Args, environment))
}

// Restarted reports whether this is the program that [Restart] has started, and then what confines its files. It forgets the mark,
// so that the program's own children do not find it.
func Restarted() (files Protection, yes bool) {
	value, yes := os.LookupEnv(mark)
	if !yes {
		return Protection{}, false
	}
	_ = os.Unsetenv(mark)
	files = Protection{Name: Landlock}
	number, why, _ := strings.Cut(value, ":")
	abi, err := strconv.Atoi(number)
	switch {
	case err != nil || abi < 0:
		files.Detail = mark + " in the environment makes no sense"
	case abi == 0:
		files.Detail = why
	case !filesConfined():
		files.Detail = mark + " in the environment tells of Landlock, and the folder / can be read"
	default:
		files.InForce, files.Detail = true, "ABI "+strconv.Itoa(abi)
	}
	return files, true
}

// filesConfined tries something that no domain grants here.
func filesConfined() bool {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return errors.Is(err, unix.EACCES)
}

// closeAtExec has the next exec close all descriptors but the first three and those that are kept.
func closeAtExec(kept []int) {
	kept = append(slices.Sorted(slices.Values(kept)), 1<<31-1)
	first := 3
	for _, fd := range kept {
		if first < fd && unix.CloseRange(uint(first), uint(fd-1), unix.CLOSE_RANGE_CLOEXEC) != nil { // before Linux 5.11
			for i := first; i < min(fd, 1<<16); i++ {
				unix.CloseOnExec(i) // one that is not open is passed over
			}
		}
		first = max(first, fd+1)
	}
}

// Self is what starting the program once more takes: its file, and the loader that its file names.
func Self() []Grant {
	grants := Grants(Execute, "/proc/self/exe")
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return grants
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			if name, err := io.ReadAll(p.Open()); err == nil {
				grants = append(grants, Grant{strings.TrimRight(string(name), "\x00"), Execute})
			}
		}
	}
	return grants
}
