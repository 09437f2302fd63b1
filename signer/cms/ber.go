package cms

import (
	"github.com/epov-signer/epov/signer/report"
)

// Reading BER (X.690 section 8). The outer structure of a message may be BER: indefinite lengths, lengths in more octets
// than needed, an OCTET STRING in chunks. What is read is bounded: nesting by Limits.Depth, elements by maxElements.

// Identifier octets of the types that SignedData is made of.
const (
	tagInteger     = 0x02
	tagOctetString = 0x04
	tagOID         = 0x06
	tagSequence    = 0x30
	tagSet         = 0x31
	tagContext0    = 0xA0 // [0], constructed
	tagContext1    = 0xA1 // [1], constructed
	tagPrimitive0  = 0x80 // [0] IMPLICIT of a primitive type
	constructed    = 0x20
)

// maxElements bounds the elements looked at in one pass over one level, chunks of the content among them.
const maxElements = 1 << 20

// element is one encoding: identifier, length, contents.
type element struct {
	tag        byte   // identifier octet; of a tag number above 30, which SignedData does not use, only the first
	body       []byte // contents octets, without the end-of-contents of the indefinite form
	start      int    // offset of the identifier in the message
	content    int    // offset of body in the message
	end        int    // offset after the last octet, end-of-contents included
	indefinite bool
	minimal    bool // the length is definite and written in the fewest octets, as DER demands
}

func (e element) place(path string) report.Place {
	return report.Place{Offset: e.start, End: e.end, Path: path}
}

// reader reads the elements of one level one after another.
type reader struct {
	message []byte
	pos     int // of the next element in message
	end     int
	depth   int // of the level, the outermost being 1
	limit   int // deepest level allowed
}

// inside returns a reader of the contents of a constructed element that this reader returned.
func (r *reader) inside(e element) reader {
	return reader{message: r.message, pos: e.content, end: e.content + len(e.body), depth: r.depth + 1, limit: r.limit}
}

func (r *reader) empty() bool { return r.pos == r.end }

// raw is the whole encoding of an element.
func (r *reader) raw(e element) []byte { return r.message[e.start:e.end] }

// peek is the identifier octet of the next element, 0 (end-of-contents, never wanted) when there is none.
func (r *reader) peek() byte {
	if r.empty() {
		return 0
	}
	return r.message[r.pos]
}

// next reads one element; what names it in errors.
func (r *reader) next(what string) (element, error) {
	if r.depth > r.limit {
		return element{}, limitExceeded(r.pos, "nesting deeper than %d levels", r.limit)
	}
	e, err := header(r.message[:r.end], r.pos, what)
	if err != nil {
		return element{}, err
	}
	size := e.end - e.content
	if e.indefinite {
		if size, err = r.indefiniteSize(e.content, what); err != nil {
			return element{}, err
		}
		e.end = e.content + size + 2
	}
	e.body = r.message[e.content : e.content+size : e.content+size]
	r.pos = e.end
	return e, nil
}

// indefiniteSize measures contents that start at offset start, up to their end-of-contents octets. Elements of definite
// length are stepped over.
func (r *reader) indefiniteSize(start int, what string) (int, error) {
	pos, level := start, 1
	for range maxElements {
		if r.depth+level > r.limit {
			return 0, limitExceeded(pos, "nesting deeper than %d levels", r.limit)
		}
		if r.end-pos >= 2 && r.message[pos] == 0 && r.message[pos+1] == 0 {
			if level--; level == 0 {
				return pos - start, nil
			}
			pos += 2
			continue
		}
		e, err := header(r.message[:r.end], pos, what)
		if err != nil {
			return 0, err
		}
		if e.indefinite {
			level++
			pos = e.content
		} else {
			pos = e.end
		}
	}
	return 0, limitExceeded(pos, "more than %d elements in %s", maxElements, what)
}

// expect reads an element that must have the given tag.
func (r *reader) expect(tag byte, what string) (element, error) {
	if r.empty() {
		return element{}, malformed(r.pos, "%s is missing", what)
	}
	if got := r.peek(); got != tag {
		return element{}, malformed(r.pos, "%s has the tag %02X where %02X must be", what, got, tag)
	}
	return r.next(what)
}

// finish says that the level must be at its end.
func (r *reader) finish(what string) error {
	if !r.empty() {
		return malformed(r.pos, "%s has something after its last field", what)
	}
	return nil
}

// header reads identifier and length octets at pos. For a definite length the contents are within data and end is set; for
// an indefinite one end is the start of the contents.
func header(data []byte, pos int, what string) (element, error) {
	e := element{start: pos}
	if pos >= len(data) {
		return e, malformed(pos, "%s ends too early", what)
	}
	e.tag = data[pos]
	if e.tag == 0 {
		return e, malformed(pos, "%s has end-of-contents where none is due", what)
	}
	pos++
	if e.tag&0x1F == 0x1F { // tag number in the following octets, at most four here
		for n := 0; ; n++ {
			if pos >= len(data) || n == 4 {
				return e, malformed(e.start, "%s has an unreadable tag", what)
			}
			pos++
			if data[pos-1]&0x80 == 0 {
				break
			}
		}
	}
	if pos >= len(data) {
		return e, malformed(pos, "%s ends too early", what)
	}
	first := data[pos]
	pos++
	size := uint64(first)
	switch n := int(first & 0x7F); {
	case first < 0x80:
		e.minimal = true
	case first == 0x80:
		if e.tag&constructed == 0 {
			return e, malformed(e.start, "%s has an indefinite length but is primitive", what)
		}
		e.indefinite, e.content, e.end = true, pos, pos
		return e, nil
	case n > 8:
		return e, malformed(e.start, "%s has a length of %d octets", what, n)
	case n > len(data)-pos:
		return e, malformed(pos, "%s ends too early", what)
	default:
		size = 0
		for _, b := range data[pos : pos+n] {
			size = size<<8 | uint64(b)
		}
		e.minimal = data[pos] != 0 && size >= 0x80
		pos += n
	}
	if size > uint64(len(data)-pos) {
		return e, malformed(e.start, "%s is longer than what holds it", what)
	}
	e.content, e.end = pos, pos+int(size)
	return e, nil
}

// octets returns the value of an OCTET STRING: the contents themselves when it is primitive, otherwise its chunks joined.
func (r *reader) octets(e element, what string) ([]byte, error) {
	if e.tag == tagOctetString {
		return e.body, nil
	}
	var joined []byte
	count := 0
	var join func(reader) error
	join = func(in reader) error {
		for !in.empty() {
			if count++; count > maxElements {
				return limitExceeded(in.pos, "more than %d chunks in %s", maxElements, what)
			}
			chunk, err := in.next(what)
			switch {
			case err != nil:
				return err
			case chunk.tag == tagOctetString:
				joined = append(joined, chunk.body...)
			case chunk.tag == tagOctetString|constructed:
				if err := join(in.inside(chunk)); err != nil {
					return err
				}
			default:
				return malformed(chunk.start, "%s has a chunk that is not an OCTET STRING", what)
			}
		}
		return nil
	}
	if err := join(r.inside(e)); err != nil {
		return nil, err
	}
	if joined == nil {
		joined = []byte{}
	}
	return joined, nil
}

// isDER reports whether data is a run of DER encodings as far as lengths and the form of strings go: every length definite
// and minimal, no string in chunks.
func isDER(data []byte, depth int) bool {
	for pos := 0; pos < len(data); {
		e, err := header(data, pos, "")
		if err != nil || !e.minimal {
			return false
		}
		if e.tag&constructed != 0 {
			if e.tag < 0x40 && e.tag != tagSequence && e.tag != tagSet && e.tag != 0x28 && e.tag != 0x2B {
				return false // only SEQUENCE, SET, EXTERNAL and EMBEDDED PDV are constructed universal types in DER
			}
			if depth == 0 || !isDER(data[e.content:e.end], depth-1) {
				return false
			}
		}
		pos = e.end
	}
	return true
}

func malformed(offset int, format string, args ...any) *report.Error {
	return report.Errorf(report.CMSSyntax, report.Place{Offset: offset, End: offset + 1}, format, args...)
}

func limitExceeded(offset int, format string, args ...any) *report.Error {
	return report.Errorf(report.CMSLimit, report.Place{Offset: offset, End: offset + 1}, format, args...)
}
