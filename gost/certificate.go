package gost

import (
	"encoding/asn1"
	"math/big"
	"time"
)

// Certificate is a parsed X.509 certificate (RFC 5280, RFC 9215). Strict DER; immutable.
type Certificate struct {
	Raw, RawTBS, RawIssuer, RawSubject, RawSubjectPublicKeyInfo []byte

	Version             int
	Serial              *big.Int // may be zero or negative
	Issuer, Subject     Name
	NotBefore, NotAfter time.Time

	PublicKey    *PublicKey // nil when the key is not a GOST key or not acceptable
	PublicKeyErr error      // why PublicKey is nil

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
	UnknownCritical                         []asn1.ObjectIdentifier // critical extensions this package does not process
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

// Name is a distinguished name, kept as its DER encoding.
type Name []byte

// String renders the name as RFC 4514 says, attributes without a registered short name by OID.
func (n Name) String() string { panic("skeleton") }

// Equal compares the encodings.
func (n Name) Equal(m Name) bool { return string(n) == string(m) }

// ParseName builds a name from its RFC 4514 string.
func ParseName(s string) (Name, error) { panic("skeleton") }

// ParseCertificate reads one DER certificate with nothing after it.
func ParseCertificate(der []byte) (*Certificate, error) { panic("skeleton") }

// ParseCertificates reads one DER certificate or any number of PEM certificates.
func ParseCertificates(data []byte) ([]*Certificate, error) { panic("skeleton") }

// CheckSignatureFrom checks that issuer's key signed this certificate; names and constraints are not looked at.
func (c *Certificate) CheckSignatureFrom(issuer *Certificate) error { panic("skeleton") }

// Fingerprint is the Streebog-256 digest of the DER encoding.
func (c *Certificate) Fingerprint() [32]byte { panic("skeleton") }
