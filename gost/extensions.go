package gost

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

const (
	maxExtensions = 64
	maxOIDs       = 64 // in one list of policies or key purposes
)

// Extension is one X.509 extension.
type Extension struct {
	OID      []int
	Critical bool
	Value    []byte // DER of the extension value
}

// KeyUsage is the bit set of RFC 5280 section 4.2.1.3.
type KeyUsage uint16

const (
	UsageDigitalSignature KeyUsage = 1 << iota
	UsageContentCommitment
	UsageKeyEncipherment
	UsageDataEncipherment
	UsageKeyAgreement
	UsageCertSign
	UsageCRLSign
	UsageEncipherOnly
	UsageDecipherOnly
)

var usageNames = []string{"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment", "keyAgreement",
	"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}

// String names the bits as RFC 5280 does, "none" when no bit is set.
func (u KeyUsage) String() string {
	var set []string
	for i, name := range usageNames {
		if u&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, ", ")
}

// Object identifiers of the extensions processed or written here (RFC 5280 section 4.2.1).
var (
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidPrivateKeyPeriod = asn1.ObjectIdentifier{2, 5, 29, 16}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidPolicies         = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}

	oidAlternativeName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidNameConstraints   = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidCRLPoints         = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidPolicyConstraints = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidFreshestCRL       = asn1.ObjectIdentifier{2, 5, 29, 46}
	oidInhibitAnyPolicy  = asn1.ObjectIdentifier{2, 5, 29, 54}
	oidAuthorityInfo     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidOCSPNoCheck       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
)

// readExtensions reads Extensions: SEQUENCE SIZE (1..MAX) OF Extension, none of them twice.
func readExtensions(s *cryptobyte.String) ([]Extension, error) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) {
		return nil, errors.New("not a DER SEQUENCE")
	}
	if list.Empty() {
		return nil, errors.New("an empty list")
	}
	var out []Extension
	for !list.Empty() {
		var in, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) {
			return nil, errors.New("an extension is not a SEQUENCE that begins with its OBJECT IDENTIFIER")
		}
		e := Extension{OID: oid}
		if in.PeekASN1Tag(cbasn1.BOOLEAN) && !in.ReadASN1Boolean(&e.Critical) {
			return nil, fmt.Errorf("%v: critical is not a DER BOOLEAN", oid)
		}
		if !in.ReadASN1(&value, cbasn1.OCTET_STRING) || !in.Empty() {
			return nil, fmt.Errorf("%v: does not end with its OCTET STRING", oid)
		}
		e.Value = value
		if findExtension(out, oid) != nil {
			return nil, fmt.Errorf("%v: comes twice", oid)
		}
		if len(out) == maxExtensions {
			return nil, fmt.Errorf("more than %d", maxExtensions)
		}
		out = append(out, e)
	}
	return out, nil
}

func findExtension(list []Extension, oid asn1.ObjectIdentifier) *Extension {
	for i := range list {
		if oid.Equal(list[i].OID) {
			return &list[i]
		}
	}
	return nil
}

// processExtensions fills the fields of the certificate that come from extensions.
func (c *Certificate) processExtensions() error {
	for _, e := range c.Extensions {
		oid := asn1.ObjectIdentifier(e.OID)
		s := cryptobyte.String(e.Value)
		var name string
		var ok bool
		switch {
		case oid.Equal(oidSubjectKeyID):
			name, ok = "subjectKeyIdentifier", s.ReadASN1Bytes(&c.SubjectKeyID, cbasn1.OCTET_STRING)
		case oid.Equal(oidKeyUsage):
			c.HasKeyUsage = true
			name, ok = "keyUsage", c.parseKeyUsage(&s)
		case oid.Equal(oidPrivateKeyPeriod):
			name, ok = "privateKeyUsagePeriod", c.parsePrivateKeyPeriod(&s)
		case oid.Equal(oidBasicConstraints):
			c.HasBasicConstraints = true
			name, ok = "basicConstraints", c.parseBasicConstraints(&s)
		case oid.Equal(oidPolicies):
			name, ok = "certificatePolicies", c.parsePolicies(&s)
		case oid.Equal(oidAuthorityKeyID):
			name, ok = "authorityKeyIdentifier", c.parseAuthorityKeyID(&s)
		case oid.Equal(oidExtKeyUsage):
			name, ok = "extKeyUsage", c.parseExtKeyUsage(&s)
		case oid.Equal(oidNameConstraints):
			name = "nameConstraints"
			c.NameConstraints, ok = readNameConstraints(&s)
		case oid.Equal(oidPolicyConstraints):
			name, ok = "policyConstraints", c.parsePolicyConstraints(&s)
		case oid.Equal(oidInhibitAnyPolicy):
			name, ok = "inhibitAnyPolicy", s.ReadASN1Integer(&c.InhibitAnyPolicy) && c.InhibitAnyPolicy >= 0
		case oid.Equal(oidOCSPNoCheck):
			name, ok = "ocsp-nocheck", bytes.Equal(s, derNULL)
			c.OCSPNoCheck, s = ok, nil
		case oid.Equal(oidAlternativeName):
			name, ok = "subjectAltName", c.parseAlternativeName(&s)
		case oid.Equal(oidCRLPoints), oid.Equal(oidFreshestCRL), oid.Equal(oidAuthorityInfo):
			// These tell where to look and restrict nothing: what cannot be read is not known, and matters only if critical.
			name, ok = "the extension "+oid.String(), c.parseAddresses(oid, s) || !e.Critical
			s = nil
		default:
			if e.Critical {
				c.UnknownCritical = append(c.UnknownCritical, oid)
			}
			continue
		}
		if !ok || !s.Empty() {
			return derError("certificate", name, "not what RFC 5280 section 4.2.1 defines")
		}
	}
	return nil
}

// parseKeyUsage takes any number of bits; those beyond the ninth mean nothing yet. A trailing zero bit that DER would drop
// is tolerated: it changes no meaning and old CAs write it.
func (c *Certificate) parseKeyUsage(s *cryptobyte.String) bool {
	var bits asn1.BitString
	if !s.ReadASN1BitString(&bits) {
		return false
	}
	for i := range usageNames {
		c.KeyUsage |= KeyUsage(bits.At(i)) << i
	}
	return true
}

func (c *Certificate) parseBasicConstraints(s *cryptobyte.String) bool {
	var in cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) {
		return false
	}
	if in.PeekASN1Tag(cbasn1.BOOLEAN) && !in.ReadASN1Boolean(&c.IsCA) {
		return false
	}
	if in.Empty() {
		return true
	}
	var n int64
	if !in.ReadASN1Integer(&n) || n < 0 || n > math.MaxInt32 || !in.Empty() {
		return false
	}
	c.MaxPathLen = int(n)
	return true
}

func (c *Certificate) parseAuthorityKeyID(s *cryptobyte.String) bool {
	var in, id cryptobyte.String
	var present bool
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadOptionalASN1(&id, &present, cbasn1.Tag(0).ContextSpecific()) {
		return false
	}
	if present {
		c.AuthorityKeyID = id
	}
	// The issuer's name and serial number may follow; they say nothing that the signature does not decide.
	return in.SkipOptionalASN1(cbasn1.Tag(1).Constructed().ContextSpecific()) &&
		in.SkipOptionalASN1(cbasn1.Tag(2).ContextSpecific()) && in.Empty()
}

func (c *Certificate) parseAlternativeName(s *cryptobyte.String) bool {
	var in cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) {
		return false
	}
	var ok bool
	c.AlternativeNames, ok = readGeneralNames(in)
	return ok
}

// parseAddresses reads the extensions that say where to look.
func (c *Certificate) parseAddresses(oid asn1.ObjectIdentifier, s cryptobyte.String) bool {
	var ok bool
	switch {
	case oid.Equal(oidCRLPoints):
		c.DistributionPoints, ok = readDistributionPoints(&s)
	case oid.Equal(oidFreshestCRL):
		c.FreshestCRL, ok = readDistributionPoints(&s)
	default:
		ok = c.parseAuthorityInfo(&s) && s.Empty()
	}
	return ok
}

// parsePolicyConstraints reads PolicyConstraints (RFC 5280 section 4.2.1.11). Mappings are never followed, so that
// inhibiting them changes nothing.
func (c *Certificate) parsePolicyConstraints(s *cryptobyte.String) bool {
	var in, n cryptobyte.String
	var present bool
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || in.Empty() || !in.ReadOptionalASN1(&n, &present, cbasn1.Tag(0).ContextSpecific()) {
		return false
	}
	if present {
		if len(n) == 0 || len(n) > 2 || n[0] >= 0x80 {
			return false
		}
		for _, b := range n {
			c.RequireExplicitPolicy = max(c.RequireExplicitPolicy, 0)<<8 | int(b)
		}
	}
	return in.SkipOptionalASN1(cbasn1.Tag(1).ContextSpecific()) && in.Empty()
}

// parsePrivateKeyPeriod reads PrivateKeyUsagePeriod (X.509 section 9.2.2.5): at least one of two GeneralizedTime.
func (c *Certificate) parsePrivateKeyPeriod(s *cryptobyte.String) bool {
	var in cryptobyte.String
	if !s.ReadASN1(&in, cbasn1.SEQUENCE) || in.Empty() {
		return false
	}
	for i, t := range []*time.Time{&c.PrivateKeyNotBefore, &c.PrivateKeyNotAfter} {
		var text cryptobyte.String
		var present bool
		if !in.ReadOptionalASN1(&text, &present, cbasn1.Tag(i).ContextSpecific()) {
			return false
		}
		if !present {
			continue
		}
		var err error
		if *t, err = parseTime(string(text)); err != nil || t.IsZero() { // the zero time stands for a time that is absent
			return false
		}
	}
	return in.Empty()
}

// parsePolicies keeps the identifiers and passes over the qualifiers.
func (c *Certificate) parsePolicies(s *cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return false
	}
	for !list.Empty() {
		var in cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1(&in, cbasn1.SEQUENCE) || !in.ReadASN1ObjectIdentifier(&oid) ||
			!in.SkipOptionalASN1(cbasn1.SEQUENCE) || !in.Empty() || len(c.Policies) == maxOIDs {
			return false
		}
		c.Policies = append(c.Policies, oid)
	}
	return true
}

func (c *Certificate) parseExtKeyUsage(s *cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadASN1(&list, cbasn1.SEQUENCE) || list.Empty() {
		return false
	}
	for !list.Empty() {
		var oid asn1.ObjectIdentifier
		if !list.ReadASN1ObjectIdentifier(&oid) || len(c.ExtKeyUsage) == maxOIDs {
			return false
		}
		c.ExtKeyUsage = append(c.ExtKeyUsage, oid)
	}
	return true
}

// marshal writes the extension as RFC 5280 section 4.1 defines it.
func (e Extension) marshal(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.OID)
		if e.Critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.Value)
	})
}

// MarshalExtensions returns the DER of Extensions, a SEQUENCE OF Extension in the given order. An extension that comes
// twice, or whose value is not one DER element, is an error.
func MarshalExtensions(list []Extension) ([]byte, error) {
	for i, e := range list {
		if !oneElement(e.Value) {
			return nil, fmt.Errorf("gost: extension %v: the value is not DER", asn1.ObjectIdentifier(e.OID))
		}
		if findExtension(list[:i], e.OID) != nil {
			return nil, fmt.Errorf("gost: extension %v comes twice", asn1.ObjectIdentifier(e.OID))
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, e := range list {
			e.marshal(b)
		}
	})
	return b.Bytes()
}

// KeyUsageExtension makes the critical extension keyUsage.
func KeyUsageExtension(u KeyUsage) Extension {
	last := -1
	var octets [2]byte
	for i := range usageNames {
		if u&(1<<i) != 0 {
			octets[i/8] |= 0x80 >> (i % 8)
			last = i
		}
	}
	// A named bit list drops trailing zero bits (X.690 section 11.2.2).
	n := last/8 + 1
	if last < 0 {
		n = 0
	}
	value := append([]byte{0x03, byte(n + 1), byte(n*8 - last - 1)}, octets[:n]...)
	return Extension{OID: slices.Clone(oidKeyUsage), Critical: true, Value: value}
}

// purposes are the names of RFC 5280 section 4.2.1.12 for arcs under 1.3.6.1.5.5.7.3.
var purposes = map[string]int{"serverAuth": 1, "clientAuth": 2, "codeSigning": 3, "emailProtection": 4, "timeStamping": 8, "OCSPSigning": 9}

// ExtKeyUsageExtension makes extKeyUsage of purposes, each an object identifier in dotted form or a name of RFC 5280 such as
// "clientAuth", none of them twice.
func ExtKeyUsageExtension(list ...string) (Extension, error) {
	var b cryptobyte.Builder
	var seen []asn1.ObjectIdentifier
	for _, s := range list {
		oid := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, purposes[s]}
		if _, known := purposes[s]; !known {
			var err error
			if oid, err = parseOID(s); err != nil {
				return Extension{}, fmt.Errorf("gost: purpose of a key: %q is no name of RFC 5280 and no object identifier", clip(s))
			}
		}
		if slices.ContainsFunc(seen, oid.Equal) {
			return Extension{}, fmt.Errorf("gost: purpose of a key: %s comes twice", clip(s))
		}
		seen = append(seen, oid)
	}
	if len(seen) == 0 || len(seen) > maxOIDs {
		return Extension{}, fmt.Errorf("gost: extKeyUsage holds 1 to %d purposes", maxOIDs)
	}
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, oid := range seen {
			b.AddASN1ObjectIdentifier(oid)
		}
	})
	return extension(oidExtKeyUsage, &b)
}

// ParseKeyUsage reads a list of the names that String writes, separated by commas; nonRepudiation is the older name of
// contentCommitment.
func ParseKeyUsage(s string) (u KeyUsage, err error) {
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name == "nonRepudiation" {
			name = "contentCommitment"
		}
		i := slices.Index(usageNames, name)
		if i < 0 {
			return 0, fmt.Errorf("gost: %q is no key usage (%s)", clip(name), strings.Join(usageNames, ", "))
		}
		u |= 1 << i
	}
	return u, nil
}
