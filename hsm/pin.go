package hsm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/hsm/internal/tpm"
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

// confirmError is the error of a signature that was to be confirmed: what says nothing of the PIN is the module's own.
func confirmError(err error) error {
	e, ok := errors.AsType[*pin.Error](err)
	if !ok {
		return err
	}
	if code, ok := errors.AsType[p11.Error](e.Err); ok && e.Kind == pin.Answered && classify(code).kind != PINRefused {
		return code
	}
	if errors.Is(e.Err, p11.ErrLost) {
		return p11.ErrLost
	}
	return pinError(e)
}

// PINSealed is a PIN that SealPIN sealed: in the file, for the TPM of that device or emulator's socket; with an empty device
// the kernel's resource manager, /dev/tpmrm0. A TPM that refuses is never gone around: the error says why, and what to do.
func PINSealed(file, device string) PINSource { return PINSource{TPM: file, Device: device} }

// SealPIN seals a PIN for the token of that serial number to the present values of the TPM's PCRs, numbered 0 to 23, in the
// bank of SHA-256. What it returns is for a file, which
// is of use on this machine only, and there to everybody who may use the TPM. The PIN never crosses the TPM's bus in the clear. device is
// as in PINSealed.
func SealPIN(device string, pcrs []int, serial string, p PIN) (file []byte, err error) {
	err = p.Use(func(secret string) error {
		sealed, err := tpm.Seal(device, pcrs, serial, secret)
		if err == nil {
			file, err = sealed.Marshal()
		}
		return err
	})
	if err != nil {
		return nil, pinError(&pin.Error{Kind: pin.SourceKind(err), Op: "seal the PIN", Err: err})
	}
	return file, nil
}

// SealedPIN is what can be read of a sealed PIN without the TPM.
type SealedPIN struct {
	Serial string    // of the token that it is for
	Time   time.Time // when it was sealed
	PCRs   []int     // ascending
	// Unmeasured are those of them that held all zeros or all ones: no firmware measures into them, and they guard nothing.
	Unmeasured []int
}

// ReadSealedPIN reads the file of a sealed PIN. It must belong to root or to this process's user; at most
// its group may read it besides.
func ReadSealedPIN(path string) (SealedPIN, error) {
	sealed, err := pin.ReadSealed(path)
	if err != nil {
		return SealedPIN{}, &Error{Kind: Config, Op: "read a sealed PIN", Err: err}
	}
	return SealedPIN{Serial: sealed.Serial, Time: sealed.Time, PCRs: sealed.Registers(), Unmeasured: sealed.Unmeasured()}, nil
}

// TestSealedPIN unseals a PIN and wipes it.
func TestSealedPIN(path, device string) error {
	p, err := PINSealed(path, device).Read()
	if err != nil {
		return pinError(&pin.Error{Kind: pin.SourceKind(err), Op: "unseal the PIN", Err: err})
	}
	p.Wipe()
	return nil
}

// ChangePIN sets a new user PIN by the old one, which cfg names. The old PIN is tried once, under the rules of Open; that the
// token wants its PIN changed is no obstacle. The length of the new one is checked first. When the error says that the outcome
// is not known, either PIN may hold.
func ChangePIN(ctx context.Context, cfg TokenConfig, next PIN) (TokenInfo, error) {
	return setPIN(ctx, cfg, next, "change the PIN", (*pin.Keeper).Change)
}

// ResetPIN sets a new user PIN by the security officer's, which is the PIN of cfg here, and so unlocks the token for its user.
// The officer's PIN is tried once, under the same rules and with a record of its own. What was recorded of the old user PIN
// is forgotten.
func ResetPIN(ctx context.Context, cfg TokenConfig, next PIN) (TokenInfo, error) {
	return setPIN(ctx, cfg, next, "reset the PIN", (*pin.Keeper).Reset)
}

type pinSetter func(k *pin.Keeper, ctx context.Context, m p11.Module, s p11.Session, slot uint, l pin.Login, next pin.PIN) error

func setPIN(ctx context.Context, cfg TokenConfig, next PIN, op string, set pinSetter) (TokenInfo, error) {
	cfg, err := cfg.checked()
	if err != nil {
		return TokenInfo{}, &Error{Kind: Config, Token: cfg.Name, Op: op, Err: err}
	}
	fail := func(kind Kind, err error) (TokenInfo, error) {
		if e, ok := errors.AsType[*pin.Error](err); ok {
			err = pinError(e)
		}
		if e, ok := errors.AsType[*Error](err); ok {
			kind, err = e.Kind, e.Err
		} else if _, ok := errors.AsType[p11.Error](err); ok {
			kind = classify(err).kind
		}
		return TokenInfo{}, &Error{Kind: kind, Token: cfg.Name, Op: op, Err: err}
	}
	module, release, err := p11.Load(cfg.Module)
	if err != nil {
		return fail(Config, err)
	}
	found, err := setPINOn(ctx, module, cfg, next, set)
	if err = errors.Join(err, release()); err != nil {
		return fail(Internal, err)
	}
	return found.TokenInfo, nil
}

func setPINOn(ctx context.Context, module p11.Module, cfg TokenConfig, next PIN, set pinSetter) (foundToken, error) {
	found, err := findToken(module, cfg.Label, cfg.Serial)
	if err != nil {
		return found, err
	}
	if raw := found.raw; !pin.Fits(raw, next) {
		return found, &Error{Kind: Invalid, Err: fmt.Errorf("the new PIN's length is outside the token's %d to %d", raw.MinPIN, raw.MaxPIN)}
	}
	if found.Vendor.isFactory(next) {
		return found, &Error{Kind: Invalid, Err: errors.New("the new PIN is the one that such tokens leave the factory with")}
	}
	session, err := module.OpenSession(found.Slot, true)
	if err != nil {
		return found, err
	}
	defer func() { _ = module.CloseSession(session) }()
	var keeper pin.Keeper
	defer keeper.Close()
	return found, set(&keeper, ctx, module, session, found.Slot, pin.Login{
		Serial: found.Serial, StateDir: cfg.StateDir, Source: cfg.PIN, AllowFinalTry: cfg.AllowFinalTry,
	}, next)
}
