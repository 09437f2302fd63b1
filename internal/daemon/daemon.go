package daemon

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
)

// Daemon is a running service.
type Daemon struct {
	config   *Config
	log      *slog.Logger
	lanes    map[string]*lane
	tlsKey   io.Closer // of a TLS key on a token
	server   *api.Server
	listener net.Listener
	trust    *keeper
}

// Start tests the algorithms, opens the tokens, proves the keys and listens; it serves nobody before [Daemon.Serve]. When it
// fails everything is closed again. The error is a *ConfigError when tokens and configuration contradict each other; see
// also NeedsOperator.
func Start(ctx context.Context, c *Config, log *slog.Logger) (_ *Daemon, err error) {
	if err := gost.SelfTest(); err != nil {
		return nil, fmt.Errorf("self-test of the algorithms: %w", err)
	}
	d := &Daemon{config: c, log: log, lanes: map[string]*lane{}}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	tlsConfig, err := d.openTLS(ctx)
	if err != nil {
		return nil, err
	}
	if c.tls != nil {
		warnOfValidity(log, "TLS certificate", c.tls.certificate.Leaf.NotBefore, c.tls.certificate.Leaf.NotAfter, time.Now())
	}
	for _, t := range c.tokens {
		token, err := hsm.Open(ctx, t, log)
		if err != nil {
			return nil, err
		}
		d.lanes[t.Name] = &lane{name: t.Name, token: token}
	}
	keys, err := c.openKeys(ctx, d.lanes, log)
	if err != nil {
		return nil, err
	}
	service, err := signer.New(signer.Config{
		Keys: keys, Access: c.access, Trust: c.trust, SMEV: c.smev, Limits: signer.Limits{MessageBytes: c.message}, Logger: log,
		TimeStamps: c.timeStamps,
	})
	if err != nil {
		return nil, err
	}
	d.server, err = api.New(api.Config{Service: service, TLS: tlsConfig, Limits: c.limits, Logger: log})
	if err != nil {
		return nil, err
	}
	d.listener, err = net.Listen("tcp", c.listen)
	if err != nil {
		return nil, err
	}
	if d.listener, err = narrow(d.listener, c.connections, log); err != nil {
		return nil, err
	}
	if d.trust, err = c.openTrust(log); err != nil {
		return nil, err
	}
	c.warnOfIdleGrants(log)
	if err := hsm.CheckPINMemory(); err != nil {
		log.Warn("PINs may be swapped out or dumped; see LimitMEMLOCK in the unit", "error", err)
	}
	if c.insecure {
		log.Warn("INSECURE: listening without TLS; whoever reaches this address may sign as client anyone")
	}
	if c.trust == nil {
		log.Warn("no trust anchors are configured; verification will say that trust was not checked")
	}
	log.Info("listening", "address", d.listener.Addr().String(), "keys", len(c.keys), "clients", c.clients)
	return d, nil
}

// NeedsOperator reports whether an error of Start is about a PIN, so that starting again may do harm.
func NeedsOperator(err error) bool { return hsm.KindOf(err) == hsm.PINRefused }

// Misconfigured reports whether an error of Start says that configuration and machine contradict each other, so that
// starting again does not help.
func Misconfigured(err error) bool {
	if _, ok := errors.AsType[*ConfigError](err); ok {
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
	certificate := t.certificate
	if t.token != "" {
		key, closer, err := hsm.OpenTLSKey(ctx, *d.config.token(t.token), t.id, d.log)
		if err != nil {
			return nil, err
		}
		d.tlsKey = closer
		if public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(certificate.Leaf.PublicKey) {
			doc := &document{}
			t.place.in(doc).fail("the certificate is not of the key %q on token %q", t.id, t.token)
			return nil, d.config.errors(doc)
		}
		certificate.PrivateKey = key
	}
	return api.MutualTLS(certificate, t.clientCAs), nil
}

// Addr is the address that is listened on.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// Serve serves until ctx ends, then stops: not serving, calls at work get their time, tokens are closed. It returns nil
// after an orderly stop.
func (d *Daemon) Serve(ctx context.Context) error {
	d.server.SetServing(true) // every key was proved a moment ago
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); d.watch(watching) }()
	kept := make(chan struct{})
	go func() { defer close(kept); d.trust.run(watching) }()
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
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.config.grace)
		if !d.server.Shutdown(grace) {
			d.log.Warn("calls were cut off after the time for stopping", "seconds", d.config.grace.Seconds())
		}
		cancel()
		err = <-served
	case err = <-served:
	}
	stopWatching()
	<-watched
	<-kept
	return errors.Join(err, d.release())
}

// release closes whatever is open.
func (d *Daemon) release() error {
	var errs []error
	if d.listener != nil {
		if err := d.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, l := range d.lanes {
		if err := l.token.Close(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if d.tlsKey != nil {
		errs = append(errs, d.tlsKey.Close())
	}
	return errors.Join(errs...)
}

// watch looks at the tokens in the background, so that asking after health costs them nothing: a key of each signs random
// octets. The service is healthy as long as one token signs.
func (d *Daemon) watch(ctx context.Context) {
	ticker := time.NewTicker(d.config.watch)
	defer ticker.Stop()
	failing := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		serving := false
		for name, l := range d.lanes {
			err := l.look(ctx, d.config.watch)
			if ctx.Err() != nil {
				return
			}
			switch {
			case err != nil && !failing[name]:
				d.log.Error("token does not sign", "token", name, "error", err)
			case err == nil && failing[name]:
				d.log.Info("token signs again", "token", name)
			}
			failing[name] = err != nil
			serving = serving || err == nil && l.first != nil
		}
		d.server.SetServing(serving)
	}
}

// look lets the lane's first key sign. A token without keys is as it was, and so is one that is merely busy: it has signed
// for others since the last look. One that has not is taken to hang.
func (l *lane) look(ctx context.Context, patience time.Duration) error {
	if l.first == nil {
		return l.state()
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	digest := make([]byte, l.first.hsm.Public().Algorithm.Digest.Size)
	rand.Read(digest)
	_, err := l.first.sign(ctx, digest)
	signed := l.signed.Load()
	busy := signed != l.seen && (hsm.KindOf(err) == hsm.Busy || hsm.KindOf(err) == hsm.Expired)
	l.seen = signed
	if err != nil && busy {
		return l.state()
	}
	return err
}
