package gost

// Jacobian coordinates with two changes that shorten the chains of products: y is kept doubled, also in tables, and e is
// z². So a point is (x/z², y/2z³). The formulas are those that gost/internal/fieldasm writes in assembly for the special
// primes.

// doubleJacobian is dbl-2001-b of the Explicit-Formulas Database where a = −3, else its like with 3x² + a·z⁴, with γ and β
// four times as large. A point with y = 0 has order 2 and gives z = 0 as it must.
func (c *curve) doubleJacobian(r, u *point) {
	f := c.p
	var gamma, beta, alpha, t, w fe
	f.sqr(&gamma, &u.y)
	f.mul(&beta, &u.x, &gamma)
	if c.minus3 { // α = 3(x − e)(x + e)
		f.sub(&t, &u.x, &u.e)
		f.add(&alpha, &u.x, &u.e)
		f.mul(&alpha, &alpha, &t)
		f.add(&t, &alpha, &alpha)
		f.add(&alpha, &alpha, &t)
	} else { // α = 3x² + a·e²
		f.sqr(&t, &u.x)
		f.sqr(&alpha, &u.e)
		f.mul(&alpha, &alpha, &c.a)
		f.add(&alpha, &alpha, &t)
		f.add(&t, &t, &t)
		f.add(&alpha, &alpha, &t)
	}
	f.mul(&r.z, &u.y, &u.z)
	f.sqr(&r.e, &r.z)
	f.sqr(&t, &alpha)
	f.sub(&t, &t, &beta)
	f.sub(&r.x, &t, &beta) // x = α² − 2β
	f.sqr(&w, &gamma)
	f.sub(&t, &beta, &r.x)
	f.add(&t, &t, &t)
	f.mul(&t, &alpha, &t)
	f.sub(&r.y, &t, &w) // 2y = 2α(β − x) − γ²
}

// addJacobian is madd-2007-bl of the Explicit-Formulas Database.
func (c *curve) addJacobian(r, u *point, v *entry) {
	f := c.p
	var h, i, j, t, w fe
	f.mul(&h, &u.e, &v.x)
	f.sub(&h, &h, &u.x) // h = x2·z1² − x1
	f.mul(&i, &u.z, &v.y)
	f.mul(&i, &i, &u.e)
	f.sub(&i, &i, &u.y) // i = 2(y2·z1³ − y1)
	f.add(&t, &h, &h)
	f.sqr(&w, &t)
	f.mul(&r.z, &u.z, &t) // z = 2z1·h
	f.mul(&j, &w, &h)     // j = 4h³
	f.sqr(&r.e, &r.z)
	f.mul(&w, &u.x, &w) // w = 4x1·h²
	f.sqr(&t, &i)
	f.sub(&t, &t, &j)
	f.sub(&t, &t, &w)
	f.mul(&j, &j, &u.y)
	f.sub(&r.x, &t, &w) // x = i² − j − 2w
	f.sub(&t, &w, &r.x)
	f.mul(&t, &t, &i)
	f.sub(&t, &t, &j)
	f.add(&r.y, &t, &t) // y = i(w − x) − 2y1·j
}
