package gost

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The extensions of qualified certificates (order 795 of the FSB; RFC 9215 section 5).
var (
	OIDSubjectSignTool    = asn1.ObjectIdentifier{1, 2, 643, 100, 111}
	OIDIssuerSignTool     = asn1.ObjectIdentifier{1, 2, 643, 100, 112}
	OIDIdentificationKind = asn1.ObjectIdentifier{1, 2, 643, 100, 114}
)

// ErrNoExtension says that a certificate lacks the extension asked for.
var ErrNoExtension = errors.New("gost: the certificate has no such extension")

// Extension returns the extension of that identifier; nil when there is none.
func (c *Certificate) Extension(oid asn1.ObjectIdentifier) *Extension {
	return findExtension(c.Extensions, oid)
}

// SignTool is issuerSignTool: what the CA signed the certificate with, and the papers of both.
type SignTool struct{ Tool, CATool, ToolCert, CAToolCert string }

// SubjectSignTool is the holder's means of signing. The error is ErrNoExtension, or says how the extension breaks its syntax,
// UTF8String of 1 to 200 characters.
func (c *Certificate) SubjectSignTool() (string, error) {
	e := c.Extension(OIDSubjectSignTool)
	if e == nil {
		return "", ErrNoExtension
	}
	s := cryptobyte.String(e.Value)
	text, err := readText(&s, 200)
	if err == nil && !s.Empty() {
		err = errors.New("octets follow it")
	}
	if err != nil {
		return text, derError("certificate", "subjectSignTool", "%v", err)
	}
	return text, nil
}

// IssuerSignTool is the CA's means; the error is ErrNoExtension, or says how the extension breaks its syntax: four
// UTF8String of at most 200, 200, 100 and 100 characters. What could be read is returned all the same.
func (c *Certificate) IssuerSignTool() (SignTool, error) {
	var t SignTool
	e := c.Extension(OIDIssuerSignTool)
	if e == nil {
		return t, ErrNoExtension
	}
	s := cryptobyte.String(e.Value)
	var in cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !s.Empty() {
		return t, derError("certificate", "issuerSignTool", "not one DER SEQUENCE")
	}
	var first error
	for _, f := range []struct {
		to   *string
		name string
		most int
	}{{&t.Tool, "signTool", 200}, {&t.CATool, "cATool", 200}, {&t.ToolCert, "signToolCert", 100}, {&t.CAToolCert, "cAToolCert", 100}} {
		var err error
		if *f.to, err = readText(&in, f.most); err != nil && first == nil {
			first = derError("certificate", "issuerSignTool."+f.name, "%v", err)
		}
	}
	if first == nil && !in.Empty() {
		first = derError("certificate", "issuerSignTool", "more than four fields")
	}
	return t, first
}

func readText(s *cryptobyte.String, most int) (string, error) {
	var in cryptobyte.String
	var tag cbasn1.Tag
	switch {
	case !s.ReadAnyASN1(&in, &tag):
		return "", errors.New("missing, or not DER")
	case tag != cbasn1.UTF8String || !utf8.Valid(in):
		return "", errors.New("not a UTF8String")
	}
	if n := utf8.RuneCount(in); n < 1 || n > most {
		return string(in), fmt.Errorf("%d characters, not 1 to %d", n, most)
	}
	return string(in), nil
}

var identificationKinds = []string{"personal", "remote-cert", "remote-passport", "remote-system"}

// IdentificationKind says how the holder was identified: "personal", "remote-cert", "remote-passport" or "remote-system". The
// error is ErrNoExtension, or says that the value is none of these.
func (c *Certificate) IdentificationKind() (string, error) {
	e := c.Extension(OIDIdentificationKind)
	if e == nil {
		return "", ErrNoExtension
	}
	s := cryptobyte.String(e.Value)
	var n int64
	if !s.ReadASN1Integer(&n) || !s.Empty() || n < 0 || n >= int64(len(identificationKinds)) {
		return "", derError("certificate", "identificationKind", "not an INTEGER from 0 to %d", len(identificationKinds)-1)
	}
	return identificationKinds[n], nil
}

// oidNames names what certificates hold besides attributes of names; see nameAttributes for these.
var oidNames = map[string]string{
	"2.5.29.9": "subjectDirectoryAttributes", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
	"2.5.29.16": "privateKeyUsagePeriod",
	"2.5.29.17": "subjectAltName", "2.5.29.18": "issuerAltName", "2.5.29.19": "basicConstraints", "2.5.29.30": "nameConstraints",
	"2.5.29.31": "cRLDistributionPoints", "2.5.29.32": "certificatePolicies", "2.5.29.33": "policyMappings",
	"2.5.29.35": "authorityKeyIdentifier", "2.5.29.36": "policyConstraints", "2.5.29.37": "extKeyUsage", "2.5.29.46": "freshestCRL",
	"2.5.29.54": "inhibitAnyPolicy", "1.3.6.1.5.5.7.1.1": "authorityInfoAccess", "1.3.6.1.5.5.7.48.1.5": "ocsp-nocheck",
	"1.2.643.100.111": "subjectSignTool", "1.2.643.100.112": "issuerSignTool", "1.2.643.100.114": "identificationKind",
	"1.3.6.1.4.1.311.20.2": "Microsoft certificate template name", "1.3.6.1.4.1.311.21.1": "Microsoft CA version",
	"1.3.6.1.4.1.311.21.2": "Microsoft previous CA certificate", "1.3.6.1.4.1.311.21.7": "Microsoft certificate template",
	"1.3.6.1.4.1.311.21.10": "Microsoft application policies",
	"2.5.29.32.0":           "anyPolicy", "1.2.643.100.113.1": "class KC1", "1.2.643.100.113.2": "class KC2",
	"1.2.643.100.113.3": "class KC3",
	"1.2.643.100.113.4": "class KB1", "1.2.643.100.113.5": "class KB2", "1.2.643.100.113.6": "class KA1",
	"2.5.29.37.0": "anyExtendedKeyUsage", "1.3.6.1.5.5.7.3.1": "serverAuth", "1.3.6.1.5.5.7.3.2": "clientAuth",
	"1.3.6.1.5.5.7.3.3": "codeSigning", "1.3.6.1.5.5.7.3.4": "emailProtection", "1.3.6.1.5.5.7.3.8": "timeStamping",
	"1.3.6.1.5.5.7.3.9": "OCSPSigning", "1.2.643.2.2.34.6": "CryptoPro registration user",
	"1.2.840.113549.1.1.5": "RSA with SHA-1", "1.2.840.113549.1.1.11": "RSA with SHA-256", "1.2.840.113549.1.1.12": "RSA with SHA-384",
	"1.2.840.113549.1.1.13": "RSA with SHA-512", "1.2.840.113549.1.1.10": "RSASSA-PSS", "1.2.840.10045.4.3.2": "ECDSA with SHA-256",
	"1.2.840.10045.4.3.3": "ECDSA with SHA-384", "1.2.840.10045.4.3.4": "ECDSA with SHA-512",
}

// OIDName names an extension, policy, key purpose, algorithm, parameter set or name attribute; empty for one not known.
func OIDName(oid asn1.ObjectIdentifier) string {
	if name := oidNames[oid.String()]; name != "" {
		return name
	}
	for _, a := range Algorithms {
		if a.PublicKey.Equal(oid) || a.Signature.Equal(oid) {
			return a.Name
		}
	}
	if a := attributeByOID(oid); a != nil {
		return (&nameValue{oid: oid}).view().Name
	}
	return ""
}
