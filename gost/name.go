package gost

import (
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	maxNameSize   = 16 << 10 // octets of a name, encoded or as a string
	maxNameValues = 128      // attributes of a name
)

// Name is a distinguished name, kept as its DER encoding.
type Name []byte

// nameValue is one attribute of a name. A value that was read is DER; one from a string is text until it is encoded.
type nameValue struct {
	oid  asn1.ObjectIdentifier
	text string
	der  []byte // the whole element; nil when text says it all
}

// rdn is a relative distinguished name: a set of attributes, nearly always of one.
type rdn []nameValue

// readName takes a Name (RFC 5280 section 4.1.2.4) off s. The characters of the values are not looked at: CAs put into
// PrintableString what does not belong there.
func readName(s *cryptobyte.String) (Name, error) {
	var element cryptobyte.String
	if !s.ReadASN1Element(&element, cbasn1.SEQUENCE) {
		return nil, errors.New("not a DER SEQUENCE")
	}
	if _, err := Name(element).decode(); err != nil {
		return nil, err
	}
	return Name(element), nil
}

// decode returns the RDNs in the order of the encoding.
func (n Name) decode() ([]rdn, error) {
	if len(n) > maxNameSize {
		return nil, fmt.Errorf("longer than %d octets", maxNameSize)
	}
	s := cryptobyte.String(n)
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || !s.Empty() {
		return nil, errors.New("not one DER SEQUENCE")
	}
	var out []rdn
	for values := 0; !list.Empty(); {
		var set cryptobyte.String
		if !list.ReadASN1(&set, cbasn1.SET) || set.Empty() {
			return nil, errors.New("a RelativeDistinguishedName is not a SET of at least one attribute")
		}
		var r rdn
		for ; !set.Empty(); values++ {
			var in, value cryptobyte.String
			var oid asn1.ObjectIdentifier
			if values == maxNameValues {
				return nil, fmt.Errorf("more than %d attributes", maxNameValues)
			}
			if !set.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) ||
				!in.ReadAnyASN1Element(&value, nil) || !in.Empty() {
				return nil, errors.New("an attribute is not a SEQUENCE of an OBJECT IDENTIFIER and one value")
			}
			r = append(r, nameValue{oid: oid, der: value})
		}
		out = append(out, r)
	}
	return out, nil
}

// String renders the name as RFC 4514 says, the last RDN first, with these choices: attributes without a registered short
// name, the Russian ones among them, go by OID; their values are strings all the same, "#" and hexadecimal is left for
// values that are no strings; characters that do not print are escaped. Bytes that are no name come out as "#" and
// hexadecimal.
//
// A TeletexString counts as a string only while it is ASCII: what its other octets mean depends on who wrote it.
func (n Name) String() string {
	rdns, err := n.decode()
	if err != nil {
		return "#" + hex.EncodeToString(n)
	}
	var b strings.Builder
	for i, r := range slices.Backward(rdns) {
		for j, v := range r {
			if j > 0 {
				b.WriteByte('+')
			}
			v.write(&b)
		}
		if i > 0 {
			b.WriteByte(',')
		}
	}
	return b.String()
}

func (v *nameValue) write(b *strings.Builder) {
	if a := attributeByOID(v.oid); a != nil && a.short != "" {
		b.WriteString(a.short)
	} else {
		b.WriteString(v.oid.String())
	}
	b.WriteByte('=')
	text, ok := v.string()
	if !ok {
		b.WriteByte('#')
		b.WriteString(hex.EncodeToString(v.der))
		return
	}
	for i, r := range text {
		switch {
		case strings.ContainsRune(`"+,;<>\`, r), r == '#' && i == 0, r == ' ' && (i == 0 || i == len(text)-1):
			b.WriteByte('\\')
			b.WriteRune(r)
		case !unicode.IsPrint(r):
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(b, `\%02x`, c)
			}
		default:
			b.WriteRune(r)
		}
	}
}

// string returns the text of a value, and false when the value is not text or not in an encoding that is certain.
func (v *nameValue) string() (string, bool) {
	if v.der == nil {
		return v.text, true
	}
	s := cryptobyte.String(v.der)
	var in cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&in, &tag) {
		return "", false
	}
	switch tag {
	case cbasn1.UTF8String:
		return string(in), utf8.Valid(in)
	case cbasn1.PrintableString, cbasn1.IA5String, cbasn1.T61String, tagNumericString, tagVisibleString:
		return string(in), all(string(in), isASCII)
	case tagBMPString:
		return decodeWide(in, 2, func(b []byte) rune { return rune(binary.BigEndian.Uint16(b)) })
	case tagUniversalString:
		return decodeWide(in, 4, func(b []byte) rune { return rune(binary.BigEndian.Uint32(b)) })
	}
	return "", false
}

// decodeWide decodes characters of a fixed size; surrogates are no characters in these types.
func decodeWide(in []byte, size int, char func([]byte) rune) (string, bool) {
	if len(in)%size != 0 {
		return "", false
	}
	var b strings.Builder
	for c := range slices.Chunk(in, size) {
		r := char(c)
		if !utf8.ValidRune(r) {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), true
}

// Equal compares the encodings.
func (n Name) Equal(m Name) bool { return string(n) == string(m) }

// MatchesString reports whether s, as some tool has printed it, names n: attributes by any of their names or by number,
// values escaped, quoted or in hexadecimal, the RDNs in the order of the encoding or the reverse. Letter case and the
// number of spaces do not count (RFC 5280 section 7.1), nor do string types.
func (n Name) MatchesString(s string) bool {
	have, err := n.decode()
	if err != nil {
		return false
	}
	want, err := parseRDNs(s)
	if err != nil || len(want) != len(have) {
		return false
	}
	a, b := comparable4514(have), comparable4514(want)
	if slices.Equal(a, b) {
		return true
	}
	slices.Reverse(b)
	return slices.Equal(a, b)
}

// comparable4514 turns each RDN into a string that is equal for equal RDNs.
func comparable4514(rdns []rdn) []string {
	out := make([]string, len(rdns))
	for i, r := range rdns {
		values := make([]string, len(r))
		for j, v := range r {
			if text, ok := v.string(); ok {
				values[j] = v.oid.String() + "=" + strconv.Quote(strings.ToLower(strings.Join(strings.Fields(text), " ")))
			} else {
				values[j] = v.oid.String() + "#" + hex.EncodeToString(v.der)
			}
		}
		slices.Sort(values)
		out[i] = strings.Join(values, "+")
	}
	return out
}
