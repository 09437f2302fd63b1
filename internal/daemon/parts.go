package daemon

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/gost"
)

// newParts are what can be exchanged under a running daemon.
func (d *Daemon) newParts() []*part {
	return []*part{
		{
			name: "tls", refused: "TLS certificates are not taken over",
			read: func(c *Config, root value) {
				at := root.sections()
				c.readTLS(root, at("tls"))
				c.readAdminCAs(at("admin"))
			},
			take: d.takeTLS,
		},
		{
			name: "policy", refused: "the policy is not taken over",
			read: func(c *Config, root value) { c.readPolicy(root, root.sections()) },
			take: d.takePolicy,
		},
		{
			name: "keys", refused: "key states are not taken over", whole: true,
			read: (*Config).readKeyring,
			take: d.takeKeys,
		},
		{
			name: "trust", refused: "trust is not taken over",
			read: func(c *Config, root value) { c.readTrust(root.sections()("trust")) },
			take: d.takeTrust,
		},
	}
}

// readKeyring reads keys and where their states are.
func (c *Config) readKeyring(root value) {
	at := root.sections()
	c.readKeys(root, at("keys"))
	c.states = c.path(at("key_states").text())
}

func (d *Daemon) takePolicy(_ context.Context, c *Config, _ bool) (Result, error) {
	if now := d.policy.Load(); reflect.DeepEqual(now.Roles, c.policy.Roles) && reflect.DeepEqual(now.Clients, c.policy.Clients) {
		return Unchanged, nil
	}
	c.policy.warnings(d.reloader.keys, d.log.Warn)
	d.policy.Store(c.policy)
	d.service.SetAccess(c.policy.Access)
	d.note()
	return TakenOver, nil
}

func (d *Daemon) takeTLS(_ context.Context, c *Config, _ bool) (Result, error) {
	now := d.tls
	if now == nil || c.tls == nil {
		return Unchanged, nil
	}
	next := c.tls
	if next.token != now.token || next.id != now.id {
		return "", c.refusal(next.place, "the TLS key is elsewhere than before; that takes a restart")
	}
	if slices.EqualFunc(next.certificate.Certificate, now.certificate.Certificate, bytes.Equal) && next.clientCAs.Equal(now.clientCAs) &&
		next.adminCAs.Equal(now.adminCAs) {
		return Unchanged, nil
	}
	if next.token != "" {
		if err := next.useKey(now.certificate.PrivateKey); err != nil {
			return "", c.refusal(next.place, err.Error())
		}
	}
	if err := d.server.SetTLS(api.MutualTLS(next.certificate, next.clientCAs)); err != nil {
		return "", err
	}
	if d.admin != nil && network(d.config.admin.listen) != "unix" {
		if err := d.admin.server.SetTLS(next.admin()); err != nil {
			return "", err
		}
	}
	warnOfValidity(d.log, "TLS certificate", next.certificate.Leaf.NotBefore, next.certificate.Leaf.NotAfter, time.Now())
	d.tls = next
	d.observing.tls.Store(next)
	return TakenOver, nil
}

func (c *Config) refusal(at value, message string) error {
	doc := &document{}
	at.in(doc).fail("%s", message)
	return c.errors(doc)
}

// takeKeys takes over keys, versions and their states.
func (d *Daemon) takeKeys(ctx context.Context, c *Config, _ bool) (Result, error) {
	states, err := c.readStates()
	if err != nil {
		return "", err
	}
	keys, err := c.withStates(states)
	if err != nil {
		return "", err
	}
	if slices.EqualFunc(keys, d.reloader.keys, sameKey) {
		return Unchanged, nil
	}
	return TakenOver, d.exchangeKeys(ctx, c, keys, func() error { return nil })
}

// exchangeKeys makes a new ring of the keys and puts it in the place of the old one, once commit has succeeded. When it fails,
// everything is as it was. The error is a *ConfigError when only another file helps.
func (d *Daemon) exchangeKeys(ctx context.Context, c *Config, keys []keyConfig, commit func() error) error {
	for _, k := range keys {
		for _, ref := range k.replicas {
			if slices.Contains(d.config.audit.replicas, ref) {
				return c.refusal(k.place, "is the key that signs the audit log's checkpoints; that needs a key of its own")
			}
		}
	}
	b := ringBuilder{tokens: d.tokens, log: d.log, old: d.keys.now.Load(), leaving: d.reloader.leaving}
	r, err := b.build(ctx, c, keys)
	if err != nil {
		return err
	}
	if err = r.settled(b.old, time.Now()); err == nil {
		err = commit()
	}
	if err != nil {
		b.remove(b.added)
		return err
	}
	d.keys.now.Store(r)
	d.note()
	b.done(r, time.Now())
	d.reloader.keys = keys
	for _, k := range r.order {
		if before := b.old.byName[k.name]; before == nil || before.state != k.state {
			d.log.Info("key version", "key", k.name, "state", string(k.state))
		}
	}
	for name, k := range r.byName {
		if before := b.old.byName[name]; name != k.name && (before == nil || before.name != k.name) {
			d.log.Info("primary key version", "key", k.name)
		}
	}
	for name := range b.old.byName {
		if r.byName[name] == nil {
			d.log.Info("no longer a key", "key", name)
		}
	}
	return nil
}

func sameKey(a, b keyConfig) bool {
	same := func(a, b *gost.Certificate) bool {
		return a == b || a != nil && b != nil && bytes.Equal(a.Raw, b.Raw)
	}
	return a.name == b.name && a.primary == b.primary && a.state == b.state && slices.Equal(a.replicas, b.replicas) &&
		same(a.certificate, b.certificate) && slices.EqualFunc(a.chain, b.chain, same)
}

// takeTrust takes over certificates, of files and of the trust directory. That there is a store at all, and its policy, are
// settings that take a restart.
func (d *Daemon) takeTrust(_ context.Context, c *Config, forced bool) (Result, error) {
	now, next := &d.trust.config.fixed, &c.trusted
	if d.config.trust == nil && len(next.fixed.Anchors) > 0 || d.config.smev == nil && len(next.smev) > 0 {
		return "", c.refusal(next.place, "nothing was trusted at the start; to begin with it takes a restart")
	}
	result := Unchanged
	if !sameCertificates(now.Anchors, next.fixed.Anchors) || !sameCertificates(now.Intermediates, next.fixed.Intermediates) ||
		!sameCertificates(d.trust.config.smev, next.smev) {
		result = TakenOver
	}
	if result == Unchanged && !forced && !d.trust.changed() {
		return Unchanged, nil
	}
	if read, err := d.trust.replace(next, forced); err != nil {
		return "", err
	} else if read {
		result = TakenOver
	}
	return result, nil
}

func sameCertificates(a, b []*gost.Certificate) bool {
	return slices.EqualFunc(a, b, func(a, b *gost.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
}
