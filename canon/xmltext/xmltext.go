// Package xmltext is a tokenizer for XML 1.0 (fifth edition) with Namespaces in XML 1.0 (third edition).
//
// It reads documents in UTF-8 and without a document type declaration, held in memory or from an io.Reader, and refuses
// everything else by name. It checks well-formedness and namespace well-formedness in full, resolves references,
// normalises line ends and attribute values, and tells for every token where in the document it stands. Its time is linear
// in the length of the document, its memory in the depth; a Tokenizer that is reused allocates nothing in its steady
// state.
package xmltext

import "io"

// Kind is the kind of a token.
type Kind uint8

// EndElement comes for every StartElement: an empty-element tag gives StartElement, then EndElement with an empty span at
// its end. Text is a maximal run of character data between markup, references resolved, line ends normalised; a CDATA
// section is a Text token of its own, never joined with the text beside it, and may be empty (see Tokenizer.CDATA). A long
// run or section of a document that is read from an io.Reader comes as several Text tokens one after the other.
// White space outside the root and the XML declaration give no token.
const (
	EOF Kind = iota
	StartElement
	EndElement
	Text
	Comment
	ProcInst
)

func (k Kind) String() string {
	return [...]string{"end of document", "start tag", "end tag", "text", "comment", "processing instruction"}[k]
}

// Name is an expanded name. Prefix and Local are parts of the document; Space is valid as long as its declaration is in
// scope. With ResetReader all three are valid until the next call of Next only.
type Name struct {
	Space  []byte // namespace URI, empty for none
	Prefix []byte
	Local  []byte
}

// Attr is an attribute that is not a namespace declaration.
type Attr struct {
	Name
	Value   []byte // normalised (XML 1.0 section 3.3.3, CDATA); valid until the next call of Next
	Binding int    // of the prefix, for Tokenizer.Binding; or NoBinding or XMLBinding
	// Plain says that Value holds neither '&', '<', '"' nor white space other than spaces. Other values may be so too.
	Plain bool
	// Source is name="value" as the document has it, if that is how canonical XML would write the attribute; else nil.
	Source []byte
}

// Binding is a namespace declaration: xmlns="URI" has an empty Prefix; xmlns="" has an empty URI. The slices are valid as
// long as the declaration is in scope; with ResetReader, until the next call of Next.
type Binding struct {
	Prefix, URI []byte
	Source      []byte // as in Attr
	Plain       bool   // as in Attr, of URI
}

// Instead of an index of Tokenizer.Binding.
const (
	NoBinding  = -1 // no declaration: the name has no prefix, and there is no default namespace or none that applies
	XMLBinding = -2 // the prefix xml, which is bound without a declaration
)

// Span is a range of byte offsets [Start, End) in the document.
type Span struct{ Start, End int }

// Tokenizer reads one document at a time. Not safe for concurrent use; Reset makes it ready for the next document. The
// zero value is at the end of an empty document, which is an error: call Reset first.
type Tokenizer struct {
	doc    []byte // the document, or the part of it that the window holds
	pos    int    // of the first octet not yet read
	block  int    // see index
	end    int
	limits Limits
	err    error // sticky

	kind     Kind
	shape    Shape
	started  bool // the byte order mark and the XML declaration are read
	rooted   bool // the root's start tag is read
	closing  bool // the current token is an EndElement: its element leaves the stack at the next call of Next
	emptyTag bool // the current token is an empty-element tag: its EndElement comes next
	tidy     bool // see Tidy
	cdata    bool
	section  bool // within a CDATA section, of which a piece has been read
	pending  bool // text is doc[raw.Start:raw.End], not yet resolved
	span     Span
	raw      Span   // of the current Text without the delimiters of a CDATA section
	text     []byte // part of doc, or of buf where it had to be changed
	target   []byte
	buf      []byte // changed values of the current token
	tag      []attribute
	attrs    []Attr
	order    []int32 // attrs sorted by expanded name, to find equal ones
	open     []element
	bindings []Binding // declarations of the open elements, one after the other
	keys     []key     // of the prefixes of bindings
	uris     []byte    // namespace names in bindings that differ from the document's text

	window
	index index
}

// element is an open element.
type element struct {
	qname    []byte // in the document
	colon    int32  // offset in qname of the colon, or -1
	binding  int32  // of the prefix
	bindings int32  // how many bindings there were before its own
	homed    bool   // see window
	uris     int
}

// NewTokenizer returns a tokenizer over doc, a whole document in UTF-8, with or without a byte order mark. The tokenizer
// keeps doc, which must not change while it is in use.
func NewTokenizer(doc []byte, limits Limits) *Tokenizer {
	t := new(Tokenizer)
	t.Reset(doc, limits)
	return t
}

// Reset starts over with doc. Buffers are kept; slices handed out before become invalid.
func (t *Tokenizer) Reset(doc []byte, limits Limits) {
	t.doc, t.pos, t.limits, t.err = doc[:len(doc):len(doc)], 0, limits.withDefaults(), nil
	t.kind, t.span = EOF, Span{}
	t.started, t.rooted, t.closing, t.emptyTag, t.cdata, t.section, t.pending = false, false, false, false, false, false, false
	t.text, t.target, t.buf, t.tag, t.attrs = nil, nil, t.buf[:0], t.tag[:0], t.attrs[:0]
	t.open, t.bindings, t.keys, t.uris = t.open[:0], t.bindings[:0], t.keys[:0], t.uris[:0]
	t.window.reset(nil)
	t.forget()
}

// ResetReader starts over with the document that r delivers. Memory stays bounded however long the document is: limits.Markup
// bounds a tag, a comment or a processing instruction. Errors of r are returned as they are.
func (t *Tokenizer) ResetReader(r io.Reader, limits Limits) {
	t.Reset(nil, limits)
	t.window.reset(r)
}

// Span of the current token in the document as it came.
func (t *Tokenizer) Span() Span { return Span{t.base + t.span.Start, t.base + t.span.End} }

// Depth is the number of open elements; the root's start tag and end tag are at depth 1.
func (t *Tokenizer) Depth() int { return len(t.open) }

// Name of the current StartElement or EndElement.
func (t *Tokenizer) Name() Name {
	if t.kind != StartElement && t.kind != EndElement {
		return Name{}
	}
	e := &t.open[len(t.open)-1]
	n := Name{Local: e.qname, Space: t.space(int(e.binding))}
	if e.colon >= 0 {
		n.Prefix, n.Local = e.qname[:e.colon:e.colon], e.qname[e.colon+1:]
	}
	return n
}

// QName is the name of the current StartElement or EndElement as it stands in the document.
func (t *Tokenizer) QName() []byte { return t.open[len(t.open)-1].qname }

// Local is the local part of the name of the current StartElement or EndElement.
func (t *Tokenizer) Local() []byte {
	e := &t.open[len(t.open)-1]
	return e.qname[e.colon+1:]
}

// NameBinding is what the prefix of the current StartElement or EndElement, or its lack, resolves to: an index for
// Tokenizer.Binding, or NoBinding or XMLBinding.
func (t *Tokenizer) NameBinding() int { return int(t.open[len(t.open)-1].binding) }

// Tidy says of the current StartElement that its tag is written as canonical XML would write it, but for the choice and the
// order of declarations and attributes: declarations come first, all values are Plain and quoted by '"', white space is one
// space before each, and it is no empty-element tag.
func (t *Tokenizer) Tidy() bool { return t.tidy }

// Octets are the document's octets in a part of the current token, or, with Reset, in any part of the document.
func (t *Tokenizer) Octets(s Span) []byte { return t.doc[s.Start-t.base : s.End-t.base] }

// Attrs of the current StartElement in document order, without namespace declarations. The slice is the caller's until
// the next call of Next, who may reorder it.
func (t *Tokenizer) Attrs() []Attr { return t.attrs }

// Text of the current Text, Comment or ProcInst (the data of the latter), valid until the next call of Next.
func (t *Tokenizer) Text() []byte {
	if t.pending {
		t.pending = false
		t.text = t.resolved(t.raw.Start, t.raw.End, false)
	}
	if t.kind < Text {
		return nil
	}
	return t.text
}

// Shape says how the characters of the current Text relate to the octets of the document.
type Shape uint8

const (
	Mixed     Shape = iota
	Canonical       // the document has it just as canonical XML writes it; references are &amp; &lt; &gt; &#xD;
	Plain           // the same, and there are no references
)

// Shape of the current Text.
func (t *Tokenizer) Shape() Shape { return t.shape }

// CDATA reports whether the current Text is a CDATA section.
func (t *Tokenizer) CDATA() bool { return t.cdata && t.kind == Text }

// Target of the current ProcInst.
func (t *Tokenizer) Target() []byte {
	if t.kind != ProcInst {
		return nil
	}
	return t.target
}
