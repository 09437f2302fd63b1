package pin

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"
)

// flagsOf are the flags of the mapping that a PIN lies in, as the kernel tells them.
func flagsOf(t *testing.T, p PIN) (flags []string) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_ = p.Use(func(secret string) error {
		at := uintptr(unsafe.Pointer(unsafe.StringData(secret)))
		within := false
		for line := range strings.Lines(string(maps)) {
			var from, to uintptr
			if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
				within = from <= at && at < to
			}
			if list, ok := strings.CutPrefix(line, "VmFlags:"); ok && within {
				flags = strings.Fields(list)
			}
		}
		return nil
	})
	return flags
}

func TestMemory(t *testing.T) {
	if err := CheckMemory(); err != nil {
		t.Fatalf("the tests need some locked memory: %v", err)
	}
	p := NewPIN([]byte("12345678"))
	flags := flagsOf(t, p)
	for _, want := range []string{"lo", "dd", "wf"} { // locked, not dumped, wiped on fork (proc_pid_smaps(5))
		if !slices.Contains(flags, want) {
			t.Errorf("the memory of a PIN has the flags %v, not %s", flags, want)
		}
	}
	long := strings.Repeat("0123456789", 1000) // longer than a page
	if q := NewPIN([]byte(long)); reveal(q) != long || q.Len() != len(long) {
		t.Error("a long PIN was changed")
	}
}

// Without a right to lock memory a PIN is kept all the same, and that is told. The limit of a process cannot be raised again,
// so another one is lowered.
func TestNoLockedMemory(t *testing.T) {
	if os.Getenv("EPOV_NO_MEMLOCK") == "" {
		cmd := exec.Command("/bin/sh", "-c",
			`ulimit -l 0 && exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$0" -test.v -test.run '^TestNoLockedMemory$'`,
			os.Args[0])
		if os.Geteuid() != 0 {
			cmd = exec.Command("/bin/sh", "-c", `ulimit -l 0 && exec "$0" -test.v -test.run '^TestNoLockedMemory$'`, os.Args[0])
		}
		cmd.Env = append(os.Environ(), "EPOV_NO_MEMLOCK=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestNoLockedMemory") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	if err := CheckMemory(); err == nil || !strings.Contains(err.Error(), "mlock") {
		t.Errorf("nobody tells that memory cannot be locked: %v", err)
	}
	if p := NewPIN([]byte("12345678")); reveal(p) != "12345678" {
		t.Error("the PIN was lost")
	}
}

func TestWipe(t *testing.T) {
	var none PIN
	none.Wipe()
	if none.Len() != 0 || reveal(none) != "" {
		t.Error("no PIN is one")
	}
	p := NewPIN([]byte("12345678"))
	q := p
	if !p.Equal(q) || p.Equal(NewPIN([]byte("12345679"))) || p.Equal(none) {
		t.Error("equal")
	}
	page := p.s.page
	_ = p.Use(func(secret string) error {
		q.Wipe() // waits for whoever has it in hand
		if secret != "12345678" {
			t.Error("wiped in use")
		}
		return nil
	})
	if reveal(p) != "" || q.Len() != 0 || slices.ContainsFunc(page, func(b byte) bool { return b != 0 }) {
		t.Error("not wiped")
	}
	// Many at once.
	p = NewPIN([]byte("12345678"))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				if s := reveal(p); s != "12345678" && s != "" {
					t.Errorf("%q", s)
				}
			}
			if i == 3 {
				p.Wipe()
			}
		})
	}
	group.Wait()
}

// What only this process has is passed to any number of children, and cannot be changed by them.
func TestShare(t *testing.T) {
	if os.Getenv("EPOV_SHARED") != "" {
		for range 2 {
			p, err := Source{Descriptor: 3}.Read()
			if err != nil || reveal(p) != "shared-1357" {
				t.Errorf("%v", err)
			}
		}
		if _, err := syscall.Pwrite(3, []byte("x"), 0); err == nil {
			t.Error("a child changed the PIN")
		}
		return
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("shared-1357\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for _, s := range []Source{value("shared-1357"), {Descriptor: int(r.Fd())}, {Descriptor: int(r.Fd())}} {
		f, err := s.Share()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			cmd := exec.Command(os.Args[0], "-test.run=^TestShare$")
			cmd.Env, cmd.ExtraFiles = append(os.Environ(), "EPOV_SHARED=1"), []*os.File{f}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		}
		f.Close()
	}
	for _, s := range []Source{{File: "f"}, {Credential: "c"}, {TPM: "t"}} {
		if f, err := s.Share(); f != nil || err != nil {
			t.Errorf("%+v: %v %v", s, f, err)
		}
	}
	if _, err := (Source{Descriptor: 1 << 20}).Share(); err == nil {
		t.Error("a descriptor that is not open was shared")
	}
}

// A login is plain data for another process; a PIN in memory does not slip into it.
func TestLoginAsJSON(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
	for _, test := range []struct {
		source Source
		path   string
		device string
	}{
		{Source{File: "/etc/pin"}, "/etc/pin", ""},
		{Source{Credential: "pin"}, "/run/credentials/x/pin", ""},
		{Source{TPM: "/etc/sealed"}, "/etc/sealed", "/dev/tpmrm0"},
		{Source{TPM: "/etc/sealed", Device: "/dev/tpm1"}, "/etc/sealed", "/dev/tpm1"},
		{Source{Descriptor: 5}, "", ""},
	} {
		l := Login{Serial: "0f00", Source: test.source, StateDir: "/s", AllowFinalTry: true, FlagsTrusted: true}
		data, err := json.Marshal(l)
		var got Login
		if err == nil {
			err = json.Unmarshal(data, &got)
		}
		if err != nil || got != l {
			t.Errorf("%+v became %+v by %s, %v", l, got, data, err)
		}
		if paths := strings.Join(test.source.Paths(), " "); paths != test.path || test.source.TPMDevice() != test.device {
			t.Errorf("%+v: %s %s", test.source, paths, test.source.TPMDevice())
		}
	}
	data, err := json.Marshal(Login{Source: value("secret-1234")})
	if err != nil || strings.Contains(string(data), "secret") || strings.Contains(string(data), "redacted") {
		t.Errorf("%s, %v", data, err)
	}
}

// A sealed PIN is refused for another token before the TPM is asked, and its file must be private.
func TestSealedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sealed")
	text := `{"format":"epov sealed PIN","version":1,"serial":"0f01","time":"2026-11-22T12:00:00Z","bank":"sha256",` +
		`"pcrs":{"7":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",` +
		`"public":"AA==","private":"AA=="}`
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	sealed, err := ReadSealed(path)
	if err != nil || sealed.Serial != "0f01" {
		t.Fatal(err)
	}
	s := newStand(t)
	s.login.Source = Source{TPM: path, Device: "/nonexistent"}
	err = s.try(t)
	if wantKind(t, err, Config); !strings.Contains(err.Error(), `sealed for token "0f01"`) {
		t.Error(err)
	}
	if _, err := s.login.Source.Read(); err == nil || !strings.Contains(err.Error(), "no TPM to use") {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSealed(path); err == nil {
		t.Error("a file that everybody may read")
	}
}
