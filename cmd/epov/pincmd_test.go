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

// pinStand is a faulty token, and epov with its command line for it.
type pinStand struct {
	*softhsm.Faulty
	t     *testing.T
	dir   string
	token []string
	pins  []string // that nobody may see
}

func newPINStand(t *testing.T) *pinStand {
	soft := softhsm.NewFaulty(t)
	dir := t.TempDir()
	return &pinStand{soft, t, dir, []string{"--module", soft.Module, "--token", soft.Label, "--state-dir", filepath.Join(dir, "state")},
		[]string{soft.PIN, soft.SOPIN}}
}

// file writes a PIN to a file.
func (s *pinStand) file(name, pin string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(pin), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.pins = append(s.pins, pin)
	return path
}

// run runs epov, which must end with this code and say this; a command takes the token's flags.
func (s *pinStand) run(code int, want, command string, args ...string) {
	s.t.Helper()
	cmd := exec.Command("epov", append(append(strings.Fields(command), s.token...), args...)...)
	if strings.HasPrefix(command, "pin unseal-test") {
		cmd = exec.Command("epov", append(strings.Fields(command), args...)...)
	}
	out, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
		s.t.Errorf("%v: exit code %d, want %d with %q; said %s", cmd.Args, got, code, want, out)
	}
	for _, pin := range s.pins {
		if len(pin) > 4 && strings.Contains(string(out), pin) {
			s.t.Errorf("%v tells a PIN: %s", args, out)
		}
	}
}

// A PIN is changed and sealed, and sealed again when the machine has changed.
func TestPINCommands(t *testing.T) {
	s, tpm := newPINStand(t), swtpm.New(t)
	old, next, wrong := s.file("old", s.PIN), s.file("new", "changed-9137"), s.file("wrong", "surely-wrong")
	sealed := filepath.Join(s.dir, "sealed")

	// What the token refuses is neither sealed nor tried again.
	for _, text := range []string{"CKR_PIN_INCORRECT", "has refused this PIN before"} {
		s.run(1, text, "pin seal", "--device", tpm.Socket, "-o", sealed, "--pin-file", wrong)
	}
	s.run(1, "has refused this PIN before", "pin change", "--pin-file", wrong, "--new-pin-file", next)
	if _, err := os.Stat(sealed); err == nil || s.Calls("C_Login") != 1 || s.Calls("C_SetPIN") != 0 {
		t.Error("a wrong PIN was sealed or tried again")
	}

	s.run(1, "outside the token's", "pin change", "--pin-file", old, "--new-pin-file", s.file("short", "1"))
	s.run(0, "still holds the old PIN: replace it", "pin change", "--pin-file", old, "--new-pin-file", next)
	s.run(1, "CKR_PIN_INCORRECT", "key list", "--pin-file", old)
	s.run(0, "NAME", "key list", "--pin-file", next)
	// The right PIN cleared the record of the old one, which may be the right one again.
	s.run(0, "changed the user PIN", "pin change", "--pin-file", next, "--new-pin-file", old)
	s.run(0, "NAME", "key list", "--pin-file", old)

	tpm.Extend(7, "secure boot")
	s.run(0, "nothing was measured into PCR 11 on", "pin seal", "--device", tpm.Socket, "--pcrs", "7,11", "-o", sealed, "--pin-file", old)
	s.run(2, "--force replaces it", "pin seal", "--device", tpm.Socket, "-o", sealed, "--pin-file", old)
	s.run(0, "sealed on", "pin unseal-test", "--device", tpm.Socket, sealed)
	tpm.Extend(11, "an update")
	s.run(1, "PCR 11 changed", "pin unseal-test", "--device", tpm.Socket, sealed)
	s.run(0, "to PCR 7, 11", "pin seal", "--force", "--device", tpm.Socket, "--pcrs", "7,11", "-o", sealed, "--pin-file", old)
	s.run(0, "sealed on", "pin unseal-test", "--device", tpm.Socket, sealed)
	s.run(1, "PCRs are numbered", "pin seal", "--device", tpm.Socket, "--pcrs", "70", "-o", sealed, "--pin-file", old, "--force")
	tpm.Stop()
	s.run(1, "no TPM to use", "pin unseal-test", "--device", tpm.Socket, sealed)
	if err := os.Chmod(sealed, 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(1, "lets others in", "pin unseal-test", "--device", tpm.Socket, sealed)
}

// What the token says of its PINs, and how an officer helps.
func TestPINsOutOfOrder(t *testing.T) {
	s := newPINStand(t)
	pin, next, wrong := s.file("pin", s.PIN), s.file("new", "changed-9137"), s.file("wrong", "surely-wrong")
	officer, noOfficer := s.file("officer", s.SOPIN), s.file("no-officer", "no-officer-1")

	s.Set("flags 0x80000")
	s.run(1, "changed first: epov pin change", "key list", "--pin-file", pin)
	s.run(0, "changed the user PIN", "pin change", "--pin-file", pin, "--new-pin-file", next)

	s.Set("flags 0x30000")
	s.run(1, "not spent without an operator", "key list", "--pin-file", next)
	s.run(0, "NAME", "key list", "--pin-file", next, "--final-try")

	s.Set("pin-tries 1")
	s.run(1, "one try", "key list", "--pin-file", wrong)
	s.run(1, "CKR_PIN_INCORRECT", "key list", "--pin-file", wrong, "--final-try")
	s.run(1, "is locked; the security officer unlocks it: epov pin reset", "key list", "--pin-file", next, "--final-try")
	before := s.Calls("C_Login")
	for _, text := range []string{"CKR_PIN_INCORRECT", "has refused this PIN before"} {
		s.run(1, text, "pin reset", "--so-pin-file", noOfficer, "--new-pin-file", pin)
	}
	if n := s.Calls("C_Login") - before; n != 1 {
		t.Errorf("a wrong PIN of the officer was tried %d times", n)
	}
	// What was wrong before is the right one now, and the record knows.
	s.run(0, "set the user PIN", "pin reset", "--so-pin-file", officer, "--new-pin-file", wrong)
	s.run(0, "NAME", "key list", "--pin-file", wrong, "--final-try")

	// Erasing takes the officer's PIN too.
	s.Set()
	erase := []string{"token", "init", "--module", s.Module, "--label", "anew", "--reinitialize", s.Label, "--pin-file", pin,
		"--state-dir", filepath.Join(s.dir, "state"), "--so-pin-file"}
	for _, test := range []struct{ file, want string }{
		{s.file("wrong-officer", "no-officer-2"), "CKR_PIN_INCORRECT"}, {noOfficer, "CKR_PIN_INCORRECT"},
		{noOfficer, "has refused this PIN before"}, {officer, "initialised token anew"},
	} {
		before := s.Calls("C_InitToken")
		out, _ := exec.Command("epov", append(erase, test.file)...).CombinedOutput()
		if !strings.Contains(string(out), test.want) {
			t.Errorf("%s, want %q", out, test.want)
		}
		if tried := s.Calls("C_InitToken") - before; tried != 1 && !strings.Contains(test.want, "before") {
			t.Errorf("%d tries", tried)
		}
	}
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
