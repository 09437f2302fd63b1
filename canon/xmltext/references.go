package xmltext

import "unicode/utf8"

// reference appends to buf what the reference at pos stands for, and returns the offset after it. Without a document type
// declaration there are character references and the five predefined entities (XML 1.0 sections 4.1 and 4.6).
func (t *Tokenizer) reference(pos int) (end int, err error) {
	doc := t.doc
	if pos+1 < len(doc) && doc[pos+1] == '#' {
		return t.characterReference(pos)
	}
	end, err = t.ncname(pos+1, "an entity")
	if err != nil {
		return 0, err
	}
	if end == len(doc) || doc[end] != ';' {
		return 0, t.malformed(pos, "& without a name and a semicolon")
	}
	var c byte
	switch name := doc[pos+1 : end]; string(name) {
	case "amp":
		c = '&'
	case "lt":
		c = '<'
	case "gt":
		c = '>'
	case "quot":
		c = '"'
	case "apos":
		c = '\''
	default:
		return 0, t.malformed(pos, "entity %.64q is not declared", name)
	}
	t.buf = append(t.buf, c)
	return end + 1, nil
}

func (t *Tokenizer) characterReference(start int) (end int, err error) {
	doc, pos, base := t.doc, start+len("&#"), rune(10)
	if pos < len(doc) && doc[pos] == 'x' {
		pos, base = pos+1, 16
	}
	first, r := pos, rune(0)
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
		return 0, t.malformed(start, "character reference without digits or without a semicolon")
	case r > utf8.MaxRune:
		return 0, t.malformed(start, "character reference beyond U+10FFFF")
	case !isChar(r):
		return 0, t.malformed(start, "reference to U+%04X, which is not allowed", r)
	}
	t.buf = utf8.AppendRune(t.buf, r)
	return pos + 1, nil
}
