package hsm

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

const (
	firstPause   = 50 * time.Millisecond  // between two tries to get a token back
	lastPause    = 300 * time.Millisecond // to which they grow: a token that is plugged in again serves within a second
	askPause     = 15 * time.Second       // while the PIN waits for an operator
	settingPause = 2 * time.Second        // while the configuration contradicts what is there
	absence      = 3 * time.Second        // after which a module is restarted in case it no longer sees what is there; it doubles
	lastAbsence  = 5 * time.Minute        // up to this
	tickTime     = 100 * time.Millisecond // of housekeeping
	trimTime     = time.Minute            // after which an idle session is closed
	loginTime    = 10 * time.Second       // the least that a login may take
	growTime     = 30 * time.Second       // after which a token that was short of sessions is asked for one more
)

// keep is the keeper: it opens the token, puts right what clerks find wrong, and looks after the lane. It ends when stop is
// closed, by then nothing is at work.
func (l *lane) keep() {
	defer close(l.kept)
	l.mutex.Lock()
	l.wanted = reopen
	l.mutex.Unlock()
	l.recover()
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			l.settle() // who came with a key meanwhile
			l.end()
			return
		case <-l.trouble:
		case <-l.lost():
			l.mutex.Lock()
			l.fault(l.epoch, restart, nil, p11.ErrLost)
			l.mutex.Unlock()
		case <-tick.C:
			l.housekeep(l.clock.now())
		}
		l.mutex.Lock()
		due := l.state != Ready && l.state != Stopped
		l.mutex.Unlock()
		if due {
			l.recover()
		} else {
			l.proveRest()
		}
	}
}

// lost is closed when the module has gone. Only the keeper changes at, so it may look without the mutex.
func (l *lane) lost() <-chan struct{} {
	if l.at.instance == nil {
		return nil
	}
	return l.at.Lost()
}

// recover climbs the ladder until the token is ready, or the lane is stopped.
func (l *lane) recover() {
	begun := time.Now()
	wait := pauses{gap: firstPause, absence: absence, restarted: begun}
	for {
		l.mutex.Lock()
		what := l.wanted
		l.mutex.Unlock()
		err := l.climb(what)
		if errors.Is(err, errHung) && l.cfg.Isolation != InProcess {
			l.lib.kill(err)
		}
		if l.stopped() {
			l.settle()
			return
		}
		if f := l.trace.Recovery; f != nil {
			f(Recovery{Token: l.name, Remedy: what.String(), Took: time.Since(begun), Err: err})
		}
		if err == nil {
			l.mutex.Lock()
			l.become(Ready, nil)
			l.pump()
			l.mutex.Unlock()
			l.settle()
			return
		}
		pause := l.afterwards(what, err, &wait)
		if pause == 0 {
			continue
		}
		l.settle()
		if !l.pass(pause) {
			l.settle() // who came with a key meanwhile
			return
		}
	}
}

// pauses are those of one absence.
type pauses struct {
	gap       time.Duration // between two tries
	absence   time.Duration // after which the module is restarted
	restarted time.Time
}

// afterwards decides what follows a remedy that failed: the next one at once (0), or a pause.
func (l *lane) afterwards(what remedy, err error, p *pauses) time.Duration {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	soon, early := errors.AsType[errSoon](err)
	o := l.vendor.classify(err)
	if errors.Is(err, errHung) && l.cfg.Isolation != InProcess {
		o = outcome{restart, Away} // it was killed
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == PINRefused || o.kind == PINRefused {
		l.wanted = reopen
		l.become(Locked, err)
		l.next = time.Now().Add(askPause)
		return askPause
	}
	// A token that is not there comes back by being plugged in, not by harder means. What is broken gets them at once.
	absent := o.kind == Config || o.kind == Ambiguous || early || missing(err)
	if !absent && !errors.Is(err, errHung) {
		if what == logIn {
			l.wanted = reopen
			return 0
		}
		if what == reopen && l.restartable() {
			l.wanted = restart
			return 0
		}
	}
	if early && l.reason != nil {
		err = l.reason // what led to the start before is more telling
	}
	l.become(Absent, err)
	l.wanted = reopen
	wait := p.gap + rand.N(p.gap/4+1)
	p.gap = min(p.gap*2, lastPause)
	if o.kind == Config || o.kind == Ambiguous {
		wait = settingPause
	}
	if early {
		wait = min(max(soon.wait, firstPause), lastPause)
	}
	if o.remedy == restart {
		l.wanted = restart
	} else if time.Since(p.restarted) > p.absence && l.alone() && l.restartable() {
		l.wanted, p.restarted = restart, time.Now()
		p.absence = min(2*p.absence, lastAbsence)
	}
	l.next = time.Now().Add(wait)
	return wait
}

// restartable tells whether a new start of the module is a remedy. A process of its own can always be replaced.
func (l *lane) restartable() bool {
	return l.cfg.Isolation != InProcess || l.vendor == nil || l.vendor.Reinitialise
}

// missing tells that a token is not there, as far as its module knows.
func missing(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind == Away
	}
	return errors.Is(err, p11.DeviceRemoved) || errors.Is(err, p11.TokenNotPresent) || errors.Is(err, p11.SlotIDInvalid) ||
		errors.Is(err, p11.TokenNotRecognized)
}

// alone tells whether no other token of the module is at work, which a restart would disturb.
func (l *lane) alone() bool {
	for _, other := range l.lib.lanes {
		if other != l && other.ready.Load() {
			return false
		}
	}
	return true
}

func (l *lane) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// pass waits, and sees to new keys meanwhile; false: the lane is stopped.
func (l *lane) pass(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			return false
		case <-l.trouble:
			l.settle()
		case <-timer.C:
			return true
		}
	}
}

// climb takes one remedy, and those below it that it implies.
func (l *lane) climb(what remedy) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if what == logIn {
		err := l.logInAgain(ctx)
		if err == nil {
			l.mutex.Lock()
			l.ladder = logIn // until something is signed
			l.mutex.Unlock()
		}
		return err
	}
	if what == restart && l.at.instance != nil {
		if err := l.lib.retire(ctx, l.at.instance); err != nil {
			return err
		}
	}
	if l.stuck() {
		return l.tooMany()
	}
	tested, err := l.open(ctx)
	if err != nil {
		return err
	}
	l.mutex.Lock()
	if l.ladder = what; tested {
		l.ladder = giveUp // it has just signed
	}
	l.suspect = nil
	l.mutex.Unlock()
	return nil
}

// callTime is after what a call counts as hung.
func (l *lane) callTime() time.Duration {
	switch {
	case l.cfg.CallTime > 0:
		return l.cfg.CallTime
	case l.vendor != nil && l.vendor.CallTime > 0:
		return l.vendor.CallTime
	}
	return l.lib.opts.CallTime
}

// patience is the time for a few calls of the module.
func (l *lane) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(2*l.callTime(), 2*time.Second))
}

// logInAgain restores a login that was lost.
func (l *lane) logInAgain(ctx context.Context) error {
	at, anchor := l.at, l.anchor
	short, cancel := l.patience(ctx)
	defer cancel()
	in, err := do(short, at.instance, func() (bool, error) { return at.LoggedIn(anchor) })
	if err != nil { // the anchor has gone as well
		fresh, err := do(short, at.instance, func() (p11.Session, error) { return at.OpenSession(at.slot, false) })
		if err != nil {
			return err
		}
		_, _ = do(short, at.instance, func() (struct{}, error) { return struct{}{}, at.CloseSession(anchor) })
		l.anchor = fresh
		if in, err = do(short, at.instance, func() (bool, error) { return at.LoggedIn(fresh) }); err != nil {
			return err
		}
	}
	if !in {
		if err := l.logIn(ctx, at, l.anchor); err != nil {
			return err
		}
	}
	l.mutex.Lock()
	l.epoch++
	l.mutex.Unlock()
	return nil
}

// logIn makes one try.
func (l *lane) logIn(ctx context.Context, at place, anchor p11.Session) error {
	// The record of tries has its own slow hash, and other processes their turns.
	short, cancel := context.WithTimeout(ctx, max(2*l.callTime(), loginTime))
	defer cancel()
	login := l.cfg.login(l.info.Serial)
	login.FlagsTrusted = l.vendor.PINFlagsTrusted
	_, err := do(short, at.instance, func() (struct{}, error) {
		return struct{}{}, at.LogIn(short, anchor, at.slot, login)
	})
	if l.trace.Login != nil {
		l.trace.Login(l.name, err)
	}
	return err
}

// open finds the token wherever it is now, drops all that was before, logs in and tests.
func (l *lane) open(ctx context.Context) (tested bool, err error) {
	i, err := l.lib.instance(ctx)
	if err != nil {
		return false, err
	}
	short, cancel := l.patience(ctx)
	defer cancel()
	label, serial := l.cfg.Label, l.cfg.Serial
	if l.known {
		serial = l.info.Serial // no other that has taken its label
	}
	found, err := do(short, i, func() (foundToken, error) { return findToken(i.host, label, serial) })
	if err != nil {
		return false, err
	}
	// Sessions that are at work come back by themselves. All must be closed before the anchor, so that a token which was made
	// anew under us ends its login.
	l.quiesce(ctx, i)
	vendor := l.cfg.Vendor
	if vendor == nil {
		vendor = vendorOf(found.raw)
	}
	if vendor.Serialise {
		i.serialised.Store(true)
	}
	at := place{i, found.Slot}
	anchor, err := do(short, i, func() (p11.Session, error) { return i.OpenSession(at.slot, false) })
	if err != nil {
		return false, err
	}
	l.mutex.Lock()
	l.at, l.anchor, l.info, l.known, l.vendor = at, anchor, found.TokenInfo, true, vendor
	l.epoch++
	if l.most == 0 {
		l.most = max(vendor.Sessions, 1)
	}
	if n := found.raw.MaxSessions; n > 1 && n <= uint(l.most) {
		l.most = int(n) - 1 // the anchor is one
	}
	if vendor.Pause > 0 {
		l.most = 1
	}
	l.setLimit(l.most)
	l.mutex.Unlock()
	if err := l.logIn(ctx, at, anchor); err != nil {
		return false, err
	}
	return l.test(ctx)
}

// quiesce waits a little for those at work, and closes what is open in a living instance.
func (l *lane) quiesce(ctx context.Context, i *instance) {
	for end := time.Now().Add(l.callTime()); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mutex.Lock()
		working := l.working
		l.mutex.Unlock()
		if working == 0 {
			break
		}
	}
	l.mutex.Lock()
	dead := l.robbed()
	old, anchor := l.at.instance, l.anchor
	l.anchor = 0
	l.mutex.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, w := range dead {
			w.drop(errOldSession)
		}
		if old == i && anchor != 0 {
			_ = i.call(func() error { return i.CloseSession(anchor) })
		}
	}()
	short, cancel := l.patience(ctx)
	defer cancel()
	select {
	case <-done:
	case <-short.Done():
	}
}

// end closes what is open. Nothing is at work any more, unless it hangs.
func (l *lane) end() {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if i := l.at.instance; i != nil {
		l.quiesce(ctx, i)
	}
	l.mutex.Lock()
	for _, w := range l.idle {
		l.discharge(w)
		close(w.wake)
	}
	l.idle = nil
	l.mutex.Unlock()
	l.late = l.lib.leave(ctx)
}

// housekeep trims, grows, watches and tests, as it becomes due.
func (l *lane) housekeep(now time.Duration) {
	l.mutex.Lock()
	if l.state != Ready {
		l.mutex.Unlock()
		return
	}
	for len(l.idle) > 1 && now-l.idle[0].rested > trimTime {
		w := l.idle[0]
		l.idle = slices.Delete(l.idle, 0, 1)
		l.discharge(w)
		close(w.wake)
	}
	if l.limit < l.most && now-l.grown > growTime {
		l.setLimit(l.limit + 1)
		l.pump()
	}
	l.mutex.Unlock()
	l.watch(now)
	l.look(now)
}
