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
}

// Signing describes one call of SignDigest.
type Signing struct {
	Token, Key string
	Wait       time.Duration // for a session
	Sign       time.Duration // on the token, retries included
	Retried    bool
	Err        error
}
