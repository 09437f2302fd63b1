// Package xmltext is a tokenizer for XML 1.0 with namespaces.
package xmltext

// Limits bound what a document may hold. The zero value of a field means its default.
type Limits struct {
	Size       int // octets of the document, default 256 MiB
	Depth      int // open elements, default 256
	Attributes int // attributes and namespace declarations of one element, default 256
	NameLength int // octets of one name, default 1024
	Namespaces int // declarations in scope at once, default 512
}

// Kind is the kind of a token.
type Kind uint8

const (
	EOF Kind = iota
	StartElement
	EndElement // an empty-element tag gives StartElement, then EndElement with an empty span at its end
	Text       // character data between markup, references resolved, line ends normalised; CDATA sections give Text too
	Comment
	ProcInst
)

// Name is an expanded name. The slices are valid until the next call of Next.
type Name struct {
	Space  []byte // namespace URI, empty for none
	Prefix []byte
	Local  []byte
}

// Attr is an attribute that is not a namespace declaration.
type Attr struct {
	Name
	Value []byte // normalised (XML 1.0 section 3.3.3, CDATA)
}

// Binding is a namespace declaration: xmlns="URI" has an empty Prefix; xmlns="" has an empty URI.
type Binding struct{ Prefix, URI []byte }

// Span is a range of byte offsets [Start, End) in the document.
type Span struct{ Start, End int }

// Reason says which kind of rule a document breaks.
type Reason uint8

const (
	Malformed Reason = iota // not well-formed or not namespace-well-formed
	Encoding                // not UTF-8
	Doctype                 // a document type declaration
	Limit                   // a limit exceeded
)

// SyntaxError is why a document was refused, and where.
type SyntaxError struct {
	Reason       Reason
	Offset       int // octets from the start of the document
	Line, Column int // 1-based; Column counts octets
	Message      string
}

func (e *SyntaxError) Error() string { panic("skeleton") }

// Tokenizer reads one document at a time. Not safe for concurrent use; Reset makes it ready for the next document.
type Tokenizer struct{}

// NewTokenizer returns a tokenizer over doc, a whole document in UTF-8, with or without a byte order mark.
func NewTokenizer(doc []byte, limits Limits) *Tokenizer { panic("skeleton") }

// Reset starts over with doc.
func (t *Tokenizer) Reset(doc []byte, limits Limits) { panic("skeleton") }

// Next reads the next token. At the end of a well-formed document it returns EOF and nil.
func (t *Tokenizer) Next() (Kind, error) { panic("skeleton") }

// Span of the current token in the document as it came.
func (t *Tokenizer) Span() Span { panic("skeleton") }

// Depth is the number of open elements; the root's start tag and end tag are at depth 1.
func (t *Tokenizer) Depth() int { panic("skeleton") }

// Name of the current StartElement or EndElement.
func (t *Tokenizer) Name() Name { panic("skeleton") }

// Attrs of the current StartElement in document order, without namespace declarations.
func (t *Tokenizer) Attrs() []Attr { panic("skeleton") }

// Declared are the namespace declarations of the current StartElement in document order.
func (t *Tokenizer) Declared() []Binding { panic("skeleton") }

// InScope appends to dst the bindings in scope at the current token, without the xml prefix and without undeclared ones.
func (t *Tokenizer) InScope(dst []Binding) []Binding { panic("skeleton") }

// Lookup resolves a prefix at the current token; ok is false when it is not bound.
func (t *Tokenizer) Lookup(prefix []byte) (uri []byte, ok bool) { panic("skeleton") }

// Text of the current Text, Comment or ProcInst (the data of the latter).
func (t *Tokenizer) Text() []byte { panic("skeleton") }

// Target of the current ProcInst.
func (t *Tokenizer) Target() []byte { panic("skeleton") }

// Position turns an offset into line and column.
func Position(doc []byte, offset int) (line, column int) { panic("skeleton") }
