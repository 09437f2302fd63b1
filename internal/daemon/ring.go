package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// ring is the signer's view of the keys on the tokens. Immutable.
type ring struct {
	order  []signer.Key
	byName map[string]*key // by exact version, and by the name alone for the primary
}

func (r *ring) Key(name string) (signer.Key, error) {
	if k := r.byName[name]; k != nil {
		return k, nil
	}
	return nil, report.Errorf(report.KeyUnknown, report.Place{}, "no key is configured by the name %s", name)
}

func (r *ring) Keys() []signer.Key { return r.order }

// lane is a token with what is known of its state from the work it does.
type lane struct {
	name   string
	token  *hsm.Token
	first  *key                  // signs when the token is looked at
	down   atomic.Pointer[error] // why the token last failed as a whole; nil while it works
	signed atomic.Uint64         // signatures so far
	seen   uint64                // of them, at the last look
}

// note keeps the state of the token up to date with the outcome of one signature.
func (l *lane) note(err error) {
	switch {
	case err == nil:
		l.down.Store(nil)
		l.signed.Add(1)
	case hsm.KindOf(err) == hsm.Away || hsm.KindOf(err) == hsm.Closed || hsm.KindOf(err) == hsm.PINRefused:
		l.down.Store(&err)
	}
}

// state is why the token does not sign, nil when it does.
func (l *lane) state() error {
	if err := l.token.Err(); err != nil {
		return err
	}
	if p := l.down.Load(); p != nil {
		return *p
	}
	return nil
}

// tokenKey is what the ring uses of an *hsm.Key.
type tokenKey interface {
	Public() *gost.PublicKey
	SignDigest(ctx context.Context, digest []byte) ([]byte, error)
	Err() error
}

// key is a key on a token, as package signer wants it.
type key struct {
	name        string
	lane        *lane
	hsm         tokenKey
	certificate *gost.Certificate
	chain       []*gost.Certificate
	lost        atomic.Pointer[error] // why the token could not use the key when last asked; nil while it can
}

func (k *key) Name() string                   { return k.name }
func (k *key) Public() *gost.PublicKey        { return k.hsm.Public() }
func (k *key) Certificate() *gost.Certificate { return k.certificate }
func (k *key) Chain() []*gost.Certificate     { return k.chain }

func (k *key) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	signature, err := k.sign(ctx, digest)
	if err != nil {
		return nil, translate(err)
	}
	return signature, nil
}

// sign keeps the states of key and token up to date.
func (k *key) sign(ctx context.Context, digest []byte) ([]byte, error) {
	signature, err := k.hsm.SignDigest(ctx, digest)
	k.lane.note(err)
	k.note(err)
	return signature, err
}

func (k *key) note(err error) {
	switch kind := hsm.KindOf(err); {
	case err == nil:
		k.lost.Store(nil)
	case kind == hsm.KeyNotFound || kind == hsm.Ambiguous || kind == hsm.KeyUnusable || kind == hsm.Config:
		k.lost.Store(&err)
	}
}

// Available implements signer.Availability.
func (k *key) Available() error {
	if err := k.hsm.Err(); err != nil {
		return translate(err)
	}
	if err := k.lane.state(); err != nil {
		return translate(err)
	}
	if p := k.lost.Load(); p != nil {
		return translate(*p)
	}
	return nil
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
	hsm.WrongSignature: {report.TokenFault, "the token made a wrong signature; the key is out of service"},
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
	return &report.Error{Code: t.code, Message: t.message, Err: err}
}

// openKeys finds the configured keys on the open tokens, and proves each by a signature. Everything that does not fit is
// reported at once, at its place in the configuration.
func (c *Config) openKeys(ctx context.Context, lanes map[string]*lane, log *slog.Logger) (*ring, error) {
	r := &ring{byName: map[string]*key{}}
	doc := &document{}
	for _, kc := range c.keys {
		l := lanes[kc.token]
		found, err := l.token.Key(ctx, kc.id)
		if err != nil {
			if kind := hsm.KindOf(err); kind == hsm.Away || kind == hsm.Expired || kind == hsm.PINRefused || ctx.Err() != nil {
				return nil, err
			}
			kc.place.in(doc).fail("%s", err)
			continue
		}
		k := &key{name: kc.name.String(), lane: l, hsm: found, certificate: kc.certificate, chain: kc.chain}
		source := "configuration"
		if k.certificate == nil {
			k.certificate, source = found.Certificate(), "token"
		}
		if err := k.fits(time.Now(), log); err != nil {
			kc.place.in(doc).fail("the certificate from the %s %s", source, err)
			continue
		}
		if l.first == nil {
			l.first = k
		}
		r.order = append(r.order, k)
		r.byName[k.name] = k
		if kc.primary {
			r.byName[kc.name.WithVersion(0).String()] = k
		}
		log.Info("key in service", "key", k.name, "token", l.name, "algorithm", k.Public().Algorithm.Name,
			"parameters", k.Public().Params.Name)
	}
	if len(doc.findings) > 0 {
		return nil, c.errors(doc)
	}
	return r, nil
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

// fits checks the certificate against the key, and warns about what makes the key unusable today.
func (k *key) fits(now time.Time, log *slog.Logger) error {
	c := k.certificate
	switch {
	case c == nil:
		log.Warn("the key has no certificate; it signs bare digests only", "key", k.name)
	case c.PublicKey == nil:
		return fmt.Errorf("has a key that cannot be used: %w", c.PublicKeyErr)
	case !c.PublicKey.Equal(k.Public()):
		return errors.New("is of another key")
	case len(k.chain) > 0 && !c.Issuer.Equal(k.chain[0].Subject):
		return fmt.Errorf("was issued by %s; the chain begins with %s", c.Issuer, k.chain[0].Subject)
	default:
		warnOfValidity(log, k.name, c.NotBefore, c.NotAfter, now)
	}
	for _, other := range k.chain {
		if c != nil && string(other.Raw) == string(c.Raw) {
			return errors.New("is repeated in the chain, which begins with the issuer's")
		}
	}
	return nil
}
