package xmltext

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

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

// Bindings is the number of declarations of the open elements; their indices count from the outermost element inwards.
func (t *Tokenizer) Bindings() int { return len(t.bindings) }

// FirstDeclared is the index of the first declaration of the current StartElement or EndElement, if it has any.
func (t *Tokenizer) FirstDeclared() int { return int(t.open[len(t.open)-1].bindings) }

// Binding is the declaration with index i. It is valid until the next call of Next.
func (t *Tokenizer) Binding(i int) *Binding { return &t.bindings[i] }

// Outer is the index of the declaration of the same prefix that the one with index i overrides, NoBinding for none.
func (t *Tokenizer) Outer(i int) int { return t.find(t.keys[i].value, t.bindings[i].Prefix, i) }

// Overridden reports whether an inner element declares the prefix of the declaration with index i anew.
func (t *Tokenizer) Overridden(i int) bool { return t.lookup(t.bindings[i].Prefix) != i }

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

// key is what a search for a prefix compares first.
type key struct {
	value uint64 // the octets of a prefix of up to seven, else a hash with the highest octet not 0
	homed bool   // see window
}

var keySeed = maphash.MakeSeed()

func keyOf(prefix []byte) (k uint64) {
	if len(prefix) >= 8 { // of hundreds that begin alike each would have to be compared
		return maphash.Bytes(keySeed, prefix) | 1<<63
	}
	for i, c := range prefix {
		k |= uint64(c) << (8 * i)
	}
	return k
}

// keyAt is keyOf for the prefix doc[start:end].
func (t *Tokenizer) keyAt(start, end int) uint64 {
	if start+8 > len(t.doc) || end-start >= 8 {
		return keyOf(t.doc[start:end])
	}
	return binary.LittleEndian.Uint64(t.doc[start:]) & (1<<(8*(end-start)) - 1)
}

// lookup returns the index of the innermost binding of prefix, NoBinding for none.
func (t *Tokenizer) lookup(prefix []byte) int { return t.find(keyOf(prefix), prefix, len(t.bindings)) }

// find returns the index of the last of the first n bindings that is of prefix, which has the key k.
func (t *Tokenizer) find(k uint64, prefix []byte, n int) int {
	keys := t.keys[:n]
	for i := len(keys) - 1; i >= 0; i-- {
		if keys[i].value == k && (len(prefix) < 8 || bytes.Equal(t.bindings[i].Prefix, prefix)) {
			return i // no name holds U+0000, so that a shorter prefix is its key
		}
	}
	return NoBinding
}

// space is the namespace name of a binding's index.
func (t *Tokenizer) space(binding int) []byte {
	switch {
	case binding >= 0:
		return t.bindings[binding].URI
	case binding == XMLBinding:
		return xmlSpace
	}
	return nil
}

// declare adds a namespace declaration of the element that is being read.
func (t *Tokenizer) declare(a *attribute, first int) error {
	prefix := t.doc[a.local():a.nameEnd:a.nameEnd]
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
	k := keyOf(prefix)
	for i := first; i < len(t.bindings); i++ {
		if t.keys[i].value == k && bytes.Equal(t.bindings[i].Prefix, prefix) {
			return t.malformed(a.name, "namespace prefix %.64q declared twice", prefix)
		}
	}
	if a.shape == changed { // the value lies in buf, which the next token overwrites
		start := len(t.uris)
		t.uris = append(t.uris, uri...)
		uri = t.uris[start:len(t.uris):len(t.uris)]
	}
	t.bindings = append(t.bindings, Binding{Prefix: prefix, URI: uri, Source: t.source(a), Plain: a.shape == plain})
	t.keys = append(t.keys, key{value: k})
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

// resolve returns the index of the binding of the prefix doc[start:end].
func (t *Tokenizer) resolve(start, end int) (int, error) {
	prefix := t.doc[start:end]
	if i := t.find(t.keyAt(start, end), prefix, len(t.keys)); i >= 0 {
		return i, nil
	}
	switch string(prefix) {
	case "xml":
		return XMLBinding, nil
	case "xmlns":
		return 0, t.malformed(start, "element name with the prefix xmlns")
	}
	return 0, t.malformed(start, "namespace prefix %.64q is not declared", prefix)
}
