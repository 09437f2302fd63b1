package gost

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxRevocationList bounds a CRL in octets. One of a million entries has some 40 MB.
const MaxRevocationList = 256 << 20

// RevocationList is a parsed certificate revocation list (RFC 5280 section 5). Strict DER; immutable.
//
// The encoding is not kept: of a million entries there remain some 30 MB. The signature is checked over the digest that was
// taken while the list was read.
type RevocationList struct {
	Version                int // 1 or 2
	Issuer                 Name
	ThisUpdate, NextUpdate time.Time // NextUpdate is zero when absent
	Number                 *big.Int  // cRLNumber; nil when absent
	BaseNumber             *big.Int  // deltaCRLIndicator: the list holds changes since this one; nil: a complete list
	AuthorityKeyID         []byte
	Scope                  Scope
	FreshestCRL            []DistributionPoint     // where deltas of this list are
	ExpiredSince           time.Time               // from then on expired certificates stay listed (X.509 9.5.2.8); zero: they do not
	UnknownCritical        []asn1.ObjectIdentifier // critical extensions of the list or an entry that are not processed
	Fingerprint            [32]byte                // Streebog-256 of the DER

	algorithm *algorithmIdentifier
	digest    []byte // of the signed part, by the list's algorithm; nil when that is not one that counts
	signature []byte
	entries   revocations
}

// Scope is issuingDistributionPoint (RFC 5280 section 5.2.5): which certificates a list speaks of. The zero Scope is all of
// its issuer's.
type Scope struct {
	Names                              []GeneralName // of the distribution point; a certificate must name one of them
	Relative                           bool          // the point is named relative to the issuer
	OnlyUsers, OnlyCAs, OnlyAttributes bool          // certificates of end entities, of CAs, attribute certificates
	SomeReasons                        bool          // only revocations for some reasons
	Indirect                           bool          // certificates of other issuers too
	raw                                []byte
}

// Equal reports whether two lists have the same scope, as a delta and its base must.
func (s Scope) Equal(t Scope) bool { return bytes.Equal(s.raw, t.raw) }

// Object identifiers of CRL extensions.
var (
	oidCRLNumber    = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidDeltaCRL     = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIssuingPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidExpiredCerts = asn1.ObjectIdentifier{2, 5, 29, 60}
)

const pemCRL = "X509 CRL"

// ParseRevocationList reads one CRL, DER or PEM, of at most MaxRevocationList octets. Refused as certificates are; only
// octets after a DER list are passed over, for there are CAs that publish files with some. Whether the list may be believed
// is for CheckSignatureFrom and the caller. der is not kept.
func ParseRevocationList(der []byte) (*RevocationList, error) {
	fail := func(field, format string, args ...any) (*RevocationList, error) {
		return nil, derError("CRL", field, format, args...)
	}
	if len(der) > MaxRevocationList {
		return fail("length", "%d octets exceed the limit of %d", len(der), MaxRevocationList)
	}
	if bytes.HasPrefix(bytes.TrimLeft(der, " \t\r\n"), []byte("-----BEGIN ")) {
		block, rest := pem.Decode(der)
		if block == nil || block.Type != pemCRL || len(bytes.TrimSpace(rest)) > 0 {
			return fail("PEM", "not one block of %q", pemCRL)
		}
		der = block.Bytes
	}
	s := cryptobyte.String(der)
	var in, tbs, signature cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) {
		return fail("CertificateList", "not a DER SEQUENCE")
	}
	if !in.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return fail("tbsCertList", "not a DER SEQUENCE")
	}
	l := &RevocationList{}
	var ok bool
	if l.algorithm, ok = readAlgorithm(&in); !ok {
		return fail("signatureAlgorithm", "not an AlgorithmIdentifier")
	}
	if !in.ReadASN1BitStringAsBytes((*[]byte)(&signature)) || !in.Empty() {
		return fail("signatureValue", "not a DER BIT STRING without unused bits, or not the last field")
	}
	l.signature = bytes.Clone(signature)
	if err := l.parseTBS(tbs); err != nil {
		return nil, err
	}
	l.algorithm = l.algorithm.clone()
	l.digest = l.algorithm.digest(tbs)
	h := Streebog256.New()
	h.Write(der)
	h.Sum(l.Fingerprint[:0])
	return l, nil
}

// parseTBS reads TBSCertList (RFC 5280 section 5.1). What is kept is copied.
func (l *RevocationList) parseTBS(tbs cryptobyte.String) error {
	fail := func(field, format string, args ...any) error { return derError("CRL", field, format, args...) }
	var s cryptobyte.String
	tbs.ReadASN1(&s, cbasn1.SEQUENCE)
	l.Version = 1
	if s.PeekASN1Tag(cbasn1.INTEGER) {
		var version int64
		if !s.ReadASN1Integer(&version) || version != 1 {
			return fail("version", "not v2 (1)")
		}
		l.Version = 2
	}
	inner, ok := readAlgorithm(&s)
	if !ok || !bytes.Equal(inner.raw, l.algorithm.raw) {
		return fail("signature", "differs from signatureAlgorithm")
	}
	issuer, err := readName(&s)
	if err != nil {
		return fail("issuer", "%v", err)
	}
	l.Issuer = bytes.Clone(issuer)
	if l.ThisUpdate, err = readTime(&s); err != nil {
		return fail("thisUpdate", "%v", err)
	}
	if s.PeekASN1Tag(cbasn1.UTCTime) || s.PeekASN1Tag(cbasn1.GeneralizedTime) {
		if l.NextUpdate, err = readTime(&s); err != nil {
			return fail("nextUpdate", "%v", err)
		}
	}
	if s.PeekASN1Tag(cbasn1.SEQUENCE) {
		var list cryptobyte.String
		if !s.ReadASN1(&list, cbasn1.SEQUENCE) {
			return fail("revokedCertificates", "not a DER SEQUENCE")
		}
		if err := l.parseEntries(list); err != nil {
			return err
		}
	}
	var in cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&in, &present, cbasn1.Tag(0).Constructed().ContextSpecific()) || !s.Empty() {
		return fail("tbsCertList", "an unknown field after the last one")
	}
	if !present {
		return nil
	}
	if l.Version != 2 {
		return fail("crlExtensions", "not allowed in v1")
	}
	extensions, err := readExtensions(&in)
	if err != nil || !in.Empty() {
		return fail("crlExtensions", "%v", err)
	}
	return l.processExtensions(extensions)
}

func (l *RevocationList) processExtensions(list []Extension) error {
	for _, e := range list {
		oid := asn1.ObjectIdentifier(e.OID)
		s := cryptobyte.String(bytes.Clone(e.Value))
		var name string
		var ok bool
		switch {
		case oid.Equal(oidCRLNumber):
			name, ok = "cRLNumber", readCRLNumber(&s, &l.Number)
		case oid.Equal(oidDeltaCRL):
			name, ok = "deltaCRLIndicator", e.Critical && readCRLNumber(&s, &l.BaseNumber)
		case oid.Equal(oidIssuingPoint):
			name, ok = "issuingDistributionPoint", l.Scope.parse(s)
			s = nil
		case oid.Equal(oidAuthorityKeyID):
			var c Certificate
			name, ok = "authorityKeyIdentifier", c.parseAuthorityKeyID(&s)
			l.AuthorityKeyID = c.AuthorityKeyID
		case oid.Equal(oidFreshestCRL):
			name = "freshestCRL"
			l.FreshestCRL, ok = readDistributionPoints(&s)
		case oid.Equal(oidExpiredCerts):
			name = "expiredCertsOnCRL"
			t, err := readTime(&s)
			l.ExpiredSince, ok = t, err == nil
		default:
			if e.Critical {
				l.UnknownCritical = append(l.UnknownCritical, oid)
			}
			continue
		}
		if !ok || !s.Empty() {
			return derError("CRL", name, "not what RFC 5280 section 5.2 defines")
		}
	}
	return nil
}

func readCRLNumber(s *cryptobyte.String, n **big.Int) bool {
	*n = new(big.Int)
	return s.ReadASN1Integer(*n) && (*n).Sign() >= 0 && (*n).BitLen() < maxSerialSize*8
}

func (p *Scope) parse(s cryptobyte.String) bool {
	p.raw = s
	var in, name, reasons cryptobyte.String
	var named bool
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !s.Empty() ||
		!in.ReadOptionalASN1(&name, &named, cbasn1.Tag(0).Constructed().ContextSpecific()) {
		return false
	}
	if named {
		var ok bool
		if p.Names, ok = readDistributionPointName(name); !ok {
			return false
		}
		p.Relative = len(p.Names) == 0
	}
	flag := func(tag uint8, to *bool) bool {
		var v cryptobyte.String
		var present bool
		if !in.ReadOptionalASN1(&v, &present, cbasn1.Tag(tag).ContextSpecific()) || present && (len(v) != 1 || v[0] != 0 && v[0] != 0xFF) {
			return false
		}
		*to = present && v[0] != 0
		return true
	}
	return flag(1, &p.OnlyUsers) && flag(2, &p.OnlyCAs) &&
		in.ReadOptionalASN1(&reasons, &p.SomeReasons, cbasn1.Tag(3).ContextSpecific()) &&
		flag(4, &p.Indirect) && flag(5, &p.OnlyAttributes) && in.Empty()
}

// CheckSignatureFrom checks that issuer's key signed the list, as for a certificate. Names, usage and time are not looked
// at.
func (l *RevocationList) CheckSignatureFrom(issuer *Certificate) error {
	return (*KeyCache)(nil).CheckRevocationList(l, issuer)
}

// CheckRevocationList is list.CheckSignatureFrom(issuer), with tables when the issuer's key has come often enough.
func (c *KeyCache) CheckRevocationList(list *RevocationList, issuer *Certificate) error {
	if err := list.algorithm.checkDigest(issuer, c, list.digest, list.signature); err != nil {
		return fmt.Errorf("gost: CRL: %w", err)
	}
	return nil
}

// Len is the number of entries.
func (l *RevocationList) Len() int { return l.entries.len() }

// Covers reports whether a list of this scope speaks of a certificate of its issuer (RFC 5280 section 6.3.3 b): the kind of
// certificate fits, and the certificate names the list's distribution point. A certificate without distribution points has
// its issuer's name for one.
func (s *Scope) Covers(c *Certificate) bool {
	ca := c.IsCA
	if s.OnlyAttributes || s.OnlyUsers && ca || s.OnlyCAs && !ca {
		return false
	}
	if len(s.Names) == 0 {
		return true
	}
	same := func(a, b GeneralName) bool { return a.Kind == b.Kind && bytes.Equal(a.Value, b.Value) }
	has := func(n GeneralName) bool {
		return slices.ContainsFunc(s.Names, func(m GeneralName) bool { return same(n, m) })
	}
	if len(c.DistributionPoints) == 0 {
		return has(GeneralName{Kind: DirectoryName, Value: c.Issuer})
	}
	return slices.ContainsFunc(c.DistributionPoints, func(p DistributionPoint) bool { return slices.ContainsFunc(p.Names, has) })
}
