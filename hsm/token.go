package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// Token is an open, logged-in token in the hands of one officer or tool: it does one thing at a time and puts nothing right
// by itself. A [Scheduler] is what keeps tokens at work. Safe for concurrent use; calls wait for each other.
//
// The login belongs to the process and the token, and ends with the last session: the anchor session keeps it.
type Token struct {
	cfg    TokenConfig
	log    *slog.Logger
	module host
	slot   uint
	info   TokenInfo
	anchor p11.Session
	turn   chan struct{} // holds one value, unless somebody is at work
	closed bool          // whoever has the turn may look
}

// Open loads the module, finds the token, checks its PIN flags and the record of refused PINs, and logs in once. It touches
// the token under the configured rules only: a wrong PIN costs one try, however often the caller starts anew. When ctx ends
// first, Open returns and what it began is undone as soon as the module answers.
func Open(ctx context.Context, cfg TokenConfig, log *slog.Logger) (*Token, error) {
	checked, err := cfg.checked()
	if err != nil {
		return nil, &Error{Kind: Config, Token: cfg.Name, Op: "open", Err: err}
	}
	return open(ctx, checked, log, loadInProcess)
}

func open(ctx context.Context, cfg TokenConfig, log *slog.Logger, load hostMaker) (*Token, error) {
	type result struct {
		t   *Token
		err error
	}
	done := make(chan result, 1)
	go func() {
		t, err := openNow(ctx, cfg, log, load)
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		return r.t, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.t != nil {
				_ = r.t.Close(context.WithoutCancel(ctx))
			}
		}()
		return nil, &Error{Kind: Expired, Token: cfg.Name, Op: "open", Err: ctx.Err()}
	}
}

func openNow(ctx context.Context, cfg TokenConfig, log *slog.Logger, load hostMaker) (_ *Token, err error) {
	t := &Token{cfg: cfg, log: log.With("token", cfg.Name), turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	t.module, err = load(ctx, cfg.Module, hostOptions{Log: t.log, Logins: t.cfg.logins()})
	if err != nil {
		return nil, t.fail("load the module", err, Config)
	}
	defer func() {
		if err != nil {
			if t.anchor != 0 {
				_ = t.module.CloseSession(t.anchor)
			}
			_ = t.module.Close(context.WithoutCancel(ctx))
		}
	}()
	found, err := findToken(t.module, cfg.Label, cfg.Serial)
	if err != nil {
		return nil, t.fail("find the token", err, Internal)
	}
	t.slot, t.info = found.Slot, found.TokenInfo
	if t.anchor, err = t.module.OpenSession(t.slot, false); err != nil {
		return nil, t.fail("open a session", err, Internal)
	}
	if err := t.logInAnchor(ctx); err != nil {
		return nil, err
	}
	t.log.Info("token opened", "serial", t.info.Serial, "label", t.info.Label, "model", t.info.Model)
	return t, nil
}

func (t *Token) credentials() pin.Login {
	return pin.Login{Serial: t.info.Serial, StateDir: t.cfg.StateDir, Source: t.cfg.PIN, AllowFinalTry: t.cfg.AllowFinalTry}
}

// logInAnchor makes one try.
func (t *Token) logInAnchor(ctx context.Context) error {
	err := t.module.LogIn(ctx, t.anchor, t.slot, t.credentials())
	if t.cfg.Trace.Login != nil {
		t.cfg.Trace.Login(t.cfg.Name, err)
	}
	if err != nil {
		return t.fail("log in", err, Internal)
	}
	return nil
}

// Name is the configured name.
func (t *Token) Name() string { return t.cfg.Name }

// Info describes the token as it was at Open.
func (t *Token) Info() TokenInfo { return t.info }

// Close turns new callers away, waits for the call under way, and lets go of the token; the last user of a module finalises
// it. When ctx ends first the module is left as it is, for to finalise it during a call crashes the process: leave by exit.
// A second call returns nil.
func (t *Token) Close(ctx context.Context) error {
	select {
	case <-t.turn:
	case <-ctx.Done():
		return &Error{Kind: Expired, Token: t.cfg.Name, Op: "wait for calls under way", Err: ctx.Err()}
	}
	defer func() { t.turn <- struct{}{} }()
	if t.closed {
		return nil
	}
	t.closed = true
	_ = t.module.CloseSession(t.anchor)
	if err := t.module.Close(ctx); err != nil {
		return t.fail("finalise the module", err, Internal)
	}
	t.log.Info("token closed")
	return nil
}

// fail makes err an *Error of this token; one that is an *Error already keeps its kind and operation, and a return code has
// the kind of its class.
func (t *Token) fail(op string, err error, kind Kind) error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Token != "" {
			return err
		}
		named := *e
		named.Token = t.cfg.Name
		return &named
	}
	switch _, isCode := errors.AsType[p11.Error](err); {
	case isCode:
		kind = classify(err).kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = Expired
	}
	return &Error{Kind: kind, Token: t.cfg.Name, Op: op, Err: err}
}

// await runs f and returns its error, or the context's when it ends first: a call of the module cannot be cancelled, and f
// goes on by itself.
func (t *Token) await(ctx context.Context, op string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return t.fail(op, err, Internal)
	}
	return nil
}

// withSession runs f with a session of its own, as await does.
func (t *Token) withSession(ctx context.Context, op string, f func(session) error) error {
	return t.with(ctx, op, false, func(s p11.Session) error { return f(session{handle: s}) })
}

// withReadWrite runs f with a read-write session of its own, as await does.
func (t *Token) withReadWrite(ctx context.Context, op string, f func(p11.Session) error) error {
	return t.with(ctx, op, true, f)
}

func (t *Token) with(ctx context.Context, op string, readWrite bool, f func(p11.Session) error) error {
	return t.await(ctx, op, func() error {
		select {
		case <-t.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		defer func() { t.turn <- struct{}{} }()
		if t.closed {
			return &Error{Kind: Closed, Op: op, Err: errors.New("the token is closed")}
		}
		s, err := t.module.OpenSession(t.slot, readWrite)
		if err != nil {
			return err
		}
		err = f(s)
		_ = t.module.CloseSession(s)
		return err
	})
}

type foundToken struct {
	TokenInfo
	raw p11.TokenInfo
}

// findToken looks a token up by label, serial or both among initialised ones; several are never chosen from.
func findToken(m p11.Module, label, serial string) (foundToken, error) {
	all, err := tokens(m)
	if err != nil {
		return foundToken{}, err
	}
	var fitting []foundToken
	var names []string
	for _, t := range all {
		if !t.Initialised {
			continue
		}
		names = append(names, fmt.Sprintf("%q (serial %s)", t.Label, t.Serial))
		if (label == "" || t.Label == label) && (serial == "" || t.Serial == serial) {
			fitting = append(fitting, t)
		}
	}
	present := "the module shows no initialised token"
	if len(names) > 0 {
		present = "the module shows " + strings.Join(names, ", ")
	}
	var wants []string
	if label != "" {
		wants = append(wants, fmt.Sprintf("label %q", label))
	}
	if serial != "" {
		wants = append(wants, fmt.Sprintf("serial %q", serial))
	}
	wanted := strings.Join(wants, " and ")
	switch len(fitting) {
	case 1:
		return fitting[0], nil
	case 0:
		return foundToken{}, &Error{Kind: Away, Op: "find the token",
			Err: fmt.Errorf("no token has %s; %s", wanted, present)}
	default:
		return foundToken{}, &Error{Kind: Ambiguous, Op: "find the token",
			Err: fmt.Errorf("several tokens have %s; %s: give the serial", wanted, present)}
	}
}
