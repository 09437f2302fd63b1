package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/google/go-tpm/tpm2"
)

// DefaultDevice is the kernel's resource manager, which keeps programs apart and cleans up after each.
const DefaultDevice = "/dev/tpmrm0"

// patience is how long an emulator behind a socket may think; for a device the kernel knows better.
const patience = 30 * time.Second

// maxMessage bounds commands and answers (part 2, TPM_PT_MAX_COMMAND_SIZE; PCs have 4096).
const maxMessage = 4096

// Kind tells errors apart by what is to be done.
type Kind int

const (
	Failed   Kind = iota // the TPM did not do its work this time
	Absent               // there is no TPM, or this user may not use it
	Changed              // the PCRs are not those of the sealing: seal again once the machine is known to be as it should
	Foreign              // sealed by another TPM, or by this one before it was cleared
	Damaged              // the file was altered, or is none
	LockedUp             // the TPM refuses for some time after wrong authorisations (dictionary attack lockout)
)

// Error is what this package returns. It never holds what is sealed.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return "tpm: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Permanent reports whether the error stays until somebody acts.
func (e *Error) Permanent() bool { return e.Kind != Failed }

// device is an open TPM: the kernel's device, or the socket of an emulator.
type device struct {
	f    io.ReadWriteCloser
	said [][]byte // commands and answers: what was encrypted on the way is in the clear in some
}

func open(path string) (*device, error) {
	if path == "" {
		path = DefaultDevice
	}
	info, err := os.Stat(path)
	var f io.ReadWriteCloser
	switch {
	case err != nil:
	case info.Mode().Type() == fs.ModeSocket:
		f, err = net.DialTimeout("unix", path, patience)
	case info.Mode()&fs.ModeCharDevice != 0:
		var fd int
		fd, err = syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC, 0) // commands and answers as the kernel likes them best: blocking
		f = os.NewFile(uintptr(fd), path)
	default:
		err = fmt.Errorf("%s is neither a device nor a socket", path)
	}
	switch {
	case errors.Is(err, syscall.EBUSY):
		return nil, &Error{Failed, fmt.Errorf("%s is in use; the resource manager %s is for many: %w", path, DefaultDevice, err)}
	case err != nil:
		return nil, &Error{Absent, fmt.Errorf("no TPM to use: %w", err)}
	}
	return &device{f: f}, nil
}

func (d *device) close() {
	_ = d.f.Close()
	for _, message := range d.said {
		clear(message)
	}
}

// Send implements go-tpm's transport: one command, one answer.
func (d *device) Send(command []byte) ([]byte, error) {
	d.said = append(d.said, command)
	if c, ok := d.f.(net.Conn); ok {
		_ = c.SetDeadline(time.Now().Add(patience))
	}
	if _, err := d.f.Write(command); err != nil {
		return nil, err
	}
	// A device gives its answer to one call; what a socket gives may come in pieces. Header: tag, length, code.
	answer := make([]byte, maxMessage)
	d.said = append(d.said, answer)
	n := 0
	for {
		more, err := d.f.Read(answer[n:])
		n += more
		if n >= 10 {
			switch length := binary.BigEndian.Uint32(answer[2:6]); {
			case length < 10 || length > maxMessage || int(length) < n:
				return nil, fmt.Errorf("an answer of %d octets calls itself %d long", n, length)
			case int(length) == n:
				return answer[:n], nil
			}
		}
		if err != nil {
			return nil, fmt.Errorf("the answer broke off after %d octets: %w", n, err)
		}
	}
}

// failure names what a return code means to an operator.
func failure(op string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	kind := Failed
	switch {
	case errors.Is(err, tpm2.TPMRCLockout):
		kind = LockedUp
		err = fmt.Errorf("the TPM is in lockout after wrong authorisations; wait, or clear it with tpm2_dictionarylockout: %w", err)
	case errors.Is(err, tpm2.TPMRCBadAuth) && op == makeKey, errors.Is(err, tpm2.TPMRCAuthFail) && op == makeKey:
		kind = Absent
		err = fmt.Errorf("the owner hierarchy of the TPM has a password: %w", err)
	case errors.Is(err, tpm2.TPMRCHierarchy), errors.Is(err, tpm2.TPMRCDisabled):
		kind = Absent
		err = fmt.Errorf("the owner hierarchy of the TPM is disabled: %w", err)
	case errors.Is(err, tpm2.TPMRCInitialize):
		kind = Absent
		err = fmt.Errorf("the firmware did not start the TPM: %w", err)
	}
	return &Error{kind, fmt.Errorf("%s: %w", op, err)}
}
