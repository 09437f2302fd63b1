package hsm

import "time"

// Health is what a Scheduler knows of its tokens and keys, without asking them.
type Health struct {
	Tokens []TokenHealth // in the order of the configuration
	Keys   []KeyHealth   // ordered by name
}

// TokenHealth is the state of a token.
type TokenHealth struct {
	Name    string
	Info    TokenInfo // zero until it was opened once
	Vendor  string
	State   State
	Since   time.Time
	Err     error     // why it is not Ready
	NextTry time.Time // in Absent and Locked

	Sessions, Limit int // open for signing, and the most that may be
	Working, Queued int
	Hanging         int           // calls that were given up
	Service         time.Duration // of one signature, lately; 0: unknown
	Signed          uint64        // signatures so far
}

// KeyHealth is the state of a key.
type KeyHealth struct {
	Name     string
	Err      error // nil when some token would sign now
	Replicas []ReplicaHealth
}

// ReplicaHealth is the state of a key on one token.
type ReplicaHealth struct {
	Token, ID string
	Proved    bool
	Err       error
	Broken    bool // it made a wrong signature, and is out of service for good

	Signed  time.Time     // when a signature last verified, of a request or a test; zero: never
	Tested  time.Time     // when it was last tested; zero: never
	Took    time.Duration // the test
	TestErr error         // of the test; nil: its signature verified
}

// Health gives the state of everything. It does not wait for tokens.
func (s *Scheduler) Health() Health {
	var h Health
	s.mutex.RLock()
	lanes := s.lanes
	s.mutex.RUnlock()
	for _, l := range lanes {
		h.Tokens = append(h.Tokens, l.health())
	}
	for _, k := range s.Keys() {
		kh := KeyHealth{Name: k.name, Err: k.Err()}
		for _, r := range *k.replicas.Load() {
			kh.Replicas = append(kh.Replicas, r.health())
		}
		h.Keys = append(h.Keys, kh)
	}
	return h
}

func (r *replica) health() ReplicaHealth {
	h := ReplicaHealth{Token: r.lane.name, ID: r.id, Proved: r.proved.Load(), Err: r.err(), Broken: r.broken.Load() != nil}
	if at := r.signed.Load(); at != 0 {
		h.Signed = r.lane.clock.base.Add(time.Duration(at))
	}
	if t := r.tested.Load(); t != nil {
		h.Tested, h.Took, h.TestErr = r.lane.clock.base.Add(t.at), t.Took, t.Err
	}
	return h
}

func (l *lane) health() TokenHealth {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	h := TokenHealth{
		Name: l.name, Info: l.info, State: l.state, Since: l.since, Err: l.reason, NextTry: l.next,
		Sessions: l.alive, Limit: l.limit, Working: l.working, Queued: l.queue.size, Hanging: int(l.lib.hanging.Load()),
		Service: l.pace.mean, Signed: l.signed,
	}
	if l.vendor != nil {
		h.Vendor = l.vendor.Name
	}
	return h
}
