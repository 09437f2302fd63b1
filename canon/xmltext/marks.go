package xmltext

import (
	"math/bits"
	"unicode/utf8"
)

// Where a name, a value or a run of text ends is not looked for octet by octet. The document is classified ahead of the
// reader in blocks: every octet gets one bit in each of three bit sets, and a scan is a search for the next set bit. The
// same pass finds what is no UTF-8 and no Char, so that the scans need not look at octets from 80 hexadecimal up.
//
// Invariants: block <= pos for every scan; doc[block:end] is classified and holds good characters only; block and end lie
// between characters.
const (
	blockWords = 64
	blockSize  = 64 * blockWords
)

// marks has a bit for each octet of a block. The word after the last is 0, or all ones where nothing follows the block.
type marks [blockWords + 1]uint64

// index classifies a block. The order of the fields is known to the assembly.
type index struct {
	text  marks  // '<' '&' '>' ']' CR: what a scan of character data stops at
	value marks  // the same and quotes, TAB, LF: what a scan of an attribute value stops at
	name  marks  // what is not an ASCII character of an NCName
	due   uint64 // continuation octets with which the next word has to start, from bit 0
}

// forget makes the classification void: the document behind it has changed.
func (t *Tokenizer) forget() {
	x := &t.index
	x.text[blockWords], x.value[blockWords], x.name[blockWords] = 0, 0, 0
	t.block, t.end = -2*blockSize, 0 // so that stop looks at the last word
}

// stop returns the offset of the first octet from pos that m marks. When there is none before the document ends or has a
// character that is not allowed, it returns that place: only there doc[pos] may be an octet that m does not speak of.
func (t *Tokenizer) stop(m *marks, pos int) int {
	if x := m.from(pos - t.block); x != 0 {
		return pos + bits.TrailingZeros64(x)
	}
	return t.far(m, pos)
}

// from are the marks from an offset in the block up to the end of the word.
func (m *marks) from(off int) uint64 { return m[min(uint(off)>>6, blockWords)] >> (uint(off) & 63) }

// far is stop beyond the first word.
func (t *Tokenizer) far(m *marks, pos int) int {
	for {
		if pos < t.end {
			off := pos - t.block
			if x := m[off>>6] >> (off & 63); x != 0 {
				return pos + bits.TrailingZeros64(x)
			}
			for w := off>>6 + 1; w<<6 < t.end-t.block; w++ {
				if x := m[w]; x != 0 {
					return t.block + w<<6 + bits.TrailingZeros64(x)
				}
			}
			pos = t.end
		}
		if !t.classify(pos) {
			return pos
		}
	}
}

// classify makes the block that starts at pos the current one. It returns false when no good character stands at pos.
func (t *Tokenizer) classify(pos int) bool {
	rest, x := t.doc[pos:], &t.index
	n := min(len(rest), blockSize)
	last := n == len(rest)
	if !last {
		for back := 0; back < utf8.UTFMax-1 && rest[n]&0xC0 == 0x80; back++ {
			n-- // blocks end between characters
		}
	}
	x.due = 0
	x.text[blockWords], x.value[blockWords], x.name[blockWords] = 0, 0, 0
	good := n
	for w := 0; w<<6 < n; {
		if full := n >> 6; w < full {
			if w = x.classify(rest, w, full); w == full {
				continue
			}
		}
		if good = x.word(rest[:n], w); good < n {
			break
		}
		w++
	}
	if good == n && x.due != 0 { // the block ends inside a character
		for good--; rest[good]&0xC0 == 0x80; good-- {
		}
	}
	t.block, t.end = pos, pos+good
	w, tail := good>>6, ^uint64(0)<<(good&63)
	if last || good < n { // a stop
		if good&63 == 0 {
			x.text[w], x.value[w], x.name[w] = 0, 0, 0
		}
		x.text[w], x.value[w], x.name[w] = x.text[w]|tail, x.value[w]|tail, x.name[w]|tail
	} else if good&63 != 0 {
		x.text[w], x.value[w], x.name[w] = x.text[w]&^tail, x.value[w]&^tail, x.name[w]&^tail
	}
	return good > 0
}

// word classifies word w of the block, whatever is in it, and returns the offset of the first bad character up to the end
// of the word, or len(block) if there is none.
func (x *index) word(block []byte, w int) (good int) {
	octets := [64]byte{}
	if n := copy(octets[:], block[w<<6:]); n < len(octets) {
		copy(octets[n:], spaces)
	}
	if x.mark(&octets, w) || x.due != 0 {
		return x.check(block, w)
	}
	return len(block)
}

const spaces = "                                                                "

// classifyPortable classifies the words from first up to last and stops at one that holds a bad character.
func (x *index) classifyPortable(block []byte, first, last int) int {
	for w := first; w < last; w++ {
		due := x.due
		if (x.mark((*[64]byte)(block[w<<6:]), w) || due != 0) && x.check(block, w) < len(block) {
			x.due = due
			return w
		}
	}
	return last
}

// mark marks the octets of word w and reports whether check has to look at it.
func (x *index) mark(octets *[64]byte, w int) bool {
	var text, value, name, suspect uint64
	for i := 0; i < 64; i += 8 {
		o := (*[8]byte)(octets[i:])
		s := spread[o[0]] | spread[o[1]]<<1 | spread[o[2]]<<2 | spread[o[3]]<<3 |
			spread[o[4]]<<4 | spread[o[5]]<<5 | spread[o[6]]<<6 | spread[o[7]]<<7
		text = text>>8 | uint64(s)<<56
		value = value>>8 | uint64(s>>8)<<56
		name = name>>8 | uint64(s>>16)<<56
		suspect |= uint64(s >> 24)
	}
	x.text[w], x.value[w], x.name[w] = text, value, name
	return suspect != 0
}

// check looks at the characters of word w and at the rest of the one that reaches over from the word before. It returns the
// offset of the first bad one, or len(block).
func (x *index) check(block []byte, w int) (good int) {
	start, end := w<<6, min(w<<6+64, len(block))
	if x.due != 0 { // to the first octet of the character that is not complete
		for start--; block[start]&0xC0 == 0x80; start-- {
		}
	}
	for start < end {
		c := block[start]
		switch {
		case class[c]&careful == 0:
			start++
		case c < utf8.RuneSelf:
			return start
		case 0xC2 <= c && c < 0xE0 && start+1 < len(block) && block[start+1]&0xC0 == 0x80: // U+0080..U+07FF
			start += 2
		default:
			r, size := utf8.DecodeRune(block[start:])
			if r == utf8.RuneError && size <= 1 || !isChar(r) {
				return start
			}
			start += size
		}
	}
	x.due = 1<<(start-end) - 1
	return len(block)
}

// spread has for an octet one bit in each of four octets: ends text, ends a value, ends a name, has to be looked at.
var spread = func() (table [256]uint32) {
	for c := range table {
		k := class[c]
		table[c] = uint32(k&stopText)/stopText | uint32(k&stopValue)/stopValue<<8 |
			uint32(k&namePart^namePart)/namePart<<16 | uint32(k&careful)/careful<<24
	}
	return table
}()
