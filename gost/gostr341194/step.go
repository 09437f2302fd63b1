package gostr341194

import "math/bits"

// sbox is id-GostR3411-94-CryptoProParamSet (RFC 4357 section 11.2): row i substitutes nibble i, the least
// significant first.
var sbox = [8][16]byte{
	{10, 4, 5, 6, 8, 1, 3, 7, 13, 12, 14, 0, 9, 2, 11, 15},
	{5, 15, 4, 0, 2, 13, 11, 9, 1, 7, 6, 3, 12, 14, 10, 8},
	{7, 15, 12, 14, 9, 4, 1, 0, 3, 11, 5, 2, 6, 10, 8, 13},
	{4, 10, 7, 12, 0, 15, 2, 8, 14, 1, 6, 5, 13, 11, 9, 3},
	{7, 6, 4, 11, 9, 12, 2, 10, 1, 8, 0, 14, 15, 13, 3, 5},
	{7, 6, 2, 4, 13, 9, 15, 0, 10, 1, 5, 11, 8, 14, 12, 3},
	{13, 14, 4, 1, 7, 0, 5, 10, 3, 12, 8, 15, 6, 2, 9, 11},
	{1, 3, 10, 9, 5, 11, 4, 15, 8, 6, 7, 14, 13, 0, 2, 12},
}

// table joins the S-box with the rotation by 11 bits; table[i] belongs to octet i of the sum. 4 KiB, computed once at
// start.
var table = func() (t [4][256]uint32) {
	for i := range t {
		for x := range t[i] {
			v := uint32(sbox[2*i+1][x>>4])<<4 | uint32(sbox[2*i][x&15])
			t[i][x] = bits.RotateLeft32(v<<(8*i), 11)
		}
	}
	return t
}()

// c3 is the constant C[3] of RFC 5831 section 5.1; C[2] and C[4] are zero.
var c3 = block{0xff00ff00ff00ff00, 0x00ff00ff00ff00ff, 0xff0000ff00ffff00, 0xff00ffff000000ff}

// step is the step function χ(M, H) of RFC 5831 section 5; it replaces h.
func (h *block) step(m *block) {
	var s block
	u, v := *h, *m
	for i := range s {
		if i > 0 {
			u.a()
			if i == 2 {
				for j := range u {
					u[j] ^= c3[j]
				}
			}
			v.a()
			v.a()
		}
		k := u.xorP(&v)
		s[i] = encrypt(&k, h[i])
	}
	h.mix(&s, m)
}

// a is the map A of section 5.1: it drops the lowest word and puts the sum of the two lowest on top.
func (z *block) a() { z[0], z[1], z[2], z[3] = z[1], z[2], z[3], z[0]^z[1] }

// xorP returns P(z ⊕ x) as the eight words of a key: octet i + 4k of the result is octet 8i + k of the argument.
func (z *block) xorP(x *block) (key [8]uint32) {
	for k := range key {
		for i := range z {
			key[k] |= uint32(byte((z[i]^x[i])>>(8*k))) << (8 * i)
		}
	}
	return key
}

// encrypt is GOST 28147-89 in the mode of simple substitution.
func encrypt(k *[8]uint32, x uint64) uint64 {
	a, b := uint32(x), uint32(x>>32)
	for range 3 {
		for i := 0; i < 8; i += 2 {
			b ^= f(a + k[i])
			a ^= f(b + k[i+1])
		}
	}
	for i := 6; i >= 0; i -= 2 {
		b ^= f(a + k[i+1])
		a ^= f(b + k[i])
	}
	return uint64(a)<<32 | uint64(b)
}

func f(x uint32) uint32 {
	return table[0][byte(x)] ^ table[1][byte(x>>8)] ^ table[2][byte(x>>16)] ^ table[3][byte(x>>24)]
}

// mix is the output transformation of section 5.3: h = ψ⁶¹(h ⊕ ψ(m ⊕ ψ¹²(s))).
func (h *block) mix(s, m *block) {
	var w [16 + 61]uint16
	s.words((*[16]uint16)(w[:]))
	psi(w[:], 12)
	x := fromWords((*[16]uint16)(w[12:]))
	for i := range x {
		x[i] ^= m[i]
	}
	x.words((*[16]uint16)(w[:]))
	psi(w[:], 1)
	x = fromWords((*[16]uint16)(w[1:]))
	for i := range x {
		x[i] ^= h[i]
	}
	x.words((*[16]uint16)(w[:]))
	psi(w[:], 61)
	*h = fromWords((*[16]uint16)(w[61:]))
}

// psi appends n outputs of the shift register ψ to the 16 words of its state at the start of w.
func psi(w []uint16, n int) {
	for i := range n {
		x := w[i : i+17]
		x[16] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ x[12] ^ x[15]
	}
}

func (z *block) words(w *[16]uint16) {
	for i := range w {
		w[i] = uint16(z[i/4] >> (16 * (i % 4)))
	}
}

func fromWords(w *[16]uint16) (z block) {
	for i := range w {
		z[i/4] |= uint64(w[i]) << (16 * (i % 4))
	}
	return z
}
