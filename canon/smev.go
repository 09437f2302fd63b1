package canon

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"strconv"

	"github.com/epov-signer/epov/canon/xmltext"
)

// smevTransform is urn://smev-gov-ru/xmldsig/transform. It renames every prefix by a counter, declares a namespace where it
// is first used, sorts attributes, and drops white space between tags, comments, processing instructions and everything
// outside the root (methodical recommendations for SMEV 3, rules 1-9; where they leave a choice, what the reference
// implementation does).
type smevTransform struct {
	tok *xmltext.Tokenizer
	out *writer

	counter    int           // of the last prefix given; never goes back
	namespaces []numbered    // declared by the open elements, in order of creation
	known      []numberOf    // by index of the declaration in the document
	open       []smevElement // the open elements
	sorted     []*xmltext.Attr
	block      smevBlock
}

// numbered is a namespace with its prefix in the output.
type numbered struct {
	binding int    // a declaration of it in the document
	hash    uint64 // of its name
	prefix  [24]byte
	length  uint8 // of prefix, which is nsK and a colon
	k       int
}

// numberOf is what is known of a declaration in the document. It holds while namespaces[at] is number k.
type numberOf struct {
	at, k int
	hash  uint64 // 0 if not yet known
}

type smevElement struct {
	at    int // its namespace's index
	frame int // how many namespaces were declared before it
}

func (s *smevTransform) begin(tok *xmltext.Tokenizer, out *writer) {
	s.tok, s.out = tok, out
	s.counter, s.namespaces, s.known, s.open = 0, s.namespaces[:0], s.known[:0], s.open[:0]
	s.block.reset()
}

// run transforms the octets that tok reads.
func (s *smevTransform) run() error {
	for {
		kind, err := s.tok.Next()
		if err != nil {
			return err
		}
		switch kind {
		case xmltext.EOF:
			return s.out.flush()
		case xmltext.StartElement:
			err = s.startTag()
		case xmltext.EndElement:
			s.endTag()
		case xmltext.Text:
			s.whole()
		}
		if err == nil {
			err = s.out.err
		}
		if err != nil {
			return err
		}
	}
}

func (s *smevTransform) refuse(format string, args ...any) error {
	return &TransformError{URI: SMEVURI, Message: fmt.Sprintf(format, args...)}
}

func (s *smevTransform) startTag() error {
	s.endBlock()
	tok, attrs, binding := s.tok, s.tok.Attrs(), s.tok.NameBinding()
	if binding == xmltext.NoBinding || binding >= 0 && len(tok.Binding(binding).URI) == 0 {
		return s.refuse("element %.64q has no namespace", tok.Local())
	}
	for i := range attrs {
		if attrs[i].Binding == xmltext.XMLBinding {
			return s.refuse("attribute xml:%.64s of the element %.64q", attrs[i].Local, tok.Local())
		}
	}
	if binding == xmltext.XMLBinding {
		return s.refuse("element %.64q in the namespace of the prefix xml", tok.Local())
	}
	s.known = s.known[:min(len(s.known), tok.FirstDeclared())]
	for len(s.known) < tok.Bindings() {
		s.known = append(s.known, numberOf{})
	}
	frame := len(s.namespaces)
	at := s.number(binding)
	s.open = append(s.open, smevElement{at, frame})
	if len(attrs) > 0 {
		s.sorted = sortAttrs(s.sorted, attrs, compareSMEV)
		for _, a := range s.sorted {
			if a.Binding >= 0 {
				s.number(a.Binding)
			}
		}
	}
	o := s.out
	s.name("<", at, tok.Local())
	for i := frame; i < len(s.namespaces); i++ {
		n := &s.namespaces[i]
		o.string(" xmlns:")
		o.octets(n.prefix[:n.length-1])
		b := tok.Binding(n.binding)
		o.value(b.URI, b.Plain, &smevValueEscapes)
	}
	if len(attrs) > 0 {
		for _, a := range s.sorted {
			if a.Binding >= 0 {
				s.name(" ", s.number(a.Binding), a.Local)
			} else {
				o.after(' ', a.Local)
			}
			o.value(a.Value, a.Plain, &smevValueEscapes)
		}
	}
	o.octet('>')
	return nil
}

func (s *smevTransform) endTag() {
	s.endBlock()
	last := s.open[len(s.open)-1]
	s.name("</", last.at, s.tok.Local())
	s.out.octet('>')
	s.open, s.namespaces = s.open[:len(s.open)-1], s.namespaces[:last.frame]
}

var hashSeed = maphash.MakeSeed()

// number is the index in namespaces of the namespace of a declaration; it becomes a new one if no open element of the
// output declares that namespace.
func (s *smevTransform) number(binding int) int {
	known := &s.known[binding]
	if known.k > 0 && known.at < len(s.namespaces) && s.namespaces[known.at].k == known.k {
		return known.at
	}
	uri := s.tok.Binding(binding).URI
	if known.hash == 0 {
		known.hash = maphash.Bytes(hashSeed, uri) | 1
	}
	for i := range s.namespaces {
		n := &s.namespaces[i]
		if n.hash == known.hash && bytes.Equal(s.tok.Binding(n.binding).URI, uri) {
			known.at, known.k = i, n.k
			return i
		}
	}
	s.counter++
	n := numbered{binding: binding, hash: known.hash, k: s.counter}
	n.length = uint8(len(append(strconv.AppendInt(append(n.prefix[:0], "ns"...), int64(s.counter), 10), ':')))
	s.namespaces = append(s.namespaces, n)
	known.at, known.k = len(s.namespaces)-1, s.counter
	return known.at
}

// name writes a name in the namespace with an index, after one or two octets.
func (s *smevTransform) name(before string, at int, local []byte) {
	n, o := &s.namespaces[at], s.out
	if room := o.buf[o.n:]; len(room) >= len(before)+len(n.prefix)+len(local) {
		for i := range len(before) {
			room[i] = before[i]
		}
		room = room[len(before):]
		*(*[len(n.prefix)]byte)(room) = n.prefix // all of it, which is quicker
		copy(room[n.length:], local)
		o.n += len(before) + int(n.length) + len(local)
		return
	}
	o.string(before)
	o.octets(n.prefix[:n.length])
	o.octets(local)
}

// compareSMEV orders attributes: those with a namespace first, by URI and local name, then those without, by local name
// (rules 7 and 8).
func compareSMEV(a, b *xmltext.Attr) int {
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
