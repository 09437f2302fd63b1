// Package signer is the service's core: who may sign what, with which key, in which format.
//
// A [Service] takes a request of a known [Caller], decides whether it is allowed, prepares the signature in memory, lets the
// [Key] sign one digest, and completes the message. Everything that can be wrong with the request is found before the key is
// touched. Errors are *report.Error; nothing here knows about tokens or about the network.
package signer

import (
	"context"
	"time"

	"github.com/epov-signer/epov/gost"
)

// Key signs digests; the private part stays where it is. Safe for concurrent use.
type Key interface {
	Name() string                   // "keys/{system}/{key}/versions/{n}"
	Public() *gost.PublicKey        // nil as long as nothing is known of the key; it does not sign then
	Certificate() *gost.Certificate // nil when there is none yet
	Chain() []*gost.Certificate     // certificates to send along, issuer first, without the root

	// SignDigest gives a signature that Public verifies. Requests that wait for the key take turns by flow.
	SignDigest(ctx context.Context, digest []byte, flow Flow) (gost.Verified, error)
}

// Flow is on whose behalf a key signs. It comes from the configured access, never from a request.
type Flow struct {
	Client string // and role: each is a flow of its own
	Weight int    // share of those that wait; see Role and Client

	// Took, unless it is nil, is where the key says what the signature took. It is written before SignDigest returns, also
	// when that fails after a token was asked, and not afterwards.
	Took *Timings
}

// Timings say what a signature took besides preparing and completing the message.
type Timings struct {
	Token   string        // that had the request last; empty when none had
	Queue   time.Duration // waiting for a session, and for tokens that were put right
	Sign    time.Duration // on tokens
	Verify  time.Duration // checking the signature before it left
	Retried bool          // more than one try was needed
}

// Availability is what a [Key] may also say: nil when it would sign now, as far as is known without asking its token, else a
// *report.Error (KeyUnusable, KeyStaged, KeyRetired, KeyDisabled, TokenAway, TokenPIN).
type Availability interface {
	Available() error
}

// KeyRing finds keys. Safe for concurrent use.
type KeyRing interface {
	// Key finds a key by "keys/{system}/{key}", which means its primary version, or with "/versions/{n}" appended. Errors
	// are *report.Error: KeyUnknown, KeyUnusable, TokenAway.
	Key(name string) (Key, error)
	Keys() []Key
}
