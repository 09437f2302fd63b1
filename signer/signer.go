// Package signer is the service's core: who may sign what, with which key, in which format.
package signer

import (
	"context"

	"github.com/epov-signer/epov/gost"
)

// Key signs digests; the private part stays where it is.
type Key interface {
	Name() string                                                  // "keys/{system}/{key}/versions/{n}"
	Public() *gost.PublicKey                                       // never nil
	Certificate() *gost.Certificate                                // nil when there is none yet
	Chain() []*gost.Certificate                                    // certificates to send along, issuer first, without the root
	SignDigest(ctx context.Context, digest []byte) ([]byte, error) // s ‖ r, checked with Public before it is returned
}

// KeyRing finds keys.
type KeyRing interface {
	// Key finds a key by "keys/{system}/{key}", which means its primary version, or with "/versions/{n}" appended. Errors
	// are *report.Error: KeyUnknown, KeyUnusable, TokenAway.
	Key(name string) (Key, error)
	Keys() []Key
}
