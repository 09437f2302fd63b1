package gost

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// fe is an integer of 4 or 8 limbs, least significant first; with 4 limbs in use the rest are zero.
//
// Elements of a field modulo m are kept in one of two ways, see modulus.form. In Montgomery form, unless a name says
// otherwise, x stands as x·R mod m, R = 2^(64·limbs), and is reduced. Modulo 2²⁵⁶ − 617 and 2⁵¹² − 569, which fill
// their limbs, x stands as itself or as x + m where that fits: any integer of the limbs is an element.
type fe [8]uint64

// form says how the elements of a field are kept and which code multiplies them.
type form uint8

const (
	montgomery4 form = iota // 4 limbs, Montgomery form
	montgomery8             // 8 limbs, Montgomery form
	special617              // 4 limbs, m = 2²⁵⁶ − 617
	special569              // 8 limbs, m = 2⁵¹² − 569
)

// modulus is an odd prime with what reduction by it needs. Its arithmetic neither branches on values nor indexes by
// them, except where a comment says so. Results may alias arguments.
type modulus struct {
	form  form
	limbs int // 4 or 8
	bits  int
	v     fe     // the prime itself
	inv   uint64 // −v⁻¹ mod 2^64
	one   fe     // 1 as an element
	rr    fe     // R² mod v, in Montgomery form R
	rrr   fe     // R³ mod v
	gcd   divisor
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
	m.gcd = newDivisor(&m.v, -m.inv, limbs)
	switch m.v {
	case prime617:
		m.form, m.one = special617, fe{1}
		return m
	case prime569:
		m.form, m.one = special569, fe{1}
		return m
	}
	if limbs == 8 {
		m.form = montgomery8
	}
	m.rr[0] = 1
	for i := range 2 * 64 * limbs {
		if i == 64*limbs {
			m.one = m.rr
		}
		m.add(&m.rr, &m.rr, &m.rr)
	}
	m.mul(&m.rrr, &m.rr, &m.rr)
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

// encode makes an element of an integer of m.limbs limbs, reduced or not.
func (m *modulus) encode(z, x *fe) {
	if m.form >= special617 {
		*z = *x
		return
	}
	m.mul(z, x, &m.rr)
}

// decode makes a reduced integer of an element.
func (m *modulus) decode(z, x *fe) {
	if m.form >= special617 {
		m.reduce(z, x)
		return
	}
	m.mul(z, x, &fe{1})
}

// reduce chooses the reduced one among the representations of an element.
func (m *modulus) reduce(z, x *fe) {
	var r fe
	var b uint64
	for i := range m.limbs {
		r[i], b = bits.Sub64(x[i], m.v[i], b)
	}
	*z = *x
	z.choose(&r, b-1)
}

// isZero tells whether an element is zero. It branches on it.
func (m *modulus) isZero(x *fe) bool {
	return (x[0] == 0 || x[0] == m.v[0]) && m.maskIfZero(x) != 0
}

// maskIfZero is all ones for the element zero and else zero.
func (m *modulus) maskIfZero(x *fe) uint64 {
	var zero, prime uint64
	for i, w := range x {
		zero |= w
		prime |= w ^ m.v[i]
	}
	_, a := bits.Sub64(zero, 1, 0)
	_, b := bits.Sub64(prime, 1, 0) // no reduced integer is the prime
	return -(a | b)
}

// equal tells whether two elements are the same.
func (m *modulus) equal(x, y *fe) bool {
	var d fe
	m.sub(&d, x, y)
	return m.isZero(&d)
}

// mul sets z = x·y; in Montgomery form x·y/R, where one argument may be any integer of m.limbs limbs.
func (m *modulus) mul(z, x, y *fe) {
	switch m.form {
	case special617:
		mul617(z, x, y)
	case special569:
		mul569(z, x, y)
	case montgomery4:
		m.mul4(z, x, y)
	default:
		m.mul8(z, x, y)
	}
}

// sqr sets z = x².
func (m *modulus) sqr(z, x *fe) {
	switch m.form {
	case special617:
		sqr617(z, x)
	case special569:
		sqr569(z, x)
	default:
		m.mul(z, x, x)
	}
}

// add sets z = x + y.
func (m *modulus) add(z, x, y *fe) {
	switch m.form {
	case special617:
		add617(z, x, y)
	case special569:
		add569(z, x, y)
	case montgomery4:
		m.add4(z, x, y)
	default:
		m.add8(z, x, y)
	}
}

// sub sets z = x − y.
func (m *modulus) sub(z, x, y *fe) {
	switch m.form {
	case special617:
		sub617(z, x, y)
	case special569:
		sub569(z, x, y)
	case montgomery4:
		m.sub4(z, x, y)
	default:
		m.sub8(z, x, y)
	}
}

// neg sets z = −x.
func (m *modulus) neg(z, x *fe) { m.sub(z, &fe{}, x) }

// half sets z = x/2 for a reduced integer x: x or x + m is even.
func (m *modulus) half(z, x *fe) {
	odd := -(x[0] & 1)
	var t fe
	var c uint64
	for i := range m.limbs {
		t[i], c = bits.Add64(x[i], m.v[i]&odd, c)
	}
	for i := range m.limbs - 1 {
		z[i] = t[i]>>1 | t[i+1]<<63
	}
	z[m.limbs-1] = t[m.limbs-1]>>1 | c<<63
}

// inverse sets z = x⁻¹, and 0 for 0.
func (m *modulus) inverse(z, x *fe) {
	m.reduce(z, x)
	m.gcd.inverse(z, z)
	if m.form < special617 { // (x·R)⁻¹ wants two factors R more
		m.mul(z, z, &m.rrr)
	}
}
