package cms

import (
	"bytes"
	"crypto/rand"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
)

// forge is a SignedData built by hand. Parts are whole encodings.
type forge struct {
	contentType                   []byte // OBJECT IDENTIFIER
	content                       []byte // element inside [0], nil: none
	certificates                  [][]byte
	sid, signed, value, unsigned  []byte
	digestAlgorithm, keyAlgorithm []byte
}

func der(f func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic()
}

func tlv(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return der(func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(tag), func(b *cryptobyte.Builder) { b.AddBytes(body) })
	})
}

func (f *forge) message() []byte {
	signedData := der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidSignedData) })
	version := []byte{2, 1, 1}
	encapsulated := tlv(tagSequence, f.contentType)
	if f.content != nil {
		encapsulated = tlv(tagSequence, f.contentType, tlv(tagContext0, f.content))
	}
	var signerInfo []byte
	if f.sid != nil {
		signerInfo = tlv(tagSequence, version, f.sid, f.digestAlgorithm, f.signed, f.keyAlgorithm, f.value, f.unsigned)
	}
	return tlv(tagSequence, signedData, tlv(tagContext0, tlv(tagSequence, version, tlv(tagSet, f.digestAlgorithm), encapsulated,
		tlv(tagContext0, f.certificates...), tlv(tagSet, signerInfo))))
}

// newForge takes a message that is in order apart, to be put together differently.
func newForge(t *testing.T, profile *Profile, content []byte) (*forge, *signerInfo, *signedData, Policy) {
	message, _, policy := signAs(t, identities[0], profile, content)
	sd, err := parse(message, Limits{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	si := &sd.signers[0]
	algorithm := func(a algorithm) []byte {
		return tlv(tagSequence, der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(a.oid) }), a.parameters)
	}
	f := &forge{
		contentType:     der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) }),
		content:         tlv(tagOctetString, content),
		sid:             tlv(tagSequence, si.issuer, der(func(b *cryptobyte.Builder) { b.AddASN1BigInt(si.serial) })),
		signed:          tlv(tagContext0, si.signedSet.body),
		value:           tlv(tagOctetString, si.signature),
		digestAlgorithm: algorithm(si.digestAlgorithm), keyAlgorithm: algorithm(si.signatureAlgorithm),
	}
	for _, c := range sd.certificates {
		f.certificates = append(f.certificates, c.Raw)
	}
	policy.Detached, policy.Content = false, nil
	return f, si, sd, policy
}

// TestForged: messages put together anew from one that is in order. The first is as it was, to show that the rest is what
// makes them fail.
func TestForged(t *testing.T) {
	content := []byte("content")
	p := ProfileByName("pkcs7-attached")
	foreign := tlv(tagSequence, der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidContentType) }),
		tlv(tagSet, []byte{6, 1, 0x2A}))
	for _, c := range []struct {
		name   string
		change func(f *forge, si *signerInfo, p *Policy)
		code   report.Code // "": valid
	}{
		{"as it was", func(*forge, *signerInfo, *Policy) {}, ""},
		{"attributes as content", func(f *forge, si *signerInfo, _ *Policy) {
			f.signed, f.content = nil, tlv(tagOctetString, si.signedOctets())
		}, report.CMSAttributes},
		{"attributes as supplied content", func(f *forge, si *signerInfo, p *Policy) {
			f.signed, f.content = nil, nil
			p.Detached, p.Content = true, si.signedOctets()
		}, report.CMSAttributes},
		{"attributes as content in chunks", func(f *forge, si *signerInfo, _ *Policy) {
			o := si.signedOctets()
			f.signed, f.content = nil, tlv(tagOctetString|constructed, tlv(tagOctetString, o[:5]), tlv(tagOctetString),
				tlv(tagOctetString, o[5:]))
		}, report.CMSAttributes},
		{"another content type", func(f *forge, _ *signerInfo, _ *Policy) { f.contentType = []byte{6, 1, 0x2A} }, report.CMSContentType},
		{"content twice", func(f *forge, _ *signerInfo, p *Policy) { p.Detached, p.Content = true, []byte("other") }, report.CMSContent},
		{"an attribute of the signed kind unsigned",
			func(f *forge, _ *signerInfo, _ *Policy) { f.unsigned = tlv(tagContext1, foreign) }, report.CMSAttributes},
		{"no attributes at all", func(f *forge, _ *signerInfo, _ *Policy) { f.signed = tlv(tagContext0) }, report.CMSAttributes},
		{"attributes in an indefinite length", func(f *forge, si *signerInfo, _ *Policy) {
			f.signed = append(append([]byte{tagContext0, 0x80}, si.signedSet.body...), 0, 0)
		}, report.CMSAttributes},
		{"attributes with a long length", func(f *forge, si *signerInfo, _ *Policy) {
			f.signed = append([]byte{tagContext0, 0x83, 0, byte(len(si.signedSet.body) >> 8), byte(len(si.signedSet.body))},
				si.signedSet.body...)
		}, report.CMSAttributes},
		{"value in chunks", func(f *forge, si *signerInfo, _ *Policy) {
			f.value = tlv(tagOctetString|constructed, tlv(tagOctetString, si.signature))
		}, report.CMSSyntax},
		{"value with an octet more", func(f *forge, si *signerInfo, _ *Policy) {
			f.value = tlv(tagOctetString, si.signature, []byte{0})
		}, report.SignatureValue},
		{"value empty", func(f *forge, _ *signerInfo, _ *Policy) { f.value = tlv(tagOctetString) }, report.SignatureValue},
		{"a digest of the other size", func(f *forge, _ *signerInfo, _ *Policy) {
			f.digestAlgorithm = tlv(tagSequence, der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(gost.Streebog512.OID) }))
		}, report.CMSDigestMethod},
		{"no signer", func(f *forge, _ *signerInfo, _ *Policy) { f.sid = nil }, report.SignatureNone},
		{"signer by an empty key identifier",
			func(f *forge, _ *signerInfo, _ *Policy) { f.sid = []byte{tagPrimitive0, 0} }, report.CMSSigner},
		{"no certificate", func(f *forge, _ *signerInfo, _ *Policy) { f.certificates = nil }, report.CMSSigner},
		{"certificate in a long length", func(f *forge, _ *signerInfo, _ *Policy) {
			c := f.certificates[0]
			f.certificates = [][]byte{append([]byte{0x30, 0x84, 0, 0}, c[2:]...)}
		}, report.CMSSigner},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, si, _, policy := newForge(t, p, content)
			c.change(f, si, &policy)
			r, err := Verify(f.message(), policy)
			switch {
			case err != nil:
				if e, ok := err.(*report.Error); !ok || e.Code != c.code {
					t.Errorf("want %q, got %v", c.code, err)
				}
			case c.code == "":
				if r.Verdict() != report.Valid {
					t.Errorf("%s: %+v", r.Verdict(), r.Failures())
				}
			case r.Verdict() != report.Invalid || r.Integrity() != report.Invalid || len(r.Failures()) == 0 || !failsWith(r, c.code):
				t.Errorf("%s, want %s: %+v", r.Verdict(), c.code, r.Failures())
			}
		})
	}
}

func failsWith(r *report.Report, code report.Code) bool {
	for _, f := range r.Failures() {
		if f.Code == code {
			return true
		}
	}
	return false
}

// TestTwins: certificates with one issuer and serial number. The key that verifies tells which one signed, wherever it stands;
// one of them trusted does not lend its trust to the other.
func TestTwins(t *testing.T) {
	content := []byte("content")
	p := ProfileByName("pkcs7-attached")
	f, si, sd, policy := newForge(t, p, content)
	leaf := sd.certificates[0]
	for _, c := range sd.certificates {
		if si.identifies(c) {
			leaf = c
		}
	}
	// The twin has another key under the same name and number, issued by a CA of the same name that nobody trusts.
	rogue := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	key, _ := rogue.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	twin := reissue(t, leaf, key.Public().(*gost.PublicKey), rogue)
	for name, list := range map[string][][]byte{"before": {twin.Raw, leaf.Raw}, "behind": {leaf.Raw, twin.Raw}} {
		f.certificates = list
		r, err := Verify(f.message(), policy)
		if err != nil || r.Verdict() != report.Valid || !bytes.Equal(r.Signatures[0].Signer.Certificate, leaf.Raw) {
			t.Errorf("twin %s: %v %+v", name, err, r.Failures())
		}
	}
	// The twin's holder signs: the trusted certificate is of no use to him.
	value, err := key.Sign(rand.Reader, sum(gost.Streebog256.New(), si.signedOctets()), nil)
	if err != nil {
		t.Fatal(err)
	}
	f.value = tlv(tagOctetString, value)
	for name, list := range map[string][][]byte{"before": {twin.Raw, leaf.Raw}, "behind": {leaf.Raw, twin.Raw},
		"many": {leaf.Raw, twin.Raw, leaf.Raw, twin.Raw}} {
		f.certificates = list
		r, err := Verify(f.message(), policy)
		if err != nil || r.Verdict() != report.Invalid || !failsWith(r, report.CertPath) {
			t.Errorf("signed by the twin, %s: %v %s %+v", name, err, r.Verdict(), r.Failures())
		}
	}
}

// reissue is a certificate like c with another key, signed by ca under the name of c's issuer.
func reissue(t *testing.T, c *gost.Certificate, key *gost.PublicKey, ca *testpki.CA) *gost.Certificate {
	t.Helper()
	tbs := bytes.Replace(c.RawTBS, c.RawSubjectPublicKeyInfo, key.SubjectPublicKeyInfo(), 1)
	value, err := ca.Key.Sign(rand.Reader, sum(gost.Streebog256.New(), tbs), nil)
	if err != nil {
		t.Fatal(err)
	}
	algorithm := tlv(tagSequence, der(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(c.SignatureOID) }))
	out, err := gost.ParseCertificate(tlv(tagSequence, tbs, algorithm, der(func(b *cryptobyte.Builder) { b.AddASN1BitString(value) })))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHostileSizes: messages that multiply what a verifier looks at are answered in time that follows their length; a
// quadratic walk over any of them would outlast the test's patience.
func TestHostileSizes(t *testing.T) {
	f, si, _, policy := newForge(t, ProfileByName("pkcs7-attached"), []byte("content"))
	repeat := func(part []byte, n int) []byte { return bytes.Repeat(part, n) }
	nested := func(open []byte, n int) []byte { return append(repeat(open, n), repeat([]byte{0, 0}, n)...) }
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	_, other := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", testpki.Template{})
	for name, change := range map[string]func(*forge){
		"chunks":            func(f *forge) { f.content = tlv(tagOctetString|constructed, repeat([]byte{4, 1, 'x'}, 1<<18)) },
		"empty chunks":      func(f *forge) { f.content = tlv(tagOctetString|constructed, repeat([]byte{4, 0}, 1<<19)) },
		"nested chunks":     func(f *forge) { f.content = nested([]byte{0x24, 0x80}, 1<<17) },
		"digest algorithms": func(f *forge) { f.digestAlgorithm = repeat(f.digestAlgorithm, 1<<15) },
		"certificates":      func(f *forge) { f.certificates = [][]byte{repeat(other.Raw, 2000)} },
		"signers":           func(f *forge) { f.sid = repeat(f.sid, 1<<12) },
		"attributes":        func(f *forge) { f.signed = tlv(tagContext0, repeat(si.signedSet.body, 1<<12)) },
		"values": func(f *forge) {
			f.unsigned = tlv(tagContext1, tlv(tagSequence, []byte{6, 1, 0x2A}, tlv(tagSet, repeat([]byte{5, 0}, 1<<18))))
		},
		"unsigned": func(f *forge) {
			f.unsigned = tlv(tagContext1, repeat(tlv(tagSequence, []byte{6, 1, 0x2A}, tlv(tagSet)), 1<<16))
		},
		"long identifier": func(f *forge) { f.contentType = tlv(tagOID, repeat([]byte{0x81}, 1<<20), []byte{1}) },
		"long number":     func(f *forge) { f.sid = tlv(tagSequence, si.issuer, tlv(tagInteger, repeat([]byte{1}, 1<<20))) },
	} {
		g := *f
		change(&g)
		r, err := Verify(g.message(), policy)
		if err == nil && r.Verdict() != report.Invalid {
			t.Errorf("%s: %s", name, r.Verdict())
		}
		if e, ok := err.(*report.Error); err != nil && (!ok || e.Code != report.CMSLimit && e.Code != report.CMSSyntax) {
			t.Errorf("%s: %v", name, err)
		}
		r, err = VerifyStream(bytes.NewReader(g.message()), policy)
		if err == nil && r.Verdict() != report.Invalid {
			t.Errorf("%s, streamed: %s", name, r.Verdict())
		}
		if e, ok := err.(*report.Error); err != nil && (!ok || e.Code != report.CMSLimit && e.Code != report.CMSSyntax) {
			t.Errorf("%s, streamed: %v", name, err)
		}
	}
}
