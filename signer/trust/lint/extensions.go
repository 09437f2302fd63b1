package lint

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/gost"
)

var (
	oidKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidAnyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	oidClasses   = asn1.ObjectIdentifier{1, 2, 643, 100, 113}
	classesNamed = []string{"KC1", "KC2", "KC3", "KB1", "KB2", "KA1"}
)

// usage: keyUsage is there, critical, and fits the kind of certificate.
func (l *linter) usage() {
	const clause = "FSB 795: keyUsage; RFC 5280 4.2.1.3"
	c := l.c
	if !c.HasKeyUsage {
		l.add(Error, "key-usage.missing", clause, "", "there is no keyUsage")
	} else {
		if e := c.Extension(oidKeyUsage); !e.Critical {
			severity := Error
			if c.IsCA {
				severity = Warning // the CAs of Microsoft, and with them many accredited ones, write it so
			}
			l.add(severity, "key-usage.critical", clause, "", "keyUsage is not critical")
		}
		const sign, ca = gost.UsageDigitalSignature | gost.UsageContentCommitment, gost.UsageCertSign | gost.UsageCRLSign
		switch got := c.KeyUsage.String(); {
		case c.IsCA && c.KeyUsage&ca != ca:
			l.add(Error, "key-usage.ca", clause, got, "a CA must be allowed to sign certificates and CRLs")
		case c.IsCA:
		case c.KeyUsage&gost.UsageCertSign != 0:
			l.add(Error, "key-usage.end-entity", clause, got, "the holder is no CA and may not sign certificates")
		case c.KeyUsage&sign == 0:
			l.add(Error, "key-usage.sign", clause, got, "the key usage does not allow to sign documents")
		case c.KeyUsage&sign != sign:
			l.add(Warning, "key-usage.both", clause, got, "digitalSignature and contentCommitment are expected together")
		}
	}
	if c.IsCA && !c.HasBasicConstraints || !c.IsCA && c.KeyUsage&gost.UsageCertSign != 0 {
		l.add(Error, "basic-constraints", "RFC 5280 4.2.1.9", "", "basicConstraints do not fit the key usage")
	}
	if slices.ContainsFunc(c.ExtKeyUsage, oidAnyUsage.Equal) {
		l.add(Note, "ext-key-usage.any", "RFC 5280 4.2.1.12", "", "extKeyUsage allows any purpose")
	}
	if c.PrivateKeyNotAfter.IsZero() && !c.IsCA {
		l.add(Note, "key-period.missing", "RFC 5280 4.2.1; X.509 9.2.2.5", "",
			"no privateKeyUsagePeriod: the key signs as long as the certificate lives")
	}
}

// policies: the class of the means of signing, and every lower one.
func (l *linter) policies() {
	const clause = "FSB 795: certificatePolicies"
	var classes []int
	for _, oid := range l.c.Policies {
		if n := len(oidClasses); len(oid) == n+1 && oid[:n].Equal(oidClasses) && 1 <= oid[n] && oid[n] <= len(classesNamed) {
			classes = append(classes, oid[n]-1)
		}
	}
	if len(classes) == 0 {
		l.add(Error, "policies.class.missing", clause, fmt.Sprint(l.c.Policies),
			"the policies name no class of the means of signing (KC1 to KA1)")
		return
	}
	var lacking []string
	for i := range slices.Max(classes) {
		if !slices.Contains(classes, i) {
			lacking = append(lacking, classesNamed[i])
		}
	}
	if len(lacking) > 0 {
		l.add(Warning, "policies.class.lower", clause, fmt.Sprint(l.c.Policies), "the policies name %s but not the lower %s",
			classesNamed[slices.Max(classes)], strings.Join(lacking, ", "))
	}
}

// tools: what signs, what the CA signed with, and how the holder was identified.
func (l *linter) tools() {
	c := l.c
	tool := func(name, clause string, oid asn1.ObjectIdentifier, missing Severity, err error) {
		switch e := c.Extension(oid); {
		case errors.Is(err, gost.ErrNoExtension):
			l.add(missing, name+".missing", clause, "", "there is no %s", name)
		case err != nil:
			l.add(Error, name+".form", clause, "", "%s", strings.TrimPrefix(err.Error(), "gost: certificate: "))
		case e.Critical:
			l.add(Error, name+".critical", clause, "", "%s is critical", name)
		}
	}
	_, err := c.SubjectSignTool()
	tool("subjectSignTool", "63-FZ 17(2)5; FSB 795: subjectSignTool", gost.OIDSubjectSignTool, Error, err)
	_, err = c.IssuerSignTool()
	issuer := Error
	if c.SelfIssued() {
		issuer = Warning // what the head CA signed itself with
	}
	tool("issuerSignTool", "63-FZ 17(2)5; FSB 795: issuerSignTool", gost.OIDIssuerSignTool, issuer, err)
	if _, err = c.IdentificationKind(); l.modern && !c.IsCA || !errors.Is(err, gost.ErrNoExtension) {
		tool("identificationKind", "63-FZ 17(2)8, 18(1); FSB 795: identificationKind", gost.OIDIdentificationKind, Error, err)
	}
}
