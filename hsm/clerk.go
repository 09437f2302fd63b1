package hsm

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// request is one signature on its way. Callers reuse them; which fields are whose follows from the phase.
type request struct {
	link // of the queue

	// Set by the caller.
	digest   [64]byte
	size     int
	from     Flow
	deadline time.Duration // by the scheduler's clock
	replica  *replica

	// Guarded by the mutex of the replica's lane.
	phase phase
	taken uint16 // remedies, as bits
	tries int    // by clerks

	// The result; the caller's once done has been received from.
	signature [128]byte
	length    int
	err       error
	sign      time.Duration
	retried   bool

	done chan struct{} // of room 1
}

type phase uint8

const (
	finished  phase = iota // with its caller
	queued                 // in the queue
	running                // with a clerk
	abandoned              // with a clerk, and the caller has gone
)

// once says whether a remedy is new to the request, and notes it.
func (r *request) once(what remedy) bool {
	bit := uint16(1) << what
	fresh := r.taken&bit == 0
	r.taken |= bit
	r.retried = true
	return fresh
}

// session is on loan to one goroutine at a time. Handles found in an epoch mean nothing in another: after a new login or a
// new start of the module an old number may denote another object.
type session struct {
	handle p11.Session
	epoch  uint64
}

// clerk signs with one session of its own, one request at a time.
type clerk struct {
	lane *lane
	wake chan *request // closed: the end

	// Guarded by the lane's mutex.
	request *request // nil: idle
	since   time.Duration
	dropped bool // it hangs in a call, and its request has gone elsewhere
	rested  time.Duration

	// The clerk's own while it works, the lane's while it is idle. What a call is given must not change under it, however
	// long it hangs: so these are copies.
	s         session
	instance  *instance // of the session
	digest    [64]byte
	size      int
	signature [128]byte
	job
}

// job is what a clerk was told of the lane when it was given its request.
type job struct {
	at        place
	epoch     uint64
	vendor    *Vendor
	replica   *replica
	mechanism uint
	confirmed bool   // by a PIN
	serial    string // of the token
	patience  time.Duration
	object    p11.Object // 0: to be found
}

// brief is called with the mutex held.
func (w *clerk) brief(l *lane, r *replica) {
	w.job = job{at: l.at, epoch: l.epoch, vendor: l.vendor, replica: r, mechanism: r.mechanism,
		confirmed: r.confirmed, serial: l.info.Serial,
		patience: l.callTime()}
	if r.epoch == l.epoch {
		w.object = r.object
	}
}

func (w *clerk) run() {
	for r := range w.wake {
		for r != nil {
			r = w.finish(r, w.attempt(r))
		}
	}
	w.drop(nil)
}

// attempt signs, with what remedies concern this session alone.
func (w *clerk) attempt(r *request) result {
	for waits := 0; ; {
		out := w.try()
		if out.err == nil {
			if w.vendor.Pause > 0 {
				time.Sleep(w.vendor.Pause)
			}
			return out
		}
		w.drop(out.err)
		what := w.vendor.classify(out.err).remedy
		if what != newOne && what != findKey && what != pause {
			return out
		}
		again, dead := w.renew(r, what, waits)
		for _, d := range dead {
			d.drop(out.err)
		}
		if !again {
			return out
		}
		if what == pause {
			waits++
			time.Sleep(5 * time.Millisecond << waits)
		}
	}
}

// maxWaits bounds how often a token that is at its limits is waited for in one request.
const maxWaits = 3

// renew tells whether the remedy may be taken, and takes it. It returns idle clerks whose sessions are as good as dead:
// what killed one session may have killed all.
func (w *clerk) renew(r *request, what remedy, waits int) (again bool, dead []*clerk) {
	l := w.lane
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if w.dropped || w.request != r || r.phase != running || l.state != Ready {
		return false, nil
	}
	if what == pause {
		r.retried = true
		return waits < maxWaits, nil
	}
	if !r.once(what) {
		return false, nil
	}
	if what == newOne {
		dead = l.robbed()
	}
	if w.replica.epoch == w.epoch {
		w.replica.epoch = 0
	}
	w.brief(l, w.replica)
	return true, dead
}

// result is what came of an attempt: n octets in the clerk's signature, or err.
type result struct {
	n         int
	took, end time.Duration
	err       error
}

// try makes sure of a session and a handle of the epoch, and signs into w.signature.
func (w *clerk) try() result {
	clock := w.lane.clock
	if w.instance != nil && (w.s.epoch != w.epoch || w.instance != w.at.instance) {
		w.drop(errOldSession)
	}
	if w.instance == nil {
		if err := w.open(); err != nil {
			return result{err: err, end: clock.now()}
		}
	}
	if w.object == 0 {
		if err := w.find(); err != nil {
			return result{err: err, end: clock.now()}
		}
	}
	start := clock.now()
	var out []byte
	var err error
	if w.confirmed {
		out, err = w.confirm()
	} else {
		out, err = w.at.sign(w.signature[:0], w.s.handle, w.mechanism, w.object, w.digest[:w.size])
	}
	end := clock.now()
	if err != nil {
		return result{err: err, took: end - start, end: end}
	}
	// In place, but for a module that gives more than there is room for.
	return result{n: copy(w.signature[:], out), took: end - start, end: end}
}

// confirm signs with a PIN for this signature. A PIN that is of no use takes the key out of service here until the keeper has found it
// to be of use again; that costs no try of the same one.
func (w *clerk) confirm() ([]byte, error) {
	l := w.lane
	ctx, cancel := context.WithTimeout(context.Background(), w.patience/2) // of which others may wait for the record
	defer cancel()
	login := l.cfg.keyLogin(w.serial)
	login.FlagsTrusted = w.vendor.PINFlagsTrusted && l.cfg.KeyPIN == l.cfg.PIN // they speak of the user's PIN
	out, err := w.at.signConfirmed(ctx, w.signature[:0], w.s.handle, w.at.slot, w.mechanism, w.object, w.digest[:w.size], login)
	if e, ok := errors.AsType[*Error](err); ok && (e.Kind == PINRefused || e.Kind == Config) {
		named := *e
		named.Token = l.name
		if w.replica.lost.CompareAndSwap(nil, &named) {
			l.log.Error("key needs an operator: the PIN that confirms its signatures is of no use", "key", w.replica.key.name, "error", e)
			l.kick()
		}
	}
	return out, err
}

var errOldSession = errors.New("from before the last login")

func (w *clerk) open() error {
	err := w.at.call(func() (err error) {
		w.s.handle, err = w.at.OpenSession(w.at.slot, false)
		return err
	})
	if err != nil {
		return err
	}
	w.instance, w.s.epoch = w.at.instance, w.epoch
	if f := w.lane.trace.SessionOpened; f != nil {
		f(w.lane.name)
	}
	return nil
}

// drop closes the session, if there is one. It may be dead already.
func (w *clerk) drop(reason error) {
	if w.instance == nil {
		return
	}
	_ = w.instance.call(func() error { return w.instance.CloseSession(w.s.handle) })
	w.instance, w.s = nil, session{}
	if f := w.lane.trace.SessionClosed; f != nil {
		f(w.lane.name, reason)
	}
}

// find looks for the key in the epoch.
func (w *clerk) find() error {
	var object p11.Object
	err := w.at.call(func() (err error) {
		object, err = reader{m: w.at, s: w.s.handle}.private(w.replica.id)
		return err
	})
	if err != nil {
		return err
	}
	l := w.lane
	l.mutex.Lock()
	if l.epoch == w.epoch {
		w.replica.object, w.replica.epoch = object, w.epoch
	}
	l.mutex.Unlock()
	w.object = object
	return nil
}

// finish settles what became of a request, and gives the clerk its next one; nil: there is none, or the clerk is over.
func (w *clerk) finish(r *request, out result) *request {
	l := w.lane
	l.mutex.Lock()
	if w.dropped { // the request went its way without it
		l.lib.hanging.Add(-1)
		l.mutex.Unlock()
		close(w.wake)
		return nil
	}
	l.working--
	w.request = nil
	told := false
	gone := false
	r.sign += out.took
	if out.err == nil {
		l.success(w, out.took)
		r.length = copy(r.signature[:], w.signature[:out.n])
		told = l.hand(r, nil)
	} else {
		told, gone = l.failure(w, r, out.err)
	}
	var next *request
	switch {
	case gone || l.state == Stopped:
		gone = true
		l.discharge(w)
		l.pump() // what it leaves waiting is for those who rest
	case l.state == Ready:
		if next = l.take(out.end); next != nil {
			l.assign(w, next, out.end)
			break
		}
		fallthrough
	default:
		w.rested = out.end
		l.idle = append(l.idle, w)
	}
	l.mutex.Unlock()
	if told {
		r.done <- struct{}{}
	}
	if gone {
		close(w.wake)
	}
	return next
}

// discharge takes a clerk off the rolls. The mutex is held.
func (l *lane) discharge(w *clerk) {
	l.alive--
	l.crew = slices.DeleteFunc(l.crew, func(c *clerk) bool { return c == w })
}

// success keeps the figures. The mutex is held.
func (l *lane) success(w *clerk, took time.Duration) {
	l.signed++
	l.pace.add(took)
	l.service.Store(int64(l.pace.mean))
	if w.epoch == l.epoch {
		l.ladder = giveUp
	}
}

// failure decides what becomes of a request whose session met an error. The mutex is held. told: its caller has it again;
// gone: the clerk is one too many.
func (l *lane) failure(w *clerk, r *request, err error) (told, gone bool) {
	what := l.vendor.classify(err).remedy
	e := l.fail("sign", err, Internal).(*Error)
	if what == newOne || what == findKey || e.Kind == KeyNotFound || e.Kind == Ambiguous {
		what = reopen // a fresh session did not help: the token may have been made anew under us
	}
	r.tries++
	switch {
	case what == giveUp || what == pause || r.tries > maxTries:
		return l.hand(r, e), false
	case w.epoch != l.epoch || l.state != Ready:
		// Others found the fault before: what is done about it will do for this one as well.
		return l.again(r), false
	case what == narrow:
		// The session could not be opened, and no other may be for now.
		l.setLimit(l.alive - 1)
		if l.alive > 1 {
			return l.again(r), true
		}
		e.RetryAfter = max(l.pace.mean, ago)
		return l.hand(r, e), false
	}
	l.fault(w.epoch, what, w.replica, err)
	if !r.once(l.wanted) {
		return l.hand(r, e), false
	}
	return l.again(r), false
}

// maxTries bounds how often one request is given to a clerk.
const maxTries = 6

// again puts a request back at the head of the queue, or sends it where it is better served.
func (l *lane) again(r *request) (told bool) {
	if l.state != Ready && l.state != Recovering {
		return l.hand(r, l.shut.Load())
	}
	if l.state != Ready && l.wanted > logIn && r.phase == running && r.replica.key.served(l) {
		return l.hand(r, errMoved)
	}
	if r.phase == abandoned {
		return l.hand(r, nil)
	}
	r.retried = true
	r.phase = queued
	l.queue.pushAgain(r)
	return false
}

// robbed takes the sessions of idle clerks, to be dropped when the mutex is free.
func (l *lane) robbed() (dead []*clerk) {
	for _, w := range l.idle {
		if w.instance != nil {
			dead = append(dead, &clerk{lane: l, s: w.s, instance: w.instance})
			w.s, w.instance = session{}, nil
		}
	}
	return dead
}

func (l *lane) setLimit(n int) {
	l.limit, l.grown = min(max(n, 1), l.most), l.clock.now()
	l.width.Store(int64(l.limit))
}
