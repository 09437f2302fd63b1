package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// operator is the daemon as its administration service acts on it.
type operator struct {
	*Daemon
	started time.Time

	mutex    sync.Mutex
	draining bool
	refusing bool        // new calls
	turn     *time.Timer // to refuse them
}

// Drain implements api.Operator. It goes on when ctx is over.
func (o *operator) Drain(ctx context.Context, notice, deadline time.Duration) (int, error) {
	o.mutex.Lock()
	if !o.draining {
		o.draining = true
		o.server.Drain(false)
	}
	if o.turn != nil {
		o.turn.Stop()
	}
	o.turn = time.AfterFunc(notice, func() {
		o.mutex.Lock()
		defer o.mutex.Unlock()
		if o.draining {
			o.refusing = true
			o.server.Drain(true)
		}
	})
	o.mutex.Unlock()
	if deadline >= 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, notice+deadline)
		defer cancel()
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return o.server.Calls(), nil
		case <-ticker.C:
		}
		o.mutex.Lock()
		draining, refusing := o.draining, o.refusing
		o.mutex.Unlock()
		switch n := o.server.Calls(); {
		case !draining:
			return n, report.Errorf(report.RequestInvalid, report.Place{Path: "drain"}, "it was called off")
		case refusing && n == 0:
			return 0, nil
		}
	}
}

// Undrain implements api.Operator.
func (o *operator) Undrain() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.turn != nil {
		o.turn.Stop()
	}
	o.draining, o.refusing = false, false
	o.server.Undrain()
}

var reloadResults = map[Result]epovpb.ReloadResult{
	TakenOver: epovpb.ReloadResult_RELOAD_RESULT_TAKEN_OVER, Unchanged: epovpb.ReloadResult_RELOAD_RESULT_UNCHANGED,
	Refused: epovpb.ReloadResult_RELOAD_RESULT_REFUSED, Restart: epovpb.ReloadResult_RELOAD_RESULT_RESTART,
}

func reloadedParts(list []Outcome) []api.ReloadedPart {
	var out []api.ReloadedPart
	for _, o := range list {
		p := api.ReloadedPart{Name: o.Part, Result: reloadResults[o.Result], Message: o.Message}
		for _, f := range o.Findings {
			p.Findings = append(p.Findings, api.ConfigurationFinding(f))
		}
		out = append(out, p)
	}
	return out
}

// Reload implements api.Operator.
func (o *operator) Reload(ctx context.Context) []api.ReloadedPart {
	return reloadedParts(o.Daemon.Reload(ctx))
}

// State implements api.Operator.
func (o *operator) State() api.State {
	last, at, _ := o.Reloaded()
	o.mutex.Lock()
	s := api.State{Draining: o.draining, AtWork: o.server.Calls(), Started: o.started, Usage: o.service.Usage(),
		Reload: reloadedParts(last), Reloaded: at}
	o.mutex.Unlock()
	for _, t := range o.tokens.Health().Tokens {
		token := api.TokenState{
			Name: t.Name, State: t.State.String(), Since: t.Since, Serial: t.Info.Serial, Sessions: t.Sessions, SessionsLimit: t.Limit,
			Working: t.Working, Waiting: t.Queued, Signed: t.Signed,
		}
		if t.Err != nil {
			token.Message = translate(t.Err).Message
		}
		s.Tokens = append(s.Tokens, token)
	}
	r := o.keys.now.Load()
	for _, k := range r.order {
		n, err := signer.ParseKeyName(k.name)
		if err != nil {
			continue // none of ours
		}
		key := api.KeyState{Name: n, Primary: r.byName[n.WithVersion(0).String()] == k, State: string(k.state), Err: k.Available()}
		for _, ref := range k.replicas {
			key.Tokens = append(key.Tokens, ref.Token)
		}
		s.Keys = append(s.Keys, key)
	}
	return s
}

// Stage implements api.Operator.
func (o *operator) Stage(ctx context.Context, n signer.KeyName, tokens []string, id string) error {
	return o.rotate(func(r *Rotation) error { return r.Stage(ctx, n, Staging{Tokens: tokens, ID: id}) })
}

// Activate implements api.Operator.
func (o *operator) Activate(ctx context.Context, n signer.KeyName) error {
	return o.rotate(func(r *Rotation) error { return r.Activate(ctx, n) })
}

// Retire implements api.Operator.
func (o *operator) Retire(ctx context.Context, n signer.KeyName) error {
	return o.rotate(func(r *Rotation) error { return r.Retire(ctx, n) })
}

// Disable implements api.Operator.
func (o *operator) Disable(ctx context.Context, n signer.KeyName) error {
	return o.rotate(func(r *Rotation) error { return r.Disable(ctx, n) })
}

// rotate changes the states of keys as [Rotate] does, but on the tokens that are open: the states are written once the new ring
// stands, and before it takes over.
func (d *Daemon) rotate(change func(*Rotation) error) error {
	d.reloader.mutex.Lock()
	defer d.reloader.mutex.Unlock()
	err := d.tryRotate(change)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*report.Error](err); ok {
		return e
	}
	if hsm.KindOf(err) != hsm.Internal {
		return translate(err)
	}
	// What the officer's tool would say: names of keys and files, never secrets.
	return &report.Error{Code: report.KeyUnusable, Message: err.Error(), Err: err}
}

func (d *Daemon) tryRotate(change func(*Rotation) error) error {
	c, doc := d.fresh(), &document{}
	root := d.reloader.root.in(doc)
	if c.readKeyring(root); len(doc.findings) > 0 {
		return c.errors(doc)
	}
	if c.states == "" {
		return errors.New("the configuration names no file for the states of key versions: key_states")
	}
	r, err := c.rotate(d.log)
	if err != nil {
		return err
	}
	defer r.Close()
	r.Warn = func(format string, args ...any) { d.log.Warn("rotation", "remark", fmt.Sprintf(format, args...)) }
	r.look = d.lookAtKey
	r.commit = func(ctx context.Context) error {
		keys, err := c.withStates(r.states)
		if err != nil {
			return err
		}
		ring, err := d.prepareRing(ctx, c, keys)
		if err != nil {
			return err
		}
		if err := r.states.write(c.states); err != nil {
			ring.undo()
			return err
		}
		ring.commit()
		return nil
	}
	return change(r)
}

// lookAtKey proves a version on the tokens that are open.
func (d *Daemon) lookAtKey(ctx context.Context, kc *keyConfig) (*gost.PublicKey, *gost.Certificate, error) {
	name := "looked at: " + kc.name.String()
	k, err := d.tokens.AddKey(ctx, hsm.KeyConfig{Name: name, Replicas: kc.replicas})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = d.tokens.RemoveKey(name) }()
	if k.Public() == nil {
		return nil, nil, fmt.Errorf("no token has %s now", kc.name)
	}
	return k.Public(), k.Certificate(), nil
}
