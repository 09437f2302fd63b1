package gost_test

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

func TestRequests(t *testing.T) {
	want := map[string]string{ // a word of the error
		"csr/bad-signature.pem":      "does not verify",
		"csr/swapped.pem":            "does not verify",
		"csr/wrong-key.pem":          "does not verify",
		"csr/point-not-on-curve.pem": "not on the curve",
		"csr/version-1.pem":          "version: 1 is not v1 (0)",
	}
	index := readCertIndex(t)
	if len(index.Requests) != 11 {
		t.Fatalf("%d requests", len(index.Requests))
	}
	for _, tc := range index.Requests {
		t.Run(tc.File, func(t *testing.T) {
			r, err := gost.ParseRequest(readPEM(t, tc.File))
			if err == nil {
				err = r.CheckSignature()
			}
			vectors.Outcome(t, "requests", tc.File, tc.Expect, vectors.Verdict(err == nil))
			if (err == nil) != (tc.Expect == "valid") {
				t.Fatalf("%v, want %s: %s", err, tc.Expect, tc.Reason)
			}
			if err != nil && (want[tc.File] == "" || !strings.Contains(err.Error(), want[tc.File])) {
				t.Fatalf("%v, want %q", err, want[tc.File])
			}
		})
	}
}

func TestCorpusRequests(t *testing.T) {
	n := 0
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if row["kind"] != "x509-csr" {
			continue
		}
		r, err := gost.ParseRequest(vectors.ReadOthers(t, "corpus/"+row["files"]), gost.AllowTestParams())
		if err == nil {
			err = r.CheckSignature()
		}
		vectors.Outcome(t, "corpus requests", row["id"], row["verdict"], vectors.Verdict(err == nil))
		if (err == nil) != (row["verdict"] == "valid") {
			t.Errorf("%s: %v, want %s", row["id"], err, row["verdict"])
		}
		n++
	}
	t.Logf("%d requests", n)
	if n == 0 {
		t.Error("none checked")
	}
}

func generate(tb testing.TB, a *gost.Algorithm, params string) (*gost.PrivateKey, *gost.PublicKey) {
	tb.Helper()
	key, err := gost.GenerateKey(rand.Reader, a, gost.ParamSetByName(params))
	if err != nil {
		tb.Fatal(err)
	}
	return key, key.Public().(*gost.PublicKey)
}

func mustName(tb testing.TB, s string) gost.Name {
	tb.Helper()
	n, err := gost.ParseName(s)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// must unwraps what cannot fail in a test.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMakeRequest(t *testing.T) {
	subject := mustName(t, "CN=Портал,OGRN=1047702026701,O=Ведомство,C=RU")
	full := gost.RequestTemplate{
		Subject:  subject,
		KeyUsage: gost.UsageDigitalSignature | gost.UsageContentCommitment,
		Extensions: []gost.Extension{
			must(gost.SubjectSignToolExtension("Токен")),
			must(gost.IdentificationKindExtension(gost.IdentifiedInPerson)),
			must(gost.SigningToolClassExtension("KC2")),
		},
	}
	for _, tc := range []struct {
		name      string
		algorithm *gost.Algorithm
		params    string
		template  gost.RequestTemplate
	}{
		{"256, everything asked for", gost.GOST2012_256, "CryptoPro-A", full},
		{"256, nothing asked for", gost.GOST2012_256, "tc26-256-A", gost.RequestTemplate{Subject: subject}},
		{"512", gost.GOST2012_512, "tc26-512-C", full},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key, public := generate(t, tc.algorithm, tc.params)
			prepared, err := gost.PrepareRequest(tc.template, public)
			if err != nil {
				t.Fatal(err)
			}
			signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
			if err != nil {
				t.Fatal(err)
			}
			der, err := prepared.Complete(signature)
			if err != nil {
				t.Fatal(err)
			}
			r, err := gost.ParseRequest(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.CheckSignature(); err != nil {
				t.Error(err)
			}
			want := len(tc.template.Extensions)
			if tc.template.KeyUsage != 0 {
				want++
			}
			if !r.Subject.Equal(subject) || !r.PublicKey.Equal(public) || len(r.Extensions) != want {
				t.Errorf("subject %s, %d extensions", r.Subject, len(r.Extensions))
			}
			signature[0] ^= 1
			if _, err := prepared.Complete(signature); !errors.Is(err, gost.ErrVerification) {
				t.Errorf("a wrong signature: %v", err)
			}
			if _, err := prepared.Complete(signature[1:]); !errors.Is(err, gost.ErrSignatureLength) {
				t.Errorf("a short signature: %v", err)
			}

			file := filepath.Join(t.TempDir(), "request.pem")
			if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := oracle.OpenSSL(t, nil, "req", "-in", file, "-verify", "-noout", "-text")
			if err != nil {
				t.Fatal(err)
			}
			if want != 0 && (!strings.Contains(string(out), "Digital Signature, Non Repudiation") ||
				!strings.Contains(string(out), "KC2")) {
				t.Errorf("OpenSSL reads\n%s", out)
			}
		})
	}
}

func TestPrepareRequestRefuses(t *testing.T) {
	_, public := generate(t, gost.GOST2012_256, "CryptoPro-A")
	old := readCertificate(t, "2001-cpA/leaf.pem").PublicKey
	subject := mustName(t, "CN=a")
	tool := must(gost.SubjectSignToolExtension("x"))
	for _, tc := range []struct {
		name     string
		template gost.RequestTemplate
		key      *gost.PublicKey
		err      string
	}{
		{"2001 key", gost.RequestTemplate{Subject: subject}, old, "gost2001"},
		{"no subject", gost.RequestTemplate{}, public, "subject"},
		{"empty subject", gost.RequestTemplate{Subject: mustName(t, "")}, public, "subject: empty"},
		{"subject with octets after it", gost.RequestTemplate{Subject: append(bytes.Clone(subject), 0)}, public, "subject"},
		{"extension twice", gost.RequestTemplate{Subject: subject, Extensions: []gost.Extension{tool, tool}}, public, "twice"},
		{"extension without DER", gost.RequestTemplate{Subject: subject,
			Extensions: []gost.Extension{{OID: []int{1, 2, 3}, Value: []byte{5}}}},
			public, "not DER"},
		{"no object identifier", gost.RequestTemplate{Subject: subject, Extensions: []gost.Extension{{OID: []int{9}, Value: tool.Value}}},
			public, "OID"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := gost.PrepareRequest(tc.template, tc.key); err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%v, want %q", err, tc.err)
			}
		})
	}
}

func TestExtensions(t *testing.T) {
	for usage, want := range map[gost.KeyUsage]string{
		gost.UsageDigitalSignature:                               "03020780",
		gost.UsageDigitalSignature | gost.UsageContentCommitment: "030206c0",
		gost.UsageCertSign | gost.UsageCRLSign:                   "03020106",
		gost.UsageEncipherOnly:                                   "03020001",
		gost.UsageKeyAgreement | gost.UsageDecipherOnly:          "0303070880",
		0: "030100",
	} {
		e := gost.KeyUsageExtension(usage)
		if hex.EncodeToString(e.Value) != want || !e.Critical {
			t.Errorf("%v: %x, want %s", usage, e.Value, want)
		}
	}
	qualified := readCertificate(t, "bad/29-ok-qualified-extensions.pem")
	for _, e := range []gost.Extension{
		must(gost.SigningToolClassExtension("KC2")),
		must(gost.IdentificationKindExtension(gost.IdentifiedInPerson)),
	} {
		for _, have := range qualified.Extensions {
			if asn1.ObjectIdentifier(have.OID).Equal(e.OID) && !bytes.Equal(have.Value, e.Value) {
				t.Errorf("%v: %x, the vector has %x", e.OID, e.Value, have.Value)
			}
		}
	}
	for name, make := range map[string]func() (gost.Extension, error){
		"empty tool":     func() (gost.Extension, error) { return gost.SubjectSignToolExtension("") },
		"tool too long":  func() (gost.Extension, error) { return gost.SubjectSignToolExtension(strings.Repeat("я", 201)) },
		"tool not UTF-8": func() (gost.Extension, error) { return gost.SubjectSignToolExtension("\xff") },
		"unknown kind":   func() (gost.Extension, error) { return gost.IdentificationKindExtension(4) },
		"unknown class":  func() (gost.Extension, error) { return gost.SigningToolClassExtension("KC4") },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if s := (gost.UsageDigitalSignature | gost.UsageCRLSign).String(); s != "digitalSignature, cRLSign" {
		t.Error(s)
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, tc := range readCertIndex(f).Requests {
		f.Add(readPEM(f, tc.File))
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := gost.ParseRequest(der)
		if err != nil {
			return
		}
		if r.PublicKey == nil || !bytes.Equal(r.Raw, der) {
			t.Error("fields disagree")
		}
		_ = r.CheckSignature()
	})
}

// TestRequestFields rebuilds a request with other attributes or other fields; its signature is wrong.
func TestRequestFields(t *testing.T) {
	good, err := gost.ParseRequest(readPEM(t, "csr/ok.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ski := tlv(0x30, tlv(0x30, tlv(0x06, "551d0e"), tlv(0x04, "04020102")))
	wish := tlv(0x06, "2a864886f70d01090e")
	for _, tc := range []struct{ name, tail, err string }{
		{"extensionRequest and another attribute",
			tlv(0xa0, tlv(0x30, wish, tlv(0x31, ski)), tlv(0x30, tlv(0x06, "2a03"), tlv(0x31, "0500"))), ""},
		{"empty attributes", "a000", ""},
		{"no attributes", "", "attributes: missing"},
		{"field after the attributes", "a0000500", "unknown field"},
		{"attribute without values", tlv(0xa0, tlv(0x30, wish, "3100")), "SET of values"},
		{"attribute of another type", tlv(0xa0, "0500"), "SET of values"},
		{"extensionRequest twice", tlv(0xa0, tlv(0x30, wish, tlv(0x31, ski)), tlv(0x30, wish, tlv(0x31, ski))), "comes twice"},
		{"extensionRequest with two values", tlv(0xa0, tlv(0x30, wish, tlv(0x31, ski, ski))), "more than one value"},
		{"extensionRequest with no extensions in it", tlv(0xa0, tlv(0x30, wish, tlv(0x31, "0500"))),
			"extensionRequest: not a DER SEQUENCE"},
		{"many attributes", tlv(0xa0, strings.Repeat(tlv(0x30, tlv(0x06, "2a03"), tlv(0x31, "0500")), 12)), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tail, err := hex.DecodeString(tc.tail)
			if err != nil {
				t.Fatal(err)
			}
			info := slices.Concat([]byte{2, 1, 0}, good.Subject, good.PublicKey.SubjectPublicKeyInfo(), tail)
			algorithm := append([]byte{0x30, 10, 6, 8}, must(hex.DecodeString("2a85030701010302"))...)
			signature := append([]byte{3, 65, 0}, make([]byte, 64)...)
			der := element(element(info), algorithm, signature)
			r, err := gost.ParseRequest(der)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("%v, want %q", err, tc.err)
			}
			if err == nil && r.CheckSignature() == nil {
				t.Error("a signature of zeros verifies")
			}
		})
	}
}

// element wraps its arguments into a SEQUENCE of 128 to 65535 octets.
func element(parts ...[]byte) []byte {
	in := slices.Concat(parts...)
	if len(in) < 256 {
		return append([]byte{0x30, 0x81, byte(len(in))}, in...)
	}
	return append([]byte{0x30, 0x82, byte(len(in) >> 8), byte(len(in))}, in...)
}
