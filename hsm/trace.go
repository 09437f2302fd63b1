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
	KeyChanged      func(token, key string)                   // whether it can be used there has changed, but for the token's State
	State           func(token string, s State, reason error) // the token has changed its state; reason is nil in Ready
	Recovery        func(Recovery)
	Canary          func(Canary)
}

// Canary describes a signature over random octets, by which a key on a token is tested in the background.
type Canary struct {
	Token, Key string
	Took       time.Duration // with finding the key
	Err        error         // nil: it verified
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

// RemedyRestart is the harshest remedy: the module, or the process that it runs in, is started anew.
const RemedyRestart = "restart the module"

// Recovery describes one remedy.
type Recovery struct {
	Token  string
	Remedy string        // "log in", "reopen the slot", RemedyRestart
	Took   time.Duration // since the fault was found
	Err    error         // nil: it helped
}
