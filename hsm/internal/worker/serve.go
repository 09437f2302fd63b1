package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
	"github.com/epov-signer/epov/internal/sandbox"
)

// ready says that this program's children can be workers.
var ready atomic.Bool

// Main is the whole life of a worker, when the process is one, and does not return then. A program whose workers are to be
// started, and a test binary, calls it first of all.
func Main() {
	if len(os.Args) != 2 || os.Args[0] != marker {
		ready.Store(true)
		return
	}
	os.Exit(serve(os.Args[1]))
}

// child is the worker's own side.
type child struct {
	control *control
	area    *area
	path    string
	options p11.Options
	module  p11.Library // nil before C_Initialize
	release func() error
	pins    pin.Keeper
}

// Exit codes of a worker, for the log.
const (
	exitEnded    = 0
	exitOrphaned = 1 // the control socket ended
	exitConfused = 2 // what came by it cannot be understood
)

func serve(pins string) int {
	hidden := hide()
	n, err := strconv.Atoi(pins)
	if err != nil {
		return exitConfused
	}
	sandbox.CloseFrom(firstPIN + n)
	// A service manager that stops all processes of the service at once shall not take the module from under calls at work.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	_ = unix.SetNonblock(controlDescriptor, true)
	c := &child{control: newControl(controlDescriptor)}
	// The library has its turn elsewhere, so that signs of life are given, and the parent's end is noticed, while it works.
	commands := make(chan message)
	go func() {
		for m := range commands {
			if code, over := c.obey(m, hidden); over {
				os.Exit(code)
			}
		}
	}()
	for {
		m, err := c.control.receive()
		switch {
		case err != nil:
			return exitOrphaned
		case m.kind != sayAlive:
			commands <- m
		case c.control.send(sayAlive, nil) != nil:
			return exitOrphaned
		}
	}
}

// obey does what the parent says; over: the process ends with this code.
func (c *child) obey(m message, hidden bool) (code int, over bool) {
	ok := false
	switch m.kind {
	case sayHello:
		ok = c.hello(m, hidden)
	case sayInitialise:
		ok = c.answer(m.kind, c.initialise(), nil)
	case sayOpen:
		ok = c.open(m.body)
	case sayEnd:
		if c.answer(m.kind, c.end(), nil) {
			return exitEnded, true
		}
	}
	return exitConfused, !ok
}

// hide gives the process its name, and keeps it from dumping core and from being traced, for a start.
func hide() bool {
	if name := []byte("epov-module\x00"); unix.Gettid() == unix.Getpid() { // else it is called exe
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
	}
	unix.Umask(0o077)
	return sandbox.Hide()
}

func (c *child) answer(kind byte, err error, body any) bool {
	var a reply
	if err != nil {
		a.Error = newFailure(err)
	} else if body != nil {
		a.Body, err = json.Marshal(body)
		if err != nil {
			return false
		}
	}
	m, err := json.Marshal(a)
	return err == nil && c.control.send(kind, m) == nil
}

// hello learns what the worker is for, confines it and loads the library, so that what is left to do is C_Initialize.
func (c *child) hello(m message, hidden bool) bool {
	var h hello
	if c.area != nil || json.Unmarshal(m.body, &h) != nil || h.Version != version || h.Places < 1 || h.Places > MaxCalls {
		return false
	}
	a, err := mapArea(areaDescriptor, bellDescriptor, h.Places)
	if err != nil {
		return c.answer(m.kind, err, nil)
	}
	_ = unix.Close(areaDescriptor)
	// Threads that come back from the kernel shall find a processor of the Go scheduler free; they hold none in the module.
	runtime.GOMAXPROCS(min(max(h.Places, 2), 16))
	c.area, c.path, c.options = a, h.Module, p11.Options{Serial: h.Serial}
	report := Report{Hidden: hidden, NoPrivileges: sandbox.NoCapabilities() && sandbox.NoNewPrivileges()}
	if err := pin.CheckMemory(); err != nil {
		report.Memory = err.Error()
	}
	report.Filter = "not wanted"
	if !h.Sandbox.Off {
		if err := sandbox.Denying(h.Sandbox.Families).Install(); err != nil {
			report.Filter = err.Error()
		} else {
			report.Filter, report.Seccomp = "", true
		}
	}
	if err := p11.Preload(h.Module); err != nil {
		return c.answer(m.kind, err, nil)
	}
	return c.answer(m.kind, nil, welcome{version, report})
}

func (c *child) initialise() (err error) {
	if c.area == nil || c.module != nil {
		return errors.New("not now")
	}
	c.module, c.release, err = p11.LoadWith(c.path, c.options)
	return err
}

func (c *child) end() error {
	c.pins.Close()
	if c.release == nil {
		return nil
	}
	return c.release()
}

// open starts a thread for a place.
func (c *child) open(body []byte) bool {
	if len(body) != 2 || c.module == nil {
		return false
	}
	number := int(body[0]) | int(body[1])<<8
	if number >= len(c.area.places) {
		return false
	}
	p := c.area.places[number]
	go func() {
		runtime.LockOSThread() // libraries may keep something by the thread
		a := attendant{child: c, data: p.data}
		for {
			n := p.next()
			if n > placeSize {
				os.Exit(exitConfused)
			}
			p.reply(a.attend(n))
		}
	}()
	return true
}

// attendant serves one place.
type attendant struct {
	*child
	data []byte                 // of the place
	room [p11.MaxSignature]byte // where a signature is made
}

// attend reads the request in the first n octets of the place, calls the module and puts the answer there, whose length it
// gives.
func (a *attendant) attend(n int) int {
	r := reader{b: a.data[:n:n]}
	q := writer{b: a.data}
	op := operation(r.word())
	var err error
	if op == opSign {
		err = a.sign(&r, &q)
	} else {
		err = a.dispatch(op, &r, &q)
	}
	if err == nil && q.overflow {
		err = errors.New("the answer is longer than 64 KiB")
	}
	if err != nil {
		q = writer{b: a.data}
		writeError(&q, err)
	}
	return q.n
}

// sign allocates nothing: the signature is made in a buffer of its own, for the digest lies where the answer goes.
func (a *attendant) sign(r *reader, q *writer) error {
	s, mechanism, key, digest := r.word(), r.word(), r.word(), r.octets()
	if !r.end() {
		return errUnreadable
	}
	signature, err := a.module.Sign(a.room[:0], p11.Session(s), uint(mechanism), p11.Object(key), digest)
	if err != nil {
		return err
	}
	q.word(done)
	q.octets(signature)
	return nil
}

func writeError(q *writer, err error) {
	if code, ok := err.(p11.Error); ok {
		q.word(withCode)
		q.word(uint64(code))
		return
	}
	if e, ok := err.(*pin.Error); ok {
		writePINError(q, e)
		return
	}
	if err == errUnreadable {
		q.word(unreadable)
		return
	}
	f := newFailure(err)
	q.word(withText)
	q.word(uint64(f.Code))
	q.text(f.Text)
}

var errUnreadable = errors.New("the request cannot be read")

// borrowed is octets as a string, without a copy that would stay behind: PINs are lent, and wiped with their place.
func borrowed(v []byte) string { return unsafe.String(unsafe.SliceData(v), len(v)) }

// dispatch makes a call. The request lies where the answer is written, so all of it is read, and used, before the first word
// of the answer.
func (c *child) dispatch(op operation, r *reader, q *writer) error {
	m := c.module
	session := func() p11.Session { return p11.Session(r.word()) }
	// finish makes the call, once the request has been read whole.
	finish := func(call func() error) error {
		if !r.end() {
			return errUnreadable
		}
		if err := call(); err != nil {
			return err
		}
		q.word(done)
		return nil
	}
	switch op {
	case opSlots:
		var slots []uint
		err := finish(func() (err error) { slots, err = m.Slots(); return err })
		return writeWords(q, slots, err)
	case opTokenInfo:
		slot := uint(r.word())
		var body []byte
		err := finish(func() error {
			info, err := m.TokenInfo(slot)
			if err == nil {
				body, err = json.Marshal(info)
			}
			return err
		})
		if err == nil {
			q.octets(body)
		}
		return err
	case opMechanisms:
		slot := uint(r.word())
		var kinds []uint
		err := finish(func() (err error) { kinds, err = m.Mechanisms(slot); return err })
		return writeWords(q, kinds, err)
	case opInitToken:
		slot, pin, label := uint(r.word()), r.octets(), string(r.octets())
		return finish(func() error { return m.InitToken(slot, borrowed(pin), label) })
	case opInitPIN:
		s, pin := session(), r.octets()
		return finish(func() error { return m.InitPIN(s, borrowed(pin)) })
	case opSetPIN:
		s, old, new := session(), r.octets(), r.octets()
		return finish(func() error { return m.SetPIN(s, borrowed(old), borrowed(new)) })
	case opOpenSession:
		slot, readWrite := uint(r.word()), r.flag()
		var s p11.Session
		err := finish(func() (err error) { s, err = m.OpenSession(slot, readWrite); return err })
		return writeWord(q, uint64(s), err)
	case opCloseSession:
		s := session()
		return finish(func() error { return m.CloseSession(s) })
	case opLoggedIn:
		s := session()
		var in bool
		err := finish(func() (err error) { in, err = m.LoggedIn(s); return err })
		if err == nil {
			q.flag(in)
		}
		return err
	case opLogin:
		s, user, pin := session(), uint(r.word()), r.octets()
		return finish(func() error { return m.Login(s, user, borrowed(pin)) })
	case opLogout:
		s := session()
		return finish(func() error { return m.Logout(s) })
	case opFind:
		s, template, limit := session(), r.attributes(), r.word()
		if limit > placeSize/8 {
			return errUnreadable
		}
		var found []p11.Object
		err := finish(func() (err error) { found, err = m.Find(s, template, int(limit)); return err })
		return writeWords(q, found, err)
	case opAttribute:
		s, o, kind := session(), p11.Object(r.word()), uint(r.word())
		var value []byte
		err := finish(func() (err error) { value, err = m.Attribute(s, o, kind); return err })
		if err == nil {
			q.octets(value)
		}
		return err
	case opCreateObject:
		s, template := session(), r.attributes()
		var o p11.Object
		err := finish(func() (err error) { o, err = m.CreateObject(s, template); return err })
		return writeWord(q, uint64(o), err)
	case opDestroyObject:
		s, o := session(), p11.Object(r.word())
		return finish(func() error { return m.DestroyObject(s, o) })
	case opGenerateKeyPair:
		s, mechanism, public, private := session(), uint(r.word()), r.attributes(), r.attributes()
		var pub, priv p11.Object
		err := finish(func() (err error) { pub, priv, err = m.GenerateKeyPair(s, mechanism, public, private); return err })
		return writeWord(q, uint64(priv), writeWord(q, uint64(pub), err))
	case opLogInGuarded:
		s, slot := session(), uint(r.word())
		return c.withPIN(r, finish, func(ctx context.Context, l pin.Login) error { return c.pins.LogIn(ctx, m, s, slot, l) })
	case opSignConfirmed:
		s, slot, mechanism, key := session(), uint(r.word()), uint(r.word()), p11.Object(r.word())
		digest, signature := bytes.Clone(r.octets()), []byte(nil)
		err := c.withPIN(r, finish, func(ctx context.Context, l pin.Login) (err error) {
			signature, err = c.pins.Sign(ctx, nil, m, s, slot, mechanism, key, digest, l)
			return err
		})
		if err == nil {
			q.octets(signature)
		}
		return err
	}
	return errUnreadable
}

func writeWord(q *writer, v uint64, err error) error {
	if err == nil {
		q.word(v)
	}
	return err
}

func writeWords[T ~uint](q *writer, list []T, err error) error {
	if err != nil {
		return err
	}
	q.word(uint64(len(list)))
	for _, v := range list {
		q.word(uint64(v))
	}
	return nil
}

// withPIN reads the time and the login that a call is made with.
func (c *child) withPIN(r *reader, finish func(func() error) error, call func(context.Context, pin.Login) error) error {
	wait := time.Duration(r.word())
	var l pin.Login
	if json.Unmarshal(r.octets(), &l) != nil {
		return errUnreadable
	}
	return finish(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		return call(ctx, l)
	})
}
