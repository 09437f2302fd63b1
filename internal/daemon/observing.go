package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon/observe"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// observing is what the daemon has for being looked at.
type observing struct {
	metrics  *observe.Metrics
	listener net.Listener    // of metrics; nil: none
	tracer   *observe.Tracer // nil: none

	tls     atomic.Pointer[tlsConfig]  // in force; nil: none
	scrapes atomic.Pointer[tls.Config] // of the listener of metrics; nil: none

	hsm    hsm.Trace
	signer signer.Trace
	api    api.Trace
}

// observe makes metrics and traces, before there is anything to be seen.
func (d *Daemon) observe(ctx context.Context) error {
	o := &d.observing
	o.tls.Store(d.config.tls)
	o.scrapes.Store(d.config.metrics.tls)
	o.metrics = observe.New(observe.Config{State: d.state, Profiles: profiles()})
	o.hsm, o.signer, o.api = o.metrics.Trace()
	o.hsm.State = func(string, hsm.State, error) { d.note() }
	o.hsm.KeyChanged = func(string, string) { d.note() }
	if c := d.config.traces; c.endpoint != "" {
		var err error
		if o.tracer, err = observe.NewTracer(ctx, observe.TracerConfig{
			Endpoint: c.endpoint, TLS: c.tls, Ratio: c.ratio, Version: BuildVersion(), Logger: d.log,
		}); err != nil {
			return fmt.Errorf("traces: %w", err)
		}
		o.tracer.Join(&o.signer, &o.api)
		d.log.Info("traces go to a collector", "endpoint", c.endpoint, "tls", c.tls != nil)
	}
	return nil
}

// closeTraces lets what waits for the collector go there, for a moment.
func (d *Daemon) closeTraces() {
	if d.observing.tracer == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := d.observing.tracer.Close(ctx); err != nil {
		d.log.Warn("traces are lost", "error", err)
	}
}

func profiles() (names []string) {
	for _, p := range xmldsig.Profiles {
		names = append(names, p.Name)
	}
	for _, p := range cms.Profiles {
		names = append(names, p.Name)
	}
	return names
}

// serveMetrics serves metrics where the configuration says, until ctx ends.
func (d *Daemon) serveMetrics(ctx context.Context, log *slog.Logger) {
	if d.observing.listener == nil {
		return
	}
	if err := d.observing.metrics.Serve(ctx, d.observing.listener, d.observing.scraped(), log); err != nil {
		log.Error("metrics are not served any more", "error", err)
	}
}

// scraped gives the TLS of those who read metrics; nil: there is none.
func (o *observing) scraped() func() *tls.Config {
	if o.scrapes.Load() == nil {
		return nil
	}
	return o.scrapes.Load
}

// state is what there is to see of the daemon now. It waits for no token.
func (d *Daemon) state() observe.State {
	s := observe.State{Now: time.Now(), Version: BuildVersion(), Sandbox: d.config.confined}
	if d.listener != nil {
		s.Connections, s.ConnectionsLimit = int(d.listener.held.Load()), int(d.listener.most.Load())
		s.Draining = d.listener.rests.Load() || d.server.Draining()
	}
	if ring := d.keys.now.Load(); ring != nil && d.tokens != nil {
		health := d.tokens.Health()
		for _, t := range health.Tokens {
			s.Tokens = append(s.Tokens, tokenState(t))
		}
		replicas := map[string][]hsm.ReplicaHealth{}
		for _, k := range health.Keys {
			replicas[k.Name] = k.Replicas
		}
		for _, k := range ring.order {
			state := k.observed(replicas[k.name])
			state.Primary = ring.primary(k)
			s.Keys = append(s.Keys, state)
			if c := k.Certificate(); c != nil && k.state != retired {
				s.Certificates = append(s.Certificates, observe.Certificate{Kind: "key", Name: k.name, Until: c.NotAfter})
			}
		}
		signing, _ := ring.wellness()
		s.Serving = signing && !s.Draining && (d.audit == nil || d.audit.Ready() == nil)
	}
	s.Certificates = append(s.Certificates, watchedCertificates(d.observing.tls.Load())...)
	_, _, s.Reloads = d.Reloaded()
	if d.service != nil {
		for _, u := range d.service.Usage() {
			s.Usage = append(s.Usage, observe.Usage(u))
		}
	}
	if l := d.revocations(); l != nil {
		r := l.Status()
		s.Revocations = observe.Revocations{Lists: r.Lists, Overdue: r.Overdue, Oldest: r.Oldest, Failing: r.Failing}
	}
	if d.audit != nil {
		stats := d.audit.Stats()
		s.Audit = &observe.Audit{Records: stats.Records, Lag: stats.Records - min(stats.Checkpoint, stats.Records), Waiting: stats.Waiting}
		s.Audit.Reason = short(stats.Down)
	}
	return s
}

// watchedCertificates are those of TLS.
func watchedCertificates(t *tlsConfig) (list []observe.Certificate) {
	add := func(kind string, c *x509.Certificate) {
		name := c.Subject.String()
		if name == "" && len(c.DNSNames) > 0 {
			name = c.DNSNames[0]
		}
		list = append(list, observe.Certificate{Kind: kind, Name: name, Until: c.NotAfter})
	}
	if t != nil {
		add("tls", t.certificate.Leaf)
		for _, ca := range t.authorities {
			add("client-ca", ca)
		}
	}
	return list
}

// pinState is what is known of a token's PIN: by its flags when it was last opened, and by what came of the last login.
func pinState(t hsm.TokenHealth) string {
	switch {
	case t.State == hsm.Locked && t.Info.PINLocked:
		return "locked"
	case t.State == hsm.Locked:
		return "refused"
	case t.Info == hsm.TokenInfo{}:
		return "unknown"
	case t.Info.PINLocked:
		return "locked"
	case t.Info.PINFinalTry:
		return "final"
	case t.Info.PINCountLow:
		return "low"
	}
	return "ok"
}

// primary tells whether a key is meant when it is named without a version.
func (r *ring) primary(k *key) bool {
	name, err := signer.ParseKeyName(k.name)
	return err == nil && r.byName[name.WithVersion(0).String()] == k
}

// observed is the state of a key, whose replicas' health is given.
func (k *key) observed(replicas []hsm.ReplicaHealth) observe.Key {
	out := observe.Key{Name: k.name, State: string(k.state), Reason: short(k.Available())}
	if c := k.Certificate(); c != nil {
		out.Until = c.NotAfter
	}
	for _, r := range replicas {
		out.Replicas = append(out.Replicas, observe.Replica{
			Token: r.Token, Reason: short(r.Err), OutOfService: r.Broken, Signed: r.Signed, Tested: r.Tested, Took: r.Took,
			Failure: short(r.TestErr),
		})
	}
	return out
}
