package gost

import (
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
)

// Attribute is one attribute of a name, for people.
type Attribute struct {
	OID  asn1.ObjectIdentifier
	Name string // the registered short name, for the Russian ones such as "OGRN"; else the number
	Text string // the value; "#" and hexadecimal when it is no string
	Type string // "UTF8String", "NumericString", …; the tag's number when it is no string type
}

var stringTypes = map[byte]string{12: "UTF8String", 18: "NumericString", 19: "PrintableString", 20: "TeletexString",
	22: "IA5String", 26: "VisibleString", 28: "UniversalString", 30: "BMPString"}

// Attributes lists the attributes in the order of the encoding; nil when the bytes are no name.
func (n Name) Attributes() []Attribute {
	rdns, err := n.decode()
	if err != nil {
		return nil
	}
	var out []Attribute
	for _, r := range rdns {
		for _, v := range r {
			out = append(out, v.view())
		}
	}
	return out
}

func (v *nameValue) view() Attribute {
	a := Attribute{OID: v.oid, Name: v.oid.String()}
	if known := attributeByOID(v.oid); known != nil {
		if a.Name = known.short; a.Name == "" {
			a.Name = known.aliases[0]
		}
	}
	var ok bool
	if a.Text, ok = v.string(); !ok {
		a.Text = "#" + hex.EncodeToString(v.der)
	}
	if len(v.der) > 0 {
		if a.Type = stringTypes[v.der[0]]; a.Type == "" {
			a.Type = "tag " + hex.EncodeToString(v.der[:1])
		}
	}
	return a
}

// Within reports whether the name begins with all the RDNs of base, compared as RFC 5280 section 7.1 says: letter case, the
// number of spaces and string types do not count.
func (n Name) Within(base Name) bool {
	have, err := n.decode()
	if err != nil {
		return false
	}
	want, err := base.decode()
	if err != nil || len(want) > len(have) {
		return false
	}
	return slices.Equal(comparable4514(have[:len(want)]), comparable4514(want))
}

// Settled reports whether Within and MatchesString see all that RFC 5280 section 7.1 takes for equal: every value is a string
// in an encoding that is certain, of letters that Unicode has no other way to write (RFC 4518 section 2.3 normalizes; here
// nothing does).
func (n Name) Settled() bool {
	rdns, err := n.decode()
	if err != nil {
		return false
	}
	for _, r := range rdns {
		for _, v := range r {
			if text, ok := v.string(); !ok || strings.ContainsFunc(text, unsettled) {
				return false
			}
		}
	}
	return true
}

// unsettled: all but printable ASCII, the letters of Latin-1 and Russian ones, and quotation marks and dashes.
func unsettled(r rune) bool {
	switch {
	case ' ' <= r && r <= '~', 0xC0 <= r && r <= 0xFF && r != 0xDF, 0x400 <= r && r <= 0x45F:
		return false
	}
	return !strings.ContainsRune("«»–—„“”", r)
}
