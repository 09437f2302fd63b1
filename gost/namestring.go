package gost

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// ParseName builds a name from its RFC 4514 string, such as "CN=Портал,O=Ведомство,OGRN=1047702026701,C=RU"; the last RDN
// of the string comes first in the encoding. Besides RFC 4514 the quoted values and semicolons of RFC 2253 section 4 are
// understood, and OGRN, OGRNIP, SNILS, INN and INNLE as attribute names.
//
// String types are those of RFC 5280 and the Russian profile: PrintableString for C (two letters), IA5String for
// emailAddress and DC, NumericString of the exact length for the Russian numbers (OGRN 13, OGRNIP 15, SNILS 11, INN 12,
// INNLE 10), UTF8String for the others. A value given as "#" and hexadecimal is taken as it is.
func ParseName(s string) (Name, error) {
	rdns, err := parseRDNs(s)
	if err != nil {
		return nil, fmt.Errorf("gost: name: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, r := range slices.Backward(rdns) {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				values := make([][]byte, len(r))
				for i := range r {
					var err error
					if values[i], err = r[i].encode(); err != nil {
						b.SetError(err)
						return
					}
				}
				slices.SortFunc(values, bytes.Compare) // X.690 section 11.6
				for _, v := range values {
					b.AddBytes(v)
				}
			})
		}
	})
	n, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("gost: name: %w", err)
	}
	if _, err := Name(n).decode(); err != nil {
		return nil, fmt.Errorf("gost: name: %w", err)
	}
	return n, nil
}

// encode returns the AttributeTypeAndValue.
func (v *nameValue) encode() ([]byte, error) {
	var b cryptobyte.Builder
	var tag cbasn1.Tag
	if v.der == nil {
		var err error
		if tag, err = encodeText(v.oid, v.text); err != nil {
			return nil, err
		}
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(v.oid)
		if v.der != nil {
			b.AddBytes(v.der)
		} else {
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(v.text)) })
		}
	})
	return b.Bytes()
}

// parseRDNs splits the string form of a name; the RDNs come in the order of the string.
func parseRDNs(s string) ([]rdn, error) {
	if len(s) > maxNameSize {
		return nil, fmt.Errorf("longer than %d octets", maxNameSize)
	}
	if strings.Trim(s, " ") == "" {
		return nil, nil
	}
	p := nameParser{rest: s}
	rdns := []rdn{nil}
	for n := 0; ; n++ {
		if n == maxNameValues {
			return nil, fmt.Errorf("more than %d attributes", maxNameValues)
		}
		v, err := p.attribute()
		if err != nil {
			return nil, err
		}
		last := len(rdns) - 1
		rdns[last] = append(rdns[last], v)
		if p.rest == "" {
			return rdns, nil
		}
		if p.rest[0] != '+' {
			rdns = append(rdns, nil)
		}
		p.rest = p.rest[1:]
	}
}

const nameSeparators = ",;+"

// nameParser consumes a string; after each attribute rest is empty or begins with a separator.
type nameParser struct{ rest string }

func (p *nameParser) attribute() (nameValue, error) {
	name, rest, found := strings.Cut(p.rest, "=")
	name = strings.Trim(name, " ")
	if !found {
		return nameValue{}, fmt.Errorf("%q is not an attribute with a value", clip(name))
	}
	oid, err := attributeType(name)
	if err != nil {
		return nameValue{}, fmt.Errorf("%q is no known attribute and no object identifier", clip(name))
	}
	p.rest = strings.TrimLeft(rest, " ")
	v := nameValue{oid: oid}
	switch {
	case strings.HasPrefix(p.rest, "#"):
		v.der, err = p.hexadecimal()
	case strings.HasPrefix(p.rest, `"`):
		v.text, err = p.quoted()
	default:
		v.text, err = p.plain()
	}
	if err == nil && v.der == nil && !utf8.ValidString(v.text) {
		err = errors.New("the value is not UTF-8")
	}
	if err != nil {
		return nameValue{}, fmt.Errorf("%s: %w", clip(name), err)
	}
	return v, nil
}

// clip keeps error messages short.
func clip(s string) string {
	for i := range s {
		if i > 40 {
			return s[:i] + "…"
		}
	}
	return s
}

// hexadecimal reads "#" and the DER of a value.
func (p *nameParser) hexadecimal() ([]byte, error) {
	text := p.rest[1:]
	if i := strings.IndexAny(text, nameSeparators); i >= 0 {
		text, p.rest = text[:i], text[i:]
	} else {
		p.rest = ""
	}
	der, err := hex.DecodeString(strings.TrimRight(text, " "))
	if err != nil || !oneElement(der) {
		return nil, errors.New("the value after # is not the hexadecimal of one DER element")
	}
	return der, nil
}

// quoted reads a value in quotation marks, which stand inside it escaped or doubled.
func (p *nameParser) quoted() (string, error) {
	var b strings.Builder
	for s := p.rest[1:]; s != ""; {
		switch {
		case s[0] == '\\':
			n, err := unescape(&b, s)
			if err != nil {
				return "", err
			}
			s = s[n:]
		case strings.HasPrefix(s, `""`):
			b.WriteByte('"')
			s = s[2:]
		case s[0] == '"':
			p.rest = strings.TrimLeft(s[1:], " ")
			if p.rest != "" && strings.IndexByte(nameSeparators, p.rest[0]) < 0 {
				return "", errors.New("text follows the closing quotation mark")
			}
			return b.String(), nil
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return "", errors.New("the closing quotation mark is missing")
}

// plain reads a value up to the next separator, without the spaces around it.
func (p *nameParser) plain() (string, error) {
	var b strings.Builder
	end := 0 // length of the value up to its last character that is not a bare space
	s := p.rest
	for s != "" && strings.IndexByte(nameSeparators, s[0]) < 0 {
		switch s[0] {
		case '\\':
			n, err := unescape(&b, s)
			if err != nil {
				return "", err
			}
			s = s[n:]
			end = b.Len()
			continue
		case '"', '<', '>', 0:
			return "", fmt.Errorf("%q must be escaped", s[0])
		}
		b.WriteByte(s[0])
		if s[0] != ' ' {
			end = b.Len()
		}
		s = s[1:]
	}
	p.rest = s
	return b.String()[:end], nil
}

// unescape decodes the pair that s begins with and returns its length.
func unescape(b *strings.Builder, s string) (int, error) {
	if len(s) >= 2 && strings.IndexByte(` "#+,;<=>\`, s[1]) >= 0 {
		b.WriteByte(s[1])
		return 2, nil
	}
	if len(s) >= 3 {
		if c, err := hex.DecodeString(s[1:3]); err == nil {
			b.WriteByte(c[0])
			return 3, nil
		}
	}
	return 0, errors.New(`\ is not followed by a special character or two hexadecimal digits`)
}
