package gost

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// fe is an integer of 4 or 8 limbs, least significant first; with 4 limbs in use the rest are zero. Elements of a
// field are kept reduced, and in Montgomery form (x·R mod m, R = 2^(64·limbs)) unless a name says otherwise.
type fe [8]uint64

// modulus is an odd prime with what reduction by it needs. Its arithmetic neither branches on values nor indexes by
// them, except where a comment says so. Results may alias arguments.
type modulus struct {
	limbs int // 4 or 8
	bits  int
	v     fe     // the prime itself
	inv   uint64 // −v⁻¹ mod 2^64
	one   fe     // R mod v
	rr    fe     // R² mod v
}

// newModulus takes a prime of more than 64·limbs − 64 bits in hexadecimal.
func newModulus(limbs int, hex string) *modulus {
	v, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("gost: bad constant " + hex)
	}
	m := &modulus{limbs: limbs, bits: v.BitLen(), v: feOf(v), inv: 1}
	for range 6 { // Newton: the number of right bits doubles, from 1 to 64
		m.inv *= 2 - m.v[0]*m.inv
	}
	m.inv = -m.inv
	m.rr[0] = 1
	for i := range 2 * 64 * limbs {
		if i == 64*limbs {
			m.one = m.rr
		}
		m.add(&m.rr, &m.rr, &m.rr)
	}
	return m
}

// feOf converts a constant below 2^512.
func feOf(v *big.Int) (z fe) {
	z.setBytes(v.FillBytes(make([]byte, 64)))
	return z
}

// size is the number of octets of an integer.
func (m *modulus) size() int { return 8 * m.limbs }

// setBytes reads a big-endian integer of a multiple of 8 octets, 64 at most.
func (z *fe) setBytes(b []byte) {
	*z = fe{}
	for i := 0; len(b) >= 8; i++ {
		z[i] = binary.BigEndian.Uint64(b[len(b)-8:])
		b = b[:len(b)-8]
	}
}

// setBytesLE reads a little-endian integer of a multiple of 8 octets, 64 at most.
func (z *fe) setBytesLE(b []byte) {
	*z = fe{}
	for i := 0; len(b) >= 8; i++ {
		z[i] = binary.LittleEndian.Uint64(b)
		b = b[8:]
	}
}

// putBytes writes the integer big-endian over the whole of b, a multiple of 8 octets.
func (z *fe) putBytes(b []byte) {
	for i := 0; len(b) >= 8; i++ {
		binary.BigEndian.PutUint64(b[len(b)-8:], z[i])
		b = b[:len(b)-8]
	}
}

// putBytesLE writes the integer little-endian over the whole of b, a multiple of 8 octets.
func (z *fe) putBytesLE(b []byte) {
	for i := 0; len(b) >= 8; i++ {
		binary.LittleEndian.PutUint64(b, z[i])
		b = b[8:]
	}
}

func (z *fe) isZero() bool {
	var or uint64
	for _, w := range z {
		or |= w
	}
	return or == 0
}

func (z *fe) equal(x *fe) bool {
	var or uint64
	for i, w := range z {
		or |= w ^ x[i]
	}
	return or == 0
}

// less reports whether the integer z is below x.
func (z *fe) less(x *fe) bool {
	var b uint64
	for i := range z {
		_, b = bits.Sub64(z[i], x[i], b)
	}
	return b == 1
}

// choose sets z = x when mask is all ones and leaves it when mask is zero.
func (z *fe) choose(x *fe, mask uint64) {
	for i := range z {
		z[i] ^= mask & (z[i] ^ x[i])
	}
}

// encode brings an integer of m.limbs limbs, reduced or not, to reduced Montgomery form.
func (m *modulus) encode(z, x *fe) { m.mul(z, x, &m.rr) }

// decode leaves Montgomery form.
func (m *modulus) decode(z, x *fe) { m.mul(z, x, &fe{1}) }

// mul sets z = x·y/R. One argument may be any integer of m.limbs limbs; z is reduced.
func (m *modulus) mul(z, x, y *fe) {
	if m.limbs == 4 {
		m.mul4(z, x, y)
	} else {
		m.mul8(z, x, y)
	}
}

func (m *modulus) sqr(z, x *fe) { m.mul(z, x, x) }

// add sets z = x + y.
func (m *modulus) add(z, x, y *fe) {
	if m.limbs == 4 {
		t0, c := bits.Add64(x[0], y[0], 0)
		t1, c := bits.Add64(x[1], y[1], c)
		t2, c := bits.Add64(x[2], y[2], c)
		t3, c := bits.Add64(x[3], y[3], c)
		r0, b := bits.Sub64(t0, m.v[0], 0)
		r1, b := bits.Sub64(t1, m.v[1], b)
		r2, b := bits.Sub64(t2, m.v[2], b)
		r3, b := bits.Sub64(t3, m.v[3], b)
		_, b = bits.Sub64(c, 0, b)
		keep := -b
		z[0], z[1] = r0^keep&(r0^t0), r1^keep&(r1^t1)
		z[2], z[3] = r2^keep&(r2^t2), r3^keep&(r3^t3)
		return
	}
	var t, r fe
	var c, b uint64
	for i := range t {
		t[i], c = bits.Add64(x[i], y[i], c)
	}
	for i := range r {
		r[i], b = bits.Sub64(t[i], m.v[i], b)
	}
	_, b = bits.Sub64(c, 0, b)
	keep := -b
	for i := range z {
		z[i] = r[i] ^ keep&(r[i]^t[i])
	}
}

// sub sets z = x − y.
func (m *modulus) sub(z, x, y *fe) {
	if m.limbs == 4 {
		t0, b := bits.Sub64(x[0], y[0], 0)
		t1, b := bits.Sub64(x[1], y[1], b)
		t2, b := bits.Sub64(x[2], y[2], b)
		t3, b := bits.Sub64(x[3], y[3], b)
		borrowed := -b
		t0, c := bits.Add64(t0, m.v[0]&borrowed, 0)
		t1, c = bits.Add64(t1, m.v[1]&borrowed, c)
		t2, c = bits.Add64(t2, m.v[2]&borrowed, c)
		t3, _ = bits.Add64(t3, m.v[3]&borrowed, c)
		z[0], z[1], z[2], z[3] = t0, t1, t2, t3
		return
	}
	var t fe
	var b, c uint64
	for i := range t {
		t[i], b = bits.Sub64(x[i], y[i], b)
	}
	borrowed := -b
	for i := range z {
		z[i], c = bits.Add64(t[i], m.v[i]&borrowed, c)
	}
}

// neg sets z = −x.
func (m *modulus) neg(z, x *fe) { m.sub(z, &fe{}, x) }

// inverse sets z = x⁻¹, and 0 for 0, by Fermat's theorem: z = x^(v−2). Only the exponent, which is public, is
// branched on.
func (m *modulus) inverse(z, x *fe) {
	var powers [16]fe // x^i
	powers[0] = m.one
	for i := 1; i < len(powers); i++ {
		m.mul(&powers[i], &powers[i-1], x)
	}
	exponent := m.v
	b := uint64(2)
	for i := range exponent {
		exponent[i], b = bits.Sub64(exponent[i], b, 0)
	}
	r := m.one
	for i := 16*m.limbs - 1; i >= 0; i-- {
		for range 4 {
			m.sqr(&r, &r)
		}
		if nibble := exponent[i/16] >> (4 * (i % 16)) & 15; nibble != 0 {
			m.mul(&r, &r, &powers[nibble])
		}
	}
	*z = r
}
