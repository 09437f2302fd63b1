package lint

import (
	"strings"
	"unicode/utf8"

	"github.com/epov-signer/epov/gost"
)

// numbers are the Russian attributes: how many digits, and how the last ones follow from the others.
var numbers = map[string]struct {
	digits int
	check  func(string) bool
}{
	"OGRN":   {13, func(s string) bool { return remainder(s[:12], 11)%10 == int(s[12]-'0') }},
	"OGRNIP": {15, func(s string) bool { return remainder(s[:14], 13)%10 == int(s[14]-'0') }},
	"SNILS":  {11, checkSNILS},
	"INN":    {12, checkINN},
	"INNLE":  {10, checkEntityINN},
}

func remainder(s string, by int) int {
	r := 0
	for _, c := range []byte(s) {
		r = (r*10 + int(c-'0')) % by
	}
	return r
}

func weighted(s string, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += w * int(s[i]-'0')
	}
	return sum % 11 % 10
}

func checkSNILS(s string) bool {
	sum := 0
	for i := range 9 {
		sum += (9 - i) * int(s[i]-'0')
	}
	sum = sum % 101 % 100
	return s[:9] <= "001001998" || sum == int(s[9]-'0')*10+int(s[10]-'0') // older numbers have no check
}

// checkINN takes a person's number, and a legal entity's with 00 before it, as it was written before INNLE.
func checkINN(s string) bool {
	if strings.HasPrefix(s, "00") {
		return checkEntityINN(s[2:])
	}
	return weighted(s, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8) == int(s[10]-'0') && weighted(s, 3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8) == int(s[11]-'0')
}

func checkEntityINN(s string) bool { return weighted(s, 2, 4, 10, 3, 5, 9, 4, 6, 8) == int(s[9]-'0') }

// demand is an attribute that must be there.
type demand struct {
	name   string // of the attribute
	clause string
	what   string
	soft   bool // accredited CAs have long left it out
}

var (
	commonName = demand{name: "CN", clause: "63-FZ 17(2)2; FSB 795: commonName", what: "the holder's name"}
	country    = demand{name: "C", clause: "FSB 795: countryName", what: "the country"}

	ofPersons = []demand{
		commonName,
		{name: "SN", clause: "63-FZ 17(2)2; FSB 795: surname", what: "the surname"},
		{name: "GN", clause: "63-FZ 17(2)2; FSB 795: givenName", what: "the given name and patronymic"},
		{name: "SNILS", clause: "63-FZ 17(2)3; FSB 795: SNILS", what: "SNILS"},
		{name: "INN", clause: "63-FZ 17(2)3; FSB 795: INN", what: "INN"},
		country,
	}
	ofEntities = []demand{
		commonName,
		{name: "O", clause: "63-FZ 17(2)2; FSB 795: organizationName", what: "the organization's name"},
		{name: "OGRN", clause: "63-FZ 17(2)2; FSB 795: OGRN", what: "OGRN"},
		{name: "L", clause: "63-FZ 17(2)2; FSB 795: localityName", what: "the locality"},
		{name: "ST", clause: "63-FZ 17(2)2; FSB 795: stateOrProvinceName", what: "the region"},
		{name: "STREET", clause: "63-FZ 17(2)2; FSB 795: streetAddress", what: "the address", soft: true},
		country,
	}
)

func (l *linter) subject() {
	has := names(l.c.Subject)
	switch holder := HolderOf(l.c); holder {
	case Person:
		l.demand("subject", has, ofPersons)
	case Entrepreneur:
		l.demand("subject", has, ofPersons)
		l.demand("subject", has, []demand{{name: "OGRNIP", clause: "63-FZ 17(2)2; FSB 795: OGRNIP", what: "OGRNIP"}})
	default:
		l.demand("subject", has, ofEntities)
		l.entityINN("subject", has)
	}
	l.values("subject", l.c.Subject)
}

func (l *linter) issuer() {
	if l.c.SelfIssued() {
		return // the same name once more
	}
	has := names(l.c.Issuer)
	of := make([]demand, len(ofEntities))
	for i, d := range ofEntities {
		d.clause = strings.Replace(d.clause, "17(2)2", "17(2)6", 1)
		of[i] = d
	}
	l.demand("issuer", has, of)
	l.entityINN("issuer", has)
	l.values("issuer", l.c.Issuer)
}

func (l *linter) demand(where string, has map[string][]gost.Attribute, list []demand) {
	for _, d := range list {
		if has[d.name] == nil {
			severity := Error
			if d.soft {
				severity = Warning
			}
			l.add(severity, where+"."+strings.ToLower(d.name)+".missing", d.clause, "", "the %s lacks %s (%s)", where, d.what, d.name)
		}
	}
}

// entityINN: a legal entity's INN is INNLE since 2021 and was INN with 00 before it.
func (l *linter) entityINN(where string, has map[string][]gost.Attribute) {
	const clause = "63-FZ 17(2)3; FSB 795: INNLE"
	switch {
	case has["INNLE"] != nil:
	case has["INN"] == nil:
		l.add(Error, where+".innle.missing", clause, "",
			"the %s lacks the INN of the legal entity (INNLE, in older certificates INN)", where)
	case l.modern && where == "subject":
		l.add(Warning, where+".innle.missing", clause, has["INN"][0].Text,
			"the INN of the legal entity stands in INN, where it was before September 2021, and not in INNLE")
	}
}

// values checks the form of what is there.
func (l *linter) values(where string, n gost.Name) {
	for _, a := range n.Attributes() {
		code := where + "." + strings.ToLower(a.Name)
		clause := "FSB 795: " + a.Name
		number, isNumber := numbers[a.Name]
		switch {
		case isNumber && a.Type != "NumericString":
			l.add(Error, code+".type", clause, a.Type, "%s of the %s is not a NumericString", a.Name, where)
		case isNumber && (len(a.Text) != number.digits || strings.Trim(a.Text, "0123456789") != ""):
			l.add(Error, code+".form", clause, a.Text, "%s of the %s has not exactly %d digits", a.Name, where, number.digits)
		case isNumber && !number.check(a.Text):
			l.add(Warning, code+".check", clause, a.Text, "the check digits of %s of the %s do not fit", a.Name, where)
		case a.Name == "C" && a.Text != "RU":
			l.add(Error, code+".form", clause, a.Text, "the country of the %s is not RU", where)
		case a.Name == "C" && a.Type != "PrintableString", a.Name == "emailAddress" && a.Type != "IA5String":
			l.add(Warning, code+".type", "RFC 5280 4.1.2.4", a.Type, "%s of the %s has an unusual string type", a.Name, where)
		case !isNumber && a.Name != "C" && a.Name != "emailAddress" && a.Type != "UTF8String" &&
			a.Type != "PrintableString" && a.Type != "IA5String":
			l.add(Note, code+".type", "RFC 5280 4.1.2.4", a.Type, "%s of the %s is not a UTF8String", a.Name, where)
		case utf8.RuneCountInString(a.Text) == 0:
			l.add(Error, code+".empty", clause, "", "%s of the %s is empty", a.Name, where)
		}
	}
}
