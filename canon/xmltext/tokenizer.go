package xmltext

import (
	"bytes"
	"unicode/utf8"
)

// Next reads the next token. At the end of a well-formed document it returns EOF and nil. After an error, a *SyntaxError,
// it returns the same error again.
func (t *Tokenizer) Next() (Kind, error) {
	if t.err == nil {
		t.err = t.read()
	}
	if t.err != nil {
		t.kind, t.text, t.target, t.attrs, t.name = EOF, nil, nil, nil, Name{}
		return EOF, t.err
	}
	return t.kind, nil
}

func (t *Tokenizer) read() error {
	if t.emptyTag {
		t.emptyTag, t.attrs = false, t.attrs[:0]
		t.end(Span{t.pos, t.pos})
		return nil
	}
	if t.closing {
		t.closing = false
		t.pop()
	}
	t.buf, t.attrs, t.text, t.target, t.name, t.cdata = t.buf[:0], t.attrs[:0], nil, nil, Name{}, false
	if !t.started {
		t.started = true
		if err := t.prologue(); err != nil {
			return err
		}
	}
	doc := t.doc
	if len(t.open) == 0 {
		t.pos = t.skipSpace(t.pos)
		switch {
		case t.pos == len(doc) && t.rooted:
			t.kind, t.span = EOF, Span{t.pos, t.pos}
			return nil
		case t.pos == len(doc):
			return t.malformed(t.pos, "no root element")
		case doc[t.pos] != '<':
			return t.outside()
		}
	}
	switch {
	case t.pos == len(doc):
		e := t.open[len(t.open)-1]
		return t.malformed(t.pos, "document ends inside the element %.64q", doc[e.tag.Start:e.tag.End])
	case doc[t.pos] != '<':
		return t.characters()
	case t.pos+1 == len(doc):
		return t.malformed(len(doc), "document ends inside a tag")
	}
	switch doc[t.pos+1] {
	case '/':
		return t.endTag()
	case '?':
		return t.procInst()
	case '!':
		return t.declaration()
	}
	return t.startTag()
}

// outside says what is wrong with text outside the root.
func (t *Tokenizer) outside() error {
	if c := t.doc[t.pos]; c >= utf8.RuneSelf || c < ' ' {
		if _, _, err := t.char(t.pos); err != nil {
			return err
		}
	}
	return t.malformed(t.pos, "text outside the root element")
}

func (t *Tokenizer) skipSpace(pos int) int {
	for pos < len(t.doc) && isSpace(t.doc[pos]) {
		pos++
	}
	return pos
}

// characters reads character data up to the next '<'.
func (t *Tokenizer) characters() error {
	doc, pos := t.doc, t.pos
	done := pos // the text up to here is in buf, if it is changed at all
	changed := false
	for pos < len(doc) && doc[pos] != '<' {
		c := doc[pos]
		if class[c]&stopText == 0 {
			pos++
			continue
		}
		switch c {
		case '&':
			t.buf, changed = append(t.buf, doc[done:pos]...), true
			var err error
			if pos, err = t.reference(pos); err != nil {
				return err
			}
			done = pos
		case '\r':
			t.buf, changed = append(t.buf, doc[done:pos]...), true
			pos, done = t.lineEnd(pos)
		case ']':
			if bytes.HasPrefix(doc[pos:], []byte("]]>")) {
				return t.malformed(pos, "]]> in character data")
			}
			pos++
		default:
			_, size, err := t.char(pos)
			if err != nil {
				return err
			}
			pos += size
		}
	}
	t.text = doc[done:pos:pos]
	if changed {
		t.buf = append(t.buf, doc[done:pos]...)
		t.text = t.buf
	}
	t.kind, t.span, t.pos = Text, Span{t.pos, pos}, pos
	return nil
}

// lineEnd turns the CR at pos, with or without LF, into LF (XML 1.0 section 2.11).
func (t *Tokenizer) lineEnd(pos int) (next, done int) {
	t.buf = append(t.buf, '\n')
	if pos++; pos < len(t.doc) && t.doc[pos] == '\n' {
		pos++
	}
	return pos, pos
}

// literal checks the characters of doc[start:end], which holds no references, and returns them with line ends normalised.
func (t *Tokenizer) literal(start, end int) ([]byte, error) {
	doc, done, changed := t.doc, start, false
	for pos := start; pos < end; {
		switch c := doc[pos]; {
		case c == '\r':
			t.buf, changed = append(t.buf, doc[done:pos]...), true
			pos, done = t.lineEnd(pos)
		case c >= utf8.RuneSelf || c < ' ' && c != '\t' && c != '\n':
			_, size, err := t.char(pos)
			if err != nil {
				return nil, err
			}
			pos += size
		default:
			pos++
		}
	}
	if !changed {
		return doc[start:end:end], nil
	}
	t.buf = append(t.buf, doc[done:end]...)
	return t.buf, nil
}

// declaration reads what starts with "<!": a comment or a CDATA section.
func (t *Tokenizer) declaration() error {
	rest := t.doc[t.pos:]
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		return t.comment()
	case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
		return t.fail(Doctype, t.pos, "document type declarations are not accepted")
	case !bytes.HasPrefix(rest, []byte("<![CDATA[")):
		return t.malformed(t.pos, "unknown markup after <!")
	case len(t.open) == 0:
		return t.malformed(t.pos, "CDATA section outside the root element")
	}
	start := t.pos + len("<![CDATA[")
	length := bytes.Index(t.doc[start:], []byte("]]>"))
	if length < 0 {
		return t.malformed(len(t.doc), "document ends inside a CDATA section")
	}
	text, err := t.literal(start, start+length)
	if err != nil {
		return err
	}
	t.text, t.cdata = text, true
	t.token(Text, start+length+len("]]>"))
	return nil
}

func (t *Tokenizer) comment() error {
	start := t.pos + len("<!--")
	length := bytes.Index(t.doc[start:], []byte("--"))
	if length < 0 {
		return t.malformed(len(t.doc), "document ends inside a comment")
	}
	end := start + length + len("--")
	if end == len(t.doc) || t.doc[end] != '>' {
		return t.malformed(start+length, "-- inside a comment")
	}
	text, err := t.literal(start, start+length)
	if err != nil {
		return err
	}
	t.text = text
	t.token(Comment, end+1)
	return nil
}

func (t *Tokenizer) procInst() error {
	start := t.pos + len("<?")
	end, err := t.ncname(start, "a processing instruction")
	if err != nil {
		return err
	}
	target := t.doc[start:end:end]
	switch {
	case bytes.EqualFold(target, []byte("xml")):
		return t.malformed(t.pos, "processing instruction named %q, or an XML declaration not at the start", target)
	case end < len(t.doc) && t.doc[end] == ':':
		return t.malformed(end, "colon in the target of a processing instruction")
	}
	length := bytes.Index(t.doc[end:], []byte("?>"))
	if length < 0 {
		return t.malformed(len(t.doc), "document ends inside a processing instruction")
	}
	data := t.skipSpace(end)
	if data == end && length > 0 {
		return t.malformed(end, "no white space after the target of a processing instruction")
	}
	text, err := t.literal(data, end+length)
	if err != nil {
		return err
	}
	t.target, t.text = target, text
	t.token(ProcInst, end+length+len("?>"))
	return nil
}

// token makes doc[pos:end] the current token, of the given kind.
func (t *Tokenizer) token(kind Kind, end int) {
	t.kind, t.span, t.pos = kind, Span{t.pos, end}, end
}
