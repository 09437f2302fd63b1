package gost

// edwards is the twisted Edwards form e·u² + v² = 1 + d·u²·v² of a curve, with e = 1 (RFC 7836 appendix A.2). e is a
// square and d is not, so the formulas add any two points of the curve.
type edwards struct {
	d    fe
	s, t fe // (e − d)/4 and (e + d)/6, which the maps between the forms use
}

// withEdwards adds the form with the given hexadecimal d.
func (c *curve) withEdwards(d string) *curve {
	f := c.p
	e := &edwards{d: f.constant(d)}
	var four, six fe
	f.add(&six, &f.one, &f.one)
	f.add(&four, &six, &six)
	f.add(&six, &four, &six)
	f.inverse(&four, &four)
	f.inverse(&six, &six)
	f.sub(&e.s, &f.one, &e.d)
	f.mul(&e.s, &e.s, &four)
	f.add(&e.t, &f.one, &e.d)
	f.mul(&e.t, &e.t, &six)
	c.edwards = e
	return c
}

// toEdwards maps u = (x − t)/y, v = (x − t − s)/(x − t + s). The only point but zero without an image, (t, 0), has order
// 2: then it reports false.
func (c *curve) toEdwards(pt *affine) (r entry, ok bool) {
	f, e := c.p, c.edwards
	var w, n, m, inv fe
	f.sub(&w, &pt.x, &e.t)
	f.sub(&n, &w, &e.s)
	f.add(&m, &w, &e.s)
	f.mul(&inv, &m, &pt.y)
	if f.isZero(&inv) {
		return r, false
	}
	f.inverse(&inv, &inv)
	f.mul(&r.x, &w, &inv)
	f.mul(&r.x, &r.x, &m)
	f.mul(&r.y, &n, &inv)
	f.mul(&r.y, &r.y, &pt.y)
	f.mul(&r.t, &r.x, &r.y)
	f.mul(&r.t, &r.t, &e.d)
	return r, true
}

// fromEdwards maps x = s(1 + v)/(1 − v) + t, y = s(1 + v)/((1 − v)·u) for a point of the subgroup other than zero.
func (c *curve) fromEdwards(p *point) (x, y fe) {
	f, e := c.p, c.edwards
	var n, inv fe
	f.sub(&inv, &p.z, &p.y)
	f.mul(&inv, &inv, &p.x)
	f.inverse(&inv, &inv)
	f.add(&n, &p.z, &p.y)
	f.mul(&n, &n, &e.s)
	f.mul(&n, &n, &inv)
	f.mul(&x, &n, &p.x)
	f.add(&x, &x, &e.t)
	f.mul(&y, &n, &p.z)
	return x, y
}

// doubleEdwards is dbl-2008-hwcd of the Explicit-Formulas Database (Hisil, Wong, Carter and Dawson, "Twisted Edwards
// curves revisited", 2008) without its product of e and h, and with f and h negated, which negates all coordinates.
func (c *curve) doubleEdwards(r, u *point) {
	f := c.p
	var a, b, g, w fe
	f.sqr(&a, &u.x)
	f.sqr(&b, &u.y)
	f.mul(&r.e, &u.x, &u.y)
	f.add(&r.e, &r.e, &r.e) // e = 2xy
	f.add(&g, &a, &b)
	f.sub(&r.h, &b, &a)
	f.sqr(&w, &u.z)
	f.add(&w, &w, &w)
	f.sub(&w, &w, &g) // f = 2z² − g
	c.finishEdwards(r, &g, &w)
}

// addEdwards is add-2008-hwcd for an affine v.
func (c *curve) addEdwards(r, u *point, v *entry) {
	f := c.p
	var a, b, w, t fe
	f.mul(&w, &u.e, &u.h)
	f.add(&a, &u.x, &u.y)
	f.add(&b, &v.x, &v.y)
	f.mul(&w, &w, &v.t)
	f.mul(&t, &a, &b)
	f.mul(&a, &u.x, &v.x)
	f.mul(&b, &u.y, &v.y)
	f.sub(&t, &t, &a)
	f.sub(&r.e, &t, &b) // e = x1·y2 + y1·x2
	f.sub(&r.h, &b, &a)
	f.add(&a, &u.z, &w) // g = z1 + d·t1·t2
	f.sub(&w, &u.z, &w) // f = z1 − d·t1·t2
	c.finishEdwards(r, &a, &w)
}

func (c *curve) finishEdwards(r *point, g, f *fe) {
	c.p.mul(&r.x, &r.e, f)
	c.p.mul(&r.y, g, &r.h)
	c.p.mul(&r.z, f, g)
}
