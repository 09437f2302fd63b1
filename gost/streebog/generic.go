package streebog

import (
	"encoding/binary"
	"math/bits"

	"github.com/epov-signer/epov/gost/streebog/internal/rfc6986"
)

// lookup joins the substitution, the permutation and the linear map (RFC 6986 section 6): octet i of word j of the input
// contributes lookup[j][octet] to word i of the output. 16 KiB, computed once at start (2048 entries of 8 additions).
var lookup = func() (t [8][256]uint64) {
	for j := range t {
		for x := range t[j] {
			for k := range 8 {
				if rfc6986.Pi[x]>>k&1 == 1 {
					t[j][x] ^= rfc6986.A[63-(8*j+k)]
				}
			}
		}
	}
	return t
}()

// blocksGeneric is stage 2 of RFC 6986 section 10.2 for every block of p. It is the reference of the other
// implementations.
func blocksGeneric(s *state, p []byte) {
	for ; len(p) >= BlockSize; p = p[BlockSize:] {
		var m block
		m.load((*[BlockSize]byte)(p))
		s.h.g(&s.n, &m)
		s.n.addBits(8 * BlockSize)
		s.sigma.add(&m)
	}
}

// g is the compression function g_N(h, m) of RFC 6986 section 8; it replaces h.
func (h *block) g(n, m *block) {
	var k block
	lps(&k, h, n, &lookup)
	s := *m
	for i := range rfc6986.C {
		lps(&s, &s, &k, &lookup)
		lps(&k, &k, (*block)(&rfc6986.C[i]), &lookup)
	}
	for i := range h {
		h[i] ^= s[i] ^ k[i] ^ m[i]
	}
}

// lps sets z = L(P(S(x ⊕ y))). z may alias x or y. t is &lookup: an argument stays in a register, while the address of a
// variable would be made anew for each octet. Written out, as a loop over the words takes twice as long.
func lps(z, x, y *block, t *[8][256]uint64) {
	v := x[0] ^ y[0]
	z0, z1, z2, z3 := t[0][byte(v)], t[0][byte(v>>8)], t[0][byte(v>>16)], t[0][byte(v>>24)]
	z4, z5, z6, z7 := t[0][byte(v>>32)], t[0][byte(v>>40)], t[0][byte(v>>48)], t[0][byte(v>>56)]
	v = x[1] ^ y[1]
	z0 ^= t[1][byte(v)]
	z1 ^= t[1][byte(v>>8)]
	z2 ^= t[1][byte(v>>16)]
	z3 ^= t[1][byte(v>>24)]
	z4 ^= t[1][byte(v>>32)]
	z5 ^= t[1][byte(v>>40)]
	z6 ^= t[1][byte(v>>48)]
	z7 ^= t[1][byte(v>>56)]
	v = x[2] ^ y[2]
	z0 ^= t[2][byte(v)]
	z1 ^= t[2][byte(v>>8)]
	z2 ^= t[2][byte(v>>16)]
	z3 ^= t[2][byte(v>>24)]
	z4 ^= t[2][byte(v>>32)]
	z5 ^= t[2][byte(v>>40)]
	z6 ^= t[2][byte(v>>48)]
	z7 ^= t[2][byte(v>>56)]
	v = x[3] ^ y[3]
	z0 ^= t[3][byte(v)]
	z1 ^= t[3][byte(v>>8)]
	z2 ^= t[3][byte(v>>16)]
	z3 ^= t[3][byte(v>>24)]
	z4 ^= t[3][byte(v>>32)]
	z5 ^= t[3][byte(v>>40)]
	z6 ^= t[3][byte(v>>48)]
	z7 ^= t[3][byte(v>>56)]
	v = x[4] ^ y[4]
	z0 ^= t[4][byte(v)]
	z1 ^= t[4][byte(v>>8)]
	z2 ^= t[4][byte(v>>16)]
	z3 ^= t[4][byte(v>>24)]
	z4 ^= t[4][byte(v>>32)]
	z5 ^= t[4][byte(v>>40)]
	z6 ^= t[4][byte(v>>48)]
	z7 ^= t[4][byte(v>>56)]
	v = x[5] ^ y[5]
	z0 ^= t[5][byte(v)]
	z1 ^= t[5][byte(v>>8)]
	z2 ^= t[5][byte(v>>16)]
	z3 ^= t[5][byte(v>>24)]
	z4 ^= t[5][byte(v>>32)]
	z5 ^= t[5][byte(v>>40)]
	z6 ^= t[5][byte(v>>48)]
	z7 ^= t[5][byte(v>>56)]
	v = x[6] ^ y[6]
	z0 ^= t[6][byte(v)]
	z1 ^= t[6][byte(v>>8)]
	z2 ^= t[6][byte(v>>16)]
	z3 ^= t[6][byte(v>>24)]
	z4 ^= t[6][byte(v>>32)]
	z5 ^= t[6][byte(v>>40)]
	z6 ^= t[6][byte(v>>48)]
	z7 ^= t[6][byte(v>>56)]
	v = x[7] ^ y[7]
	z0 ^= t[7][byte(v)]
	z1 ^= t[7][byte(v>>8)]
	z2 ^= t[7][byte(v>>16)]
	z3 ^= t[7][byte(v>>24)]
	z4 ^= t[7][byte(v>>32)]
	z5 ^= t[7][byte(v>>40)]
	z6 ^= t[7][byte(v>>48)]
	z7 ^= t[7][byte(v>>56)]
	z[0], z[1], z[2], z[3], z[4], z[5], z[6], z[7] = z0, z1, z2, z3, z4, z5, z6, z7
}

func (z *block) load(p *[BlockSize]byte) {
	for i := range z {
		z[i] = binary.LittleEndian.Uint64(p[8*i:])
	}
}

// add sets z = z + x mod 2^512.
func (z *block) add(x *block) {
	var carry uint64
	for i := range z {
		z[i], carry = bits.Add64(z[i], x[i], carry)
	}
}

// addBits sets z = z + n mod 2^512.
func (z *block) addBits(n uint64) {
	for i := range z {
		z[i], n = bits.Add64(z[i], n, 0)
	}
}
