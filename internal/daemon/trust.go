package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/epov-signer/epov/signer/trust/revocation"
)

// keeper keeps what is known about revocation current: lists are fetched, by the library of the moment.
type keeper struct {
	library atomic.Pointer[revocation.Library] // nil: none
	other   chan struct{}                      // room for one: there is another library
	log     *slog.Logger
}

// openTrust takes up what an earlier run has fetched.
func (c *Config) openTrust(log *slog.Logger) (*keeper, error) {
	k := &keeper{log: log, other: make(chan struct{}, 1)}
	if err := c.trusted.begin(log); err != nil {
		return nil, err
	}
	k.library.Store(c.trusted.library)
	return k, nil
}

// begin makes a new library ready to be used.
func (t *trustConfig) begin(log *slog.Logger) error {
	if t.library == nil {
		return nil
	}
	t.log.Handler = log.Handler()
	t.library.SetAddresses(t.crls)
	return t.library.OpenCache()
}

// use has the library of what is trusted now kept current.
func (k *keeper) use(t *trustConfig) {
	if t.library != nil {
		t.library.SetAddresses(t.crls)
	}
	if k.library.Swap(t.library) == t.library {
		return
	}
	select {
	case k.other <- struct{}{}:
	default:
	}
}

// run fetches until ctx ends.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		running, stop := context.WithCancel(ctx)
		done := make(chan struct{})
		library := k.library.Load()
		go func() {
			defer close(done)
			if library != nil {
				library.Run(running)
			}
		}()
		for ctx.Err() == nil && k.library.Load() == library {
			select {
			case <-ctx.Done():
			case <-k.other:
			}
		}
		stop()
		<-done
	}
}

// changed tells whether the directory is another one than when it was read.
func (t *trustConfig) changed() bool { return t.directory != nil && t.directory.Stamp() != t.stamp }

// revocations is the library of now; nil: none.
func (d *Daemon) revocations() *revocation.Library {
	if d.trust == nil {
		return nil
	}
	return d.trust.library.Load()
}
