package xmltext

import (
	"bytes"
	"errors"
	"io"
)

// A document from an io.Reader is read through a window. A token is read from what the window holds, as from a document in
// memory; when that fails and there is more to come, the window moves on and the token is read again. The window at least
// doubles the octets of a token that it has to hold, so that reading again does not cost more than reading did. Runs of
// text are not held: what there is of one is a token.

var firstWindow = 64 << 10 // octets; less in tests

// window is the part of a Tokenizer that is used with ResetReader only.
type window struct {
	reader    io.Reader
	exhausted bool   // the window holds the rest of the document
	base      int    // offset in the document of doc[0]
	lines     int    // line ends before base
	column    int    // octets between the last of them and base
	halfLine  bool   // a CR stood last before base, and whether it ends a line is not settled
	buffer    []byte // behind doc
}

func (w *window) reset(reader io.Reader) {
	*w = window{reader: reader, buffer: w.buffer}
}

// errMore asks for more of the document where no error is at hand.
var errMore = errors.New("xmltext: more is due")

// windowed is read for documents from a reader.
func (t *Tokenizer) windowed() error {
	bindings, uris := len(t.bindings), len(t.uris)
	start, started := t.pos, t.started
	if !started { // what starts a document is told from its first octets
		if err := t.more(start); err != nil {
			return err
		}
		start = t.pos
	}
	for {
		err := t.read()
		if err == nil || t.exhausted {
			return err
		}
		t.pos, t.started, t.emptyTag, t.pending = start, started, false, false
		t.bindings, t.keys, t.uris = t.bindings[:bindings], t.keys[:bindings], t.uris[:uris]
		if length := len(t.doc) - start; length > t.limits.Markup {
			if syntax := (*SyntaxError)(nil); errors.As(err, &syntax) && syntax.Offset < t.base+len(t.doc)-t.limits.NameLength {
				return err // not because the token is cut off
			}
			return t.fail(Limit, start, "markup longer than %d octets", t.limits.Markup)
		}
		if err := t.more(start); err != nil {
			return err
		}
		start = t.pos
	}
}

// more drops what lies before keep from the window, which becomes the new pos, and fills the window.
func (t *Tokenizer) more(keep int) error {
	t.home()
	t.position(0) // settles halfLine
	rest := t.doc[keep:]
	t.advance(t.doc[:keep])
	buffer := t.buffer
	if len(buffer) < max(firstWindow, 2*len(rest)) {
		buffer = make([]byte, max(firstWindow, 2*len(rest)))
	}
	n := copy(buffer, rest)
	t.buffer, t.pos = buffer, 0
	for n < len(buffer) {
		k, err := t.reader.Read(buffer[n:])
		n += k
		if err == io.EOF {
			t.exhausted = true
			break
		}
		if err != nil {
			return err
		}
	}
	t.doc = buffer[:n:n]
	t.forget()
	if t.base+n > t.limits.Size {
		return t.fail(Limit, 0, "document longer than %d octets", t.limits.Size)
	}
	return nil
}

// home copies the names that the open elements keep in the window, so that it can move on. Those of outer elements come
// first on the stacks and are at home first.
func (t *Tokenizer) home() {
	elements, bindings, size := len(t.open), len(t.bindings), 0
	for ; elements > 0 && !t.open[elements-1].homed; elements-- {
		size += len(t.open[elements-1].qname)
	}
	for ; bindings > 0 && !t.keys[bindings-1].homed; bindings-- {
		size += len(t.bindings[bindings-1].Prefix) + len(t.bindings[bindings-1].URI)
	}
	if size == 0 {
		return
	}
	own := make([]byte, 0, size)
	move := func(s []byte) []byte {
		if s == nil {
			return nil
		}
		start := len(own)
		own = append(own, s...)
		return own[start:len(own):len(own)]
	}
	for i := elements; i < len(t.open); i++ {
		t.open[i].qname, t.open[i].homed = move(t.open[i].qname), true
	}
	for i := bindings; i < len(t.bindings); i++ {
		b := &t.bindings[i]
		b.Prefix, b.URI, b.Source, t.keys[i].homed = move(b.Prefix), move(b.URI), nil, true
	}
}

// advance counts the lines of the octets that leave the window. A CR that stands last waits for what follows it.
func (t *Tokenizer) advance(gone []byte) {
	t.base += len(gone)
	if len(gone) == 0 {
		return
	}
	t.halfLine = gone[len(gone)-1] == '\r'
	whole := gone
	if t.halfLine {
		whole = gone[:len(gone)-1]
	}
	t.lines += bytes.Count(whole, []byte{'\n'})
	if crs := bytes.Count(whole, []byte{'\r'}); crs > 0 {
		t.lines += crs - bytes.Count(whole, []byte("\r\n"))
	}
	if last := max(bytes.LastIndexByte(whole, '\n'), bytes.LastIndexByte(whole, '\r')); last >= 0 {
		t.column = len(gone) - last - 1
	} else {
		t.column += len(gone)
	}
}

// position is Position for an offset in the window.
func (t *Tokenizer) position(offset int) (line, column int) {
	if t.halfLine && len(t.doc) > 0 {
		if t.doc[0] != '\n' {
			t.lines, t.column = t.lines+1, 0
		}
		t.halfLine = false
	}
	line, column = Position(t.doc, offset)
	if line == 1 {
		column += t.column
	}
	return line + t.lines, column
}

// safeEnd returns the end of the piece of text that may be taken from a window whose text reaches to end: without the
// start of what may become "]]>" or a line end of two octets.
func (t *Tokenizer) safeEnd(end int) int {
	if t.reader == nil || t.exhausted {
		return end
	}
	t.forget() // the next token starts before what has been classified
	for n := 0; n < 2 && end > t.pos && t.doc[end-1] == ']'; n++ {
		end--
	}
	if end > t.pos && t.doc[end-1] == '\r' {
		end--
	}
	return end
}
