package daemon

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/epov-signer/epov/signer/trust"
)

// keeper keeps what the daemon trusts current: CRLs are fetched, and a trust directory that changes is read again, while
// calls go on with the set of certificates that they began with.
type keeper struct {
	config *trustConfig
	store  *trust.Store
	smev   *trust.Store
	log    *slog.Logger
}

// openTrust takes up what an earlier run has fetched.
func (c *Config) openTrust(log *slog.Logger) (*keeper, error) {
	k := &keeper{config: &c.trusted, store: c.trust, smev: c.smev, log: log}
	if library := c.trusted.library; library != nil {
		c.trusted.log.Handler = log.Handler()
		library.SetAddresses(c.trusted.crls)
		if err := library.OpenCache(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// run fetches until ctx ends.
func (k *keeper) run(ctx context.Context) {
	if k.config.library != nil {
		k.config.library.Run(ctx)
	}
}

// changed tells whether the directory is another one than when it was read.
func (k *keeper) changed() bool {
	return k.config.directory != nil && k.config.directory.Stamp() != k.config.stamp
}

// replace puts certificates of files in force, and those of the directory, which is read if it has changed or always is true. It
// says whether the directory had changed. What cannot be read changes nothing.
func (k *keeper) replace(next *trustConfig, always bool) (changed bool, err error) {
	t := k.config
	changed = k.changed()
	if t.directory != nil && (changed || always) {
		contents, err := t.read()
		if err != nil {
			t.stamp = t.directory.Stamp() // said once
			return false, fmt.Errorf("the trust directory cannot be read: %w", err)
		}
		k.log.Info("the trust directory was read", "sources", len(contents.Manifest.Sources),
			"anchors", len(contents.Certificates.Anchors), "intermediates", len(contents.Certificates.Intermediates))
		if t.library != nil {
			t.library.SetAddresses(t.crls)
		}
	}
	t.fixed, t.smev = next.fixed, next.smev
	if k.store != nil {
		k.store.Replace(merge(t.fixed, t.listed))
	}
	if k.smev != nil {
		k.smev.Replace(trust.Certificates{Anchors: t.smev, Intermediates: t.fixed.Intermediates})
	}
	return changed, nil
}
