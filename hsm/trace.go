package hsm

import "time"

// Trace is a set of optional functions called as things happen, for metrics. They run on the signing path: they return at
// once and call nothing of this package. Concurrent calls are possible.
type Trace struct {
	Signed          func(Signing)
	SessionOpened   func(token string)
	SessionClosed   func(token string, reason error) // nil: trimmed or drained
	Login           func(token string, err error)
	KeyOutOfService func(token, key string, err error)
	State           func(token string, s State, reason error) // the token has changed its state; reason is nil in Ready
	Recovery        func(Recovery)
}

// Signing describes one call of Submit.
type Signing struct {
	Token, Key string        // the token that had it last; empty when none had
	Wait       time.Duration // in queues, and for tokens that were put right
	Sign       time.Duration // on tokens
	Verify     time.Duration
	Retried    bool
	Err        error
}

// Recovery describes one remedy.
type Recovery struct {
	Token  string
	Remedy string        // "log in", "reopen the slot", "restart the module"
	Took   time.Duration // since the fault was found
	Err    error         // nil: it helped
}
