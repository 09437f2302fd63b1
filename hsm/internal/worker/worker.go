// Package worker runs a PKCS#11 module in a process of its own, so that a crash, a hang or an intruder in it is no more than
// that: a child of the same program, confined as far as the module allows, which alone reads the PIN. The parent holds
// [Worker], a p11.Module whose calls travel.
//
// Calls go through shared memory of several places, each served by a thread of the child; both sides sleep in the kernel
// (futex) while the other works. That costs a wake-up each way and no copy. A socket pair carries everything else: the
// handshake, signs of life, and, by its end, the parent's death. The parent trusts nothing that comes from the child: what
// it reads it copies first, every length is bounded, and an answer that cannot be read ends the child.
package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// version is of everything that the two sides say to each other. They are one program, and yet it is compared.
const version = 2

// Options says what a worker is for.
type Options struct {
	Module  string      // path of the library
	Serial  bool        // as in p11.Options
	Logins  []pin.Login // of the tokens that will be used; PINs that no file holds are given to the child beforehand
	Calls   int         // most calls under way at once, further ones wait; default 64
	Sandbox Sandbox
	// CallTime is the longest that a call may take before the worker counts as hanging and is killed; default 1 minute.
	// A login may take as long as its context besides.
	CallTime time.Duration
	Log      *slog.Logger // what the child has to say goes there too; default: nowhere
}

// MaxCalls is the most that Options.Calls may be.
const MaxCalls = 4096

const (
	defaultCalls    = 64
	defaultCallTime = time.Minute
	startTime       = 30 * time.Second // for a child to come up, and for C_Initialize
	ticksPerCall    = 8                // how finely a call's time is measured
)

func (o Options) checked() (Options, error) {
	if o.Calls == 0 {
		o.Calls = defaultCalls
	}
	if o.CallTime == 0 {
		o.CallTime = defaultCallTime
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Calls < 1 || o.Calls > MaxCalls || o.CallTime < 0 {
		return o, errors.New("worker: calls or their time are out of range")
	}
	err := o.Sandbox.check()
	if err != nil {
		return o, err
	}
	if o.Module, err = p11.Path(o.Module); err != nil {
		return o, err
	}
	return o, nil
}

// Worker is a module in a process of its own. Once the process is gone, every call gives p11.ErrLost.
type Worker struct {
	o       Options
	log     *slog.Logger
	process *process
	control *control
	area    *area
	bell    *os.File
	passed  atomic.Int64 // requests so far
	report  Report
	shared  []sharedPIN
	files   map[string]file // with PINs, that the child may read

	tick    atomic.Int64 // of the watch
	dead    atomic.Bool
	lost    chan struct{}
	gone    chan struct{} // the process has been reaped
	drained chan struct{} // the control socket has ended
	once    sync.Once
	reason  atomic.Pointer[error]
	answer  chan message // to what the handshake asks
	alive   atomic.Int64 // tick of the last sign of life
	asked   atomic.Int64 // how many signs of life the child was asked for

	places []*place
	mutex  sync.Mutex
	vacant sync.Cond
	free   []*place // the one used last at the end
	inUse  int
}

// place is one of the area, lent to one call at a time.
type place struct {
	shared *sharedPlace
	number int
	opened bool         // a thread of the child attends to it
	since  atomic.Int64 // tick at which the call began; 0: none is under way
	limit  atomic.Int64 // ticks it may take
}

// start makes a child that has its module loaded, confined, and not initialised.
func start(ctx context.Context, o Options, shared []sharedPIN) (_ *Worker, err error) {
	a, err := newArea(o.Calls)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		o: o, log: o.Log, area: a, shared: shared, files: o.pinFiles(),
		lost: make(chan struct{}), gone: make(chan struct{}),
		drained: make(chan struct{}), answer: make(chan message, 1),
	}
	w.vacant.L = &w.mutex
	for i, shared := range a.places {
		w.places = append(w.places, &place{shared: shared, number: i})
	}
	w.free = slices.Clone(w.places)
	slices.Reverse(w.free)
	w.tick.Store(1)
	w.alive.Store(1)
	ours, theirs, err := controlPair()
	if err != nil {
		a.close()
		return nil, err
	}
	w.control = ours
	bell, theirBell, err := a.bells()
	if err != nil {
		ours.close()
		theirs.Close()
		a.file.Close()
		a.close()
		return nil, err
	}
	files := []*os.File{theirs, a.file, theirBell}
	for _, s := range shared {
		files = append(files, s.file)
	}
	w.process, err = spawn(o, files)
	theirs.Close()
	a.file.Close()
	theirBell.Close()
	w.bell = bell()
	if err != nil {
		ours.close()
		w.bell.Close()
		a.close()
		return nil, err
	}
	go w.reap()
	go w.attend()
	go w.listen()
	go w.watch()
	hello := hello{Version: version, Module: o.Module, Serial: o.Serial, Places: o.Calls, Sandbox: o.Sandbox}
	var back welcome
	if err := w.ask(ctx, sayHello, hello, &back); err != nil {
		w.Kill(err)
		return nil, fmt.Errorf("start a worker for %s: %w", o.Module, err)
	}
	if back.Version != version {
		err := fmt.Errorf("worker: the child speaks version %d, not %d", back.Version, version)
		w.Kill(err)
		return nil, err
	}
	w.report = back.Report
	w.report.Landlock = w.process.landlock
	w.report.Filter, w.report.Memory = printable(w.report.Filter), printable(w.report.Memory)
	if weak := w.report.Weak(); o.Sandbox.Demand && len(weak) > 0 {
		err := fmt.Errorf("worker: the process cannot be confined as demanded: %s", strings.Join(weak, "; "))
		w.Kill(err)
		return nil, err
	}
	return w, nil
}

// initialise lets the child call C_Initialize.
func (w *Worker) initialise(ctx context.Context) error {
	if err := w.ask(ctx, sayInitialise, struct{}{}, nil); err != nil {
		w.Kill(err)
		return err
	}
	return nil
}

// ask sends a message of the handshake and waits for its answer.
func (w *Worker) ask(ctx context.Context, kind byte, question, into any) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if err := w.control.send(kind, body); err != nil {
		return w.cause(p11.ErrLost)
	}
	var m message
	select {
	case m = <-w.answer:
	case <-w.lost:
		w.drain()
		select {
		case m = <-w.answer: // its last words
		default:
			return w.cause(p11.ErrLost)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.kind != kind {
		return errors.New("worker: the child answers something else")
	}
	var a reply
	if err := json.Unmarshal(m.body, &a); err != nil {
		return fmt.Errorf("worker: the child's answer: %w", err)
	}
	if a.Error != nil {
		return a.Error.error()
	}
	if into != nil {
		return json.Unmarshal(a.Body, into)
	}
	return nil
}

// cause adds to err why the worker is gone.
func (w *Worker) cause(err error) error {
	if r := w.reason.Load(); r != nil {
		return fmt.Errorf("%w: %w", err, *r)
	}
	return err
}

// attend hears the child's answers, until the bell is closed.
func (w *Worker) attend() {
	if w.area.hear(w.bell, &w.passed) {
		w.Kill(errTalks)
	}
}

var errTalks = errors.New("it says more than it was asked")

// listen takes what comes by the control socket, until it ends.
func (w *Worker) listen() {
	err := w.hear()
	close(w.drained)
	if err != errTalks {
		select {
		case <-w.gone: // the end of the process says more
			return
		case <-time.After(time.Second): // a child without a socket is on its own
		}
		err = errors.New("its control socket has ended")
	}
	w.Kill(err)
}

func (w *Worker) hear() error {
	for signs := int64(0); ; {
		m, err := w.control.receive()
		if err != nil {
			return err
		}
		if m.kind == sayAlive {
			if signs++; signs > w.asked.Load() { // a child that listens is asked at each tick
				return errTalks
			}
			w.alive.Store(w.tick.Load())
			continue
		}
		select {
		case w.answer <- m:
		default:
			return errTalks
		}
	}
}

// drain waits until all that a dead child has said is read. Its end of the socket may live on in a process that it forked.
func (w *Worker) drain() {
	select {
	case <-w.drained:
	case <-time.After(time.Second):
	}
}

// watch counts time, asks for signs of life and kills what hangs.
func (w *Worker) watch() {
	ticker := time.NewTicker(max(w.o.CallTime/ticksPerCall, time.Millisecond))
	defer ticker.Stop()
	patience := max(ticksPerCall, int64(5*time.Second/max(w.o.CallTime/ticksPerCall, time.Millisecond)))
	for {
		select {
		case <-w.lost:
			return
		case <-ticker.C:
		}
		now := w.tick.Add(1)
		for _, p := range w.places {
			if since := p.since.Load(); since != 0 && now-since > p.limit.Load() {
				w.Kill(fmt.Errorf("a call takes longer than %v", w.o.CallTime))
				return
			}
		}
		if now-w.alive.Load() > patience {
			w.Kill(errors.New("it gives no sign of life"))
			return
		}
		w.asked.Add(1) // before the answer can come
		if !w.control.nudge() {
			w.asked.Add(-1)
		}
	}
}

// reap waits for the end of the process. No zombie stays.
func (w *Worker) reap() {
	state := <-w.process.ended
	w.abandon(fmt.Errorf("its process ended: %s", state))
	w.drain()
	w.control.close()
	w.area.giveUp() // once more: until now the child could write there
	_ = w.bell.Close()
	close(w.gone)
}

// Report says what confines the worker.
func (w *Worker) Report() Report { return w.report }

// PID is the number of the process.
func (w *Worker) PID() int { return w.process.pid }

// Lost is closed when the worker is gone or was given up.
func (w *Worker) Lost() <-chan struct{} { return w.lost }

// Reason says why the worker is gone; nil while it is not.
func (w *Worker) Reason() error {
	if r := w.reason.Load(); r != nil {
		return *r
	}
	return nil
}

// Kill ends the process at once. Calls under way return p11.ErrLost, also when a driver keeps the process from dying.
func (w *Worker) Kill(reason error) {
	w.reason.CompareAndSwap(nil, &reason) // before the process's end can become the reason
	w.process.kill()
	w.abandon(reason)
}

// abandon lets go of all calls.
func (w *Worker) abandon(reason error) {
	w.once.Do(func() {
		w.reason.CompareAndSwap(nil, &reason)
		w.mutex.Lock()
		w.dead.Store(true)
		idle := w.inUse == 0
		w.vacant.Broadcast()
		w.mutex.Unlock()
		w.area.giveUp()
		if idle {
			w.area.close()
		}
		close(w.lost)
	})
}

// Close lets the child finalise the module and end; when ctx or the time of a call runs out first, it is killed. No call may
// be under way.
func (w *Worker) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.o.CallTime)
	defer cancel()
	var err error
	if !w.dead.Load() {
		err = w.ask(ctx, sayEnd, struct{}{}, nil)
		if errors.Is(err, p11.ErrLost) {
			err = nil
		}
	}
	w.Kill(errors.New("closed"))
	select {
	case <-w.gone:
	case <-ctx.Done():
		if err == nil {
			err = ctx.Err()
		}
	}
	return err
}

// take lends a place; nil when the worker is gone.
func (w *Worker) take() *place {
	w.mutex.Lock()
	for len(w.free) == 0 && !w.dead.Load() {
		w.vacant.Wait()
	}
	if w.dead.Load() {
		w.mutex.Unlock()
		return nil
	}
	last := len(w.free) - 1
	p := w.free[last]
	w.free = w.free[:last]
	w.inUse++
	w.mutex.Unlock()
	return p
}

func (w *Worker) put(p *place) {
	w.mutex.Lock()
	w.free = append(w.free, p)
	w.inUse--
	unmap := w.dead.Load() && w.inUse == 0
	w.vacant.Signal()
	w.mutex.Unlock()
	if unmap {
		w.area.close()
	}
}

// pass hands the request in a place to the child and waits for the answer, of which it gives the length; false: the worker is
// gone.
func (w *Worker) pass(p *place, length int, limit int64) (int, bool) {
	p.limit.Store(limit)
	p.since.Store(w.tick.Load())
	if !p.opened { // by a message that a child which does not listen holds up
		p.opened = true
		_ = w.control.send(sayOpen, []byte{byte(p.number), byte(p.number >> 8)}) // if not, the worker is about to be lost
	}
	w.passed.Add(1)
	n, answered := p.shared.ask(length, &w.dead)
	p.since.Store(0)
	switch {
	case w.dead.Load():
		return 0, false
	case !answered:
		w.Kill(errors.New("it gives a turn back without an answer"))
		return 0, false
	case n > placeSize:
		w.Kill(fmt.Errorf("it answers with %d octets", n))
		return 0, false
	}
	return n, true
}

// boundedTicks is how many ticks of the watch a time takes, and a call besides.
func (w *Worker) boundedTicks(d time.Duration) int64 {
	return ticksPerCall + 1 + int64(d/max(w.o.CallTime/ticksPerCall, time.Millisecond))
}

var _ p11.Module = (*Worker)(nil)
