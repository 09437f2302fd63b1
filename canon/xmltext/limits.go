package xmltext

// Limits bound what a document may hold. The zero value of a field means its default.
type Limits struct {
	Size            int // octets of the document, default 256 MiB
	Depth           int // open elements, default 256
	Attributes      int // attributes and namespace declarations of one element, default 256
	NameLength      int // octets of one qualified name, default 1024
	Namespaces      int // declarations in scope at once, overridden ones included, default 512
	NamespaceLength int // octets of one namespace name, default 2048
	Markup          int // octets of one tag, comment or processing instruction read from an io.Reader, default 4 MiB
}

// Admit reports whether a document may have size octets.
func (l Limits) Admit(size int) bool { return size <= l.withDefaults().Size }

func (l Limits) withDefaults() Limits {
	return Limits{
		Size:            orDefault(l.Size, 256<<20),
		Depth:           orDefault(l.Depth, 256),
		Attributes:      orDefault(l.Attributes, 256),
		NameLength:      orDefault(l.NameLength, 1024),
		Namespaces:      orDefault(l.Namespaces, 512),
		NamespaceLength: orDefault(l.NamespaceLength, 2048),
		Markup:          orDefault(l.Markup, 4<<20),
	}
}

func orDefault(n, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return n
}
