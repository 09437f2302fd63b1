// Package xmltext is a tokenizer for XML 1.0 (fifth edition) with Namespaces in XML 1.0 (third edition).
//
// It reads whole documents held in memory, in UTF-8 and without a document type declaration, and refuses everything else
// by name. It checks well-formedness and namespace well-formedness in full, resolves references, normalises line ends and
// attribute values, and tells for every token where in the document it stands. Its time is linear in the length of the
// document, its memory in the depth; a Tokenizer that is reused allocates nothing in its steady state.
package xmltext

// Kind is the kind of a token.
type Kind uint8

// EndElement comes for every StartElement: an empty-element tag gives StartElement, then EndElement with an empty span at
// its end. Text is a maximal run of character data between markup, references resolved, line ends normalised; a CDATA
// section is a Text token of its own, never joined with the text beside it, and may be empty (see Tokenizer.CDATA).
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
// scope.
type Name struct {
	Space  []byte // namespace URI, empty for none
	Prefix []byte
	Local  []byte
}

// Attr is an attribute that is not a namespace declaration.
type Attr struct {
	Name
	Value []byte // normalised (XML 1.0 section 3.3.3, CDATA); valid until the next call of Next
}

// Binding is a namespace declaration: xmlns="URI" has an empty Prefix; xmlns="" has an empty URI. The slices are valid as
// long as the declaration is in scope.
type Binding struct{ Prefix, URI []byte }

// Span is a range of byte offsets [Start, End) in the document.
type Span struct{ Start, End int }

// Tokenizer reads one document at a time. Not safe for concurrent use; Reset makes it ready for the next document. The
// zero value is at the end of an empty document, which is an error: call Reset first.
type Tokenizer struct {
	doc    []byte
	pos    int // of the first octet not yet read
	limits Limits
	err    error // sticky

	kind     Kind
	span     Span
	started  bool // the byte order mark and the XML declaration are read
	rooted   bool // the root's start tag is read
	closing  bool // the current token is an EndElement: its element leaves the stack at the next call of Next
	emptyTag bool // the current token is an empty-element tag: its EndElement comes next
	cdata    bool
	name     Name
	text     []byte // part of doc, or of buf where it had to be changed
	target   []byte
	buf      []byte // changed values of the current token
	tag      []attribute
	attrs    []Attr
	order    []int32 // attrs sorted by expanded name, to find equal ones
	open     []element
	bindings []Binding // declarations of the open elements, one after the other
	uris     []byte    // namespace names in bindings that differ from the document's text
}

// element is an open element.
type element struct {
	tag      Span // its qualified name in the document
	name     Name
	bindings int // how many bindings there were before its own
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
	*t = Tokenizer{
		doc: doc, limits: limits.withDefaults(),
		buf: t.buf[:0], tag: t.tag[:0], attrs: t.attrs[:0], order: t.order[:0],
		open: t.open[:0], bindings: t.bindings[:0], uris: t.uris[:0],
	}
}

// Span of the current token in the document as it came.
func (t *Tokenizer) Span() Span { return t.span }

// Depth is the number of open elements; the root's start tag and end tag are at depth 1.
func (t *Tokenizer) Depth() int { return len(t.open) }

// Name of the current StartElement or EndElement.
func (t *Tokenizer) Name() Name { return t.name }

// Attrs of the current StartElement in document order, without namespace declarations. The slice is the caller's until
// the next call of Next, who may reorder it.
func (t *Tokenizer) Attrs() []Attr { return t.attrs }

// Text of the current Text, Comment or ProcInst (the data of the latter), valid until the next call of Next.
func (t *Tokenizer) Text() []byte { return t.text }

// CDATA reports whether the current Text is a CDATA section.
func (t *Tokenizer) CDATA() bool { return t.cdata }

// Target of the current ProcInst.
func (t *Tokenizer) Target() []byte { return t.target }
