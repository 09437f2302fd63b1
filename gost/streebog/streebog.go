// Package streebog implements the hash function GOST R 34.11-2012, called Streebog, with digests of 256 and 512 bits
// (RFC 6986).
//
// Messages and digests are octet strings in wire order: the order in which CMS, X.509 and XMLDSig carry them and every
// library prints them. RFC 6986 itself prints 512-bit values with the last octet first.
package streebog

import (
	"encoding/binary"
	"hash"
)

const (
	// Size256 and Size512 are the lengths of the digests in octets.
	Size256 = 32
	Size512 = 64
	// BlockSize is the length of a block in octets; HMAC uses it for both variants (RFC 7836 section 4.1).
	BlockSize = 64
)

// block is a 512-bit value, least significant word first.
type block [8]uint64

// digest is the running state. It has no pointers: copying it forks the computation.
type digest struct {
	h     block           // the chained value
	n     block           // bits hashed so far, mod 2^512
	sigma block           // sum of the blocks, mod 2^512
	buf   [BlockSize]byte // an incomplete block; always less than full between calls
	len   int             // octets in buf
	size  int
}

// New256 returns a Streebog-256 hash. It implements [hash.Cloner]; hashing and Sum into a given slice allocate nothing.
func New256() hash.Hash { return newDigest(Size256) }

// New512 returns a Streebog-512 hash. It implements [hash.Cloner]; hashing and Sum into a given slice allocate nothing.
func New512() hash.Hash { return newDigest(Size512) }

// Sum256 returns the Streebog-256 digest of data.
func Sum256(data []byte) (sum [Size256]byte) {
	var d digest
	d.init(Size256)
	d.write(data)
	d.finish()
	d.output(sum[:])
	return sum
}

// Sum512 returns the Streebog-512 digest of data.
func Sum512(data []byte) (sum [Size512]byte) {
	var d digest
	d.init(Size512)
	d.write(data)
	d.finish()
	d.output(sum[:])
	return sum
}

func newDigest(size int) *digest {
	d := new(digest)
	d.init(size)
	return d
}

func (d *digest) init(size int) {
	*d = digest{size: size}
	if size == Size256 {
		for i := range d.h {
			d.h[i] = 0x0101010101010101
		}
	}
}

func (d *digest) Size() int { return d.size }

func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() { d.init(d.size) }

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
	var out [Size512]byte
	c.output(out[:c.size])
	return append(in, out[:c.size]...)
}

// compress is stage 2 of RFC 6986 section 10.2.
func (d *digest) compress(p *[BlockSize]byte) {
	var m block
	m.load(p)
	d.h.g(&d.n, &m)
	d.n.addBits(8 * BlockSize)
	d.sigma.add(&m)
}

// finish is stage 3 of RFC 6986 section 10.3. The padded block is hashed with the length before it.
func (d *digest) finish() {
	d.buf[d.len] = 1
	clear(d.buf[d.len+1:])
	var m, zero block
	m.load(&d.buf)
	d.h.g(&d.n, &m)
	d.n.addBits(8 * uint64(d.len))
	d.sigma.add(&m)
	d.h.g(&zero, &d.n)
	d.h.g(&zero, &d.sigma)
}

// output writes the size most significant octets of the result; they come last in wire order.
func (d *digest) output(out []byte) {
	for i := range d.size / 8 {
		binary.LittleEndian.PutUint64(out[8*i:], d.h[8-d.size/8+i])
	}
}
