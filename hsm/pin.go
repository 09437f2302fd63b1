package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxPIN bounds what is read as a PIN, in octets.
const maxPIN = 256

// PIN is a secret that prints, logs and marshals as "[redacted]". The zero value is no PIN.
type PIN struct{ octets []byte }

const redacted = "[redacted]"

// NewPIN takes a copy of octets.
func NewPIN(octets []byte) PIN { return PIN{bytes.Clone(octets)} }

// Wipe overwrites the secret; the PIN and its copies are empty octets from then on.
func (p PIN) Wipe() { clear(p.octets) }

func (p PIN) String() string               { return redacted }
func (p PIN) GoString() string             { return redacted }
func (p PIN) Format(f fmt.State, _ rune)   { _, _ = io.WriteString(f, redacted) }
func (p PIN) LogValue() slog.Value         { return slog.StringValue(redacted) }
func (p PIN) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// PINSource yields the PIN when the token is opened. What it yields belongs to the asker, who wipes it in the end.
type PINSource func() (PIN, error)

// PINFile reads the PIN from a file under the rules of ReadPINFile.
func PINFile(path string) PINSource { return func() (PIN, error) { return ReadPINFile(path) } }

// PINCredential reads a systemd credential: the file of that name in $CREDENTIALS_DIRECTORY.
func PINCredential(name string) PINSource {
	return func() (PIN, error) {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return PIN{}, errors.New("pin: no CREDENTIALS_DIRECTORY: the service has no credentials")
		}
		if name == "" || strings.ContainsRune(name, '/') || name[0] == '.' {
			return PIN{}, fmt.Errorf("pin: %q is no name of a credential", name)
		}
		// systemd grants a credential by an ACL on a file of root's, whose mask shows as the group's read permission.
		return readPINFile(filepath.Join(dir, name), 0o137)
	}
}

// PINDescriptor reads the PIN from an inherited file descriptor up to its end, and closes it. It can be asked once.
func PINDescriptor(fd uintptr) PINSource {
	return func() (PIN, error) {
		f := os.NewFile(fd, "pin")
		if f == nil {
			return PIN{}, fmt.Errorf("pin: descriptor %d is not open", fd)
		}
		defer f.Close()
		return readPIN(f)
	}
}

// PINValue yields a PIN that is already in memory, for tools that asked a person.
func PINValue(p PIN) PINSource { return func() (PIN, error) { return NewPIN(p.octets), nil } }

// ReadPINFile reads a PIN from a regular file, not a symbolic link, that belongs to root or to this process's user and that
// nobody else may read (mode 0600 or stricter). At most one final newline is taken off; nothing else is altered.
func ReadPINFile(path string) (PIN, error) { return readPINFile(path, 0o177) }

// readPINFile refuses a file with any of the permissions in forbidden.
func readPINFile(path string, forbidden os.FileMode) (PIN, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, syscall.ELOOP) {
			err = errors.New("is a symbolic link")
		}
		return PIN{}, fmt.Errorf("pin: file %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return PIN{}, fmt.Errorf("pin: file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return PIN{}, fmt.Errorf("pin: file %s: not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return PIN{}, fmt.Errorf("pin: file %s: mode %#o lets others in or is executable; make it 0600 or 0400", path, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return PIN{}, fmt.Errorf("pin: file %s: belongs to another user", path)
	}
	return readPIN(f)
}

func readPIN(r io.Reader) (PIN, error) {
	buf := make([]byte, maxPIN+2)
	defer clear(buf)
	n, err := io.ReadFull(r, buf)
	if err != nil && err != io.ErrUnexpectedEOF && err != io.EOF {
		return PIN{}, fmt.Errorf("pin: %w", err)
	}
	octets := bytes.TrimSuffix(buf[:n], []byte("\n"))
	switch {
	case len(octets) == 0:
		return PIN{}, errors.New("pin: empty")
	case len(octets) > maxPIN:
		return PIN{}, fmt.Errorf("pin: longer than %d octets", maxPIN)
	case bytes.IndexByte(octets, 0) >= 0:
		return PIN{}, errors.New("pin: contains a NUL")
	}
	return NewPIN(octets), nil
}
