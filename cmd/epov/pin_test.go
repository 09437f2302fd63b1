package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/softhsm"
)

// terminal runs epov on a terminal of its own, and types.
type terminal struct {
	t      *testing.T
	master *os.File
	cmd    *exec.Cmd
	seen   bytes.Buffer
}

func newTerminal(t *testing.T, env []string, args ...string) *terminal {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		oracle.Missing(t, "a pseudo-terminal (/dev/ptmx)")
	}
	master := os.NewFile(uintptr(fd), "ptmx") // non-blocking, so that reads can have deadlines
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	cmd := exec.Command("epov", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, master: master, cmd: cmd}
}

// expect reads until text has appeared.
func (p *terminal) expect(text string) {
	p.t.Helper()
	if err := p.master.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	buf := make([]byte, 1024)
	for !strings.Contains(p.seen.String(), text) {
		n, err := p.master.Read(buf)
		p.seen.Write(buf[:n])
		if err != nil {
			p.t.Fatalf("waiting for %q: %v; seen %q", text, err, p.seen.String())
		}
	}
}

func (p *terminal) enter(line string) {
	p.t.Helper()
	if _, err := p.master.WriteString(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *terminal) wait(code int) {
	p.t.Helper()
	_ = p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("exit code %d, want %d; seen %q", got, code, p.seen.String())
	}
}

func TestPINAskedWithoutEcho(t *testing.T) {
	module := softhsm.Module()
	if module == "" {
		oracle.Missing(t, "SoftHSM with GOST")
	}
	dir := t.TempDir()
	conf, err := softhsm.WriteConf(dir)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"SOFTHSM2_CONF=" + conf, "XDG_STATE_HOME=" + filepath.Join(dir, "state")}

	p := newTerminal(t, env, "token", "init", "--module", module, "--label", "asked")
	p.expect("New security officer's PIN: ")
	p.enter("so-secret")
	p.expect("New security officer's PIN again: ")
	p.enter("so-secret")
	p.expect("New user PIN: ")
	p.enter("user-secret")
	p.expect("New user PIN again: ")
	p.enter("user-secret")
	p.expect("initialised token asked")
	p.wait(exitOK)
	if strings.Contains(p.seen.String(), "secret") {
		t.Errorf("the terminal shows a PIN: %q", p.seen.String())
	}

	// The PIN that was entered is the one that opens the token.
	p = newTerminal(t, env, "key", "list", "--module", module, "--token", "asked")
	p.expect("user PIN: ")
	p.enter("user-secret")
	p.expect("NAME")
	p.wait(exitOK)

	// To erase a token takes the security officer's PIN that it has, which is asked for once.
	p = newTerminal(t, env, "token", "init", "--module", module, "--label", "again", "--reinitialize", "asked")
	p.expect("security officer's PIN: ")
	p.enter("so-secret")
	p.expect("New user PIN: ")
	p.enter("user-secret")
	p.expect("New user PIN again: ")
	p.enter("user-secret")
	p.expect("initialised token again")
	p.wait(exitOK)

	// Two entries that differ change nothing.
	p = newTerminal(t, env, "token", "init", "--module", module, "--label", "other")
	p.expect("PIN: ")
	p.enter("so-secret")
	p.expect("again: ")
	p.enter("so-secrex")
	p.expect("the two entries differ")
	p.wait(exitFailed)
	if strings.Contains(p.seen.String(), "so-") {
		t.Errorf("the terminal shows a PIN: %q", p.seen.String())
	}

	// Interrupted, the program ends and the terminal echoes again.
	p = newTerminal(t, env, "token", "init", "--module", module, "--label", "other")
	p.expect("PIN: ")
	p.enter("\x03")
	p.wait(exitFailed)
	settings, err := unix.IoctlGetTermios(int(p.master.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if settings.Lflag&unix.ECHO == 0 {
		t.Error("the terminal was left without echo")
	}
}

func TestPINWithoutTerminal(t *testing.T) {
	cmd := exec.Command("epov", "token", "init", "--module", "none.so", "--label", "x")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no controlling terminal
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), "give it in a file of mode 0600") {
		t.Errorf("%d: %s", cmd.ProcessState.ExitCode(), out)
	}
}
