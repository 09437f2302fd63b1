package worker

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are the system calls that no token needs: to run or look into other programs, to change the machine or the
// sandbox, and the parts of the kernel that attacks come through. A list of what is allowed would have to know every
// vendor's library; what is left is confined by Landlock.
var denied = append([]uintptr{
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_KCMP, unix.SYS_PIDFD_GETFD,
	unix.SYS_PIDFD_OPEN, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF,
	unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
	unix.SYS_MOUNT_SETATTR, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_FANOTIFY_INIT,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
	unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE,
	unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT, unix.SYS_ACCT, unix.SYS_SYSLOG,
	unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_LOOKUP_DCOOKIE,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX,
	unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP, unix.SYS_PERSONALITY,
	unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETGROUPS, unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_CAPSET,
	unix.SYS_SECCOMP,
}, deniedHere...)

// Places in struct seccomp_data.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // six words of 64 bits; the lower halves are looked at
)

// Commands of the filter's machine.
const (
	load    = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	greater = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	anyBit  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	finish  = unix.BPF_RET | unix.BPF_K

	kill  = unix.SECCOMP_RET_KILL_PROCESS
	allow = unix.SECCOMP_RET_ALLOW
	// clone3 hides its flags in memory; libraries that find it missing use clone.
	missing = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	refuse  = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	family  = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)

	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
)

// filter is the program that looks at every system call.
func filter(s Sandbox) []unix.SockFilter {
	var p []unix.SockFilter
	add := func(code uint16, k uint32) { p = append(p, unix.SockFilter{Code: code, K: k}) }
	// when adds a condition on the accumulator and, for it, instructions that end in a verdict.
	when := func(code uint16, k uint32, body ...unix.SockFilter) {
		p = append(p, unix.SockFilter{Code: code, Jf: uint8(len(body)), K: k})
		p = append(p, body...)
	}
	verdict := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: finish, K: v} }
	argument := func(i int) unix.SockFilter { return unix.SockFilter{Code: load, K: uint32(dataArgs + 8*i)} }

	families := func(names []string) []unix.SockFilter {
		body := []unix.SockFilter{argument(0)}
		for _, name := range names {
			body = append(body, unix.SockFilter{Code: equal, Jf: 1, K: families[name]}, verdict(allow))
		}
		return append(body, verdict(family))
	}

	add(load, dataArch)
	p = append(p, unix.SockFilter{Code: equal, Jt: 1, K: auditArch}, verdict(kill))
	add(load, dataNumber)
	when(greater, 0x40000000, verdict(kill)) // the x32 calls of amd64, or none
	for _, number := range denied {
		when(equal, uint32(number), verdict(refuse))
	}
	when(equal, unix.SYS_CLONE3, verdict(missing))
	when(equal, unix.SYS_CLONE, argument(0),
		unix.SockFilter{Code: anyBit, Jf: 1, K: namespaces}, verdict(refuse), verdict(allow))
	when(equal, unix.SYS_SOCKET, families(s.Families)...)
	when(equal, unix.SYS_SOCKETPAIR, families([]string{"unix"})...)
	// Of prctl, what would undo hiding: PR_SET_DUMPABLE to another value than 0, and PR_SET_PTRACER.
	when(equal, unix.SYS_PRCTL, argument(0),
		unix.SockFilter{Code: equal, Jf: 1, K: unix.PR_SET_PTRACER}, verdict(refuse),
		unix.SockFilter{Code: equal, Jf: 3, K: unix.PR_SET_DUMPABLE}, argument(1),
		unix.SockFilter{Code: equal, Jt: 1, K: 0}, verdict(refuse), verdict(allow))
	// TIOCSTI types into a terminal.
	when(equal, unix.SYS_IOCTL, argument(1),
		unix.SockFilter{Code: equal, Jf: 1, K: unix.TIOCSTI}, verdict(refuse), verdict(allow))
	add(finish, allow)
	return p
}

// filterCalls puts the filter on all threads of the process.
func filterCalls(s Sandbox) error {
	p := filter(s)
	program := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("seccomp: thread %d cannot be confined", r)
	}
	return nil
}
