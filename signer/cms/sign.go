package cms

import (
	"bytes"
	"encoding/asn1"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Input is what to sign.
type Input struct {
	Content     []byte
	Digest      []byte    // instead of Content, for detached profiles: digest of the content with the key's hash, wire order
	Reader      io.Reader // instead of Content, for detached profiles: content of any size, read to its end by Prepare
	Certificate *gost.Certificate
	Chain       []*gost.Certificate // further certificates to include; the root is left out
	Time        time.Time           // signingTime
	Signer      []int               // to countersign: which signature of Content; nil: its only one. See [Countersignature]
}

// Prepared is a message that awaits its signature. Immutable, safe for concurrent use.
type Prepared struct {
	profile    *Profile
	input      Input
	algorithm  *gost.Algorithm
	attributes []byte // contents of the SET OF, DER
	digest     []byte
	of         []byte // value of messageDigest

	bare          bool        // leave out certificates
	countersigned *signedData // of a countersignature: the message, and where in it
	path          []int
}

// Prepare checks everything that can be checked before a key is touched. Errors are *report.Error: RequestInvalid,
// KeyUnusable, CertTime, CertKeyPeriod, CertUsage, CertExtension; or that of in.Reader. The content must not change until Complete.
func (p *Profile) Prepare(in Input) (*Prepared, error) {
	if err := p.check(in); err != nil {
		return nil, err
	}
	if p == Countersignature {
		return prepareCountersignature(in)
	}
	messageDigest := in.Digest
	switch {
	case in.Reader != nil:
		d := newDigester([]*digest{digestByOID(in.Certificate.PublicKey.Algorithm.Digest.OID)})
		if _, err := copyContent(in.Reader, d.write); err != nil {
			return nil, err
		}
		messageDigest = d.hashes[0].Sum(nil)
	case messageDigest == nil:
		messageDigest = sum(in.Certificate.PublicKey.Algorithm.Digest.New(), in.Content)
	}
	return p.prepare(in, messageDigest), nil
}

// prepare makes the attributes, RFC 5652 sections 11.1 to 11.4.
func (p *Profile) prepare(in Input, messageDigest []byte) *Prepared {
	a := in.Certificate.PublicKey.Algorithm
	attributes := [][]byte{
		encodeAttribute(oidSigningTime, func(b *cryptobyte.Builder) { addTime(b, in.Time) }),
		encodeAttribute(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(messageDigest) }),
	}
	if p != Countersignature {
		attributes = append(attributes,
			encodeAttribute(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(p.content()) }))
	}
	if p.CAdES {
		attributes = append(attributes, encodeAttribute(oidSigningCertificateV2, func(b *cryptobyte.Builder) {
			addSigningCertificate(b, in.Certificate, a.Digest)
		}))
	}
	slices.SortFunc(attributes, bytes.Compare)
	prepared := &Prepared{profile: p, input: in, algorithm: a, attributes: slices.Concat(attributes...), of: messageDigest}
	prepared.digest = sum(a.Digest.New(), setOf(prepared.attributes))
	return prepared
}

func (p *Profile) check(in Input) error {
	refuse := func(code report.Code, format string, args ...any) error {
		return report.Errorf(code, report.Place{}, format, args...)
	}
	c := in.Certificate
	switch {
	case c == nil:
		return refuse(report.KeyUnusable, "the key has no certificate")
	case c.PublicKey == nil:
		return &report.Error{Code: report.KeyUnusable, Message: "the certificate's key is not usable", Err: c.PublicKeyErr}
	case c.PublicKey.Algorithm == gost.GOST2001:
		return refuse(report.KeyUnusable, "nothing new is signed with GOST R 34.10-2001")
	case in.Time.IsZero():
		return refuse(report.RequestInvalid, "the signing time is missing")
	case in.Time.UTC().Year() < 1950 || in.Time.UTC().Year() > 9999:
		return refuse(report.RequestInvalid, "the signing time cannot be written")
	case in.Digest != nil && !p.Detached:
		return refuse(report.RequestInvalid, "a digest cannot replace the content of an attached signature")
	case in.Reader != nil && !p.Detached:
		return refuse(report.RequestInvalid, "a reader cannot replace the content of an attached signature; NewStream takes it")
	case count(in.Digest != nil, in.Content != nil, in.Reader != nil) > 1:
		return refuse(report.RequestInvalid, "more than one of content, digest and reader is given")
	case in.Digest != nil && len(in.Digest) != c.PublicKey.Algorithm.Digest.Size:
		return refuse(report.RequestInvalid, "the digest has %d octets, %s has %d",
			len(in.Digest), c.PublicKey.Algorithm.Digest.Name, c.PublicKey.Algorithm.Digest.Size)
	case in.Time.Before(c.NotBefore) || in.Time.After(c.NotAfter):
		return refuse(report.CertTime, "the certificate is valid from %s to %s, not at %s",
			stamp(c.NotBefore), stamp(c.NotAfter), stamp(in.Time))
	case !c.PrivateKeyNotBefore.IsZero() && in.Time.Before(c.PrivateKeyNotBefore),
		!c.PrivateKeyNotAfter.IsZero() && in.Time.After(c.PrivateKeyNotAfter):
		return refuse(report.CertKeyPeriod, "the private key's usage period does not cover %s", stamp(in.Time))
	case c.HasKeyUsage && c.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return refuse(report.CertUsage, "the certificate's key usage does not allow signing documents")
	case len(c.UnknownCritical) > 0:
		return refuse(report.CertExtension, "the certificate has the unknown critical extension %s", c.UnknownCritical[0])
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Digest is what the key must sign, in wire order.
func (p *Prepared) Digest() []byte { return bytes.Clone(p.digest) }

// Contents is the value of messageDigest: the digest of the content, or of the signature value that is countersigned. It must
// not be changed.
func (p *Prepared) Contents() [][]byte { return [][]byte{p.of} }

// Complete checks the signature (s ‖ r) with the certificate's key and returns the message: DER, or, for a countersignature,
// with what was there before as it was.
func (p *Prepared) Complete(signature []byte) ([]byte, error) {
	if err := p.verify(signature); err != nil {
		return nil, err
	}
	return p.assemble(signature), nil
}

// CompleteVerified is Complete with a signature that need not be checked again, provided that it was with the certificate's key
// and over this digest; any other is.
func (p *Prepared) CompleteVerified(signature gost.Verified) ([]byte, error) {
	value, err := p.accept(signature)
	if err != nil {
		return nil, err
	}
	return p.assemble(value), nil
}

// accept verifies a signature, unless it has been.
func (p *Prepared) accept(signature gost.Verified) ([]byte, error) {
	value := signature.Signature()
	if signature.Of(p.input.Certificate.PublicKey, p.digest) {
		return value, nil
	}
	return value, p.verify(value)
}

func (p *Prepared) assemble(signature []byte) []byte {
	if p.countersigned != nil {
		return p.countersign(signature)
	}
	var content []byte
	if !p.profile.Detached {
		content = p.input.Content
		if content == nil {
			content = []byte{}
		}
	}
	return p.assembly(signature).message(content)
}

func (p *Prepared) verify(signature []byte) error {
	if err := p.input.Certificate.PublicKey.Verify(p.digest, signature); err != nil {
		return &report.Error{
			Code: report.SignatureValue, Message: "the signature does not verify with the certificate's key", Err: err,
		}
	}
	return nil
}

// assembly is the message that Complete makes.
func (p *Prepared) assembly(signature []byte) *assembly {
	return &assembly{
		contentType: p.profile.content(), certificates: p.certificates(),
		digestAlgorithms: [][]byte{encodeAlgorithm(p.algorithm.Digest.OID)}, signers: [][]byte{p.signerInfo(signature)},
	}
}

func (p *Prepared) signerInfo(signature []byte) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { p.addSignerInfo(b, signature) })
	return b.BytesOrPanic() // a parsed certificate, attributes in memory: nothing here can fail
}

// addSignerInfo writes RFC 5652 section 5.3. The signature algorithm is written as RFC 4490 section 3.2 shows it, the
// identifier of the key with NULL, which every known verifier accepts.
func (p *Prepared) addSignerInfo(b *cryptobyte.Builder, signature []byte) {
	b.AddASN1Int64(1)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(p.input.Certificate.RawIssuer)
		b.AddASN1BigInt(p.input.Certificate.Serial)
	})
	addAlgorithm(b, p.algorithm.Digest.OID)
	b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(p.attributes) })
	addAlgorithm(b, p.algorithm.PublicKey)
	b.AddASN1OctetString(signature)
}

// certificates returns the signer's certificate and the chain without roots, each once, in the order of DER.
func (p *Prepared) certificates() [][]byte {
	if p.bare {
		return nil
	}
	list := [][]byte{p.input.Certificate.Raw}
	for _, c := range p.input.Chain {
		if !c.Subject.Equal(c.Issuer) {
			list = append(list, c.Raw)
		}
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.CompactFunc(list, bytes.Equal)
}

func encodeAttribute(oid asn1.ObjectIdentifier, value func(*cryptobyte.Builder)) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.SET, value)
	})
	return b.BytesOrPanic() // fixed identifiers, a checked time, a parsed certificate: nothing here can fail
}

func encodeAlgorithm(oid asn1.ObjectIdentifier) []byte {
	b := cryptobyte.NewBuilder(nil)
	addAlgorithm(b, oid)
	return b.BytesOrPanic() // a fixed identifier
}

// addAlgorithm writes an AlgorithmIdentifier with NULL, as OpenSSL does everywhere in a message.
func addAlgorithm(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1NULL()
	})
}

// addTime writes UTCTime until 2049 and GeneralizedTime after, RFC 5652 section 11.3.
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC()
	if t.Year() >= 2050 {
		b.AddASN1GeneralizedTime(t)
		return
	}
	b.AddASN1UTCTime(t)
}

// addSigningCertificate writes SigningCertificateV2 with one ESSCertIDv2 (RFC 5035 section 4).
func addSigningCertificate(b *cryptobyte.Builder, c *gost.Certificate, d *gost.Digest) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addAlgorithm(b, d.OID)
				b.AddASN1OctetString(sum(d.New(), c.Raw))
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(cbasn1.Tag(4).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
							b.AddBytes(c.RawIssuer)
						})
					})
					b.AddASN1BigInt(c.Serial)
				})
			})
		})
	})
}
