// Package testpki issues what tests need of authorities, with keys in software: GOST certificates, CRLs and OCSP responses (CA), lists of
// accredited authorities (NewTSL), and certificates for TLS (TLS).
package testpki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
)

// CA issues certificates, CRLs and OCSP responses.
type CA struct {
	Certificate *gost.Certificate
	Key         *gost.PrivateKey
	Other       crypto.Signer // an RSA or ECDSA key instead, which signs with SHA-256
}

// Template says what to issue; the zero value of a field means its default.
type Template struct {
	CommonName          string        // default "Test"
	Subject             string        // RFC 4514 string; default CN=CommonName,O=Example,C=RU
	NotBefore, NotAfter time.Time     // default: an hour ago, a year ahead
	KeyUsage            gost.KeyUsage // default digitalSignature and contentCommitment; for a CA keyCertSign and cRLSign
	CA                  bool
	Extensions          []gost.Extension // further ones
}

// NewCA makes a self-signed CA.
func NewCA(tb testing.TB, a *gost.Algorithm, params string) *CA {
	tb.Helper()
	key, public := generate(tb, a, params)
	t := Template{CommonName: "Test CA " + a.Name + " " + params, CA: true}
	self := &CA{Key: key}
	subject := t.subject(tb)
	self.Certificate = self.issue(tb, subject, subject, public.SubjectPublicKeyInfo(), t)
	return self
}

// NewIntermediate makes a CA below this one.
func (ca *CA) NewIntermediate(tb testing.TB, a *gost.Algorithm, params string, t Template) *CA {
	tb.Helper()
	t.CA = true
	if t.CommonName == "" {
		t.CommonName = "Test Intermediate " + a.Name + " " + params
	}
	key, cert := ca.NewSigner(tb, a, params, t)
	return &CA{Certificate: cert, Key: key}
}

// Issue issues a certificate for a public key, such as one on a token.
func (ca *CA) Issue(tb testing.TB, key *gost.PublicKey, t Template) *gost.Certificate {
	tb.Helper()
	return ca.issue(tb, ca.Certificate.Subject, t.subject(tb), key.SubjectPublicKeyInfo(), t)
}

// NewOther makes a certificate for an RSA or ECDSA key, issued by ca, or self-signed when ca is nil.
func (ca *CA) NewOther(tb testing.TB, key crypto.Signer, t Template) *CA {
	tb.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	out := &CA{Other: key}
	if ca == nil {
		out.Certificate = out.issue(tb, t.subject(tb), t.subject(tb), spki, t)
	} else {
		out.Certificate = ca.issue(tb, ca.Certificate.Subject, t.subject(tb), spki, t)
	}
	return out
}

// NewSigner makes a key and its certificate.
func (ca *CA) NewSigner(tb testing.TB, a *gost.Algorithm, params string, t Template) (*gost.PrivateKey, *gost.Certificate) {
	tb.Helper()
	key, public := generate(tb, a, params)
	return key, ca.Issue(tb, public, t)
}

func generate(tb testing.TB, a *gost.Algorithm, params string) (*gost.PrivateKey, *gost.PublicKey) {
	tb.Helper()
	set := gost.ParamSetByName(params)
	if set == nil {
		tb.Fatalf("no parameter set %q", params)
	}
	key, err := gost.GenerateKey(rand.Reader, a, set)
	if err != nil {
		tb.Fatal(err)
	}
	return key, key.Public().(*gost.PublicKey)
}

func (t *Template) subject(tb testing.TB) gost.Name {
	tb.Helper()
	s := t.Subject
	if s == "" {
		cn := t.CommonName
		if cn == "" {
			cn = "Test"
		}
		s = `CN="` + cn + `",O=Example,C=RU`
	}
	name, err := gost.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

// issue builds a v3 certificate (RFC 5280 section 4.1) and signs it with the CA's key.
func (ca *CA) issue(tb testing.TB, issuer, subject gost.Name, spki []byte, t Template) *gost.Certificate {
	tb.Helper()
	extensions, err := gost.MarshalExtensions(ca.extensions(tb, spki, t))
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		tb.Fatal(err)
	}
	from, to := t.NotBefore, t.NotAfter
	if from.IsZero() {
		from = time.Now().Add(-time.Hour)
	}
	if to.IsZero() {
		to = time.Now().AddDate(1, 0, 0)
	}
	var tbs cryptobyte.Builder
	tbs.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1BigInt(serial.Add(serial, big.NewInt(1)))
		ca.algorithm(b)
		b.AddBytes(issuer)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, from)
			addTime(b, to)
		})
		b.AddBytes(subject)
		b.AddBytes(spki)
		b.AddASN1(cbasn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
	})
	c, err := gost.ParseCertificate(ca.signed(tb, tbs.BytesOrPanic()))
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// addTime writes UTCTime up to 2049 and GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

func (ca *CA) extensions(tb testing.TB, spki []byte, t Template) []gost.Extension {
	tb.Helper()
	usage := t.KeyUsage
	switch {
	case usage != 0:
	case t.CA:
		usage = gost.UsageCertSign | gost.UsageCRLSign
	default:
		usage = gost.UsageDigitalSignature | gost.UsageContentCommitment
	}
	id := keyID(tb, spki)
	issuerID := id
	if ca.Certificate != nil {
		issuerID = ca.Certificate.SubjectKeyID
	}
	var constraints, ski, aki cryptobyte.Builder
	constraints.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if t.CA {
			b.AddASN1Boolean(true)
		}
	})
	ski.AddASN1OctetString(id)
	aki.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(issuerID) })
	})
	return slices.Concat([]gost.Extension{
		{OID: []int{2, 5, 29, 19}, Critical: true, Value: constraints.BytesOrPanic()},
		gost.KeyUsageExtension(usage),
		{OID: []int{2, 5, 29, 14}, Value: ski.BytesOrPanic()},
		{OID: []int{2, 5, 29, 35}, Value: aki.BytesOrPanic()},
	}, t.Extensions)
}

// keyID is the SHA-1 of the BIT STRING's content (RFC 5280 section 4.2.1.2), as OpenSSL computes it.
func keyID(tb testing.TB, der []byte) []byte {
	tb.Helper()
	spki := cryptobyte.String(der)
	var in cryptobyte.String
	var bits []byte
	if !spki.ReadASN1(&in, cbasn1.SEQUENCE) || !in.SkipASN1(cbasn1.SEQUENCE) || !in.ReadASN1BitStringAsBytes(&bits) {
		tb.Fatal("the public key has a strange encoding")
	}
	sum := sha1.Sum(bits)
	return sum[:]
}

// PEM returns certificates as one PEM file.
func PEM(certs ...*gost.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, c.PEM()...)
	}
	return out
}

// TimeStamping is the extended key usage of a time-stamping authority, alone and critical (RFC 3161 section 2.3).
var TimeStamping = gost.Extension{OID: []int{2, 5, 29, 37}, Critical: true,
	Value: []byte("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08")}

// Sign makes a signature as a token's key does, which is verified before it leaves.
func Sign(key *gost.PrivateKey, digest []byte) (gost.Verified, error) {
	signature, err := key.Sign(rand.Reader, digest, nil)
	if err != nil {
		return gost.Verified{}, err
	}
	return key.Public().(*gost.PublicKey).Prove(digest, signature)
}
