// Package streebog implements the hash function GOST R 34.11-2012, called Streebog, with digests of 256 and 512 bits
// (RFC 6986).
//
// Messages and digests are octet strings in wire order: the order in which CMS, X.509 and XMLDSig carry them and every
// library prints them. RFC 6986 itself prints 512-bit values with the last octet first.
package streebog

import "hash"

const (
	// Size256 and Size512 are the lengths of the digests in octets.
	Size256 = 32
	Size512 = 64
	// BlockSize is the length of a block in octets; HMAC uses it for both variants (RFC 7836 section 4.1).
	BlockSize = 64
)

// block is a 512-bit value, least significant word first.
type block [8]uint64

// state is what the blocks of a message are absorbed into (RFC 6986 section 10). The assembly knows this layout.
type state struct {
	h     block // the chained value
	n     block // bits absorbed so far, mod 2^512
	sigma block // sum of the blocks, mod 2^512
}

// digest is the running state. It has no pointers: copying it forks the computation.
type digest struct {
	state
	buf  [BlockSize]byte // an incomplete block; always less than full between calls
	len  int             // octets in buf
	size int
	im   implementation
}

// maxBlocks bounds one call of assembly, during which the scheduler cannot take the processor away, to 64 KiB a message:
// a millisecond at most.
const maxBlocks = 1024

// New256 returns a Streebog-256 hash. It implements [hash.Cloner]; hashing and Sum into a given slice allocate nothing.
func New256() hash.Hash { return newDigest(available[0], Size256) }

// New512 returns a Streebog-512 hash. It implements [hash.Cloner]; hashing and Sum into a given slice allocate nothing.
func New512() hash.Hash { return newDigest(available[0], Size512) }

// Sum256 returns the Streebog-256 digest of data.
func Sum256(data []byte) (sum [Size256]byte) {
	d := digest{state: start(Size256), im: available[0]}
	d.write(data)
	d.finish(sum[:])
	return sum
}

// Sum512 returns the Streebog-512 digest of data.
func Sum512(data []byte) (sum [Size512]byte) {
	d := digest{state: start(Size512), im: available[0]}
	d.write(data)
	d.finish(sum[:])
	return sum
}

func newDigest(im implementation, size int) *digest {
	return &digest{state: start(size), size: size, im: im}
}

// start is stage 1 of RFC 6986 section 10.1.
func start(size int) (s state) {
	if size == Size256 {
		for i := range s.h {
			s.h[i] = 0x0101010101010101
		}
	}
	return s
}

func (d *digest) Size() int { return d.size }

func (d *digest) BlockSize() int { return BlockSize }

func (d *digest) Reset() { *d = digest{state: start(d.size), size: d.size, im: d.im} }

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
		d.blocks(d.im, d.buf[:])
		d.len = 0
	}
	whole := len(p) &^ (BlockSize - 1)
	d.blocks(d.im, p[:whole])
	d.len = copy(d.buf[:], p[whole:])
}

// Sum appends the digest of what was written so far; writing may go on.
func (d *digest) Sum(in []byte) []byte {
	c := *d
	var out [Size512]byte
	c.finish(out[:c.size])
	return append(in, out[:c.size]...)
}

// finish writes the digest to out, which has its size; the state is of no use afterwards.
func (d *digest) finish(out []byte) {
	var t tail
	for b := t.next(&d.state, d.buf[:d.len]); b != nil; b = t.next(&d.state, nil) {
		d.blocks(d.im, b)
	}
	d.h.digest(out)
}

// digest writes the most significant octets of h that out takes; they come last in wire order.
func (h *block) digest(out []byte) {
	var all [BlockSize]byte
	h.store(&all)
	copy(out, all[BlockSize-len(out):])
}
