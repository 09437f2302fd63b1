package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/daemon"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/processes"
	"github.com/epov-signer/epov/internal/sandbox"
	"github.com/epov-signer/epov/internal/testpki"
)

// intruder names the variable by which the test binary knows that it is the intruder's, and what the intruder looks for.
const intruder = "EPOVD_TEST_INTRUDER"

// target is what an intruder is told: a file beside the daemon's own, ports, and the configuration.
type target struct {
	Config, Secret string
	Open, Closed   uint16
}

// attempts of somebody who has taken over the daemon, with what they give. Those that are open succeed, whoever runs the test,
// when the configuration does without a sandbox: else a refusal proves nothing.
var attempts = []struct {
	what string
	want unix.Errno
	open bool
	try  func(target) error
}{
	{"read a file", unix.EACCES, true, func(t target) error { return opened(t.Secret, unix.O_RDONLY) }},
	{"list a folder", unix.EACCES, true, func(t target) error { return opened("/", unix.O_RDONLY|unix.O_DIRECTORY) }},
	{"make a file", unix.EACCES, true, func(t target) error { return opened(t.Secret+".new", unix.O_WRONLY|unix.O_CREAT) }},
	{"write its own configuration", unix.EACCES, true, func(t target) error { return opened(t.Config, unix.O_WRONLY) }},
	{"read its own configuration", 0, true, func(t target) error { return opened(t.Config, unix.O_RDONLY) }},
	{"write its own state", 0, true, func(t target) error {
		return opened(filepath.Join(filepath.Dir(t.Config), "state", "new"), unix.O_WRONLY|unix.O_CREAT)
	}},
	{"run a shell", unix.EACCES, true, func(target) error { return exec.Command("/bin/sh", "-c", "true").Run() }},
	{"run what it has written", unix.EACCES, true, func(t target) error {
		name := filepath.Join(filepath.Dir(t.Config), "state", "program")
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o700); err != nil {
			return err
		}
		return exec.Command(name).Run()
	}},
	{"connect to a port", unix.EACCES, true, func(t target) error { return connected(t.Closed) }},
	{"connect to a configured port", 0, true, func(t target) error { return connected(t.Open) }},
	{"connect by MPTCP", unix.EPROTONOSUPPORT, false, func(target) error {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)
		return err
	}},
	{"connect by a message", unix.EPERM, true, func(t target) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, []byte("x"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: int(t.Closed), Addr: [4]byte{127, 0, 0, 1}})
	}},
	{"listen", unix.EACCES, true, func(t target) error { return listened(t.Closed) }},
	{"signal its parent", unix.EPERM, true, func(target) error { return unix.Kill(os.Getppid(), 0) }},
	{"read its parent's memory", unix.EACCES, false, func(target) error {
		return opened(fmt.Sprintf("/proc/%d/mem", os.Getppid()), unix.O_RDONLY)
	}},
	{"read its parent's environment", unix.EACCES, false, func(target) error {
		return opened(fmt.Sprintf("/proc/%d/environ", os.Getppid()), unix.O_RDONLY)
	}},
	{"trace", unix.EPERM, false, func(target) error { return unix.PtraceSeize(os.Getppid()) }},
	{"become dumpable", unix.EPERM, true, func(target) error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"make written memory executable", unix.EACCES, false, func(target) error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"raw socket", unix.EAFNOSUPPORT, false, func(target) error { return made(unix.AF_PACKET) }},
	{"vsock", unix.EAFNOSUPPORT, false, func(target) error { return made(unix.AF_VSOCK) }},
	{"unshare", unix.EPERM, false, func(target) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"mount", unix.EPERM, false, func(target) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") }},
	{"chroot", unix.EPERM, false, func(target) error { return unix.Chroot("/") }},
	{"setuid", unix.EPERM, false, func(target) error { return raw(unix.SYS_SETUID, 0) }},
	{"set the clock", unix.EPERM, false, func(target) error { return raw(unix.SYS_SETTIMEOFDAY, 0) }},
	{"bpf", unix.EPERM, false, func(target) error { return raw(unix.SYS_BPF, 0) }},
	{"io_uring", unix.EPERM, false, func(target) error { return raw(unix.SYS_IO_URING_SETUP, 4) }},
	{"userfaultfd", unix.EPERM, false, func(target) error { return raw(unix.SYS_USERFAULTFD, 1) }},
	{"keyctl", unix.EPERM, false, func(target) error { return raw(unix.SYS_KEYCTL, 0) }},
	{"load a module", unix.EPERM, false, func(target) error { return raw(unix.SYS_FINIT_MODULE, 0) }},
	{"perf_event_open", unix.EPERM, false, func(target) error { return raw(unix.SYS_PERF_EVENT_OPEN, 0) }},
	{"process_vm_readv", unix.EPERM, false, func(target) error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid())) }},
	{"a call of tomorrow", unix.ENOSYS, false, func(target) error { return raw(0x3000, 0) }},
	{"find a descriptor", unix.EBADF, false, func(target) error { return raw(unix.SYS_FCHDIR, 9) }},
	{"start itself, as for a module", 0, true, func(target) error {
		c := exec.Command("/proc/self/exe", "-version")
		c.Env = append(os.Environ(), intruder+"=")
		return c.Run()
	}},
}

func raw(call, argument uintptr) error {
	if _, _, errno := unix.Syscall(call, argument, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func opened(name string, flags int) error {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func made(family int) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func connected(port uint16) error {
	conn, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func listened(port uint16) error {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.2", strconv.Itoa(int(port))))
	if err == nil {
		_ = l.Close()
	}
	return err
}

// intrude is the intruder: confined as the daemon of the configuration is, it makes its attempts and prints their errno.
func intrude(told string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	var t target
	fail(json.Unmarshal([]byte(told), &t))
	fail(daemon.Hide())
	config, err := daemon.Load(t.Config)
	fail(err)
	report, err := config.Confine()
	fail(err)
	results := make([]unix.Errno, len(attempts))
	for i, a := range attempts {
		if errno, ok := unixErrno(a.try(t)); ok {
			results[i] = errno
		} else {
			results[i] = ^unix.Errno(0)
		}
	}
	out, err := json.Marshal(struct {
		Report  sandbox.Report
		Results []unix.Errno
	}{report, results})
	fail(err)
	fmt.Println(string(out))
}

func unixErrno(err error) (unix.Errno, bool) {
	for err != nil {
		if errno, ok := err.(unix.Errno); ok {
			return errno, true
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return 0, false
		}
		err = u.Unwrap()
	}
	return 0, true
}

func listenerPort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// Each prohibition bites somebody who has taken over the daemon, and what the configuration names works.
func TestIntruder(t *testing.T) {
	config, _ := plant(t)
	write(t, config, strings.Replace(read(t, config), "sandbox: {write:", "vendor: softhsm, sandbox: {write:", 1))
	told := target{Config: config, Secret: filepath.Join(t.TempDir(), "shadow"), Open: listenerPort(t), Closed: listenerPort(t)}
	write(t, told.Secret, "secret")
	leak, err := os.Open(told.Secret) // a descriptor that a parent forgot to close
	if err != nil {
		t.Fatal(err)
	}
	defer leak.Close()
	try := func(settings string) (out struct {
		Report  sandbox.Report
		Results []unix.Errno
	}) {
		t.Helper()
		_ = os.Remove(told.Secret + ".new")
		write(t, config, strings.SplitN(read(t, config), "\nsandbox:", 2)[0]+"\nsandbox: "+settings+"\n")
		command, err := json.Marshal(told)
		if err != nil {
			t.Fatal(err)
		}
		cmd := epovd(t)
		cmd.Env = append(cmd.Env, intruder+"="+string(command))
		cmd.ExtraFiles = make([]*os.File, 7)
		cmd.ExtraFiles[6] = leak // number 9
		for i := range 6 {
			cmd.ExtraFiles[i] = os.Stderr
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		data, err := cmd.Output()
		if err != nil {
			t.Fatal(err, stderr.String())
		}
		if err := json.Unmarshal(data, &out); err != nil || len(out.Results) != len(attempts) {
			t.Fatal(err, string(data))
		}
		return out
	}
	confined := try(fmt.Sprintf("{require: [no-dump], ports: [%d]}", told.Open))
	if missing := confined.Report.Lacks([]string{sandbox.Landlock, sandbox.Seccomp, sandbox.ExecutableData}); missing != nil ||
		!strings.Contains(confined.Report.String(), "ABI 6") && !strings.Contains(confined.Report.String(), "ABI 7") {
		oracle.Missing(t, "a kernel with Landlock of ABI 6, seccomp and PR_SET_MDWE")
	}
	for i, a := range attempts {
		if confined.Results[i] != a.want {
			t.Errorf("%s: %v, want %v", a.what, confined.Results[i], a.want)
		}
	}
	open := try("{off: true}")
	if missing := open.Report.Missing(); len(missing) < 2 || missing[0].Name != sandbox.Landlock || missing[1].Name != sandbox.Seccomp {
		t.Errorf("missing without a sandbox: %s", missing)
	}
	for i, a := range attempts {
		if a.open && open.Results[i] != 0 {
			t.Errorf("%s: %v without a sandbox: the attempt proves nothing", a.what, open.Results[i])
		}
	}
}

// A daemon that cannot be confined as its configuration demands does not serve, and says so in its check.
func TestWeak(t *testing.T) {
	config, _ := plant(t)
	whole := read(t, config)
	for _, tc := range []struct {
		settings, want string
		code           int
	}{
		{"sandbox: {off: true, require: [no-dump, locked-memory]}", "", exitOK},
		{"sandbox: {off: true, require: [seccomp]}", "contradicts require", exitConfig},
		{"sandbox: {write: [/]}", "the whole file system", exitConfig},
		{"sandbox: {require: [carrier-pigeon]}", "must be one of landlock, seccomp", exitConfig},
		{"sandbox: {require: [landlock]}", `landlock (not wanted for the module of token "main")`, exitWeak},
	} {
		text := whole
		if tc.code == exitWeak { // a module that was freed of its sandbox takes the daemon's with it
			text = strings.Replace(text, "sandbox: {write:", "sandbox: {off: true, write:", 1)
		}
		write(t, config, text+tc.settings+"\n")
		out, err := epovd(t, "-config", config, "-check").CombinedOutput()
		if code := exitCode(t, err); code != tc.code || !strings.Contains(string(out), tc.want) {
			t.Errorf("%s: exit code %d, want %d; said %s", tc.settings, code, tc.code, out)
		}
		if tc.code != exitWeak {
			continue
		}
		served, code, log := start(t, config)
		if served || code != exitWeak || !strings.Contains(log, "not confined enough") || !strings.Contains(log, "missing: landlock") {
			t.Errorf("served %v, exit code %d: %s", served, code, log)
		}
	}
}

// Who starts the daemon cannot talk it out of its sandbox by pretending that it has entered it.
func TestPretendedSandbox(t *testing.T) {
	config, _ := plant(t)
	write(t, config, read(t, config)+"sandbox: {require: [landlock]}\n")
	for _, mark := range []string{"7:", "x", ""} {
		cmd := epovd(t, "-config", config)
		cmd.Env = append(cmd.Env, "EPOV_SANDBOX="+mark)
		if served, code, log := finish(t, cmd); served || code != exitWeak || !strings.Contains(log, "missing: landlock") {
			t.Errorf("%q: served %v, exit code %d: %s", mark, served, code, log)
		}
	}
}

// Modules' processes are started again while the daemon is confined.
func TestWorkerRestartConfined(t *testing.T) {
	config, _ := plant(t)
	p := startDaemon(t, config)
	for range 3 {
		workers := processes.Children(p.cmd.Process.Pid)
		if len(workers) == 0 {
			t.Fatal("the module has no process of its own", p.log.String())
		}
		for _, pid := range workers {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		await.NoError(t, func() error {
			now, log := processes.Children(p.cmd.Process.Pid), p.log.String()
			if len(now) == 0 || strings.Count(log, "module runs in a process of its own") < 2 ||
				slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(workers, pid) }) {
				return fmt.Errorf("no new worker: %d\n%s", now, log)
			}
			return nil
		})
	}
	if code, log := p.stop(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, log)
	}
}

// The confined daemon fetches lists from where its configuration says, caches them, and notices an exchanged file.
func TestWorkConfined(t *testing.T) {
	config, _ := plant(t)
	dir := filepath.Dir(config)
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(ca.NewCRL(t, testpki.CRL{}))
	}))
	defer site.Close()
	write(t, filepath.Join(dir, "root.pem"), string(testpki.PEM(ca.Certificate)))
	const states = "keys: [{name: keys/EXMP01/ov, primary: 1, versions: [{version: 1, state: active}]}]\n"
	write(t, filepath.Join(dir, "keys.yaml"), states)
	text := read(t, config)
	text = strings.Replace(text, "sandbox: {write:", "vendor: softhsm, sandbox: {write:", 1) // so that ports count
	write(t, config, text+fmt.Sprintf("trust: {anchors: [root.pem], revocation: {fetch: true, private_addresses: true, addresses: [%q], cache: cache/crl}}\n"+
		"key_states: keys.yaml\n", site.URL+"/ca.crl"))
	p := startDaemon(t, config)
	await.True(t, "a list that was fetched", func() bool {
		files, err := filepath.Glob(filepath.Join(dir, "cache", "crl", "*.crl"))
		return err == nil && len(files) == 1
	})
	next := filepath.Join(dir, "next") // another file, which takes the name
	write(t, next, strings.Replace(states, "primary: 1", "primary: 2", 1))
	if err := os.Rename(next, filepath.Join(dir, "keys.yaml")); err != nil {
		t.Fatal(err)
	}
	p.log.Says(t, "key states are not taken over", 1)
	if log := p.log.String(); strings.Contains(log, "permission denied") || strings.Contains(log, "not permitted") {
		t.Error(log)
	}
	if code, log := p.stop(t); code != exitOK {
		t.Errorf("exit code %d\n%s", code, log)
	}
}
