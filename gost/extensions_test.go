package gost_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
)

// withTail rebuilds a certificate of the given version with other fields after subjectPublicKeyInfo; its signature is wrong.
func withTail(t *testing.T, version int64, tail string) []byte {
	t.Helper()
	leaf := readCertificate(t, "2012-256-cpA/leaf.pem")
	octets, err := hex.DecodeString(tail)
	if err != nil {
		t.Fatal(err)
	}
	algorithm := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(leaf.SignatureOID) })
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			if version > 1 {
				b.AddASN1(cbasn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) { b.AddASN1Int64(version - 1) })
			}
			b.AddASN1BigInt(leaf.Serial)
			algorithm(b)
			b.AddBytes(leaf.RawIssuer)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1UTCTime(leaf.NotBefore)
				b.AddASN1GeneralizedTime(leaf.NotAfter)
			})
			b.AddBytes(leaf.RawSubject)
			b.AddBytes(leaf.RawSubjectPublicKeyInfo)
			b.AddBytes(octets)
		})
		algorithm(b)
		b.AddASN1BitString(leaf.Signature)
	})
	return b.BytesOrPanic()
}

// tlv is the hexadecimal of an element whose content is given in hexadecimal.
func tlv(tag byte, content ...string) string {
	s := strings.Join(content, "")
	return fmt.Sprintf("%02x%02x%s", tag, len(s)/2, s)
}

// extensionList is the field with one extension of the arc 2.5.29.
func extensionList(arc byte, value string) string {
	return tlv(0xa3, tlv(0x30, tlv(0x30, tlv(0x06, fmt.Sprintf("551d%02x", arc)), tlv(0x04, value))))
}

func TestExtensionFields(t *testing.T) {
	const year = "32303236303130313030303030305a" // 20260101000000Z
	for _, tc := range []struct {
		name  string
		arc   byte
		value string
		want  string // what the certificate says; empty: refused
	}{
		{"key usage", 15, "030206c0", "digitalSignature, contentCommitment"},
		{"key usage with a trailing zero bit", 15, "030200c0", "digitalSignature, contentCommitment"},
		{"key usage of nine bits", 15, "0303070080", "decipherOnly"},
		{"key usage without bits", 15, "030100", "none"},
		{"key usage with dirty unused bits", 15, "030206ff", ""},
		{"key usage with octets after it", 15, "030206c000", ""},
		{"CA", 19, "30030101ff", "true -1"},
		{"CA with path length", 19, "30060101ff020103", "true 3"},
		{"not a CA", 19, "3000", "false -1"},
		{"cA FALSE written out", 19, "3003010100", "false -1"},
		{"cA 01", 19, "3003010101", ""},
		{"path length below zero", 19, "30060101ff0201ff", ""},
		{"path length not minimal", 19, "30070101ff02020003", ""},
		{"path length of five octets", 19, "300a0101ff02057fffffffff", ""},
		{"subject key id", 14, "04020102", "0102"},
		{"subject key id of another type", 14, "03020102", ""},
		{"authority key id", 35, "300480020102", "0102"},
		{"authority key id with issuer and serial", 35, "3009" + "80020102" + "a100" + "820101", "0102"},
		{"authority without key id", 35, "3000", "none"},
		{"authority key id with octets after it", 35, "3006800201020500", ""},
		{"key purposes", 37, tlv(0x30, "06082b06010505070302"), "[1.3.6.1.5.5.7.3.2]"},
		{"no key purpose", 37, "3000", ""},
		{"too many key purposes", 37, "3081" + fmt.Sprintf("%02x", 65*3) + strings.Repeat("06012a", 65), ""},
		{"policies", 32, tlv(0x30, tlv(0x30, tlv(0x06, "2a8503647101")), tlv(0x30, tlv(0x06, "2a8503647102"), "3000")),
			"[1.2.643.100.113.1 1.2.643.100.113.2]"},
		{"no policy", 32, "3000", ""},
		{"policy with a number for a qualifier", 32, tlv(0x30, tlv(0x30, tlv(0x06, "2a03"), "020101")), ""},
		{"key period", 16, tlv(0x30, tlv(0x80, year), tlv(0x81, year)), "2026 2026"},
		{"key period without a beginning", 16, tlv(0x30, tlv(0x81, year)), "1 2026"},
		{"empty key period", 16, "3000", ""},
		{"key period with fractions", 16, tlv(0x30, tlv(0x80, "32303236303130313030303030302e355a")), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			value := tc.value
			tail := extensionList(tc.arc, value)
			if len(value)/2 > 100 { // beyond the short form of the length
				var b cryptobyte.Builder
				b.AddASN1(cbasn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
					octets, _ := hex.DecodeString(value)
					der, err := gost.MarshalExtensions([]gost.Extension{{OID: []int{2, 5, 29, int(tc.arc)}, Value: octets}})
					if err != nil {
						t.Fatal(err)
					}
					b.AddBytes(der)
				})
				tail = hex.EncodeToString(b.BytesOrPanic())
			}
			c, err := gost.ParseCertificate(withTail(t, 3, tail))
			if tc.want == "" {
				if err == nil || !strings.Contains(err.Error(), "not what RFC 5280 section 4.2.1 defines") {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			have := map[byte]string{
				14: hex.EncodeToString(c.SubjectKeyID),
				15: c.KeyUsage.String(),
				16: fmt.Sprint(c.PrivateKeyNotBefore.Year(), c.PrivateKeyNotAfter.Year()),
				19: fmt.Sprint(c.IsCA, c.MaxPathLen),
				32: fmt.Sprint(c.Policies),
				35: hex.EncodeToString(c.AuthorityKeyID),
				37: fmt.Sprint(c.ExtKeyUsage),
			}[tc.arc]
			if tc.want == "none" && have == "" {
				have = "none"
			}
			if have != tc.want || c.HasKeyUsage != (tc.arc == 15) || c.HasBasicConstraints != (tc.arc == 19) {
				t.Errorf("%s, want %s", have, tc.want)
			}
		})
	}
}

func TestTailFields(t *testing.T) {
	ski := tlv(0x30, tlv(0x06, "551d0e"), tlv(0x04, "04020102"))
	for _, tc := range []struct {
		name    string
		version int64
		tail    string
		err     string
	}{
		{"v1", 1, "", ""},
		{"v2 with unique identifiers", 2, "81020001" + "82020001", ""},
		{"v3 with everything", 3, "81020001" + "82020001" + tlv(0xa3, tlv(0x30, ski)), ""},
		{"v1 with a unique identifier", 1, "81020001", "issuerUniqueID: not allowed in v1"},
		{"v2 with extensions", 2, tlv(0xa3, tlv(0x30, ski)), "extensions: not allowed in v2"},
		{"v4", 4, "", "version: 3"},
		{"unknown field", 3, "a400", "unknown field"},
		{"no extension in the list", 3, "a3023000", "empty list"},
		{"octets after the list", 3, tlv(0xa3, tlv(0x30, ski), "0500"), "octets follow"},
		{"list of another type", 3, tlv(0xa3, tlv(0x31, ski)), "not a DER SEQUENCE"},
		{"extension without a name", 3, tlv(0xa3, tlv(0x30, "3000")), "begins with its OBJECT IDENTIFIER"},
		{"extension without a value", 3, tlv(0xa3, tlv(0x30, tlv(0x30, tlv(0x06, "551d0e")))), "does not end with its OCTET STRING"},
		{"critical FALSE written out", 3, tlv(0xa3, tlv(0x30, tlv(0x30, tlv(0x06, "551d0e"), "010100", tlv(0x04, "0400")))), ""},
		{"extension twice", 3, tlv(0xa3, tlv(0x30, ski, ski)), "comes twice"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gost.ParseCertificate(withTail(t, tc.version, tc.tail))
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
	if _, err := gost.ParseCertificate(make([]byte, 1<<16+1)); err == nil || !strings.Contains(err.Error(), "exceed the limit") {
		t.Errorf("64 KiB and one: %v", err)
	}
}
