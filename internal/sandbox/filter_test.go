package sandbox

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// run is the kernel's machine, as far as the filter uses it: seccomp_data is number, architecture, two words of the
// instruction pointer, and the arguments in halves.
func run(t *testing.T, program Filter, arch, number uint32, arguments ...uint64) uint32 {
	t.Helper()
	data := make([]uint32, 16)
	data[0], data[1] = number, arch
	for i, a := range arguments {
		data[4+2*i], data[5+2*i] = uint32(a), uint32(a>>32)
	}
	var a uint32
	for i := 0; i < len(program); i++ {
		in := program[i]
		var holds bool
		switch in.Code {
		case load:
			a = data[in.K/4]
			continue
		case finish:
			return in.K
		case equal:
			holds = a == in.K
		case greater:
			holds = a >= in.K
		case anyBit:
			holds = a&in.K != 0
		default:
			t.Fatalf("instruction %d is %+v", i, in)
		}
		if holds {
			i += int(in.Jt)
		} else {
			i += int(in.Jf)
		}
	}
	t.Fatal("no verdict")
	return 0
}

func TestDenying(t *testing.T) {
	const own, other = 4242, 1
	none, all := denying(nil, own), denying([]string{"unix", "inet", "inet6", "netlink"}, own)
	if len(all) > unix.BPF_MAXINSNS {
		t.Error("the program is too long:", len(all))
	}
	for _, number := range denied {
		if v := run(t, all, auditArch, uint32(number)); v != refuse {
			t.Errorf("call %d: %#x", number, v)
		}
	}
	for _, tc := range []struct {
		what      string
		program   Filter
		arch      uint32
		number    uint32
		arguments []uint64
		want      uint32
	}{
		{"read", none, auditArch, unix.SYS_READ, nil, allow},
		{"read of another architecture", all, unix.AUDIT_ARCH_I386, unix.SYS_READ, nil, kill},
		{"x32", all, auditArch, 0x40000000 | unix.SYS_READ, nil, kill},
		{"clone3", all, auditArch, unix.SYS_CLONE3, nil, missing},
		{"a thread", all, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_THREAD}, allow},
		{"a namespace", all, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD | unix.CLONE_NEWNET}, refuse},
		{"a process", all, auditArch, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, refuse},
		{"a process in the same memory", all, auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK}, refuse},
		{"signal", none, auditArch, unix.SYS_KILL, []uint64{own}, allow},
		{"signal to another", all, auditArch, unix.SYS_KILL, []uint64{other}, refuse},
		{"signal to all", all, auditArch, unix.SYS_KILL, []uint64{^uint64(0)}, refuse},
		{"signal to a group", all, auditArch, unix.SYS_KILL, []uint64{1<<64 - other}, refuse},
		{"signal to a thread", none, auditArch, unix.SYS_TGKILL, []uint64{own, 4243}, allow},
		{"signal to another's thread", all, auditArch, unix.SYS_TGKILL, []uint64{other, other}, refuse},
		{"signal with a value", all, auditArch, unix.SYS_RT_SIGQUEUEINFO, []uint64{other}, refuse},
		{"limits", none, auditArch, unix.SYS_PRLIMIT64, []uint64{0}, allow},
		{"limits of another", all, auditArch, unix.SYS_PRLIMIT64, []uint64{other}, refuse},
		{"processors", none, auditArch, unix.SYS_SCHED_SETAFFINITY, []uint64{own}, allow},
		{"processors of another", all, auditArch, unix.SYS_SCHED_SETAFFINITY, []uint64{other}, refuse},
		{"be nice", none, auditArch, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 0}, allow},
		{"another be nice", all, auditArch, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, other}, refuse},
		{"all of the user be nice", all, auditArch, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_USER, 0}, refuse},
		{"wait for disks", none, auditArch, unix.SYS_IOPRIO_SET, []uint64{ioprioWhoProcess, own}, allow},
		{"another wait for disks", all, auditArch, unix.SYS_IOPRIO_SET, []uint64{ioprioWhoProcess, other}, refuse},
		{"signals of a descriptor", none, auditArch, unix.SYS_FCNTL, []uint64{3, unix.F_SETOWN, own}, allow},
		{"signals of a descriptor to another", all, auditArch, unix.SYS_FCNTL, []uint64{3, unix.F_SETOWN, other}, refuse},
		{"the same by another name", all, auditArch, unix.SYS_FCNTL, []uint64{3, unix.F_SETOWN_EX, own}, refuse},
		{"the same by a third", all, auditArch, unix.SYS_IOCTL, []uint64{3, unix.SIOCSPGRP}, refuse},
		{"flags of a descriptor", none, auditArch, unix.SYS_FCNTL, []uint64{3, unix.F_SETFL, own}, allow},
		{"outlive the parent", all, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG, 0}, refuse},
		{"unix, not allowed", none, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_UNIX}, family},
		{"unix", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_UNIX}, allow},
		{"inet6", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET6}, allow},
		{"netlink", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK}, allow},
		{"packets", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_PACKET}, family},
		{"vsock", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_VSOCK}, family},
		{"TCP", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_TCP}, allow},
		{"MPTCP", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, protocol},
		{"SCTP", all, auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_SCTP}, protocol},
		{"send", all, auditArch, unix.SYS_SENDTO, []uint64{3, 0, 1, unix.MSG_NOSIGNAL}, allow},
		{"send and connect", all, auditArch, unix.SYS_SENDTO, []uint64{3, 0, 1, unix.MSG_NOSIGNAL | unix.MSG_FASTOPEN}, refuse},
		{"send a message and connect", all, auditArch, unix.SYS_SENDMSG, []uint64{3, 0, unix.MSG_FASTOPEN}, refuse},
		{"send messages and connect", all, auditArch, unix.SYS_SENDMMSG, []uint64{3, 0, 1, unix.MSG_FASTOPEN}, refuse},
		{"a pair", none, auditArch, unix.SYS_SOCKETPAIR, []uint64{unix.AF_UNIX}, allow},
		{"a pair of inet", all, auditArch, unix.SYS_SOCKETPAIR, []uint64{unix.AF_INET}, family},
		{"hide", none, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 0}, allow},
		{"show", all, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 1}, refuse},
		{"be traced", all, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_PTRACER, 1}, refuse},
		{"name a thread", none, auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME, 1}, allow},
		{"type into a terminal", all, auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, refuse},
		{"ask a terminal", none, auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCGWINSZ}, allow},
	} {
		if v := run(t, tc.program, tc.arch, tc.number, tc.arguments...); v != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.what, v, tc.want)
		}
	}
}

// What the service may call, and nothing else. Modules' processes live with both filters.
func TestAllowing(t *testing.T) {
	f := Allowing(Families())
	if len(f) > unix.BPF_MAXINSNS {
		t.Error("the program is too long:", len(f))
	}
	for _, number := range allowed {
		if v := run(t, f, auditArch, uint32(number)); v != allow {
			t.Errorf("call %d: %#x", number, v)
		}
	}
	// Of what modules may not call, the daemon starts their processes and confines them, and waits for its disk.
	for _, number := range denied {
		needed := slices.Contains([]uintptr{unix.SYS_EXECVE, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_TKILL,
			unix.SYS_CAPSET, unix.SYS_SECCOMP, unix.SYS_IO_SETUP}, number) || slices.Contains(forks, number)
		if v := run(t, f, auditArch, uint32(number)); (v == allow) != needed || !needed && v != refuse {
			t.Errorf("call %d: %#x", number, v)
		}
	}
	for _, tc := range []struct {
		what      string
		arch      uint32
		number    uint32
		arguments []uint64
		want      uint32
	}{
		{"read of another architecture", unix.AUDIT_ARCH_I386, unix.SYS_READ, nil, kill},
		{"x32", auditArch, 0x40000000 | unix.SYS_READ, nil, kill},
		{"clone3", auditArch, unix.SYS_CLONE3, nil, missing},
		{"the newest known", auditArch, newest, nil, refuse},
		{"a call of tomorrow", auditArch, newest + 1, nil, missing},
		{"a process", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_VM | unix.CLONE_VFORK}, allow},
		{"a namespace", auditArch, unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER}, refuse},
		{"inet", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET}, allow},
		{"packets", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_PACKET}, family},
		{"MPTCP", auditArch, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP}, protocol},
		{"send and connect", auditArch, unix.SYS_SENDTO, []uint64{3, 0, 1, unix.MSG_FASTOPEN}, refuse},
		{"show", auditArch, unix.SYS_PRCTL, []uint64{unix.PR_SET_DUMPABLE, 1}, refuse},
		{"type into a terminal", auditArch, unix.SYS_IOCTL, []uint64{0, unix.TIOCSTI}, refuse},
	} {
		if v := run(t, f, tc.arch, tc.number, tc.arguments...); v != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.what, v, tc.want)
		}
	}
}
