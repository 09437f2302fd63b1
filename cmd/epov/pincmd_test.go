package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/swtpm"
	"github.com/epov-signer/epov/softhsm"
)

// A PIN is changed and sealed, and sealed again when the machine has changed.
func TestPINCommands(t *testing.T) {
	soft, tpm := softhsm.NewFaulty(t), swtpm.New(t)
	dir := t.TempDir()
	write := func(name, pin string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(pin), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old, next, wrong := write("old", soft.PIN), write("new", "changed-9137"), write("wrong", "surely-wrong")
	sealed := filepath.Join(dir, "sealed")
	token := []string{"--module", soft.Module, "--token", soft.Label, "--state-dir", filepath.Join(dir, "state")}
	epov := func(code int, want string, args ...string) {
		t.Helper()
		cmd := exec.Command("epov", args...)
		out, _ := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
			t.Errorf("%v: exit code %d, want %d with %q; said %s", args, got, code, want, out)
		}
		for _, pin := range []string{soft.PIN, "changed-9137", "surely-wrong"} {
			if strings.Contains(string(out), pin) {
				t.Errorf("%v tells a PIN: %s", args, out)
			}
		}
	}
	with := func(command string, args ...string) []string {
		return append(append(strings.Fields(command), token...), args...)
	}

	// What the token refuses is neither sealed nor tried again.
	for _, text := range []string{"CKR_PIN_INCORRECT", "has refused this PIN before"} {
		epov(1, text, with("pin seal", "--device", tpm.Socket, "-o", sealed, "--pin-file", wrong)...)
	}
	epov(1, "has refused this PIN before", with("pin change", "--pin-file", wrong, "--new-pin-file", next)...)
	if _, err := os.Stat(sealed); err == nil || soft.Calls("C_Login") != 1 || soft.Calls("C_SetPIN") != 0 {
		t.Error("a wrong PIN was sealed or tried again")
	}

	epov(1, "outside the token's", with("pin change", "--pin-file", old, "--new-pin-file", write("short", "1"))...)
	epov(0, "old one: replace it", with("pin change", "--pin-file", old, "--new-pin-file", next)...)
	epov(1, "CKR_PIN_INCORRECT", with("key list", "--pin-file", old)...)
	epov(0, "NAME", with("key list", "--pin-file", next)...)
	// The right PIN cleared the record of the old one, which may be the right one again.
	epov(0, "changed the user PIN", with("pin change", "--pin-file", next, "--new-pin-file", old)...)
	epov(0, "NAME", with("key list", "--pin-file", old)...)

	epov(0, "to PCR 7, 11", with("pin seal", "--device", tpm.Socket, "--pcrs", "7,11", "-o", sealed, "--pin-file", old)...)
	epov(2, "--force replaces it", with("pin seal", "--device", tpm.Socket, "-o", sealed, "--pin-file", old)...)
	epov(0, "sealed on", "pin", "unseal-test", "--device", tpm.Socket, sealed)
	tpm.Extend(11, "an update")
	epov(1, "PCR 11 changed", "pin", "unseal-test", "--device", tpm.Socket, sealed)
	epov(0, "to PCR 7, 11", with("pin seal", "--force", "--device", tpm.Socket, "--pcrs", "7,11", "-o", sealed, "--pin-file", old)...)
	epov(0, "sealed on", "pin", "unseal-test", "--device", tpm.Socket, sealed)
	epov(1, "PCRs are numbered", with("pin seal", "--device", tpm.Socket, "--pcrs", "70", "-o", sealed, "--pin-file", old, "--force")...)
	tpm.Stop()
	epov(1, "no TPM to use", "pin", "unseal-test", "--device", tpm.Socket, sealed)
	if err := os.Chmod(sealed, 0o644); err != nil {
		t.Fatal(err)
	}
	epov(1, "lets others in", "pin", "unseal-test", "--device", tpm.Socket, sealed)
}

// The new PIN is typed twice, without echo.
func TestPINChangeOnTerminal(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	p := newTerminal(t, nil, "pin", "change", "--module", soft.Module, "--token", soft.Label, "--state-dir", t.TempDir())
	p.expect("Present user PIN: ")
	p.enter(soft.PIN)
	p.expect("New user PIN: ")
	p.enter("typed-secret")
	p.expect("New user PIN again: ")
	p.enter("typed-secret")
	p.expect("changed the user PIN")
	p.wait(exitOK)
	if strings.Contains(p.seen.String(), "secret") || strings.Contains(p.seen.String(), soft.PIN) {
		t.Errorf("the terminal shows a PIN: %q", p.seen.String())
	}
}
