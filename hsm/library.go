package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
	"github.com/epov-signer/epov/hsm/internal/pin"
)

// library is one module as the lanes of its tokens share it: it is started when first needed and started anew when it is
// lost, by one lane at a time.
type library struct {
	path  string
	load  hostMaker
	close func() // after the last instance
	opts  hostOptions
	log   *slog.Logger

	turn    chan struct{} // holds one token: whoever has it may start and end instances
	current *instance     // nil: none. Guarded by turn
	starts  int           // without a calm time between them
	started time.Time     // the last time
	longest time.Duration // pause between two starts
	users   int           // lanes that have not left; guarded by turn
	lanes   []*lane       // of all its tokens; set once
	hanging atomic.Int32  // calls that were given up and have not returned
}

// startPauses are the least times between two starts of a module that does not last; restartPauses those before one that
// is alive is ended as a remedy, which disturbs all of its tokens.
var (
	startPauses   = []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second}
	restartPauses = []time.Duration{0, 5 * time.Second, 15 * time.Second, DefaultRestartPause}
)

const (
	calm       = time.Minute      // a module that lasted as long has its pauses forgotten
	startTime  = 30 * time.Second // the most that loading may take
	drainTime  = 5 * time.Second  // the most that calls may take when a module is to be ended
	maxDropped = 4                // calls that hang before a module in this process is given up
)

// errSoon says that a module was started a moment ago and its pause is not over.
type errSoon struct{ wait time.Duration }

func (e errSoon) Error() string {
	return fmt.Sprintf("the module was started a moment ago; the next start is in %v", e.wait.Round(time.Millisecond))
}

// newLibrary has the module loaded by load, if that is not nil, instead of by its isolation.
func newLibrary(path string, isolation Isolation, load hostMaker, opts hostOptions) *library {
	l := &library{path: path, load: load, opts: opts, log: opts.Log, longest: DefaultRestartPause, turn: make(chan struct{}, 1),
		close: func() {}}
	switch {
	case load != nil:
	case isolation == InProcess:
		l.load = loadInProcess
	default:
		w := &workers{}
		l.load, l.close = w.load, w.close
	}
	l.turn <- struct{}{}
	return l
}

// take waits for the turn.
func (l *library) take(ctx context.Context) error {
	select {
	case <-l.turn:
		return nil
	case <-ctx.Done():
		return &Error{Kind: Away, Op: "start the module", Err: errors.New("it is being started or ended, and hangs")}
	}
}

func (l *library) give() { l.turn <- struct{}{} }

// instance gives the living instance, and starts one where there is none. Loading cannot be ended either: when it hangs, the
// turn stays taken until it returns.
func (l *library) instance(ctx context.Context) (*instance, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	type result struct {
		i   *instance
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer l.give()
		i, err := l.start(ctx)
		done <- result{i, err}
	}()
	select {
	case r := <-done:
		return r.i, r.err
	case <-ctx.Done():
		return nil, &Error{Kind: Away, Op: "load the module", Err: errHung}
	}
}

// start is called with the turn.
func (l *library) start(ctx context.Context) (*instance, error) {
	if i := l.current; i != nil {
		if !i.lost() {
			return i, nil
		}
		l.end(ctx)
	}
	if wait := l.pause(startPauses); wait > 0 {
		return nil, errSoon{wait}
	}
	l.starts++
	l.started = time.Now()
	h, err := l.load(ctx, l.path, l.opts)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); ok {
			return nil, err
		}
		e := &Error{Kind: Config, Op: "load the module", Err: err}
		if _, ok := errors.AsType[p11.Error](err); ok || errors.Is(err, p11.ErrLost) {
			e.Kind = Away // it is a module, and does not want to now
		}
		return nil, e
	}
	l.current = &instance{host: h, hanging: &l.hanging}
	return l.current, nil
}

// retire ends an instance, unless it has gone already, so that the next to ask starts another. It refuses while that other
// could not be started yet.
func (l *library) retire(ctx context.Context, old *instance) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	if l.current == nil || l.current != old {
		return nil
	}
	if wait := l.pause(restartPauses); wait > 0 && !old.lost() {
		return errSoon{wait}
	}
	l.log.Warn("restarting the module", "module", l.path)
	l.end(ctx)
	return nil
}

// kill ends a module in a process of its own that hangs.
func (l *library) kill(reason error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if l.take(ctx) == nil {
		if l.current != nil {
			l.current.Kill(reason)
		}
		l.give()
	}
}

// pause is what is left of the time between two starts.
func (l *library) pause(pauses []time.Duration) time.Duration {
	if time.Since(l.started) > calm {
		l.starts = 0
	}
	if l.starts == 0 {
		return 0
	}
	return time.Until(l.started.Add(min(pauses[min(l.starts, len(pauses))-1], l.longest)))
}

// end lets calls under way return, or gives them up.
func (l *library) end(ctx context.Context) {
	i := l.current
	l.current = nil
	if reason := i.reason(); reason != nil {
		l.log.Warn("the module is gone", "module", l.path, "reason", reason)
	}
	if !i.calls.close(min(drainTime, 2*l.opts.CallTime)) {
		i.Kill(errors.New("calls did not return"))
	}
	if err := i.Close(ctx); err != nil {
		l.log.Warn("the module did not end in order", "module", l.path, "error", err)
	}
}

// leave is called by each lane at its end; the last one ends the module. When calls are under way still the module is left
// as it is, and the error says so.
func (l *library) leave(ctx context.Context) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	defer l.give()
	if l.users--; l.users > 0 {
		return nil
	}
	defer l.close()
	if l.current == nil {
		return nil
	}
	i := l.current
	l.current = nil
	if !i.calls.close(drainTime) {
		i.Kill(errors.New("calls did not return"))
		_ = i.Close(ctx)
		return &Error{Kind: Expired, Op: "wait for calls under way", Err: errors.New("the module was left without an end")}
	}
	return i.Close(ctx)
}

// instance is one life of a module. Sessions and handles belong to it; a call is made between enter and leave.
type instance struct {
	host
	calls   gate
	hanging *atomic.Int32 // the library's

	serial     sync.Mutex // held in each call when the vendor asks for it
	serialised atomic.Bool
}

func (i *instance) lost() bool {
	select {
	case <-i.Lost():
		return true
	default:
		return false
	}
}

// reason says why a module is gone, where its host knows.
func (i *instance) reason() error {
	if h, ok := i.host.(interface{ Reason() error }); ok && i.lost() {
		return h.Reason()
	}
	return nil
}

// call makes calls of the module, unless it is over.
func (i *instance) call(f func() error) error {
	if !i.calls.enter() {
		return p11.ErrLost
	}
	defer i.calls.leave()
	if i.serialised.Load() {
		i.serial.Lock()
		defer i.serial.Unlock()
	}
	return f()
}

// sign is Sign within call, without the closure.
func (i *instance) sign(dst []byte, s p11.Session, mechanism uint, key p11.Object, digest []byte) ([]byte, error) {
	if !i.calls.enter() {
		return nil, p11.ErrLost
	}
	defer i.calls.leave()
	if i.serialised.Load() {
		i.serial.Lock()
		defer i.serial.Unlock()
	}
	return i.Sign(dst, s, mechanism, key, digest)
}

// signConfirmed is SignConfirmed within call.
func (i *instance) signConfirmed(ctx context.Context, dst []byte, s p11.Session, slot, mechanism uint, key p11.Object, digest []byte,
	l pin.Login) (signature []byte, err error) {
	err = i.call(func() error {
		signature, err = i.SignConfirmed(ctx, dst, s, slot, mechanism, key, digest, l)
		return err
	})
	return signature, err
}

// do makes calls in a goroutine of their own and waits no longer than ctx; a module's call cannot be ended.
func do[T any](ctx context.Context, i *instance, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	var left atomic.Bool
	go func() {
		var r result
		r.err = i.call(func() (err error) { r.value, err = f(); return err })
		if left.Swap(true) {
			i.hanging.Add(-1)
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	i.hanging.Add(1)
	if left.Swap(true) { // it has returned after all
		i.hanging.Add(-1)
		r := <-done
		return r.value, r.err
	}
	var none T
	return none, errHung
}

var errHung = errors.New("a call of the module hangs")

// gate counts those inside, and can be closed once.
type gate struct {
	n    atomic.Int64 // those inside; below 0 when closed, by shut more
	last chan struct{}
	once sync.Once
}

const shut = int64(-1) << 40

func (g *gate) enter() bool {
	if g.n.Add(1) > 0 {
		return true
	}
	g.leave()
	return false
}

func (g *gate) leave() {
	if g.n.Add(-1) == shut {
		g.once.Do(func() { close(g.last) })
	}
}

// close turns newcomers away and waits for those inside to leave.
func (g *gate) close(patience time.Duration) bool {
	g.last = make(chan struct{})
	if g.n.Add(shut) == shut {
		return true
	}
	select {
	case <-g.last:
		return true
	case <-time.After(patience):
		return false
	}
}
