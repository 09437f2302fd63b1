package xmltext

import (
	"bytes"
	"cmp"
	"math/bits"
	"slices"
)

// attribute is an attribute or namespace declaration as it stands in the tag.
type attribute struct {
	name, colon, nameEnd int // offsets in doc; colon is -1 without a prefix
	value, valueEnd      int // offsets in doc
	shape                valueShape
	declares             bool // is xmlns or xmlns:something
	direct               bool // name, '=' and '"' stand side by side
}

// valueShape says how an attribute value relates to the octets of the document.
type valueShape uint8

const (
	plain   valueShape = iota // they are the same, see Attr.Plain
	quoting                   // they are the same, with a '"'
	changed                   // the value has references or is normalised
)

func (a *attribute) local() int {
	if a.colon < 0 {
		return a.name
	}
	return a.colon + 1
}

// value of a, in doc or appended to buf.
func (t *Tokenizer) value(a *attribute) []byte {
	if a.shape == changed {
		return t.resolved(a.value, a.valueEnd, true)
	}
	return t.doc[a.value:a.valueEnd:a.valueEnd]
}

// extend makes a slice one longer and returns its last element, which holds what it happened to hold: filling it in place
// is quicker than copying a new one.
func extend[T any](s []T) ([]T, *T) {
	if len(s) == cap(s) {
		s = slices.Grow(s, 1)
	}
	s = s[:len(s)+1]
	return s, &s[len(s)-1]
}

// source of a, if canonical XML would write it so.
func (t *Tokenizer) source(a *attribute) []byte {
	if a.direct && a.shape == plain {
		return t.doc[a.name : a.valueEnd+1 : a.valueEnd+1]
	}
	return nil
}

// startTag reads the start tag or empty-element tag at pos.
func (t *Tokenizer) startTag() error {
	start := t.pos
	if len(t.open) == 0 && t.rooted {
		return t.malformed(start, "second root element")
	}
	if len(t.open) >= t.limits.Depth {
		return t.fail(Limit, start, "elements nested deeper than %d", t.limits.Depth)
	}
	nameEnd, colon, err := t.qname(start+1, "an element")
	if err != nil {
		return err
	}
	bindings, uris := len(t.bindings), len(t.uris)
	if nameEnd < len(t.doc) && t.doc[nameEnd] == '>' {
		t.tag, t.tidy, t.pos = t.tag[:0], true, nameEnd+1
	} else if err := t.attributes(nameEnd, bindings); err != nil {
		return err
	}
	binding := NoBinding
	if colon >= 0 {
		if binding, err = t.resolve(start+1, colon); err != nil {
			return err
		}
	} else if len(t.bindings) > 0 {
		binding = t.lookup(nil)
	}
	if len(t.tag) > 0 {
		if err := t.resolveAttributes(start); err != nil {
			return err
		}
	}
	var e *element
	t.open, e = extend(t.open)
	e.qname, e.colon, e.homed = t.doc[start+1:nameEnd:nameEnd], -1, false
	if colon >= 0 {
		e.colon = int32(colon - start - 1)
	}
	e.binding, e.bindings, e.uris = int32(binding), int32(bindings), uris
	t.rooted = true
	t.kind, t.span = StartElement, Span{start, t.pos}
	return nil
}

// resolveAttributes fills attrs from tag, the attributes of the tag that starts at start.
func (t *Tokenizer) resolveAttributes(start int) error {
	doc := t.doc
	for i := range t.tag {
		a := &t.tag[i]
		if a.declares {
			continue
		}
		var attr *Attr
		t.attrs, attr = extend(t.attrs)
		attr.Value, attr.Source, attr.Binding, attr.Plain = t.value(a), t.source(a), NoBinding, a.shape == plain
		attr.Prefix, attr.Space = nil, nil
		attr.Local = doc[a.local():a.nameEnd:a.nameEnd]
		if a.colon >= 0 { // the default namespace does not apply to attributes
			var err error
			attr.Prefix = doc[a.name:a.colon:a.colon]
			if attr.Binding, err = t.resolve(a.name, a.colon); err != nil {
				return err
			}
			attr.Space = t.space(attr.Binding)
		}
	}
	if len(t.attrs) < 2 {
		return nil
	}
	return t.unique(start)
}

// attributes reads from the end of the element's name up to the end of the tag into t.tag, and declares the namespaces,
// of which the first will have the index given.
func (t *Tokenizer) attributes(pos, first int) error {
	doc := t.doc
	t.tag = t.tag[:0]
	declarations, tidy := 0, true
	for {
		gap := pos
		pos = t.skipSpace(pos)
		if pos == len(doc) {
			return t.malformed(pos, "document ends inside a start tag")
		}
		if c := doc[pos]; c == '>' {
			t.pos, t.tidy = pos+1, tidy && gap == pos
			break
		} else if c == '/' {
			if pos+1 == len(doc) || doc[pos+1] != '>' {
				return t.malformed(pos, "/ without > in a start tag")
			}
			t.pos, t.tidy, t.emptyTag = pos+2, false, true
			break
		}
		switch {
		case gap == pos:
			return t.malformed(pos, "no white space before an attribute")
		case len(t.tag) >= t.limits.Attributes:
			return t.fail(Limit, pos, "more than %d attributes and namespace declarations", t.limits.Attributes)
		}
		var a *attribute
		t.tag, a = extend(t.tag)
		a.name, a.shape, a.direct = pos, plain, false
		var err error
		if a.nameEnd, a.colon, err = t.qname(pos, "an attribute"); err != nil {
			return err
		}
		end := a.nameEnd
		if a.colon >= 0 {
			end = a.colon
		}
		if a.declares = string(doc[pos:end]) == "xmlns"; a.declares {
			if declarations++; declarations < len(t.tag) {
				tidy = false
			}
		}
		tidy = tidy && pos == gap+1 && doc[gap] == ' '
		pos = a.nameEnd
		if pos+1 < len(doc) && doc[pos] == '=' && doc[pos+1] == '"' {
			a.direct = true
			pos++
		} else if pos, err = t.equals(pos); err != nil {
			return err
		} else {
			tidy = false
		}
		if pos, err = t.attributeValue(pos, a); err != nil {
			return err
		}
		tidy = tidy && a.shape == plain
	}
	if declarations > 0 {
		for i := range t.tag {
			if a := &t.tag[i]; a.declares {
				if err := t.declare(a, first); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// equals reads the equals sign at pos with white space about it, and returns where the quotes of the value start.
func (t *Tokenizer) equals(pos int) (int, error) {
	doc := t.doc
	if pos = t.skipSpace(pos); pos == len(doc) || doc[pos] != '=' {
		return 0, t.malformed(pos, "no = after the name of an attribute")
	}
	pos = t.skipSpace(pos + 1)
	if pos == len(doc) || doc[pos] != '"' && doc[pos] != '\'' {
		return 0, t.malformed(pos, "value of an attribute without quotes")
	}
	return pos, nil
}

// attributeValue reads the quoted value at pos; it is normalised when it is asked for.
func (t *Tokenizer) attributeValue(pos int, a *attribute) (end int, err error) {
	doc, quote := t.doc, t.doc[pos]
	pos++
	a.value = pos
	for {
		if x := t.index.value.from(pos - t.block); x != 0 {
			pos += bits.TrailingZeros64(x)
		} else {
			pos = t.far(&t.index.value, pos)
		}
		if pos == len(doc) {
			return 0, t.malformed(pos, "document ends inside the value of an attribute")
		}
		switch c := doc[pos]; c {
		case quote:
			a.valueEnd = pos
			return pos + 1, nil
		case '"':
			a.shape = max(a.shape, quoting)
			pos++
		case '\'', '>', ']':
			pos++
		case '&':
			a.shape = changed
			if _, pos, err = t.reference(pos); err != nil {
				return 0, err
			}
		case '\t', '\n', '\r':
			a.shape = changed
			pos++
		case '<':
			return 0, t.malformed(pos, "< in the value of an attribute")
		default:
			_, size, err := t.char(pos)
			if err != nil {
				return 0, err
			}
			pos += size
		}
	}
}

// unique checks that no two attributes have one expanded name (Namespaces in XML 1.0 section 6.3).
func (t *Tokenizer) unique(tag int) error {
	const few = 8 // below it comparing all pairs is quicker than sorting
	if n := len(t.attrs); n <= few {
		for i := 1; i < n; i++ {
			for j := range i {
				a, b := &t.attrs[i], &t.attrs[j]
				if len(a.Local) == len(b.Local) && compareNames(&a.Name, &b.Name) == 0 {
					return t.malformed(tag, "attribute %.64q twice", t.attrs[i].Local)
				}
			}
		}
		return nil
	}
	t.order = t.order[:0]
	for i := range t.attrs {
		t.order = append(t.order, int32(i))
	}
	slices.SortFunc(t.order, func(i, j int32) int { return compareNames(&t.attrs[i].Name, &t.attrs[j].Name) })
	for i := 1; i < len(t.order); i++ {
		a, b := &t.attrs[t.order[i-1]], &t.attrs[t.order[i]]
		if compareNames(&a.Name, &b.Name) == 0 {
			return t.malformed(tag, "attribute %.64q twice", a.Local)
		}
	}
	return nil
}

// compareNames orders expanded names so that unequal ones are told apart soon.
func compareNames(a, b *Name) int {
	return cmp.Or(
		cmp.Compare(len(a.Local), len(b.Local)), bytes.Compare(a.Local, b.Local),
		cmp.Compare(len(a.Space), len(b.Space)), bytes.Compare(a.Space, b.Space),
	)
}

// endTag reads the end tag at pos.
func (t *Tokenizer) endTag() error {
	start, doc := t.pos, t.doc
	if len(t.open) == 0 {
		return t.malformed(start, "end tag without an open element")
	}
	tag := t.open[len(t.open)-1].qname
	pos := start + len("</")
	if !bytes.HasPrefix(doc[pos:], tag) {
		return t.malformed(start, "end tag of another element where </%.64s> is due", tag)
	}
	if pos += len(tag); pos == len(doc) || doc[pos] != '>' {
		pos = t.skipSpace(pos)
		switch {
		case pos == len(doc):
			return t.malformed(pos, "document ends inside an end tag")
		case doc[pos] != '>':
			return t.malformed(start, "end tag of another element where </%.64s> is due", tag)
		}
	}
	t.pos = pos + 1
	t.endElement(Span{start, t.pos})
	return nil
}

// endElement makes the EndElement of the innermost open element the current token.
func (t *Tokenizer) endElement(span Span) {
	t.kind, t.span, t.closing = EndElement, span, true
}

// pop takes the innermost element off the stack.
func (t *Tokenizer) pop() {
	last := &t.open[len(t.open)-1]
	t.bindings, t.keys, t.uris = t.bindings[:last.bindings], t.keys[:last.bindings], t.uris[:last.uris]
	t.open = t.open[:len(t.open)-1]
}
