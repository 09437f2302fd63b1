// Package gostr341194 implements the hash function GOST R 34.11-94 (RFC 5831) with the CryptoPro S-box of RFC 4357
// section 11.2 and the start value zero. It serves the verification of old signatures; nothing new should be made
// with it.
//
// Digests are octet strings in wire order, as CMS and X.509 carry them.
package gostr341194

import (
	"encoding/binary"
	"hash"
	"math/bits"
)

const (
	// Size is the length of a digest in octets.
	Size = 32
	// BlockSize is the length of a block in octets.
	BlockSize = 32
)

// EmptyEngine is the digest of the empty message to the letter of RFC 5831, which hashes one block of zeros even
// then. The gost engine of OpenSSL produces it; every other library, and this package, produces 981e5f3c…56c0. A
// verifier may accept either, and only where the message has no octets. All longer messages have one digest.
var EmptyEngine = [Size]byte{
	0x3f, 0x25, 0xbc, 0x1f, 0xbb, 0xce, 0x27, 0xca, 0x10, 0xfb, 0x19, 0x58, 0xf3, 0x19, 0x47, 0x3a,
	0xe7, 0xe1, 0x74, 0x82, 0xc3, 0xb5, 0x3e, 0xcf, 0x47, 0xa7, 0xe2, 0xde, 0x8a, 0xab, 0xe4, 0xc8,
}

// block is a 256-bit value, least significant word first.
type block [4]uint64

// digest is the running state. It has no pointers: copying it forks the computation.
type digest struct {
	h     block           // the chained value
	sigma block           // sum of the blocks, mod 2^256
	bits  uint64          // length of the message
	buf   [BlockSize]byte // an incomplete block; always less than full between calls
	len   int             // octets in buf
}

// New returns the hash. It implements [hash.Cloner]; hashing and Sum into a given slice allocate nothing.
func New() hash.Hash { return new(digest) }

// Sum returns the digest of data.
func Sum(data []byte) (sum [Size]byte) {
	var d digest
	d.write(data)
	d.finish()
	d.h.store(&sum)
	return sum
}

func (d *digest) Size() int { return Size }

func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() { *d = digest{} }

// Clone returns an independent copy of the running state; it never fails.
func (d *digest) Clone() (hash.Cloner, error) {
	c := *d
	return &c, nil
}

func (d *digest) Write(p []byte) (int, error) {
	d.write(p)
	return len(p), nil
}

func (d *digest) write(p []byte) {
	d.bits += 8 * uint64(len(p))
	if d.len > 0 {
		n := copy(d.buf[d.len:], p)
		d.len += n
		p = p[n:]
		if d.len < BlockSize {
			return
		}
		d.compress(&d.buf)
		d.len = 0
	}
	for len(p) >= BlockSize {
		d.compress((*[BlockSize]byte)(p))
		p = p[BlockSize:]
	}
	d.len = copy(d.buf[:], p)
}

// Sum appends the digest of what was written so far; writing may go on.
func (d *digest) Sum(in []byte) []byte {
	c := *d
	c.finish()
	var out [Size]byte
	c.h.store(&out)
	return append(in, out[:]...)
}

func (d *digest) compress(p *[BlockSize]byte) {
	var m block
	m.load(p)
	d.h.step(&m)
	d.sigma.add(&m)
}

// finish pads the last block with zero octets, without a marker, and hashes the length and the sum (RFC 5831 section
// 6).
func (d *digest) finish() {
	if d.len > 0 {
		clear(d.buf[d.len:])
		d.compress(&d.buf)
	}
	d.h.step(&block{d.bits})
	d.h.step(&d.sigma)
}

func (z *block) load(p *[BlockSize]byte) {
	for i := range z {
		z[i] = binary.LittleEndian.Uint64(p[8*i:])
	}
}

func (z *block) store(p *[BlockSize]byte) {
	for i := range z {
		binary.LittleEndian.PutUint64(p[8*i:], z[i])
	}
}

// add sets z = z + x mod 2^256.
func (z *block) add(x *block) {
	var carry uint64
	for i := range z {
		z[i], carry = bits.Add64(z[i], x[i], carry)
	}
}
