package gost_test

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
)

// certIndex is gost/certs/index.json.
type certIndex struct {
	Chains []struct {
		Name  string
		Chain []string
	}
	Cases []struct {
		ID             int
		Name, Leaf     string
		Expect, Reason string
		Intermediates  []string
	}
	Requests []struct {
		File, Expect, Reason string
	}
	RFC []struct {
		File, Kind, Expect, Source string
	} `json:"rfc_examples"`
}

func readCertIndex(tb testing.TB) *certIndex {
	tb.Helper()
	var index certIndex
	vectors.JSON(tb, "gost/certs/index.json", &index)
	return &index
}

func readPEM(tb testing.TB, name string) []byte {
	tb.Helper()
	block, _ := pem.Decode(vectors.Read(tb, "gost/certs/"+name))
	if block == nil {
		tb.Fatalf("%s: no PEM", name)
	}
	return block.Bytes
}

func readCertificate(tb testing.TB, name string) *gost.Certificate {
	tb.Helper()
	c, err := gost.ParseCertificate(readPEM(tb, name))
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return c
}

func TestChains(t *testing.T) {
	index := readCertIndex(t)
	if len(index.Chains) != 16 {
		t.Fatalf("%d chains", len(index.Chains))
	}
	for _, chain := range index.Chains {
		t.Run(chain.Name, func(t *testing.T) {
			vectors.Outcome(t, "chains", chain.Name, "valid", "valid")
			issuer := readCertificate(t, chain.Chain[0])
			if err := issuer.CheckSignatureFrom(issuer); err != nil {
				t.Fatal(err)
			}
			for _, name := range chain.Chain[1:] {
				c := readCertificate(t, name)
				if err := c.CheckSignatureFrom(issuer); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if !c.Issuer.Equal(issuer.Subject) {
					t.Errorf("%s: issuer %s, want %s", name, c.Issuer, issuer.Subject)
				}
				if err := c.CheckSignatureFrom(c); err == nil {
					t.Errorf("%s verifies with its own key", name)
				}
				issuer = c
			}
			if !issuer.HasKeyUsage || issuer.KeyUsage&gost.UsageDigitalSignature == 0 || issuer.IsCA || issuer.Version != 3 {
				t.Errorf("end entity: key usage %v, CA %v, version %d", issuer.KeyUsage, issuer.IsCA, issuer.Version)
			}
		})
	}
}

// parseErrors are the path cases that end when the certificate is read, with a word of the error.
var parseErrors = map[int]string{
	3:  "signature: differs from signatureAlgorithm",
	18: "signature: differs from signatureAlgorithm",
	35: "comes twice",
	36: "extensions: not allowed in v1",
	39: "serialNumber",
	46: "octets follow",
	47: "unused bits",
	48: "Certificate: not a DER SEQUENCE",
}

// keyErrors are those whose key is refused. 63 and 64 are left to policy: a 2001 key without parameters would inherit those
// of its issuer (RFC 4491 section 2.3.2); nobody implements that, and it is refused here too.
var keyErrors = map[int]string{
	43: "not on the curve",
	44: "absent",
	63: "absent",
	64: "absent",
}

// signatureErrors are those whose signature is refused.
var signatureErrors = map[int]string{
	12: "does not verify",
	14: "does not verify",
	15: "does not verify",
	16: "does not verify",
	17: "wrong length",
	19: "does not belong to the signer's gost2012-256 key",
	20: "does not belong to the signer's gost2012-256 key",
	21: "does not belong to the signer's gost2012-256 key",
	22: "does not belong to the signer's gost2012-256 key",
	33: "does not verify",
}

// TestCases looks at the end entity of each path case; package trust judges the paths.
func TestCases(t *testing.T) {
	index := readCertIndex(t)
	if len(index.Cases) != 65 {
		t.Fatalf("%d cases", len(index.Cases))
	}
	for _, tc := range index.Cases {
		t.Run(tc.Name, func(t *testing.T) {
			c, err := gost.ParseCertificate(readPEM(t, tc.Leaf))
			if want := parseErrors[tc.ID]; want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, want %q: %s", err, want, tc.Reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := keyErrors[tc.ID]; want != "" {
				if c.PublicKey != nil || !strings.Contains(c.PublicKeyErr.Error(), want) {
					t.Fatalf("%v, want %q: %s", c.PublicKeyErr, want, tc.Reason)
				}
				return
			}
			if c.PublicKey == nil {
				t.Fatal(c.PublicKeyErr)
			}
			if len(tc.Intermediates) == 0 || tc.ID == 13 {
				return
			}
			issuer := readCertificate(t, tc.Intermediates[len(tc.Intermediates)-1])
			err = c.CheckSignatureFrom(issuer)
			if want := signatureErrors[tc.ID]; want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%v, want %q: %s", err, want, tc.Reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestFields(t *testing.T) {
	c := readCertificate(t, "bad/29-ok-qualified-extensions.pem")
	if len(c.Policies) != 2 || c.Policies[0].String() != "1.2.643.100.113.1" || c.PrivateKeyNotAfter.IsZero() {
		t.Errorf("policies %v, private key period %v to %v", c.Policies, c.PrivateKeyNotBefore, c.PrivateKeyNotAfter)
	}
	if len(c.SubjectKeyID) == 0 || len(c.AuthorityKeyID) == 0 || len(c.UnknownCritical) != 0 {
		t.Errorf("SKI %x, AKI %x, unknown critical %v", c.SubjectKeyID, c.AuthorityKeyID, c.UnknownCritical)
	}
	if c := readCertificate(t, "bad/37-serial-zero.pem"); c.Serial.Sign() != 0 {
		t.Errorf("serial %v, want 0", c.Serial)
	}
	if c := readCertificate(t, "bad/38-serial-negative.pem"); c.Serial.Sign() >= 0 {
		t.Errorf("serial %v, want a negative one", c.Serial)
	}
	if c := readCertificate(t, "bad/27-unknown-critical-extension.pem"); len(c.UnknownCritical) != 1 {
		t.Errorf("unknown critical %v", c.UnknownCritical)
	}
	if c := readCertificate(t, "bad/24-key-usage-absent.pem"); c.HasKeyUsage {
		t.Error("key usage found where there is none")
	}
	root := readCertificate(t, "2012-256-cpA/root.pem")
	if !root.IsCA || root.KeyUsage&gost.UsageCertSign == 0 || !root.SelfIssued() {
		t.Errorf("root: CA %v, key usage %v, self-issued %v", root.IsCA, root.KeyUsage, root.SelfIssued())
	}
	h := gost.Streebog256.New()
	h.Write(root.Raw)
	if sum := root.Fingerprint(); !bytes.Equal(sum[:], h.Sum(nil)) {
		t.Errorf("fingerprint %x", sum)
	}
}

// TestRFCExamples covers the certificates and requests; CRLs are not read yet. The certificate of RFC 4491 expired in 2015
// and is a matter of policy in the index: its signature is right, and no time is looked at here.
func TestRFCExamples(t *testing.T) {
	done := 0
	for _, ex := range readCertIndex(t).RFC {
		der := readPEM(t, ex.File)
		switch ex.Kind {
		case "cert":
			c, err := gost.ParseCertificate(der, gost.AllowTestParams())
			if err != nil {
				t.Errorf("%s: %v", ex.File, err)
				continue
			}
			if err := c.CheckSignatureFrom(c); err != nil {
				t.Errorf("%s: %v", ex.File, err)
			}
			if plain, err := gost.ParseCertificate(der); err != nil ||
				c.PublicKey != nil && c.PublicKey.Params.TestOnly != errors.Is(plain.PublicKeyErr, gost.ErrTestParams) {
				t.Errorf("%s: test parameters without leave: %v, %v", ex.File, err, plain.PublicKeyErr)
			}
		case "csr":
			r, err := gost.ParseRequest(der, gost.AllowTestParams())
			if err != nil {
				t.Errorf("%s: %v", ex.File, err)
				continue
			}
			if err := r.CheckSignature(); err != nil {
				t.Errorf("%s: %v", ex.File, err)
			}
		default:
			continue
		}
		vectors.Outcome(t, "rfc certificates", ex.File, ex.Expect, "valid")
		done++
	}
	if done != 7 {
		t.Errorf("%d examples, want 7", done)
	}
}

// TestCorpusCertificates reads what others made.
func TestCorpusCertificates(t *testing.T) {
	verified, other := 0, 0
	for _, row := range vectors.TSV(t, vectors.ReadOthers, "corpus/index.tsv") {
		if row["kind"] != "x509-cert" {
			continue
		}
		files := strings.Fields(row["files"])
		c, err := gost.ParseCertificate(vectors.ReadOthers(t, "corpus/"+files[0]), gost.AllowTestParams())
		if row["verdict"] != "valid" {
			// Signed by another algorithm, or no key of today: read, or refused with a reason.
			if err == nil && c.CheckSignatureFrom(c) == nil {
				t.Errorf("%s: verifies with itself", row["id"])
			}
			other++
			vectors.Outcome(t, "corpus certificates", row["id"], "policy", "read, not verified")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row["id"], err)
			continue
		}
		issuer := c
		if len(files) > 1 {
			if issuer, err = gost.ParseCertificate(vectors.ReadOthers(t, "corpus/"+files[1]), gost.AllowTestParams()); err != nil {
				t.Errorf("%s: issuer: %v", row["id"], err)
				continue
			}
		}
		if err := c.CheckSignatureFrom(issuer); err != nil {
			t.Errorf("%s: %v", row["id"], err)
		}
		for _, n := range []gost.Name{c.Subject, c.Issuer} {
			if !n.MatchesString(n.String()) {
				t.Errorf("%s: %s does not match itself", row["id"], n)
			}
		}
		verified++
		vectors.Outcome(t, "corpus certificates", row["id"], "valid", "valid")
	}
	t.Logf("%d verified, %d read that nobody can check", verified, other)
	if verified == 0 {
		t.Error("none verified")
	}
}

func TestParseCertificates(t *testing.T) {
	root, leaf := vectors.Read(t, "gost/certs/2012-256-cpA/root.pem"), vectors.Read(t, "gost/certs/2012-256-cpA/leaf.pem")
	for _, tc := range []struct {
		name string
		data []byte
		n    int
		err  string
	}{
		{"DER", readPEM(t, "2012-256-cpA/root.pem"), 1, ""},
		{"a byte order mark", append([]byte("\ufeff"), bytes.ReplaceAll(root, []byte("\n"), []byte("\r\n"))...), 1, ""},
		{"two PEM blocks with text", append(append([]byte("Subject: root\n"), root...), leaf...), 2, ""},
		{"nothing", nil, 0, "not a DER SEQUENCE"},
		{"a key", vectors.Read(t, "gost/certs/2012-256-cpA/leaf.key"), 0, "PRIVATE KEY"},
		{"a damaged block", append(bytes.Replace(root, []byte("\n"), []byte("\n!"), 1), leaf...), 0, "damaged"},
		{"a broken certificate", vectors.Read(t, "gost/certs/bad/46-trailing-data.pem"), 0, "PEM block 1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := gost.ParseCertificates(tc.data)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("%v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || len(list) != tc.n {
				t.Fatalf("%d certificates, %v", len(list), err)
			}
		})
	}
	if list, err := gost.ParseCertificates(readCertificate(t, "2012-256-cpA/root.pem").PEM()); err != nil || len(list) != 1 {
		t.Errorf("PEM does not come back: %v", err)
	}
}

// TestTruncated cuts a certificate everywhere: always an error, never a panic.
func TestTruncated(t *testing.T) {
	der := readPEM(t, "bad/29-ok-qualified-extensions.pem")
	for n := range der {
		if _, err := gost.ParseCertificate(der[:n]); err == nil {
			t.Errorf("%d of %d octets are accepted", n, len(der))
		}
	}
}

// patch replaces one hexadecimal string, which must be there once, in a certificate that is right otherwise.
func patch(t *testing.T, der []byte, from, to string) []byte {
	t.Helper()
	text := hex.EncodeToString(der)
	if strings.Count(text, from) != 1 || len(from) != len(to) {
		t.Fatalf("%s is there %d times", from, strings.Count(text, from))
	}
	out, err := hex.DecodeString(strings.Replace(text, from, to, 1))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRefusedFields(t *testing.T) {
	der := readPEM(t, "2012-256-cpA/leaf.pem")
	for _, tc := range []struct{ name, from, to, err string }{
		{"version 3", "a003020102", "a003020103", "version"},
		{"version 0 written out", "a003020102", "a003020100", "version"},
		{"month 13", hex.EncodeToString([]byte("250101000000Z")), hex.EncodeToString([]byte("251301000000Z")), "validity.notBefore"},
		{"offset from UTC", hex.EncodeToString([]byte("250101000000Z")), hex.EncodeToString([]byte("2501010000+03")), "validity.notBefore"},
		{"BOOLEAN 01", "0101ff", "010101", "critical"},
		{"key usage in an OCTET STRING", "0603551d0f0101ff0404030206", "0603551d0f0101ff0404040206", "keyUsage"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := gost.ParseCertificate(patch(t, der, tc.from, tc.to))
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("%v, want %q", err, tc.err)
			}
		})
	}
}

func FuzzParseCertificate(f *testing.F) {
	index := readCertIndex(f)
	for _, tc := range index.Cases {
		f.Add(readPEM(f, tc.Leaf))
	}
	for _, chain := range index.Chains {
		f.Add(readPEM(f, chain.Chain[2]))
	}
	if dir := os.Getenv("EPOV_VECTORS"); dir != "" {
		for _, row := range vectors.TSV(f, vectors.ReadOthers, "corpus/index.tsv") {
			if row["kind"] == "x509-cert" {
				f.Add(vectors.ReadOthers(f, "corpus/"+strings.Fields(row["files"])[0]))
			}
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := gost.ParseCertificate(der)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Raw, der) || (c.PublicKey == nil) == (c.PublicKeyErr == nil) {
			t.Error("fields disagree")
		}
		for _, n := range []gost.Name{c.Subject, c.Issuer} {
			if s := n.String(); len(s) <= 16<<10 && !n.MatchesString(s) {
				t.Errorf("%q does not match its own name", s)
			}
		}
		_ = c.CheckSignatureFrom(c)
	})
}

func BenchmarkParseCertificate(b *testing.B) {
	der := readPEM(b, "bad/29-ok-qualified-extensions.pem")
	b.SetBytes(int64(len(der)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gost.ParseCertificate(der); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEveryOctet changes each octet: what was signed can then no longer be read or no longer verifies.
func TestEveryOctet(t *testing.T) {
	der, issuer := readPEM(t, "2012-256-cpA/leaf.pem"), readCertificate(t, "2012-256-cpA/int.pem")
	request := readPEM(t, "csr/ok.pem")
	for _, mask := range []byte{0x01, 0x80} {
		for i := range der {
			der[i] ^= mask
			if c, err := gost.ParseCertificate(der); err == nil && c.CheckSignatureFrom(issuer) == nil {
				t.Errorf("certificate: octet %d ^ %#x still verifies", i, mask)
			}
			der[i] ^= mask
		}
		for i := range request {
			request[i] ^= mask
			if r, err := gost.ParseRequest(request); err == nil && r.CheckSignature() == nil {
				t.Errorf("request: octet %d ^ %#x still verifies", i, mask)
			}
			request[i] ^= mask
		}
	}
	for n := range request {
		if _, err := gost.ParseRequest(request[:n]); err == nil {
			t.Errorf("request: %d of %d octets are accepted", n, len(request))
		}
	}
}
