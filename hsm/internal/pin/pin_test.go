package pin

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func credential(name string) Source { return Source{Credential: name} }

// reveal gives a copy of the secret.
func reveal(p PIN) (secret string) {
	_ = p.Use(func(s string) error { secret = strings.Clone(s); return nil })
	return secret
}

func TestPINIsRedacted(t *testing.T) {
	pin := NewPIN([]byte("73501"))
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("pin", "pin", pin, "in", struct{ P PIN }{pin})
	data, err := json.Marshal(map[string]any{"pin": pin})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", pin, pin, pin, pin, pin, pin, pin, []PIN{pin}) + pin.String() +
		log.String() + string(data)
	for _, leak := range []string{"73501", "3733353031", "55 51 53"} {
		if strings.Contains(all, leak) {
			t.Errorf("%q in %s", leak, all)
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		_ = os.Remove(path) // whoever is not root cannot write over what only may be read
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name, text, want string
		mode             os.FileMode
	}{
		{"plain", "12345678", "12345678", 0o600},
		{"newline", "12345678\n", "12345678", 0o400},
		{"one newline only", "1234\n\n", "", 0o600},
		{"nothing else is trimmed", " 1234\t\n", " 1234\t", 0o600},
		{"lines of another system", "1234\r\n", "", 0o600},
		{"several lines", "1234\n5678\n", "", 0o600},
		{"byte order mark", "\ufeff1234\n", "", 0o600},
		{"empty", "", "", 0o600},
		{"only a newline", "\n", "", 0o600},
		{"NUL", "12\x0034", "", 0o600},
		{"longest", strings.Repeat("9", MaxLength) + "\n", strings.Repeat("9", MaxLength), 0o600},
		{"too long", strings.Repeat("9", MaxLength+1), "", 0o600},
		{"group may read", "1234", "", 0o640},
		{"others may read", "1234", "", 0o604},
	} {
		t.Run(test.name, func(t *testing.T) {
			pin, err := ReadFile(write("pin", test.text, test.mode))
			if (err == nil) != (test.want != "") || reveal(pin) != test.want {
				t.Errorf("%q, %v", reveal(pin), err)
			}
			if err != nil && (strings.Contains(err.Error(), "1234") || !strings.Contains(err.Error(), filepath.Join(dir, "pin")+": ")) {
				t.Errorf("the error tells the content, or not the file: %v", err)
			}
		})
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write("target", "1234", 0o600), link); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, pipe, dir, filepath.Join(dir, "none")} {
		if _, err := ReadFile(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
	if os.Geteuid() == 0 {
		path := write("other", "1234", 0o600)
		if err := os.Chown(path, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFile(path); err == nil {
			t.Error("another user's file was read")
		}
	}
}

func TestPINSources(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("2468\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, name := range []string{"", "../token", "a/b", ".hidden", "none"} {
		if _, err := credential(name).Read(); err == nil {
			t.Errorf("credential %q was read", name)
		}
	}
	if pin, err := credential("token").Read(); err != nil || reveal(pin) != "2468" {
		t.Error(err)
	}
	// An ACL's mask shows as the group's permission; what everyone may read is refused all the same.
	for mode, ok := range map[os.FileMode]bool{0o440: true, 0o444: false, 0o460: false} {
		if err := os.Chmod(filepath.Join(dir, "token"), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := credential("token").Read(); (err == nil) != ok {
			t.Errorf("a credential of mode %#o: %v", mode, err)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := credential("token").Read(); err == nil {
		t.Error("a credential without a directory")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("1357\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	fd, err := syscall.Dup(int(r.Fd()))
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if pin, err := (Source{Descriptor: fd}).Read(); err != nil || reveal(pin) != "1357" {
			t.Error(err)
		}
	}
	syscall.Close(fd)
	for _, bad := range []Source{{}, {Descriptor: fd}, {Descriptor: 1}, {File: filepath.Join(dir, "token"), Credential: "token"}} {
		if _, err := bad.Read(); err == nil {
			t.Errorf("%+v was read", bad)
		}
	}
}
