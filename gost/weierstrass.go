package gost

// Jacobian coordinates. The formulas are those that gost/internal/fieldasm writes in assembly for p = 2²⁵⁶ − 617.

// doubleJacobian is dbl-2001-b of the Explicit-Formulas Database where a = −3, else its like with 3x² + a·z⁴. A point
// with y = 0 has order 2 and gives z = 0 as it must.
func (c *curve) doubleJacobian(r, u *point) {
	f := c.p
	var delta, gamma, beta, alpha, t fe
	f.sqr(&delta, &u.z)
	f.sqr(&gamma, &u.y)
	f.mul(&beta, &u.x, &gamma)
	if c.minus3 { // α = 3(x − δ)(x + δ)
		f.sub(&t, &u.x, &delta)
		f.add(&alpha, &u.x, &delta)
		f.mul(&alpha, &alpha, &t)
		f.add(&t, &alpha, &alpha)
		f.add(&alpha, &alpha, &t)
	} else { // α = 3x² + a·δ²
		f.sqr(&t, &u.x)
		f.sqr(&alpha, &delta)
		f.mul(&alpha, &alpha, &c.a)
		f.add(&alpha, &alpha, &t)
		f.add(&t, &t, &t)
		f.add(&alpha, &alpha, &t)
	}
	f.add(&t, &u.y, &u.z)
	f.sqr(&t, &t)
	f.sub(&t, &t, &gamma)
	f.sub(&r.z, &t, &delta) // z = (y + z)² − γ − δ
	f.add(&beta, &beta, &beta)
	f.add(&beta, &beta, &beta) // 4β
	f.sqr(&t, &alpha)
	f.sub(&t, &t, &beta)
	f.sub(&r.x, &t, &beta) // x = α² − 8β
	f.sqr(&gamma, &gamma)
	f.sub(&beta, &beta, &r.x)
	f.mul(&t, &alpha, &beta)
	f.add(&gamma, &gamma, &gamma)
	f.add(&gamma, &gamma, &gamma)
	f.add(&gamma, &gamma, &gamma)
	f.sub(&r.y, &t, &gamma) // y = α(4β − x) − 8γ²
}

// addJacobian is the mixed addition of Cohen, Miyaji and Ono, "Efficient elliptic curve exponentiation using mixed
// coordinates" (1998).
func (c *curve) addJacobian(r, u *point, v *entry) {
	f := c.p
	var h, i, zz, w, hhh, t fe
	f.sqr(&zz, &u.z)
	f.mul(&i, &u.z, &v.y)
	f.mul(&h, &zz, &v.x)
	f.mul(&i, &i, &zz)
	f.sub(&h, &h, &u.x) // h = x2·z1² − x1
	f.sub(&i, &i, &u.y) // i = y2·z1³ − y1
	f.sqr(&zz, &h)
	f.mul(&r.z, &u.z, &h)
	f.mul(&hhh, &zz, &h)
	f.mul(&w, &u.x, &zz)
	f.sqr(&t, &i)
	f.sub(&t, &t, &hhh)
	f.sub(&t, &t, &w)
	f.mul(&hhh, &hhh, &u.y)
	f.sub(&r.x, &t, &w) // x = i² − h³ − 2w, w = x1·h²
	f.sub(&w, &w, &r.x)
	f.mul(&w, &w, &i)
	f.sub(&r.y, &w, &hhh) // y = i(w − x) − y1·h³
}
