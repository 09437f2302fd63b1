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

// step is the step function χ(M, H) of RFC 5831 section 5; it replaces h. The four encryptions are independent, so they run
// side by side.
func (h *block) step(m *block) {
	var k [4][8]uint32
	u, v := *h, *m
	for i := range k {
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
		permute(&k[i], u[0]^v[0], u[1]^v[1], u[2]^v[2], u[3]^v[3])
	}
	s := *h
	s.encrypt(&k, &table)
	h.mix(&s, m)
}

// a is the map A of section 5.1: it drops the lowest word and puts the sum of the two lowest on top.
func (z *block) a() { z[0], z[1], z[2], z[3] = z[1], z[2], z[3], z[0]^z[1] }

// permute is the map P of section 5.1: octet i of word k of the key is octet k of word i of the argument. It transposes
// octets within words of 16 bits, then those words within words of 32 bits.
func permute(key *[8]uint32, a, b, c, d uint64) {
	const octets, pairs = 0x00ff00ff00ff00ff, 0x0000ffff0000ffff
	x, y := (a>>8^b)&octets, (c>>8^d)&octets
	a, b, c, d = a^x<<8, b^x, c^y<<8, d^y
	x, y = (a>>16^c)&pairs, (b>>16^d)&pairs
	a, c, b, d = a^x<<16, c^x, b^y<<16, d^y
	key[0], key[1], key[2], key[3] = uint32(a), uint32(b), uint32(c), uint32(d)
	key[4], key[5], key[6], key[7] = uint32(a>>32), uint32(b>>32), uint32(c>>32), uint32(d>>32)
}

// encrypt replaces each word of z by its encryption under the key of the same index: GOST 28147-89 in the mode of simple
// substitution. t is &table; an argument stays in a register.
func (z *block) encrypt(k *[4][8]uint32, t *[4][256]uint32) {
	a0, a1, a2, a3 := uint32(z[0]), uint32(z[1]), uint32(z[2]), uint32(z[3])
	b0, b1, b2, b3 := uint32(z[0]>>32), uint32(z[1]>>32), uint32(z[2]>>32), uint32(z[3]>>32)
	for i := range 32 {
		j := i & 7
		if i >= 24 {
			j = 31 - i
		}
		a0, b0 = b0^f(a0+k[0][j], t), a0
		a1, b1 = b1^f(a1+k[1][j], t), a1
		a2, b2 = b2^f(a2+k[2][j], t), a2
		a3, b3 = b3^f(a3+k[3][j], t), a3
	}
	// The last round does not exchange the halves.
	z[0], z[1], z[2], z[3] = join(a0, b0), join(a1, b1), join(a2, b2), join(a3, b3)
}

func join(high, low uint32) uint64 { return uint64(high)<<32 | uint64(low) }

func f(x uint32, t *[4][256]uint32) uint32 {
	return t[0][byte(x)] ^ t[1][byte(x>>8)] ^ t[2][byte(x>>16)] ^ t[3][byte(x>>24)]
}

// mix is the output transformation of section 5.3: h = ψ⁶¹(h ⊕ ψ(m ⊕ ψ¹²(s))).
func (h *block) mix(s, m *block) {
	y := *s
	for range 3 {
		y.psi4()
	}
	for i := range y {
		y[i] ^= m[i]
	}
	y.psi1()
	for i := range y {
		y[i] ^= h[i]
	}
	for range 15 {
		y.psi4()
	}
	y.psi1()
	*h = y
}

// psi4 steps the shift register ψ of section 5.3 four times: y₁₆ = y₀ ⊕ y₁ ⊕ y₂ ⊕ y₃ ⊕ y₁₂ ⊕ y₁₅ on words of 16 bits.
func (z *block) psi4() { z[0], z[1], z[2], z[3] = z[1], z[2], z[3], z.feedback() }

// psi1 steps it once.
func (z *block) psi1() {
	n := z.feedback()
	z[0], z[1], z[2], z[3] = z[0]>>16|z[1]<<48, z[1]>>16|z[2]<<48, z[2]>>16|z[3]<<48, z[3]>>16|n<<48
}

// feedback returns y₁₆ … y₁₉, the lowest first. All addends but y₁₅ … y₁₈ are known words; each of these is the result
// before, so the results are the running sums.
func (z *block) feedback() uint64 {
	n := z[0] ^ (z[0]>>16 | z[1]<<48) ^ (z[0]>>32 | z[1]<<32) ^ (z[0]>>48 | z[1]<<16) ^ z[3] ^ z[3]>>48
	n ^= n << 16
	return n ^ n<<32
}
