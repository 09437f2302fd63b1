package canon

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/epov-signer/epov/canon/xmltext"
)

// How a '>' is written depends on its place in the block (rule 9). Lengths are in UTF-16 code units.
const (
	shortBlock = 12  // a block of fewer is looked at as a whole
	smevPiece  = 512 // a longer one in pieces of so many
)

// smevBlock is a run of character data of the transform's input. What canonical XML leaves out lies between pieces of one
// block; so the pieces are held until the block ends. A long block from a reader is written piece by piece.
type smevBlock struct {
	held    []byte // not yet written, part of the document or of own
	own     []byte
	copied  bool // held is own
	plain   bool // held has nothing that canonical XML escapes
	reader  bool // the document comes from a reader
	flowing bool // the block is long, not blank, and its beginning is written

	long    bool // has shortBlock units or more
	unit    int  // of the next character
	special bool // a '>' there is written as a reference: first, after ']', or after what was escaped
}

func (b *smevBlock) reset() { *b = smevBlock{own: b.own[:0]} }

// hold is how much of a block from a reader is held. A block that starts with more white space is refused: whether it is to
// be dropped cannot be told.
const hold = 64 << 10

// join adds the current Text to the block.
func (s *smevTransform) join() error {
	b := &s.block
	text, plain := s.tok.Text(), s.tok.Shape() == xmltext.Plain // plain text is part of the document
	switch {
	case b.flowing:
		b.write(s.out, text, plain)
		return nil
	case len(b.held) == 0 && plain && !b.reader: // stays where it is
		b.held, b.plain, b.copied = text, true, false
		return nil
	case len(b.held) == 0:
		b.own, b.plain, b.copied = append(b.own[:0], text...), plain, true
	case !b.copied:
		b.own, b.plain, b.copied = append(append(b.own[:0], b.held...), text...), b.plain && plain, true
	default:
		b.own, b.plain = append(b.own, text...), b.plain && plain
	}
	b.held = b.own
	if b.reader && len(b.held) >= hold {
		if blank(b.held) {
			return s.refuse("more than %d octets of white space before other text", hold)
		}
		b.start(true)
		b.write(s.out, b.held, b.plain)
		b.held, b.flowing = nil, true
	}
	return nil
}

// endBlock ends the block, if there is one, and writes it. One of only white space and controls is dropped.
func (s *smevTransform) endBlock() {
	b := &s.block
	if len(b.held) > 0 && !blank(b.held) {
		if b.plain && !b.reader && simple(b.held) {
			s.out.octets(b.held)
		} else {
			b.start(longer(b.held, shortBlock-1))
			b.write(s.out, b.held, b.plain)
		}
	}
	b.held, b.flowing = nil, false
}

// whole writes the current Text, which is a block of its own or a CDATA section and stays one.
func (s *smevTransform) whole() {
	text, b := s.tok.Text(), &s.block
	switch {
	case blank(text):
	case s.tok.CDATA():
		s.out.string("<![CDATA[")
		s.out.octets(text)
		s.out.string("]]>")
	default:
		b.start(longer(text, shortBlock-1))
		b.write(s.out, text, false)
	}
}

// blank reports whether text is only white space and controls.
func blank(text []byte) bool {
	const add, high = 0x5F5F5F5F5F5F5F5F, 0x8080808080808080
	for len(text) >= 8 {
		// No octet up to ' ' reaches the highest bit by the addition, and all others do or have it.
		if x := binary.LittleEndian.Uint64(text); (x|(x+add))&high != 0 {
			return false
		}
		text = text[8:]
	}
	for _, c := range text {
		if c > ' ' {
			return false
		}
	}
	return true
}

// simple reports whether text that canonical XML leaves as it is is left so by rule 9 too.
func simple(text []byte) bool {
	return bytes.IndexByte(text, 0x7F) < 0 && bytes.IndexByte(text, c1Lead) < 0
}

func (b *smevBlock) start(long bool) { b.long, b.unit, b.special = long, 0, true }

// write writes the next piece of the block with the escaping of rule 9. In a block that is not long a '>' is escaped where
// it is first and after ']'; a long one is cut into pieces of smevPiece, in which it is also escaped after whatever was
// escaped.
func (b *smevBlock) write(out *writer, text []byte, plain bool) {
	if len(text) == 0 {
		return
	}
	last := text[len(text)-1]
	if plain && simple(text) {
		out.octets(text)
		if b.flowing || b.reader {
			b.unit += units(text)
		}
		b.special = last == ']'
		return
	}
	done, counted := 0, 0 // text up to there is written, and is in unit
	for i := 0; i < len(text); {
		c := text[i]
		if !smevStops[c] {
			i++
			continue
		}
		escape, size := smevTextEscapes[c], 1
		switch c {
		case '>':
			b.unit += units(text[counted:i])
			counted = i
			if b.special && i == 0 || i > 0 && text[i-1] == ']' || b.long && (i > 0 && i == done || b.unit%smevPiece == 0) {
				escape = "&gt;"
			}
		case 0x7F:
			escape = "&#x7f;"
		case c1Lead:
			if size = 2; text[i+1] <= 0x9F {
				escape = c1References[text[i+1]-0x80]
			}
		}
		if escape != "" {
			out.octets(text[done:i])
			out.string(escape)
			done = i + size
		}
		i += size
	}
	out.octets(text[done:])
	b.unit += units(text[counted:])
	b.special = last == ']' || b.long && done == len(text)
}

// smevStops are the octets that write looks at.
var smevStops = [256]bool{'&': true, '<': true, '>': true, '\r': true, 0x7F: true, c1Lead: true}

// c1Lead is the first octet of U+0080..U+00BF.
const c1Lead = 0xC2

// c1References are the references of U+0080..U+009F, which the reference implementation writes in text.
var c1References = func() (refs [32]string) {
	for i := range refs {
		refs[i] = fmt.Sprintf("&#x%x;", 0x80+i)
	}
	return refs
}()

// units is the length of text in UTF-16 code units.
func units(text []byte) (n int) {
	for _, c := range text {
		if c&0xC0 != 0x80 {
			n++
		}
		if c >= 0xF0 {
			n++
		}
	}
	return n
}

// longer reports whether text has more than n UTF-16 code units.
func longer(text []byte, n int) bool {
	return len(text) > 3*n+3 || len(text) > n && units(text) > n
}
