package canon

import (
	"errors"
	"io"

	"github.com/epov-signer/epov/canon/xmltext"
)

// errTooLarge ends a transform whose output grows out of proportion: exclusive canonicalization repeats a declaration on
// each of many siblings, so that without a bound a short document could have an arbitrarily long canonical form.
var errTooLarge = errors.New("output more than 64 times as large as the document")

// bound is how much output of a document of size octets is accepted.
func bound(size int) int { return 64*size + 64<<10 }

// writer buffers what goes to w. The first error stays and ends all writing.
type writer struct {
	w    io.Writer
	left int // octets that may still be flushed
	err  error
	n    int
	buf  [8 << 10]byte
}

func (o *writer) reset(w io.Writer, limit int) { o.w, o.left, o.err, o.n = w, limit, nil, 0 }

func (o *writer) flush() error {
	if o.err == nil && o.n > 0 {
		if o.left -= o.n; o.left < 0 {
			o.err = errTooLarge
		} else {
			_, o.err = o.w.Write(o.buf[:o.n])
		}
	}
	o.n = 0
	return o.err
}

func (o *writer) octet(c byte) {
	if o.n == len(o.buf) {
		o.flush() // the error stays in o.err
	}
	o.buf[o.n] = c
	o.n++
}

func (o *writer) string(s string) {
	for {
		n := copy(o.buf[o.n:], s)
		o.n += n
		if s = s[n:]; s == "" {
			return
		}
		o.flush() // the error stays in o.err
	}
}

func (o *writer) octets(s []byte) {
	for {
		n := copy(o.buf[o.n:], s)
		o.n += n
		if s = s[n:]; len(s) == 0 {
			return
		}
		o.flush() // the error stays in o.err
	}
}

// qname writes the name with its prefix.
func (o *writer) qname(n xmltext.Name) {
	if len(n.Prefix) > 0 {
		o.octets(n.Prefix)
		o.octet(':')
	}
	o.octets(n.Local)
}

// escapes says what stands for an octet in the output; an empty string is the octet itself.
type escapes [256]string

// Canonical XML 1.0 section 2.3.
var (
	textEscapes  = escapes{'&': "&amp;", '<': "&lt;", '>': "&gt;", '\r': "&#xD;"}
	valueEscapes = escapes{'&': "&amp;", '<': "&lt;", '"': "&quot;", '\t': "&#x9;", '\n': "&#xA;", '\r': "&#xD;"}
)

func (o *writer) escaped(s []byte, table *escapes) {
	done := 0
	for i, c := range s {
		if e := table[c]; e != "" {
			o.octets(s[done:i])
			o.string(e)
			done = i + 1
		}
	}
	o.octets(s[done:])
}
