package hsm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// host is a loaded PKCS#11 module together with the place where its PINs are: this process, or a worker of its own. What a
// call gives is an error of type p11.Error, or p11.ErrLost when the module went away with it.
type host interface {
	p11.Module
	// LogIn makes at most one try at the user's PIN of the token in the slot, under the rules of the PIN: flags first, no PIN
	// that was refused before, one process at a time. Its errors are *Error.
	LogIn(ctx context.Context, s p11.Session, slot uint, l pin.Login) error
	// SignConfirmed signs as Sign does, with a key that wants its PIN for each signature: of that one try is made at most, under the
	// same rules. Errors of it are *Error, unless another session or login may help.
	SignConfirmed(ctx context.Context, dst []byte, s p11.Session, slot, mechanism uint, key p11.Object, digest []byte,
		l pin.Login) ([]byte, error)
	// Lost is closed when the module is gone: its worker died, or it was killed. Every handle of it is void.
	Lost() <-chan struct{}
	// Kill gives the module up, with whatever calls are under way. Those calls return p11.ErrLost where that can be done.
	Kill(reason error)
	// Close ends the use of a module in order. No call may be under way; a host that was killed is only let go of.
	Close(ctx context.Context) error
}

// hostOptions is what a host needs to know beforehand.
type hostOptions struct {
	Log      *slog.Logger
	CallTime time.Duration // a call that takes longer hangs
	Logins   []pin.Login   // of the tokens that are meant to be used; Serial may be unknown and empty
	Calls    int           // most calls under way at once; 0: 64
	Serial   bool          // one call at a time, whichever token it is for
	Sandbox  Sandbox       // what a module in a process of its own may reach; see sandboxOf
}

type hostMaker func(ctx context.Context, module string, o hostOptions) (host, error)

// inProcess is a module in this process. Its calls cannot be ended, and a crash of it is a crash of all.
type inProcess struct {
	p11.Library
	release func() error
	lost    chan struct{}
	once    sync.Once
	pins    pin.Keeper
}

func loadInProcess(_ context.Context, module string, _ hostOptions) (host, error) {
	m, release, err := p11.Load(module)
	if err != nil {
		return nil, err
	}
	return newInProcess(m, release), nil
}

func newInProcess(m p11.Library, release func() error) *inProcess {
	return &inProcess{Library: m, release: release, lost: make(chan struct{})}
}

func (h *inProcess) LogIn(ctx context.Context, s p11.Session, slot uint, l pin.Login) error {
	err := h.pins.LogIn(ctx, h.Library, s, slot, l)
	if e, ok := errors.AsType[*pin.Error](err); ok {
		return pinError(e)
	}
	return err
}

func (h *inProcess) SignConfirmed(ctx context.Context, dst []byte, s p11.Session, slot, mechanism uint, key p11.Object, digest []byte,
	l pin.Login) ([]byte, error) {
	signature, err := h.pins.Sign(ctx, dst, h.Library, s, slot, mechanism, key, digest, l)
	return signature, confirmError(err)
}

func (h *inProcess) Lost() <-chan struct{} { return h.lost }

// Kill leaves calls that hang to themselves, and the module as it is: to finalise it during a call crashes the process.
func (h *inProcess) Kill(error) { h.once.Do(func() { close(h.lost) }) }

func (h *inProcess) Close(context.Context) error {
	h.pins.Close()
	select {
	case <-h.lost:
		return nil
	default:
	}
	return h.release()
}
