package gost

import "math/bits"

// divisor inverts modulo an odd prime by the division steps of Bernstein and Yang, "Fast constant-time gcd computation
// and modular inversion" (2019), in the variant that begins with δ = 1/2, for which Wuille proved a smaller bound of steps
// (github.com/sipa/safegcd-bounds). The time and the memory touched depend on the size of the prime alone.
//
// Integers have limbs of 62 bits, so that 62 steps work on one word and are then applied to all limbs at once as a
// matrix. The top limb carries the sign.
type divisor struct {
	limbs  int    // 5 or 9
	rounds int    // of 62 steps
	v      long   // the prime
	inv    uint64 // v⁻¹ mod 2^62
}

// long is Σ long[i]·2^(62i), its limbs in [0, 2^62) but for the top one, which is signed.
type long [9]int64

const low62 = 1<<62 - 1

// newDivisor takes the prime and its inverse modulo 2^64.
func newDivisor(v *fe, inverse uint64, limbs int) divisor {
	d := divisor{limbs: 5, inv: inverse & low62, v: v.long()}
	// ⌊(45907·bits + 26313)/19929⌋ steps suffice, 591 and 1180
	d.rounds = 10
	if limbs == 8 {
		d.limbs, d.rounds = 9, 20
	}
	return d
}

func (z *fe) long() (r long) {
	for i := range r {
		word, shift := 62*i/64, uint(62*i%64)
		if word < len(z) {
			r[i] = int64(z[word] >> shift)
		}
		if word+1 < len(z) && shift > 2 {
			r[i] |= int64(z[word+1] << (64 - shift))
		}
		r[i] &= low62
	}
	return r
}

// fe converts an integer in [0, 2^512).
func (x *long) fe() (z fe) {
	for i, w := range x {
		word, shift := 62*i/64, uint(62*i%64)
		if word < len(z) {
			z[word] |= uint64(w) << shift
		}
		if word+1 < len(z) && shift > 2 {
			z[word+1] |= uint64(w) >> (64 - shift)
		}
	}
	return z
}

// inverse sets z = x⁻¹ mod v for a reduced x, and 0 for 0. Throughout, f ≡ d·x and g ≡ e·x modulo v.
func (m *divisor) inverse(z, x *fe) {
	f, g := m.v, x.long()
	d, e := long{}, long{1}
	zeta := int64(-1) // δ = 1/2
	for range m.rounds {
		var t steps
		zeta, t = divide62(zeta, uint64(f[0])|uint64(f[1])<<62, uint64(g[0])|uint64(g[1])<<62)
		m.updateMod(&d, &e, &t)
		m.update(&f, &g, &t)
	}
	// now g = 0 and f = ±1, or f = ±v where x = 0 and then d = 0; d is in (−2v, v)
	m.addIfNegative(&d)
	negate := f[m.limbs-1] >> 63
	for i := range d {
		d[i] = d[i] ^ negate - negate
	}
	m.carry(&d)
	m.addIfNegative(&d)
	*z = d.fe()
}

// steps are 62 division steps: 2^62·(f, g) after them is (u·f + v·g, q·f + r·g) of those before; |u| + |v| and
// |q| + |r| are at most 2^62.
type steps struct{ u, v, q, r int64 }

// divide62 takes the low words of f and g, and zeta = −δ − 1/2.
func divide62(zeta int64, f, g uint64) (int64, steps) {
	zeta, a, f, g := divide31(zeta, f, g)
	zeta, b, _, _ := divide31(zeta, f, g)
	return zeta, steps{
		b.u*a.u + b.v*a.q, b.u*a.v + b.v*a.r,
		b.q*a.u + b.r*a.q, b.q*a.v + b.r*a.r,
	}
}

// divide31 makes 31 steps. A step is: where δ > 0 and g is odd, (δ, f, g) = (1 − δ, g, (g − f)/2), else
// (1 + δ, f, (g + (g mod 2)·f)/2). The factors of a row are computed as one word, u + v·2^32.
func divide31(zeta int64, f, g uint64) (_ int64, t steps, _, _ uint64) {
	var uv, qr uint64 = 1, 1 << 32
	for range 31 {
		positive := uint64(zeta >> 63) // all ones where δ > 0
		odd := -(g & 1)
		swap := positive & odd
		zeta = zeta ^ int64(swap) - 1
		g += (f ^ positive - positive) & odd // g ± f
		qr += (uv ^ positive - positive) & odd
		f += g & swap
		uv += qr & swap
		g >>= 1
		uv <<= 1
	}
	t.u, t.v = split(uv)
	t.q, t.r = split(qr)
	return zeta, t, f, g
}

// split takes u + v·2^32 apart, both above −2^31 and at most 2^31. No factor is −2^31: that would be all of its row, and
// the determinant of the 31 steps, 2^31, would leave an odd number to the row that was doubled last.
func split(x uint64) (u, v int64) {
	const most = 1<<31 - 1
	u = int64(uint32(x)+most) - most
	return u, int64(uint32((x-uint64(u))>>32)+most) - most
}

// sum128 is a signed integer of 128 bits.
type sum128 struct{ hi, lo uint64 }

// add returns s + x·y.
func (s sum128) add(x, y int64) sum128 {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x>>63&y) + uint64(y>>63&x)
	var c uint64
	s.lo, c = bits.Add64(s.lo, lo, 0)
	s.hi += hi + c
	return s
}

// addLow returns s + x·y for y ≥ 0.
func (s sum128) addLow(x, y int64) sum128 {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x >> 63 & y)
	var c uint64
	s.lo, c = bits.Add64(s.lo, lo, 0)
	s.hi += hi + c
	return s
}

// shift returns ⌊s/2^62⌋.
func (s sum128) shift() sum128 {
	return sum128{uint64(int64(s.hi) >> 62), s.hi<<2 | s.lo>>62}
}

// update applies t to f and g, which it divides exactly.
func (m *divisor) update(f, g *long, t *steps) {
	var a, b sum128
	top := m.limbs - 1
	for i := range top {
		a = a.addLow(t.u, f[i]).addLow(t.v, g[i])
		b = b.addLow(t.q, f[i]).addLow(t.r, g[i])
		if i > 0 {
			f[i-1], g[i-1] = int64(a.lo&low62), int64(b.lo&low62)
		}
		a, b = a.shift(), b.shift()
	}
	a = a.add(t.u, f[top]).add(t.v, g[top])
	b = b.add(t.q, f[top]).add(t.r, g[top])
	f[top-1], g[top-1] = int64(a.lo&low62), int64(b.lo&low62)
	f[top], g[top] = int64(a.shift().lo), int64(b.shift().lo)
}

// updateMod applies t to d and e in (−2v, v) modulo v: as many times v are added as make the sums divisible by 2^62 and
// keep them in that range.
func (m *divisor) updateMod(d, e *long, t *steps) {
	top := m.limbs - 1
	sd, se := d[top]>>63, e[top]>>63
	md, me := t.u&sd+t.v&se, t.q&sd+t.r&se
	var a, b sum128
	for i := range top {
		a = a.addLow(t.u, d[i]).addLow(t.v, e[i])
		b = b.addLow(t.q, d[i]).addLow(t.r, e[i])
		if i == 0 {
			md -= int64((m.inv*a.lo + uint64(md)) & low62)
			me -= int64((m.inv*b.lo + uint64(me)) & low62)
		}
		a, b = a.addLow(md, m.v[i]), b.addLow(me, m.v[i])
		if i > 0 {
			d[i-1], e[i-1] = int64(a.lo&low62), int64(b.lo&low62)
		}
		a, b = a.shift(), b.shift()
	}
	a = a.add(t.u, d[top]).add(t.v, e[top]).addLow(md, m.v[top])
	b = b.add(t.q, d[top]).add(t.r, e[top]).addLow(me, m.v[top])
	d[top-1], e[top-1] = int64(a.lo&low62), int64(b.lo&low62)
	d[top], e[top] = int64(a.shift().lo), int64(b.shift().lo)
}

// addIfNegative adds the prime to a negative integer.
func (m *divisor) addIfNegative(x *long) {
	negative := x[m.limbs-1] >> 63
	for i := range m.limbs {
		x[i] += m.v[i] & negative
	}
	m.carry(x)
}

// carry brings all limbs but the top one into [0, 2^62).
func (m *divisor) carry(x *long) {
	for i := range m.limbs - 1 {
		x[i+1] += x[i] >> 62
		x[i] &= low62
	}
}
