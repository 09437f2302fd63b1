package gost

import (
	"encoding/asn1"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// String types of names that cryptobyte has no constant for (X.680 section 8.6).
const (
	tagNumericString   = cbasn1.Tag(18)
	tagVisibleString   = cbasn1.Tag(26)
	tagUniversalString = cbasn1.Tag(28)
	tagBMPString       = cbasn1.Tag(30)
)

// maxAttributeText bounds a value that is written, in characters. X.520 says 64 for most; CAs and organisations with longer
// names ignore that.
const maxAttributeText = 1024

// nameAttribute is an attribute type of distinguished names.
type nameAttribute struct {
	oid     asn1.ObjectIdentifier
	short   string     // how it is printed; empty: by its number
	aliases []string   // further names that are understood, upper case
	tag     cbasn1.Tag // string type that is written
	digits  int        // exact length of a NumericString
}

func x520(arc int) asn1.ObjectIdentifier { return asn1.ObjectIdentifier{2, 5, 4, arc} }

// nameAttributes is the whole list. The Russian attributes (order 795 of the FSB, RFC 9215 section 5) are printed by their
// numbers, because tools disagree on their names, and are understood by the names in use.
var nameAttributes = []nameAttribute{
	{x520(3), "CN", []string{"COMMONNAME"}, cbasn1.UTF8String, 0},
	{x520(4), "SN", []string{"SURNAME"}, cbasn1.UTF8String, 0},
	{x520(5), "serialNumber", nil, cbasn1.PrintableString, 0},
	{x520(6), "C", []string{"COUNTRYNAME", "COUNTRY"}, cbasn1.PrintableString, 0},
	{x520(7), "L", []string{"LOCALITYNAME"}, cbasn1.UTF8String, 0},
	{x520(8), "ST", []string{"S", "STATEORPROVINCENAME"}, cbasn1.UTF8String, 0},
	{x520(9), "STREET", []string{"STREETADDRESS"}, cbasn1.UTF8String, 0},
	{x520(10), "O", []string{"ORGANIZATIONNAME"}, cbasn1.UTF8String, 0},
	{x520(11), "OU", []string{"ORGANIZATIONALUNITNAME"}, cbasn1.UTF8String, 0},
	{x520(12), "T", []string{"TITLE"}, cbasn1.UTF8String, 0},
	{x520(15), "businessCategory", nil, cbasn1.UTF8String, 0},
	{x520(17), "postalCode", nil, cbasn1.UTF8String, 0},
	{x520(42), "GN", []string{"G", "GIVENNAME"}, cbasn1.UTF8String, 0},
	{x520(43), "initials", []string{"I"}, cbasn1.UTF8String, 0},
	{x520(46), "dnQualifier", []string{"DNQ"}, cbasn1.PrintableString, 0},
	{x520(65), "pseudonym", nil, cbasn1.UTF8String, 0},
	{x520(97), "organizationIdentifier", nil, cbasn1.UTF8String, 0},
	{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, "UID", []string{"USERID"}, cbasn1.UTF8String, 0},
	{asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}, "DC", []string{"DOMAINCOMPONENT"}, cbasn1.IA5String, 0},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, "emailAddress", []string{"E", "EMAIL"}, cbasn1.IA5String, 0},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 2}, "unstructuredName", []string{"UN"}, cbasn1.UTF8String, 0},
	{asn1.ObjectIdentifier{1, 2, 643, 100, 1}, "", []string{"OGRN", "ОГРН"}, tagNumericString, 13},
	{asn1.ObjectIdentifier{1, 2, 643, 100, 3}, "", []string{"SNILS", "СНИЛС"}, tagNumericString, 11},
	{asn1.ObjectIdentifier{1, 2, 643, 100, 4}, "", []string{"INNLE", "ИННЮЛ", "ИНН ЮЛ"}, tagNumericString, 10},
	{asn1.ObjectIdentifier{1, 2, 643, 100, 5}, "", []string{"OGRNIP", "ОГРНИП"}, tagNumericString, 15},
	{asn1.ObjectIdentifier{1, 2, 643, 3, 131, 1, 1}, "", []string{"INN", "ИНН"}, tagNumericString, 12},
}

func attributeByOID(oid asn1.ObjectIdentifier) *nameAttribute {
	for i := range nameAttributes {
		if nameAttributes[i].oid.Equal(oid) {
			return &nameAttributes[i]
		}
	}
	return nil
}

// attributeType reads the type of an attribute: one of the names in the list, in any case, or a number.
func attributeType(s string) (asn1.ObjectIdentifier, error) {
	upper := strings.ToUpper(s)
	for i := range nameAttributes {
		a := &nameAttributes[i]
		if a.short != "" && strings.ToUpper(a.short) == upper {
			return a.oid, nil
		}
		for _, alias := range a.aliases {
			if alias == upper {
				return a.oid, nil
			}
		}
	}
	return parseOID(strings.TrimPrefix(upper, "OID."))
}

// parseOID reads a dotted object identifier: at least two arcs without leading zeros, each below 2³¹.
func parseOID(s string) (asn1.ObjectIdentifier, error) {
	arcs := strings.Split(s, ".")
	oid := make(asn1.ObjectIdentifier, 0, len(arcs))
	for _, arc := range arcs {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil || arc != strconv.FormatInt(n, 10) || n < 0 {
			return nil, fmt.Errorf("%q is no known attribute and no object identifier", s)
		}
		oid = append(oid, int(n))
	}
	if len(oid) < 2 || len(oid) > 32 || oid[0] > 2 || oid[0] < 2 && oid[1] >= 40 || oid[1] > 1<<30 {
		return nil, fmt.Errorf("%q is no known attribute and no object identifier", s)
	}
	return oid, nil
}

// encodeText picks the string type for a value and checks the value against it.
func encodeText(oid asn1.ObjectIdentifier, text string) (cbasn1.Tag, error) {
	tag, digits, label := cbasn1.UTF8String, 0, oid.String()
	if a := attributeByOID(oid); a != nil {
		tag, digits, label = a.tag, a.digits, a.label()
	}
	n := utf8.RuneCountInString(text)
	switch {
	case n == 0:
		return 0, fmt.Errorf("%s is empty", label)
	case n > maxAttributeText:
		return 0, fmt.Errorf("%s has %d characters, the limit is %d", label, n, maxAttributeText)
	case digits != 0 && (n != digits || !all(text, isDigit)):
		return 0, fmt.Errorf("%s must have exactly %d digits", label, digits)
	case label == "C" && (n != 2 || !all(text, isLetter)):
		return 0, fmt.Errorf("%s must be a country code of two letters (ISO 3166)", label)
	case tag == cbasn1.PrintableString && !all(text, isPrintable):
		return 0, fmt.Errorf("%s has a character outside PrintableString", label)
	case tag == cbasn1.IA5String && !all(text, isASCII):
		return 0, fmt.Errorf("%s has a character outside ASCII", label)
	}
	return tag, nil
}

func all[T string | []byte](s T, in func(byte) bool) bool {
	for i := range len(s) {
		if !in(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isASCII(c byte) bool  { return c < 0x80 }
func isPrintable(c byte) bool {
	return isDigit(c) || isLetter(c) || strings.IndexByte(" '()+,-./:=?", c) >= 0
}
