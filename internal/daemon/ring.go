package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// ring is the signer's view of the keys on the tokens. Immutable.
type ring struct {
	order  []*key
	byName map[string]*key // by exact version, and by the name alone for the primary
}

func (r *ring) Key(name string) (signer.Key, error) {
	k := r.byName[name]
	if k == nil {
		return nil, report.Errorf(report.KeyUnknown, report.Place{}, "no key is configured by the name %s", name)
	}
	return k, nil
}

func (r *ring) Keys() []signer.Key {
	list := make([]signer.Key, 0, len(r.order))
	for _, k := range r.order {
		list = append(list, k)
	}
	return list
}

// wellness tells whether any key would sign now, and which would: by the name of each key, of its primary version.
func (r *ring) wellness() (any bool, keys map[string]bool) {
	keys = make(map[string]bool)
	for _, k := range r.order {
		well := k.Available() == nil
		any = any || well
		if n, err := signer.ParseKeyName(k.name); err == nil && r.byName[n.WithVersion(0).String()] == k {
			keys[n.WithVersion(0).String()] = well
		}
	}
	return any, keys
}

// key is a key on tokens, as package signer wants it.
type key struct {
	name        string
	state       keyState
	tokens      *hsm.Scheduler
	hsm         *hsm.Key
	replicas    []hsm.KeyRef
	certificate *gost.Certificate // configured; nil: the one on the token
	chain       []*gost.Certificate
	log         *slog.Logger
	once        sync.Once // judges misfit, once the key is proved
	misfit      error
}

func (k *key) Name() string               { return k.name }
func (k *key) Chain() []*gost.Certificate { return k.chain }

// Public is by the certificate as long as no token has proved the key; nil when there is none either.
func (k *key) Public() *gost.PublicKey {
	if p := k.hsm.Public(); p != nil {
		return p
	}
	if k.certificate != nil {
		return k.certificate.PublicKey
	}
	return nil
}

func (k *key) Certificate() *gost.Certificate {
	if k.certificate != nil {
		return k.certificate
	}
	return k.hsm.Certificate()
}

func (k *key) SignDigest(ctx context.Context, digest []byte, flow signer.Flow) (gost.Verified, error) {
	if err := k.inState(); err != nil {
		return gost.Verified{}, err
	}
	if err := k.fits(); err != nil {
		return gost.Verified{}, err
	}
	took := signings.Get().(*hsm.Signing)
	signature, err := k.tokens.Submit(ctx, k.hsm, digest, hsm.Flow{Client: flow.Client, Weight: flow.Weight, Signing: took})
	if flow.Took != nil {
		*flow.Took = signer.Timings{Token: took.Token, Queue: took.Wait, Sign: took.Sign, Verify: took.Verify, Retried: took.Retried}
	}
	took.Err = nil // holds on to nothing
	signings.Put(took)
	if err != nil {
		return gost.Verified{}, translate(err)
	}
	return signature, nil
}

// signings saves an allocation per signature.
var signings = sync.Pool{New: func() any { return new(hsm.Signing) }}

// Available implements signer.Availability.
func (k *key) Available() error {
	if err := k.inState(); err != nil {
		return err
	}
	if err := k.hsm.Err(); err != nil {
		return translate(err)
	}
	return k.fits()
}

// inState is why a version that is not active does not sign.
func (k *key) inState() error {
	switch k.state {
	case staged:
		return report.Errorf(report.KeyStaged, report.Place{}, "the version is staged: it signs once it is activated")
	case disabled:
		return report.Errorf(report.KeyDisabled, report.Place{}, "the version is disabled: it must not sign")
	case retired:
		return report.Errorf(report.KeyRetired, report.Place{}, "the version is retired: it signs no more")
	}
	return nil
}

// fits is why the key must not be used although its tokens have proved it: the certificate does not belong to it.
func (k *key) fits() error {
	if k.hsm.Public() == nil {
		return nil
	}
	k.once.Do(func() {
		if err := k.examine(time.Now()); err != nil {
			k.misfit = report.Errorf(report.KeyUnusable, report.Place{}, "the certificate from the %s %s", k.source(), err)
			k.log.Error("key is not used", "key", k.name, "error", k.misfit)
		}
	})
	return k.misfit
}

func (k *key) source() string {
	if k.certificate != nil {
		return "configuration"
	}
	return "token"
}

// translations gives every kind of package hsm's errors its code and the sentence that callers read. What the token said
// stays in the error's cause, for the log.
var translations = map[hsm.Kind]struct {
	code    report.Code
	message string
}{
	hsm.Internal:       {report.TokenFault, "the token failed"},
	hsm.Config:         {report.KeyUnusable, "the token is not as configured"},
	hsm.KeyNotFound:    {report.KeyUnusable, "the token does not hold the key"},
	hsm.Ambiguous:      {report.KeyUnusable, "the token holds several keys of that name"},
	hsm.KeyUnusable:    {report.KeyUnusable, "the key on the token cannot serve"},
	hsm.Away:           {report.TokenAway, "the token cannot be reached"},
	hsm.Busy:           {report.Overload, "all sessions of the token are at work"},
	hsm.Expired:        {report.Deadline, "the caller's time ran out before the token answered"},
	hsm.PINRefused:     {report.TokenPIN, "the token's PIN needs an operator"},
	hsm.WrongSignature: {report.KeyUnusable, "the token made a wrong signature; the key is out of service"},
	hsm.Exists:         {report.Internal, "unexpected answer of the token"},
	hsm.Invalid:        {report.Internal, "unexpected answer of the token"},
	hsm.Closed:         {report.TokenAway, "the service is stopping"},
}

// translate brings an error of package hsm into the form that package signer expects.
func translate(err error) *report.Error {
	t, ok := translations[hsm.KindOf(err)]
	if !ok {
		t = translations[hsm.Internal]
	}
	out := &report.Error{Code: t.code, Message: t.message, Err: err}
	if e, ok := errors.AsType[*hsm.Error](err); ok {
		out.RetryAfter = e.RetryAfter
	}
	return out
}

// warnOfValidity tells of certificates that are not valid, or will not be for long.
func warnOfValidity(log *slog.Logger, of string, from, until, now time.Time) {
	switch {
	case now.After(until):
		log.Warn("the certificate is over", "of", of, "until", until)
	case now.Before(from):
		log.Warn("the certificate has not begun; is the clock right?", "of", of, "from", from)
	case now.AddDate(0, 0, 30).After(until):
		log.Warn("the certificate ends soon", "of", of, "until", until)
	}
}

// examine checks the certificate against the key, and warns about what makes the key unusable today.
func (k *key) examine(now time.Time) error {
	c := k.Certificate()
	switch {
	case c == nil:
		k.log.Warn("the key has no certificate; it signs bare digests only", "key", k.name)
	case c.PublicKey == nil:
		return fmt.Errorf("has a key that cannot be used: %w", c.PublicKeyErr)
	case !c.PublicKey.Equal(k.Public()):
		return errors.New("is of another key")
	case len(k.chain) > 0 && !c.Issuer.Equal(k.chain[0].Subject):
		return fmt.Errorf("was issued by %s; the chain begins with %s", c.Issuer, k.chain[0].Subject)
	default:
		warnOfValidity(k.log, k.name, c.NotBefore, c.NotAfter, now)
	}
	for _, other := range k.chain {
		if c != nil && string(other.Raw) == string(c.Raw) {
			return errors.New("is repeated in the chain, which begins with the issuer's")
		}
	}
	return nil
}
