package gost

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Limits of what is parsed. The largest certificates of accredited CAs have about 3000 octets.
const (
	maxCertificateSize = 64 << 10 // octets
	maxSerialSize      = 64       // octets; RFC 5280 section 4.1.2.2 asks verifiers for 20
)

// Certificate is a parsed X.509 certificate (RFC 5280, RFC 9215). Strict DER; immutable, not to be copied; safe for concurrent use.
type Certificate struct {
	Raw, RawTBS, RawIssuer, RawSubject, RawSubjectPublicKeyInfo []byte

	Version             int      // 1, 2 or 3
	Serial              *big.Int // may be zero or negative
	Issuer, Subject     Name
	NotBefore, NotAfter time.Time // both moments included

	PublicKey    *PublicKey       // nil when the key is not a GOST key or not acceptable
	OtherKey     crypto.PublicKey // an acceptable *rsa.PublicKey or *ecdsa.PublicKey, else nil; never beside PublicKey
	PublicKeyErr error            // why PublicKey is nil

	SignatureOID asn1.ObjectIdentifier // as written, inner and outer equal
	Signature    []byte

	KeyUsage                                KeyUsage // 0 and HasKeyUsage false when absent
	HasKeyUsage                             bool
	HasBasicConstraints, IsCA               bool
	MaxPathLen                              int // -1 when absent
	SubjectKeyID                            []byte
	AuthorityKeyID                          []byte
	ExtKeyUsage                             []asn1.ObjectIdentifier
	Policies                                []asn1.ObjectIdentifier
	PrivateKeyNotBefore, PrivateKeyNotAfter time.Time               // privateKeyUsagePeriod; zero when absent
	AlternativeNames                        []GeneralName           // subjectAltName
	DistributionPoints                      []DistributionPoint     // cRLDistributionPoints
	FreshestCRL                             []DistributionPoint     // where delta CRLs are
	OCSPServers, IssuerURLs                 []string                // addresses in authorityInfoAccess
	NameConstraints                         *NameConstraints        // nil when absent
	RequireExplicitPolicy, InhibitAnyPolicy int                     // policyConstraints, inhibitAnyPolicy; -1 when absent
	OCSPNoCheck                             bool                    // id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1)
	UnknownCritical                         []asn1.ObjectIdentifier // critical extensions this package does not process
	Extensions                              []Extension             // all of them, in order

	algorithm *algorithmIdentifier
	texts     atomic.Pointer[certificateTexts] // nil until somebody asks
}

// certificateTexts are what a certificate is shown as.
type certificateTexts struct {
	fingerprint                             [32]byte
	subject, issuer, serial, hexFingerprint string
}

// shown makes the texts once: certificates are shown again and again, in answers, records and reports.
func (c *Certificate) shown() *certificateTexts {
	if t := c.texts.Load(); t != nil {
		return t
	}
	f := c.Fingerprint()
	t := &certificateTexts{f, c.Subject.String(), c.Issuer.String(), fmt.Sprintf("%X", c.Serial), hex.EncodeToString(f[:])}
	c.texts.Store(t)
	return t
}

// SubjectString is Subject.String(), made once.
func (c *Certificate) SubjectString() string { return c.shown().subject }

// IssuerString is Issuer.String(), made once.
func (c *Certificate) IssuerString() string { return c.shown().issuer }

// SerialString is the serial number in hexadecimal, in upper case and without leading zeros.
func (c *Certificate) SerialString() string { return c.shown().serial }

// FingerprintString is the fingerprint in hexadecimal, in lower case.
func (c *Certificate) FingerprintString() string { return c.shown().hexFingerprint }

// ParseCertificate reads one DER certificate with nothing after it, of at most 64 KiB.
//
// Refused, by field and rule: encodings that are not DER, a version other than v1, v2 and v3, extensions outside v3, an
// extension that comes twice, an inner signature algorithm that differs from the outer one, times without seconds or
// outside UTC. Tolerated: a serial number that is zero or negative (RFC 5280 section 4.1.2.2), and a DEFAULT FALSE that is
// written out in an extension. A key that is no acceptable GOST key leaves PublicKey nil; critical extensions unknown here
// are listed; both are for the caller to refuse.
func ParseCertificate(der []byte, opts ...KeyOption) (*Certificate, error) {
	if len(der) > maxCertificateSize {
		return nil, derError("certificate", "length", "%d octets exceed the limit of %d", len(der), maxCertificateSize)
	}
	c := &Certificate{Raw: bytes.Clone(der), MaxPathLen: -1, RequireExplicitPolicy: -1, InhibitAnyPolicy: -1}
	s := cryptobyte.String(c.Raw)
	var in, tbs cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) {
		return nil, derError("certificate", "Certificate", "not a DER SEQUENCE")
	}
	if !s.Empty() {
		return nil, derError("certificate", "Certificate", "%d octets follow it", len(s))
	}
	if !in.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return nil, derError("certificate", "tbsCertificate", "not a DER SEQUENCE")
	}
	c.RawTBS = tbs
	var ok bool
	if c.algorithm, ok = readAlgorithm(&in); !ok {
		return nil, derError("certificate", "signatureAlgorithm", "not an AlgorithmIdentifier")
	}
	if !in.ReadASN1BitStringAsBytes(&c.Signature) {
		return nil, derError("certificate", "signatureValue", "not a DER BIT STRING without unused bits")
	}
	if !in.Empty() {
		return nil, derError("certificate", "Certificate", "more than three fields")
	}
	c.SignatureOID = c.algorithm.oid
	if err := c.parseTBS(tbs, opts); err != nil {
		return nil, err
	}
	return c, nil
}

// parseTBS reads TBSCertificate (RFC 5280 section 4.1), field by field in the order of its definition.
func (c *Certificate) parseTBS(tbs cryptobyte.String, opts []KeyOption) error {
	fail := func(field, format string, args ...any) error { return derError("certificate", field, format, args...) }
	var s cryptobyte.String
	if !tbs.ReadASN1(&s, cbasn1.SEQUENCE) {
		return fail("tbsCertificate", "not a DER SEQUENCE")
	}
	if err := c.parseVersion(&s); err != nil {
		return err
	}
	c.Serial = new(big.Int)
	if !s.ReadASN1Integer(c.Serial) {
		return fail("serialNumber", "not an INTEGER in its shortest encoding")
	}
	if c.Serial.BitLen() >= maxSerialSize*8 {
		return fail("serialNumber", "longer than %d octets", maxSerialSize)
	}
	inner, ok := readAlgorithm(&s)
	if !ok {
		return fail("signature", "not an AlgorithmIdentifier")
	}
	if !bytes.Equal(inner.raw, c.algorithm.raw) {
		return fail("signature", "differs from signatureAlgorithm")
	}
	var err error
	if c.Issuer, err = readName(&s); err != nil {
		return fail("issuer", "%v", err)
	}
	var validity cryptobyte.String
	if !s.ReadASN1(&validity, cbasn1.SEQUENCE) {
		return fail("validity", "not a DER SEQUENCE")
	}
	if c.NotBefore, err = readTime(&validity); err != nil {
		return fail("validity.notBefore", "%v", err)
	}
	if c.NotAfter, err = readTime(&validity); err != nil {
		return fail("validity.notAfter", "%v", err)
	}
	if !validity.Empty() {
		return fail("validity", "more than two fields")
	}
	if c.Subject, err = readName(&s); err != nil {
		return fail("subject", "%v", err)
	}
	c.RawIssuer, c.RawSubject = c.Issuer, c.Subject
	var spki cryptobyte.String
	if !s.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return fail("subjectPublicKeyInfo", "not a DER SEQUENCE")
	}
	c.RawSubjectPublicKeyInfo = spki
	if c.PublicKey, c.PublicKeyErr = ParsePublicKey(spki, opts...); c.PublicKey == nil {
		var err error
		if c.OtherKey, err = parseOtherKey(spki); err != nil {
			c.PublicKeyErr = err
		}
	}
	return c.parseOptional(&s)
}

func (c *Certificate) parseVersion(s *cryptobyte.String) error {
	c.Version = 1
	var in cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return derError("certificate", "version", "not DER")
	}
	if !present {
		return nil
	}
	var v int64
	if !in.ReadASN1Integer(&v) || !in.Empty() {
		return derError("certificate", "version", "not an INTEGER in its shortest encoding")
	}
	if v != 1 && v != 2 {
		return derError("certificate", "version", "%d is neither v2 (1) nor v3 (2), and v1 is not written out", v)
	}
	c.Version = int(v) + 1
	return nil
}

// parseOptional reads the unique identifiers, which nobody uses, and the extensions.
func (c *Certificate) parseOptional(s *cryptobyte.String) error {
	for _, id := range []struct {
		tag  cbasn1.Tag
		name string
	}{{1, "issuerUniqueID"}, {2, "subjectUniqueID"}} {
		var in cryptobyte.String
		var present bool
		if !s.ReadOptionalASN1(&in, &present, id.tag.ContextSpecific()) {
			return derError("certificate", id.name, "not DER")
		}
		if present && c.Version < 2 {
			return derError("certificate", id.name, "not allowed in v1")
		}
	}
	var in cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(3).Constructed().ContextSpecific()) {
		return derError("certificate", "extensions", "not DER")
	}
	if !s.Empty() {
		return derError("certificate", "tbsCertificate", "unknown field after the last one")
	}
	if !present {
		return nil
	}
	if c.Version != 3 {
		return derError("certificate", "extensions", "not allowed in v%d", c.Version)
	}
	var err error
	if c.Extensions, err = readExtensions(&in); err != nil {
		return derError("certificate", "extensions", "%v", err)
	}
	if !in.Empty() {
		return derError("certificate", "extensions", "octets follow them")
	}
	return c.processExtensions()
}

// CheckSignatureFrom checks that issuer's key signed this certificate: signatureAlgorithm is the one that belongs to that
// key, with parameters absent or NULL, the signature has exactly the right length and verifies. The key may be an RSA or
// ECDSA one that is acceptable, with SHA-2. Names and constraints are not looked at.
func (c *Certificate) CheckSignatureFrom(issuer *Certificate) error {
	return c.checkSignature(issuer, nil)
}

func (c *Certificate) checkSignature(issuer *Certificate, keys *KeyCache) error {
	var err error
	if issuer.PublicKey != nil { // its algorithm says which hash, whatever the certificate says
		err = checkSignedBy(issuer.PublicKey, keys, c.algorithm, c.RawTBS, c.Signature)
	} else {
		err = c.algorithm.checkDigest(issuer, keys, c.algorithm.digest(c.RawTBS), c.Signature)
	}
	if err != nil {
		return fmt.Errorf("gost: certificate: %w", err)
	}
	return nil
}

// Fingerprint is the Streebog-256 digest of the DER encoding.
func (c *Certificate) Fingerprint() [32]byte {
	if t := c.texts.Load(); t != nil {
		return t.fingerprint
	}
	h := Streebog256.New()
	h.Write(c.Raw)
	return [32]byte(h.Sum(nil))
}

// SelfIssued reports whether subject and issuer are the same name (RFC 5280 section 6.1).
func (c *Certificate) SelfIssued() bool { return c.Subject.Equal(c.Issuer) }
