package cms

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"encoding/pem"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Given the same certificates, time and signature, the message is that of OpenSSL, octet for octet.
func TestSameOctetsAsOpenSSL(t *testing.T) {
	profiles := map[string]string{
		"attached": "pkcs7-attached", "detached": "pkcs7-detached", "cades-detached": "cades-bes-detached",
	}
	count := 0
	for _, v := range readVectors(t) {
		family, form, found := strings.Cut(strings.TrimPrefix(v.Name, "openssl-2012-"), "A-")
		if !found {
			family, form, found = strings.Cut(strings.TrimPrefix(v.Name, "openssl-2012-"), "C-")
		}
		profile := ProfileByName(profiles[form])
		if !found || profile == nil || !strings.HasPrefix(v.Name, "openssl-2012-") {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			want := v.message(t)
			sd, err := parse(want, Limits{}.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			r, err := Verify(want, v.policy(t))
			if err != nil {
				t.Fatal(err)
			}
			in := Input{Content: sd.content, Time: r.Signatures[0].ClaimedTime, Chain: sd.certificates}
			if v.Content != nil {
				in.Content = vectors.Read(t, "gost/cms/"+*v.Content)
			}
			for _, c := range sd.certificates {
				if sd.signers[0].identifies(c) {
					in.Certificate = c
				}
			}
			prepared, err := profile.Prepare(in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := prepared.Complete(sd.signers[0].signature)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%x\nwant\n%x", family, got, want)
			}
			count++
		})
	}
	if count < 12 {
		t.Errorf("only %d messages compared", count)
	}
}

// messageProfiles are those that take any content.
var messageProfiles = slices.DeleteFunc(slices.Clone(Profiles), func(p *Profile) bool { return p == Countersignature })

type identity struct {
	name      string
	algorithm *gost.Algorithm
	params    string
}

var identities = []identity{
	{"2012-256 CryptoPro-A", gost.GOST2012_256, "CryptoPro-A"},
	{"2012-256 tc26-256-A", gost.GOST2012_256, "tc26-256-A"},
	{"2012-512 tc26-512-A", gost.GOST2012_512, "tc26-512-A"},
}

// signAs makes a message and what is needed to verify it.
func signAs(tb testing.TB, id identity, p *Profile, content []byte) (message []byte, ca *testpki.CA, policy Policy) {
	tb.Helper()
	ca = testpki.NewCA(tb, id.algorithm, id.params)
	key, certificate := ca.NewSigner(tb, id.algorithm, id.params, testpki.Template{})
	prepared, err := p.Prepare(Input{
		Content: content, Certificate: certificate, Chain: []*gost.Certificate{ca.Certificate}, Time: time.Now(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if message, err = prepared.Complete(signature); err != nil {
		tb.Fatal(err)
	}
	policy = Policy{Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil)}
	if p.Detached {
		policy.Detached, policy.Content = true, content
	}
	return message, ca, policy
}

func TestRoundTrip(t *testing.T) {
	contents := map[string][]byte{"text": []byte("подпись\r\n"), "empty": {}, "long": bytes.Repeat([]byte("0123456789abcdef"), 5000)}
	for _, id := range identities {
		for _, p := range messageProfiles {
			for name, content := range contents {
				t.Run(id.name+"/"+p.Name+"/"+name, func(t *testing.T) {
					message, ca, policy := signAs(t, id, p, content)
					r, err := Verify(message, policy)
					if err != nil {
						t.Fatal(err)
					}
					if err := r.Err(); err != nil {
						t.Fatalf("%v: %+v", err, r.Failures())
					}
					checkComplete(t, r)
					if o := r.Signatures[0].Coverage[0].Octets; o != int64(len(content)) {
						t.Errorf("coverage of %d octets", o)
					}
					opensslVerify(t, message, ca, p, content)
					if name == "text" && (!testing.Short() || id.name == identities[0].name) {
						checkTampering(t, message, policy, r)
					}
				})
			}
		}
	}
}

// opensslVerify lets OpenSSL judge the message, and looks that the content it extracts is what was signed.
func opensslVerify(t *testing.T, message []byte, ca *testpki.CA, p *Profile, content []byte) {
	t.Helper()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw})
	args := []string{
		"cms", "-verify", "-binary", "-inform", "DER", "-in", oracle.File(t, message),
		"-CAfile", oracle.File(t, root), "-purpose", "any",
	}
	if p.Detached {
		args = append(args, "-content", oracle.File(t, content))
	}
	if p.CAdES {
		args = append(args, "-cades")
	}
	out, err := oracle.OpenSSL(t, nil, args...)
	if err != nil {
		t.Errorf("OpenSSL refuses: %v", err)
	} else if !bytes.Equal(out, content) {
		t.Errorf("OpenSSL extracts %d octets, want %d", len(out), len(content))
	}
}

// checkTampering changes every octet of the attributes and the signature, and the content, one at a time.
func checkTampering(t *testing.T, message []byte, policy Policy, r *report.Report) {
	t.Helper()
	refused := func(what string, message []byte, policy Policy) {
		t.Helper()
		if r, err := Verify(message, policy); err == nil && r.Verdict() == report.Valid {
			t.Errorf("%s changed, and still valid", what)
		}
	}
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	policy.Trust = nil // integrity is enough, and sooner told
	policy.Certificates = sd.certificates
	change := func(what string, from, to int) {
		for i := from; i < to; i++ {
			changed := bytes.Clone(message)
			changed[i] ^= 0x40
			if r, err := Verify(changed, policy); err == nil && r.Integrity() != report.Invalid {
				t.Errorf("%s: octet %d changed, and still %s", what, i, r.Integrity())
			}
		}
	}
	si := sd.signers[0]
	change("signedAttrs", si.signedSet.start, si.signedSet.end)
	change("signature", si.signatureAt.Offset, si.signatureAt.End)
	if policy.Detached {
		for i := range policy.Content {
			other := policy
			other.Content = bytes.Clone(policy.Content)
			other.Content[i] ^= 1
			refused("content", message, other)
		}
		other := policy
		other.Content = append(bytes.Clone(policy.Content), 0)
		refused("length of the content", message, other)
	} else {
		place := r.Signatures[0].Coverage[0].Place
		if !bytes.Equal(message[place.Offset:place.End], sd.content) {
			t.Error("the coverage points elsewhere")
		}
		change("content", place.Offset, place.End)
	}
}

func TestDigestInsteadOfContent(t *testing.T) {
	content := []byte("what only its owner has")
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	now := time.Now()
	for _, p := range Profiles {
		if !p.Detached {
			continue
		}
		byContent, err := p.Prepare(Input{Content: content, Certificate: certificate, Time: now})
		if err != nil {
			t.Fatal(err)
		}
		byDigest, err := p.Prepare(Input{Digest: sum(gost.Streebog256.New(), content), Certificate: certificate, Time: now})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(byContent.Digest(), byDigest.Digest()) {
			t.Errorf("%s: content and its digest are signed differently", p.Name)
		}
		signature, err := key.Sign(rand.Reader, byDigest.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		message, err := byDigest.Complete(signature)
		if err != nil {
			t.Fatal(err)
		}
		r, err := Verify(message, Policy{
			Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Detached: true, Content: content,
		})
		if err != nil || r.Err() != nil {
			t.Errorf("%s: %v, %v", p.Name, err, r.Err())
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	_, good := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	_, encipherment := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{KeyUsage: gost.UsageKeyEncipherment})
	old := readCertificates(t, "2001-cpA/leaf.pem")[0]
	period := readVectorSigner(t, "signer-private-key-usage-period-over")
	critical := readVectorSigner(t, "signer-unknown-critical-extension")
	now, at := time.Now(), time.Unix(vectors.Time, 0)
	digest := make([]byte, 32)
	for _, tt := range []struct {
		name    string
		profile string
		in      Input
		code    report.Code
	}{
		{"no certificate", "pkcs7-detached", Input{Time: now}, report.KeyUnusable},
		{"no time", "pkcs7-detached", Input{Certificate: good}, report.RequestInvalid},
		{"2001", "pkcs7-detached", Input{Certificate: old, Time: at}, report.KeyUnusable},
		{"too early", "pkcs7-detached", Input{Certificate: good, Time: good.NotBefore.Add(-time.Second)}, report.CertTime},
		{"too late", "pkcs7-detached", Input{Certificate: good, Time: good.NotAfter.Add(time.Second)}, report.CertTime},
		{"key usage", "pkcs7-detached", Input{Certificate: encipherment, Time: now}, report.CertUsage},
		{"key period", "pkcs7-detached", Input{Certificate: period, Time: at}, report.CertKeyPeriod},
		{"extension", "pkcs7-detached", Input{Certificate: critical, Time: at}, report.CertExtension},
		{"digest when attached", "pkcs7-attached", Input{Certificate: good, Time: now, Digest: digest}, report.RequestInvalid},
		{"both", "pkcs7-detached", Input{Certificate: good, Time: now, Digest: digest, Content: digest}, report.RequestInvalid},
		{"short digest", "cades-bes-detached", Input{Certificate: good, Time: now, Digest: digest[1:]}, report.RequestInvalid},
		{"empty digest", "pkcs7-detached", Input{Certificate: good, Time: now, Digest: []byte{}}, report.RequestInvalid},
		{"year 10000", "pkcs7-detached",
			Input{Certificate: good, Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}, report.RequestInvalid},
	} {
		_, err := ProfileByName(tt.profile).Prepare(tt.in)
		var e *report.Error
		if !errors.As(err, &e) || e.Code != tt.code {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.code)
		}
	}
	if ProfileByName("pkcs7") != nil {
		t.Error("an unknown profile is found")
	}
}

func readVectorSigner(tb testing.TB, name string) *gost.Certificate {
	tb.Helper()
	for _, v := range readVectors(tb) {
		if v.Name != name {
			continue
		}
		r, err := Verify(v.message(tb), v.policy(tb))
		if err != nil {
			tb.Fatal(err)
		}
		c, err := gost.ParseCertificate(r.Signatures[0].Signer.Certificate)
		if err != nil {
			tb.Fatal(err)
		}
		return c
	}
	tb.Fatalf("no vector %s", name)
	return nil
}

func TestCompleteRefuses(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, certificate := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	prepared, err := Profiles[0].Prepare(Input{Content: []byte("x"), Certificate: certificate, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	swapped := append(bytes.Clone(signature[32:]), signature[:32]...)
	for name, wrong := range map[string][]byte{
		"none": nil, "short": signature[1:], "long": append(bytes.Clone(signature), 0), "swapped": swapped,
	} {
		message, err := prepared.Complete(wrong)
		var e *report.Error
		if message != nil || !errors.As(err, &e) || e.Code != report.SignatureValue {
			t.Errorf("%s: got %d octets, %v", name, len(message), err)
		}
	}
	whole, err := prepared.Complete(signature)
	if err != nil {
		t.Error(err)
	}
	// What is known to be good by another key, or over another digest, is not good here.
	otherKey, _ := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	others, err := testpki.Sign(otherKey, prepared.Digest())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := testpki.Sign(key, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	proved, err := certificate.PublicKey.Prove(prepared.Digest(), signature)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]gost.Verified{"wrong key": others, "another digest": elsewhere, "none": {}, "right": proved} {
		message, err := prepared.CompleteVerified(value)
		var e *report.Error
		if right := name == "right"; right != (err == nil) || right && !bytes.Equal(message, whole) ||
			!right && (message != nil || !errors.As(err, &e) || e.Code != report.SignatureValue) {
			t.Errorf("verified, %s: got %d octets, %v", name, len(message), err)
		}
		stream := &bytes.Buffer{}
		s, err := ProfileByName("pkcs7-attached").NewStream(stream, Input{Certificate: certificate, Time: time.Now()}, UnknownSize)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(); err != nil {
			t.Fatal(err)
		}
		if err := s.CompleteVerified(value); !errors.As(err, &e) || e.Code != report.SignatureValue { // all are over other digests
			t.Errorf("verified, %s, in a stream: %v", name, err)
		}
	}
}

// The root stays out, nothing is there twice.
func TestCertificatesIncluded(t *testing.T) {
	chain := readCertificates(t, "2012-256-cpA/root.pem", "2012-256-cpA/int.pem", "2012-256-cpA/int.pem", "2012-256-cpA/leaf.pem")
	prepared, err := Profiles[0].Prepare(Input{Certificate: chain[3], Chain: chain, Time: time.Unix(vectors.Time, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if got := prepared.certificates(); len(got) != 2 || !bytes.Equal(got[0], chain[1].Raw) || !bytes.Equal(got[1], chain[3].Raw) {
		t.Errorf("%d certificates", len(got))
	}
}

func TestTimeEncoding(t *testing.T) {
	certificate := readCertificates(t, "2012-256-cpA/leaf.pem")[0]
	for in, want := range map[time.Time]string{
		time.Date(2026, 10, 15, 13, 0, 0, 999, time.FixedZone("", 3*3600)): "\x17\x0d261015100000Z",
		time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC):                   "\x17\x0d491231235959Z",
		time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC):                        "\x18\x0f20500101000000Z",
	} {
		forever, err := gost.ParseCertificate(certificate.Raw)
		if err != nil {
			t.Fatal(err)
		}
		forever.NotAfter = in.AddDate(1, 0, 0)
		prepared, err := Profiles[0].Prepare(Input{Certificate: forever, Time: in})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(prepared.attributes, []byte(want)) {
			t.Errorf("%s is not written as %q", in, want)
		}
	}
}
