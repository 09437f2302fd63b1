package xmltext

import "bytes"

const (
	xmlURI   = "http://www.w3.org/XML/1998/namespace"
	xmlnsURI = "http://www.w3.org/2000/xmlns/"
)

var xmlSpace = []byte(xmlURI)

// Declared are the namespace declarations of the current StartElement or EndElement in document order, without that of the
// prefix xml, which says nothing new.
func (t *Tokenizer) Declared() []Binding {
	if t.kind != StartElement && t.kind != EndElement {
		return nil
	}
	return t.bindings[t.open[len(t.open)-1].bindings:]
}

// InScope appends to dst the bindings in scope at the current token, without the xml prefix and without undeclared ones,
// innermost first.
func (t *Tokenizer) InScope(dst []Binding) []Binding {
	for i := len(t.bindings) - 1; i >= 0; i-- {
		b := t.bindings[i]
		if len(b.URI) > 0 && t.lookup(b.Prefix) == i {
			dst = append(dst, b)
		}
	}
	return dst
}

// Lookup resolves a prefix at the current token; ok is false when it is not bound. The empty prefix is the default
// namespace.
func (t *Tokenizer) Lookup(prefix []byte) (uri []byte, ok bool) {
	if i := t.lookup(prefix); i >= 0 {
		return t.bindings[i].URI, len(t.bindings[i].URI) > 0
	}
	if string(prefix) == "xml" {
		return xmlSpace, true
	}
	return nil, false
}

// lookup returns the index of the innermost binding of prefix, -1 for none.
func (t *Tokenizer) lookup(prefix []byte) int {
	for i := len(t.bindings) - 1; i >= 0; i-- {
		if bytes.Equal(t.bindings[i].Prefix, prefix) {
			return i
		}
	}
	return -1
}

// declare adds a namespace declaration of the element that is being read.
func (t *Tokenizer) declare(a *attribute, first int) error {
	prefix := t.doc[a.local():a.nameEnd]
	if a.colon < 0 {
		prefix = nil
	}
	uri := t.value(a)
	switch {
	case string(prefix) == "xmlns":
		return t.malformed(a.name, "prefix xmlns must not be declared")
	case string(prefix) == "xml":
		if string(uri) != xmlURI {
			return t.malformed(a.name, "prefix xml bound to another namespace than its own")
		}
		return t.declareXML(a)
	case string(uri) == xmlURI:
		return t.malformed(a.name, "namespace of the prefix xml bound to another prefix")
	case string(uri) == xmlnsURI:
		return t.malformed(a.name, "namespace of the prefix xmlns bound to a prefix")
	case len(uri) == 0 && a.colon >= 0:
		return t.malformed(a.name, "prefix %.64q declared with an empty namespace name", prefix)
	case len(uri) > t.limits.NamespaceLength:
		return t.fail(Limit, a.name, "namespace name longer than %d octets", t.limits.NamespaceLength)
	case len(t.bindings) >= t.limits.Namespaces:
		return t.fail(Limit, a.name, "more than %d namespace declarations in scope", t.limits.Namespaces)
	}
	for _, b := range t.bindings[first:] {
		if bytes.Equal(b.Prefix, prefix) {
			return t.malformed(a.name, "namespace prefix %.64q declared twice", prefix)
		}
	}
	if a.changed { // the value lies in buf, which the next token overwrites
		start := len(t.uris)
		t.uris = append(t.uris, uri...)
		uri = t.uris[start:len(t.uris):len(t.uris)]
	}
	t.bindings = append(t.bindings, Binding{Prefix: prefix, URI: uri})
	return nil
}

// declareXML checks that the prefix xml is declared once in a tag: it has no binding that would show it.
func (t *Tokenizer) declareXML(a *attribute) error {
	for i := range t.tag {
		b := &t.tag[i]
		if b != a && b.name < a.name && string(t.doc[b.name:b.nameEnd]) == "xmlns:xml" {
			return t.malformed(a.name, "namespace prefix xml declared twice")
		}
	}
	return nil
}

// resolve fills the namespace of name, whose prefix stands at offset.
func (t *Tokenizer) resolve(name *Name, offset int, element bool) error {
	if len(name.Prefix) == 0 {
		if element { // the default namespace does not apply to attributes
			name.Space, _ = t.Lookup(nil)
		}
		return nil
	}
	if string(name.Prefix) == "xmlns" {
		return t.malformed(offset, "element name with the prefix xmlns")
	}
	space, ok := t.Lookup(name.Prefix)
	if !ok {
		return t.malformed(offset, "namespace prefix %.64q is not declared", name.Prefix)
	}
	name.Space = space
	return nil
}
