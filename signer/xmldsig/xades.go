package xmldsig

import (
	"bytes"
	"encoding/base64"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
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

// qualifying checks the XAdES properties of a signature that has them, or must have them: they are covered, they are its own,
// and they name its signer.
func (e *examiner) qualifying(s *signature, profile *Profile, found []finding, leaf *gost.Certificate, out *report.Signature) {
	var all []int
	for _, object := range s.objects {
		all = append(all, e.named(object, "xades:QualifyingProperties")...)
	}
	fail := func(code report.Code, at int, format string, args ...any) {
		out.Add(failed(e.fail(code, at, format, args...)))
	}
	for _, object := range s.objects {
		for _, other := range e.named(object, "etsi:QualifyingProperties") {
			out.Add(report.Check{Code: report.XAdESProperties, Status: report.NotChecked, Place: e.place(other),
				Message: "properties of another version of XAdES than 1.3.2 are not understood"})
		}
	}
	own := -1 // SignedProperties
	switch {
	case len(all) > 1:
		fail(report.XAdESProperties, all[1], "more than one QualifyingProperties")
		return
	case len(all) == 1:
		if list := e.named(all[0], "xades:SignedProperties"); len(list) == 1 {
			own = list[0]
		}
	}
	for _, f := range found {
		if f.typ == typeSignedProperties && (own < 0 || f.node != own) {
			fail(report.XAdESProperties, f.reference.node, "the reference to SignedProperties does not mean those of this signature")
		}
	}
	switch {
	case own < 0 && (len(all) > 0 || profile != nil && profile.properties):
		fail(report.XAdESProperties, s.node, "the signature has no SignedProperties")
		return
	case own < 0:
		return
	}
	if out.Profile == "" {
		out.Profile = XAdESBES.Name
	}
	for _, unsigned := range e.named(all[0], "xades:UnsignedProperties") {
		out.Add(report.Check{Code: report.XAdESProperties, Status: report.NotChecked, Place: e.place(unsigned),
			Message: "unsigned properties, such as time-stamps, are not examined"})
	}
	if target, _ := e.nodes[all[0]].attr("", "Target"); !e.bears(s.node, strings.TrimPrefix(target, "#")) || !strings.HasPrefix(target, "#") {
		fail(report.XAdESProperties, all[0], "the properties are for another signature: Target is not its Id")
	}
	covered := false
	for _, f := range found {
		whole := true
		for _, t := range f.transforms {
			whole = whole && canon.IsCanonicalization(t.uri)
		}
		covered = covered || f.node == own && f.holds && whole
	}
	if !covered {
		fail(report.XAdESProperties, own, "no reference covers SignedProperties")
		return
	}
	out.Add(report.Check{Code: report.XAdESProperties, Message: "the signed properties are covered and belong to this signature", Place: e.place(own)})
	e.signedProperties(own, leaf, out)
}

// signedProperties reads the claimed time and compares the signing certificate.
func (e *examiner) signedProperties(properties int, leaf *gost.Certificate, out *report.Signature) {
	certs := 0
	for _, group := range e.named(properties, "xades:SignedSignatureProperties") {
		for _, p := range e.children(group) {
			switch e.nodes[p].sym {
			case "xades:SigningTime":
				at, err := parseTime(strings.Trim(string(e.nodes[p].text), blanks))
				if err != nil {
					out.Add(failed(e.fail(report.XAdESProperties, p, "SigningTime is no xs:dateTime")))
				}
				out.ClaimedTime = at
			case "xades:SigningCertificate", "xades:SigningCertificateV2":
				certs++
				if leaf == nil {
					continue
				}
				check := report.Check{Code: report.XAdESCertificate, Message: "the signing certificate is the signer's", Place: e.place(p)}
				if list := e.named(p, "xades:Cert"); len(list) == 0 || !e.names(list[0], leaf) {
					check.Status, check.Message = report.Failed, "the first certificate named is not the signer's"
				}
				out.Add(check)
			}
		}
	}
	if certs == 0 {
		out.Add(failed(e.fail(report.XAdESCertificate, properties, "the properties name no signing certificate")))
	}
}

// names tells whether a xades:Cert of either version means the certificate.
func (e *examiner) names(cert int, c *gost.Certificate) bool {
	digested := false
	for _, part := range e.children(cert) {
		switch e.nodes[part].sym {
		case "xades:CertDigest":
			method, value := e.named(part, "ds:DigestMethod"), e.named(part, "ds:DigestValue")
			if len(method) != 1 || len(value) != 1 {
				return false
			}
			uri, _ := e.nodes[method[0]].attr("", "Algorithm")
			digest := gost.DigestByURI(uri)
			want, err := decode(e.nodes[value[0]].text)
			if digest == nil || err != nil {
				return false
			}
			h := digest.New()
			h.Write(c.Raw)
			if !bytes.Equal(h.Sum(nil), want) {
				return false
			}
			digested = true
		case "xades:IssuerSerialV2":
			der, err := decode(e.nodes[part].text)
			if err != nil || !isIssuerSerial(der, c) {
				return false
			}
		case "xades:IssuerSerial":
			name, number := e.named(part, "ds:X509IssuerName"), e.named(part, "ds:X509SerialNumber")
			if len(name) != 1 || len(number) != 1 || len(e.nodes[number[0]].text) > 128 || len(e.nodes[name[0]].text) > 4096 {
				return false
			}
			serial, ok := new(big.Int).SetString(strings.Trim(string(e.nodes[number[0]].text), blanks), 10)
			if !ok || serial.Cmp(c.Serial) != 0 || !c.Issuer.MatchesString(strings.Trim(string(e.nodes[name[0]].text), blanks)) {
				return false
			}
		}
	}
	return digested
}

// parseTime reads xs:dateTime; a time without a zone is taken as UTC.
func parseTime(s string) (time.Time, error) {
	if len(s) > 64 {
		s = ""
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	return t, err
}
