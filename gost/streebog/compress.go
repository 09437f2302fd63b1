package streebog

import (
	"encoding/binary"
	"math/bits"
)

// table joins the substitution, the permutation and the linear map (RFC 6986 section 6): octet i of word j of the input
// contributes table[j][octet] to word i of the output. 16 KiB, computed once at start (2048 entries of 8 additions).
var table = func() (t [8][256]uint64) {
	for j := range t {
		for x := range t[j] {
			for k := range 8 {
				if pi[x]>>k&1 == 1 {
					t[j][x] ^= matrix[63-(8*j+k)]
				}
			}
		}
	}
	return t
}()

// g is the compression function g_N(h, m) of RFC 6986 section 8; it replaces h.
func (h *block) g(n, m *block) {
	var k block
	lps(&k, h, n)
	s := *m
	for i := range iterate {
		lps(&s, &s, &k)
		lps(&k, &k, &iterate[i])
	}
	for i := range h {
		h[i] ^= s[i] ^ k[i] ^ m[i]
	}
}

// lps sets z = L(P(S(x ⊕ y))). z may alias x or y.
func lps(z, x, y *block) {
	a, b, c, d := x[0]^y[0], x[1]^y[1], x[2]^y[2], x[3]^y[3]
	e, f, g, h := x[4]^y[4], x[5]^y[5], x[6]^y[6], x[7]^y[7]
	t := &table
	for i := range z {
		z[i] = t[0][byte(a)] ^ t[1][byte(b)] ^ t[2][byte(c)] ^ t[3][byte(d)] ^
			t[4][byte(e)] ^ t[5][byte(f)] ^ t[6][byte(g)] ^ t[7][byte(h)]
		a, b, c, d, e, f, g, h = a>>8, b>>8, c>>8, d>>8, e>>8, f>>8, g>>8, h>>8
	}
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
