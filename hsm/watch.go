package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// keeper is what only the keeper's goroutine uses.
type keeper struct {
	tested  time.Duration
	looked  time.Duration
	atLook  uint64
	settled bool // first was closed
}

func newLane(cfg TokenConfig, s *Scheduler, log *slog.Logger) *lane {
	l := &lane{
		name: cfg.Name, cfg: cfg, log: log.With("token", cfg.Name), trace: cfg.Trace, requests: &s.requests,
		clock: s.clock, canary: &s.canary,
		since: time.Now(), vendor: cfg.Vendor, limit: 1, most: cfg.Sessions,
		queue:   newQueue(cfg.Queue, cfg.FlowQueue),
		trouble: make(chan struct{}, 1), stop: make(chan struct{}), kept: make(chan struct{}), first: make(chan struct{}),
	}
	l.width.Store(1)
	return l
}

// attach puts a key's replica on the lane and has the keeper look for it.
func (l *lane) attach(r *replica) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.state == Stopped {
		close(r.judged)
		return
	}
	l.replicas = append(l.replicas, r)
	l.kick()
}

func (l *lane) detach(r *replica) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for i, other := range l.replicas {
		if other == r {
			l.replicas = append(l.replicas[:i:i], l.replicas[i+1:]...)
			return
		}
	}
}

// close lets what was admitted end, then the keeper.
func (l *lane) close(ctx context.Context) error {
	l.mutex.Lock()
	if !l.closing {
		l.closing = true
		l.shut.Store(&Error{Kind: Closed, Token: l.name, Op: "sign", Err: errors.New("the scheduler is closed")})
	}
	l.mutex.Unlock()
	for l.load.Load() > 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	l.mutex.Lock()
	if l.state != Stopped {
		l.become(Stopped, errors.New("the scheduler is closed"))
		close(l.stop)
	}
	l.mutex.Unlock()
	select {
	case <-l.kept:
		return l.late
	default:
	}
	select {
	case <-l.kept:
		return l.late
	case <-ctx.Done():
		return &Error{Kind: Expired, Token: l.name, Op: "wait for calls under way", Err: ctx.Err()}
	}
}

// settle tells those who wait for a first outcome that there is one.
func (l *lane) settle() {
	l.mutex.Lock()
	for _, r := range l.replicas {
		r.settle()
	}
	l.mutex.Unlock()
	if !l.settled {
		l.settled = true
		close(l.first)
	}
}

// settle is called with the mutex held.
func (r *replica) settle() {
	select {
	case <-r.judged:
	default:
		close(r.judged)
	}
}

// timed takes a measurement that no clerk made.
func (l *lane) timed(took time.Duration) {
	l.mutex.Lock()
	l.pace.add(took)
	l.service.Store(int64(l.pace.mean))
	l.mutex.Unlock()
}

// keys is a copy of the list of replicas.
func (l *lane) keys() []*replica {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return append([]*replica(nil), l.replicas...)
}

// borrow runs f with a session of its own, or with the anchor when the token gives no more.
func (l *lane) borrow(ctx context.Context, f func(ctx context.Context, s p11.Session) error) error {
	short, cancel := context.WithTimeout(ctx, max(4*l.callTime(), 2*time.Second))
	defer cancel()
	at := l.at
	s, err := do(short, at.instance, func() (p11.Session, error) { return at.OpenSession(at.slot, false) })
	if l.vendor.classify(err).remedy == narrow {
		return f(short, l.anchor)
	}
	if err != nil {
		return err
	}
	err = f(short, s)
	_, _ = do(short, at.instance, func() (struct{}, error) { return struct{}{}, at.CloseSession(s) })
	return err
}

// test has keys sign after an opening: those that are new to the token, and of the others one, that for whose failure it was
// opened if there is such. It fails with the module's code when none can sign and the token seems to be at fault.
func (l *lane) test(ctx context.Context) (tested bool, err error) {
	all := l.keys()
	l.mutex.Lock()
	for i, r := range all {
		if r == l.suspect {
			all[0], all[i] = all[i], all[0]
		}
	}
	l.mutex.Unlock()
	if len(all) == 0 {
		return false, nil
	}
	var failures []*replica
	var codes []error
	err = l.borrow(ctx, func(ctx context.Context, s p11.Session) error {
		for _, r := range all {
			if r.broken.Load() != nil || tested && r.proved.Load() && r.lost.Load() == nil {
				continue
			}
			err := r.prove(ctx, l.at, s, l.epoch)
			if _, ok := errors.AsType[*Error](err); ok {
				continue // the key's own fault, and noted there
			}
			if err != nil {
				failures, codes = append(failures, r), append(codes, err)
				return nil // the session is spoilt
			}
			tested = true
		}
		return nil
	})
	if err != nil {
		return tested, err
	}
	if len(codes) > 0 && !tested {
		return false, codes[0]
	}
	for i, r := range failures {
		before := r.err()
		r.lost.Store(l.fail("prove the key", codes[i], Internal).(*Error))
		r.tell(before)
	}
	return tested, nil
}

// proveRest looks for keys that have not been found here, from time to time.
func (l *lane) proveRest() {
	now := time.Now()
	for _, r := range l.keys() {
		l.mutex.Lock()
		ready, due := l.state == Ready, r.asked.IsZero() || now.Sub(r.asked) > askPause
		if ready && due {
			r.asked = now
		}
		l.mutex.Unlock()
		if !ready || !due || r.broken.Load() != nil || r.proved.Load() && r.lost.Load() == nil {
			continue
		}
		err := l.borrow(context.Background(), func(ctx context.Context, s p11.Session) error { return r.prove(ctx, l.at, s, l.epoch) })
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			l.blame(r, err)
			continue
		}
	}
	l.settleRest()
}

// settleRest marks as judged what was looked for.
func (l *lane) settleRest() {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, r := range l.replicas {
		if r.proved.Load() || r.lost.Load() != nil || r.broken.Load() != nil || l.shut.Load() != nil {
			r.settle()
		}
	}
}

// blame makes a fault of a return code that the keeper met.
func (l *lane) blame(r *replica, err error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	what := l.vendor.classify(err).remedy
	if errors.Is(err, errHung) {
		what = restart
	}
	if !what.ofLane() {
		what = reopen
	}
	l.fault(l.epoch, what, r, err)
}

// look asks an idle token whether it is there, as often as the vendor lets it, and from time to time has a key
// sign that has not signed for long.
func (l *lane) look(now time.Duration) {
	l.mutex.Lock()
	signed, ready := l.signed, l.state == Ready
	l.mutex.Unlock()
	if !ready {
		return
	}
	if every := max(l.vendor.HealthEvery, tickTime); l.vendor.Health != NoHealthCall && now-l.looked >= every {
		idle := signed == l.atLook
		l.looked, l.atLook = now, signed
		if idle {
			if err := l.present(); err != nil {
				l.blame(nil, err)
				return
			}
		}
	}
	if every := time.Duration(l.canary.Load()); every > 0 && now-l.tested >= every {
		l.tested = now
		if r := l.stalest(now); r != nil {
			ctx, cancel := l.patience(context.Background())
			defer cancel()
			err := l.borrow(ctx, func(ctx context.Context, s p11.Session) error { return r.prove(ctx, l.at, s, l.epoch) })
			if _, ok := errors.AsType[*Error](err); err != nil && !ok { // else it is the key's own fault, and noted there
				l.blame(r, err)
			}
		}
	}
}

// stalest is the key in use whose last good signature is the longest ago; nil when all have signed since the last test.
func (l *lane) stalest(now time.Duration) (stalest *replica) {
	oldest := now - time.Duration(l.canary.Load())
	for _, r := range l.keys() {
		if !r.proved.Load() || r.broken.Load() != nil || r.lost.Load() != nil {
			continue
		}
		if at := time.Duration(r.signed.Load()); at <= oldest {
			stalest, oldest = r, at
		}
	}
	return stalest
}

// present makes the vendor's health call.
func (l *lane) present() error {
	at, anchor := l.at, l.anchor
	ctx, cancel := l.patience(context.Background())
	defer cancel()
	if l.vendor.Health == BySessionInfo {
		in, err := do(ctx, at.instance, func() (bool, error) { return at.LoggedIn(anchor) })
		if err == nil && !in {
			err = p11.UserNotLoggedIn
		}
		return err
	}
	info, err := do(ctx, at.instance, func() (p11.TokenInfo, error) { return at.TokenInfo(at.slot) })
	if err == nil && info.Serial != l.info.Serial {
		err = p11.TokenNotPresent
	}
	return err
}

// watch looks for calls that hang. A module in a process of its own is killed, and its calls return. In this process the
// clerk is given up, and its request goes on without it.
func (l *lane) watch(now time.Duration) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	limit := l.callTime()
	limit += limit / 2 // a session and a handle may have been needed before
	for i := 0; i < len(l.crew); i++ {
		w := l.crew[i]
		if w.request == nil || now-w.since < limit {
			continue
		}
		if l.cfg.Isolation != InProcess {
			w.at.Kill(errHung)
			return
		}
		r := w.request
		w.dropped, w.request = true, nil
		l.discharge(w)
		i--
		l.working--
		n := l.lib.hanging.Add(1)
		l.log.Error("a call of the module hangs; its session and thread are given up", "hanging", n)
		e := &Error{Kind: Away, Token: l.name, Op: "sign", RetryAfter: retryAway, Err: errHung}
		if r.once(restart) {
			if l.again(r) {
				r.done <- struct{}{}
			}
		} else {
			l.deliver(r, e)
		}
	}
	if l.stuck() && l.state == Ready {
		l.wanted = reopen
		l.become(Recovering, l.tooMany())
		l.kick()
	}
	l.pump()
}

// stuck tells that another call would likely hang as well.
func (l *lane) stuck() bool {
	return l.cfg.Isolation == InProcess && l.lib.hanging.Load() >= maxDropped
}

// tooMany says that so many calls hang that nothing but a new process helps.
func (l *lane) tooMany() error {
	return &Error{Kind: Away, Token: l.name, Op: "sign",
		Err: fmt.Errorf("%d calls of the module hang; restart the service", l.lib.hanging.Load())}
}
