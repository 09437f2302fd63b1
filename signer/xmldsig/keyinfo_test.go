package xmldsig

import (
	"crypto/sha1"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// TestTokens: the ways in which a WS-Security header names its certificate. KeyInfo is not covered by the signature, so each
// document is the same signature with another KeyInfo.
func TestTokens(t *testing.T) {
	p, other := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_256, "CryptoPro-A")
	doc := string(p.sign(t, SMEV2, Input{Document: []byte(messagesToSign()[16].doc)}))
	token := cut(doc, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>")
	reference := cut(doc, "<wsse:Reference", "/>")
	path := func(certs ...*gost.Certificate) string {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, c := range certs {
				b.AddBytes(c.Raw)
			}
		})
		return base64Of(b.BytesOrPanic())
	}
	asPath := func(content string) string {
		return strings.NewReplacer(tokenX509+`" wsu`, tokenPKIPath+`" wsu`, base64Of(p.cert.Raw), content).Replace(doc)
	}
	by := func(how string) string { return strings.Replace(doc, reference, how, 1) }
	identifier := func(valueType string, value []byte) string {
		return by(`<wsse:KeyIdentifier ValueType="` + valueType + `" EncodingType="` + tokenBase64 + `">` +
			base64Of(value) + `</wsse:KeyIdentifier>`)
	}
	serial := func(number string) string {
		return by(`<ds:X509Data><ds:X509IssuerSerial><ds:X509IssuerName>` + p.cert.Issuer.String() +
			`</ds:X509IssuerName><ds:X509SerialNumber>` +
			number + `</ds:X509SerialNumber></ds:X509IssuerSerial></ds:X509Data>`)
	}
	thumbprint, foreign := sha1.Sum(p.cert.Raw), sha1.Sum(other.cert.Raw)
	two := strings.Replace(identifier(keySKI, p.cert.SubjectKeyID), token,
		strings.NewReplacer(base64Of(p.cert.Raw), base64Of(other.cert.Raw), "SenderCert", "x").Replace(token)+token, 1)
	for _, c := range []struct {
		name, doc string
		code      report.Code // empty: valid
	}{
		{"as made", doc, ""},
		{"without ValueType", strings.Replace(doc, ` ValueType="`+tokenX509+`"/>`, "/>", 1), ""},
		{"without #", strings.Replace(doc, `URI="#SenderCert"`, `URI="SenderCert"`, 1), ""},
		{"PKIPath", asPath(path(p.root, p.cert)), ""},
		{"PKIPath of one", asPath(path(p.cert)), ""},
		{"PKIPath of another", asPath(path(other.root, other.cert)), report.SignatureValue},
		{"PKIPath that is a certificate", asPath(base64Of(p.cert.Raw)), report.CertSyntax},
		{"PKIPath with more behind", asPath(path(p.cert)[:4] + "AAAA"), report.CertSyntax},
		{"empty PKIPath", asPath(path()), report.CertSyntax},
		{"PKIPath too long", asPath(path(slices.Repeat([]*gost.Certificate{p.cert}, maxCertificates+1)...)), report.CertSyntax},
		{"PKCS#7", strings.Replace(doc, tokenX509+`" wsu`, strings.Replace(tokenX509, "X509v3", "PKCS7", 1)+`" wsu`, 1), report.KeyInfo},
		{"subject key identifier", identifier(keySKI, p.cert.SubjectKeyID), ""},
		{"subject key identifier among two tokens", two, ""},
		{"subject key identifier of another", identifier(keySKI, other.cert.SubjectKeyID), report.KeyInfo},
		{"thumbprint", identifier(keyThumbprint, thumbprint[:]), ""},
		{"thumbprint of another", identifier(keyThumbprint, foreign[:]), report.KeyInfo},
		{"empty identifier", identifier(keySKI, nil), report.KeyInfo},
		{"identifier of an unknown type", identifier("urn:x", p.cert.SubjectKeyID), report.KeyInfo},
		{"issuer and serial number", serial(p.cert.Serial.String()), ""},
		{"another serial number", serial("7"), report.KeyInfo},
		{"embedded", by(`<wsse:Embedded>` + strings.Replace(token, "SenderCert", "x", 1) + `</wsse:Embedded>`), report.KeyInfo},
		{"key name", by(`<ds:KeyName>x</ds:KeyName>`), report.KeyInfo},
		{"two references", by(reference + reference), report.KeyInfo},
	} {
		r, err := Verify([]byte(c.doc), Policy{Trust: p.store})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		switch got := codes(r.Failures()); {
		case c.code == "" && (r.Verdict() != report.Valid || !slices.Equal(r.Signatures[0].Signer.Certificate, p.cert.Raw)):
			t.Errorf("%s: %s%s", c.name, r.Verdict(), messages(r))
		case c.code != "" && !slices.Contains(got, c.code):
			t.Errorf("%s: want %s, got%s", c.name, c.code, messages(r))
		}
	}
}
