package hsm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Exchange is a change of a Scheduler's tokens that has been made ready beside those at work: new tokens, and those whose
// settings are others than before, are open already and logged in; keys find their places there. Nothing of it is in force
// before [Exchange.Commit], and nothing stays of it after [Exchange.Abandon]; one of both ends it. Not safe for concurrent use.
type Exchange struct {
	s      *Scheduler
	lanes  []*lane // as they shall be
	opened []*lane
	goes   []*lane
	moves  []move
}

// move is a key on its way to other places.
type move struct {
	key  *Key
	next []*replica
}

const (
	partingTime = 5 * time.Second // for keys that are taken out of service a little later
	lastTime    = time.Minute     // for requests that were admitted on a token that goes
)

// Exchange opens what of the given tokens, which are all that there shall be, is not open already as it shall be, and waits until it
// is ready. A token that is not, or ctx that ends first, is an error; nothing has changed then. A token whose settings have
// changed is opened anew, in a process of its own, and so are others of a module's process that one of its tokens leaves: that process
// ends, and forgets its PINs. While there is an Exchange no other begins.
func (s *Scheduler) Exchange(ctx context.Context, tokens []TokenConfig) (_ *Exchange, err error) {
	s.exchanged.Lock()
	x := &Exchange{s: s}
	defer func() {
		if err != nil {
			x.Abandon()
		}
	}()
	s.mutex.RLock()
	before := s.lanes
	s.mutex.RUnlock()
	ends := map[*library]bool{}
	for _, l := range before {
		ends[l.lib] = ends[l.lib] || !slices.ContainsFunc(tokens, l.given.Equal)
	}
	var fresh []TokenConfig
	x.lanes = make([]*lane, len(tokens)) // nil where one is to be opened
	for i, t := range tokens {
		if at := slices.IndexFunc(before, func(l *lane) bool { return t.Equal(l.given) && !ends[l.lib] }); at >= 0 {
			x.lanes[i] = before[at]
		} else {
			fresh = append(fresh, t)
		}
	}
	opened, err := s.newLanes(fresh)
	if err != nil {
		return nil, err
	}
	rest := opened
	for i, l := range x.lanes {
		if l == nil {
			x.lanes[i], rest = rest[0], rest[1:]
		}
	}
	for i, l := range x.lanes {
		if laneNamed(x.lanes[:i], l.name) != nil {
			return nil, &Error{Kind: Config, Token: l.name, Op: "open", Err: errors.New("there is another token of this name")}
		}
	}
	for _, l := range before {
		if !slices.Contains(x.lanes, l) {
			x.goes = append(x.goes, l)
		}
	}
	x.opened = opened
	for _, l := range x.opened {
		go l.keep()
	}
	return x, x.ready(ctx)
}

// ready waits for the tokens that are being opened.
func (x *Exchange) ready(ctx context.Context) error {
	var errs []error
	for _, l := range x.opened {
		select {
		case <-l.first:
		case <-ctx.Done():
			return &Error{Kind: Expired, Token: l.name, Op: "open", Err: ctx.Err()}
		}
		if e := l.shut.Load(); e != nil {
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// Opened names the tokens that were opened.
func (x *Exchange) Opened() (names []string) {
	for _, l := range x.opened {
		names = append(names, l.name)
	}
	return names
}

// Gone tells whether a token goes, or another takes its name.
func (x *Exchange) Gone(token string) bool { return laneNamed(x.goes, token) != nil }

func (x *Exchange) lane(name string) *lane { return laneNamed(x.lanes, name) }

// AddKey is [Scheduler.AddKey] for the tokens as they shall be. The key is in service at once; whoever abandons the exchange removes
// it.
func (x *Exchange) AddKey(ctx context.Context, cfg KeyConfig) (*Key, error) {
	return x.s.admit(ctx, x.lane, cfg, false)
}

// MoveKey proves a key that is in service in its places among the tokens as they shall be. It must be the same key there. From
// Commit on requests go there, those that wait already elsewhere are done or follow, and none is refused for it.
func (x *Exchange) MoveKey(ctx context.Context, cfg KeyConfig) error {
	k, err := x.s.Key(cfg.Name)
	if err != nil {
		return err
	}
	next, err := k.place(cfg, x.lane)
	if err != nil {
		return err
	}
	x.moves = append(x.moves, move{k, next})
	if err := prove(ctx, next); err != nil {
		return err
	}
	if to, _ := choose(next, 0); to == nil && k.Err() == nil {
		return &Error{Kind: Away, Op: fmt.Sprintf("move key %q", k.name), Err: errors.New("none of its new tokens has it now")}
	}
	return nil
}

// Commit puts the tokens and the places of keys in force. Tokens that go are let go of in the background, once what they were given
// is done: their sessions end, and with the last of them the login and the module's process.
func (x *Exchange) Commit() {
	s := x.s
	s.mutex.Lock()
	s.lanes, s.leaving = x.lanes, append(s.leaving, x.goes...)
	for _, m := range x.moves {
		before := m.key.replicas.Swap(&m.next)
		if s.keys[m.key.name] == m.key {
			detach(*before)
		} else { // it was taken out of service meanwhile
			detach(m.next)
		}
	}
	if s.closed { // nobody else will close them
		s.leaving = append(s.leaving, x.opened...)
		x.goes = append(x.goes, x.opened...)
	}
	s.mutex.Unlock()
	s.exchanged.Unlock()
	for _, l := range x.goes {
		go s.part(l)
	}
}

// part closes a lane that has been exchanged.
func (s *Scheduler) part(l *lane) {
	for end := time.Now().Add(partingTime); len(l.keys()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastTime)
	defer cancel()
	err := l.close(ctx)
	s.mutex.Lock()
	s.leaving = slices.DeleteFunc(slices.Clone(s.leaving), func(other *lane) bool { return other == l })
	s.mutex.Unlock()
	if err != nil {
		l.log.Error("the token was let go of out of order", "error", err)
		return
	}
	l.log.Info("the token was let go of")
}

// Abandon lets go of what was made ready.
func (x *Exchange) Abandon() {
	for _, m := range x.moves {
		detach(m.next)
	}
	x.s.mutex.Lock()
	x.s.leaving = append(x.s.leaving, x.opened...)
	x.s.mutex.Unlock()
	for _, l := range x.opened {
		go x.s.part(l)
	}
	x.s.exchanged.Unlock()
}
