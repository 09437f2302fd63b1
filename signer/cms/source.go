package cms

import (
	"bufio"
	"errors"
	"io"

	"github.com/epov-signer/epov/signer/report"
)

// Reading a message whose content does not fit into memory. What stands before the content is read element by element, the
// content goes by, what stands after it is read into memory, within limits, and parsed like any other message.

const (
	maxHeadElement = 64 << 10 // octets of an element before the content
	maxRest        = 64 << 20 // octets after the content: certificates, revocation lists, signers
)

// source reads elements one after another.
type source struct {
	r     *bufio.Reader
	pos   int64
	limit int     // deepest level allowed
	open  []level // constructed elements that have been entered
}

// level is a constructed element that is being read.
type level struct {
	end  int64 // -1: the indefinite form, which ends with end-of-contents octets
	what string
}

// failure turns what a reader says into an error of the message; errors of the reader itself stay.
func (s *source) failure(err error, what string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return malformed(int(s.pos), "%s ends too early", what)
	}
	return err
}

// header reads identifier and length octets; size is -1 for the indefinite form.
func (s *source) header(what string) (tag byte, size int64, err error) {
	if len(s.open)+1 > s.limit {
		return 0, 0, limitExceeded(int(s.pos), "nesting deeper than %d levels", s.limit)
	}
	start := s.pos
	head, err := s.r.Peek(2)
	if err != nil {
		return 0, 0, s.failure(err, what)
	}
	tag, size = head[0], int64(head[1])
	n := 2
	switch {
	case tag == 0:
		return 0, 0, malformed(int(start), "%s has end-of-contents where none is due", what)
	case tag&0x1F == 0x1F:
		return 0, 0, malformed(int(start), "%s has a tag that SignedData does not have", what)
	case size == 0x80:
		if tag&constructed == 0 {
			return 0, 0, malformed(int(start), "%s has an indefinite length but is primitive", what)
		}
		size = -1
	case size > 0x88:
		return 0, 0, malformed(int(start), "%s has a length of %d octets", what, size&0x7F)
	case size > 0x80:
		n += int(size & 0x7F)
		if head, err = s.r.Peek(n); err != nil {
			return 0, 0, s.failure(err, what)
		}
		var u uint64
		for _, b := range head[2:] {
			u = u<<8 | uint64(b)
		}
		if size = int64(u); size < 0 {
			return 0, 0, malformed(int(start), "%s is longer than what holds it", what)
		}
	}
	_, _ = s.r.Discard(n) // they were peeked at
	s.pos += int64(n)
	if end := s.end(); end >= 0 && (s.pos > end || size > end-s.pos) {
		return 0, 0, malformed(int(start), "%s is longer than what holds it", what)
	}
	return tag, size, nil
}

// end is where the innermost element of definite length ends; -1 when there is none.
func (s *source) end() int64 {
	for i := len(s.open) - 1; i >= 0; i-- {
		if s.open[i].end >= 0 {
			return s.open[i].end
		}
	}
	return -1
}

// enter reads the header of a constructed element that must have the given tag.
func (s *source) enter(tag byte, what string) error {
	start := s.pos
	if s.atEnd() {
		return malformed(int(start), "%s is missing", what)
	}
	got, size, err := s.header(what)
	if err != nil {
		return err
	}
	if got != tag {
		return malformed(int(start), "%s has the tag %02X where %02X must be", what, got, tag)
	}
	s.push(size, what)
	return nil
}

func (s *source) push(size int64, what string) {
	end := int64(-1)
	if size >= 0 {
		end = s.pos + size
	}
	s.open = append(s.open, level{end, what})
}

// atEnd reports whether the innermost element has nothing more in it. It does not read end-of-contents octets.
func (s *source) atEnd() bool {
	if len(s.open) == 0 {
		return false
	}
	if end := s.open[len(s.open)-1].end; end >= 0 {
		return s.pos == end
	}
	head, err := s.r.Peek(2)
	return err == nil && head[0] == 0 && head[1] == 0
}

// leave demands that the innermost element is at its end.
func (s *source) leave() error {
	l := s.open[len(s.open)-1]
	if !s.atEnd() {
		if _, err := s.r.Peek(2); err != nil {
			return s.failure(err, l.what)
		}
		return malformed(int(s.pos), "%s has something after its last field", l.what)
	}
	s.open = s.open[:len(s.open)-1]
	if l.end < 0 {
		_, _ = s.r.Discard(2) // atEnd peeked at them
		s.pos += 2
		if end := s.end(); end >= 0 && s.pos > end {
			return malformed(int(s.pos), "%s is longer than what holds it", l.what)
		}
	}
	return nil
}

// element reads a whole element of definite length, with its header. The reader it returns is at its start.
func (s *source) element(what string) (reader, error) {
	start := s.pos
	if s.atEnd() {
		return reader{}, malformed(int(start), "%s is missing", what)
	}
	head, err := s.r.Peek(10)
	if err != nil && !errors.Is(err, io.EOF) {
		return reader{}, err
	}
	head = append([]byte(nil), head...)
	_, size, err := s.header(what)
	if err != nil {
		return reader{}, err
	}
	if size < 0 {
		return s.indefinite(head[:2], what)
	}
	if size > maxHeadElement {
		return reader{}, limitExceeded(int(start), "%s has %d octets, the limit is %d", what, size, maxHeadElement)
	}
	n := int(s.pos - start)
	data := make([]byte, n+int(size))
	copy(data, head[:n])
	if _, err := io.ReadFull(s.r, data[n:]); err != nil {
		return reader{}, s.failure(err, what)
	}
	s.pos += size
	return s.reader(data), nil
}

// indefinite reads the contents of an element of the indefinite form, whose header was head.
func (s *source) indefinite(head []byte, what string) (reader, error) {
	s.push(-1, what)
	data := head
	for !s.atEnd() {
		r, err := s.element(what)
		if err != nil {
			return reader{}, err
		}
		if data = append(data, r.message...); len(data) > maxHeadElement {
			return reader{}, limitExceeded(int(s.pos), "%s has more than %d octets", what, maxHeadElement)
		}
	}
	if err := s.leave(); err != nil {
		return reader{}, err
	}
	return s.reader(append(data, 0, 0)), nil
}

func (s *source) reader(data []byte) reader {
	return reader{message: data, end: len(data), depth: len(s.open) + 1, limit: s.limit}
}

// octets passes the value of an OCTET STRING on, whose header was read: in one piece, or in chunks which may nest.
func (s *source) octets(tag byte, size int64, take func([]byte) error) error {
	if tag == tagOctetString {
		return s.pass(size, take)
	}
	base := len(s.open)
	for s.push(size, "eContent"); len(s.open) > base; {
		if s.atEnd() {
			if err := s.leave(); err != nil {
				return err
			}
			continue
		}
		start := s.pos
		tag, size, err := s.header("eContent")
		switch {
		case err != nil:
			return err
		case tag == tagOctetString:
			err = s.pass(size, take)
		case tag == tagOctetString|constructed:
			s.push(size, "eContent")
		default:
			err = malformed(int(start), "eContent has a chunk that is not an OCTET STRING")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pass passes size octets on, without copying them.
func (s *source) pass(size int64, take func([]byte) error) error {
	for size > 0 {
		if _, err := s.r.Peek(1); err != nil {
			return s.failure(err, "eContent")
		}
		piece, _ := s.r.Peek(int(min(size, int64(s.r.Buffered())))) // what is there: no waiting, no moving
		if err := take(piece); err != nil {
			return err
		}
		_, _ = s.r.Discard(len(piece)) // they were peeked at
		s.pos += int64(len(piece))
		size -= int64(len(piece))
	}
	return nil
}

// rest reads what follows the content, to the end of the message, and returns a reader of the fields of SignedData in it.
// The offsets of that reader count from base.
func (s *source) rest() (r reader, base int64, err error) {
	base = s.pos
	data, err := io.ReadAll(io.LimitReader(s.r, maxRest+1))
	if err != nil {
		return reader{}, 0, err
	}
	if len(data) > maxRest {
		return reader{}, 0, limitExceeded(int(base), "more than %d octets after the content", maxRest)
	}
	r = s.reader(data)
	// Where SignedData ends, then what must follow it.
	body := s.open[len(s.open)-1]
	if body.end >= 0 {
		r.end = int(min(body.end-base, int64(len(data))))
		if body.end-base > int64(len(data)) {
			return reader{}, 0, malformed(int(base)+len(data), "SignedData ends too early")
		}
	} else if r.end, err = r.indefiniteSize(0, "SignedData"); err != nil {
		return reader{}, 0, moved(err, base)
	}
	pos := r.end
	for i := len(s.open) - 1; i >= 0; i-- {
		l := s.open[i]
		if l.end >= 0 {
			if base+int64(pos) != l.end {
				return reader{}, 0, malformed(int(base)+pos, "%s has something after its last field, or ends too early", l.what)
			}
			continue
		}
		if len(data)-pos < 2 || data[pos] != 0 || data[pos+1] != 0 {
			return reader{}, 0, malformed(int(base)+pos, "%s has something after its last field, or ends too early", l.what)
		}
		pos += 2
	}
	if pos != len(data) {
		return reader{}, 0, malformed(int(base)+pos, "%d octets after the message", len(data)-pos)
	}
	return r, base, nil
}

// moved counts the place of an error from the start of the message.
func moved(err error, base int64) error {
	var e *report.Error
	if errors.As(err, &e) {
		e.Place = movedPlace(e.Place, base)
	}
	return err
}

func movedPlace(p report.Place, base int64) report.Place {
	if p.End > p.Offset {
		p.Offset, p.End = p.Offset+int(base), p.End+int(base)
	}
	return p
}

// move counts the places of a SignerInfo from the start of the message.
func (si *signerInfo) move(base int64) {
	for _, p := range []*report.Place{&si.place, &si.signatureAt, &si.digestAlgorithm.place, &si.signatureAlgorithm.place} {
		*p = movedPlace(*p, base)
	}
	if si.signed != nil {
		si.signedSet.start += int(base)
		si.signedSet.end += int(base)
	}
	for _, set := range []attributes{si.signed, si.unsigned} {
		for i := range set {
			set[i].place = movedPlace(set[i].place, base)
		}
	}
	for i := range si.counters {
		si.counters[i].move(base)
	}
}
