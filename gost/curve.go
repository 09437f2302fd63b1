package gost

import (
	"math/big"
	"sync"
)

// curve is a group of points of y² = x³ + a·x + b over GF(p) with a base point of prime order q.
type curve struct {
	p, q     *modulus
	a, b     fe   // mod p
	minus3   bool // a = −3
	cofactor int
	base     affine
	baseOdd  func() *[1 << (baseWindow - 2)]affine // P, 3P, 5P, …
}

// affine is a point other than zero; any x, 0 included, is an ordinary coordinate.
type affine struct{ x, y fe }

// jacobian is the point (x/z², y/z³), zero when z = 0.
type jacobian struct{ x, y, z fe }

// Widths of the windows in which the scalars of the base point and of a public key are recoded.
const (
	baseWindow = 8
	keyWindow  = 5
)

// newCurve takes big-endian hexadecimal constants of size octets.
func newCurve(size, cofactor int, p, a, b, q, x, y string) *curve {
	c := &curve{p: newModulus(size/8, p), q: newModulus(size/8, q), cofactor: cofactor}
	element := func(hex string) (z fe) {
		v, ok := new(big.Int).SetString(hex, 16)
		if !ok {
			panic("gost: bad constant " + hex)
		}
		z = feOf(v)
		c.p.encode(&z, &z)
		return z
	}
	c.a, c.b, c.base = element(a), element(b), affine{element(x), element(y)}
	var t fe
	c.p.add(&t, &c.p.one, &c.p.one)
	c.p.add(&t, &t, &c.p.one)
	c.p.add(&t, &t, &c.a)
	c.minus3 = t.isZero()
	c.baseOdd = sync.OnceValue(c.computeBaseOdd)
	return c
}

// size is the number of octets of a coordinate or scalar.
func (c *curve) size() int { return c.p.size() }

// contains checks the curve equation.
func (c *curve) contains(pt *affine) bool {
	var l, r fe
	c.p.sqr(&l, &pt.y)
	c.p.sqr(&r, &pt.x)
	c.p.add(&r, &r, &c.a)
	c.p.mul(&r, &r, &pt.x)
	c.p.add(&r, &r, &c.b)
	return l.equal(&r)
}

// inSubgroup checks q·pt = 0 for a point of the curve.
func (c *curve) inSubgroup(pt *affine) bool {
	if c.cofactor == 1 {
		return true
	}
	var r jacobian
	c.sum(&r, &fe{}, &c.q.v, pt)
	return r.z.isZero()
}

func (c *curve) lift(r *jacobian, pt *affine) { *r = jacobian{pt.x, pt.y, c.p.one} }

// double sets r = 2·u. A point with y = 0 has order 2 and gives z = 0 as it must.
func (c *curve) double(r, u *jacobian) {
	f := c.p
	var xx, yy, zz, m, s, t fe
	f.sqr(&yy, &u.y)
	f.sqr(&zz, &u.z)
	if c.minus3 { // m = 3(x − z²)(x + z²)
		f.sub(&m, &u.x, &zz)
		f.add(&t, &u.x, &zz)
		f.mul(&m, &m, &t)
		f.add(&t, &m, &m)
		f.add(&m, &m, &t)
	} else { // m = 3x² + a·z⁴
		f.sqr(&xx, &u.x)
		f.sqr(&m, &zz)
		f.mul(&m, &m, &c.a)
		f.add(&m, &m, &xx)
		f.add(&m, &m, &xx)
		f.add(&m, &m, &xx)
	}
	f.mul(&s, &u.x, &yy) // s = 4xy²
	f.add(&s, &s, &s)
	f.add(&s, &s, &s)
	f.mul(&t, &u.y, &u.z)
	f.add(&r.z, &t, &t) // z = 2yz
	f.sqr(&t, &m)
	f.sub(&t, &t, &s)
	f.sub(&r.x, &t, &s) // x = m² − 2s
	f.add(&yy, &yy, &yy)
	f.sqr(&yy, &yy)
	f.add(&yy, &yy, &yy) // 8y⁴
	f.sub(&s, &s, &r.x)
	f.mul(&t, &m, &s)
	f.sub(&r.y, &t, &yy) // y = m(s − x) − 8y⁴
}

// add sets r = u + v for any two points. It branches on them.
func (c *curve) add(r, u, v *jacobian) {
	if u.z.isZero() {
		*r = *v
		return
	}
	if v.z.isZero() {
		*r = *u
		return
	}
	f := c.p
	var zz, t, x1, y1, x2, y2, z fe
	f.sqr(&zz, &v.z)
	f.mul(&x1, &u.x, &zz)
	f.mul(&t, &zz, &v.z)
	f.mul(&y1, &u.y, &t)
	f.sqr(&zz, &u.z)
	f.mul(&x2, &v.x, &zz)
	f.mul(&t, &zz, &u.z)
	f.mul(&y2, &v.y, &t)
	f.mul(&z, &u.z, &v.z)
	c.finishAdd(r, u, &x1, &y1, &x2, &y2, &z)
}

// addAffine sets r = u + v for any two points, v not zero. It branches on them.
func (c *curve) addAffine(r, u *jacobian, v *affine) {
	if u.z.isZero() {
		c.lift(r, v)
		return
	}
	f := c.p
	var zz, t, x2, y2 fe
	f.sqr(&zz, &u.z)
	f.mul(&x2, &v.x, &zz)
	f.mul(&t, &zz, &u.z)
	f.mul(&y2, &v.y, &t)
	x1, y1, z := u.x, u.y, u.z
	c.finishAdd(r, u, &x1, &y1, &x2, &y2, &z)
}

// finishAdd adds two points other than zero whose coordinates are brought to one denominator z. u is the first of them.
func (c *curve) finishAdd(r, u *jacobian, x1, y1, x2, y2, z *fe) {
	f := c.p
	var h, i, j, t fe
	f.sub(&h, x2, x1)
	f.sub(&i, y2, y1)
	if h.isZero() {
		if i.isZero() {
			c.double(r, u)
		} else { // opposite points
			*r = jacobian{}
		}
		return
	}
	f.mul(&r.z, z, &h)
	f.sqr(&t, &h)
	f.mul(&j, &t, &h) // j = h³
	f.mul(&t, x1, &t) // t = x1·h²
	f.sqr(&r.x, &i)   // x = i² − j − 2t
	f.sub(&r.x, &r.x, &j)
	f.sub(&r.x, &r.x, &t)
	f.sub(&r.x, &r.x, &t)
	f.sub(&t, &t, &r.x) // y = i(t − x) − y1·j
	f.mul(&t, &t, &i)
	f.mul(&j, &j, y1)
	f.sub(&r.y, &t, &j)
}

// sum sets r = m·P + n·pt for integers m, n < 2^(64·limbs), interleaving both doublings. It branches on everything
// and is for public values only.
func (c *curve) sum(r *jacobian, m, n *fe, pt *affine) {
	var odd [1 << (keyWindow - 2)]jacobian // pt, 3pt, 5pt, …
	var twice jacobian
	c.lift(&odd[0], pt)
	c.double(&twice, &odd[0])
	for i := 1; i < len(odd); i++ {
		c.add(&odd[i], &odd[i-1], &twice)
	}
	base := c.baseOdd()

	var md, nd [8*64 + 1]int8
	length := 64*c.p.limbs + 1
	recode(md[:length], m, baseWindow)
	recode(nd[:length], n, keyWindow)
	*r = jacobian{}
	var negA affine
	var negJ jacobian
	for i := length - 1; i >= 0; i-- {
		if !r.z.isZero() {
			c.double(r, r)
		}
		switch d := nd[i]; {
		case d > 0:
			c.add(r, r, &odd[d/2])
		case d < 0:
			negJ = odd[-d/2]
			c.p.neg(&negJ.y, &negJ.y)
			c.add(r, r, &negJ)
		}
		switch d := int(md[i]); {
		case d > 0:
			c.addAffine(r, r, &base[d/2])
		case d < 0:
			negA = base[-d/2]
			c.p.neg(&negA.y, &negA.y)
			c.addAffine(r, r, &negA)
		}
	}
}

// recode writes k as a sum of digits[i]·2^i with odd digits below 2^(width−1) in magnitude, at most one among width
// neighbours; len(digits) is one more than the bits of k.
func recode(digits []int8, k *fe, width int) {
	carry := uint64(0)
	for i := 0; i < len(digits); {
		window := carry
		if word := i / 64; word < len(k) {
			bits := k[word] >> (i % 64)
			if i%64 > 64-width && word+1 < len(k) {
				bits |= k[word+1] << (64 - i%64)
			}
			window += bits & (1<<width - 1)
		}
		if window&1 == 0 { // also with a carry over a window of ones: the carry stays
			i++
			continue
		}
		if window < 1<<(width-1) {
			digits[i], carry = int8(window), 0
		} else {
			digits[i], carry = int8(int(window)-1<<width), 1
		}
		i += width
	}
}

// computeBaseOdd multiplies the base point by 1, 3, 5, …
func (c *curve) computeBaseOdd() *[1 << (baseWindow - 2)]affine {
	table := new([1 << (baseWindow - 2)]affine)
	var u, twice jacobian
	c.lift(&u, &c.base)
	c.double(&twice, &u)
	for i := range table {
		table[i] = c.affine(&u)
		c.add(&u, &u, &twice)
	}
	return table
}

// affine converts a point other than zero.
func (c *curve) affine(u *jacobian) (pt affine) {
	var inv, t fe
	c.p.inverse(&inv, &u.z)
	c.p.sqr(&t, &inv)
	c.p.mul(&pt.x, &u.x, &t)
	c.p.mul(&t, &t, &inv)
	c.p.mul(&pt.y, &u.y, &t)
	return pt
}
