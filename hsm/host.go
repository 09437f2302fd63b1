package hsm

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// host is a loaded PKCS#11 module together with the place where its PINs are: this process, or a worker of its own. What a
// call gives is an error of type p11.Error, or p11.ErrLost when the module went away with it.
type host interface {
	p11.Module
	// LogIn makes at most one try at the user's PIN of the token in the slot, under the rules of the PIN: flags first, no PIN
	// that was refused before, one process at a time. Its errors are *Error of a kind, or the module's.
	LogIn(ctx context.Context, s p11.Session, slot uint, l login) error
	// Lost is closed when the module is gone: its worker died, or it was killed. Every handle of it is void.
	Lost() <-chan struct{}
	// Kill gives the module up, with whatever calls are under way. Those calls return p11.ErrLost where that can be done.
	Kill(reason error)
	// Close ends the use of a module in order. No call may be under way; a host that was killed is only let go of.
	Close(ctx context.Context) error
}

// login says which PIN a token takes and under which rules.
type login struct {
	Serial        string // of the token; a PIN goes to no other
	StateDir      string
	Source        PINSource
	AllowFinalTry bool
}

// hostOptions is what a host needs to know beforehand.
type hostOptions struct {
	Log      *slog.Logger
	CallTime time.Duration // a call that takes longer hangs
	Logins   []login       // of the tokens that are meant to be used; Serial may be unknown and empty
}

type hostMaker func(ctx context.Context, module string, o hostOptions) (host, error)

// inProcess is a module in this process. Its calls cannot be ended, and a crash of it is a crash of all.
type inProcess struct {
	p11.Module
	release func() error
	lost    chan struct{}
	once    sync.Once

	mutex sync.Mutex
	pins  map[string]PIN // by serial; a source may be asked once only
}

func loadInProcess(_ context.Context, module string, _ hostOptions) (host, error) {
	m, release, err := p11.Load(module)
	if err != nil {
		return nil, err
	}
	return newInProcess(m, release), nil
}

func newInProcess(m p11.Module, release func() error) *inProcess {
	return &inProcess{Module: m, release: release, lost: make(chan struct{}), pins: map[string]PIN{}}
}

func (h *inProcess) LogIn(ctx context.Context, s p11.Session, slot uint, l login) error {
	info, err := h.TokenInfo(slot)
	if err != nil {
		return err
	}
	if info.Serial != l.Serial {
		return &Error{Kind: Away, Op: "log in", Err: errors.New("another token is in the slot")}
	}
	h.mutex.Lock()
	defer h.mutex.Unlock()
	pin, ok := h.pins[l.Serial]
	if !ok {
		if pin, err = l.Source(); err != nil {
			return &Error{Kind: Config, Op: "get the PIN", Err: err}
		}
		h.pins[l.Serial] = pin
	}
	g := guard{dir: l.StateDir, info: info, allowFinalTry: l.AllowFinalTry}
	return g.login(ctx, pin, func(secret string) error { return h.Login(s, p11.User, secret) })
}

func (h *inProcess) Lost() <-chan struct{} { return h.lost }

// Kill leaves calls that hang to themselves, and the module as it is: to finalise it during a call crashes the process.
func (h *inProcess) Kill(error) { h.once.Do(func() { close(h.lost) }) }

func (h *inProcess) Close(context.Context) error {
	h.mutex.Lock()
	for _, pin := range h.pins {
		pin.Wipe()
	}
	clear(h.pins)
	h.mutex.Unlock()
	select {
	case <-h.lost:
		return nil
	default:
	}
	return h.release()
}
