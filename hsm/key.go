package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm/internal/p11"
)

// Key is a GOST private key on a token. Safe for concurrent use.
type Key struct {
	token       *Token
	id          string
	mechanism   uint
	public      *gost.PublicKey
	certificate *gost.Certificate
	broken      atomic.Pointer[Error]

	prepare  sync.Once
	prepared *gost.PreparedKey // public with tables, from the first signature on

	mutex  sync.Mutex // guards the handle, which is valid in its epoch only
	handle p11.Object
	epoch  uint64
}

// Key finds a key by the text of its CKA_ID and proves it: the token signs random octets, and the signature must verify
// under the public key. One that does not is refused with its fault named; nothing is adapted to it.
//
// A 256-bit key without a certificate is taken for GOST R 34.10-2012; a certificate says itself what it is for.
func (t *Token) Key(ctx context.Context, id string) (*Key, error) {
	if err := checkID(id); err != nil {
		return nil, t.fail("find the key", err, Invalid)
	}
	var k *Key
	err := t.withSession(ctx, fmt.Sprintf("find key %q", id), func(s session) error {
		p, err := t.reader(s.handle).pair(id)
		if err != nil {
			return err
		}
		found := &Key{token: t, id: id, mechanism: p.mechanism, public: p.public, certificate: p.certificate,
			handle: p.private, epoch: s.epoch}
		if err := found.selfTest(s.handle); err != nil {
			return err
		}
		k = found
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

// ID is the text of CKA_ID.
func (k *Key) ID() string { return k.id }

// Public is the key that every signature is checked with.
func (k *Key) Public() *gost.PublicKey { return k.public }

// Certificate is the one on the token under the same id; nil when there is none.
func (k *Key) Certificate() *gost.Certificate { return k.certificate }

// Err says why the key serves no more; nil while it serves.
func (k *Key) Err() error {
	if e := k.broken.Load(); e != nil {
		return e
	}
	return k.token.Err()
}

// SignDigest signs a digest of exactly Public().Algorithm.Digest.Size octets, in the order the hash emits them, and returns
// s ‖ r, each half big-endian. The signature has been verified with Public; when one does not verify, the key goes out of
// service. The call waits its turn while ctx allows; when ctx ends it returns, though a call of the module may go on behind
// it, whose session stays taken.
func (k *Key) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	if want := k.public.Algorithm.Digest.Size; len(digest) != want {
		return nil, &Error{Kind: Invalid, Token: k.token.cfg.Name, Op: "sign",
			Err: fmt.Errorf("the digest has %d octets, %s takes %d", len(digest), k.public.Algorithm.Name, want)}
	}
	if err := k.Err(); err != nil {
		return nil, err
	}
	digest = bytes.Clone(digest) // the worker may outlive the call
	var signature []byte
	done := make(chan error, 1)
	go func() {
		report := Signing{Token: k.token.cfg.Name, Key: k.id}
		result, err := k.sign(ctx, digest, &report)
		if err != nil {
			err = k.token.fail("sign", err, Internal)
		}
		report.Err = err
		if k.token.cfg.Trace.Signed != nil {
			k.token.cfg.Trace.Signed(report)
		}
		signature = result
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return signature, nil
	case <-ctx.Done():
		return nil, k.token.fail("sign", ctx.Err(), Expired)
	}
}

// sign tries, takes each remedy at most once, and checks the signature. A GOST signature is randomised and leaves no trace
// on the token, so one more try is safe.
func (k *Key) sign(ctx context.Context, digest []byte, report *Signing) ([]byte, error) {
	t := k.token
	taken := map[remedy]bool{}
	for {
		start := time.Now()
		s, err := t.pool.get(ctx)
		report.Wait += time.Since(start)
		if err != nil {
			return nil, err
		}
		start = time.Now()
		signature, err := k.signWith(ctx, s, digest)
		report.Sign += time.Since(start)
		if err == nil {
			t.pool.put(s, nil)
			return k.checked(digest, signature)
		}
		what := classify(err).remedy
		if what == giveUp || what == narrower || taken[what] || ctx.Err() != nil {
			t.pool.put(s, err)
			return nil, err
		}
		taken[what], report.Retried = true, true
		t.log.Warn("signing again", "key", k.id, "error", err)
		// The permit is kept meanwhile, so that no more callers than sessions can hang in a remedy.
		failed := k.apply(ctx, what, s, err)
		t.pool.put(s, err)
		if failed != nil {
			return nil, failed
		}
	}
}

// apply takes a remedy for what befell a session.
func (k *Key) apply(ctx context.Context, what remedy, s session, reason error) error {
	switch what {
	case newOne:
		k.token.pool.flush(reason)
	case logIn:
		return k.token.logInAgain(ctx, s.epoch)
	case findKey:
		k.forget(s.epoch)
	}
	return nil
}

func (k *Key) signWith(ctx context.Context, s session, digest []byte) ([]byte, error) {
	handle, err := k.find(s)
	if err != nil {
		return nil, err
	}
	return k.token.module.Sign(nil, s.handle, k.mechanism, handle, digest)
}

// find gives the handle that is valid in the session's epoch.
func (k *Key) find(s session) (p11.Object, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.handle != 0 && k.epoch == s.epoch {
		return k.handle, nil
	}
	found, err := k.token.reader(s.handle).find(p11.ClassPrivateKey, k.id)
	if err != nil {
		return 0, err
	}
	if len(found) == 0 {
		// Without a login private objects are invisible, and the search says nothing of that.
		if in, err := k.token.module.LoggedIn(s.handle); err != nil {
			return 0, err
		} else if !in {
			return 0, p11.UserNotLoggedIn
		}
	}
	handle, err := one(k.id, "private key", found)
	if err != nil {
		return 0, err
	}
	k.handle, k.epoch = handle, s.epoch
	return handle, nil
}

func (k *Key) forget(epoch uint64) {
	k.mutex.Lock()
	if k.epoch == epoch {
		k.handle = 0
	}
	k.mutex.Unlock()
}

// checked lets a signature out only when it verifies.
func (k *Key) checked(digest, signature []byte) ([]byte, error) {
	k.prepare.Do(func() { k.prepared = gost.Prepare(k.public) })
	err := k.prepared.Verify(digest, signature)
	if err == nil {
		return signature, nil
	}
	t := k.token
	e := &Error{Kind: WrongSignature, Token: t.cfg.Name, Op: fmt.Sprintf("check a signature of key %q", k.id),
		Err: errors.Join(err, errors.New(nameFault(k.public, digest, signature)))}
	if k.broken.CompareAndSwap(nil, e) {
		t.log.Error("key taken out of service", "key", k.id, "error", e)
		if t.cfg.Trace.KeyOutOfService != nil {
			t.cfg.Trace.KeyOutOfService(t.cfg.Name, k.id, e)
		}
	}
	return nil, e
}
