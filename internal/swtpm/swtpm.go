// Package swtpm runs software TPMs for tests. They are swtpm's, a program of its own, and so no work of this project.
package swtpm

import (
	"bytes"
	"crypto/sha256"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/epov-signer/epov/internal/oracle"
)

// TPM is a running software TPM, ended with the test.
type TPM struct {
	Socket string // for commands

	tb  testing.TB
	dir string
	cmd *exec.Cmd
	log bytes.Buffer // complete after Stop
}

// New makes a TPM and starts it. Without swtpm the test skips, or fails with EPOV_REQUIRE=1.
func New(tb testing.TB) *TPM {
	tb.Helper()
	if _, err := exec.LookPath("swtpm"); err != nil {
		oracle.Missing(tb, "swtpm")
	}
	dir, err := os.MkdirTemp("", "swtpm") // absolute, as swtpm wants it, and short, as sockets do
	if err != nil {
		tb.Fatal(err)
	}
	t := &TPM{Socket: filepath.Join(dir, "socket"), tb: tb, dir: dir}
	tb.Cleanup(func() {
		t.Stop()
		_ = os.RemoveAll(dir)
	})
	t.Start()
	return t
}

// Start starts a TPM that was stopped, as a boot does: its PCRs are empty, its keys are what they were.
func (t *TPM) Start() {
	t.tb.Helper()
	_ = os.Remove(t.Socket)
	t.cmd = exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+t.dir, "--server", "type=unixio,path="+t.Socket,
		"--flags", "not-need-init,startup-clear")
	t.cmd.Stdout, t.cmd.Stderr = &t.log, &t.log
	if err := t.cmd.Start(); err != nil {
		t.tb.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", t.Socket)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			t.Stop()
			t.tb.Fatalf("swtpm does not listen: %v\n%s", err, t.log.String())
		}
	}
}

// Stop ends the TPM, as a loss of power does.
func (t *TPM) Stop() {
	if t.cmd == nil {
		return
	}
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait()
	t.cmd = nil
}

// Extend changes a PCR.
func (t *TPM) Extend(pcr int, event string) {
	t.tb.Helper()
	sum := sha256.Sum256([]byte(event))
	execute(t, tpm2.PCRExtend{
		PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests:   tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: sum[:]}}},
	})
}

// Clear forgets all keys, as a new owner's firmware setup does.
func (t *TPM) Clear() {
	t.tb.Helper()
	execute(t, tpm2.Clear{AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHLockout, Auth: tpm2.PasswordAuth(nil)}})
}

// SetOwnerPassword gives the owner hierarchy a password.
func (t *TPM) SetOwnerPassword(password string) {
	t.tb.Helper()
	execute(t, tpm2.HierarchyChangeAuth{
		AuthHandle: tpm2.AuthHandle{Handle: tpm2.TPMRHOwner, Auth: tpm2.PasswordAuth(nil)},
		NewAuth:    tpm2.TPM2BAuth{Buffer: []byte(password)},
	})
}

func execute[R any](t *TPM, command tpm2.Command[R, *R]) {
	t.tb.Helper()
	d, err := linuxudstpm.Open(t.Socket)
	if err != nil {
		t.tb.Fatal(err)
	}
	defer d.Close()
	if _, err := command.Execute(d); err != nil {
		t.tb.Fatalf("swtpm: %v", err)
	}
}
