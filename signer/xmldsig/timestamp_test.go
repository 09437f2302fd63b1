package xmldsig

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
	"github.com/epov-signer/epov/signer/tsp"
)

// newAuthority makes a time-stamping authority and its CA.
func newAuthority(t *testing.T, a *gost.Algorithm, params string) (*tsp.Authority, *gost.Certificate) {
	t.Helper()
	ca := testpki.NewCA(t, a, params)
	key, certificate := ca.NewSigner(t, a, params, testpki.Template{CommonName: "TSA", Extensions: []gost.Extension{testpki.TimeStamping}})
	return &tsp.Authority{Certificate: certificate, Key: key, Policy: []int{1, 2, 643, 1}}, ca.Certificate
}

// token stamps octets.
func token(t *testing.T, a *tsp.Authority, octets []byte) []byte {
	t.Helper()
	h := gost.Streebog256.New()
	h.Write(octets)
	query, err := (&tsp.Request{Digest: gost.Streebog256.OID, Imprint: h.Sum(nil), Certificates: true}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	reply, err := a.Answer(query)
	if err != nil {
		t.Fatal(err)
	}
	response, err := tsp.ParseResponse(reply)
	if err != nil {
		t.Fatal(err)
	}
	return response.Token
}

// TestTimeStamp: XAdES-T is XAdES-BES with a token about ds:SignatureValue, spliced in; the token is about that element in its
// canonical form, and its time is when the certificate is judged.
func TestTimeStamp(t *testing.T) {
	authority, root := newAuthority(t, gost.GOST2012_512, "tc26-512-A")
	for _, m := range []struct{ name, doc, target string }{
		{"root", "<doc xmlns=\"urn:d\">\n <a>1</a></doc>", ""},
		{"element", `<doc xmlns="urn:d"><a Id="a">1</a></doc>`, "a"},
		{"prefixes taken", `<doc xmlns:xades="urn:x" xmlns:ds="urn:y"><a>1</a></doc>`, ""},
		{"an entity of GIS GMP", strings.Replace(messagesToSign()[16].doc, "<q:Answer>text</q:Answer>", gisgmpRequest, 1), "C_1"},
	} {
		t.Run(m.name, func(t *testing.T) {
			p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
			all := trust.New([]*gost.Certificate{p.root, root}, nil)
			bes := p.sign(t, XAdEST, Input{Document: []byte(m.doc), Target: m.target, Time: time.Now()})
			octets, err := TimeStampInput(bes, "", xmltext.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			value := cut(string(bes), "<ds:SignatureValue>", "</ds:SignatureValue>")
			if want := strings.Replace(value, ">", ` xmlns:ds="`+nsDS+`">`, 1); string(octets) != want {
				t.Fatalf("%s is not %s", octets, want)
			}
			if again, err := oracle.Xmllint(t, octets, "--exc-c14n"); err != nil ||
				!bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), octets) {
				t.Errorf("xmllint: %v %s", err, again)
			}
			policy := Policy{Profile: XAdEST, Target: m.target, Trust: all}
			if r, err := Verify(bes, policy); err != nil || !slices.Contains(codes(r.Failures()), report.XAdESProperties) {
				t.Errorf("a profile with a time-stamp, and there is none: %v%s", err, messages(r))
			}
			stamped, err := AddTimeStamp(bes, "signature", token(t, authority, octets), xmltext.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !isSubsequence(string(bes), string(stamped)) {
				t.Errorf("more than an insertion: %s", stamped)
			}
			r, err := Verify(stamped, policy)
			if err != nil || r.Verdict() != report.Valid {
				t.Fatalf("%v %s%s\n%s", err, r.Verdict(), messages(r), stamped)
			}
			s := r.Signatures[0]
			if s.Profile != "xades-t" || len(s.TimeStamps) != 1 || !s.TimeStamps[0].Trusted ||
				s.TimeStamps[0].Place.Line == 0 || time.Since(s.TimeStamps[0].Time) > time.Minute {
				t.Errorf("%s: %+v", s.Profile, s.TimeStamps)
			}
			if r, err := Verify(stamped, Policy{Trust: all}); err != nil || r.Signatures[0].Profile != "xades-t" && m.target != "C_1" {
				t.Errorf("recognised: %v %s", err, r.Signatures[0].Profile)
			}

			// A second one goes beside the first, and the first stays.
			twice, err := AddTimeStamp(stamped, "", token(t, authority, octets), xmltext.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := Verify(twice, policy); err != nil || r.Verdict() != report.Valid || len(r.Signatures[0].TimeStamps) != 2 {
				t.Errorf("two: %v%s", err, messages(r))
			}

			// Long after the certificate has expired the time-stamp still says when it was valid.
			policy.Time = p.cert.NotAfter.Add(time.Minute)
			at, err := Verify(bes, Policy{Trust: all, Time: policy.Time})
			if err != nil || !slices.Contains(codes(at.Failures()), report.CertTime) {
				t.Errorf("without: %v", err)
			}
			if r, err = Verify(stamped, policy); err != nil || slices.ContainsFunc(r.Signatures[0].Checks, func(c report.Check) bool {
				return c.Code == report.CertTime && c.Status != report.Passed
			}) != !r.Signatures[0].TimeStamps[0].Trusted {
				t.Errorf("with: %v%s", err, messages(r))
			}

			// Nobody knows the authority.
			if r, err := Verify(stamped, Policy{Trust: p.store}); err != nil || r.Verdict() == report.Valid ||
				r.Integrity() != report.Valid || r.Signatures[0].TimeStamps[0].Trusted {
				t.Errorf("an unknown authority: %v %s%s", err, r.Verdict(), messages(r))
			}
			// A token about something else.
			foreign, err := AddTimeStamp(bes, "", token(t, authority, []byte("other")), xmltext.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := Verify(foreign, policy); err != nil || !slices.Contains(codes(r.Failures()), report.TimeStampImprint) {
				t.Errorf("a token about something else: %v%s", err, messages(r))
			}
		})
	}
}

// TestTimeStampC14N: time-stamps of others are about the canonical form that they name, inclusive C14N when they name none.
func TestTimeStampC14N(t *testing.T) {
	authority, root := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	all := trust.New([]*gost.Certificate{p.root, root}, nil)
	bes := p.sign(t, XAdESBES, Input{Document: []byte(`<doc xmlns:unused="urn:u"><a>1</a></doc>`)})
	for _, uri := range []string{"", canon.InclusiveURI, canon.Inclusive11URI, canon.ExclusiveURI, canon.ExclusiveCommentsURI} {
		var octets bytes.Buffer
		used := uri
		if used == "" {
			used = canon.InclusiveURI
		}
		at := bytes.Index(bes, []byte("<ds:SignatureValue"))
		if err := canon.Apply(&octets, bes, canon.Node{Element: at, Comments: true}, []canon.Transform{{URI: used}},
			xmltext.Limits{}); err != nil {
			t.Fatal(err)
		}
		method := ""
		if uri != "" {
			method = `<ds:CanonicalizationMethod Algorithm="` + uri + `"/>`
		}
		doc := strings.Replace(string(bes), "</xades:QualifyingProperties>",
			"<xades:UnsignedProperties><xades:UnsignedSignatureProperties><xades:SignatureTimeStamp>"+method+
				`<xades:EncapsulatedTimeStamp Encoding="http://uri.etsi.org/01903/v1.2.2#DER">`+
				base64.StdEncoding.EncodeToString(token(t, authority, octets.Bytes()))+
				"</xades:EncapsulatedTimeStamp></xades:SignatureTimeStamp></xades:UnsignedSignatureProperties></xades:UnsignedProperties></xades:QualifyingProperties>", 1)
		if r, err := Verify([]byte(doc), Policy{Trust: all}); err != nil || r.Verdict() != report.Valid ||
			len(r.Signatures[0].TimeStamps) != 1 {
			t.Errorf("%q: %v%s", uri, err, messages(r))
		}
	}
}

// TestTimeStampOpenSSL: OpenSSL finds the token in the document to be about the octets.
func TestTimeStampOpenSSL(t *testing.T) {
	authority, root := newAuthority(t, gost.GOST2012_256, "CryptoPro-A")
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	bes := p.sign(t, XAdEST, Input{Document: []byte(`<doc/>`)})
	octets, err := TimeStampInput(bes, "", xmltext.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	stamped, err := AddTimeStamp(bes, "", token(t, authority, octets), xmltext.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	text := cut(string(stamped), "<xades:EncapsulatedTimeStamp>", "</xades:EncapsulatedTimeStamp>")
	der, err := decode([]byte(text[len("<xades:EncapsulatedTimeStamp>") : len(text)-len("</xades:EncapsulatedTimeStamp>")]))
	if err != nil {
		t.Fatal(err)
	}
	tokenFile, data := oracle.File(t, der), oracle.File(t, octets)
	ca, err := oracle.OpenSSL(t, root.Raw, "x509", "-inform", "DER")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := oracle.OpenSSL(t, nil, "ts", "-verify", "-token_in", "-in", tokenFile, "-data", data, "-CAfile",
		oracle.File(t, ca)); err != nil {
		t.Errorf("OpenSSL refuses the time-stamp: %s %v", out, err)
	}
}

func TestAddTimeStampRefuses(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	bes := string(p.sign(t, XAdESBES, Input{Document: []byte(`<doc><a Id="a"/><b Id="b"/></doc>`), Target: "a"}))
	two := string(p.sign(t, XAdESBES, Input{Document: []byte(bes), Target: "b"}))
	over := string(p.sign(t, Enveloped, Input{Document: []byte(bes)}))
	for name, c := range map[string]struct {
		doc, id string
		token   []byte
		code    report.Code
	}{
		"no token":                {bes, "", nil, report.TimeStampToken},
		"a large token":           {bes, "", make([]byte, maxToken+1), report.TimeStampToken},
		"no document":             {"", "", []byte{1}, report.XMLSyntax},
		"no signature":            {"<doc/>", "", []byte{1}, report.TargetMissing},
		"another signature":       {bes, "other", []byte{1}, report.TargetMissing},
		"no XAdES":                {string(p.sign(t, Enveloped, Input{Document: []byte(`<doc/>`)})), "", []byte{1}, report.TargetMissing},
		"two":                     {two, "", []byte{1}, report.TargetAmbiguous},
		"another signature's own": {over, "", []byte{1}, report.AlreadySigned},
		"a broken signature": {strings.Replace(bes, "<ds:SignatureValue>", "<ds:SignatureValue/><ds:SignatureValue>", 1), "signature",
			[]byte{1}, report.SignatureStructure},
	} {
		if out, err := AddTimeStamp([]byte(c.doc), c.id, c.token, xmltext.Limits{}); out != nil || code(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if out, err := AddTimeStamp([]byte(two), "signature-1", []byte{1}, xmltext.Limits{}); err != nil || !isSubsequence(two, string(out)) {
		t.Errorf("one of two: %v", err)
	}
}
