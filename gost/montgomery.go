package gost

import "math/bits"

// mul4 is Montgomery multiplication, the coarsely integrated scanning of 4 limbs. Before and after each turn the sum
// t is below x + m, so that its top limb is at most 1.
func (m *modulus) mul4(z, x, y *fe) {
	x0, x1, x2, x3 := x[0], x[1], x[2], x[3]
	m0, m1, m2, m3 := m.v[0], m.v[1], m.v[2], m.v[3]
	var t0, t1, t2, t3, t4 uint64
	for i := range 4 {
		var c uint64
		v := y[i]
		h0, l0 := bits.Mul64(x0, v)
		h1, l1 := bits.Mul64(x1, v)
		h2, l2 := bits.Mul64(x2, v)
		h3, l3 := bits.Mul64(x3, v)
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4 += c
		t1, c = bits.Add64(t1, h0, 0)
		t2, c = bits.Add64(t2, h1, c)
		t3, c = bits.Add64(t3, h2, c)
		t4, c = bits.Add64(t4, h3, c)
		top := c

		v = t0 * m.inv
		h0, l0 = bits.Mul64(m0, v)
		h1, l1 = bits.Mul64(m1, v)
		h2, l2 = bits.Mul64(m2, v)
		h3, l3 = bits.Mul64(m3, v)
		_, c = bits.Add64(t0, l0, 0)
		t0, c = bits.Add64(t1, l1, c)
		t1, c = bits.Add64(t2, l2, c)
		t2, c = bits.Add64(t3, l3, c)
		t3, c = bits.Add64(t4, 0, c)
		top += c
		t0, c = bits.Add64(t0, h0, 0)
		t1, c = bits.Add64(t1, h1, c)
		t2, c = bits.Add64(t2, h2, c)
		t3, c = bits.Add64(t3, h3, c)
		t4 = top + c
	}
	r0, b := bits.Sub64(t0, m0, 0)
	r1, b := bits.Sub64(t1, m1, b)
	r2, b := bits.Sub64(t2, m2, b)
	r3, b := bits.Sub64(t3, m3, b)
	_, b = bits.Sub64(t4, 0, b)
	keep := -b // all ones when t < m
	z[0] = r0 ^ keep&(r0^t0)
	z[1] = r1 ^ keep&(r1^t1)
	z[2] = r2 ^ keep&(r2^t2)
	z[3] = r3 ^ keep&(r3^t3)
}

// mul8 is Montgomery multiplication, the coarsely integrated scanning of 8 limbs. Before and after each turn the sum
// t is below x + m, so that its top limb is at most 1.
func (m *modulus) mul8(z, x, y *fe) {
	x0, x1, x2, x3, x4, x5, x6, x7 := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	m0, m1, m2, m3, m4, m5, m6, m7 := m.v[0], m.v[1], m.v[2], m.v[3], m.v[4], m.v[5], m.v[6], m.v[7]
	var t0, t1, t2, t3, t4, t5, t6, t7, t8 uint64
	for i := range 8 {
		var c uint64
		v := y[i]
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
		t8 += c
		t1, c = bits.Add64(t1, h0, 0)
		t2, c = bits.Add64(t2, h1, c)
		t3, c = bits.Add64(t3, h2, c)
		t4, c = bits.Add64(t4, h3, c)
		t5, c = bits.Add64(t5, h4, c)
		t6, c = bits.Add64(t6, h5, c)
		t7, c = bits.Add64(t7, h6, c)
		t8, c = bits.Add64(t8, h7, c)
		top := c

		v = t0 * m.inv
		h0, l0 = bits.Mul64(m0, v)
		h1, l1 = bits.Mul64(m1, v)
		h2, l2 = bits.Mul64(m2, v)
		h3, l3 = bits.Mul64(m3, v)
		h4, l4 = bits.Mul64(m4, v)
		h5, l5 = bits.Mul64(m5, v)
		h6, l6 = bits.Mul64(m6, v)
		h7, l7 = bits.Mul64(m7, v)
		_, c = bits.Add64(t0, l0, 0)
		t0, c = bits.Add64(t1, l1, c)
		t1, c = bits.Add64(t2, l2, c)
		t2, c = bits.Add64(t3, l3, c)
		t3, c = bits.Add64(t4, l4, c)
		t4, c = bits.Add64(t5, l5, c)
		t5, c = bits.Add64(t6, l6, c)
		t6, c = bits.Add64(t7, l7, c)
		t7, c = bits.Add64(t8, 0, c)
		top += c
		t0, c = bits.Add64(t0, h0, 0)
		t1, c = bits.Add64(t1, h1, c)
		t2, c = bits.Add64(t2, h2, c)
		t3, c = bits.Add64(t3, h3, c)
		t4, c = bits.Add64(t4, h4, c)
		t5, c = bits.Add64(t5, h5, c)
		t6, c = bits.Add64(t6, h6, c)
		t7, c = bits.Add64(t7, h7, c)
		t8 = top + c
	}
	r0, b := bits.Sub64(t0, m0, 0)
	r1, b := bits.Sub64(t1, m1, b)
	r2, b := bits.Sub64(t2, m2, b)
	r3, b := bits.Sub64(t3, m3, b)
	r4, b := bits.Sub64(t4, m4, b)
	r5, b := bits.Sub64(t5, m5, b)
	r6, b := bits.Sub64(t6, m6, b)
	r7, b := bits.Sub64(t7, m7, b)
	_, b = bits.Sub64(t8, 0, b)
	keep := -b // all ones when t < m
	z[0] = r0 ^ keep&(r0^t0)
	z[1] = r1 ^ keep&(r1^t1)
	z[2] = r2 ^ keep&(r2^t2)
	z[3] = r3 ^ keep&(r3^t3)
	z[4] = r4 ^ keep&(r4^t4)
	z[5] = r5 ^ keep&(r5^t5)
	z[6] = r6 ^ keep&(r6^t6)
	z[7] = r7 ^ keep&(r7^t7)
}

// add4 sets z = x + y.
func (m *modulus) add4(z, x, y *fe) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	r0, b := bits.Sub64(t0, m.v[0], 0)
	r1, b := bits.Sub64(t1, m.v[1], b)
	r2, b := bits.Sub64(t2, m.v[2], b)
	r3, b := bits.Sub64(t3, m.v[3], b)
	_, b = bits.Sub64(c, 0, b)
	keep := -b
	z[0], z[1] = r0^keep&(r0^t0), r1^keep&(r1^t1)
	z[2], z[3] = r2^keep&(r2^t2), r3^keep&(r3^t3)
}

// add8 sets z = x + y.
func (m *modulus) add8(z, x, y *fe) {
	var t, r fe
	var c, b uint64
	for i := range t {
		t[i], c = bits.Add64(x[i], y[i], c)
	}
	for i := range r {
		r[i], b = bits.Sub64(t[i], m.v[i], b)
	}
	_, b = bits.Sub64(c, 0, b)
	keep := -b
	for i := range z {
		z[i] = r[i] ^ keep&(r[i]^t[i])
	}
}

// sub4 sets z = x − y.
func (m *modulus) sub4(z, x, y *fe) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	borrowed := -b
	t0, c := bits.Add64(t0, m.v[0]&borrowed, 0)
	t1, c = bits.Add64(t1, m.v[1]&borrowed, c)
	t2, c = bits.Add64(t2, m.v[2]&borrowed, c)
	t3, _ = bits.Add64(t3, m.v[3]&borrowed, c)
	z[0], z[1], z[2], z[3] = t0, t1, t2, t3
}

// sub8 sets z = x − y.
func (m *modulus) sub8(z, x, y *fe) {
	var t fe
	var b, c uint64
	for i := range t {
		t[i], b = bits.Sub64(x[i], y[i], b)
	}
	borrowed := -b
	for i := range z {
		z[i], c = bits.Add64(t[i], m.v[i]&borrowed, c)
	}
}
