package daemon

import (
	"context"
	"errors"
	"os"
	"time"
)

const (
	statesPause = 500 * time.Millisecond // between two looks at the file of states
	statesRetry = 5 * time.Second        // after a change that could not be taken over for now
	statesTime  = 30 * time.Second       // the most that taking over may take
)

// fileStamp tells whether a file is another one than before, without reading it.
type fileStamp struct {
	info os.FileInfo // nil: not there
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info}
}

func (s fileStamp) same(other fileStamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == other.info
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

// Reload asks the daemon to read again what may change while it runs, whether or not it has: the trust directory and the
// states of key versions. It returns at once.
func (d *Daemon) Reload() {
	for _, asked := range []chan struct{}{d.trust.reload, d.reload} {
		select {
		case asked <- struct{}{}:
		default: // asked for already
		}
	}
}

// follow takes over the states of key versions as they change.
func (d *Daemon) follow(ctx context.Context) {
	if d.config.states == "" {
		return
	}
	ticker := time.NewTicker(statesPause)
	defer ticker.Stop()
	seen := d.statesSeen
	var retry time.Time // zero: not before the file changes
	told := ""
	for {
		forced := false
		select {
		case <-ctx.Done():
			return
		case <-d.reload:
			forced = true
		case <-ticker.C:
		}
		now := stampOf(d.config.states)
		if !forced && now.same(seen) && (retry.IsZero() || time.Now().Before(retry)) {
			continue
		}
		if !now.same(seen) || forced {
			told = ""
		}
		err := d.takeOver(ctx)
		seen, retry = now, time.Time{}
		if err == nil {
			continue
		}
		if wrong, ok := errors.AsType[*ConfigError](err); ok && told == "" {
			for _, f := range wrong.Findings {
				d.log.Error("key states are not taken over", "file", wrong.File, "line", f.Line, "path", f.Path, "error", f.Message)
			}
			told = err.Error()
		} else if !ok {
			retry = time.Now().Add(statesRetry)
			if err.Error() != told {
				d.log.Error("key states are not taken over for now", "error", err)
			}
			told = err.Error()
		}
	}
}

// takeOver makes a new ring of configuration and states and puts it in the place of the old one. When it fails, everything is
// as it was. The error is a *ConfigError when only another file helps.
func (d *Daemon) takeOver(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, statesTime)
	defer cancel()
	states, err := d.config.readStates()
	if err != nil {
		return err
	}
	keys, err := d.config.withStates(states)
	if err != nil {
		return err
	}
	b := ringBuilder{tokens: d.tokens, log: d.log, old: d.keys.now.Load()}
	r, err := b.build(ctx, d.config, keys)
	if err != nil {
		return err
	}
	if err := r.settled(b.old, time.Now()); err != nil {
		b.remove(b.added)
		return err
	}
	d.keys.now.Store(r)
	b.done(r)
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
	return nil
}
