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
)

// State is what a token is at.
type State int32

const (
	Recovering State = iota // being opened, or something is being put right: what was admitted waits
	Ready                   // signs
	Absent                  // does not answer; it is asked again and again in the background
	Locked                  // the PIN was refused, or may not be tried: an operator must act
	Stopped                 // the scheduler was closed
)

var states = [...]string{Recovering: "recovering", Ready: "ready", Absent: "away", Locked: "operator", Stopped: "closed"}

func (s State) String() string {
	if s < 0 || int(s) >= len(states) {
		return "unknown"
	}
	return states[s]
}

// lane is one token at work. It is a state machine under one mutex, with three kinds of actors: callers, who put requests
// in; clerks, who take them and own one session each; and one keeper, who alone logs in, opens, restarts and waits for the
// token. Nothing of the module is called with the mutex held.
//
// What holds whenever the mutex is free:
//   - state == Ready: at is valid, anchor is open and logged in, and either the queue is empty or limit clerks are at work.
//   - state != Ready: no request is given to a clerk. In Absent, Locked and Stopped the queue is empty, too, and shut says why.
//   - A request is in exactly one place: in the queue (queued), with one clerk (w.request == r), or with its caller.
//   - len(idle)+working == alive == len(crew); clerks whose call hangs are on no list any more.
//   - epoch grows whenever sessions or handles may have become void. A clerk closes a session of another epoch unused;
//     a handle of another epoch is not used. Only the keeper changes at, anchor and epoch.
type lane struct {
	name     string
	given    TokenConfig // as it was configured
	cfg      TokenConfig
	log      *slog.Logger
	trace    *Trace
	lib      *library
	clock    clock
	requests *sync.Pool    // the scheduler's
	canary   *atomic.Int64 // the scheduler's: nanoseconds between two tests of keys; negative: none

	// For those who do not take the mutex.
	shut    atomic.Pointer[Error] // why nothing is admitted; nil in Ready and Recovering
	ready   atomic.Bool           // state == Ready
	load    atomic.Int64          // requests waiting and at work
	service atomic.Int64          // expected nanoseconds of one signature; 0: unknown
	width   atomic.Int64          // clerks that may be at once

	mutex   sync.Mutex
	state   State
	reason  error
	since   time.Time
	next    time.Time // of the keeper's next try, in Absent and Locked
	at      place
	anchor  p11.Session
	epoch   uint64
	vendor  *Vendor
	info    TokenInfo
	known   bool // info is of a token that was opened once
	queue   queue
	idle    []*clerk // the last to have worked at the end
	crew    []*clerk // all that are alive
	alive   int      // clerks, but for those that hang
	working int
	most    int // clerks that are allowed
	limit   int // clerks that the token was found to bear; 1 to most
	pace    estimate
	signed  uint64        // signatures so far
	grown   time.Duration // when limit was last changed
	closing bool          // nothing new is admitted, whatever the state

	replicas []*replica

	wanted  remedy        // what the keeper is to do next
	ladder  remedy        // the last one taken, until a signature has followed; giveUp: none
	suspect *replica      // whose failure began it
	trouble chan struct{} // wakes the keeper
	stop    chan struct{} // closed to end it
	kept    chan struct{} // closed when it has ended
	first   chan struct{} // closed when the first opening has come out, one way or the other
	late    error         // of its end, once kept is closed

	keeper
}

// place is where the sessions of an epoch are.
type place struct {
	*instance
	slot uint
}

func (l *lane) fail(op string, err error, kind Kind) error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Token != "" {
			return err
		}
		named := *e
		named.Token = l.name
		return &named
	}
	if _, isCode := errors.AsType[p11.Error](err); isCode || errors.Is(err, p11.ErrLost) {
		kind = l.vendor.classify(err).kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		kind = Expired
	}
	return &Error{Kind: kind, Token: l.name, Op: op, Err: err, RetryAfter: retryAfter[kind]}
}

// retryAfter is when a caller may ask again where nothing more is known.
var retryAfter = map[Kind]time.Duration{Busy: ago, Away: retryAway}

// ago is the least time for which a caller is told to wait.
const ago = 10 * time.Millisecond

// expected is the time after which one more request would be done, by what is known without the mutex.
func (l *lane) expected() time.Duration {
	service := time.Duration(l.service.Load())
	return service * time.Duration(l.load.Load()+1) / time.Duration(max(l.width.Load(), 1))
}

// submit takes a request in, or says why not. now is by the clock.
func (l *lane) submit(r *request, now time.Duration) error {
	if e := l.shut.Load(); e != nil {
		return e
	}
	l.mutex.Lock()
	if e := l.shut.Load(); e != nil {
		l.mutex.Unlock()
		return e
	}
	r.phase, r.tries = queued, 0
	if l.state == Ready && l.queue.size == 0 {
		if w := l.free(); w != nil {
			l.load.Add(1)
			l.assign(w, r, now)
			l.mutex.Unlock()
			w.wake <- r
			return nil
		}
	}
	if e := l.inTime(r, now); e != nil {
		r.phase = finished
		l.mutex.Unlock()
		return e
	}
	defer l.mutex.Unlock()
	out := l.queue.push(r, r.from.Client, r.from.Weight)
	if out == r {
		r.phase = finished
		return l.full()
	}
	l.load.Add(1)
	if out != nil {
		l.deliver(out, l.full())
	}
	return nil
}

// inTime refuses what cannot be done before its deadline, by the requests that are ahead of it and the pace of the token.
func (l *lane) inTime(r *request, now time.Duration) error {
	if l.pace.mean == 0 && l.state == Ready {
		return nil
	}
	ahead := l.queue.ahead(r.from.Client, r.from.Weight) + l.working
	wait := time.Duration(ahead)*l.pace.mean/time.Duration(l.limit) + l.pace.cautious()
	if l.state != Ready {
		wait += recoveryTime[l.wanted]
	}
	left := r.deadline - now
	if wait <= left {
		return nil
	}
	return &Error{Kind: Busy, Token: l.name, Op: "wait for a session", RetryAfter: max(wait-left, ago),
		Err: fmt.Errorf("%d requests are ahead; the time left is too short", ahead)}
}

// recoveryTime is what a remedy is expected to take.
var recoveryTime = [...]time.Duration{
	giveUp: 0, newOne: 0, findKey: 0, pause: 0, narrow: 0,
	logIn: 20 * time.Millisecond, reopen: 100 * time.Millisecond, restart: 500 * time.Millisecond,
}

func (l *lane) full() error {
	return &Error{Kind: Busy, Token: l.name, Op: "wait for a session", Err: errors.New("too many requests are waiting"),
		RetryAfter: max(l.pace.mean*time.Duration(l.queue.size)/time.Duration(2*l.limit), ago)}
}

// withdraw takes a request back whose caller goes away. left is false when it is done already, and its result on the way;
// mine is false when a clerk has it still, and will put it away.
func (l *lane) withdraw(r *request) (left, mine bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	switch r.phase {
	case queued:
		l.queue.remove(r)
		l.load.Add(-1)
		r.phase = finished
		return true, true
	case running:
		r.phase = abandoned
		return true, false
	}
	return false, true
}

// hand takes a request out of the lane, and tells whether there is a caller to be told, by a token on r.done.
func (l *lane) hand(r *request, err error) (told bool) {
	l.load.Add(-1)
	if r.phase == abandoned {
		r.phase = finished
		l.requests.Put(r)
		return false
	}
	r.phase, r.err = finished, err
	return true
}

// deliver is hand, and tells the caller.
func (l *lane) deliver(r *request, err error) {
	if l.hand(r, err) {
		r.done <- struct{}{} // does not block: there is room for one
	}
}

// free is a clerk without work: an idle one, else a new one while there may be more; nil when there is none.
func (l *lane) free() *clerk {
	if last := len(l.idle) - 1; last >= 0 {
		w := l.idle[last]
		l.idle = l.idle[:last]
		return w
	}
	if l.alive >= l.limit {
		return nil
	}
	l.alive++
	w := &clerk{lane: l, wake: make(chan *request, 1)}
	l.crew = append(l.crew, w)
	go w.run()
	return w
}

// assign gives a clerk a request; whoever calls it sends the request to w.wake, or is the clerk.
func (l *lane) assign(w *clerk, r *request, now time.Duration) {
	l.working++
	r.phase = running
	w.request, w.since = r, now
	w.digest, w.size = r.digest, r.size
	w.brief(l, r.replica)
}

// pump gives waiting requests to free clerks.
func (l *lane) pump() {
	now := l.clock.now()
	for l.state == Ready {
		r := l.take(now)
		if r == nil {
			return
		}
		w := l.free()
		if w == nil {
			l.queue.pushAgain(r)
			return
		}
		l.assign(w, r, now)
		w.wake <- r // does not block: a clerk without work has an empty channel
	}
}

// take is the next request to be worked at. One that can no longer be done in time gives way to others that can.
func (l *lane) take(now time.Duration) *request {
	for {
		r := l.queue.pop()
		if r == nil || l.queue.size == 0 || r.deadline-now >= l.pace.mean {
			return r
		}
		err := &Error{Kind: Busy, Token: l.name, Op: "wait for a session", RetryAfter: max(l.pace.mean, ago),
			Err: errors.New("its turn came too late for the time left")}
		l.deliver(r, err)
	}
}

// fault notes an error after which the token needs a remedy, found in an epoch. It is for the keeper to take it, once for
// all who met the fault.
func (l *lane) fault(epoch uint64, what remedy, r *replica, err error) {
	if l.state != Ready || epoch != l.epoch {
		return
	}
	if l.ladder >= what { // that was tried, and nothing has been signed since
		what = min(l.ladder+1, restart)
	}
	l.wanted, l.suspect = what, r
	l.become(Recovering, l.fail("sign", err, Internal))
	l.kick()
	// What another token can do need not wait for this one.
	if what > logIn {
		l.shed()
	}
}

func (l *lane) kick() {
	select {
	case l.trouble <- struct{}{}:
	default:
	}
}

var errMoved = errors.New("another token takes it")

// shed returns those waiting that have another token to go to.
func (l *lane) shed() {
	l.queue.filter(func(r *request) bool { return r.replica.key.served(l) }, func(r *request) { l.deliver(r, errMoved) })
}

// become changes the state. In those that admit nothing whoever waits is told why.
func (l *lane) become(s State, reason error) {
	if l.state == Stopped || s == l.state && s == Recovering {
		return
	}
	before := l.state
	l.state, l.reason = s, reason
	l.ready.Store(s == Ready)
	if before != s {
		l.since = time.Now()
	}
	switch s {
	case Ready, Recovering:
		if !l.closing {
			l.shut.Store(nil)
		}
	default:
		e, ok := errors.AsType[*Error](l.fail("sign", reason, Away))
		if !ok {
			e = &Error{Kind: Away, Token: l.name, Op: "sign", Err: reason}
		}
		told := *e
		switch s {
		case Absent:
			if told.Kind != Config && told.Kind != Ambiguous {
				told.Kind = Away
			}
			told.RetryAfter = retryAway
		case Locked:
			told.Kind = PINRefused
		case Stopped:
			told.Kind = Closed
		}
		if !l.closing || s == Stopped {
			l.shut.Store(&told)
		}
		l.queue.filter(anyRequest, func(r *request) { l.deliver(r, &told) })
	}
	if before != s {
		l.tell(before, s, reason)
	}
}

func anyRequest(*request) bool { return true }

// retryAway is when a caller may ask again for a token that is away.
const retryAway = time.Second

func (l *lane) tell(before, s State, reason error) {
	if l.trace.State != nil {
		l.trace.State(l.name, s, reason)
	}
	switch s {
	case Ready:
		l.log.Info("token is ready", "serial", l.info.Serial, "model", l.info.Model, "vendor", l.vendor.Name,
			"after", before.String())
	case Recovering:
		l.log.Warn("token needs attention", "remedy", l.wanted.String(), "error", reason)
	case Absent:
		l.log.Error("token is away", "error", reason)
	case Locked:
		l.log.Error("token waits for an operator", "error", reason)
	}
}
