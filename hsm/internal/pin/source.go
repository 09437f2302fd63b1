package pin

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/tpm"
)

// Source says where a PIN is: exactly one of the fields is set, Device apart. It is plain data, can be compared, and, apart from Value,
// can be written as JSON for another process. It can be read any number of times.
type Source struct {
	File       string `json:"file,omitempty"`       // path; see ReadFile
	Credential string `json:"credential,omitempty"` // name of a systemd credential: a file in $CREDENTIALS_DIRECTORY
	Descriptor int    `json:"descriptor,omitempty"` // number of an inherited descriptor, from 3 up
	TPM        string `json:"tpm,omitempty"`        // path of a file that a TPM sealed; see package tpm
	Device     string `json:"device,omitempty"`     // with TPM: its device or socket; tpm.DefaultDevice when empty
	Value      PIN    `json:"-"`                    // in memory already; whoever made it wipes it
}

// IsZero reports whether no source is given.
func (s Source) IsZero() bool { return s == Source{} }

// Read gives the PIN. The caller wipes it, unless it is the source's Value. The errors of a sealed PIN are of type
// *tpm.Error.
func (s Source) Read() (PIN, error) { return s.read("") }

// read refuses a PIN that is known to be for a token of another serial number; empty: for any.
func (s Source) read(serial string) (PIN, error) {
	switch {
	case s.IsZero():
		return PIN{}, errors.New("pin: no source is given")
	case s == Source{File: s.File}:
		return ReadFile(s.File)
	case s == Source{Credential: s.Credential}:
		return readCredential(s.Credential)
	case s == Source{Descriptor: s.Descriptor}:
		return readDescriptor(s.Descriptor)
	case s == Source{TPM: s.TPM, Device: s.Device} && s.TPM != "":
		return readSealed(s.TPM, s.Device, serial)
	case s == Source{Value: s.Value}:
		return s.Value, nil
	}
	return PIN{}, errors.New("pin: several sources are given")
}

// Share makes a PIN that only this process can get at readable for child processes: a value or a descriptor becomes a file
// in memory that cannot change, to be passed to each child, whose source is then the Descriptor of the number that it has
// there. The file is nil when the source serves a child as it is. The caller closes it when no further child is to come.
func (s Source) Share() (*os.File, error) {
	if s.Value == (PIN{}) && s.Descriptor == 0 {
		return nil, nil
	}
	p, err := s.Read()
	if err != nil {
		return nil, err
	}
	if s.Value == (PIN{}) {
		defer p.Wipe()
	}
	return p.memfd()
}

// Paths are the files that reading takes, for sandboxes; none when it takes no file. See also [Source.TPMDevice].
func (s Source) Paths() []string {
	switch {
	case s.TPM != "":
		return []string{s.TPM}
	case s.File != "":
		return []string{s.File}
	case s.Credential != "":
		return []string{filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), s.Credential)}
	}
	return nil
}

// TPMDevice is the device that reading writes to and reads from, for sandboxes; empty when it takes none.
func (s Source) TPMDevice() string {
	if s.TPM == "" {
		return ""
	}
	return cmp.Or(s.Device, tpm.DefaultDevice)
}

// ReadFile reads a PIN from a regular file, not a symbolic link, that belongs to root or to this process's user and that
// nobody else may read (mode 0600 or stricter). At most one final newline is taken off; nothing else is altered. A byte order
// mark and further line breaks are refused.
func ReadFile(path string) (PIN, error) { return readFile(path, 0o177) }

func readCredential(name string) (PIN, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return PIN{}, errors.New("pin: no CREDENTIALS_DIRECTORY: the service has no credentials")
	}
	if name == "" || strings.ContainsRune(name, '/') || name[0] == '.' {
		return PIN{}, fmt.Errorf("pin: %q is no name of a credential", name)
	}
	// systemd grants a credential by an ACL on a file of root's, whose mask shows as the group's read permission.
	return readFile(filepath.Join(dir, name), 0o137)
}

// ReadSealed reads the file of a sealed PIN, without opening what is sealed. Who can read it and use the TPM has the PIN, and
// who can write it can have wrong ones tried: it must be of root or of this process's user, and at most its group may read it.
func ReadSealed(path string) (*tpm.Sealed, error) {
	f, err := openFile(path, 0o137)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, tpm.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("pin: file %s: %w", path, err)
	}
	sealed, err := tpm.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("pin: file %s: %w", path, err)
	}
	return sealed, nil
}

func readSealed(path, device, serial string) (p PIN, err error) {
	sealed, err := ReadSealed(path)
	if err != nil {
		return PIN{}, err
	}
	if serial != "" && sealed.Serial != serial {
		return PIN{}, fmt.Errorf("pin: file %s: sealed for token %q; this one is %q", path, sealed.Serial, serial)
	}
	err = sealed.Unseal(device, func(octets []byte) error {
		if err := check(octets); err != nil {
			return err
		}
		p = NewPIN(octets)
		return nil
	})
	if err != nil {
		return PIN{}, fmt.Errorf("pin: file %s: %w", path, err)
	}
	return p, nil
}

// readFile reads a PIN as it is.
func readFile(path string, forbidden uint32) (PIN, error) {
	f, err := openFile(path, forbidden)
	if err != nil {
		return PIN{}, err
	}
	defer f.Close()
	p, err := read(f)
	if err != nil {
		return PIN{}, fmt.Errorf("pin: file %s: %w", path, err)
	}
	return p, nil
}

// openFile refuses a file with any of the permissions in forbidden.
func openFile(path string, forbidden uint32) (_ *os.File, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			err = errors.New("is a symbolic link")
		}
		return nil, fmt.Errorf("pin: file %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("pin: file %s: %w", path, err)
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("pin: file %s: not a regular file", path)
	case st.Mode&forbidden != 0:
		return nil, fmt.Errorf("pin: file %s: mode %#o lets others in or is executable; make it 0600 or 0400", path, st.Mode&0o777)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("pin: file %s: belongs to another user", path)
	}
	return f, nil
}
