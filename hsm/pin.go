package hsm

import (
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// PIN is a secret that prints, logs and marshals as "[redacted]". It lies in memory of its own, outside the heap, which is
// neither swapped out nor dumped where the system allows that; see [CheckPINMemory]. The zero value is no PIN. Copies share
// the secret: when one is wiped, all are.
type PIN = pin.PIN

// NewPIN takes a copy of octets.
func NewPIN(octets []byte) PIN { return pin.NewPIN(octets) }

// CheckPINMemory tells why PINs would be kept without all of the protection, such as a limit of locked memory; nil when
// nothing is missing. They are kept all the same.
func CheckPINMemory() error { return pin.CheckMemory() }

// PINSource says where a PIN is. It is plain data that can be compared; the functions below make it. The zero value is no
// source.
type PINSource = pin.Source

// PINFile is a PIN in a file, under the rules of [ReadPINFile].
func PINFile(path string) PINSource { return PINSource{File: path} }

// PINCredential is a systemd credential: the file of that name in $CREDENTIALS_DIRECTORY.
func PINCredential(name string) PINSource { return PINSource{Credential: name} }

// PINDescriptor is an inherited file descriptor, 3 or higher, that holds the PIN up to its end. A pipe is read once; a copy
// in memory then takes its place under the same number, so that the source can be read any number of times.
func PINDescriptor(fd int) PINSource { return PINSource{Descriptor: fd} }

// PINValue is a PIN that is in memory already, for tools that asked a person. The caller wipes it when the token is closed.
func PINValue(p PIN) PINSource { return PINSource{Value: p} }

// ReadPINFile reads a PIN from a regular file, not a symbolic link, that belongs to root or to this process's user and that
// nobody else may read (mode 0600 or stricter). At most one final newline is taken off; nothing else is altered. The caller
// wipes it.
func ReadPINFile(path string) (PIN, error) { return pin.ReadFile(path) }

// pinError makes an *Error of what package pin says.
func pinError(err *pin.Error) *Error {
	kinds := map[pin.Kind]Kind{
		pin.Failed: Internal, pin.Refused: PINRefused, pin.Config: Config, pin.Away: Away, pin.Expired: Expired,
		pin.Answered: classify(err.Err).kind,
	}
	return &Error{Kind: kinds[err.Kind], Op: err.Op, Err: err.Err}
}
