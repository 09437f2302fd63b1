package xmltext

import (
	"math/bits"
	"unicode/utf8"
)

// Classes of octets. Those of multi-octet characters have careful only.
const (
	nameStart = 1 << iota // NameStartChar without the colon
	namePart              // NameChar without the colon
	stopText              // a scan of character data stops here
	stopValue             // a scan of an attribute value stops here
	careful               // perhaps not UTF-8 or no Char
)

var class = func() (table [256]uint8) {
	for c := range 256 {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', c == '_':
			table[c] |= nameStart | namePart
		case '0' <= c && c <= '9', c == '-', c == '.':
			table[c] |= namePart
		}
		switch {
		case c >= utf8.RuneSelf, c < ' ' && c != '\t' && c != '\n' && c != '\r':
			table[c] |= careful
		case c == '<', c == '&', c == '\r', c == '>', c == ']': // the last two need no stop in a value, but save a class
			table[c] |= stopText | stopValue
		case c == '"', c == '\'', c == '\t', c == '\n':
			table[c] |= stopValue
		}
	}
	return table
}()

// isNameStart is NameStartChar of XML 1.0 fifth edition [4], without the colon.
func isNameStart(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return class[r]&nameStart != 0
	case r <= 0x2FF:
		return r >= 0xC0 && r != 0xD7 && r != 0xF7
	case r <= 0x1FFF:
		return r >= 0x370 && r != 0x37E
	case r <= 0x218F:
		return r == 0x200C || r == 0x200D || r >= 0x2070
	case r <= 0x2FEF:
		return r >= 0x2C00
	case r <= 0xD7FF:
		return r >= 0x3001
	case r <= 0xFDCF:
		return r >= 0xF900
	}
	return r >= 0xFDF0 && r <= 0xFFFD || r >= 0x10000 && r <= 0xEFFFF
}

// isNamePart is NameChar of XML 1.0 fifth edition [4a], without the colon.
func isNamePart(r rune) bool {
	if r < utf8.RuneSelf {
		return class[r]&namePart != 0
	}
	return isNameStart(r) || r == 0xB7 || r >= 0x300 && r <= 0x36F || r == 0x203F || r == 0x2040
}

// isChar is Char of XML 1.0 [2].
func isChar(r rune) bool {
	switch {
	case r < ' ':
		return r == '\t' || r == '\n' || r == '\r'
	case r <= 0xD7FF:
		return true
	}
	return r >= 0xE000 && r <= 0xFFFD || r >= 0x10000 && r <= utf8.MaxRune
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// qname reads a qualified name at pos: its end, and the offset of its colon or -1.
func (t *Tokenizer) qname(pos int, what string) (end, colon int, err error) {
	doc := t.doc
	end, colon = pos, -1
	for part := pos; part < len(doc) && class[doc[part]]&nameStart != 0; part = end + 1 {
		if x := t.index.name.from(part - t.block); x != 0 {
			end = part + bits.TrailingZeros64(x)
		} else {
			end = t.far(&t.index.name, part)
		}
		switch {
		case end == len(doc) || class[doc[end]]&careful != 0 || end-pos > t.limits.NameLength:
			return t.anyQName(pos, what)
		case doc[end] != ':':
			return end, colon, nil
		case colon >= 0:
			return t.anyQName(pos, what)
		}
		colon = end
	}
	return t.anyQName(pos, what)
}

// anyQName is qname for names with other than ASCII characters, and says what is wrong with one.
func (t *Tokenizer) anyQName(pos int, what string) (end, colon int, err error) {
	end, err = t.anyName(pos, what)
	if err != nil || end == len(t.doc) || t.doc[end] != ':' {
		return end, -1, err
	}
	colon = end
	if end, err = t.anyName(colon+1, what); err != nil {
		return 0, 0, err
	}
	if end < len(t.doc) && t.doc[end] == ':' {
		return 0, 0, t.malformed(end, "second colon in the name of %s", what)
	}
	if end-pos > t.limits.NameLength {
		return 0, 0, t.fail(Limit, pos, "name of %s longer than %d octets", what, t.limits.NameLength)
	}
	return end, colon, nil
}

// ncname reads a name without a colon at pos and returns its end.
func (t *Tokenizer) ncname(pos int, what string) (end int, err error) {
	if pos < len(t.doc) && class[t.doc[pos]]&nameStart != 0 {
		end = t.stop(&t.index.name, pos)
		if end < len(t.doc) && class[t.doc[end]]&careful == 0 && end-pos <= t.limits.NameLength {
			return end, nil
		}
	}
	return t.anyName(pos, what)
}

// anyName is ncname for names with other than ASCII characters, and says what is wrong with one.
func (t *Tokenizer) anyName(pos int, what string) (end int, err error) {
	doc, i := t.doc, pos
	for i < len(doc) {
		if c := doc[i]; class[c]&careful == 0 {
			if class[c]&namePart == 0 || i == pos && class[c]&nameStart == 0 {
				break
			}
			i++
			continue
		} else if 0xD0 <= c && c < 0xE0 && i >= t.block && i < t.end { // U+0400..U+07FF are all NameStartChar
			i += 2
			continue
		}
		r, size, err := t.char(i)
		if err != nil {
			return 0, err
		}
		if !isNamePart(r) || i == pos && !isNameStart(r) {
			break
		}
		i += size
	}
	switch {
	case i-pos > t.limits.NameLength:
		return 0, t.fail(Limit, pos, "name of %s longer than %d octets", what, t.limits.NameLength)
	case i > pos:
		return i, nil
	case i == len(doc):
		return 0, t.malformed(i, "document ends where the name of %s is due", what)
	}
	return 0, t.malformed(i, "no name of %s starts with this character", what)
}

// char reads the character at pos, which is not ASCII or is a control, and checks that it is UTF-8 and a Char.
func (t *Tokenizer) char(pos int) (r rune, size int, err error) {
	r, size = utf8.DecodeRune(t.doc[pos:])
	if r == utf8.RuneError && size <= 1 {
		return 0, 0, t.fail(Encoding, pos, "not valid UTF-8")
	}
	if !isChar(r) {
		return 0, 0, t.malformed(pos, "character U+%04X is not allowed", r)
	}
	return r, size, nil
}
