package streebog

import "encoding/binary"

// tail is stage 3 of RFC 6986 section 10.3, the end of a message: three blocks more, made one after another, so that
// several messages can end side by side.
type tail struct {
	stage       int
	length, sum block // of the message, known once the padded block is made and absorbed
	buf         [BlockSize]byte
}

// next returns the next block that s shall absorb, or nil after the last; rest is what of the message fills no block.
//
// The padded block is hashed with the length before it, then the length and the sum of all blocks with N = 0. What
// absorbing adds to the state's own length and sum no longer matters, as the right values are kept here.
func (t *tail) next(s *state, rest []byte) []byte {
	t.stage++
	switch t.stage {
	case 1:
		n := copy(t.buf[:], rest)
		t.buf[n] = 1
		clear(t.buf[n+1:])
		t.length = s.n
		t.length.addBits(8 * uint64(n))
	case 2:
		t.sum = s.sigma
		s.n = block{}
		t.length.store(&t.buf)
	case 3:
		s.n = block{}
		t.sum.store(&t.buf)
	default:
		return nil
	}
	return t.buf[:]
}

func (z *block) store(p *[BlockSize]byte) {
	for i := range z {
		binary.LittleEndian.PutUint64(p[8*i:], z[i])
	}
}
