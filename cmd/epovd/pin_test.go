package main

import (
	"bufio"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/swtpm"
	"github.com/epov-signer/epov/softhsm"
)

// start runs epovd with a configuration until it ends by itself, or serves and is stopped.
func start(t *testing.T, config string, files ...*os.File) (served bool, code int, log string) {
	t.Helper()
	cmd := epovd(t, "-config", config)
	cmd.ExtraFiles = files
	return finish(t, cmd)
}

func finish(t *testing.T, cmd *exec.Cmd) (served bool, code int, log string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Error(err)
		return
	}
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var all strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		all.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "msg=serving") {
			served = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	return served, exitCode(t, cmd.Wait()), all.String()
}

// A service that is started again and again, even many at once, spends one try of a wrong PIN, and goes on with the right one.
func TestRestartsWithWrongPIN(t *testing.T) {
	for _, silent := range []string{"", "pin-silent"} {
		t.Run("flags"+silent, func(t *testing.T) {
			soft := softhsm.NewFaulty(t)
			config := plantOn(t, soft.Token, "{file: pin}")
			logins := soft.Calls("C_Login")
			soft.Set("pin-tries 3", silent)
			pin := filepath.Join(filepath.Dir(config), "pin")
			write(t, pin, "surely-wrong")
			for range 3 {
				served, code, log := start(t, config)
				if served || code != exitPIN || strings.Contains(log, "surely-wrong") {
					t.Errorf("served %v, exit code %d: %s", served, code, log)
				}
			}
			write(t, pin, "wrong-again")
			var group sync.WaitGroup
			for range 4 {
				cmd := epovd(t, "-config", config)
				group.Go(func() {
					if served, code, log := finish(t, cmd); served || code != exitPIN {
						t.Errorf("served %v, exit code %d: %s", served, code, log)
					}
				})
			}
			group.Wait()
			if n, tries := soft.WrongPINs(), soft.Calls("C_Login")-logins; n != 2 || tries != 2 {
				t.Errorf("two wrong PINs cost %d, by %d calls", n, tries)
			}
			soft.Set()
			write(t, pin, soft.PIN)
			if served, code, log := start(t, config); !served || code != exitOK {
				t.Errorf("served %v, exit code %d: %s", served, code, log)
			}
		})
	}
}

// What a token says of its PIN decides whether any is sent.
func TestFlags(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	config := plantOn(t, soft.Token, "{file: pin}")
	for _, test := range []struct {
		name, flags string
		code        int
		text        string
	}{
		{"count low", "flags 0x10000", exitOK, ""}, // nobody here knows of a wrong PIN
		{"final try", "flags 0x30000", exitPIN, "one try of the user PIN is left"},
		{"locked", "flags 0x40000", exitPIN, "is locked"},
		{"to be changed", "flags 0x80000", exitPIN, "changed first"},
		{"protected path", "flags 0x100", exitConfig, "pad of its own"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := soft.Calls("C_Login")
			soft.Set(test.flags)
			_, code, log := start(t, config)
			if code != test.code || !strings.Contains(log, test.text) {
				t.Errorf("exit code %d, want %d and %q: %s", code, test.code, test.text, log)
			}
			if sent := soft.Calls("C_Login") - before; (sent == 1) != (test.code == exitOK) || sent > 1 {
				t.Errorf("%d logins", sent)
			}
		})
	}
}

// A device that fails in the login may have counted the try: two are spent, however often the service tries or is started,
// then an operator is asked.
func TestLoginFails(t *testing.T) {
	soft := softhsm.NewFaulty(t)
	config := plantOn(t, soft.Token, "{file: pin}")
	before := soft.Calls("C_Login")
	soft.Set("call C_Login return=0x30")
	var code int
	var log string
	for range 3 {
		_, code, log = start(t, config)
	}
	if code != exitPIN {
		t.Errorf("exit code %d: %s", code, log)
	}
	if n := soft.Calls("C_Login") - before; n != 2 {
		t.Errorf("%d tries", n)
	}
}

func TestSealedPIN(t *testing.T) {
	soft, tpm := softhsm.NewFaulty(t), swtpm.New(t)
	config := plantOn(t, soft.Token, "{tpm: sealed, tpm_device: "+tpm.Socket+"}")
	seal := func(pcrs []int, pin string) {
		t.Helper()
		info, err := hsm.FindToken(soft.Module, soft.Label, "")
		if err != nil {
			t.Fatal(err)
		}
		file, err := hsm.SealPIN(tpm.Socket, pcrs, info.Serial, hsm.NewPIN([]byte(pin)))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(filepath.Dir(config), "sealed"), string(file))
	}
	want := func(code int, text string) {
		t.Helper()
		served, got, log := start(t, config)
		if got != code || served != (code == exitOK) || !strings.Contains(log, text) || strings.Contains(log, soft.PIN) {
			t.Errorf("served %v, exit code %d, want %d and %q: %s", served, got, code, text, log)
		}
	}
	seal([]int{7, 11}, soft.PIN)
	want(exitOK, "stopped")
	tpm.Extend(11, "an update")
	logins := soft.Calls("C_Login")
	want(exitPIN, "PCR 11 changed")
	seal([]int{7, 11}, soft.PIN)
	want(exitOK, "stopped")
	seal([]int{7}, "surely-wrong")
	want(exitPIN, "PIN_INCORRECT")
	want(exitPIN, "has refused this PIN before")
	if n := soft.Calls("C_Login") - logins; n != 2 {
		t.Errorf("%d logins", n)
	}
	tpm.Stop()
	want(exitConfig, "no TPM to use")
}

// What a pipe held is read once, and serves every opening.
func TestPINFromPipe(t *testing.T) {
	soft := softhsm.New(t)
	config := plantOn(t, soft, "{descriptor: 3}")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(soft.PIN + "\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if served, code, log := start(t, config, r); !served || code != exitOK {
		t.Errorf("served %v, exit code %d: %s", served, code, log)
	}
}

// A key that wants its PIN for each signature gets it from where the configuration says, also in a folder of its own and by a
// descriptor; a wrong one costs one try in any number of starts.
func TestKeyPIN(t *testing.T) {
	tool, err := exec.LookPath("pkcs11-tool")
	if err != nil {
		oracle.Missing(t, "pkcs11-tool")
	}
	soft := softhsm.NewFaulty(t)
	config := plantOn(t, soft.Token, "{file: pin}")
	out, err := exec.Command(tool, "--module", soft.Module, "--token-label", soft.Label, "--login", "--pin", soft.PIN, "--keypairgen",
		"--key-type", "GOSTR3410-2012-256:A", "--id", hex.EncodeToString([]byte("EXMP01/ov/2")), "--always-auth").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := strings.Replace(read(t, config), "versions: [{version: 1, token: main}]",
		"versions: [{version: 1, token: main}, {version: 2, token: main}]", 1)
	pin := filepath.Join(t.TempDir(), "key-pin")
	with := func(setting string, files ...*os.File) (served bool, code int, log string) {
		t.Helper()
		write(t, config, strings.Replace(whole, "pin: {file: pin},", "pin: {file: pin}, "+setting, 1))
		return start(t, config, files...)
	}
	if served, code, log := with(""); served || code != exitConfig || !strings.Contains(log, "asks for its PIN at each signature") {
		t.Errorf("without: served %v, exit code %d: %s", served, code, log)
	}
	write(t, pin, soft.PIN)
	byFile := "key_pin: {file: " + pin + "},"
	if served, code, log := with(byFile); !served || code != exitOK {
		t.Errorf("in a file: served %v, exit code %d: %s", served, code, log)
	}
	f, err := os.Open(pin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if served, code, log := with("key_pin: {descriptor: 3},", f); !served || code != exitOK {
		t.Errorf("by a descriptor: served %v, exit code %d: %s", served, code, log)
	}
	write(t, pin, "surely-wrong")
	const starts = 3
	logins := soft.Calls("C_Login")
	for range starts {
		served, code, log := with(byFile)
		if served || code != exitPIN || strings.Contains(log, "surely-wrong") {
			t.Errorf("wrong: served %v, exit code %d: %s", served, code, log)
		}
	}
	if n := soft.Calls("C_Login") - logins - starts; n != 1 {
		t.Errorf("%d tries of a wrong PIN", n)
	}
}
