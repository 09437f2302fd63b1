package main

// The coordinates of a point or entry of package gost are this many octets apart; with 4 limbs, half of them are in use.
const stride = 64

// coordinate is one of x, y, z, e, h of a point, or x, y, t of an entry.
func coordinate(argument string, i int) operand { return operand{argument, i * stride} }

// points writes the formulas for points. r may be u, so a coordinate of r is written when that of u is needed no more.
func (f *field) points(name string) {
	f.doubleJacobian(name)
	f.addJacobian(name)
	f.doubleEdwards(name)
	f.addEdwards(name)
}

// doubleJacobian doubles in coordinates (x, 2y, z, z²), a = −3: 4M + 4S. See doubleJacobian in package gost.
func (f *field) doubleJacobian(name string) {
	f.beginRepeated("doubleJacobian"+name+"ADX", 5*8*f.limbs)
	x, y, z, e := coordinate("u", 0), coordinate("u", 1), coordinate("u", 2), coordinate("u", 3)
	rx, ry, rz, re := coordinate("r", 0), coordinate("r", 1), coordinate("r", 2), coordinate("r", 3)
	gamma, beta, alpha := f.temporary(0), f.temporary(1), f.temporary(2)
	t, w := f.temporary(3), f.temporary(4)
	f.sqr(gamma, y)
	f.sum(w, plus(x), minus(e))
	f.sum(t, plus(x), plus(x), plus(x), plus(e), plus(e), plus(e))
	f.mul(alpha, w, t) // α = 3(x − e)(x + e)
	f.mul(beta, x, gamma)
	f.mul(rz, y, z)
	f.sqr(re, rz)
	f.sqr(rx, alpha, minus(beta), minus(beta)) // x = α² − 2β
	f.sqr(w, gamma)
	f.sum(t, plus(beta), plus(beta), minus(rx), minus(rx))
	f.mul(ry, alpha, t, minus(w)) // 2y = 2α(β − x) − γ²
	f.endRepeated()
}

// addJacobian is madd-2007-bl of the Explicit-Formulas Database in coordinates (x, 2y, z, z²): 8M + 3S. z = 0 when u is
// zero or has the coordinate x of v. See addJacobian in package gost.
func (f *field) addJacobian(name string) {
	f.begin("addJacobian"+name+"ADX", "(r, u *point, v *entry)", 6*8*f.limbs, "r", "u", "v")
	x1, y1, z1, e1 := coordinate("u", 0), coordinate("u", 1), coordinate("u", 2), coordinate("u", 3)
	x2, y2 := coordinate("v", 0), coordinate("v", 1)
	rx, ry, rz, re := coordinate("r", 0), coordinate("r", 1), coordinate("r", 2), coordinate("r", 3)
	h, i, t, w, j := f.temporary(0), f.temporary(1), f.temporary(2), f.temporary(3), f.temporary(4)
	f.mul(h, e1, x2, minus(x1))
	f.mul(i, z1, y2)
	f.sum(t, plus(h), plus(h))
	f.mul(i, i, e1, minus(y1))
	f.sqr(w, t) // 4h²
	f.mul(rz, z1, t)
	f.mul(j, w, h)
	f.mul(w, x1, w)
	f.sqr(re, rz)
	f.sqr(rx, i, minus(j), minus(w), minus(w)) // x = i² − j − 2w
	f.mul(j, j, y1)
	f.sum(t, plus(w), plus(w), minus(rx), minus(rx))
	f.mul(ry, t, i, minus(j), minus(j)) // 2y = 2i(w − x) − 2j·y1
	f.end()
}

// doubleEdwards is dbl-2008-hwcd of the Explicit-Formulas Database, a = 1, without its product of e and h, and with f and h
// negated: 4M + 3S.
func (f *field) doubleEdwards(name string) {
	f.beginRepeated("doubleEdwards"+name+"ADX", 4*8*f.limbs)
	x, y, z := coordinate("u", 0), coordinate("u", 1), coordinate("u", 2)
	e, h := coordinate("r", 3), coordinate("r", 4)
	a, b, g, w := f.temporary(0), f.temporary(1), f.temporary(2), f.temporary(3)
	f.sqr(a, x)
	f.sqr(b, y)
	f.mul(e, x, y, twice) // e = 2xy
	f.sum(g, plus(a), plus(b))
	f.sum(h, plus(b), minus(a))
	f.sqr(w, z, twice, minus(g)) // f = 2z² − g
	f.finishEdwards(g, w)
	f.endRepeated()
}

// addEdwards is add-2008-hwcd of the Explicit-Formulas Database, a = 1, with an affine second point that carries
// d·x·y: 8M.
func (f *field) addEdwards(name string) {
	f.begin("addEdwards"+name+"ADX", "(r, u *point, v *entry)", 4*8*f.limbs, "r", "u", "v")
	x1, y1, z1 := coordinate("u", 0), coordinate("u", 1), coordinate("u", 2)
	x2, y2, t2 := coordinate("v", 0), coordinate("v", 1), coordinate("v", 2)
	e, h := coordinate("r", 3), coordinate("r", 4)
	a, b, w, t := f.temporary(0), f.temporary(1), f.temporary(2), f.temporary(3)
	f.mul(w, coordinate("u", 3), coordinate("u", 4))
	f.sum(t, plus(x1), plus(y1))
	f.mul(w, w, t2)
	f.mul(a, x1, x2)
	f.mul(b, y1, y2)
	f.sum(h, plus(x2), plus(y2))
	f.mul(e, t, h, minus(a), minus(b)) // e = x1·y2 + y1·x2
	f.sum(h, plus(b), minus(a))
	f.sum(a, plus(z1), plus(w))  // g = z1 + d·t1·t2
	f.sum(w, plus(z1), minus(w)) // f = z1 − d·t1·t2
	f.finishEdwards(a, w)
	f.end()
}

// finishEdwards sets x = e·f, y = g·h, z = f·g.
func (f *field) finishEdwards(g, ff operand) {
	e, h := coordinate("r", 3), coordinate("r", 4)
	f.mul(coordinate("r", 0), e, ff)
	f.mul(coordinate("r", 1), g, h)
	f.mul(coordinate("r", 2), ff, g)
}
