package sandbox

import (
	"fmt"
	"maps"
	"os"
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

	// What the kernel's headers have and package unix has not: linux/ioprio.h, asm/sockios.h.
	ioprioWhoProcess = 1
	fiosetown        = 0x8901

	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME
)

// families of sockets, by the name that configurations use.
var families = map[string]uint32{
	"unix": unix.AF_UNIX, "inet": unix.AF_INET, "inet6": unix.AF_INET6, "netlink": unix.AF_NETLINK,
}

// Families are the names of families of sockets that filters know.
func Families() []string { return slices.Sorted(maps.Keys(families)) }

// Denying is a filter for this process that refuses what no library of others should need, among it other processes: to start
// them, to signal them and to change how they run. So it does sockets but of the families named, some of [Families]; what it does
// not know it lets pass.
func Denying(sockets []string) Filter { return denying(sockets, uint32(os.Getpid())) }

func denying(sockets []string, pid uint32) Filter {
	b := builder{}
	b.begin()
	for _, number := range denied {
		b.when(equal, uint32(number), verdict(refuse))
	}
	b.alone(pid)
	b.narrow(sockets, unix.PR_SET_PDEATHSIG) // which ends it with its parent
	b.add(verdict(allow))
	return b.program
}

// alone leaves a process nobody but itself. A process that it left behind would outlive it with its memory; and what the kernel lets
// processes of one user do to each other, by signals, limits (prlimit) and places in the queue for processors, ends or stops the
// service. Landlock keeps signals alone, from ABI 6 on.
func (b *builder) alone(pid uint32) {
	b.when(equal, unix.SYS_CLONE, argument(0),
		unix.SockFilter{Code: anyBit, Jf: 2, K: unix.CLONE_THREAD},
		unix.SockFilter{Code: anyBit, Jt: 1, K: namespaces}, verdict(allow), verdict(refuse))
	self := func(call uint32, at int) {
		b.when(equal, call, argument(at), unix.SockFilter{Code: equal, Jt: 2, K: pid}, unix.SockFilter{Code: equal, Jt: 1, K: 0},
			verdict(refuse), verdict(allow))
	}
	// The process leads a group of itself, which 0 stands for.
	for _, call := range []uint32{unix.SYS_KILL, unix.SYS_TGKILL, unix.SYS_RT_SIGQUEUEINFO, unix.SYS_RT_TGSIGQUEUEINFO,
		unix.SYS_PRLIMIT64, unix.SYS_SCHED_SETAFFINITY, unix.SYS_SCHED_SETPARAM, unix.SYS_SCHED_SETSCHEDULER, unix.SYS_SCHED_SETATTR} {
		self(call, 0)
	}
	for _, c := range []struct{ call, process uint32 }{{unix.SYS_SETPRIORITY, unix.PRIO_PROCESS}, {unix.SYS_IOPRIO_SET, ioprioWhoProcess}} {
		b.when(equal, c.call, argument(0), unix.SockFilter{Code: equal, Jf: 3, K: c.process},
			argument(1), unix.SockFilter{Code: equal, Jt: 2, K: pid}, unix.SockFilter{Code: equal, Jt: 1, K: 0},
			verdict(refuse), verdict(allow))
	}
	// Who is told of a descriptor's state, by any signal.
	b.when(equal, unix.SYS_FCNTL, argument(1), unix.SockFilter{Code: equal, Jt: 3, K: unix.F_SETOWN_EX},
		unix.SockFilter{Code: equal, Jf: 3, K: unix.F_SETOWN}, argument(2), unix.SockFilter{Code: equal, Jt: 1, K: pid},
		verdict(refuse), verdict(allow))
}

// narrow looks at the arguments of calls that are needed in part. What it lets pass is allowed; of prctl it refuses more controls.
func (b *builder) narrow(sockets []string, controls ...uint32) {
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
	body := []unix.SockFilter{argument(0)}
	for _, control := range append(controls, unix.PR_SET_PTRACER) {
		body = append(body, unix.SockFilter{Code: equal, Jf: 1, K: control}, verdict(refuse))
	}
	b.when(equal, unix.SYS_PRCTL, append(body, unix.SockFilter{Code: equal, Jf: 3, K: unix.PR_SET_DUMPABLE}, argument(1),
		unix.SockFilter{Code: equal, Jt: 1, K: 0}, verdict(refuse), verdict(allow))...)
	// TIOCSTI and TIOCLINUX type into a terminal; the others are F_SETOWN by another name.
	b.when(equal, unix.SYS_IOCTL, argument(1),
		unix.SockFilter{Code: equal, Jt: 3, K: unix.TIOCSTI}, unix.SockFilter{Code: equal, Jt: 2, K: unix.TIOCLINUX},
		unix.SockFilter{Code: equal, Jt: 1, K: fiosetown}, unix.SockFilter{Code: equal, Jf: 1, K: unix.SIOCSPGRP},
		verdict(refuse), verdict(allow))
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
