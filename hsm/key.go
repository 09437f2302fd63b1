package hsm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// Key is a GOST private key that a [Scheduler] has at work, on one token or on several. Safe for concurrent use.
type Key struct {
	name     string
	replicas atomic.Pointer[[]*replica] // where it is at work: exchanged as a whole, see Exchange.MoveKey
	proof    atomic.Pointer[proof]      // nil until a token has proved it
	proving  sync.Mutex                 // of the first proof
	removed  atomic.Bool
}

// proof is what signatures are checked with.
type proof struct {
	public      *gost.PublicKey
	certificate *gost.Certificate
	prepared    *gost.PreparedKey
}

// replica is a key on one token.
type replica struct {
	key    *Key
	lane   *lane
	id     string
	proved atomic.Bool
	broken atomic.Pointer[Error] // a signature did not verify: final
	lost   atomic.Pointer[Error] // why the token could not use the key when it was last asked; nil while it can
	signed atomic.Int64          // when a signature last verified, by the clock; 0: never
	tested atomic.Pointer[test]  // the last test; nil: none yet
	judged chan struct{}         // closed when it was looked for, or could not be for now

	// Guarded by the lane's mutex.
	mechanism uint
	confirmed bool       // each signature, by a PIN
	object    p11.Object // valid in epoch
	epoch     uint64
	asked     time.Time // when the keeper last looked for it
}

// test is a signature over random octets that a replica was asked for.
type test struct {
	Canary
	at time.Duration // by the clock
}

// Name is the configured name.
func (k *Key) Name() string { return k.name }

// Public is the key that every signature is checked with; nil as long as no token has proved it.
func (k *Key) Public() *gost.PublicKey {
	if p := k.proof.Load(); p != nil {
		return p.public
	}
	return nil
}

// Certificate is the one on the token under the same id; nil when there is none, or no token has proved the key yet.
func (k *Key) Certificate() *gost.Certificate {
	if p := k.proof.Load(); p != nil {
		return p.certificate
	}
	return nil
}

// Err says why no token would sign with the key now, as far as is known without asking; nil when one would.
func (k *Key) Err() error {
	if k.removed.Load() {
		return k.gone()
	}
	var first error
	for _, r := range *k.replicas.Load() {
		err := r.err()
		if err == nil {
			return nil
		}
		// What passes by itself is more to the point than what does not.
		if first == nil || KindOf(first) != Away && KindOf(err) == Away {
			first = err
		}
	}
	return first
}

func (k *Key) gone() *Error {
	return &Error{Kind: KeyNotFound, Op: "sign", Err: fmt.Errorf("key %q was taken out", k.name)}
}

// err is why the token would not sign with the key now.
func (r *replica) err() error {
	if e := r.broken.Load(); e != nil {
		return e
	}
	if e := r.lane.shut.Load(); e != nil {
		return e
	}
	if e := r.lost.Load(); e != nil {
		return e
	}
	if !r.proved.Load() {
		return &Error{Kind: Away, Token: r.lane.name, Op: "sign", RetryAfter: retryAway,
			Err: fmt.Errorf("key %q was not found yet", r.id)}
	}
	return nil
}

// usable is err == nil without an error.
func (r *replica) usable() bool {
	return r.proved.Load() && r.broken.Load() == nil && r.lost.Load() == nil && r.lane.shut.Load() == nil
}

// served tells whether another token than l's is ready for the key.
func (k *Key) served(l *lane) bool {
	for _, r := range *k.replicas.Load() {
		if r.lane != l && r.lane.ready.Load() && r.usable() {
			return true
		}
	}
	return false
}

// choose is the usable replica with the least expected time, of those that are not in tried; nil when there is none.
func choose(replicas []*replica, tried uint64) (best *replica, number int) {
	if len(replicas) == 1 {
		if r := replicas[0]; tried == 0 && r.usable() {
			return r, 0
		}
		return nil, 0
	}
	var least time.Duration
	for i, r := range replicas {
		if tried&(1<<i) != 0 || !r.usable() {
			continue
		}
		t := r.lane.expected()
		if !r.lane.ready.Load() {
			t += time.Second
		}
		if best == nil || t < least {
			best, number, least = r, i, t
		}
	}
	return best, number
}

// check lets a signature out only when it verifies. One that does not takes the key out of service on this token.
func (r *replica) check(digest, signature []byte) (gost.Verified, error) {
	p := r.key.proof.Load()
	v, err := p.prepared.Prove(digest, signature)
	if err != nil {
		err = r.condemn(wrongSignature(r.id, err, p.public, digest, signature))
	}
	return v, err
}

func (r *replica) condemn(e *Error) error {
	e.Token = r.lane.name
	if r.broken.CompareAndSwap(nil, e) {
		r.lane.log.Error("key taken out of service on this token", "key", r.key.name, "error", e)
		if f := r.lane.trace.KeyOutOfService; f != nil {
			f(r.lane.name, r.key.name, e)
		}
		if f := r.lane.trace.KeyChanged; f != nil {
			f(r.lane.name, r.key.name)
		}
	}
	return e
}

// other says that a token holds another key than the others under the name.
func (r *replica) other() error {
	return &Error{Kind: KeyUnusable, Token: r.lane.name, Op: fmt.Sprintf("read key %q", r.id),
		Err: fmt.Errorf("it is another key than key %q has elsewhere", r.key.name)}
}

// prove reads the key through a session of the keeper's, has it sign, and takes the public key from it if it is the first.
// What the error says of the key is kept; a return code of the module's is not.
func (r *replica) prove(ctx context.Context, at place, s p11.Session, epoch uint64) error {
	begun, before := r.lane.clock.now(), r.err()
	err := r.proveNow(ctx, at, s, epoch)
	r.tell(before)
	now := r.lane.clock.now()
	if err == nil {
		r.signed.Store(int64(now))
	}
	t := &test{Canary{Token: r.lane.name, Key: r.key.name, Took: now - begun, Err: err}, now}
	r.tested.Store(t)
	if f := r.lane.trace.Canary; f != nil {
		f(t.Canary)
	}
	return err
}

// tell tells when the key can be used now and could not before, or the other way round, or cannot for another reason.
func (r *replica) tell(before error) {
	now := r.err()
	if f := r.lane.trace.KeyChanged; f != nil && ((now == nil) != (before == nil) || KindOf(now) != KindOf(before)) {
		f(r.lane.name, r.key.name)
	}
}

func (r *replica) proveNow(ctx context.Context, at place, s p11.Session, epoch uint64) error {
	p, err := do(ctx, at.instance, func() (pair, error) {
		read := reader{at.instance, s, r.lane.vendor, r.lane.cfg.confirmer(ctx, at.instance, at.slot, r.lane.info.Serial)}
		p, err := read.pair(r.id)
		if KindOf(err) == KeyNotFound {
			// Without a login nothing private is seen, and the search says nothing of that.
			if in, e := at.LoggedIn(s); e != nil || !in {
				err = cmp.Or(e, error(p11.UserNotLoggedIn))
			}
		}
		if err != nil {
			return p, err
		}
		if known := r.key.proof.Load(); known != nil && !samePoint(known.public, p.public) {
			return p, r.other()
		}
		start := time.Now()
		err = read.selfTest(p, r.id)
		if err == nil {
			r.lane.timed(time.Since(start))
		}
		return p, err
	})
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Kind == WrongSignature {
			return r.condemn(e)
		}
		named := *e
		named.Token = r.lane.name
		r.lost.Store(&named)
		return &named
	}
	if err != nil {
		return err
	}
	if err := r.key.adopt(p); err != nil {
		e := r.other().(*Error)
		r.lost.Store(e)
		return e
	}
	r.lane.mutex.Lock()
	r.mechanism, r.confirmed, r.object, r.epoch = p.mechanism, p.confirmed, p.private, epoch
	r.lane.mutex.Unlock()
	r.lost.Store(nil)
	if !r.proved.Swap(true) {
		public := r.key.Public()
		r.lane.log.Info("key in service", "key", r.key.name, "id", r.id, "algorithm", public.Algorithm.Name,
			"parameters", public.Params.Name)
	}
	return nil
}

var errOtherKey = errors.New("another key")

// adopt makes the first pair that is proved the measure of the others.
func (k *Key) adopt(p pair) error {
	k.proving.Lock()
	defer k.proving.Unlock()
	if known := k.proof.Load(); known != nil {
		if !samePoint(known.public, p.public) {
			return errOtherKey
		}
		return nil
	}
	k.proof.Store(&proof{p.public, p.certificate, gost.Prepare(p.public)})
	return nil
}

// private finds a private key by its id. Without a login private objects are invisible, and the search says nothing of
// that.
func (r reader) private(id string) (p11.Object, error) {
	found, err := r.find(p11.ClassPrivateKey, id)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		if in, err := r.m.LoggedIn(r.s); err != nil {
			return 0, err
		} else if !in {
			return 0, p11.UserNotLoggedIn
		}
	}
	return one(id, "private key", found)
}
