package gost

import (
	"encoding/asn1"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of qualified certificates (order 795 of the FSB, RFC 9215 section 5).
var (
	oidSubjectSignTool    = asn1.ObjectIdentifier{1, 2, 643, 100, 111}
	oidIdentificationKind = asn1.ObjectIdentifier{1, 2, 643, 100, 114}
	oidSigningToolClass   = asn1.ObjectIdentifier{1, 2, 643, 100, 113}
)

// SubjectSignToolExtension makes subjectSignTool, the name of the tool that holds the subject's key: 1 to 200 characters.
func SubjectSignToolExtension(tool string) (Extension, error) {
	if n := utf8.RuneCountInString(tool); !utf8.ValidString(tool) || n < 1 || n > 200 {
		return Extension{}, fmt.Errorf("gost: subjectSignTool must have 1 to 200 characters of UTF-8")
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(tool)) })
	return extension(oidSubjectSignTool, &b)
}

// IdentificationKind says how the CA identified the applicant.
type IdentificationKind int

const (
	IdentifiedInPerson      IdentificationKind = iota // personal
	IdentifiedByCertificate                           // remote, by a qualified certificate
	IdentifiedByPassport                              // remote, by a passport with a chip
	IdentifiedBySystem                                // remote, by a state information system
)

// IdentificationKindExtension makes identificationKind.
func IdentificationKindExtension(kind IdentificationKind) (Extension, error) {
	if kind < IdentifiedInPerson || kind > IdentifiedBySystem {
		return Extension{}, fmt.Errorf("gost: identificationKind %d is not defined", kind)
	}
	var b cryptobyte.Builder
	b.AddASN1Int64(int64(kind))
	return extension(oidIdentificationKind, &b)
}

// signingToolClasses are the classes of signing tools, lowest first: arcs 1 to 6 under 1.2.643.100.113.
var signingToolClasses = []string{"KC1", "KC2", "KC3", "KB1", "KB2", "KA1"}

// SigningToolClassExtension makes certificatePolicies for a class of signing tools, "KC1" to "KA1". Classes are cumulative:
// the class and every lower one are listed.
func SigningToolClassExtension(class string) (Extension, error) {
	for i, name := range signingToolClasses {
		if name != class {
			continue
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for arc := 1; arc <= i+1; arc++ {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(append(oidSigningToolClass[:len(oidSigningToolClass):len(oidSigningToolClass)], arc))
				})
			}
		})
		return extension(oidPolicies, &b)
	}
	return Extension{}, fmt.Errorf("gost: %q is not a class of signing tools (%v)", class, signingToolClasses)
}

// extension makes a non-critical extension.
func extension(oid asn1.ObjectIdentifier, value *cryptobyte.Builder) (Extension, error) {
	der, err := value.Bytes()
	return Extension{OID: append([]int(nil), oid...), Value: der}, err
}
