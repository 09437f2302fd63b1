package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

// prepareKeys makes ready tokens, keys, versions and their states.
func (d *Daemon) prepareKeys(ctx context.Context, now, next *Config, _ bool) (*change, error) {
	states, err := next.readStates()
	if err != nil {
		return nil, err
	}
	keys, err := next.withStates(states)
	if err != nil {
		return nil, err
	}
	sameTokens := slices.EqualFunc(now.tokens, next.tokens, hsm.TokenConfig.Equal)
	if sameTokens && slices.EqualFunc(keys, d.reloader.keys, sameKey) {
		return nil, nil
	}
	held := heldTokens(now.tokens, next.tokens)
	for _, ref := range d.config.audit.replicas {
		if next.token(ref.Token) == nil {
			held = append(held, "token "+ref.Token+": its key signs the audit log's checkpoints")
		}
	}
	if held != nil {
		return restart(held...)
	}
	r, err := d.prepareRing(ctx, next, keys)
	if err != nil {
		return nil, err
	}
	return &change{commit: r.commit, undo: r.undo}, nil
}

// ringChange is a ring that has been made beside the one at work, on tokens that are open.
type ringChange struct {
	d        *Daemon
	exchange *hsm.Exchange
	builder  ringBuilder
	ring     *ring
	keys     []keyConfig
}

// prepareRing opens tokens that are new, and makes a new ring of the keys. When it fails, everything is as it was. The error is a
// *ConfigError when only another file helps.
func (d *Daemon) prepareRing(ctx context.Context, c *Config, keys []keyConfig) (*ringChange, error) {
	for _, k := range keys {
		for _, ref := range k.replicas {
			if slices.Contains(d.config.audit.replicas, ref) {
				return nil, c.refusal(k.place, "is the key that signs the audit log's checkpoints; that needs a key of its own")
			}
		}
	}
	x, err := d.tokens.Exchange(ctx, c.tokens)
	if err != nil {
		return nil, err
	}
	r := &ringChange{d: d, exchange: x, keys: keys,
		builder: ringBuilder{tokens: d.tokens, exchange: x, log: d.log, old: d.keys.now.Load(), leaving: d.reloader.leaving}}
	if r.ring, err = r.builder.build(ctx, c, keys); err != nil {
		x.Abandon()
		return nil, err
	}
	err = r.ring.settled(r.builder.old, time.Now())
	if a := d.config.audit.replicas; err == nil && slices.ContainsFunc(a, func(ref hsm.KeyRef) bool { return x.Gone(ref.Token) }) {
		err = x.MoveKey(ctx, hsm.KeyConfig{Name: checkpointsKey, Replicas: a})
	}
	if err != nil {
		r.undo()
		return nil, err
	}
	return r, nil
}

func (r *ringChange) undo() {
	r.builder.remove(r.builder.added)
	r.exchange.Abandon()
}

// commit puts the ring in the place of the old one.
func (r *ringChange) commit() {
	d, old, now := r.d, r.builder.old, r.ring
	for _, name := range r.exchange.Opened() {
		d.log.Info("token taken over", "token", name)
	}
	r.exchange.Commit()
	d.keys.now.Store(now)
	d.note()
	r.builder.done(now, time.Now())
	d.reloader.keys = r.keys
	for _, k := range now.order {
		if before := old.byName[k.name]; before == nil || before.state != k.state {
			d.log.Info("key version", "key", k.name, "state", string(k.state))
		}
	}
	for name, k := range now.byName {
		if before := old.byName[name]; name != k.name && (before == nil || before.name != k.name) {
			d.log.Info("primary key version", "key", k.name)
		}
	}
	for name := range old.byName {
		if now.byName[name] == nil {
			d.log.Info("no longer a key", "key", name)
		}
	}
}

func sameKey(a, b keyConfig) bool {
	same := func(a, b *gost.Certificate) bool {
		return a == b || a != nil && b != nil && string(a.Raw) == string(b.Raw)
	}
	return a.name == b.name && a.primary == b.primary && a.state == b.state && slices.Equal(a.replicas, b.replicas) &&
		same(a.certificate, b.certificate) && slices.EqualFunc(a.chain, b.chain, same)
}

// gone tells whether a replica's token goes, or another takes its name.
func (b *ringBuilder) gone(ref hsm.KeyRef) bool {
	return b.exchange != nil && b.exchange.Gone(ref.Token)
}

// move has a key that is in service go to other tokens, or to those that take the names of its own.
func (b *ringBuilder) move(ctx context.Context, old *key, kc keyConfig) error {
	if kc.state.off() || slices.Equal(old.replicas, kc.replicas) && !slices.ContainsFunc(kc.replicas, b.gone) {
		return nil
	}
	if err := b.exchange.MoveKey(ctx, hsm.KeyConfig{Name: kc.name.String(), Replicas: kc.replicas}); err != nil {
		return fmt.Errorf("the version does not move to other tokens: %w", err)
	}
	return nil
}

// heldTokens are tokens that differ and cannot be exchanged under a running process, and why.
func heldTokens(now, next []hsm.TokenConfig) (reasons []string) {
	differ := map[string][]hsm.TokenConfig{}
	for _, pair := range [][2][]hsm.TokenConfig{{now, next}, {next, now}} {
		for _, t := range pair[0] {
			if !slices.ContainsFunc(pair[1], t.Equal) {
				differ[t.Name] = append(differ[t.Name], t)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(differ)) {
		inside, passed := false, false
		for _, t := range differ[name] {
			inside = inside || t.Isolation == hsm.InProcess
			handed := t.PIN.Descriptor != 0 || t.KeyPIN.Descriptor != 0
			passed = passed || handed && slices.ContainsFunc(next, t.Equal)
		}
		if inside {
			reasons = append(reasons, "token "+name+": a module within the daemon's own process (isolation: none) stays as it is")
		}
		if passed {
			reasons = append(reasons, "token "+name+": its PIN comes by a descriptor, which is handed over at the start")
		}
	}
	return reasons
}
