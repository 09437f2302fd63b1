package hsm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// checkFlags looks at what the token says of its PIN before any is sent. Flags are an extra brake: a module is free not to
// set them (PKCS#11 2.40, CK_TOKEN_INFO).
func checkFlags(flags uint, allowFinalTry bool) error {
	refuse := func(text string) error { return &Error{Kind: PINRefused, Op: "log in", Err: errors.New(text)} }
	switch {
	case flags&p11.FlagUserPINSet == 0:
		return refuse("the token's user PIN is not initialised")
	case flags&p11.FlagPINLocked != 0:
		return refuse("the token's user PIN is locked; the security officer must unlock it")
	case flags&p11.FlagPINFinalTry != 0 && !allowFinalTry:
		return refuse("one try is left before the token locks its PIN; it is not spent without an operator")
	case flags&p11.FlagPINToBeChanged != 0:
		return refuse("the token wants its user PIN changed first")
	case flags&p11.FlagProtectedPath != 0:
		return &Error{Kind: Config, Op: "log in", Err: errors.New("the token takes its PIN from a pad of its own: unfit for a service")}
	}
	return nil
}

// fitsPIN tells whether the token would take a PIN of this length. No upper bound is given as 0.
func fitsPIN(info p11.TokenInfo, pin PIN) bool {
	n := uint(len(pin.octets))
	return n > 0 && n >= info.MinPIN && (info.MaxPIN == 0 || n <= info.MaxPIN)
}

// guard makes one try with a PIN under the rules that keep a token from being locked: flags first, no PIN that this token
// has refused before, a durable mark around the call, and one process at a time.
type guard struct {
	dir           string
	info          p11.TokenInfo
	allowFinalTry bool
}

func (g guard) login(ctx context.Context, pin PIN, try func(pin string) error) error {
	refuse := func(format string, args ...any) error {
		return &Error{Kind: PINRefused, Op: "log in", Err: fmt.Errorf(format, args...)}
	}
	if err := checkFlags(g.info.Flags, g.allowFinalTry); err != nil {
		return err
	}
	if !fitsPIN(g.info, pin) {
		return &Error{Kind: Config, Op: "log in", Err: fmt.Errorf("the PIN's length is outside the token's %d to %d",
			g.info.MinPIN, g.info.MaxPIN)}
	}
	unlock, err := lockDir(ctx, g.dir)
	if err != nil {
		return err
	}
	defer unlock()

	path := recordPath(g.dir, g.info.Serial)
	rec, err := readRecord(path, g.info.Serial)
	if err != nil {
		return refuse("%w; look into it and remove the file", err)
	}
	tag, err := rec.tag(pin)
	if err != nil {
		return &Error{Kind: Internal, Op: "log in", Err: err}
	}
	if rec.refused(tag) {
		return refuse("the token has refused this PIN before; correct it, or remove %s to spend another try", path)
	}
	if rec.Attempt != nil {
		flagged := g.info.Flags&(p11.FlagPINCountLow|p11.FlagPINFinalTry) != 0
		if rec.Interrupted > 0 || flagged {
			return refuse("an earlier try at %s was cut short; remove %s to spend another", rec.Attempt.Format(time.RFC3339), path)
		}
		rec.Interrupted++
	}
	now := time.Now().UTC().Truncate(time.Second)
	rec.Attempt = &now
	if err := rec.write(path); err != nil {
		return &Error{Kind: Internal, Op: "record the try to log in", Err: err} // a full disk may be emptied
	}

	err = try(string(pin.octets))
	code, _ := errors.AsType[p11.Error](err)
	rec.Attempt, rec.Interrupted = nil, 0
	var kept error
	switch {
	case err == nil:
		kept = removeRecord(path)
	case code == p11.PINIncorrect || code == p11.PINInvalid || code == p11.PINLenRange:
		rec.refuse(tag)
		kept = rec.write(path)
	case len(rec.Refused) > 0: // the PIN was not examined, or not heard of again
		kept = rec.write(path)
	default:
		kept = removeRecord(path)
	}
	if err == nil || code == p11.UserAlreadyLoggedIn {
		if kept != nil {
			return &Error{Kind: Internal, Op: "clear the record of tries to log in", Err: kept}
		}
		return nil
	}
	return &Error{Kind: classify(err).kind, Op: "log in", Err: errors.Join(err, kept)}
}

// lockDir makes the directory when it is missing, and holds it against other processes.
func lockDir(ctx context.Context, dir string) (unlock func(), err error) {
	fail := func(err error) (func(), error) {
		return nil, &Error{Kind: Config, Op: "use the state directory", Err: err}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fail(err)
	}
	for {
		err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { d.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR {
			d.Close()
			return fail(err)
		}
		select {
		case <-ctx.Done():
			d.Close()
			return nil, &Error{Kind: Expired, Op: "wait for another login on the token", Err: ctx.Err()}
		case <-time.After(20 * time.Millisecond):
		}
	}
}
