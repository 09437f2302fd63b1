package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// liveRing is the ring of the moment. A request that has found its key keeps it, whatever comes after.
type liveRing struct{ now atomic.Pointer[ring] }

func (l *liveRing) Key(name string) (signer.Key, error) { return l.now.Load().Key(name) }
func (l *liveRing) Keys() []signer.Key                  { return l.now.Load().Keys() }

// openKeys takes the configured keys into service, in the states that the file says. Those whose tokens are there are proved by
// a signature, and everything that does not fit is reported at once, at its place; the others are when their tokens come.
func (d *Daemon) openKeys(ctx context.Context) (*ring, error) {
	states, err := d.config.readStates()
	if err != nil {
		return nil, err
	}
	keys, err := d.config.withStates(states)
	if err != nil {
		return nil, err
	}
	b := ringBuilder{tokens: d.tokens, log: d.log, old: &ring{}, leaving: d.reloader.leaving}
	r, err := b.build(ctx, d.config, keys)
	if err == nil {
		d.keys.now.Store(r)
		d.reloader.keys = keys
		b.done(r, time.Now())
	}
	return r, err
}

// ringBuilder makes a ring beside the one at work. What it took into service for that is taken back when it fails.
type ringBuilder struct {
	tokens   *hsm.Scheduler
	exchange *hsm.Exchange // nil: at the start
	log      *slog.Logger
	old      *ring
	leaving  map[string]leaving // is taken back into service rather than proved anew
	added    []string
}

// leaving is a key that signs no more, except for calls that had found it before.
type leaving struct {
	key   *key
	until time.Time
}

// stay is how long such calls have to come to the token.
const stay = 2 * time.Second

func (b *ringBuilder) build(ctx context.Context, c *Config, keys []keyConfig) (_ *ring, err error) {
	r := &ring{byName: map[string]*key{}}
	doc := &document{}
	defer func() {
		if err != nil {
			b.remove(b.added)
		}
	}()
	for _, kc := range keys {
		k, err := b.key(ctx, kc)
		switch {
		case err != nil && (hsm.KindOf(err) == hsm.Expired || hsm.KindOf(err) == hsm.Away || ctx.Err() != nil):
			return nil, err
		case hsm.KindOf(err) == hsm.PINRefused && !kc.state.off(): // the configuration says nothing wrong
			return nil, fmt.Errorf("%s: %w", kc.name, err)
		case err != nil && kc.state.off():
			b.log.Info("a key that signs no more is not listed: no token has it", "key", kc.name.String(), "error", err)
			continue
		case err != nil:
			kc.place.in(doc).fail("%s", err)
			continue
		}
		r.order = append(r.order, k)
		r.byName[k.name] = k
		if kc.primary {
			r.byName[kc.name.WithVersion(0).String()] = k
		}
	}
	if len(doc.findings) > 0 {
		file := c.file
		if b.old.order != nil { // it worked with the configuration alone
			file = c.states
		}
		return nil, c.errorsOf(file, doc)
	}
	return r, nil
}

// key takes a key into service, unless it is already.
func (b *ringBuilder) key(ctx context.Context, kc keyConfig) (*key, error) {
	k := &key{name: kc.name.String(), state: kc.state, tokens: b.tokens, replicas: kc.replicas, certificate: kc.certificate,
		chain: kc.chain, log: b.log}
	if old := b.old.byName[k.name]; old != nil && (!old.state.off() || kc.state.off()) {
		k.hsm = old.hsm
		return k, b.move(ctx, old, kc)
	}
	if l, ok := b.leaving[k.name]; ok && slices.Equal(l.key.replicas, kc.replicas) && !slices.ContainsFunc(kc.replicas, b.gone) {
		k.hsm = l.key.hsm
		return k, nil
	} else if ok {
		return nil, errors.New("the version was on other tokens a moment ago; try again")
	}
	var err error
	add := b.tokens.AddKey
	if b.exchange != nil {
		add = b.exchange.AddKey
	}
	if k.hsm, err = add(ctx, hsm.KeyConfig{Name: k.name, Replicas: kc.replicas}); err != nil {
		return nil, err
	}
	b.added = append(b.added, k.name)
	if err := k.fits(); err != nil && !kc.state.off() {
		e, _ := errors.AsType[*report.Error](err)
		return nil, errors.New(e.Message)
	}
	return k, nil
}

func (b *ringBuilder) remove(names []string) {
	for _, name := range names {
		if err := b.tokens.RemoveKey(name); err != nil {
			b.log.Error("a key stays in service", "key", name, "error", err)
		}
	}
}

// settled is why a ring should not take over yet: a version that would become primary cannot sign now, or its certificate has
// not begun. nil when all can.
func (r *ring) settled(old *ring, now time.Time) error {
	for name, k := range r.byName {
		if before := old.byName[name]; name == k.name || before != nil && before.name == k.name {
			continue
		}
		err := k.Available()
		if err == nil && k.Public() == nil {
			err = errors.New("no token has proved it yet")
		}
		if c := k.Certificate(); err == nil && c != nil && (now.Before(c.NotBefore) || now.After(c.NotAfter)) {
			err = fmt.Errorf("its certificate is valid from %s to %s", c.NotBefore.UTC().Format(time.RFC3339),
				c.NotAfter.UTC().Format(time.RFC3339))
		}
		if err != nil {
			return fmt.Errorf("%s would become the primary version and does not sign: %w", k.name, err)
		}
	}
	return nil
}

// done notes what is to leave service, after the new ring has taken over from the old one, and what stays after all.
func (b *ringBuilder) done(r *ring, now time.Time) {
	leave := func(k *key) {
		if now := r.byName[k.name]; now != nil && now.state == disabled {
			delete(b.leaving, k.name)
			b.remove([]string{k.name})
			return
		}
		b.leaving[k.name] = leaving{k, now.Add(stay)}
	}
	for _, k := range r.order {
		if !k.state.off() {
			delete(b.leaving, k.name)
		} else if slices.Contains(b.added, k.name) {
			leave(k)
		}
	}
	for _, k := range b.old.order {
		if now := r.byName[k.name]; !k.state.off() && (now == nil || now.state.off()) {
			leave(k)
		}
	}
}

// leave takes out of service what has had its time.
func (d *Daemon) leave(now time.Time) {
	b := ringBuilder{tokens: d.tokens, log: d.log}
	for name, l := range d.reloader.leaving {
		if now.After(l.until) {
			delete(d.reloader.leaving, name)
			b.remove([]string{name})
		}
	}
}
