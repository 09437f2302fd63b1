// Package streebog implements GOST R 34.11-2012 (RFC 6986).
package streebog

import "hash"

// New256 returns Streebog-256. Digests are in wire order.
func New256() hash.Hash { panic("skeleton") }

// New512 returns Streebog-512.
func New512() hash.Hash { panic("skeleton") }
