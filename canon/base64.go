package canon

import "fmt"

// Base64URI is the transform that decodes base64: the text of a node-set, without tags, comments and processing
// instructions, or octets (XMLDSig section 6.6.2). White space is skipped; anything else outside of the alphabet, and a last
// group that is not filled up, is refused.
const Base64URI = "http://www.w3.org/2000/09/xmldsig#base64"

var base64Form = form{uri: Base64URI}

// decoder decodes base64 (RFC 4648 section 4) as it comes.
type decoder struct {
	out    *writer
	group  uint32 // the characters of the current group, six bits each
	n      int    // how many there are
	pads   int    // how many of them are '='
	closed bool   // a group with '=' has ended the data
}

const base64Space = 0xFE

// base64Values are the values of the characters, base64Space for what is skipped, 0xFF for what does not belong there.
var base64Values = func() (table [256]byte) {
	for i := range table {
		table[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		table[c] = byte(i)
	}
	for _, c := range []byte(" \t\r\n") {
		table[c] = base64Space
	}
	return table
}()

func (d *decoder) write(text []byte) error {
	for _, c := range text {
		v := base64Values[c]
		switch {
		case v == base64Space:
			continue
		case d.closed:
			return d.refuse("something after the end of the base64 data")
		case c == '=' && d.n >= 2:
			d.pads++
			v = 0
		case v == 0xFF:
			return d.refuse("octet %02X in base64 data", c)
		case d.pads > 0:
			return d.refuse("something between the '=' of base64 data")
		}
		d.group = d.group<<6 | uint32(v)
		if d.n++; d.n < 4 {
			continue
		}
		if d.pads > 0 {
			d.closed = true
			if d.group&(1<<(8*d.pads)-1) != 0 {
				return d.refuse("bits left over at the end of base64 data")
			}
		}
		for i := range 3 - d.pads {
			d.out.octet(byte(d.group >> (16 - 8*i)))
		}
		d.group, d.n = 0, 0
	}
	return d.out.err
}

// finish checks that the data is whole.
func (d *decoder) finish() error {
	if d.n > 0 {
		return d.refuse("base64 data ends inside a group")
	}
	return nil
}

func (d *decoder) refuse(format string, args ...any) error {
	return &TransformError{URI: Base64URI, Message: fmt.Sprintf(format, args...)}
}
