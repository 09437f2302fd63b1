package pin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

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

// purpose tells what a PIN is tried for.
type purpose int

const (
	logIn   purpose = iota
	change          // C_SetPIN: what the token wants changed may be, and some codes are about the new PIN
	reset           // of the user's PIN, by the security officer's
	erase           // by the security officer's PIN
	confirm         // a signature
)

func (p purpose) byOfficer() bool { return p == reset || p == erase }

// attempt is one try and what it needs.
type attempt struct {
	module p11.Module
	slot   uint
	Login
	why purpose
	try func(secret string) error
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

// look reads the token's flags and refuses what they forbid.
func (a attempt) look() (p11.TokenInfo, error) {
	info, err := a.module.TokenInfo(a.slot)
	switch {
	case err != nil:
		return info, &Error{Answered, "look at the token", err}
	case info.Serial != a.Serial:
		return info, &Error{Away, a.why.String(), errors.New("another token is in the slot")}
	}
	return info, a.checkFlags(info.Flags)
}

// locked makes the try while the record is held against others. It looks again: another's try may have come in between.
func (a attempt) locked(ctx context.Context, p PIN, secret string) error {
	unlock, err := lock(ctx, a.StateDir, a.Serial)
	if err != nil {
		return err
	}
	defer unlock()
	info, err := a.look()
	if err != nil {
		return err
	}
	if !fits(info, len(secret)) {
		return &Error{Config, a.why.String(), fmt.Errorf("the PIN's length is outside the token's %d to %d", info.MinPIN, info.MaxPIN)}
	}
	return a.once(info, p, secret)
}

// once is the try itself, between two writings of the record.
func (a attempt) once(info p11.TokenInfo, p PIN, secret string) error {
	op := a.why.String()
	refuse := func(format string, args ...any) error { return &Error{Refused, op, fmt.Errorf(format, args...)} }
	path := recordPath(a.StateDir, a.Serial)
	switch {
	case a.why.byOfficer():
		path = officerPath(a.StateDir, a.Serial)
	case a.why == confirm:
		path = confirmPath(a.StateDir, a.Serial)
	}
	rec, err := readRecord(path, a.Serial)
	if err != nil {
		return refuse("%w; look into it and remove the file", err)
	}
	tag, err := rec.tag(p, secret)
	if err != nil {
		return &Error{Failed, op, err}
	}
	if rec.refused(tag) {
		return refuse("the token has refused this PIN before; correct it, or remove %s to spend another try", path)
	}
	before := rec
	if rec.Attempt != nil {
		flagged := a.flags(info.Flags)&(p11.FlagPINCountLow|p11.FlagPINFinalTry) != 0
		if flagged || rec.Interrupted > 0 && !a.FlagsTrusted {
			return refuse("the outcome of an earlier try at %s is not known; remove %s to spend another",
				rec.Attempt.Format(time.RFC3339), path)
		}
		rec.Interrupted++
	}
	now := time.Now().UTC().Truncate(time.Second)
	rec.Attempt = &now
	if err := rec.write(path); err != nil {
		return &Error{Failed, "record the try of the PIN", err} // a full disk may be emptied
	}

	err = a.try(secret)
	out := outcomeOf(err, a.why)
	var kept error
	switch out {
	case right:
		if rec.Attempt, rec.Interrupted = nil, 0; a.why == confirm && len(rec.Refused) > 0 {
			kept = rec.write(path)
		} else {
			kept = removeRecord(path)
		}
	case wrong:
		rec.refuse(tag)
		rec.Attempt, rec.Interrupted = nil, 0
		kept = rec.write(path)
	case untried:
		if before.Attempt == nil && len(before.Refused) == 0 {
			kept = removeRecord(path)
		} else {
			kept = before.write(path)
		}
	case unknown: // the mark stays
	}
	switch {
	case err == nil && kept != nil:
		return &Error{Failed, "clear the record of tries of the PIN", kept}
	case err == nil:
		return nil
	case out == unknown:
		err = fmt.Errorf("it is not known whether the token counted the try: %w", err)
	}
	return &Error{Answered, op, errors.Join(err, kept)}
}

// outcome is what a return code says of the PIN.
type outcome int

const (
	unknown outcome = iota // the call ended on the way: the try may have counted
	right
	wrong
	untried // the token did not look at the PIN
)

// untriedCodes come, by PKCS#11 2.40 sections 5.1 and 5.6, before the token compares PINs.
var untriedCodes = map[p11.Error]bool{
	p11.UserAlreadyLoggedIn: true, p11.UserPINNotInitialized: true, p11.PINLocked: true, p11.PINExpired: true,
	p11.SessionHandleInvalid: true, p11.SessionClosed: true, p11.SessionCount: true, p11.CryptokiNotInitialized: true,
	p11.SlotIDInvalid: true, p11.TokenNotPresent: true, p11.TokenNotRecognized: true, p11.ArgumentsBad: true,
	p11.OperationActive: true, p11.FunctionNotSupported: true, p11.SessionReadOnly: true, p11.SessionReadOnlyExists: true,
	p11.SessionSOExists: true, p11.TokenWriteProtected: true, p11.UserTypeInvalid: true, p11.UserAnotherLoggedIn: true,
	p11.OperationNotInitialized: true, p11.UserNotLoggedIn: true,
}

func outcomeOf(err error, why purpose) outcome {
	if err == nil {
		return right
	}
	code, ok := errors.AsType[p11.Error](err)
	switch {
	case !ok:
		return unknown
	case code == p11.PINIncorrect:
		return wrong
	case code == p11.PINInvalid, code == p11.PINLenRange:
		if why == change { // by section 5.1.5 these are about the PIN to be set
			return untried
		}
		return wrong
	case untriedCodes[code]:
		return untried
	}
	return unknown
}

func (p purpose) String() string {
	return [...]string{"log in", "change the PIN", "reset the PIN", "initialise the token", "confirm a signature"}[p]
}

// flags are those of the PIN that is tried, as the user PIN has them: the security officer's lie four bits higher.
func (a attempt) flags(all uint) uint {
	if a.why.byOfficer() {
		return p11.FlagUserPINSet | all>>4&(p11.FlagPINCountLow|p11.FlagPINFinalTry|p11.FlagPINLocked) | all&p11.FlagProtectedPath
	}
	return all
}

// checkFlags looks at what the token says of its PIN before any is sent. Flags are an extra brake: a module is free not to
// set them (PKCS#11 2.40, CK_TOKEN_INFO).
func (a attempt) checkFlags(all uint) error {
	refuse := func(text string) error { return &Error{Refused, a.why.String(), errors.New(text)} }
	whose, help := "user PIN", "the security officer unlocks it: epov pin reset"
	if a.why.byOfficer() {
		whose, help = "security officer's PIN", "the vendor's documentation says what is left to do"
	}
	switch flags := a.flags(all); {
	case flags&p11.FlagUserPINSet == 0:
		return refuse("the token's user PIN is not initialised")
	case flags&p11.FlagPINLocked != 0:
		return refuse("the token's " + whose + " is locked; " + help)
	case flags&p11.FlagPINFinalTry != 0 && !a.AllowFinalTry:
		return refuse("one try of the " + whose + " is left before the token locks it; it is not spent without an operator")
	case flags&p11.FlagPINToBeChanged != 0 && a.why != change:
		return refuse("the token wants its user PIN changed first: epov pin change")
	case flags&p11.FlagProtectedPath != 0:
		return &Error{Config, a.why.String(), errors.New("the token takes its PIN from a pad of its own: unfit for a service")}
	}
	return nil
}

// Fits tells whether the token would take a PIN of this length. No upper bound is given as 0.
func Fits(info p11.TokenInfo, p PIN) bool { return fits(info, p.Len()) }

func fits(info p11.TokenInfo, length int) bool {
	n := uint(length)
	return n > 0 && n >= info.MinPIN && (info.MaxPIN == 0 || n <= info.MaxPIN)
}

// lock makes the directory when it is missing, and holds the token's record against other processes and goroutines.
func lock(ctx context.Context, dir, serial string) (unlock func(), err error) {
	fail := func(err error) (func(), error) { return nil, &Error{Config, "use the state directory", err} }
	if dir == "" {
		return fail(errors.New("none is given"))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.OpenFile(lockPath(dir, serial), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		err = give(f)
	}
	if err != nil {
		return fail(errors.Join(err, f.Close()))
	}
	for wait := time.Millisecond; ; {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return fail(err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, &Error{Expired, "wait for another login on the token", ctx.Err()}
		case <-time.After(wait):
			wait = min(2*wait, 20*time.Millisecond)
		}
	}
}
