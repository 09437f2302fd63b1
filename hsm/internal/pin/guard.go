package pin

import (
	"context"
	"errors"
	"sync"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/tpm"
)

// Login says which PIN a token takes and under which rules. It is plain data, as Source is.
type Login struct {
	Serial   string `json:"serial"` // of the token: a PIN goes to no other
	Source   Source `json:"source"`
	StateDir string `json:"stateDir"` // keeps the record of refused PINs; made when it is missing

	// AllowFinalTry spends the last try before the token locks its PIN. For an operator's hands only.
	AllowFinalTry bool `json:"allowFinalTry,omitempty"`
	// FlagsTrusted: the token is known to show every wrong try in its flags. Then a try that was cut short and left no flag
	// cost nothing, and any number of them may follow.
	FlagsTrusted bool `json:"flagsTrusted,omitempty"`
}

// Kind says what can be done about an Error.
type Kind int

const (
	Failed   Kind = iota // something around the try failed, such as a disk; may work the next time
	Refused              // the PIN may not be tried (again): an operator must act
	Config               // the configuration names something that is not so
	Away                 // another token is there
	Expired              // the context ended first
	Answered             // the token said no: Err holds a p11.Error, which says the rest
)

// Error is why there was no login. It never holds a PIN.
type Error struct {
	Kind Kind
	Op   string
	Err  error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Keeper makes logins, and keeps the PINs that it has read until they are refused or it is closed. The zero value is ready
// for use. Safe for concurrent use.
type Keeper struct {
	mutex sync.Mutex
	pins  map[Source]PIN
}

// Close wipes the PINs that were kept.
func (k *Keeper) Close() {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	for _, p := range k.pins {
		p.Wipe()
	}
	clear(k.pins)
}

// get gives a PIN that was kept, or reads it. A value is its maker's, who wipes it.
func (k *Keeper) get(s Source, serial string) (PIN, error) {
	if s.Value != (PIN{}) {
		return s.Read()
	}
	k.mutex.Lock()
	p, ok := k.pins[s]
	k.mutex.Unlock()
	if ok {
		return p, nil
	}
	p, err := s.read(serial) // may take its time; others need not wait
	if err != nil {
		return PIN{}, err
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if other, ok := k.pins[s]; ok {
		p.Wipe()
		return other, nil
	}
	if k.pins == nil {
		k.pins = map[Source]PIN{}
	}
	k.pins[s] = p
	return p, nil
}

// SourceKind is what can be done about a source that gives no PIN. A TPM that refuses is never gone around.
func SourceKind(err error) Kind {
	if e, ok := errors.AsType[*tpm.Error](err); ok {
		switch e.Kind {
		case tpm.Failed:
			return Failed
		case tpm.Changed, tpm.Foreign, tpm.LockedUp:
			return Refused
		}
	}
	return Config
}

// forget drops a PIN that was refused, so that the one which an operator puts in its place is read.
func (k *Keeper) forget(s Source) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.pins[s].Wipe()
	delete(k.pins, s)
}

// LogIn logs in as the user to the token in the slot, with at most one try of the PIN: flags first; no PIN that this token has
// refused before; one process at a time; and a durable mark around the call. A token that is logged in already is a success;
// nothing is learnt of the PIN then. All errors are *Error.
//
// What the record remembers:
//   - a PIN that was refused, until a login succeeds or an operator removes the record;
//   - a try whose outcome is not known, because the process died or the token failed in it. It may have counted: one more
//     is made if the token shows no flag, then an operator is asked.
func (k *Keeper) LogIn(ctx context.Context, m p11.Module, s p11.Session, slot uint, l Login) error {
	err := k.use(ctx, attempt{module: m, slot: slot, Login: l, why: logIn, try: func(secret string) error {
		return m.Login(s, p11.User, secret)
	}})
	if errors.Is(err, p11.UserAlreadyLoggedIn) {
		return nil
	}
	return err
}

// Sign signs with a key that wants its PIN for each signature (CKA_ALWAYS_AUTHENTICATE): the PIN of l is tried by the rules of
// [Keeper.LogIn], with a record of its own, for it may be another than the one of the login. A PIN that was refused there stays so
// until an operator removes the record, for the keys of a token may have several. It appends the signature to dst. Errors are *Error
// for the PIN's part, else those of the module; the session is to be closed after any.
func (k *Keeper) Sign(ctx context.Context, dst []byte, m p11.Library, s p11.Session, slot uint, mechanism uint, key p11.Object,
	digest []byte, l Login) ([]byte, error) {
	if err := m.SignInit(s, mechanism, key); err != nil {
		return nil, err
	}
	err := k.use(ctx, attempt{module: m, slot: slot, Login: l, why: confirm, try: func(secret string) error {
		return m.Login(s, p11.ContextSpecific, secret)
	}})
	if err != nil {
		return nil, err
	}
	return m.SignFinal(dst, s, digest)
}

// Change sets a new PIN by the old one, whose try is made by the rules of [Keeper.LogIn]; a token that wants its PIN changed
// is obeyed. The session must be a read-write one. The caller has checked the new PIN by [Fits].
func (k *Keeper) Change(ctx context.Context, m p11.Module, s p11.Session, slot uint, l Login, next PIN) error {
	if err := next.Use(func(secret string) error { return check(secret) }); err != nil {
		return &Error{Config, change.String(), err}
	}
	err := k.use(ctx, attempt{module: m, slot: slot, Login: l, why: change, try: func(old string) error {
		return next.Use(func(next string) error { return m.SetPIN(s, old, next) })
	}})
	if err == nil {
		k.forget(l.Source)
	}
	return err
}

// Reset sets a new user PIN by the security officer's, which is the one that l names and has a record of its own; a locked
// user PIN is unlocked by that. What was recorded of the old one is forgotten. For the session and next see Change.
func (k *Keeper) Reset(ctx context.Context, m p11.Module, s p11.Session, slot uint, l Login, next PIN) error {
	if err := next.Use(func(secret string) error { return check(secret) }); err != nil {
		return &Error{Config, reset.String(), err}
	}
	err := k.use(ctx, attempt{module: m, slot: slot, Login: l, why: reset, try: func(secret string) error {
		return m.Login(s, p11.SecurityOfficer, secret)
	}})
	if err != nil && !errors.Is(err, p11.UserAlreadyLoggedIn) {
		return err
	}
	err = next.Use(func(next string) error { return m.InitPIN(s, next) })
	if err = errors.Join(err, m.Logout(s)); err != nil {
		return &Error{Answered, reset.String(), err}
	}
	return forgetRefused(ctx, l)
}

// Erase initialises a token anew by the PIN of its security officer, as Reset does. Whatever was on it is lost.
func (k *Keeper) Erase(ctx context.Context, m p11.Module, slot uint, l Login, label string) error {
	err := k.use(ctx, attempt{module: m, slot: slot, Login: l, why: erase, try: func(secret string) error {
		return m.InitToken(slot, secret, label)
	}})
	if err != nil {
		return err
	}
	return forgetRefused(ctx, l)
}

// forgetRefused removes the record of a user PIN that is no more.
func forgetRefused(ctx context.Context, l Login) error {
	unlock, err := lock(ctx, l.StateDir, l.Serial)
	if err != nil {
		return err
	}
	defer unlock()
	if err := removeRecord(recordPath(l.StateDir, l.Serial)); err != nil {
		return &Error{Failed, "clear the record of the old PIN", err}
	}
	return nil
}

// use finds the PIN and lends it to a.
func (k *Keeper) use(ctx context.Context, a attempt) error {
	if _, err := a.look(); err != nil { // a PIN that may not be tried is not read
		return err
	}
	for {
		p, err := k.get(a.Source, a.Serial)
		if err != nil {
			return &Error{SourceKind(err), "get the PIN", err}
		}
		err = p.Use(func(secret string) error {
			if secret == "" {
				return errWiped
			}
			return a.locked(ctx, p, secret)
		})
		if e, ok := errors.AsType[*Error](err); ok && (e.Kind == Refused || e.Kind == Config || outcomeOf(e.Err, a.why) == wrong) {
			k.forget(a.Source)
		}
		// Somebody else's try may have shown it to be wrong a moment ago: its source is read anew then.
		if err != errWiped {
			return err
		}
		if a.Source.Value != (PIN{}) {
			return &Error{Config, "get the PIN", err}
		}
	}
}

var errWiped = errors.New("the PIN was wiped")
