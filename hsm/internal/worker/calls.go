package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// sharedPIN is a PIN in memory that each child of a module inherits under the same number.
type sharedPIN struct {
	source pin.Source
	file   *os.File
}

// Sign is the call that must be lean: it allocates nothing but the signature, and reads the answer without a closure.
func (w *Worker) Sign(dst []byte, s p11.Session, mechanism uint, key p11.Object, data []byte) ([]byte, error) {
	p := w.take()
	if p == nil {
		return nil, p11.ErrLost
	}
	defer w.put(p)
	q := writer{b: p.shared.data}
	q.word(uint64(opSign))
	q.word(uint64(s))
	q.word(uint64(mechanism))
	q.word(uint64(key))
	q.octets(data)
	if q.overflow {
		return nil, p11.DataLenRange
	}
	n, ok := w.pass(p, q.n, ticksPerCall+1)
	if !ok {
		return nil, p11.ErrLost
	}
	var answer [8 + 8 + p11.MaxSignature]byte
	if n <= len(answer) {
		r := reader{b: answer[:copy(answer[:], p.shared.data[:n])]}
		if r.word() == done {
			if signature := r.octets(); r.end() {
				return append(dst, signature...), nil
			}
		}
	}
	r := w.copied(p, n)
	if err := w.outcome(&r); err != nil {
		return nil, err
	}
	return nil, w.confused()
}

// call makes any other call: request fills in the arguments, results takes the results.
func (w *Worker) call(op operation, limit int64, request func(*writer), results func(*reader)) error {
	p := w.take()
	if p == nil {
		return p11.ErrLost
	}
	defer w.put(p)
	q := writer{b: p.shared.data}
	q.word(uint64(op))
	request(&q)
	defer clear(p.shared.data[:q.n]) // there may be a PIN in it
	if q.overflow {
		return p11.ArgumentsBad
	}
	n, ok := w.pass(p, q.n, limit)
	if !ok {
		return p11.ErrLost
	}
	r := w.copied(p, n)
	if err := w.outcome(&r); err != nil {
		return err
	}
	if results != nil {
		results(&r)
	}
	if !r.end() {
		return w.confused()
	}
	return nil
}

// copied takes an answer away from the child, which could still change it.
func (w *Worker) copied(p *place, n int) reader {
	return reader{b: append([]byte(nil), p.shared.data[:n]...)}
}

// confused ends a child whose answers cannot be read.
func (w *Worker) confused() error {
	w.Kill(errors.New("it gives an answer that cannot be read"))
	return p11.ErrLost
}

// outcome reads the beginning of an answer: nil when results follow.
func (w *Worker) outcome(r *reader) error {
	switch r.word() {
	case done:
		if !r.bad {
			return nil
		}
	case withCode:
		if code := p11.Error(r.word()); code != 0 && r.end() {
			return code
		}
	case withText:
		f := failure{Code: p11.Error(r.word())}
		f.Text = string(r.octets())
		if r.end() {
			return f.error()
		}
	case withPIN:
		if err := readPINError(r); err != nil {
			return err
		}
	}
	return w.confused()
}

func (w *Worker) plain(op operation, request func(*writer), results func(*reader)) error {
	return w.call(op, ticksPerCall+1, request, results)
}

func (w *Worker) Slots() (slots []uint, err error) {
	err = w.plain(opSlots, func(*writer) {}, func(r *reader) { slots = readWords[uint](r) })
	return slots, err
}

func readWords[T ~uint](r *reader) []T {
	list := make([]T, r.count(8))
	for i := range list {
		list[i] = T(r.word())
	}
	return list
}

func (w *Worker) TokenInfo(slot uint) (info p11.TokenInfo, err error) {
	err = w.plain(opTokenInfo, func(q *writer) { q.word(uint64(slot)) }, func(r *reader) {
		if json.Unmarshal(r.octets(), &info) != nil {
			r.bad = true
		}
	})
	for _, s := range []*string{&info.Label, &info.Serial, &info.Manufacturer, &info.Model, &info.Firmware, &info.Clock,
		&info.Library.Manufacturer, &info.Library.Description, &info.Library.Version, &info.Library.Interface} {
		*s = (*s)[:min(len(*s), 64)] // the longest field has 32 octets
	}
	return info, err
}

func (w *Worker) Mechanisms(slot uint) (kinds []uint, err error) {
	err = w.plain(opMechanisms, func(q *writer) { q.word(uint64(slot)) }, func(r *reader) { kinds = readWords[uint](r) })
	return kinds, err
}

func (w *Worker) InitToken(slot uint, soPIN, label string) error {
	return w.plain(opInitToken, func(q *writer) { q.word(uint64(slot)); q.text(soPIN); q.text(label) }, nil)
}

func (w *Worker) InitPIN(s p11.Session, pin string) error {
	return w.plain(opInitPIN, func(q *writer) { q.word(uint64(s)); q.text(pin) }, nil)
}

func (w *Worker) SetPIN(s p11.Session, old, new string) error {
	return w.plain(opSetPIN, func(q *writer) { q.word(uint64(s)); q.text(old); q.text(new) }, nil)
}

func (w *Worker) OpenSession(slot uint, readWrite bool) (s p11.Session, err error) {
	err = w.plain(opOpenSession, func(q *writer) { q.word(uint64(slot)); q.flag(readWrite) },
		func(r *reader) { s = p11.Session(r.word()) })
	return s, err
}

func (w *Worker) CloseSession(s p11.Session) error {
	return w.plain(opCloseSession, func(q *writer) { q.word(uint64(s)) }, nil)
}

func (w *Worker) LoggedIn(s p11.Session) (in bool, err error) {
	err = w.plain(opLoggedIn, func(q *writer) { q.word(uint64(s)) }, func(r *reader) { in = r.flag() })
	return in, err
}

func (w *Worker) Login(s p11.Session, user uint, pin string) error {
	return w.plain(opLogin, func(q *writer) { q.word(uint64(s)); q.word(uint64(user)); q.text(pin) }, nil)
}

func (w *Worker) Logout(s p11.Session) error {
	return w.plain(opLogout, func(q *writer) { q.word(uint64(s)) }, nil)
}

func (w *Worker) Find(s p11.Session, template []*p11.Attribute, limit int) (found []p11.Object, err error) {
	limit = min(max(limit, 0), placeSize/8-8) // what an answer can hold
	err = w.plain(opFind, func(q *writer) { q.word(uint64(s)); q.attributes(template); q.word(uint64(limit)) },
		func(r *reader) {
			found = readWords[p11.Object](r)
			r.bad = r.bad || len(found) > limit
		})
	return found, err
}

func (w *Worker) Attribute(s p11.Session, o p11.Object, kind uint) (value []byte, err error) {
	err = w.plain(opAttribute, func(q *writer) { q.word(uint64(s)); q.word(uint64(o)); q.word(uint64(kind)) },
		func(r *reader) { value = r.octets() })
	return value, err
}

func (w *Worker) CreateObject(s p11.Session, template []*p11.Attribute) (o p11.Object, err error) {
	err = w.plain(opCreateObject, func(q *writer) { q.word(uint64(s)); q.attributes(template) },
		func(r *reader) { o = p11.Object(r.word()) })
	return o, err
}

func (w *Worker) DestroyObject(s p11.Session, o p11.Object) error {
	return w.plain(opDestroyObject, func(q *writer) { q.word(uint64(s)); q.word(uint64(o)) }, nil)
}

func (w *Worker) GenerateKeyPair(s p11.Session, mechanism uint, public, private []*p11.Attribute) (pub, priv p11.Object, err error) {
	err = w.plain(opGenerateKeyPair, func(q *writer) {
		q.word(uint64(s))
		q.word(uint64(mechanism))
		q.attributes(public)
		q.attributes(private)
	}, func(r *reader) { pub, priv = p11.Object(r.word()), p11.Object(r.word()) })
	return pub, priv, err
}

// loginTime is how long a login may wait for others on the same token when its context does not say.
const loginTime = 30 * time.Second

// LogIn makes a login as pin.Keeper.LogIn does, in the child: the PIN is read and used there alone. A PIN that is not in a
// file must have been among the logins of [Options].
func (w *Worker) LogIn(ctx context.Context, s p11.Session, slot uint, l pin.Login) error {
	err := w.withPIN(ctx, "log in", opLogInGuarded, l, func(q *writer) { q.word(uint64(s)); q.word(uint64(slot)) }, nil)
	if _, ok := errors.AsType[*pin.Error](err); err == nil || ok {
		return err
	}
	return &pin.Error{Kind: pin.Answered, Op: "log in", Err: err} // the worker is gone
}

// SignConfirmed signs as pin.Keeper.Sign does, in the child, under the same rules as LogIn.
func (w *Worker) SignConfirmed(ctx context.Context, dst []byte, s p11.Session, slot uint, mechanism uint, key p11.Object,
	digest []byte, l pin.Login) ([]byte, error) {
	var signature []byte
	err := w.withPIN(ctx, "confirm a signature", opSignConfirmed, l, func(q *writer) {
		q.word(uint64(s))
		q.word(uint64(slot))
		q.word(uint64(mechanism))
		q.word(uint64(key))
		q.octets(digest)
	}, func(r *reader) {
		signature = r.octets()
		r.bad = r.bad || len(signature) > p11.MaxSignature
	})
	if err != nil {
		return nil, err
	}
	return append(dst, signature...), nil
}

// withPIN makes a call that uses a PIN: the request is what it begins with, then the time and the login.
func (w *Worker) withPIN(ctx context.Context, what string, op operation, l pin.Login, request func(*writer), results func(*reader)) error {
	refuse := func(kind pin.Kind, err error) error { return &pin.Error{Kind: kind, Op: what, Err: err} }
	source := l.Source
	if l.Source.Paths() == nil {
		number := 0
		for i, shared := range w.shared {
			if shared.source == l.Source {
				number = firstPIN + i
			}
		}
		if number == 0 {
			return refuse(pin.Config, errors.New("the PIN was not given to the module's process when it started"))
		}
		l.Source = pin.Source{Descriptor: number}
	}
	wait := loginTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	if ctx.Err() != nil || wait <= 0 {
		return refuse(pin.Expired, errors.Join(ctx.Err(), context.DeadlineExceeded))
	}
	body, err := json.Marshal(l)
	if err != nil {
		return refuse(pin.Failed, err)
	}
	err = w.call(op, w.boundedTicks(wait), func(q *writer) {
		request(q)
		q.word(uint64(wait))
		q.octets(body)
	}, results)
	return w.replaced(source, err)
}

func writePINError(q *writer, e *pin.Error) {
	code, _ := errors.AsType[p11.Error](e.Err)
	text := e.Err.Error()
	q.word(withPIN)
	q.word(uint64(e.Kind))
	q.flag(errors.Is(e.Err, context.DeadlineExceeded) || errors.Is(e.Err, context.Canceled))
	q.word(uint64(code))
	q.text(e.Op)
	q.text(text[:min(len(text), maxText)])
}

// readPINError gives nil when there is none to be read.
func readPINError(r *reader) error {
	kind, expired, code := r.word(), r.flag(), r.word()
	op, text := string(r.octets()), string(r.octets())
	if !r.end() || kind > uint64(pin.Answered) {
		return nil
	}
	err := (&failure{text, p11.Error(code)}).error()
	if expired {
		err = fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	}
	return &pin.Error{Kind: pin.Kind(kind), Op: printable(op), Err: err}
}
