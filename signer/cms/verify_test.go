package cms

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

func find(tb testing.TB, name string) vector {
	tb.Helper()
	for _, v := range readVectors(tb) {
		if v.Name == name {
			return v
		}
	}
	tb.Fatalf("no vector %s", name)
	return vector{}
}

func TestReport(t *testing.T) {
	v := find(t, "openssl-2012-256-cpA-cades-detached")
	policy := v.policy(t)
	traced := make(map[string][]byte)
	policy.Trace = func(name string, octets []byte) { traced[name] = bytes.Clone(octets) }
	r, err := Verify(v.message(t), policy)
	if err != nil {
		t.Fatal(err)
	}
	s := r.Signatures[0]
	leaf := readCertificates(t, "2012-256-cpA/leaf.pem")[0]
	if r.Format != "cms" || s.Name != "SignerInfo 1" || s.Algorithm != "gost2012-256" ||
		!s.ClaimedTime.Equal(time.Date(2026, 10, 15, 10, 0, 0, 0, time.UTC)) ||
		!bytes.Equal(s.Signer.Certificate, leaf.Raw) || s.Signer.Serial != "1003" || s.Signer.Subject != leaf.Subject.String() ||
		s.Coverage[0].Digest != "1.2.643.7.1.1.2.2" || s.Coverage[0].Octets != int64(len(policy.Content)) {
		t.Errorf("got %+v, %+v, %+v", s, s.Signer, s.Coverage)
	}
	for _, code := range []report.Code{
		report.CMSAttributes, report.CMSContentType, report.CMSMessageDigest, report.CMSSigner, report.CMSDigestMethod,
		report.SignatureMethod, report.SignatureValue, report.CMSSigningCertificate, report.CertTime, report.CertPath,
	} {
		if !slices.ContainsFunc(s.Checks, func(c report.Check) bool { return c.Code == code && c.Status == report.Passed }) {
			t.Errorf("%s is not reported as passed", code)
		}
	}
	if !bytes.Equal(traced["signer-0/content"], policy.Content) || len(traced) != 2 {
		t.Error("the trace lacks the content")
	}
	if a := traced["signer-0/signed-attributes"]; len(a) == 0 || a[0] != tagSet {
		t.Error("the trace lacks the attributes")
	}
}

func TestTrustNotChecked(t *testing.T) {
	v := find(t, "openssl-2012-256-cpA-attached")
	r, err := Verify(v.message(t), Policy{Time: time.Unix(vectors.Time, 0)})
	if err != nil || r.Verdict() != report.Indeterminate || r.Integrity() != report.Valid {
		t.Errorf("verdict %s, integrity %s, %v", r.Verdict(), r.Integrity(), err)
	}
}

func TestSuppliedContent(t *testing.T) {
	content := vectors.Read(t, "gost/cms/content.bin")
	attached, detached := find(t, "openssl-2012-256-cpA-attached"), find(t, "openssl-2012-256-cpA-detached")
	for _, tt := range []struct {
		name     string
		vector   vector
		detached bool
		content  []byte
		want     report.Verdict
	}{
		{"attached, the same supplied", attached, true, content, report.Valid},
		{"attached, other supplied", attached, true, content[1:], report.Invalid},
		{"attached, empty supplied", attached, true, nil, report.Invalid},
		{"attached, other supplied without saying so", attached, false, content[1:], report.Invalid},
		{"detached, nothing supplied", detached, false, nil, report.Invalid},
		{"detached, empty supplied", detached, true, nil, report.Invalid},
		{"detached, supplied", detached, true, content, report.Valid},
	} {
		policy := tt.vector.policy(t)
		policy.Detached, policy.Content = tt.detached, tt.content
		r, err := Verify(tt.vector.message(t), policy)
		if err != nil || r.Verdict() != tt.want {
			t.Errorf("%s: %s, %v", tt.name, r.Verdict(), err)
		}
		if tt.want == report.Invalid && (r.Signatures[0].Coverage != nil || r.Signatures[0].Verdict() == report.Valid) {
			t.Errorf("%s: something seems to be covered: %+v", tt.name, r.Signatures[0])
		}
	}
}

func TestLimits(t *testing.T) {
	v := find(t, "two-signers-ok")
	message := v.message(t)
	for name, limits := range map[string]Limits{
		"size": {Size: len(message) - 1}, "depth": {Depth: 5}, "signers": {Signers: 1},
	} {
		policy := v.policy(t)
		policy.Limits = limits
		_, err := Verify(message, policy)
		var e *report.Error
		if !errors.As(err, &e) || e.Code != report.CMSLimit {
			t.Errorf("%s: got %v", name, err)
		}
	}
	policy := v.policy(t)
	policy.Limits = Limits{Size: len(message), Signers: 2}
	if r, err := Verify(message, policy); err != nil || r.Err() != nil {
		t.Errorf("within the limits: %v", err)
	}
}

// A message cut anywhere is malformed, and says where.
func TestCutShort(t *testing.T) {
	for _, name := range []string{"openssl-2012-256-cpA-cades-detached", "ber-full-indefinite"} {
		message := find(t, name).message(t)
		for n := range message {
			_, err := Verify(message[:n], Policy{})
			var e *report.Error
			if !errors.As(err, &e) || e.Code != report.CMSSyntax || e.Place.Offset > n || e.Place.End == 0 {
				t.Fatalf("%s cut at %d: %v", name, n, err)
			}
			if strings.Contains(err.Error(), "Example") {
				t.Fatalf("the error carries payload: %v", err)
			}
		}
	}
}

// Two certificates of one key under one subject key identifier, as after a renewal: the one that is good is taken,
// wherever it stands; for CAdES the one that the attribute names.
func TestSeveralCandidates(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, current := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	public := key.Public().(*gost.PublicKey)
	old := time.Now().AddDate(-3, 0, 0)
	expired := ca.Issue(t, public, testpki.Template{NotBefore: old, NotAfter: old.AddDate(1, 0, 0)})
	for _, p := range messageProfiles {
		prepared, err := p.Prepare(Input{Content: []byte("content"), Certificate: current, Time: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		message, err := prepared.Complete(signature)
		if err != nil {
			t.Fatal(err)
		}
		sd, err := parse(message, Limits{}.withDefaults())
		if err != nil {
			t.Fatal(err)
		}
		si := &sd.signers[0]
		si.issuer, si.serial, si.keyID = nil, nil, current.SubjectKeyID
		for _, order := range [][]*gost.Certificate{{expired, current}, {current, expired}} {
			v := newVerifier(sd, Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil)})
			v.known = order
			content := inMemory([]byte("content"), oidData, report.Place{})
			s := v.signer(si, &content)
			if s.Verdict() != report.Valid || !bytes.Equal(s.Signer.Certificate, current.Raw) {
				t.Errorf("%s: %s by %s", p.Name, s.Verdict(), s.Signer.NotAfter)
			}
		}
	}
}

func TestTooManyCandidates(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, first := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	v := &verifier{known: []*gost.Certificate{first}}
	for i := range maxCandidates {
		v.known = append(v.known, ca.Issue(t, key.Public().(*gost.PublicKey), testpki.Template{CommonName: fmt.Sprint(i)}))
	}
	v.message = &signedData{}
	found, check := v.candidates(&signerInfo{keyID: first.SubjectKeyID})
	if found != nil || check.Status != report.Failed {
		t.Errorf("%d candidates, %+v", len(found), check)
	}
}

// Further entries of signingCertificateV2 limit the path (RFC 5035 section 5.4).
func TestPathLimit(t *testing.T) {
	path := readCertificates(t, "2012-256-cpA/leaf.pem", "2012-256-cpA/int.pem", "2012-256-cpA/root.pem")
	other := readCertificates(t, "2012-512-tc26A/int.pem")[0]
	entry := func(c *gost.Certificate) certID {
		return certID{new: gost.Streebog256.New, hash: sum(gost.Streebog256.New(), c.Raw)}
	}
	for name, tt := range map[string]struct {
		further []certID
		ok      bool
	}{
		"no further entries": {nil, true},
		"the intermediate":   {[]certID{entry(path[1])}, true},
		"one of several":     {[]certID{entry(other), entry(path[1])}, true},
		"another":            {[]certID{entry(other)}, false},
		"unknown hash":       {[]certID{{hash: entry(path[1]).hash}}, false},
	} {
		var s report.Signature
		checkPathLimit(&s, tt.further, path)
		if (len(s.Checks) == 0) != tt.ok {
			t.Errorf("%s: %+v", name, s.Checks)
		}
	}
}

func TestParseCertIDs(t *testing.T) {
	leaf := readCertificates(t, "2012-256-cpA/leaf.pem")[0]
	b := cryptobyte.NewBuilder(nil)
	addSigningCertificate(b, leaf, gost.Streebog256)
	value := b.BytesOrPanic()
	ids, ok := parseCertIDs(value, true)
	if !ok || len(ids) != 1 || !ids[0].names(leaf) || ids[0].serial.Cmp(big.NewInt(0x1003)) != 0 {
		t.Fatalf("what we write is not what we read: %+v", ids)
	}
	for n := range value {
		if _, ok := parseCertIDs(value[:n], true); ok {
			t.Errorf("cut at %d: accepted", n)
		}
	}
	if _, ok := parseCertIDs(append(bytes.Clone(value), 0), true); ok {
		t.Error("something after it: accepted")
	}
	if _, ok := parseCertIDs(value, false); ok {
		t.Error("version 2 read as version 1")
	}
	long := cryptobyte.NewBuilder(nil)
	long.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for range maxCertIDs + 1 {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1OctetString(make([]byte, 32)) })
			}
		})
	})
	if _, ok := parseCertIDs(long.BytesOrPanic(), true); ok {
		t.Error("more entries than the limit: accepted")
	}
}

func TestParseTime(t *testing.T) {
	for in, ok := range map[string]bool{
		"\x17\x0d261015100000Z":         true,
		"\x18\x0f20261015100000Z":       true,
		"\x17\x0b2610151000Z":           false,
		"\x17\x11261015100000+0300":     false,
		"\x18\x1120261015100000.5Z":     false,
		"\x17\x0d261315100000Z":         false,
		"\x17\x0d261015100000Z\x05\x00": false,
		"\x16\x0d261015100000Z":         false,
		"":                              false,
	} {
		if _, got := parseTime(cryptobyte.String(in)); got != ok {
			t.Errorf("%q: got %v", in, got)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.message(f))
	}
	content := vectors.Read(f, "gost/cms/content.bin")
	anchors := readCertificates(f, "2012-256-cpA/root.pem", "2012-512-tc26A/root.pem", "2001-cpA/root.pem")
	policy := Policy{Time: time.Unix(vectors.Time, 0), Trust: trust.New(anchors, nil), Limits: Limits{Size: 1 << 16, Signers: 4}}
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := Verify(message, policy)
		if err != nil {
			var e *report.Error
			if r != nil || !errors.As(err, &e) {
				t.Fatalf("%v with %v", r, err)
			}
			return
		}
		if len(r.Signatures) == 0 && r.Verdict() != report.Invalid {
			t.Fatal("valid without a signer")
		}
		for _, s := range r.Signatures {
			if s.Place.Offset < 0 || s.Place.End > len(message) {
				t.Fatalf("a place outside the message: %+v", s.Place)
			}
		}
		if r.Verdict() != report.Valid {
			return
		}
		// What is valid covers its content: beside other content it is not.
		other := policy
		other.Detached, other.Content = true, append(bytes.Clone(content), "other"...)
		if r, err := Verify(message, other); err != nil || r.Verdict() == report.Valid {
			t.Fatalf("valid beside other content too, %v", err)
		}
	})
}
