package gost

import "crypto/subtle"

// projective is the point (x/z, y/z), zero when z = 0 (then x = 0, y ≠ 0). The arithmetic of private keys uses it
// because one formula without exceptions adds any two points of odd order.
type projective struct{ x, y, z fe }

// addComplete sets r = u + v for points of the subgroup, equal or not, zero or not: algorithm 1 of Renes, Costello
// and Batina, "Complete addition formulas for prime order elliptic curves" (2015). It would fail only when u − v has
// order 2, which no point of the subgroup of odd order q has. r may alias u and v.
func (c *curve) addComplete(r, u, v *projective) {
	f := c.p
	var t0, t1, t2, t3, t4, t5, x, y, z, b3 fe
	f.add(&b3, &c.b, &c.b)
	f.add(&b3, &b3, &c.b)
	f.mul(&t0, &u.x, &v.x)
	f.mul(&t1, &u.y, &v.y)
	f.mul(&t2, &u.z, &v.z)
	f.add(&t3, &u.x, &u.y)
	f.add(&t4, &v.x, &v.y)
	f.mul(&t3, &t3, &t4)
	f.add(&t4, &t0, &t1)
	f.sub(&t3, &t3, &t4) // x1y2 + x2y1
	f.add(&t4, &u.x, &u.z)
	f.add(&t5, &v.x, &v.z)
	f.mul(&t4, &t4, &t5)
	f.add(&t5, &t0, &t2)
	f.sub(&t4, &t4, &t5) // x1z2 + x2z1
	f.add(&t5, &u.y, &u.z)
	f.add(&x, &v.y, &v.z)
	f.mul(&t5, &t5, &x)
	f.add(&x, &t1, &t2)
	f.sub(&t5, &t5, &x) // y1z2 + y2z1
	f.mul(&z, &c.a, &t4)
	f.mul(&x, &b3, &t2)
	f.add(&z, &x, &z)
	f.sub(&x, &t1, &z)
	f.add(&z, &t1, &z)
	f.mul(&y, &x, &z)
	f.add(&t1, &t0, &t0)
	f.add(&t1, &t1, &t0)
	f.mul(&t2, &c.a, &t2)
	f.mul(&t4, &b3, &t4)
	f.add(&t1, &t1, &t2)
	f.sub(&t2, &t0, &t2)
	f.mul(&t2, &c.a, &t2)
	f.add(&t4, &t4, &t2)
	f.mul(&t0, &t1, &t4)
	f.add(&r.y, &y, &t0)
	f.mul(&t0, &t5, &t4)
	f.mul(&x, &t3, &x)
	f.sub(&r.x, &x, &t0)
	f.mul(&t0, &t3, &t1)
	f.mul(&z, &t5, &z)
	f.add(&r.z, &z, &t0)
}

// multiplyBase sets r = k·P for 0 ≤ k < 2^(64·limbs) by windows of four bits, taken whole from the table under a
// mask: the sequence of operations and the memory touched do not depend on k.
func (c *curve) multiplyBase(r *projective, k *fe) {
	var table [16]projective // 0, P, 2P, …
	table[0].y = c.p.one
	table[1] = projective{c.base.x, c.base.y, c.p.one}
	for i := 2; i < len(table); i++ {
		c.addComplete(&table[i], &table[i-1], &table[1])
	}
	*r = table[0]
	var chosen projective
	for i := 16*c.p.limbs - 1; i >= 0; i-- {
		for range 4 {
			c.addComplete(r, r, r)
		}
		nibble := k[i/16] >> (4 * (i % 16)) & 15
		for j := range table {
			mask := -uint64(subtle.ConstantTimeEq(int32(j), int32(nibble)))
			chosen.x.choose(&table[j].x, mask)
			chosen.y.choose(&table[j].y, mask)
			chosen.z.choose(&table[j].z, mask)
		}
		c.addComplete(r, r, &chosen)
	}
}

// coordinates returns the affine coordinates of a point other than zero as ordinary integers.
func (c *curve) coordinates(u *projective) (x, y fe) {
	var inv fe
	c.p.inverse(&inv, &u.z)
	c.p.mul(&x, &u.x, &inv)
	c.p.mul(&y, &u.y, &inv)
	c.p.decode(&x, &x)
	c.p.decode(&y, &y)
	return x, y
}
