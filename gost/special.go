package gost

import "math/bits"

// The primes 2²⁵⁶ − 617 (CryptoPro-A, tc26-256-A) and 2⁵¹² − 569 (tc26-512-A and -C). 2^(64·limbs) is worth 617 or 569,
// so a product is reduced by adding its upper half, times that, to the lower; the limb that runs over is folded once
// more, and the carry of this after it. Elements are any integers of the limbs, congruent to what they stand for.
const (
	c617 = 617
	c569 = 569
)

const ones = 1<<64 - 1

var (
	prime617 = fe{-c617 & ones, ones, ones, ones}
	prime569 = fe{-c569 & ones, ones, ones, ones, ones, ones, ones, ones}
)

// mul617Generic sets z = x·y row by row.
func mul617Generic(z, x, y *fe) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	var t0, t1, t2, t3, t4, t5, t6, t7, c uint64
	v := y[0]
	h0, t0 := bits.Mul64(x0, v)
	h1, l1 := bits.Mul64(x1, v)
	h2, l2 := bits.Mul64(x2, v)
	h3, l3 := bits.Mul64(x3, v)
	t1, c = bits.Add64(l1, h0, 0)
	t2, c = bits.Add64(l2, h1, c)
	t3, c = bits.Add64(l3, h2, c)
	t4 = h3 + c
	t1, t2, t3, t4, t5 = row4(x0, x1, x2, x3, y[1], t1, t2, t3, t4)
	t2, t3, t4, t5, t6 = row4(x0, x1, x2, x3, y[2], t2, t3, t4, t5)
	t3, t4, t5, t6, t7 = row4(x0, x1, x2, x3, y[3], t3, t4, t5, t6)
	z[0], z[1], z[2], z[3] = fold617(t0, t1, t2, t3, t4, t5, t6, t7)
}

// row4 returns t + x·v.
func row4(x0, x1, x2, x3, v, t0, t1, t2, t3 uint64) (r0, r1, r2, r3, r4 uint64) {
	h0, l0 := bits.Mul64(x0, v)
	h1, l1 := bits.Mul64(x1, v)
	h2, l2 := bits.Mul64(x2, v)
	h3, l3 := bits.Mul64(x3, v)
	t0, c := bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, l1, c)
	t2, c = bits.Add64(t2, l2, c)
	t3, c = bits.Add64(t3, l3, c)
	h3 += c
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, h1, c)
	t3, c = bits.Add64(t3, h2, c)
	return t0, t1, t2, t3, h3 + c
}

// sqr617Generic sets z = x²: products of different limbs are doubled.
func sqr617Generic(z, x *fe) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	h, t1 := bits.Mul64(x0, x1)
	t3, t2 := bits.Mul64(x0, x2)
	t2, c := bits.Add64(t2, h, 0)
	t4, l := bits.Mul64(x0, x3)
	t3, c = bits.Add64(t3, l, c)
	t4 += c
	h, l = bits.Mul64(x1, x2)
	t3, c = bits.Add64(t3, l, 0)
	t4, c = bits.Add64(t4, h, c)
	t5 := c
	h, l = bits.Mul64(x1, x3)
	t4, c = bits.Add64(t4, l, 0)
	t5, _ = bits.Add64(t5, h, c)
	t6, l := bits.Mul64(x2, x3)
	t5, c = bits.Add64(t5, l, 0)
	t6 += c

	t1, c = bits.Add64(t1, t1, 0)
	t2, c = bits.Add64(t2, t2, c)
	t3, c = bits.Add64(t3, t3, c)
	t4, c = bits.Add64(t4, t4, c)
	t5, c = bits.Add64(t5, t5, c)
	t6, c = bits.Add64(t6, t6, c)
	t7 := c

	h0, t0 := bits.Mul64(x0, x0)
	h1, l1 := bits.Mul64(x1, x1)
	h2, l2 := bits.Mul64(x2, x2)
	h3, l3 := bits.Mul64(x3, x3)
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, l1, c)
	t3, c = bits.Add64(t3, h1, c)
	t4, c = bits.Add64(t4, l2, c)
	t5, c = bits.Add64(t5, h2, c)
	t6, c = bits.Add64(t6, l3, c)
	t7, _ = bits.Add64(t7, h3, c)
	z[0], z[1], z[2], z[3] = fold617(t0, t1, t2, t3, t4, t5, t6, t7)
}

// fold617 reduces a product of 8 limbs.
func fold617(t0, t1, t2, t3, t4, t5, t6, t7 uint64) (r0, r1, r2, r3 uint64) {
	h0, l0 := bits.Mul64(t4, c617)
	h1, l1 := bits.Mul64(t5, c617)
	h2, l2 := bits.Mul64(t6, c617)
	h3, l3 := bits.Mul64(t7, c617)
	t0, c := bits.Add64(t0, l0, 0)
	t1, c = bits.Add64(t1, l1, c)
	t2, c = bits.Add64(t2, l2, c)
	t3, c = bits.Add64(t3, l3, c)
	h3 += c
	t1, c = bits.Add64(t1, h0, 0)
	t2, c = bits.Add64(t2, h1, c)
	t3, c = bits.Add64(t3, h2, c)
	h3 += c
	t0, c = bits.Add64(t0, h3*c617, 0)
	t1, c = bits.Add64(t1, 0, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, c = bits.Add64(t3, 0, c)
	return t0 + -c&c617, t1, t2, t3
}

// add617 sets z = x + y.
func add617(z, x, y *fe) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	t0, c = bits.Add64(t0, -c&c617, 0)
	t1, c = bits.Add64(t1, 0, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, c = bits.Add64(t3, 0, c)
	z[0], z[1], z[2], z[3] = t0+-c&c617, t1, t2, t3
}

// sub617 sets z = x − y.
func sub617(z, x, y *fe) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	t0, b = bits.Sub64(t0, -b&c617, 0)
	t1, b = bits.Sub64(t1, 0, b)
	t2, b = bits.Sub64(t2, 0, b)
	t3, b = bits.Sub64(t3, 0, b)
	z[0], z[1], z[2], z[3] = t0-(-b&c617), t1, t2, t3
}

// mul569Generic sets z = x·y row by row: before row i the product so far stands in t and in the i limbs below it.
func mul569Generic(z, x, y *fe) {
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	var t0, t1, t2, t3, t4, t5, t6, t7 uint64
	var low fe
	for i := range low {
		v := y[i]
		var c uint64
		h0, l0 := bits.Mul64(x0, v)
		h1, l1 := bits.Mul64(x1, v)
		h2, l2 := bits.Mul64(x2, v)
		h3, l3 := bits.Mul64(x3, v)
		h4, l4 := bits.Mul64(x4, v)
		h5, l5 := bits.Mul64(x5, v)
		h6, l6 := bits.Mul64(x6, v)
		h7, l7 := bits.Mul64(x7, v)
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, c = bits.Add64(t4, l4, c)
		t5, c = bits.Add64(t5, l5, c)
		t6, c = bits.Add64(t6, l6, c)
		t7, c = bits.Add64(t7, l7, c)
		h7 += c
		low[i] = t0
		t0, c = bits.Add64(t1, h0, 0)
		t1, c = bits.Add64(t2, h1, c)
		t2, c = bits.Add64(t3, h2, c)
		t3, c = bits.Add64(t4, h3, c)
		t4, c = bits.Add64(t5, h4, c)
		t5, c = bits.Add64(t6, h5, c)
		t6, c = bits.Add64(t7, h6, c)
		t7 = h7 + c
	}
	var c, carry uint64
	for i, t := range [8]uint64{t0, t1, t2, t3, t4, t5, t6, t7} {
		h, l := bits.Mul64(t, c569)
		l, c = bits.Add64(l, carry, 0)
		h += c
		low[i], c = bits.Add64(low[i], l, 0)
		carry = h + c
	}
	fold569(z, &low, carry*c569)
}

// sqr569Generic sets z = x².
func sqr569Generic(z, x *fe) { mul569Generic(z, x, x) }

// fold569 sets z = t + add for an integer t and a small one.
func fold569(z, t *fe, add uint64) {
	r0, c := bits.Add64(t[0], add, 0)
	r1, c := bits.Add64(t[1], 0, c)
	r2, c := bits.Add64(t[2], 0, c)
	r3, c := bits.Add64(t[3], 0, c)
	r4, c := bits.Add64(t[4], 0, c)
	r5, c := bits.Add64(t[5], 0, c)
	r6, c := bits.Add64(t[6], 0, c)
	r7, c := bits.Add64(t[7], 0, c)
	*z = fe{r0 + -c&c569, r1, r2, r3, r4, r5, r6, r7}
}

// add569 sets z = x + y.
func add569(z, x, y *fe) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	t4, c := bits.Add64(x[4], y[4], c)
	t5, c := bits.Add64(x[5], y[5], c)
	t6, c := bits.Add64(x[6], y[6], c)
	t7, c := bits.Add64(x[7], y[7], c)
	t0, c = bits.Add64(t0, -c&c569, 0)
	t1, c = bits.Add64(t1, 0, c)
	t2, c = bits.Add64(t2, 0, c)
	t3, c = bits.Add64(t3, 0, c)
	t4, c = bits.Add64(t4, 0, c)
	t5, c = bits.Add64(t5, 0, c)
	t6, c = bits.Add64(t6, 0, c)
	t7, c = bits.Add64(t7, 0, c)
	*z = fe{t0 + -c&c569, t1, t2, t3, t4, t5, t6, t7}
}

// sub569 sets z = x − y.
func sub569(z, x, y *fe) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	t4, b := bits.Sub64(x[4], y[4], b)
	t5, b := bits.Sub64(x[5], y[5], b)
	t6, b := bits.Sub64(x[6], y[6], b)
	t7, b := bits.Sub64(x[7], y[7], b)
	t0, b = bits.Sub64(t0, -b&c569, 0)
	t1, b = bits.Sub64(t1, 0, b)
	t2, b = bits.Sub64(t2, 0, b)
	t3, b = bits.Sub64(t3, 0, b)
	t4, b = bits.Sub64(t4, 0, b)
	t5, b = bits.Sub64(t5, 0, b)
	t6, b = bits.Sub64(t6, 0, b)
	t7, b = bits.Sub64(t7, 0, b)
	*z = fe{t0 - (-b & c569), t1, t2, t3, t4, t5, t6, t7}
}
