package xmltext

import (
	"bytes"
	"unicode/utf8"
)

// reference reads the reference at pos: the character that it stands for, and the offset after it. Without a document type
// declaration there are character references and the five predefined entities (XML 1.0 sections 4.1 and 4.6).
func (t *Tokenizer) reference(pos int) (r rune, end int, err error) {
	doc := t.doc
	if pos+1 < len(doc) && doc[pos+1] == '#' {
		return t.characterReference(pos)
	}
	end, err = t.ncname(pos+1, "an entity")
	if err != nil {
		return 0, 0, err
	}
	if end == len(doc) || doc[end] != ';' {
		return 0, 0, t.malformed(pos, "& without a name and a semicolon")
	}
	if r = predefined(doc[pos+1 : end]); r == 0 {
		return 0, 0, t.malformed(pos, "entity %.64q is not declared", doc[pos+1:end])
	}
	return r, end + 1, nil
}

// predefined is the character of an entity, 0 for one that is not predefined.
func predefined(name []byte) rune {
	switch string(name) {
	case "amp":
		return '&'
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "quot":
		return '"'
	case "apos":
		return '\''
	}
	return 0
}

func (t *Tokenizer) characterReference(start int) (r rune, end int, err error) {
	doc, pos, base := t.doc, start+len("&#"), rune(10)
	if pos < len(doc) && doc[pos] == 'x' {
		pos, base = pos+1, 16
	}
	first := pos
	for ; pos < len(doc); pos++ {
		digit := rune(16)
		switch c := doc[pos]; {
		case '0' <= c && c <= '9':
			digit = rune(c - '0')
		case 'a' <= c && c <= 'f':
			digit = rune(c-'a') + 10
		case 'A' <= c && c <= 'F':
			digit = rune(c-'A') + 10
		}
		if digit >= base {
			break
		}
		r = min(r*base+digit, utf8.MaxRune+1) // stays too large once it is
	}
	switch {
	case pos == first || pos == len(doc) || doc[pos] != ';':
		return 0, 0, t.malformed(start, "character reference without digits or without a semicolon")
	case r > utf8.MaxRune:
		return 0, 0, t.malformed(start, "character reference beyond U+10FFFF")
	case !isChar(r):
		return 0, 0, t.malformed(start, "reference to U+%04X, which is not allowed", r)
	}
	return r, pos + 1, nil
}

// resolved appends to buf what raw, character data or an attribute value that has been read, stands for. space is what
// becomes of a white space character that is not written as a reference: itself in character data, where only line ends
// are normalised (XML 1.0 section 2.11), or ' ' in a value (section 3.3.3 for CDATA). The appended part is returned.
func (t *Tokenizer) resolved(start, end int, value bool) []byte {
	doc, from := t.doc[:end], len(t.buf)
	lines := value || bytes.IndexByte(doc[start:], '\r') >= 0
	for pos := start; pos < end; {
		n := plainLength(doc[pos:end], value, lines)
		t.buf = append(t.buf, doc[pos:pos+n]...)
		if pos += n; pos == end {
			break
		}
		switch c := doc[pos]; {
		case c == '&':
			length := bytes.IndexByte(doc[pos:], ';')
			r := predefined(doc[pos+1 : pos+length])
			if r == 0 {
				r, _, _ = t.characterReference(pos) // without an error, as it has been read before
			}
			t.buf = utf8.AppendRune(t.buf, r)
			pos += length + 1
			continue
		case value:
			t.buf = append(t.buf, ' ')
		default:
			t.buf = append(t.buf, '\n')
		}
		if doc[pos] == '\r' && pos+1 < end && doc[pos+1] == '\n' {
			pos++
		}
		pos++
	}
	return t.buf[from:len(t.buf):len(t.buf)]
}

// plainLength is how many octets of s come before a reference or what is normalised; lines says that there may be CRs.
func plainLength(s []byte, value, lines bool) int {
	if !lines {
		if i := bytes.IndexByte(s, '&'); i >= 0 {
			return i
		}
		return len(s)
	}
	for i, c := range s {
		if c == '&' || c == '\r' || value && (c == '\t' || c == '\n') {
			return i
		}
	}
	return len(s)
}
