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
	lps(&k, h, n)
	s := *m
	for i := range rfc6986.C {
		lps(&s, &s, &k)
		lps(&k, &k, (*block)(&rfc6986.C[i]))
	}
	for i := range h {
		h[i] ^= s[i] ^ k[i] ^ m[i]
	}
}

// lps sets z = L(P(S(x ⊕ y))). z may alias x or y. Written out: a loop over the octets is slower.
func lps(z, x, y *block) {
	a, b, c, d := x[0]^y[0], x[1]^y[1], x[2]^y[2], x[3]^y[3]
	e, f, g, h := x[4]^y[4], x[5]^y[5], x[6]^y[6], x[7]^y[7]
	t := &lookup
	z[0] = t[0][byte(a)] ^ t[1][byte(b)] ^ t[2][byte(c)] ^ t[3][byte(d)] ^
		t[4][byte(e)] ^ t[5][byte(f)] ^ t[6][byte(g)] ^ t[7][byte(h)]
	z[1] = t[0][byte(a>>8)] ^ t[1][byte(b>>8)] ^ t[2][byte(c>>8)] ^ t[3][byte(d>>8)] ^
		t[4][byte(e>>8)] ^ t[5][byte(f>>8)] ^ t[6][byte(g>>8)] ^ t[7][byte(h>>8)]
	z[2] = t[0][byte(a>>16)] ^ t[1][byte(b>>16)] ^ t[2][byte(c>>16)] ^ t[3][byte(d>>16)] ^
		t[4][byte(e>>16)] ^ t[5][byte(f>>16)] ^ t[6][byte(g>>16)] ^ t[7][byte(h>>16)]
	z[3] = t[0][byte(a>>24)] ^ t[1][byte(b>>24)] ^ t[2][byte(c>>24)] ^ t[3][byte(d>>24)] ^
		t[4][byte(e>>24)] ^ t[5][byte(f>>24)] ^ t[6][byte(g>>24)] ^ t[7][byte(h>>24)]
	z[4] = t[0][byte(a>>32)] ^ t[1][byte(b>>32)] ^ t[2][byte(c>>32)] ^ t[3][byte(d>>32)] ^
		t[4][byte(e>>32)] ^ t[5][byte(f>>32)] ^ t[6][byte(g>>32)] ^ t[7][byte(h>>32)]
	z[5] = t[0][byte(a>>40)] ^ t[1][byte(b>>40)] ^ t[2][byte(c>>40)] ^ t[3][byte(d>>40)] ^
		t[4][byte(e>>40)] ^ t[5][byte(f>>40)] ^ t[6][byte(g>>40)] ^ t[7][byte(h>>40)]
	z[6] = t[0][byte(a>>48)] ^ t[1][byte(b>>48)] ^ t[2][byte(c>>48)] ^ t[3][byte(d>>48)] ^
		t[4][byte(e>>48)] ^ t[5][byte(f>>48)] ^ t[6][byte(g>>48)] ^ t[7][byte(h>>48)]
	z[7] = t[0][byte(a>>56)] ^ t[1][byte(b>>56)] ^ t[2][byte(c>>56)] ^ t[3][byte(d>>56)] ^
		t[4][byte(e>>56)] ^ t[5][byte(f>>56)] ^ t[6][byte(g>>56)] ^ t[7][byte(h>>56)]
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
