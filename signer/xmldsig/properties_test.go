package xmldsig

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
)

// qualified signs <doc/> with properties that edit has changed before.
func (p *pair) qualified(t *testing.T, edit func(properties string) string) string {
	t.Helper()
	doc := []byte(`<doc><a>1</a></doc>`)
	o, err := locate(doc, xmltext.Limits{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pl := &plan{draft: draft{algorithm: p.cert.PublicKey.Algorithm, certificate: p.cert.Raw}}
	if err := pl.make(XAdESBES, o, &Input{Document: doc, Certificate: p.cert, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	pl.draft.properties = edit(pl.draft.properties)
	prepared, err := pl.digest(doc, o, p.cert.PublicKey, xmltext.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := prepared.Complete(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestProperties: what XAdES properties may hold is read, what is not understood is said so, what contradicts the signature
// is refused. Every digest and value in these documents holds.
func TestProperties(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	const (
		signature = "</xades:SignedSignatureProperties>"
		data      = "</xades:SignedDataObjectProperties>"
		end       = "</xades:QualifyingProperties>"
		policy    = `<xades:SignaturePolicyIdentifier><xades:SignaturePolicyId><xades:SigPolicyId><xades:Identifier>urn:oid:1.2.3</xades:Identifier></xades:SigPolicyId>` +
			`<xades:SigPolicyHash><ds:DigestMethod Algorithm="x"/><ds:DigestValue>AA==</ds:DigestValue></xades:SigPolicyHash></xades:SignaturePolicyId></xades:SignaturePolicyIdentifier>`
		commitment = `<xades:CommitmentTypeIndication><xades:CommitmentTypeId><xades:Identifier Qualifier="OIDAsURN">urn:oid:1.2.840.113549.1.9.16.6.1</xades:Identifier></xades:CommitmentTypeId>`
		place      = `<xades:SignatureProductionPlaceV2><xades:City>Москва</xades:City></xades:SignatureProductionPlaceV2>`
		role       = `<xades:SignerRoleV2><xades:ClaimedRoles><xades:ClaimedRole>директор</xades:ClaimedRole></xades:ClaimedRoles>`
		unsigned   = "<xades:UnsignedProperties><xades:UnsignedSignatureProperties>"
		close      = "</xades:UnsignedSignatureProperties></xades:UnsignedProperties>"
	)
	for _, c := range []struct {
		name, before, text string
		verdict            report.Verdict
		code               report.Code
		got                string // of a check
	}{
		{"as made", "", "", report.Valid, "", ""},
		{"place", signature, place, report.Valid, "", ""},
		{"claimed role", signature, role + "</xades:SignerRoleV2>", report.Valid, "", ""},
		{"certified role", signature, role + "<xades:CertifiedRolesV2/></xades:SignerRoleV2>", report.Indeterminate, "", ""},
		{"policy", signature, policy, report.Indeterminate, "", "urn:oid:1.2.3"},
		{"policy implied", signature, `<xades:SignaturePolicyIdentifier><xades:SignaturePolicyImplied/></xades:SignaturePolicyIdentifier>`,
			report.Indeterminate, "", ""},
		{"unknown property", signature, `<x:y xmlns:x="urn:x"/>`, report.Indeterminate, "", ""},
		{"two times", signature, `<xades:SigningTime>2026-01-01T00:00:00Z</xades:SigningTime>`, report.Invalid, report.XAdESProperties, ""},
		{"commitment", data, commitment + `<xades:AllSignedDataObjects/></xades:CommitmentTypeIndication>`, report.Valid,
			"", "urn:oid:1.2.840.113549.1.9.16.6.1"},
		{"commitment to an object", data,
			commitment + `<xades:ObjectReference>#reference</xades:ObjectReference></xades:CommitmentTypeIndication>`,
			report.Valid, "", ""},
		{"commitment to another object", data,
			commitment + `<xades:ObjectReference>#other</xades:ObjectReference></xades:CommitmentTypeIndication>`,
			report.Invalid, report.XAdESProperties, ""},
		{"commitment with a qualifier", data,
			commitment + `<xades:AllSignedDataObjects/><xades:CommitmentTypeQualifiers/></xades:CommitmentTypeIndication>`,
			report.Indeterminate, "", ""},
		{"format of another object", data, `<xades:DataObjectFormat ObjectReference="#other"/>`, report.Invalid,
			report.XAdESProperties, ""},
		{"format of an object elsewhere", data, `<xades:DataObjectFormat ObjectReference="file"/>`, report.Invalid,
			report.XAdESProperties, ""},
		{"time-stamp of the content", data, `<xades:AllDataObjectsTimeStamp/>`, report.Indeterminate, "", ""},
		{"no unsigned properties", end, `<xades:UnsignedProperties/>`, report.Valid, "", ""},
		{"certificates", end, unsigned + `<xades:CertificateValues><xades:EncapsulatedX509Certificate>` +
			base64Of(p.root.Raw) + `</xades:EncapsulatedX509Certificate></xades:CertificateValues>` + close, report.Valid, "", ""},
		{"a certificate that cannot be read", end,
			unsigned + `<xades:CertificateValues><xades:EncapsulatedX509Certificate>AAAA</xades:EncapsulatedX509Certificate></xades:CertificateValues>` + close, report.Indeterminate, "", ""},
		{"revocation values", end, unsigned + `<xades:RevocationValues/>` + close, report.Indeterminate, "", ""},
		{"of version 1.4.1", end, unsigned + `<x:ArchiveTimeStamp xmlns:x="http://uri.etsi.org/01903/v1.4.1#"/>` + close,
			report.Indeterminate, "", ""},
		{"of the content", end, `<xades:UnsignedProperties><xades:UnsignedDataObjectProperties/></xades:UnsignedProperties>`,
			report.Indeterminate, "", ""},
		{"a countersignature that is none", end, unsigned + `<xades:CounterSignature>x</xades:CounterSignature>` + close,
			report.Indeterminate, "", ""},
		{"a time-stamp that is none", end,
			unsigned + `<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>AAAA</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>` + close, report.Invalid, report.TimeStampToken, ""},
		{"a time-stamp in no base64", end,
			unsigned + `<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp>!</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>` +
				close, report.Invalid, report.TimeStampToken, ""},
		{"a time-stamp in XER", end, unsigned +
			`<xades:SignatureTimeStamp><xades:EncapsulatedTimeStamp Encoding="http://uri.etsi.org/01903/v1.2.2#XER">AAAA</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>` + close, report.Indeterminate, "", ""},
		{"a time-stamp in XML", end, unsigned + `<xades:SignatureTimeStamp><xades:XMLTimeStamp/></xades:SignatureTimeStamp>` + close,
			report.Indeterminate, "", ""},
		{"a time-stamp of other octets", end,
			unsigned + `<xades:SignatureTimeStamp><ds:CanonicalizationMethod Algorithm="urn:x"/><xades:EncapsulatedTimeStamp>AAAA</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp>` + close, report.Indeterminate, "", ""},
		{"two of them", end, `</xades:QualifyingProperties><xades:QualifyingProperties xmlns:xades="` + nsXAdES + `">`,
			report.Invalid, report.XAdESProperties, ""},
		{"a reference to more", end, `</xades:QualifyingProperties><xades:QualifyingPropertiesReference xmlns:xades="` +
			nsXAdES + `" URI="file"/><xades:QualifyingProperties xmlns:xades="` + nsXAdES + `">`, report.Invalid,
			report.XAdESProperties, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := p.qualified(t, func(s string) string {
				if c.before != "" && !strings.Contains(s, c.before) {
					t.Fatal("nothing to change")
				}
				return strings.Replace(s, c.before, c.text+c.before, 1)
			})
			r, err := Verify([]byte(doc), Policy{Trust: p.store})
			if err != nil || r.Verdict() != c.verdict {
				t.Fatalf("%v %s%s", err, r.Verdict(), messages(r))
			}
			if c.code != "" && !slices.Contains(codes(r.Failures()), c.code) {
				t.Errorf("want %s, got%s", c.code, messages(r))
			}
			if !slices.ContainsFunc(r.Signatures[0].Checks, func(check report.Check) bool { return check.Got == c.got }) {
				t.Errorf("no check with %s", c.got)
			}
		})
	}
	for name, edit := range map[string]func(string) string{
		"no certificate": func(s string) string {
			return strings.Replace(s, cut(s, "<xades:SigningCertificateV2>", "</xades:SigningCertificateV2>"), "", 1)
		},
		"two, one wrong": func(s string) string {
			own := cut(s, "<xades:Cert>", "</xades:Cert>")
			digest := cut(own, "<ds:DigestValue>", "</ds:DigestValue>")
			return strings.Replace(s, own,
				strings.Replace(own, digest, "<ds:DigestValue>"+base64Of(make([]byte, 32))+"</ds:DigestValue>", 1)+own, 1)
		},
		"weak digest": func(s string) string {
			return strings.Replace(s, gost.Streebog256.URI, "http://www.w3.org/2000/09/xmldsig#sha1", 1)
		},
	} {
		r, err := Verify([]byte(p.qualified(t, edit)), Policy{Trust: p.store})
		if err != nil || !slices.Contains(codes(r.Failures()), report.XAdESCertificate) {
			t.Errorf("%s: %v%s", name, err, messages(r))
		}
	}
	older := strings.Replace(string(vectors.Read(t, "gost/xmldsig/42-xades-bes-v2.xml")), "<ds:Object>",
		`<ds:Object><x:QualifyingProperties xmlns:x="http://uri.etsi.org/01903/v1.2.2#"/>`, 1)
	if r, err := Verify([]byte(older), Policy{}); err != nil || r.Integrity() != report.Indeterminate {
		t.Errorf("older properties: %v %s%s", err, r.Integrity(), messages(r))
	}
}

// TestCountersignature: a signature in the unsigned properties of another covers the value of that one, or is refused.
func TestCountersignature(t *testing.T) {
	p, notary := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_512, "tc26-512-A")
	doc := strings.Replace(string(p.sign(t, XAdESBES, Input{Document: []byte(`<doc><a Id="a">1</a><b Id="b"/></doc>`), Target: "a"})),
		"<ds:SignatureValue>", `<ds:SignatureValue Id="value">`, 1)
	insert := func(target string) string {
		signed := string(notary.sign(t, Detached, Input{Document: []byte(doc), Target: target}))
		counter := signed[strings.LastIndex(signed, "<ds:Signature "):strings.LastIndex(signed, "</doc>")]
		return strings.Replace(doc, "</xades:QualifyingProperties>",
			"<xades:UnsignedProperties><xades:UnsignedSignatureProperties><xades:CounterSignature>"+
				counter+"</xades:CounterSignature></xades:UnsignedSignatureProperties></xades:UnsignedProperties></xades:QualifyingProperties>", 1)
	}
	for target, want := range map[string]report.Verdict{"#value": report.Valid, "#b": report.Invalid,
		"#signed-properties": report.Invalid} {
		for _, policy := range []Policy{{}, {Profile: XAdESBES, Target: "a"}} {
			policy.Trust = trusting(p, notary)
			r, err := Verify([]byte(insert(target)), policy)
			if err != nil || r.Verdict() != want || len(r.Signatures) != 2 || r.Signatures[1].Name != "xades:CounterSignature" {
				t.Fatalf("%s: %v %s%s", target, err, r.Verdict(), messages(r))
			}
			if want == report.Invalid && (r.Signatures[0].Verdict() != report.Valid ||
				!slices.Contains(codes(r.Failures()), report.CoverageWrong)) {
				t.Errorf("%s:%s", target, messages(r))
			}
		}
	}
	if r, err := Verify([]byte(insert("#value")), Policy{Profile: Detached, Target: "value", Trust: trusting(p, notary)}); err != nil ||
		r.Verdict() != report.Invalid {
		t.Errorf("a countersignature for the signature asked for: %v", err)
	}
}
