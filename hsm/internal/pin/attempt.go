package pin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

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

func (p purpose) String() string {
	return [...]string{"log in", "change the PIN", "reset the PIN", "initialise the token", "confirm a signature"}[p]
}

// attempt is one try and what it needs.
type attempt struct {
	module p11.Module
	slot   uint
	Login
	why purpose
	try func(secret string) error
}

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
