package hsm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
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
	cfg   SchedulerConfig
	log   *slog.Logger
	lanes []*lane
	names map[string]*lane

	requests sync.Pool
	clock    clock

	mutex  sync.RWMutex
	keys   map[string]*Key
	closed bool
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
	s := &Scheduler{cfg: cfg, log: log, names: map[string]*lane{}, keys: map[string]*Key{}}
	s.requests.New, s.clock = newRequest, newClock()
	if s.cfg.MaxWait <= 0 {
		s.cfg.MaxWait = DefaultMaxWait
	}
	if s.cfg.Canary == 0 {
		s.cfg.Canary = DefaultCanary
	}
	if s.cfg.Trace == nil {
		s.cfg.Trace = &Trace{}
	}
	refuse := func(token string, err error) error {
		return &Error{Kind: Config, Token: token, Op: "start", Err: err}
	}
	type sharing struct {
		path      string
		isolation Isolation
	}
	shared := map[sharing][]TokenConfig{}
	for _, t := range cfg.Tokens {
		t, err := t.checked()
		if err != nil {
			return nil, refuse(t.Name, err)
		}
		if s.names[t.Name] != nil {
			return nil, refuse(t.Name, errors.New("there is another token of this name"))
		}
		if cfg.Trace != nil {
			t.Trace = cfg.Trace
		}
		l := newLane(t, s, log)
		s.lanes, s.names[t.Name] = append(s.lanes, l), l
		at := sharing{t.Module, t.Isolation}
		shared[at] = append(shared[at], t)
	}
	for at, tokens := range shared {
		lib := newLibrary(at.path, at.isolation, load, optionsOf(tokens, log))
		for _, t := range tokens {
			l := s.names[t.Name]
			l.lib = lib
			lib.lanes = append(lib.lanes, l)
		}
		if cfg.RestartPause > 0 {
			lib.longest = cfg.RestartPause
		}
		lib.users = len(lib.lanes)
	}
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
	return s.admit(ctx, cfg, false)
}

// ReplaceKey is AddKey for a name that may be taken: from its return on the name means the new key, and no request has been
// refused in between. Requests for the old one that are on their way are done.
func (s *Scheduler) ReplaceKey(ctx context.Context, cfg KeyConfig) (*Key, error) {
	return s.admit(ctx, cfg, true)
}

func (s *Scheduler) admit(ctx context.Context, cfg KeyConfig, replace bool) (*Key, error) {
	op := fmt.Sprintf("take key %q into service", cfg.Name)
	k, err := s.newKey(cfg)
	if err != nil {
		return nil, &Error{Kind: Config, Op: op, Err: err}
	}
	for _, r := range k.replicas {
		r.lane.attach(r)
	}
	err = k.prove(ctx)
	if err == nil {
		err = s.enlist(k, replace)
	}
	if err != nil {
		k.detach()
		return nil, err
	}
	return k, nil
}

func (s *Scheduler) newKey(cfg KeyConfig) (*Key, error) {
	if cfg.Name == "" {
		return nil, errors.New("it has no name")
	}
	if len(cfg.Replicas) == 0 || len(cfg.Replicas) > maxReplicas {
		return nil, fmt.Errorf("it is on %d tokens; 1 to %d are possible", len(cfg.Replicas), maxReplicas)
	}
	k := &Key{name: cfg.Name}
	for _, ref := range cfg.Replicas {
		l := s.names[ref.Token]
		if l == nil {
			return nil, fmt.Errorf("no token %q is configured", ref.Token)
		}
		if err := checkID(ref.ID); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(k.replicas, func(r *replica) bool { return r.lane == l }) {
			return nil, fmt.Errorf("token %q is named twice", ref.Token)
		}
		k.replicas = append(k.replicas, &replica{key: k, lane: l, id: ref.ID, judged: make(chan struct{})})
	}
	return k, nil
}

// prove waits until each token has looked for the key, or cannot for now.
func (k *Key) prove(ctx context.Context) error {
	var errs []error
	for _, r := range k.replicas {
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
			return &Error{Kind: Expired, Token: r.lane.name, Op: fmt.Sprintf("prove key %q", k.name), Err: ctx.Err()}
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

func (k *Key) detach() {
	for _, r := range k.replicas {
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
	s.mutex.Unlock()
	errs := make([]error, len(s.lanes))
	var group sync.WaitGroup
	for i, l := range s.lanes {
		group.Go(func() { errs[i] = l.close(ctx) })
	}
	group.Wait()
	return errors.Join(errs...)
}
