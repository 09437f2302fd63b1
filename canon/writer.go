package canon

import "io"

// writer buffers what goes to w. The first error stays and ends all writing.
type writer struct {
	w   io.Writer
	err error
	n   int
	buf [8 << 10]byte
}

func (o *writer) reset(w io.Writer) { o.w, o.err, o.n = w, nil, 0 }

func (o *writer) flush() error {
	if o.err == nil && o.n > 0 {
		_, o.err = o.w.Write(o.buf[:o.n])
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

// after writes an octet and a string.
func (o *writer) after(c byte, s []byte) {
	if room := o.buf[o.n:]; len(s) < len(room) {
		room[0] = c
		copy(room[1:], s)
		o.n += 1 + len(s)
		return
	}
	o.octet(c)
	o.octets(s)
}

func (o *writer) string(s string) {
	if len(s) > len(o.buf)-o.n {
		o.flush() // the error stays in o.err; only short strings come here
	}
	o.n += copy(o.buf[o.n:], s)
}

func (o *writer) octets(s []byte) {
	if len(s) > len(o.buf)-o.n {
		o.large(s)
		return
	}
	copy(o.buf[o.n:], s)
	o.n += len(s)
}

// large is octets for what the buffer has no room for.
func (o *writer) large(s []byte) {
	if len(s) >= len(o.buf)/2 { // not worth a copy
		if o.flush() == nil {
			_, o.err = o.w.Write(s)
		}
		return
	}
	o.flush() // the error stays in o.err
	o.n = copy(o.buf[:], s)
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
		if c > '>' { // nothing is escaped there, in any table
			continue
		}
		if e := table[c]; e != "" {
			o.octets(s[done:i])
			o.string(e)
			done = i + 1
		}
	}
	o.octets(s[done:])
}

// value writes an equals sign and a quoted value; plain says that nothing in it has to be escaped.
func (o *writer) value(v []byte, plain bool, table *escapes) {
	if room := o.buf[o.n:]; plain && len(v)+3 <= len(room) {
		room[0], room[1] = '=', '"'
		copy(room[2:], v)
		room[2+len(v)] = '"'
		o.n += len(v) + 3
		return
	}
	o.string(`="`)
	if plain {
		o.octets(v)
	} else {
		o.escaped(v, table)
	}
	o.octet('"')
}
