package sandbox

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Filter is the program by which the kernel looks at every system call of a process (seccomp).
type Filter []unix.SockFilter

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
	missing  = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	refuse   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	family   = unix.SECCOMP_RET_ERRNO | uint32(unix.EAFNOSUPPORT)
	protocol = unix.SECCOMP_RET_ERRNO | uint32(unix.EPROTONOSUPPORT)

	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
)

// families of sockets, by the name that configurations use.
var families = map[string]uint32{
	"unix": unix.AF_UNIX, "inet": unix.AF_INET, "inet6": unix.AF_INET6, "netlink": unix.AF_NETLINK,
}

// Families are the names of families of sockets that filters know.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// Denying is a filter that refuses what no library of others should need, and sockets but of the families named, some of
// [Families]; what it does not know it lets pass.
func Denying(sockets []string) Filter {
	b := builder{}
	b.begin()
	for _, number := range denied {
		b.when(equal, uint32(number), verdict(refuse))
	}
	b.narrow(sockets)
	b.add(verdict(allow))
	return b.program
}

// narrow looks at the arguments of calls that are needed in part. What it lets pass is allowed.
func (b *builder) narrow(sockets []string) {
	b.when(equal, unix.SYS_CLONE3, verdict(missing))
	b.when(equal, unix.SYS_CLONE, argument(0),
		unix.SockFilter{Code: anyBit, Jf: 1, K: namespaces}, verdict(refuse), verdict(allow))
	b.when(equal, unix.SYS_SOCKET, ofFamilies(sockets)...)
	b.when(equal, unix.SYS_SOCKETPAIR, ofFamilies([]string{"unix"})...)
	// A message that opens a TCP connection passes Landlock by, which looks at connect.
	for _, send := range []struct{ call, flags int }{{unix.SYS_SENDTO, 3}, {unix.SYS_SENDMSG, 2}, {unix.SYS_SENDMMSG, 3}} {
		b.when(equal, uint32(send.call), argument(send.flags),
			unix.SockFilter{Code: anyBit, Jf: 1, K: unix.MSG_FASTOPEN}, verdict(refuse), verdict(allow))
	}
	// Of prctl, what would undo hiding: PR_SET_DUMPABLE to another value than 0, and PR_SET_PTRACER.
	b.when(equal, unix.SYS_PRCTL, argument(0),
		unix.SockFilter{Code: equal, Jf: 1, K: unix.PR_SET_PTRACER}, verdict(refuse),
		unix.SockFilter{Code: equal, Jf: 3, K: unix.PR_SET_DUMPABLE}, argument(1),
		unix.SockFilter{Code: equal, Jt: 1, K: 0}, verdict(refuse), verdict(allow))
	// TIOCSTI and TIOCLINUX type into a terminal.
	b.when(equal, unix.SYS_IOCTL, argument(1),
		unix.SockFilter{Code: equal, Jf: 1, K: unix.TIOCSTI}, verdict(refuse),
		unix.SockFilter{Code: equal, Jf: 1, K: unix.TIOCLINUX}, verdict(refuse), verdict(allow))
}

type builder struct{ program Filter }

func (b *builder) add(in ...unix.SockFilter) { b.program = append(b.program, in...) }

// when adds a condition on the accumulator and, for it, instructions that end in a verdict.
func (b *builder) when(code uint16, k uint32, body ...unix.SockFilter) {
	b.add(unix.SockFilter{Code: code, Jf: uint8(len(body)), K: k})
	b.add(body...)
}

// begin ends processes that call the kernel in the way of another architecture, and loads the number of the call.
func (b *builder) begin() {
	b.add(unix.SockFilter{Code: load, K: dataArch}, unix.SockFilter{Code: equal, Jt: 1, K: auditArch}, verdict(kill))
	b.add(unix.SockFilter{Code: load, K: dataNumber})
	b.when(greater, 0x40000000, verdict(kill)) // the x32 calls of amd64, or none
}

func verdict(v uint32) unix.SockFilter { return unix.SockFilter{Code: finish, K: v} }

func argument(i int) unix.SockFilter { return unix.SockFilter{Code: load, K: uint32(dataArgs + 8*i)} }

// ofFamilies looks at a socket that is asked for. Protocols from SCTP on, MPTCP among them, are refused: Landlock knows ports of TCP
// alone, and what asks for MPTCP takes TCP instead.
func ofFamilies(names []string) []unix.SockFilter {
	body := []unix.SockFilter{argument(2), {Code: greater, Jf: 1, K: unix.IPPROTO_SCTP}, verdict(protocol), argument(0)}
	for _, name := range names {
		if number, known := families[name]; known {
			body = append(body, unix.SockFilter{Code: equal, Jf: 1, K: number}, verdict(allow))
		}
	}
	return append(body, verdict(family))
}

// Install puts the filter on all threads of the process, which need "no new privileges".
func (f Filter) Install() error {
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(f)
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if r != 0 {
		return fmt.Errorf("seccomp: thread %d cannot be confined", r)
	}
	return nil
}
