package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/processes"
	"github.com/epov-signer/epov/softhsm"
)

// TestMain lets the test binary be epovd, so that a whole process can be looked at.
func TestMain(m *testing.M) {
	hsm.WorkerMain()
	if told := os.Getenv(intruder); told != "" {
		intrude(told)
		return
	}
	if os.Getenv("EPOVD_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func epovd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "EPOVD_TEST_MAIN=1")
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// plant provisions a token with one key and returns a configuration for it, and its PIN.
func plant(t *testing.T) (config, pin string) {
	t.Helper()
	soft := softhsm.New(t)
	return plantOn(t, soft, "{file: pin}"), soft.PIN
}

// plantOn takes the token, and what the configuration says of its PIN.
func plantOn(t *testing.T, soft *softhsm.Token, pin string) (config string) {
	t.Helper()
	dir := t.TempDir()
	token, err := hsm.Open(t.Context(), hsm.TokenConfig{
		Module: soft.Module, Label: soft.Label, PIN: hsm.PINValue(hsm.NewPIN([]byte(soft.PIN))),
		StateDir: filepath.Join(dir, "provisioning"),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.GenerateKey(t.Context(), "EXMP01/ov/1", gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A")); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	config = filepath.Join(dir, "epovd.yaml")
	write(t, filepath.Join(dir, "pin"), soft.PIN)
	write(t, config, fmt.Sprintf(`
listen: 127.0.0.1:0
insecure: true
tokens: [{name: main, module: %q, label: %q, pin: %s, state_dir: state, sandbox: {write: [%q, %q]}}]
keys: [{name: keys/EXMP01/ov, primary: 1, versions: [{version: 1, token: main}]}]
roles: [{name: look, allow: [{keys: [keys/*], operations: [list]}]}]
clients: [{name: local, anyone: true, roles: [look]}]
log: {level: debug, format: text}
`, soft.Module, soft.Label, pin, filepath.Dir(soft.Module), filepath.Dir(soft.Conf)))
	return config
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCommandLine(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	write(t, wrong, "listen: 127.0.0.1:0\ncolour: red\n")
	for _, tc := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-version"}, exitOK, "epovd "},
		{[]string{"-help"}, exitOK, "-check"},
		{[]string{"-colour"}, exitConfig, "-colour"},
		{[]string{"serve"}, exitConfig, `unexpected argument "serve"`},
		{[]string{"-check", "-config", "/nonexistent/epovd.yaml"}, exitConfig, "/nonexistent/epovd.yaml: open"},
		{[]string{"-check", "-config", wrong}, exitConfig, wrong + `:2:1: unknown setting "colour"`},
		{[]string{"-config", wrong}, exitConfig, wrong + ":1:1: tokens: is missing"},
	} {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			out, err := epovd(t, tc.args...).CombinedOutput()
			if code := exitCode(t, err); code != tc.code || !strings.Contains(string(out), tc.want) {
				t.Errorf("exit code %d, want %d; said %s", code, tc.code, out)
			}
		})
	}
}

// The process is hardened on every thread, keeps the PIN to itself, and stops when told to.
func TestProcess(t *testing.T) {
	config, pin := plant(t)
	if out, err := epovd(t, "-config", config, "-check").CombinedOutput(); err != nil || !strings.HasSuffix(string(out), "\nOK\n") {
		t.Fatalf("check: %v\n%s", err, out)
	}
	p := startDaemon(t, config)
	cmd := p.cmd
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	tasks, err := filepath.Glob(proc + "task/*/status")
	if err != nil || len(tasks) < 2 {
		t.Fatal(tasks, err, p.log.String())
	}
	for _, task := range tasks {
		status := read(t, task)
		const no = ":\t0000000000000000"
		for _, want := range []string{"NoNewPrivs:\t1", "Umask:\t0077", "Seccomp:\t2", "CapInh" + no, "CapPrm" + no,
			"CapEff" + no, "CapAmb" + no} {
			if !strings.Contains(status, want) {
				t.Errorf("%s lacks %s:\n%s", task, want, status)
			}
		}
		if os.Geteuid() == 0 && !strings.Contains(status, "CapBnd"+no) { // others cannot drop what they do not have
			t.Errorf("%s:\n%s", task, status)
		}
	}
	if limits := strings.Fields(after(read(t, proc+"limits"), "Max core file size")); len(limits) < 2 ||
		limits[0] != "0" || limits[1] != "0" {
		t.Errorf("core dumps are limited to %v", limits)
	}
	// A process that is not dumpable belongs to root in /proc, whoever runs it.
	if info, err := os.Stat(proc + "environ"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("dumpable", err)
	}
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(proc + name)
		if err != nil && !(name == "environ" && os.IsPermission(err)) { // which only root may read
			t.Error(err)
		}
		if bytes.Contains(data, []byte(pin)) {
			t.Errorf("the PIN is in %s", name)
		}
	}
	// The module runs in children, of which there are one at work and a spare; the daemon itself has not seen the PIN.
	workers := processes.Children(cmd.Process.Pid)
	if len(workers) == 0 {
		t.Error("the module has no process of its own")
	}
	for _, pid := range workers {
		status := read(t, fmt.Sprintf("/proc/%d/status", pid))
		if !strings.Contains(status, "NoNewPrivs:\t1") || !strings.Contains(status, "Seccomp:\t2") ||
			!strings.Contains(status, "CapEff:\t0000000000000000") {
			t.Errorf("a worker is not confined:\n%s", status)
		}
	}
	if maps, err := os.ReadFile(proc + "maps"); err != nil && os.Geteuid() == 0 || strings.Contains(string(maps), "softhsm") {
		t.Error("the module is in the daemon itself", err)
	}
	if code, log := p.stop(t); code != exitOK || !strings.Contains(log, "msg=stopped") {
		t.Errorf("exit code %d\n%s", code, log)
	}
	log := p.log.String()
	if strings.Contains(log, pin) {
		t.Error("the PIN is in the log")
	}
	if !strings.Contains(log, "msg=confined in_force=\"landlock (ABI") ||
		!strings.Contains(log, "seccomp, no-new-privileges, no-dump, no-capabilities") {
		oracle.Missing(t, "a kernel with Landlock and seccomp")
	}
	for _, pid := range workers {
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("worker %d is left: %v", pid, err)
		}
	}
	if !strings.Contains(log, "INSECURE") {
		t.Error("nobody warns")
	}
}

// process is a daemon that serves.
type process struct {
	cmd   *exec.Cmd
	log   *await.Log
	ended chan struct{} // when its log ends
}

// startDaemon waits until it serves.
func startDaemon(t *testing.T, config string) *process {
	t.Helper()
	p := &process{epovd(t, "-config", config), &await.Log{}, make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(60*time.Second, func() { _ = p.cmd.Process.Kill() })
	t.Cleanup(func() { timer.Stop(); _ = p.cmd.Process.Kill() })
	serving := make(chan struct{})
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(p.log, lines.Text())
			if strings.Contains(lines.Text(), "msg=serving") {
				close(serving)
			}
		}
	}()
	select {
	case <-serving:
	case <-p.ended:
		t.Fatal(p.log.String())
	}
	return p
}

// stop ends it in order.
func (p *process) stop(t *testing.T) (code int, log string) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	return exitCode(t, p.cmd.Wait()), p.log.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func after(s, mark string) string {
	_, s, _ = strings.Cut(s, mark)
	return s
}

// A token that is not there stops nothing: the service waits for it.
func TestTokenMissing(t *testing.T) {
	config, _ := plant(t)
	write(t, config, strings.Replace(read(t, config), "label: ", "serial: gone, label: ", 1))
	served, code, log := start(t, config)
	if !served || code != exitOK || !strings.Contains(log, "token is away") {
		t.Errorf("served %v, exit code %d: %s", served, code, log)
	}
}

// A refused PIN and a wrong configuration end in exit codes of their own.
func TestExitCodes(t *testing.T) {
	config, pin := plant(t)
	fail := func(want int, old, replacement string) {
		t.Helper()
		changed := config + ".changed"
		write(t, changed, strings.Replace(read(t, config), old, replacement, 1))
		cmd := epovd(t, "-config", changed)
		timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		out, err := cmd.CombinedOutput()
		if code := exitCode(t, err); code != want {
			t.Errorf("%s: exit code %d, want %d\n%s", replacement, code, want, out)
		}
		if bytes.Contains(out, []byte(pin)) || bytes.Contains(out, []byte("wrongpin1")) {
			t.Errorf("the PIN is in the log")
		}
	}
	fail(exitConfig, "{version: 1, token: main}", "{version: 1, token: main, id: EXMP01/ov/9}")
	fail(exitConfig, "pin: {file: pin}", "pin: {descriptor: 199}")
	fail(exitConfig, "state_dir: state", "state_dir: pin")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fail(exitRuntime, "listen: 127.0.0.1:0", "listen: "+taken.Addr().String()+"\naudit: {directory: log, name: epov.test/one}")
	fail(exitConfig, "listen: 127.0.0.1:0", "listen: 127.0.0.1:0\naudit: {directory: log, name: epov.test/two}")
	write(t, filepath.Join(filepath.Dir(config), "wrong"), "wrongpin1")
	fail(exitPIN, "pin: {file: pin}", "pin: {file: wrong}")
	fail(exitPIN, "pin: {file: pin}", "pin: {file: wrong}")
}

// Told to stop while a token is being opened, here for want of its PIN, it stops as if it had served.
func TestStopWhileStarting(t *testing.T) {
	config, _ := plant(t)
	changed := config + ".changed"
	write(t, changed, strings.Replace(read(t, config), "pin: {file: pin}", "pin: {descriptor: 3}", 1))
	pin, silent, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pin.Close()
	defer silent.Close()
	cmd := epovd(t, "-config", changed)
	cmd.ExtraFiles = []*os.File{pin}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var log strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "msg=starting") {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code := exitCode(t, cmd.Wait()); code != exitOK || !strings.Contains(log.String(), "stopped before it served") {
		t.Errorf("exit code %d\n%s", code, log.String())
	}
}
