package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/epov-signer/epov/signer/trust"
)

// look is how often the trust directory is looked at.
const look = 15 * time.Second

// keeper keeps what the daemon trusts current: CRLs are fetched, and a trust directory that changes is read again, while
// calls go on with the set of certificates that they began with.
type keeper struct {
	config *trustConfig
	store  *trust.Store
	log    *slog.Logger
	reload chan struct{}
}

// openTrust takes up what an earlier run has fetched.
func (c *Config) openTrust(log *slog.Logger) (*keeper, error) {
	k := &keeper{config: &c.trusted, store: c.trust, log: log, reload: make(chan struct{}, 1)}
	if library := c.trusted.library; library != nil {
		c.trusted.log.Handler = log.Handler()
		library.SetAddresses(c.trusted.crls)
		if err := library.OpenCache(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// run works until ctx ends.
func (k *keeper) run(ctx context.Context) {
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		if k.config.library != nil {
			k.config.library.Run(ctx)
		}
	}()
	defer func() { <-fetched }()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.reload:
			k.read(true)
		case <-ticker.C:
			k.read(false)
		}
	}
}

// read reads the directory if it has changed, or if it was asked for. What cannot be read changes nothing.
func (k *keeper) read(always bool) {
	t := k.config
	if t.directory == nil || !always && t.directory.Stamp() == t.stamp {
		return
	}
	contents, err := t.read()
	if err != nil {
		k.log.Error("the trust directory cannot be read; what was read before stays in use", "error", err)
		t.stamp = t.directory.Stamp() // said once
		return
	}
	k.store.Replace(merge(t.fixed, contents.Certificates))
	if t.library != nil {
		t.library.SetAddresses(t.crls)
	}
	k.log.Info("the trust directory was read", "sources", len(contents.Manifest.Sources),
		"anchors", len(contents.Certificates.Anchors), "intermediates", len(contents.Certificates.Intermediates))
}
