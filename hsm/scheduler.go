package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of SchedulerConfig.
const (
	DefaultMaxWait      = 30 * time.Second
	DefaultCanary       = 15 * time.Second
	DefaultRestartPause = 30 * time.Second

	maxReplicas = 16
)

// SchedulerConfig says which tokens a Scheduler keeps at work, with which keys.
type SchedulerConfig struct {
	Tokens []TokenConfig
	Keys   []KeyConfig

	MaxWait time.Duration // the longest that a request waits whose context has no deadline; default DefaultMaxWait
	// Canary is how often a key of each token signs random octets: the one that has not signed for the longest time, if that is
	// longer. Default DefaultCanary; negative: never.
	Canary time.Duration

	// RestartPause bounds the pause between two starts of a module that does not last a minute, which grows with each up to
	// DefaultRestartPause, the default.
	RestartPause time.Duration

	Trace *Trace // may be nil
}

// KeyConfig is a key by the name under which it is asked for, and where it is.
type KeyConfig struct {
	Name     string
	Replicas []KeyRef // 1 to 16, each on another token; all must hold the same key
}

// KeyRef is a key on a token.
type KeyRef struct {
	Token string // the token's configured name
	ID    string // the text of CKA_ID
}

// Flow is on whose behalf a request is made. Requests that wait are taken in turns between clients, by their weights.
type Flow struct {
	Client string
	Weight int // 1 to 4096, by the service's policy, never by the request's; less is 1

	// Signing, unless it is nil, says where the time went. It is written before Submit returns and not afterwards.
	Signing *Signing
}

// Scheduler keeps tokens at work: it signs with keys on them, opens sessions as they are needed, and puts right what can be
// put right by itself. Safe for concurrent use.
type Scheduler struct {
	cfg    SchedulerConfig
	log    *slog.Logger
	load   hostMaker    // nil: as configured
	wait   atomic.Int64 // SchedulerConfig.MaxWait of now
	canary atomic.Int64 // SchedulerConfig.Canary of now

	requests sync.Pool
	clock    clock

	mutex     sync.RWMutex
	lanes     []*lane // in the order of the configuration; exchanged as a whole
	leaving   []*lane // those that were exchanged and are being closed
	keys      map[string]*Key
	exchanged sync.Mutex // held by an Exchange
	closed    bool
}

// Start opens all tokens at once, each in the background, and waits until each is ready or has said why it is not, or ctx
// ends. A token that is away, and one whose PIN was refused, stop nothing: their keys answer with an error of that kind, and
// those of a token that is away serve when it comes. See [Scheduler.Health]. An error means that the configuration
// contradicts itself, its modules or its tokens; then nothing is left open.
func Start(ctx context.Context, cfg SchedulerConfig, log *slog.Logger) (*Scheduler, error) {
	return start(ctx, cfg, log, nil)
}

// start has modules loaded by load, if that is not nil, instead of as configured.
func start(ctx context.Context, cfg SchedulerConfig, log *slog.Logger, load hostMaker) (*Scheduler, error) {
	s := &Scheduler{cfg: cfg, log: log, load: load, keys: map[string]*Key{}}
	s.requests.New, s.clock = newRequest, newClock()
	s.SetTimes(cfg.MaxWait, cfg.Canary)
	if s.cfg.Trace == nil {
		s.cfg.Trace = &Trace{}
	}
	lanes, err := s.newLanes(cfg.Tokens)
	if err != nil {
		return nil, err
	}
	s.lanes = lanes
	for _, l := range s.lanes {
		go l.keep()
	}
	if err := s.settle(ctx); err != nil {
		ctx, cancel := context.WithTimeout(ctx, drainTime) // when it is over already the rest goes on in the background
		defer cancel()
		_ = s.Close(ctx)
		return nil, err
	}
	return s, nil
}

// SetTimes exchanges [SchedulerConfig].MaxWait and Canary, for requests and tests from now on.
func (s *Scheduler) SetTimes(wait, canary time.Duration) {
	if wait <= 0 {
		wait = DefaultMaxWait
	}
	if canary == 0 {
		canary = DefaultCanary
	}
	s.wait.Store(int64(wait))
	s.canary.Store(int64(canary))
}

// newLanes makes lanes for tokens, of which those of one module share it. None is at work yet.
func (s *Scheduler) newLanes(tokens []TokenConfig) (lanes []*lane, _ error) {
	refuse := func(token string, err error) error {
		return &Error{Kind: Config, Token: token, Op: "start", Err: err}
	}
	names := map[string]*lane{}
	type sharing struct {
		path      string
		isolation Isolation
	}
	shared := map[sharing][]TokenConfig{}
	for _, given := range tokens {
		t, err := given.checked()
		if err != nil {
			return nil, refuse(t.Name, err)
		}
		if names[t.Name] != nil {
			return nil, refuse(t.Name, errors.New("there is another token of this name"))
		}
		if given.Trace == nil {
			t.Trace = s.cfg.Trace
		}
		l := newLane(t, s, s.log)
		l.given = given
		lanes, names[t.Name] = append(lanes, l), l
		at := sharing{t.Module, t.Isolation}
		shared[at] = append(shared[at], t)
	}
	for at, tokens := range shared {
		lib := newLibrary(at.path, at.isolation, s.load, optionsOf(tokens, s.log))
		for _, t := range tokens {
			l := names[t.Name]
			l.lib = lib
			lib.lanes = append(lib.lanes, l)
		}
		if s.cfg.RestartPause > 0 {
			lib.longest = s.cfg.RestartPause
		}
		lib.users = len(lib.lanes)
	}
	return lanes, nil
}

// settle waits for the first outcome of each token, then proves the keys.
func (s *Scheduler) settle(ctx context.Context) error {
	var errs []error
	for _, l := range s.lanes {
		select {
		case <-l.first:
			if e := l.shut.Load(); e != nil && (e.Kind == Config || e.Kind == Ambiguous) {
				errs = append(errs, e)
			}
		case <-ctx.Done():
			return &Error{Kind: Expired, Token: l.name, Op: "start", Err: ctx.Err()}
		}
	}
	for _, k := range s.cfg.Keys {
		if _, err := s.AddKey(ctx, k); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Key finds a key by its name.
func (s *Scheduler) Key(name string) (*Key, error) {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	if k := s.keys[name]; k != nil {
		return k, nil
	}
	return nil, &Error{Kind: KeyNotFound, Op: "find the key", Err: fmt.Errorf("no key %q is configured", name)}
}

// Keys lists the keys, ordered by name.
func (s *Scheduler) Keys() []*Key {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	list := make([]*Key, 0, len(s.keys))
	for _, name := range slices.Sorted(maps.Keys(s.keys)) {
		list = append(list, s.keys[name])
	}
	return list
}

// AddKey takes a key into service while others are at work. It is proved on each of its tokens that is there: a key that is
// missing there, cannot serve, or is another one than elsewhere is refused, and nothing has changed then. On tokens that are
// away it is proved when they come.
func (s *Scheduler) AddKey(ctx context.Context, cfg KeyConfig) (*Key, error) {
	return s.admit(ctx, s.lane, cfg, false)
}

// lane finds a token.
func (s *Scheduler) lane(name string) *lane {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return laneNamed(s.lanes, name)
}

func laneNamed(lanes []*lane, name string) *lane {
	if i := slices.IndexFunc(lanes, func(l *lane) bool { return l.name == name }); i >= 0 {
		return lanes[i]
	}
	return nil
}

// ReplaceKey is AddKey for a name that may be taken: from its return on the name means the new key, and no request has been
// refused in between. Requests for the old one that are on their way are done.
func (s *Scheduler) ReplaceKey(ctx context.Context, cfg KeyConfig) (*Key, error) {
	return s.admit(ctx, s.lane, cfg, true)
}

func (s *Scheduler) admit(ctx context.Context, lanes func(name string) *lane, cfg KeyConfig, replace bool) (*Key, error) {
	if cfg.Name == "" {
		return nil, &Error{Kind: Config, Op: "take a key into service", Err: errors.New("it has no name")}
	}
	k := &Key{name: cfg.Name}
	replicas, err := k.place(cfg, lanes)
	if err != nil {
		return nil, err
	}
	k.replicas.Store(&replicas)
	err = prove(ctx, replicas)
	if err == nil {
		err = s.enlist(k, replace)
	}
	if err != nil {
		k.detach()
		return nil, err
	}
	return k, nil
}

// place puts a key on lanes, which look for it there.
func (k *Key) place(cfg KeyConfig, lanes func(name string) *lane) (replicas []*replica, err error) {
	refuse := func(format string, args ...any) ([]*replica, error) {
		return nil, &Error{Kind: Config, Op: fmt.Sprintf("take key %q into service", cfg.Name), Err: fmt.Errorf(format, args...)}
	}
	if len(cfg.Replicas) == 0 || len(cfg.Replicas) > maxReplicas {
		return refuse("it is on %d tokens; 1 to %d are possible", len(cfg.Replicas), maxReplicas)
	}
	for _, ref := range cfg.Replicas {
		l := lanes(ref.Token)
		if l == nil {
			return refuse("no token %q is configured", ref.Token)
		}
		if err := checkID(ref.ID); err != nil {
			return refuse("%w", err)
		}
		if slices.ContainsFunc(replicas, func(r *replica) bool { return r.lane == l }) {
			return refuse("token %q is named twice", ref.Token)
		}
		replicas = append(replicas, &replica{key: k, lane: l, id: ref.ID, judged: make(chan struct{})})
	}
	for _, r := range replicas {
		r.lane.attach(r)
	}
	return replicas, nil
}

// prove waits until each token has looked for the key, or cannot for now.
func prove(ctx context.Context, replicas []*replica) error {
	var errs []error
	for _, r := range replicas {
		select {
		case <-r.judged:
			e := r.lost.Load()
			if b := r.broken.Load(); b != nil {
				e = b
			}
			if e != nil && e.Kind != Away {
				errs = append(errs, e)
			}
		case <-ctx.Done():
			return &Error{Kind: Expired, Token: r.lane.name, Op: fmt.Sprintf("prove key %q", r.key.name), Err: ctx.Err()}
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func (s *Scheduler) enlist(k *Key, replace bool) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	old := s.keys[k.name]
	switch {
	case s.closed:
		return errClosed
	case old != nil && !replace:
		return &Error{Kind: Exists, Op: "take a key into service", Err: fmt.Errorf("there is a key %q already", k.name)}
	case old != nil:
		old.detach()
	}
	s.keys[k.name] = k
	return nil
}

// RemoveKey takes a key out of service. Requests that are on their way are done.
func (s *Scheduler) RemoveKey(name string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	k := s.keys[name]
	if k == nil {
		return &Error{Kind: KeyNotFound, Op: "take a key out of service", Err: fmt.Errorf("no key %q is configured", name)}
	}
	delete(s.keys, name)
	k.removed.Store(true)
	k.detach()
	return nil
}

func (k *Key) detach() { detach(*k.replicas.Load()) }

func detach(replicas []*replica) {
	for _, r := range replicas {
		r.lane.detach(r)
	}
}

var errClosed = &Error{Kind: Closed, Op: "sign", Err: errors.New("the scheduler is closed")}

// Close turns new requests away, lets those that were admitted end, and lets go of the tokens and modules. When ctx ends
// first, those still waiting are refused with Closed, the rest goes on in the background, and the error says Expired; a
// module in this process whose calls hang is never finalised. A second call waits for the end of the first.
func (s *Scheduler) Close(ctx context.Context) error {
	s.mutex.Lock()
	s.closed = true
	lanes := slices.Concat(s.lanes, s.leaving)
	s.mutex.Unlock()
	errs := make([]error, len(lanes))
	var group sync.WaitGroup
	for i, l := range lanes {
		group.Go(func() { errs[i] = l.close(ctx) })
	}
	group.Wait()
	return errors.Join(errs...)
}
