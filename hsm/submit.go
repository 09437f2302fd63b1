package hsm

import (
	"context"
	"errors"
	"time"

	"github.com/epov-signer/epov/gost"
)

func newRequest() any { return &request{done: make(chan struct{}, 1)} }

// maxAttempts bounds how often one request goes to a lane.
const maxAttempts = 2 * maxReplicas

// Submit signs a digest of exactly k.Public().Algorithm.Digest.Size octets, in the order the hash emits them. It is the only
// way to a signature, which has been verified with k.Public(); when one does not verify, the key goes out of service on that
// token.
//
// The request takes its turn among those of other clients. What cannot be done before ctx's deadline is refused at once with
// Busy, and while every token of the key is away with Away, both with the time after which to ask again in
// Error.RetryAfter. A request that was admitted is carried over lost sessions and logins, tokens that come and go and
// modules that crash, to another token of the key if there is one, as long as ctx lasts. When ctx ends Submit returns, though a
// call of the module may go on behind it.
func (s *Scheduler) Submit(ctx context.Context, k *Key, digest []byte, flow Flow) (gost.Verified, error) {
	if flow.Signing != nil {
		*flow.Signing = Signing{Key: k.name}
	}
	p := k.proof.Load()
	if p == nil || k.removed.Load() {
		return gost.Verified{}, k.Err()
	}
	if err := checkDigest(p.public, digest); err != nil {
		return gost.Verified{}, err
	}
	if err := ctx.Err(); err != nil {
		return gost.Verified{}, &Error{Kind: Expired, Op: "sign", Err: err}
	}
	r := s.requests.Get().(*request)
	r.size, r.from = copy(r.digest[:], digest), flow
	r.from.Signing = nil // the caller's, whom the request may outlive
	r.taken, r.retried, r.sign, r.err = 0, false, 0, nil
	begun := s.clock.now()
	r.deadline = begun + time.Duration(s.wait.Load())
	if d, ok := ctx.Deadline(); ok {
		r.deadline = d.Sub(s.clock.base)
	}
	c := carried{Signing: Signing{Key: k.name}, request: r, clock: s.clock, traced: s.cfg.Trace.Signed != nil || flow.Signing != nil}
	signature, err := c.carry(ctx, k, begun)
	if c.request != nil {
		s.requests.Put(c.request)
	}
	if c.traced {
		c.Wait = max(s.clock.now()-begun-c.Sign-c.Verify, 0)
		c.Err = err
		if flow.Signing != nil {
			*flow.Signing = c.Signing
		}
		if f := s.cfg.Trace.Signed; f != nil {
			f(c.Signing)
		}
	}
	return signature, err
}

// carried is a request on its way from lane to lane.
type carried struct {
	Signing
	*request // nil once it was left behind
	clock    clock
	traced   bool
}

func (c *carried) carry(ctx context.Context, k *Key, now time.Duration) (gost.Verified, error) {
	var tried uint64
	var last error
	r, places := c.request, k.replicas.Load()
	for range maxAttempts {
		if now := k.replicas.Load(); now != places { // it has moved to other tokens
			places, tried = now, 0
		}
		to, number := choose(*places, tried)
		if to == nil && places != k.replicas.Load() {
			continue
		}
		if to == nil {
			break
		}
		r.replica, c.Token = to, to.lane.name
		if err := to.lane.submit(r, now); err != nil {
			last, tried = telling(last, err), tried|1<<number
			continue
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			if left, mine := to.lane.withdraw(r); left {
				if !mine {
					c.request = nil
				}
				return gost.Verified{}, &Error{Kind: Expired, Token: c.Token, Op: "sign", Err: ctx.Err()}
			}
			<-r.done
		}
		c.Sign, c.Retried = r.sign, r.retried
		if r.err == nil {
			begun := c.look()
			signature, err := to.check(r.digest[:r.size], r.signature[:r.length])
			c.Verify += c.look() - begun
			if err == nil {
				to.signed.Store(int64(now))
				return signature, nil
			}
			r.err = err
		}
		c.Retried = true
		now = c.clock.now()
		if r.err != errMoved {
			last, tried = telling(last, r.err), tried|1<<number
		}
	}
	if last == nil {
		last = k.Err()
	}
	if last == nil { // what stood against it has passed meanwhile
		last = &Error{Kind: Away, Token: c.Token, Op: "sign", RetryAfter: ago, Err: errors.New("its tokens come and go")}
	}
	return gost.Verified{}, last
}

// look is the time, where somebody wants to know.
func (c *carried) look() time.Duration {
	if !c.traced {
		return 0
	}
	return c.clock.now()
}

// telling is the one of two refusals that tells when to ask again, and soonest.
func telling(a, b error) error {
	x, ok := errors.AsType[*Error](a)
	if !ok {
		return b
	}
	if y, ok := errors.AsType[*Error](b); ok && y.RetryAfter > 0 && (x.RetryAfter == 0 || y.RetryAfter < x.RetryAfter) {
		return b
	}
	return a
}
