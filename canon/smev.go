package canon

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/epov-signer/epov/canon/xmltext"
)

// smevTransform is urn://smev-gov-ru/xmldsig/transform: octets to octets. It renames every prefix by a counter, declares a
// namespace where it is first used, sorts attributes, and drops white space between tags, comments, processing
// instructions and everything outside the root (methodical recommendations for SMEV 3, rules 1-9; where they leave a
// choice, what the reference implementation does).
type smevTransform struct {
	tok *xmltext.Tokenizer
	out *writer

	counter    int          // of the last prefix given; never goes back
	namespaces []numbered   // declared by the open elements, in order of creation
	open       []smevOpened // the open elements
}

// numbered is a namespace and the K of its prefix nsK.
type numbered struct {
	uri []byte
	k   int
}

type smevOpened struct {
	k     int // of the element's prefix
	frame int // how many namespaces were declared before it
}

func (s *smevTransform) run(doc []byte, limits xmltext.Limits) error {
	s.counter, s.namespaces, s.open = 0, s.namespaces[:0], s.open[:0]
	s.tok.Reset(doc, limits)
	for {
		kind, err := s.tok.Next()
		if err != nil {
			return err
		}
		switch kind {
		case xmltext.EOF:
			return s.out.flush()
		case xmltext.StartElement:
			if err := s.startTag(); err != nil {
				return err
			}
		case xmltext.EndElement:
			s.endTag()
		case xmltext.Text:
			s.block(s.tok.Text())
		}
		if s.out.err != nil {
			return s.out.err
		}
	}
}

func (s *smevTransform) refuse(format string, args ...any) error {
	return &TransformError{URI: SMEVURI, Message: fmt.Sprintf(format, args...)}
}

func (s *smevTransform) startTag() error {
	name, attrs := s.tok.Name(), s.tok.Attrs()
	if len(name.Space) == 0 {
		return s.refuse("element %.64q has no namespace", name.Local)
	}
	for i := range attrs {
		if string(attrs[i].Prefix) == "xml" {
			return s.refuse("attribute xml:%.64s of the element %.64q", attrs[i].Local, name.Local)
		}
	}
	if string(name.Prefix) == "xml" {
		return s.refuse("element %.64q in the namespace of the prefix xml", name.Local)
	}
	frame := len(s.namespaces)
	k := s.number(name.Space)
	s.open = append(s.open, smevOpened{k, frame})
	slices.SortFunc(attrs, compareSMEV)
	for i := range attrs {
		if len(attrs[i].Space) > 0 {
			s.number(attrs[i].Space)
		}
	}
	s.out.octet('<')
	s.name(k, name.Local)
	for _, n := range s.namespaces[frame:] {
		s.out.string(" xmlns:ns")
		s.decimal(n.k)
		s.value(n.uri)
	}
	for i := range attrs {
		s.out.octet(' ')
		if len(attrs[i].Space) > 0 {
			s.name(s.number(attrs[i].Space), attrs[i].Local)
		} else {
			s.out.octets(attrs[i].Local)
		}
		s.value(attrs[i].Value)
	}
	s.out.octet('>')
	return nil
}

func (s *smevTransform) endTag() {
	last := s.open[len(s.open)-1]
	s.out.string("</")
	s.name(last.k, s.tok.Name().Local)
	s.out.octet('>')
	s.open, s.namespaces = s.open[:len(s.open)-1], s.namespaces[:last.frame]
}

// number is the K of the prefix of uri, a new one if no open element declares it.
func (s *smevTransform) number(uri []byte) int {
	for _, n := range s.namespaces {
		if bytes.Equal(n.uri, uri) {
			return n.k
		}
	}
	s.counter++
	s.namespaces = append(s.namespaces, numbered{uri, s.counter})
	return s.counter
}

func (s *smevTransform) name(k int, local []byte) {
	s.out.string("ns")
	s.decimal(k)
	s.out.octet(':')
	s.out.octets(local)
}

func (s *smevTransform) decimal(n int) {
	var digits [20]byte
	s.out.octets(strconv.AppendInt(digits[:0], int64(n), 10))
}

// compareSMEV orders attributes: those with a namespace first, by URI and local name, then those without, by local name
// (rules 7 and 8).
func compareSMEV(a, b xmltext.Attr) int {
	if qa, qb := len(a.Space) > 0, len(b.Space) > 0; qa != qb {
		if qa {
			return -1
		}
		return 1
	}
	return cmp.Or(compareUTF16(a.Space, b.Space), compareUTF16(a.Local, b.Local))
}

// compareUTF16 compares UTF-8 strings by the code units that they have in UTF-16. The order is that of the octets, but
// characters from U+10000 (first octet F0 and up) come before U+E000..U+FFFF (EE and EF).
func compareUTF16(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if x, y := a[i], b[i]; x != y {
			if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
				x, y = y, x
			}
			return cmp.Compare(x, y)
		}
	}
	return cmp.Compare(len(a), len(b))
}

// References are in lower case, unlike canonical XML's.
var (
	smevTextEscapes  = escapes{'&': "&amp;", '<': "&lt;", '\r': "&#xd;"}
	smevValueEscapes = escapes{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xa;", '\r': "&#xd;"}
)

func (s *smevTransform) value(v []byte) {
	s.out.string(`="`)
	s.out.escaped(v, &smevValueEscapes)
	s.out.octet('"')
}

// block writes a run of character data, or a CDATA section, as that; one of only white space and controls is dropped.
func (s *smevTransform) block(text []byte) {
	switch {
	case !slices.ContainsFunc(text, func(c byte) bool { return c > ' ' }):
	case s.tok.CDATA():
		s.out.string("<![CDATA[")
		s.out.octets(text)
		s.out.string("]]>")
	default:
		s.text(text)
	}
}

// text writes a block with the escaping of rule 9. How a '>' is written depends on its place: a block shorter than
// shortBlock is looked at as a whole; a longer one is cut into pieces of smevPiece, in which a '>' is also escaped after
// whatever was escaped. Lengths are in UTF-16 code units.
func (s *smevTransform) text(text []byte) {
	const (
		shortBlock = 12
		smevPiece  = 512
	)
	long := longer(text, shortBlock-1)
	var (
		done    int  // text up to here is written
		unit    int  // of the current character in the block
		special bool // a '>' here is written as a reference: first, after ']', or after what was escaped
	)
	special = true
	for i := 0; i < len(text); {
		c := text[i]
		if long && unit%smevPiece == 0 {
			special = true
		}
		escape, size, units := smevTextEscapes[c], 1, 1
		switch {
		case c == '>' && special:
			escape = "&gt;"
		case c == 0x7F:
			escape = "&#x7f;"
		case c >= utf8.RuneSelf:
			var r rune
			if r, size = utf8.DecodeRune(text[i:]); r <= 0x9F {
				escape = c1References[r-0x80]
			} else if r >= 0x10000 {
				units = 2
			}
		}
		if escape != "" {
			s.out.octets(text[done:i])
			s.out.string(escape)
			done = i + size
		}
		special = c == ']' || long && escape != ""
		i += size
		unit += units
	}
	s.out.octets(text[done:])
}

// c1References are the references of U+0080..U+009F, which the reference implementation writes in text.
var c1References = func() (refs [32]string) {
	for i := range refs {
		refs[i] = fmt.Sprintf("&#x%x;", 0x80+i)
	}
	return refs
}()

// longer reports whether text has more than n UTF-16 code units.
func longer(text []byte, n int) bool {
	for i := 0; i < len(text) && n >= 0; {
		r, size := utf8.DecodeRune(text[i:])
		i += size
		if n--; r >= 0x10000 {
			n--
		}
	}
	return n < 0
}
