package main

// A point is five elements of 64 octets each (type point in package gost); 4 limbs of each are in use.
const stride = 64

// formula writes a sequence of operations modulo 2²⁵⁶ − 617 on numbered temporaries in the frame.
type formula struct{ w *writer }

func (f formula) mul(z, x, y operand) { mul617(f.w, z, x, y) }
func (f formula) sqr(z, x operand)    { sqr617(f.w, z, x) }
func (f formula) add(z, x, y operand) { add617(f.w, z, x, y) }
func (f formula) sub(z, x, y operand) { sub617(f.w, z, x, y) }

func temporary(i int) operand { return operand{"SP", 32 * i} }

// Every formula below reads its arguments through these; squaring uses CX, so that the second point is in R8's stead in
// the frame and its pointer is loaded where it is needed.
func coordinates(base string) (x, y, z, e, h operand) {
	return operand{base, 0}, operand{base, stride}, operand{base, 2 * stride}, operand{base, 3 * stride},
		operand{base, 4 * stride}
}

func points617(w *writer) {
	f := formula{w}
	doubleJacobian(f)
	addJacobian(f)
	doubleEdwards(f)
	addEdwards(f)
}

// doubleJacobian is dbl-2001-b of the Explicit-Formulas Database, a = −3: 3M + 5S.
func doubleJacobian(f formula) {
	f.w.function("doubleJacobian617ADX", "(r, u *point)", 5*32, []string{"r", "u"}, []string{"DI", "SI"})
	x, y, z, _, _ := coordinates("SI")
	rx, ry, rz, _, _ := coordinates("DI")
	delta, gamma, beta, alpha, t := temporary(0), temporary(1), temporary(2), temporary(3), temporary(4)
	f.sqr(delta, z)
	f.sqr(gamma, y)
	f.sub(t, x, delta)
	f.add(alpha, x, delta)
	f.mul(beta, x, gamma)
	f.mul(alpha, alpha, t)
	f.add(t, y, z)
	f.sqr(t, t)
	f.sub(t, t, gamma)
	f.sub(rz, t, delta) // z = (y + z)² − γ − δ
	f.add(t, alpha, alpha)
	f.add(alpha, alpha, t) // α = 3(x − δ)(x + δ)
	f.add(beta, beta, beta)
	f.add(beta, beta, beta) // 4β
	f.sqr(t, alpha)
	f.sub(t, t, beta)
	f.sub(rx, t, beta) // x = α² − 8β
	f.sqr(gamma, gamma)
	f.sub(beta, beta, rx)
	f.mul(t, alpha, beta)
	f.add(gamma, gamma, gamma)
	f.add(gamma, gamma, gamma)
	f.add(gamma, gamma, gamma)
	f.sub(ry, t, gamma) // y = α(4β − x) − 8γ²
	f.w.op("RET")
}

// addJacobian is the mixed addition of Cohen, Miyaji and Ono (1998): 8M + 3S. z = 0 when u is zero or has the
// coordinate x of v.
func addJacobian(f formula) {
	f.w.function("addJacobian617ADX", "(r, u *point, v *entry)", 6*32+8, []string{"r", "u", "v"},
		[]string{"DI", "SI", "CX"})
	f.w.op("MOVQ CX, %d(SP)", 6*32)
	x1, y1, z1, _, _ := coordinates("SI")
	rx, ry, rz, _, _ := coordinates("DI")
	x2, y2, _, _, _ := coordinates("CX")
	h, i, zz, v, hhh, t := temporary(0), temporary(1), temporary(2), temporary(3), temporary(4), temporary(5)
	f.sqr(zz, z1)
	f.w.op("MOVQ %d(SP), CX", 6*32)
	f.mul(i, z1, y2)
	f.mul(h, zz, x2)
	f.mul(i, i, zz)
	f.sub(h, h, x1) // h = x2·z1² − x1
	f.sub(i, i, y1) // i = y2·z1³ − y1
	f.sqr(zz, h)
	f.mul(rz, z1, h)
	f.mul(hhh, zz, h)
	f.mul(v, x1, zz)
	f.sqr(t, i)
	f.sub(t, t, hhh)
	f.sub(t, t, v)
	f.mul(hhh, hhh, y1)
	f.sub(rx, t, v) // x = i² − h³ − 2v
	f.sub(v, v, rx)
	f.mul(v, v, i)
	f.sub(ry, v, hhh) // y = i(v − x) − y1·h³
	f.w.op("RET")
}

// doubleEdwards is dbl-2008-hwcd of the Explicit-Formulas Database, a = 1: 3M + 4S, its product t left as two factors.
func doubleEdwards(f formula) {
	f.w.function("doubleEdwards617ADX", "(r, u *point)", 4*32, []string{"r", "u"}, []string{"DI", "SI"})
	x, y, z, _, _ := coordinates("SI")
	a, b, c, t := temporary(0), temporary(1), temporary(2), temporary(3)
	f.sqr(a, x)
	f.sqr(b, y)
	f.add(t, x, y)
	f.sqr(c, z)
	f.sqr(t, t)
	f.sub(t, t, a)
	f.add(c, c, c)
	_, _, _, e, h := coordinates("DI")
	f.sub(e, t, b)
	f.sub(h, a, b)
	f.add(a, a, b) // g
	f.sub(c, a, c) // f
	finishEdwards(f, a, c)
}

// addEdwards is add-2008-hwcd of the Explicit-Formulas Database, a = 1, with an affine second point that carries
// d·x·y: 8M.
func addEdwards(f formula) {
	f.w.function("addEdwards617ADX", "(r, u *point, v *entry)", 4*32, []string{"r", "u", "v"},
		[]string{"DI", "SI", "CX"})
	x1, y1, z1, e1, h1 := coordinates("SI")
	x2, y2, t2, _, _ := coordinates("CX")
	_, _, _, e, h := coordinates("DI")
	a, b, c, t := temporary(0), temporary(1), temporary(2), temporary(3)
	f.mul(c, e1, h1)
	f.add(a, x1, y1)
	f.add(b, x2, y2)
	f.mul(c, c, t2)
	f.mul(t, a, b)
	f.mul(a, x1, x2)
	f.mul(b, y1, y2)
	f.sub(t, t, a)
	f.sub(e, t, b)
	f.sub(h, b, a)
	f.add(a, z1, c) // g
	f.sub(c, z1, c) // f
	finishEdwards(f, a, c)
}

// finishEdwards sets x = e·f, y = g·h, z = f·g.
func finishEdwards(f formula, g, ff operand) {
	x, y, z, e, h := coordinates("DI")
	f.mul(x, e, ff)
	f.mul(y, g, h)
	f.mul(z, ff, g)
	f.w.op("RET")
}
