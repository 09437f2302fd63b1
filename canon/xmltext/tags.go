package xmltext

import (
	"bytes"
	"cmp"
	"slices"
)

// attribute is an attribute or namespace declaration as it stands in the tag.
type attribute struct {
	name, colon, nameEnd int // offsets in the document; colon is -1 without a prefix
	value, valueEnd      int // offsets in the document, or in buf if changed
	changed              bool
}

func (a *attribute) local() int {
	if a.colon < 0 {
		return a.name
	}
	return a.colon + 1
}

// value of a; it must not be asked for before all attributes of the tag are read, as buf may move until then.
func (t *Tokenizer) value(a *attribute) []byte {
	if a.changed {
		return t.buf[a.value:a.valueEnd:a.valueEnd]
	}
	return t.doc[a.value:a.valueEnd:a.valueEnd]
}

func (t *Tokenizer) nameAt(start, colon, end int) Name {
	if colon < 0 {
		return Name{Local: t.doc[start:end:end]}
	}
	return Name{Prefix: t.doc[start:colon:colon], Local: t.doc[colon+1 : end : end]}
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
	if err := t.attributes(nameEnd); err != nil {
		return err
	}
	e := element{
		tag: Span{start + 1, nameEnd}, name: t.nameAt(start+1, colon, nameEnd),
		bindings: len(t.bindings), uris: len(t.uris),
	}
	for i := range t.tag {
		if a := &t.tag[i]; t.isDeclaration(a) {
			if err := t.declare(a, e.bindings); err != nil {
				return err
			}
		}
	}
	if err := t.resolve(&e.name, start+1, true); err != nil {
		return err
	}
	t.attrs = t.attrs[:0]
	for i := range t.tag {
		a := &t.tag[i]
		if t.isDeclaration(a) {
			continue
		}
		attr := Attr{Name: t.nameAt(a.name, a.colon, a.nameEnd), Value: t.value(a)}
		if err := t.resolve(&attr.Name, a.name, false); err != nil {
			return err
		}
		t.attrs = append(t.attrs, attr)
	}
	if err := t.unique(start); err != nil {
		return err
	}
	t.open = append(t.open, e)
	t.rooted = true
	t.name = e.name
	t.kind, t.span = StartElement, Span{start, t.pos}
	return nil
}

// attributes reads from the end of the element's name up to the end of the tag into t.tag.
func (t *Tokenizer) attributes(pos int) error {
	doc := t.doc
	t.tag = t.tag[:0]
	for {
		spaced := pos < len(doc) && isSpace(doc[pos])
		pos = t.skipSpace(pos)
		switch {
		case pos == len(doc):
			return t.malformed(pos, "document ends inside a start tag")
		case doc[pos] == '>':
			t.pos = pos + 1
			return nil
		case doc[pos] == '/':
			if pos+1 == len(doc) || doc[pos+1] != '>' {
				return t.malformed(pos, "/ without > in a start tag")
			}
			t.pos, t.emptyTag = pos+2, true
			return nil
		case !spaced:
			return t.malformed(pos, "no white space before an attribute")
		case len(t.tag) >= t.limits.Attributes:
			return t.fail(Limit, pos, "more than %d attributes and namespace declarations", t.limits.Attributes)
		}
		a := attribute{name: pos}
		var err error
		if a.nameEnd, a.colon, err = t.qname(pos, "an attribute"); err != nil {
			return err
		}
		pos = t.skipSpace(a.nameEnd)
		if pos == len(doc) || doc[pos] != '=' {
			return t.malformed(pos, "no = after the name of an attribute")
		}
		pos = t.skipSpace(pos + 1)
		if pos == len(doc) || doc[pos] != '"' && doc[pos] != '\'' {
			return t.malformed(pos, "value of an attribute without quotes")
		}
		if pos, err = t.attributeValue(pos, &a); err != nil {
			return err
		}
		t.tag = append(t.tag, a)
	}
}

// attributeValue reads the quoted value at pos and normalises it (XML 1.0 section 3.3.3 for CDATA, after section 2.11).
func (t *Tokenizer) attributeValue(pos int, a *attribute) (end int, err error) {
	doc, quote := t.doc, t.doc[pos]
	pos++
	done := pos // the value up to here is in buf, if it is changed at all
	a.value = pos
	change := func(upTo int) {
		if !a.changed {
			a.changed, a.value = true, len(t.buf)
		}
		t.buf = append(t.buf, doc[done:upTo]...)
	}
	for pos < len(doc) {
		c := doc[pos]
		if class[c]&stopValue == 0 {
			pos++
			continue
		}
		switch {
		case c == quote:
			a.valueEnd = pos
			if a.changed {
				change(pos)
				a.valueEnd = len(t.buf)
			}
			return pos + 1, nil
		case c == '"' || c == '\'':
			pos++
		case c == '&':
			change(pos)
			if pos, err = t.reference(pos); err != nil {
				return 0, err
			}
			done = pos
		case c == '\t' || c == '\n' || c == '\r':
			change(pos)
			t.buf = append(t.buf, ' ')
			if pos++; c == '\r' && pos < len(doc) && doc[pos] == '\n' {
				pos++
			}
			done = pos
		case c == '<':
			return 0, t.malformed(pos, "< in the value of an attribute")
		default:
			_, size, err := t.char(pos)
			if err != nil {
				return 0, err
			}
			pos += size
		}
	}
	return 0, t.malformed(pos, "document ends inside the value of an attribute")
}

// isDeclaration reports whether a is xmlns or xmlns:something.
func (t *Tokenizer) isDeclaration(a *attribute) bool {
	end := a.nameEnd
	if a.colon >= 0 {
		end = a.colon
	}
	return string(t.doc[a.name:end]) == "xmlns"
}

// unique checks that no two attributes have one expanded name (Namespaces in XML 1.0 section 6.3).
func (t *Tokenizer) unique(tag int) error {
	const few = 8 // below it comparing all pairs is quicker than sorting
	if n := len(t.attrs); n <= few {
		for i := 1; i < n; i++ {
			for j := range i {
				if compareNames(&t.attrs[i].Name, &t.attrs[j].Name) == 0 {
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
	e := &t.open[len(t.open)-1]
	tag := doc[e.tag.Start:e.tag.End]
	pos := start + 2
	if !bytes.HasPrefix(doc[pos:], tag) {
		return t.malformed(start, "end tag of another element where </%.64s> is due", tag)
	}
	pos = t.skipSpace(pos + len(tag))
	switch {
	case pos == len(doc):
		return t.malformed(pos, "document ends inside an end tag")
	case doc[pos] != '>':
		return t.malformed(start, "end tag of another element where </%.64s> is due", tag)
	}
	t.pos = pos + 1
	t.end(Span{start, t.pos})
	return nil
}

// end makes the EndElement of the innermost open element the current token.
func (t *Tokenizer) end(span Span) {
	t.name = t.open[len(t.open)-1].name
	t.kind, t.span, t.closing = EndElement, span, true
}

// pop takes the innermost element off the stack.
func (t *Tokenizer) pop() {
	last := len(t.open) - 1
	t.bindings, t.uris = t.bindings[:t.open[last].bindings], t.uris[:t.open[last].uris]
	t.open = t.open[:last]
}
