package daemon

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	software "github.com/epov-signer/epov/internal/version"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
	"github.com/epov-signer/epov/signer/audit/tlog/follow"
)

// Daemon is a running service.
type Daemon struct {
	config    *Config // of the start
	log       *slog.Logger
	tokens    *hsm.Scheduler
	keys      *liveRing
	changed   chan struct{} // see note; room for one
	tlsKey    io.Closer     // of a TLS key on a token
	server    *api.Server
	listener  *listener
	watchdog  time.Duration // in which the service manager wants a sign of life, 0: never
	trust     *keeper
	audit     *tlog.Log // nil: no log
	followers []*follow.Follower
	service   *signer.Service
	policy    atomic.Pointer[Policy] // in force
	grace     atomic.Int64           // nanoseconds for calls at work when the daemon stops
	reloader  reloader
	admin     *administration // nil: none
	observing observing
}

// Start tests the algorithms, opens the tokens, proves the keys and listens; it serves nobody before [Daemon.Serve]. When it
// fails everything is closed again. The error is a *ConfigError when tokens and configuration contradict each other; see
// also NeedsOperator.
func Start(ctx context.Context, c *Config, log *slog.Logger) (_ *Daemon, err error) {
	if err := gost.SelfTest(); err != nil {
		return nil, fmt.Errorf("self-test of the algorithms: %w", err)
	}
	d := &Daemon{config: c, log: log, changed: make(chan struct{}, 1), keys: &liveRing{}}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	if err := d.observe(ctx); err != nil {
		return nil, err
	}
	sockets, err := takeSockets(c.addresses())
	if err != nil {
		return nil, err
	}
	defer sockets.close()
	if d.watchdog, err = watchdogInterval(); err != nil {
		return nil, err
	}
	tlsConfig, err := d.openTLS(ctx)
	if err != nil {
		return nil, err
	}
	if c.tls != nil {
		c.tls.warn(log)
	}
	d.tokens, err = hsm.Start(ctx, hsm.SchedulerConfig{
		Tokens: c.tokens, MaxWait: c.times.wait, Canary: c.times.watch, Trace: &d.observing.hsm,
	}, log)
	if err != nil {
		return nil, err
	}
	if err := d.operator(); err != nil {
		return nil, err
	}
	d.grace.Store(int64(c.times.grace))
	r := &d.reloader
	r.started, r.root, r.now, r.edited, r.parts, r.leaving = c.root, c.root, c, stampOf(c.file), d.newParts(), map[string]leaving{}
	r.told(func(*reloads) {})
	keys, err := d.openKeys(ctx)
	if err != nil {
		return nil, err
	}
	if d.audit, err = d.openAudit(ctx); err != nil {
		return nil, err
	}
	d.policy.Store(c.policy)
	d.service, err = signer.New(signer.Config{
		Keys: d.keys, Access: c.policy.Access, Trust: c.trust, SMEV: c.smev, Limits: c.bounds, Logger: log,
		RequestIDs: c.requestIDs,
		TimeStamps: c.timeStamps, Audit: auditor(d.audit), Trace: &d.observing.signer,
	})
	if err != nil {
		return nil, err
	}
	limits := c.limits
	if limits.Connections, err = bounded(c.connections, log); err != nil {
		return nil, err
	}
	d.server, err = api.New(api.Config{
		Service: d.service, TLS: tlsConfig, Limits: limits, Trace: &d.observing.api, Logger: log,
		Version: software.String(), Reflection: c.reflection, Monitor: d.monitor, Load: d.load,
	})
	if err != nil {
		return nil, err
	}
	socket, err := sockets.open(ctx, apiListener)
	if err != nil {
		return nil, err
	}
	if d.listener, err = narrow(socket, limits.Connections, log); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if c.metrics.listen != "" {
		if d.observing.listener, err = sockets.open(ctx, metricsListener); err != nil {
			return nil, err
		}
		log.Info("serving metrics", "address", d.observing.listener.Addr().String(), "tls", c.metrics.tls != nil)
	}
	if d.admin, err = d.openAdmin(ctx, sockets); err != nil {
		return nil, err
	}
	if d.trust, err = c.openTrust(log); err != nil {
		return nil, err
	}
	d.begin(ctx)
	c.policy.warnings(c.keys, log.Warn)
	if c.insecure {
		log.Warn("INSECURE: listening without TLS; whoever reaches this address may sign as client anyone")
	}
	if c.trust == nil {
		log.Warn("no trust anchors are configured; verification will say that trust was not checked")
	}
	if d.audit == nil {
		log.Warn("no audit log is configured: signatures are counted, and recorded nowhere")
	}
	d.recordAct(ctx, actStart, software.String(), audit.Done, c.file, policyFile(c, c.root))
	log.Info("listening", "address", d.listener.Addr().String(), "keys", len(keys.order), "clients", len(c.policy.Clients))
	return d, nil
}

// operator is the error of a token that waits for one, when no token signs: it takes a new start after what he does.
func (d *Daemon) operator() error {
	var waits error
	for _, t := range d.tokens.Health().Tokens {
		switch t.State {
		case hsm.Ready:
			return nil
		case hsm.Locked:
			waits = t.Err
		}
	}
	return waits
}

// NeedsOperator reports whether an error of Start is about a PIN, so that starting again may do harm.
func NeedsOperator(err error) bool { return hsm.KindOf(err) == hsm.PINRefused }

// Misconfigured reports whether an error of Start says that configuration and machine contradict each other, so that
// starting again does not help.
func Misconfigured(err error) bool {
	if _, ok := errors.AsType[*ConfigError](err); ok {
		return true
	}
	if _, ok := errors.AsType[misfit](err); ok {
		return true
	}
	switch hsm.KindOf(err) {
	case hsm.Config, hsm.Ambiguous, hsm.KeyNotFound, hsm.KeyUnusable, hsm.Invalid:
		return true
	}
	return false
}

// openTLS completes the TLS configuration; nil when the listener is insecure. A key on a token is opened before the token
// itself, as package hsm asks for.
func (d *Daemon) openTLS(ctx context.Context) (*tls.Config, error) {
	t := d.config.tls
	if t == nil {
		return nil, nil
	}
	if t.token != "" {
		key, closer, err := hsm.OpenTLSKey(ctx, *d.config.token(t.token), t.id, d.log)
		if err != nil {
			return nil, err
		}
		d.tlsKey = closer
		if err := t.useKey(key); err != nil {
			return nil, d.config.refusal(t.place, err.Error())
		}
	}
	return api.MutualTLS(t.certificate, t.clientCAs), nil
}

// warn tells of a certificate that is not valid, or will not be for long, and of a key that everybody may read.
func (t *tlsConfig) warn(log *slog.Logger) {
	warnOfValidity(log, "TLS certificate", t.certificate.Leaf.NotBefore, t.certificate.Leaf.NotAfter, time.Now())
	if info, err := os.Stat(t.file); err == nil && info.Mode()&0o004 != 0 {
		log.Warn("everybody on this machine may read the TLS key", "file", t.file, "next", "chmod o-rwx; the service's user or group has to read it")
	}
}

// useKey joins the certificate with its key on a token.
func (t *tlsConfig) useKey(key crypto.PrivateKey) error {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return errors.New("the TLS key cannot sign")
	}
	if public, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(t.certificate.Leaf.PublicKey) {
		return fmt.Errorf("the certificate is not of the key %q on token %q", t.id, t.token)
	}
	t.certificate.PrivateKey = key
	return nil
}

// Addr is the address that is listened on.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// Serve serves until ctx ends, then stops: not serving, calls at work get their time, tokens are closed. It returns nil
// after an orderly stop.
func (d *Daemon) Serve(ctx context.Context) error {
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); d.watch(watching) }()
	kept := make(chan struct{})
	go func() { defer close(kept); d.trust.run(watching) }()
	followed := make(chan struct{})
	go func() { defer close(followed); d.follow(watching) }()
	passed := make(chan struct{})
	go func() { defer close(passed); d.followAudit(watching) }()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if d.watchdog > 0 {
			d.feed(watching, d.watchdog)
		}
	}()
	measured := make(chan struct{})
	go func() { defer close(measured); d.observing.metrics.Run(watching) }()
	scraped := make(chan struct{})
	go func() { defer close(scraped); d.serveMetrics(watching, d.log) }()
	administered := make(chan struct{})
	go func() { defer close(administered); d.admin.run(watching, d.log) }()
	served := make(chan error, 1)
	go func() { served <- d.server.Serve(d.listener) }()

	d.log.Info("serving")
	if err := notify("READY=1"); err != nil {
		d.log.Warn("systemd was not notified", "error", err)
	}
	var err error
	select {
	case <-ctx.Done():
		d.log.Info("stopping")
		_ = notify("STOPPING=1") // who does not hear it waits a little longer
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(d.grace.Load()))
		d.rest(grace)
		if !d.server.Shutdown(grace) {
			d.log.Warn("calls were cut off after the time for stopping", "seconds", time.Duration(d.grace.Load()).Seconds())
		}
		cancel()
		err = <-served
	case err = <-served:
	}
	stopWatching()
	<-watched
	<-followed
	<-passed
	<-administered
	<-kept
	<-fed
	<-measured
	<-scraped
	d.recordAct(ctx, actStop, "", audit.Done)
	return errors.Join(err, d.release())
}

// rest leaves new connections to whoever serves the socket next. It takes milliseconds.
func (d *Daemon) rest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := d.listener.rest(ctx); err != nil {
		d.log.Warn("connections that come while the service stops may be cut off", "error", err)
	}
}

// release closes whatever is open.
func (d *Daemon) release() error {
	var errs []error
	if d.listener != nil {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, d.closeAudit())
	d.closeTraces()
	if d.observing.listener != nil {
		_ = d.observing.listener.Close() // again, unless it never served
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if d.tokens != nil {
		errs = append(errs, d.tokens.Close(ctx))
	}
	if d.tlsKey != nil {
		errs = append(errs, d.tlsKey.Close())
	}
	return errors.Join(errs...)
}

// note says that what keys can do, or who may see them, may have changed.
func (d *Daemon) note() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// watch keeps the health service and those who watch keys up to date with what the scheduler knows, so that asking costs the
// tokens nothing. The service is healthy as long as one key would sign.
func (d *Daemon) watch(ctx context.Context) {
	ticker := time.NewTicker(time.Second) // the audit log does not say when it is ready again
	defer ticker.Stop()
	for {
		signing, keys := d.keys.now.Load().wellness()
		if d.audit != nil && d.audit.Ready() != nil { // nothing is signed that cannot be recorded
			signing = false
			for name := range keys {
				keys[name] = false
			}
		}
		d.server.SetServing(signing, keys)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-d.changed:
			d.server.KeysChanged()
		}
	}
}
