package gost

import (
	"encoding/asn1"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Subject says whose certificate a name is for.
type Subject int

const (
	OfOrganisation Subject = iota // an organisation or its information system: no person is named (EP-OV)
	OfOfficial                    // a person who acts for an organisation (EP-SP)
)

// subjectParts are what order 795 lists for a name, by the alias or short name in nameAttributes.
var subjectParts = map[Subject]struct{ needed, unfit []string }{
	OfOrganisation: {
		[]string{"CN", "O", "OGRN", "INNLE", "C", "ST", "L", "STREET"},
		[]string{"SN", "GN", "T", "SNILS", "OGRNIP"},
	},
	OfOfficial: {
		[]string{"CN", "SN", "GN", "SNILS", "O", "T", "OGRN", "INNLE", "C", "ST", "L", "STREET"},
		[]string{"OGRNIP"},
	},
}

// CheckSubject says, one sentence each, in what a name is other than order 795 of the FSB has it for a subject: what is
// missing, what does not belong, numbers of the wrong form and numbers whose check digits do not fit. A CA may want less or
// more; it is the CA that decides.
func (n Name) CheckSubject(kind Subject) []string {
	rdns, err := n.decode()
	if err != nil {
		return []string{err.Error()}
	}
	values := map[string][]string{}
	for _, v := range slices.Concat(rdns...) {
		a := attributeByOID(v.oid)
		if a == nil {
			continue
		}
		text, ok := v.string()
		if !ok {
			text = ""
		}
		values[a.label()] = append(values[a.label()], text)
	}
	var found []string
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	var missing []string
	for _, part := range subjectParts[kind].needed {
		switch {
		case len(values[part]) > 0:
		case part == "INNLE" && slices.ContainsFunc(values["INN"], func(s string) bool { return strings.HasPrefix(s, "00") }):
			say("INNLE is missing; INN with 00 before the ten digits is the form before September 2021")
		default:
			missing = append(missing, part)
		}
	}
	if len(missing) > 0 {
		say("missing: %s", strings.Join(missing, ", "))
	}
	for _, part := range subjectParts[kind].unfit {
		if len(values[part]) > 0 {
			say("%s does not belong to this subject", part)
		}
	}
	for _, a := range nameAttributes {
		if a.digits == 0 {
			continue
		}
		for _, number := range values[a.label()] {
			switch {
			case len(number) != a.digits || !all(number, isDigit):
				say("%s must have exactly %d digits", a.label(), a.digits)
			case !checkDigits(a.oid, number):
				say("the check digits of %s %s do not fit", a.label(), number)
			}
		}
	}
	return found
}

// label is the short name, else the first alias.
func (a *nameAttribute) label() string {
	if a.short != "" {
		return a.short
	}
	return a.aliases[0]
}

// checkDigits tells whether the check digits of a Russian number, of the right length, fit the others.
func checkDigits(oid asn1.ObjectIdentifier, number string) bool {
	digit := func(i int) int { return int(number[i] - '0') }
	weighted := func(weights ...int) (sum int) {
		for i, w := range weights {
			sum += w * digit(i)
		}
		return sum
	}
	// OGRN and OGRNIP: the number without its last digit, modulo the number below its length.
	remainder := func(modulus uint64) bool {
		n, err := strconv.ParseUint(number[:len(number)-1], 10, 64)
		return err == nil && int(n%modulus%10) == digit(len(number)-1)
	}
	switch attributeByOID(oid).aliases[0] {
	case "OGRN":
		return remainder(11)
	case "OGRNIP":
		return remainder(13)
	case "SNILS":
		if number < "00100199900" { // older numbers have no check digits
			return true
		}
		sum := weighted(9, 8, 7, 6, 5, 4, 3, 2, 1) % 101 % 100
		return sum == 10*digit(9)+digit(10)
	case "INN":
		if strings.HasPrefix(number, "00") { // a legal entity's
			number = number[2:]
			return weighted(2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == digit(9)
		}
		return weighted(7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == digit(10) &&
			weighted(3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == digit(11)
	case "INNLE":
		return weighted(2, 4, 10, 3, 5, 9, 4, 6, 8)%11%10 == digit(9)
	}
	return true
}
