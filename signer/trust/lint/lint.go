// Package lint holds certificates against the form of qualified certificates: order 795 of the FSB in its wording of 2021
// with article 17 of federal law 63-FZ, which says what must be in them, and RFC 5280 and RFC 9215, which say how.
//
// A finding says what is missing or wrong, not that a signature is bad: verification asks other questions. A clause names the
// article of the law and the part of the form (a field, attribute or extension), which is how the order is built.
package lint

import (
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
)

// Severity says how much a finding matters.
type Severity uint8

const (
	Note    Severity = iota // worth knowing
	Warning                 // not forbidden, but somebody will stumble over it
	Error                   // the form is not met
)

func (s Severity) String() string { return [...]string{"note", "warning", "error"}[s] }

// Finding is one deviation. Codes are stable.
type Finding struct {
	Code     string // "subject.ogrn.missing"
	Severity Severity
	Clause   string
	Message  string // one English sentence without a final period
	Got      string // what is there instead, where that helps
}

// since2021 is when the wording of 2021 came into force: identificationKind and INNLE belong into what was issued since.
var since2021 = time.Date(2021, 9, 1, 0, 0, 0, 0, time.FixedZone("MSK", 3*60*60))

// Holder is who a certificate is for, as its subject tells.
type Holder uint8

const (
	Person       Holder = iota // a natural person
	Entrepreneur               // with OGRNIP
	Entity                     // a legal entity, with OGRN or an organization and no person
)

func (h Holder) String() string { return [...]string{"person", "entrepreneur", "legal entity"}[h] }

// HolderOf tells from the subject who holds a certificate.
func HolderOf(c *gost.Certificate) Holder {
	has := names(c.Subject)
	switch {
	case has["OGRNIP"] != nil:
		return Entrepreneur
	case has["OGRN"] != nil, has["INNLE"] != nil, has["SN"] == nil && has["SNILS"] == nil:
		return Entity
	}
	return Person
}

// Check holds a certificate against the form and lists the deviations, most of them independent of each other.
func Check(c *gost.Certificate) []Finding {
	l := &linter{c: c, modern: !c.NotBefore.Before(since2021)}
	l.base()
	l.subject()
	l.issuer()
	l.usage()
	l.policies()
	l.tools()
	l.identifiers()
	return l.findings
}

type linter struct {
	c        *gost.Certificate
	modern   bool // of the time of the wording of 2021
	findings []Finding
}

func (l *linter) add(s Severity, code, clause, got, format string, args ...any) {
	l.findings = append(l.findings, Finding{Code: code, Severity: s, Clause: clause, Got: got, Message: fmt.Sprintf(format, args...)})
}

// names gives the attributes of a name by their short names.
func names(n gost.Name) map[string][]gost.Attribute {
	out := map[string][]gost.Attribute{}
	for _, a := range n.Attributes() {
		out[a.Name] = append(out[a.Name], a)
	}
	return out
}

func (l *linter) base() {
	c := l.c
	if c.Version != 3 {
		l.add(Error, "version", "FSB 795: version; RFC 5280 4.1.2.1", fmt.Sprint("v", c.Version), "the certificate is not of version 3")
	}
	if c.Serial.Sign() <= 0 {
		l.add(Error, "serial.sign", "63-FZ 17(2)1; RFC 5280 4.1.2.2", c.Serial.String(), "the serial number is not positive")
	}
	if c.Serial.BitLen() >= 20*8 {
		l.add(Warning, "serial.length", "RFC 5280 4.1.2.2", "", "the serial number is longer than 20 octets")
	}
	if c.NotAfter.Before(c.NotBefore) {
		l.add(Error, "validity.order", "63-FZ 17(2)1; RFC 5280 4.1.2.5", "", "the certificate ends before it begins")
	}
	switch key := c.PublicKey; {
	case key == nil:
		l.add(Error, "key.algorithm", "63-FZ 17(2)4; RFC 9215 4", fmt.Sprint(c.PublicKeyErr), "the key is not an acceptable GOST key")
	case key.Algorithm == gost.GOST2001:
		l.add(Warning, "key.withdrawn", "63-FZ 17(2)4; RFC 9215 4", key.Algorithm.Name,
			"the key is of GOST R 34.10-2001, with which nothing new is signed")
	}
	for _, oid := range c.UnknownCritical {
		l.add(Error, "extension.critical", "RFC 5280 4.2", oid.String(),
			"a critical extension is not understood, so that nobody may rely on the certificate")
	}
}

func (l *linter) identifiers() {
	c := l.c
	selfSigned := c.SelfIssued()
	if len(c.SubjectKeyID) == 0 {
		severity := Warning
		if c.IsCA {
			severity = Error
		}
		l.add(severity, "subject-key-id.missing", "RFC 5280 4.2.1.2", "", "there is no subjectKeyIdentifier")
	}
	if len(c.AuthorityKeyID) == 0 && !selfSigned {
		l.add(Error, "authority-key-id.missing", "63-FZ 17(2)6; FSB 795: authorityKeyIdentifier; RFC 5280 4.2.1.1", "",
			"there is no authorityKeyIdentifier, which names the certificate of the CA")
	}
	if selfSigned {
		return
	}
	switch where := c.DistributionPoints; {
	case len(where) == 0:
		l.add(Warning, "crl.missing", "RFC 5280 4.2.1.13", "", "no CRL distribution point: verifiers must be told where the CRL is")
	case !reachable(where):
		l.add(Warning, "crl.address", "RFC 5280 4.2.1.13", "", "no CRL distribution point has an address of HTTP")
	}
	if len(c.IssuerURLs) == 0 {
		l.add(Note, "issuer-address.missing", "RFC 5280 4.2.2.1", "", "no address of the issuer's certificate (caIssuers)")
	}
}

func reachable(points []gost.DistributionPoint) bool {
	for _, p := range points {
		for _, u := range p.URIs() {
			if strings.HasPrefix(u, "http://") || strings.HasPrefix(u, "https://") {
				return true
			}
		}
	}
	return false
}
