package hsm

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/epov-signer/epov/hsm/internal/p11"
)

// healTime is how long signatures wait for the token to be opened anew, from when that began: a handshake is better
// refused than held.
const healTime = 2 * time.Second

// tlsKey is a key of crypto11's that outlives its token's sessions, login and absence. crypto11 puts dead sessions back into
// its pool and lends them again, so all of them are replaced. The signatures that miss the key have it opened anew, once for
// all of them and with pauses; an idle key does nothing.
type tlsKey struct {
	token  *crypto11Token
	id     string
	log    *slog.Logger
	public crypto.PublicKey

	mutex   sync.Mutex
	key     crypto.Signer // nil: lost
	remedy  remedy        // what the loss asks for
	reason  error         // why there is no key
	lost    time.Time     // when the key was, zero after a signature
	next    time.Time     // no healing before
	gap     time.Duration
	begun   time.Time     // of the healing under way
	healing chan struct{} // closed when it ends; nil: none is under way
	closed  bool
}

func (k *tlsKey) Public() crypto.PublicKey { return k.public }

func (k *tlsKey) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	key, err := k.use()
	for again := true; err == nil; again = false {
		signature, failed := key.Sign(random, digest, opts)
		if failed == nil {
			k.served(key)
			return signature, nil
		}
		if lost := k.lose(key, failed); !lost || !again {
			return nil, k.failure(failed)
		}
		key, err = k.use()
	}
	return nil, err
}

// use gives the key, and has it healed when it is lost and its time has come.
func (k *tlsKey) use() (crypto.Signer, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.key == nil && k.healing == nil && !k.closed && !time.Now().Before(k.next) {
		k.begun, k.healing = time.Now(), make(chan struct{})
		go k.heal(k.remedy, k.healing)
	}
	if healing := k.healing; healing != nil {
		left := time.NewTimer(healTime - time.Since(k.begun))
		k.mutex.Unlock()
		select {
		case <-healing:
		case <-left.C:
		}
		left.Stop()
		k.mutex.Lock()
	}
	switch {
	case k.closed:
		return nil, &Error{Kind: Closed, Token: k.token.cfg.Name, Op: k.op(), Err: errors.New("the key was closed")}
	case k.key != nil:
		return k.key, nil
	case k.healing != nil:
		return nil, &Error{Kind: Away, Token: k.token.cfg.Name, Op: k.op(), RetryAfter: retryAway, Err: fmt.Errorf(
			"the token is being opened anew since %v; if that does not end, a call of the module hangs: restart the service",
			time.Since(k.begun).Round(time.Second))}
	}
	return nil, k.failure(k.reason)
}

func (k *tlsKey) op() string { return fmt.Sprintf("sign with TLS key %q", k.id) }

// failure is what a caller is told.
func (k *tlsKey) failure(err error) error {
	kind, err := k.token.explain(err)
	e := &Error{Kind: kind, Token: k.token.cfg.Name, Op: k.op(), Err: err}
	if kind == Away || kind == Busy {
		e.RetryAfter = retryAfter[kind]
	}
	return e
}

// served notes that a key signs.
func (k *tlsKey) served(key crypto.Signer) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.key == key && !k.lost.IsZero() {
		k.log.Info("TLS key is back", "after", time.Since(k.lost).Round(time.Millisecond))
		k.lost, k.next, k.gap = time.Time{}, time.Time{}, firstPause
	}
}

// lose takes a key out of use whose failure a healing may end. It tells whether another try makes sense.
func (k *tlsKey) lose(key crypto.Signer, failed error) bool {
	failed = fromCrypto11(failed)
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.key != key {
		return !k.closed // another signature has met it before
	}
	what := k.token.vendor.classify(failed).remedy
	if what == giveUp || what == pause || what == narrow {
		return false // nothing is lost
	}
	k.key, k.remedy, k.reason = nil, what, failed
	if k.lost.IsZero() {
		k.lost = time.Now()
		k.log.Warn("TLS key is lost; its token is opened anew", "err", failed)
	} else {
		k.remedy = reopen // less has not helped
	}
	return true
}

// heal makes one try. It is the only one that uses the token meanwhile.
func (k *tlsKey) heal(what remedy, healing chan struct{}) {
	defer close(healing)
	ctx, cancel := context.WithTimeout(context.Background(), loginTime)
	defer cancel()
	key, err := k.token.again(ctx, k.id, what)
	if err == nil && !k.public.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
		err = &Error{Kind: KeyUnusable,
			Err: errors.New("the token has another key of this id now; restart the service with its certificate")}
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	k.healing = nil
	kind, cause := Internal, err
	if err != nil {
		kind, cause = k.token.explain(err)
	}
	most := lastPause
	switch {
	case err == nil:
		k.key = key
		most = settingPause // for as long as nothing is signed all the same
	case kind == PINRefused:
		k.gap, most = askPause, askPause
	case errors.Is(cause, p11.CryptokiNotInitialized):
		cause = fmt.Errorf("%w: something else in this process has ended the module; restart the service", cause)
	case kind == Config || kind == Ambiguous || kind == KeyNotFound || kind == KeyUnusable:
		k.gap, most = settingPause, settingPause
	case kind == Away && time.Since(k.lost) > absence:
		cause = fmt.Errorf("%w; if the token is there, its module has not noticed: restart the service", cause)
	}
	k.next = time.Now().Add(min(k.gap, most))
	k.gap = min(2*k.gap, most)
	if err == nil {
		return
	}
	if k.remedy = reopen; k.reason == nil || k.reason.Error() != cause.Error() {
		k.log.Warn("TLS key stays lost", "kind", kind, "err", cause)
	}
	k.reason = &Error{Kind: kind, Err: cause}
}

// Close waits for signatures under way, and refuses others from then on.
func (k *tlsKey) Close() error {
	k.mutex.Lock()
	k.closed, k.key = true, nil
	healing := k.healing
	k.mutex.Unlock()
	if healing != nil {
		select {
		case <-healing:
		case <-time.After(drainTime): // to end a module during a call crashes the process
			return &Error{Kind: Away, Token: k.token.cfg.Name, Op: fmt.Sprintf("close TLS key %q", k.id), Err: errHung}
		}
	}
	return k.token.Close()
}

// again finds the key after a loss. Where that may do, only the login is made anew, for tokens with few sessions.
func (c *crypto11Token) again(ctx context.Context, id string, what remedy) (crypto.Signer, error) {
	if what == logIn || what == findKey {
		if in, err := c.module.LoggedIn(c.anchor); err == nil {
			if !in {
				c.closeAnchor()
				if err := c.logIn(ctx); err != nil {
					return nil, err
				}
			}
			if key, err := c.find(id); err == nil {
				return key, nil
			}
		}
	}
	if err := c.reopen(ctx); err != nil {
		return nil, err
	}
	return c.find(id)
}

// reopen replaces all sessions and the login. The module stays initialised, for this process may have more at work with it:
// crypto11 counts its contexts and finalises after the last, so the new one is there before the old one goes.
func (c *crypto11Token) reopen(ctx context.Context) error {
	if _, err := findToken(c.module, "", c.serial); err != nil {
		return err // before crypto11, which would not say what is wrong
	}
	old := c.Context
	if err := c.configure(); err != nil {
		return err
	}
	// The old context's last signatures end meanwhile. It closes sessions that are dead, by handles that a module may have given
	// out anew: to the new context's first session at most, without which it works as long as our anchor is there.
	_ = old.Close() // never fails
	c.closeAnchor()
	return c.logIn(ctx)
}
