package worker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// Attempts of the intruder, with what they give in a sandbox with sockets of "unix" and, by port, "inet".
var attempts = []struct {
	what string
	want unix.Errno
	open bool // succeeds without a sandbox, whoever runs the test
}{
	{"read a file", unix.EACCES, true},
	{"make a file", unix.EACCES, true},
	{"make a file where that is allowed", 0, true},
	{"read the parent's memory", unix.EACCES, false},
	{"read the parent's environment", unix.EACCES, false},
	{"read the parent's memory by process_vm_readv", unix.EPERM, false},
	{"trace the parent", unix.EPERM, false},
	{"signal the parent", unix.EPERM, true},
	{"run a program", unix.EPERM, true},
	{"clone into a namespace", unix.EPERM, false},
	{"socket of UNIX", 0, true},
	{"socket of netlink", unix.EAFNOSUPPORT, true},
	{"socket of packets", unix.EAFNOSUPPORT, false},
	{"connect to an allowed port", 0, true},
	{"connect to another port", unix.EACCES, true},
	{"unshare", unix.EPERM, false},
	{"mount", unix.EPERM, false},
	{"io_uring", unix.EPERM, false},
	{"bpf", unix.EPERM, false},
	{"keyctl", unix.EPERM, false},
	{"userfaultfd", unix.EPERM, false},
	{"become dumpable", unix.EPERM, true},
	{"setuid", unix.EPERM, false},
	{"find a descriptor of the parent's", unix.EBADF, false},
	{"core limit is not 0", 0, true},
	{"start a process", unix.EPERM, true},
	{"see the parent's limits", unix.EPERM, true},
	{"set the parent's processors", unix.EPERM, false},
	{"set the parent's priority", unix.EPERM, false},
	{"have the parent told of a descriptor", unix.EPERM, true},
	{"outlive the parent", unix.EPERM, true},
}

func intruder(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		oracle.Missing(t, "a C compiler")
	}
	path := filepath.Join(t.TempDir(), "intruder.so")
	if out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", path, "testdata/intruder.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func port(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// Each prohibition bites, and what is allowed works; without the sandbox the same attempts succeed.
func TestSandbox(t *testing.T) {
	module, secret, allowed := intruder(t), filepath.Join(t.TempDir(), "shadow"), t.TempDir()
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A descriptor that somebody forgot to close in children, of a number that they do not use themselves.
	file, err := unix.Open(secret, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	leak, err := unix.FcntlInt(uintptr(file), unix.F_DUPFD, 200)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	open, other := port(t), port(t)
	for name, value := range map[string]string{
		"SECRET": secret, "ALLOWED": allowed, "DESCRIPTOR": strconv.Itoa(leak),
		"PORT": strconv.Itoa(int(open)), "OTHER_PORT": strconv.Itoa(int(other)),
	} {
		t.Setenv("INTRUDER_"+name, value)
	}
	try := func(s Sandbox) ([]uint, Report) {
		t.Helper()
		_ = os.Remove(secret + ".new")
		supply, err := NewSupply(Options{Module: module, Sandbox: s})
		if err != nil {
			t.Fatal(err)
		}
		defer supply.Close()
		w, err := supply.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer w.Kill(errors.New("done"))
		results, err := w.Slots()
		if err != nil || len(results) != len(attempts) {
			t.Fatal(results, err)
		}
		return results, w.Report()
	}
	results, report := try(Sandbox{Write: []string{allowed}, Families: []string{"unix", "inet"}, Ports: []uint16{open}})
	if report.Landlock < 6 || !report.Seccomp {
		oracle.Missing(t, "a kernel with Landlock of ABI 6 and seccomp")
	}
	for i, a := range attempts {
		if got := unix.Errno(results[i]); got != a.want {
			t.Errorf("%s: %v, want %v", a.what, got, a.want)
		}
	}
	t.Setenv("INTRUDER_TAME", "1")
	results, report = try(Sandbox{Off: true})
	if report.Landlock != 0 || report.Seccomp || len(report.Weak()) != 2 {
		t.Errorf("%+v %q", report, report.Weak())
	}
	for i, a := range attempts {
		if a.open && results[i] != 0 {
			t.Errorf("%s: %v without a sandbox: the attempt proves nothing", a.what, unix.Errno(results[i]))
		}
	}
	if _, err := NewSupply(Options{Module: module, Sandbox: Sandbox{Families: []string{"carrier pigeon"}}}); err == nil {
		t.Error("a family that nobody knows")
	}
}

// The PIN of a file is in the worker's memory alone.
func TestPINIsNotInTheParent(t *testing.T) {
	const names = "WORKER_TEST_PIN_FILE"
	if file := os.Getenv(names); file != "" {
		holdWorker(t, file)
		return
	}
	soft := softhsm.New(t)
	file := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(file, []byte(soft.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	// A fresh process, for this one knows the PIN.
	cmd := exec.Command(os.Args[0], "-test.run=^TestPINIsNotInTheParent$")
	cmd.Env = append(os.Environ(), names+"="+file, "WORKER_TEST_MODULE="+soft.Module, "WORKER_TEST_SERIAL="+soft.Serial,
		"EPOV_TOKEN=")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	buffer := make([]byte, 4096)
	n, err := out.Read(buffer)
	word, rest, _ := strings.Cut(string(buffer[:n]), "\n")
	pid, wrong := strconv.Atoi(word)
	if err != nil || wrong != nil {
		all, _ := io.ReadAll(out)
		t.Fatal(err, wrong, word, rest, string(all))
	}
	// A word of the parent's own shows that the search finds what is there.
	if !inMemory(t, cmd.Process.Pid, []byte(marker)) {
		t.Error("the search does not see the parent's memory")
	}
	if inMemory(t, cmd.Process.Pid, []byte(soft.PIN)) {
		t.Error("the PIN is in the parent's memory")
	}
	if os.Geteuid() == 0 && !inMemory(t, pid, []byte(soft.PIN)) {
		t.Error("the PIN is not even in the worker's memory: the search proves nothing")
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	// With the parent the worker has gone.
	await.True(t, "its end", func() bool { return unix.Kill(pid, 0) != nil })
}

// holdWorker is the fresh process: it logs in through a worker, tells that one's number, and waits.
func holdWorker(t *testing.T, file string) {
	login := pin.Login{Serial: os.Getenv("WORKER_TEST_SERIAL"), StateDir: t.TempDir(), Source: pin.Source{File: file}}
	supply, err := NewSupply(Options{
		Module: os.Getenv("WORKER_TEST_MODULE"), Logins: []pin.Login{login},
		Sandbox: Sandbox{Write: []string{filepath.Dir(os.Getenv("SOFTHSM2_CONF"))}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w, err := supply.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slots, err := w.Slots()
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.OpenSession(slots[0], false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.LogIn(t.Context(), s, slots[0], login); err != nil {
		t.Fatal(err)
	}
	if in, err := w.LoggedIn(s); err != nil || !in {
		t.Fatal(in, err)
	}
	os.Stdout.WriteString(strconv.Itoa(w.PID()) + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0) // as a crash would, without an end in order
}

// inMemory searches all memory of a process that can be read.
func inMemory(t *testing.T, pid int, what []byte) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	const piece = 1 << 20
	buffer := make([]byte, piece+len(what))
	for line := range strings.Lines(string(maps)) {
		bounds, rest, _ := strings.Cut(line, " ")
		from, to, _ := strings.Cut(bounds, "-")
		start, err1 := strconv.ParseUint(from, 16, 63)
		end, err2 := strconv.ParseUint(to, 16, 63)
		if err1 != nil || err2 != nil || !strings.HasPrefix(rest, "r") {
			continue
		}
		for at := start; at < end; at += piece {
			n, _ := mem.ReadAt(buffer[:min(uint64(len(buffer)), end-at)], int64(at))
			if bytes.Contains(buffer[:n], what) {
				return true
			}
		}
	}
	return false
}

// A worker that cannot be confined as demanded is not started.
func TestDemand(t *testing.T) {
	o, _ := options(t, softhsm.NewNoop(t))
	o.Sandbox.Demand = true
	for _, off := range []bool{false, true} {
		o.Sandbox.Off = off
		supply, err := NewSupply(o)
		if err != nil {
			t.Fatal(err)
		}
		w, err := supply.Take(t.Context())
		if off != (err != nil && strings.Contains(err.Error(), "not confined")) {
			t.Errorf("off %v: %v", off, err)
		}
		if w != nil {
			w.Kill(errors.New("done"))
		}
		supply.Close()
	}
}
