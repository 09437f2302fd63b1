package hsm

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/swtpm"
	"github.com/epov-signer/epov/softhsm"
)

// What can be wrong with a sealed PIN is told apart.
func TestDoctorOfSealedPINs(t *testing.T) {
	soft, machine, other := softhsm.New(t), swtpm.New(t), swtpm.New(t)
	machine.Extend(7, "secure boot")
	file := filepath.Join(t.TempDir(), "sealed")
	seal := func(device, serial string, pcrs ...int) {
		t.Helper()
		data, err := SealPIN(device, pcrs, serial, NewPIN([]byte(soft.PIN)))
		if err == nil {
			err = os.WriteFile(file, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(device, code, text string) {
		t.Helper()
		findings := Examine(t.Context(), Examination{LogIn: code == "pin.accepted", Tokens: []TokenConfig{{
			Module: soft.Module, Label: soft.Label, PIN: PINSealed(file, device), StateDir: filepath.Join(filepath.Dir(file), "state"),
		}}}, slog.New(slog.DiscardHandler))
		f := find(findings, code)
		if f == nil || !strings.Contains(f.Seen, text) {
			t.Errorf("%s with %q is not among %+v", code, text, findings)
		}
		for _, f := range findings {
			if strings.Contains(f.Seen+f.Advice, soft.PIN) {
				t.Errorf("the PIN is in %+v", f)
			}
		}
	}
	seal(machine.Socket, soft.Serial, 7)
	want(machine.Socket, "tpm.unseals", "to PCR 7")
	want(machine.Socket, "pin.accepted", "")
	want(other.Socket, "tpm.foreign", "another TPM")
	want("/nonexistent", "tpm.absent", "no TPM to use")
	machine.Extend(7, "another key")
	want(machine.Socket, "tpm.changed", "PCR 7 changed")
	seal(machine.Socket, "0f00", 7)
	want(machine.Socket, "tpm.other-token", "0f00")
	seal(machine.Socket, soft.Serial, 7, 16)
	want(machine.Socket, "tpm.unmeasured", "PCR 16")
	if err := os.WriteFile(file, []byte(soft.PIN), 0o600); err != nil {
		t.Fatal(err)
	}
	want(machine.Socket, "tpm.foreign", "not one of these")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	want(machine.Socket, "pin.source", "lets others in")
}
