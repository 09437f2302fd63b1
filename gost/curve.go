package gost

import (
	"math/big"
	"sync"
)

// curve is a group of points of y² = x³ + a·x + b over GF(p) with a base point of prime order q. On the wire a point is
// (x, y) on this curve. Inside, the curves with a twisted Edwards form are computed in that form: its formulas are
// shorter and know no exceptions.
type curve struct {
	p, q     *modulus
	a, b     fe       // mod p
	minus3   bool     // a = −3
	edwards  *edwards // nil where there is no such form; those curves have the cofactor 1
	cofactor int
	base     affine

	// tables of the base point, built at their first use and kept
	prepared func() *comb // for verifying
	windows  func() *comb // for signing
}

// affine is a point other than zero of y² = x³ + a·x + b; any x, 0 included, is an ordinary coordinate.
type affine struct{ x, y fe }

// point is in Jacobian coordinates (x/z², y/2z³) with e = z², zero when z = 0; or, on the Edwards form, (x/z, y/z), zero
// when x = 0 and y = z, with e·h = x·y/z. There e and h stay apart, because doubling needs no product and addition just
// one.
type point struct{ x, y, z, e, h fe }

// entry is a point other than zero as tables keep it: (x, y/2), or on the Edwards form (x, y) with t = d·x·y.
type entry struct{ x, y, t fe }

// newCurve takes big-endian hexadecimal constants of size octets.
func newCurve(size, cofactor int, p, a, b, q, x, y string) *curve {
	c := &curve{p: newModulus(size/8, p), q: newModulus(size/8, q), cofactor: cofactor}
	c.a, c.b, c.base = c.p.constant(a), c.p.constant(b), affine{c.p.constant(x), c.p.constant(y)}
	var t fe
	c.p.add(&t, &c.p.one, &c.p.one)
	c.p.add(&t, &t, &c.p.one)
	c.p.add(&t, &t, &c.a)
	c.minus3 = c.p.isZero(&t)
	c.prepared = sync.OnceValue(func() *comb { return c.newComb(c.baseEntry(), c.baseShape()) })
	c.windows = sync.OnceValue(func() *comb { return c.newComb(c.baseEntry(), c.windowShape()) })
	return c
}

// constant makes an element of a hexadecimal integer.
func (m *modulus) constant(hex string) (z fe) {
	v, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("gost: bad constant " + hex)
	}
	z = feOf(v)
	m.encode(&z, &z)
	return z
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
	return c.p.equal(&l, &r)
}

// entryOf brings a point of the curve to the form of tables. It reports false when the point is not in the subgroup of
// order q.
func (c *curve) entryOf(pt *affine) (e entry, ok bool) {
	if c.edwards == nil {
		return c.toJacobian(pt), true
	}
	if e, ok = c.toEdwards(pt); !ok {
		return e, false
	}
	var r sum
	c.multiply(&r, nil, &c.q.v, &e)
	return e, c.isZero(r.point())
}

// baseEntry is the base point in the form of tables.
func (c *curve) baseEntry() *entry {
	var e entry
	if c.edwards == nil {
		e = c.toJacobian(&c.base)
	} else {
		e, _ = c.toEdwards(&c.base)
	}
	return &e
}

func (c *curve) toJacobian(pt *affine) (e entry) {
	e.x = pt.x
	c.p.add(&e.y, &pt.y, &pt.y)
	return e
}

// zero returns the neutral point.
func (c *curve) zero() point {
	if c.edwards == nil {
		return point{}
	}
	return point{y: c.p.one, z: c.p.one, h: c.p.one}
}

func (c *curve) isZero(u *point) bool {
	if c.edwards == nil {
		return c.p.isZero(&u.z)
	}
	return c.p.isZero(&u.x) && c.p.equal(&u.y, &u.z)
}

// lift sets r = v.
func (c *curve) lift(r *point, v *entry) {
	*r = point{x: v.x, y: v.y, z: c.p.one, e: c.p.one}
	if c.edwards != nil {
		r.e, r.h = v.x, v.y
	}
}

// double sets r = 2·u. r may be u.
func (c *curve) double(r, u *point) { c.doubleTimes(r, u, 1) }

// doubleTimes sets r = 2^n·u, n ≥ 1. r may be u.
func (c *curve) doubleTimes(r, u *point, n int) {
	if c.doubleAssembly(r, u, n) {
		return
	}
	for ; n > 0; n-- {
		if c.edwards != nil {
			c.doubleEdwards(r, u)
		} else {
			c.doubleJacobian(r, u)
		}
		u = r
	}
}

// addUnequal sets r = u + v where u is neither zero nor ±v; on the Edwards form, for any points. In Jacobian
// coordinates the other cases give z = 0. r may be u. It does not branch on the points.
func (c *curve) addUnequal(r, u *point, v *entry) {
	switch {
	case c.addAssembly(r, u, v):
	case c.edwards != nil:
		c.addEdwards(r, u, v)
	default:
		c.addJacobian(r, u, v)
	}
}

// add sets r = u + v for any points. r is not u. It branches on them.
func (c *curve) add(r, u *point, v *entry) {
	c.addUnequal(r, u, v)
	if c.edwards != nil || !c.p.isZero(&r.z) {
		return
	}
	switch {
	case c.p.isZero(&u.z):
		c.lift(r, v)
	case c.sameOrdinate(u, v) != 0:
		c.double(r, u)
	default: // opposite points
		*r = point{}
	}
}

// sameOrdinate is all ones where u in Jacobian coordinates has the y of v, else zero.
func (c *curve) sameOrdinate(u *point, v *entry) uint64 {
	var t fe
	c.p.mul(&t, &u.e, &u.z)
	c.p.mul(&t, &t, &v.y)
	c.p.sub(&t, &t, &u.y)
	return c.p.maskIfZero(&t)
}

// opposite sets v = −v.
func (c *curve) opposite(v *entry) {
	if c.edwards == nil {
		c.p.neg(&v.y, &v.y)
		return
	}
	c.p.neg(&v.x, &v.x)
	c.p.neg(&v.t, &v.t)
}

// negate sets v = −v where mask is all ones, and leaves v where it is zero.
func (c *curve) negate(v *entry, mask uint64) {
	var t fe
	if c.edwards == nil {
		c.p.neg(&t, &v.y)
		v.y.choose(&t, mask)
		return
	}
	c.p.neg(&t, &v.x)
	v.x.choose(&t, mask)
	c.p.neg(&t, &v.t)
	v.t.choose(&t, mask)
}

// normalize sets entries to the points, none of them zero, by one inversion (Montgomery's trick).
func (c *curve) normalize(entries []entry, points []point) {
	f := c.p
	product := f.one
	for i := range points { // entries[i].x: product of the z before i
		entries[i].x = product
		f.mul(&product, &product, &points[i].z)
	}
	f.inverse(&product, &product)
	for i := len(points) - 1; i >= 0; i-- {
		e, u := &entries[i], &points[i]
		var inv fe
		f.mul(&inv, &product, &e.x)
		f.mul(&product, &product, &u.z)
		if c.edwards != nil {
			f.mul(&e.x, &u.x, &inv)
			f.mul(&e.y, &u.y, &inv)
			f.mul(&e.t, &e.x, &e.y)
			f.mul(&e.t, &e.t, &c.edwards.d)
			continue
		}
		var square fe
		f.sqr(&square, &inv)
		f.mul(&e.x, &u.x, &square)
		f.mul(&square, &square, &inv)
		f.mul(&e.y, &u.y, &square)
	}
}

// sum is a point that grows in place: of its two points one is current, the other takes the next result.
type sum struct {
	c       *curve
	points  [2]point
	current int
}

// begin sets s to zero.
func (s *sum) begin(c *curve) {
	s.c, s.current = c, 0
	s.points[0] = c.zero()
}

func (s *sum) point() *point { return &s.points[s.current] }

func (s *sum) double() { s.doubleTimes(1) }

// doubleTimes doubles n ≥ 0 times.
func (s *sum) doubleTimes(n int) {
	if n > 0 {
		s.c.doubleTimes(s.point(), s.point(), n)
	}
}

// add adds v. It branches on the points.
func (s *sum) add(v *entry) {
	s.c.add(&s.points[1-s.current], &s.points[s.current], v)
	s.current = 1 - s.current
}

// addScaled adds v, on the Edwards form v divided by the scale: z1 stands in the formula where z1·z2 would.
func (s *sum) addScaled(v *entry, scale *fe) {
	if s.c.edwards != nil {
		z := &s.points[s.current].z
		s.c.p.mul(z, z, scale)
	}
	s.add(v)
}

// coordinates returns the coordinates on y² = x³ + a·x + b of a point other than zero, as reduced integers.
func (c *curve) coordinates(u *point) (x, y fe) {
	if c.edwards != nil {
		x, y = c.fromEdwards(u)
	} else {
		var inv, t fe
		c.p.inverse(&inv, &u.z)
		c.p.sqr(&t, &inv)
		c.p.mul(&x, &u.x, &t)
		c.p.mul(&t, &t, &inv)
		c.p.mul(&y, &u.y, &t)
		c.p.reduce(&y, &y)
		c.p.half(&y, &y)
	}
	c.p.decode(&x, &x)
	c.p.decode(&y, &y)
	return x, y
}
