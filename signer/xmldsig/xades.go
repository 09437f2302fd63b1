package xmldsig

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
)

// qualifyingProperties writes the properties of XAdES-BES (ETSI EN 319 132-1 section 5): the claimed time and the signer's
// certificate by digest, issuer and serial number.
func qualifyingProperties(c *gost.Certificate, signature, id, reference string, at time.Time) string {
	digest := c.PublicKey.Algorithm.Digest
	h := digest.New()
	h.Write(c.Raw)
	var b strings.Builder
	b.WriteString(`<xades:QualifyingProperties xmlns:xades="` + nsXAdES + `" Target="#` + signature + `"><xades:SignedProperties Id="` +
		id + `"><xades:SignedSignatureProperties>`)
	if !at.IsZero() {
		b.WriteString(`<xades:SigningTime>` + at.Format(time.RFC3339) + `</xades:SigningTime>`)
	}
	b.WriteString(`<xades:SigningCertificateV2><xades:Cert><xades:CertDigest><ds:DigestMethod Algorithm="` + digest.URI +
		`"/><ds:DigestValue>` + base64Of(h.Sum(nil)) + `</ds:DigestValue></xades:CertDigest><xades:IssuerSerialV2>` +
		base64.StdEncoding.EncodeToString(issuerSerial(c)) + `</xades:IssuerSerialV2></xades:Cert></xades:SigningCertificateV2>` +
		`</xades:SignedSignatureProperties><xades:SignedDataObjectProperties><xades:DataObjectFormat ObjectReference="#` + reference +
		`"><xades:MimeType>text/xml</xades:MimeType></xades:DataObjectFormat></xades:SignedDataObjectProperties>` +
		`</xades:SignedProperties></xades:QualifyingProperties>`)
	return b.String()
}

// issuerSerial encodes IssuerSerial of RFC 5035: SEQUENCE { GeneralNames { directoryName }, CertificateSerialNumber }.
func issuerSerial(c *gost.Certificate) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(4).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(c.RawIssuer) })
		})
		b.AddASN1BigInt(c.Serial)
	})
	return b.BytesOrPanic() // cannot fail: nothing in it has an error
}

// isIssuerSerial tells whether der is the IssuerSerial of a certificate.
func isIssuerSerial(der []byte, c *gost.Certificate) bool {
	var outer, names, name cryptobyte.String
	serial := new(big.Int)
	in := cryptobyte.String(der)
	return in.ReadASN1(&outer, asn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1(&names, asn1.SEQUENCE) && outer.ReadASN1Integer(serial) && outer.Empty() &&
		names.ReadASN1(&name, asn1.Tag(4).ContextSpecific().Constructed()) && names.Empty() &&
		bytes.Equal(name, c.RawIssuer) && serial.Cmp(c.Serial) == 0
}
