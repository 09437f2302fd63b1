package xmltext

import (
	"bytes"
	"math/bits"
	"unicode/utf8"
)

// Next reads the next token. At the end of a well-formed document it returns EOF and nil. After an error, a *SyntaxError
// or, with ResetReader, one of the reader, it returns the same error again.
func (t *Tokenizer) Next() (Kind, error) {
	if t.err != nil {
		return EOF, t.err
	}
	t.attrs, t.pending = t.attrs[:0], false
	if t.emptyTag {
		t.emptyTag = false
		t.endElement(Span{t.pos, t.pos})
		return EndElement, nil
	}
	if t.closing {
		t.closing = false
		t.pop()
	}
	var err error
	if t.reader == nil {
		err = t.read()
	} else {
		err = t.windowed()
	}
	if err != nil {
		t.err = err
		t.kind, t.text, t.target, t.attrs, t.pending = EOF, nil, nil, nil, false
	}
	return t.kind, err
}

// read reads the token at pos.
func (t *Tokenizer) read() error {
	t.buf = t.buf[:0]
	if len(t.open) == 0 {
		if over, err := t.between(); over || err != nil {
			return err
		}
	}
	doc, pos := t.doc, t.pos
	switch {
	case t.section:
		return t.characterSection()
	case pos >= len(doc):
		e := t.open[len(t.open)-1]
		return t.malformed(pos, "document ends inside the element %.64q", e.qname)
	case doc[pos] != '<':
		return t.characters()
	case pos+1 >= len(doc):
		return t.malformed(len(doc), "document ends inside a tag")
	}
	switch doc[pos+1] {
	case '/':
		return t.endTag()
	case '?':
		return t.procInst()
	case '!':
		return t.declaration()
	}
	return t.startTag()
}

// between reads what comes before a token outside the root; over is true at the end of the document.
func (t *Tokenizer) between() (over bool, err error) {
	if !t.started {
		if err := t.prologue(); err != nil {
			return false, err
		}
		t.started = true
	}
	t.pos = t.skipSpace(t.pos)
	switch {
	case t.pos == len(t.doc) && !t.rooted:
		return false, t.malformed(t.pos, "no root element")
	case t.pos == len(t.doc):
		if t.reader != nil && !t.exhausted {
			return false, errMore
		}
		t.kind, t.span = EOF, Span{t.pos, t.pos}
		return true, nil
	case t.doc[t.pos] != '<':
		return false, t.outside()
	}
	return false, nil
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

// characters reads character data up to the next '<'. References are checked here and resolved when Text is asked for.
func (t *Tokenizer) characters() error {
	doc, pos := t.doc, t.pos
	t.shape, t.cdata = Plain, false
	for {
		if x := t.index.text.from(pos - t.block); x != 0 {
			pos += bits.TrailingZeros64(x)
		} else {
			pos = t.far(&t.index.text, pos)
		}
		if pos >= len(doc) {
			if pos = t.safeEnd(pos); pos > t.pos {
				break
			}
			return errMore
		}
		if doc[pos] == '<' {
			break
		}
		next, err := t.special(pos)
		if err != nil {
			if t.reader != nil && !t.exhausted && pos > t.pos {
				t.forget()
				break // what is here may be cut off
			}
			return err
		}
		pos = next
	}
	t.textToken(Span{t.pos, pos}, pos)
	return nil
}

// special reads what is marked in character data at pos, other than '<', and returns the offset after it.
func (t *Tokenizer) special(pos int) (next int, err error) {
	switch doc := t.doc; doc[pos] {
	case '&':
		r, end, err := t.reference(pos)
		if err != nil {
			return 0, err
		}
		if r == '\r' && string(doc[pos:end]) == "&#xD;" || (r == '&' || r == '<' || r == '>') && doc[pos+1] != '#' {
			t.shape = min(t.shape, Canonical)
		} else {
			t.shape = Mixed
		}
		t.pending = true
		return end, nil
	case '\r':
		t.shape, t.pending = Mixed, true
	case '>':
		t.shape = Mixed
	case ']':
		if bytes.HasPrefix(doc[pos:], []byte("]]>")) {
			return 0, t.malformed(pos, "]]> in character data")
		}
	default:
		_, size, err := t.char(pos)
		return pos + size, err
	}
	return pos + 1, nil
}

// textToken makes the character data doc[raw.Start:raw.End] the current token, which ends at end.
func (t *Tokenizer) textToken(raw Span, end int) {
	t.raw = raw
	if !t.pending {
		t.text = t.doc[raw.Start:raw.End:raw.End]
	}
	t.token(Text, end)
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
	return t.characterSection()
}

// characterSection reads a CDATA section, or the next piece of one.
func (t *Tokenizer) characterSection() error {
	start := t.pos
	if !t.section {
		start += len("<![CDATA[")
	}
	length := bytes.Index(t.doc[start:], []byte("]]>"))
	end, next := start+length, start+length+len("]]>")
	piece := false
	if length < 0 {
		if end = t.safeEnd(len(t.doc)); t.reader == nil || t.exhausted || end <= start {
			return t.malformed(len(t.doc), "document ends inside a CDATA section")
		}
		next, piece = end, true
	}
	text, err := t.literal(start, end)
	if err != nil {
		return err
	}
	t.section = piece
	t.text, t.cdata, t.shape, t.raw = text, true, Mixed, Span{start, end}
	t.token(Text, next)
	return nil
}

// literal checks the characters of doc[start:end], which holds no references, and returns them with line ends normalised.
func (t *Tokenizer) literal(start, end int) ([]byte, error) {
	doc, done, changed := t.doc, start, false
	for pos := start; pos < end; {
		if pos = t.stop(&t.index.text, pos); pos >= end {
			break
		}
		switch c := doc[pos]; {
		case c == '\r':
			t.buf, changed = append(append(t.buf, doc[done:pos]...), '\n'), true
			if pos++; pos < len(doc) && doc[pos] == '\n' {
				pos++
			}
			done = pos
		case class[c]&careful != 0:
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
