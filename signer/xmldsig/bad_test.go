package xmldsig

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/internal/vectors"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// TestPrepareRefuses: everything wrong with what is asked is found before a key is touched, each with its own code and place.
func TestPrepareRefuses(t *testing.T) {
	ca := testpki.NewCA(t, gost.GOST2012_256, "CryptoPro-A")
	cert := func(template testpki.Template) *gost.Certificate {
		_, c := ca.NewSigner(t, gost.GOST2012_256, "CryptoPro-A", template)
		return c
	}
	good := cert(testpki.Template{})
	now := time.Now()
	old := certificates(t, "gost/certs/2001-cpA/leaf.pem")[0]
	request := messagesToSign()[1].doc
	envelope := func(header, body string) string {
		return `<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:wsse="` + nsWSSE + `" xmlns:wsu="` + nsWSU + `">` +
			header + body + `</s:Envelope>`
	}
	security := `<wsse:Security s:actor="` + actorSMEV + `">`
	for _, c := range []struct {
		name    string
		profile *Profile
		in      Input
		code    report.Code
		line    int // 0: no place
		column  int // 0: any
	}{
		{"no certificate", SMEV3, Input{Document: []byte(request)}, report.KeyUnusable, 0, 0},
		{"expired", SMEV3, Input{Certificate: cert(testpki.Template{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)})},
			report.CertTime, 0, 0},
		{"not yet valid", SMEV3, Input{Certificate: cert(testpki.Template{NotBefore: now.Add(time.Hour),
			NotAfter: now.Add(2 * time.Hour)})}, report.CertTime, 0, 0},
		{"not valid at the claimed time", XAdESBES,
			Input{Document: []byte(`<a/>`), Certificate: good, Time: now.Add(-48 * time.Hour)}, report.CertTime, 0, 0},
		{"key usage", SMEV3, Input{Certificate: cert(testpki.Template{KeyUsage: gost.UsageKeyAgreement})}, report.CertUsage, 0, 0},
		{"2001 key", SMEV3, Input{Certificate: old}, report.KeyUnusable, 0, 0},
		{"malformed", SMEV3, Input{Document: []byte("<a>\n<b></a>")}, report.XMLSyntax, 2, 0},
		{"undeclared prefix", SMEV3, Input{Document: []byte("<a>\n  <p:b/></a>")}, report.XMLSyntax, 2, 0},
		{"empty", SMEV3, Input{}, report.XMLSyntax, 1, 0},
		{"not UTF-8", SMEV3, Input{Document: []byte("<a>\n\xFF</a>")}, report.XMLEncoding, 2, 0},
		{"other encoding", SMEV3, Input{Document: []byte(`<?xml version="1.0" encoding="windows-1251"?><a/>`)}, report.XMLEncoding, 1, 0},
		{"DTD", SMEV3, Input{Document: []byte("<?xml version=\"1.0\"?>\n<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>")},
			report.XMLDoctype, 2, 1},
		{"depth", Enveloped, Input{Document: []byte(strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300))}, report.XMLLimit, 1, 0},
		{"size", Enveloped, Input{Document: []byte("<a>12345678</a>"), Limits: xmltext.Limits{Size: 10}}, report.XMLLimit, 1, 0},
		{"duplicate Id", SMEV3, Input{Document: []byte(strings.Replace(request, "<t:MessageID>",
			"\n<t:MessageID Id=\"PERSONAL_SIGNATURE\">", 1))}, report.XMLDuplicateID, 2, 0},
		{"duplicate id on the target", SMEV3Personal,
			Input{Document: []byte(strings.Replace(request, "<t:MessageID>", `<t:MessageID id="PERSONAL_SIGNATURE">`, 1))},
			report.XMLDuplicateID, 1, 0},
		{"no message", SMEV3, Input{Document: []byte(`<doc/>`)}, report.TargetMissing, 1, 1},
		{"empty body", SMEV3, Input{Document: []byte(envelope("", "<s:Body/>"))}, report.TargetMissing, 1, 0},
		{"no body", SMEV3, Input{Document: []byte(envelope("", ""))}, report.TargetMissing, 1, 0},
		{"answer of SMEV", SMEV3, Input{Document: []byte(`<t:GetRequestResponse` + types("1.2") + `/>`)}, report.TargetMissing, 1, 1},
		{"unknown version", SMEV3, Input{Document: []byte(strings.ReplaceAll(request, "/1.2", "/1.9"))}, report.TargetMissing, 1, 0},
		{"mixed versions", SMEV3, Input{Document: []byte(`<t:AckRequest xmlns:t="` + nsSMEV3 + `1.2" xmlns:b="` +
			nsSMEV3 + `basic/1.1"><b:AckTargetMessage/></t:AckRequest>`)}, report.TargetMissing, 1, 0},
		{"block missing", SMEV3, Input{Document: []byte(`<t:SendRequestRequest` + types("1.2") + "></t:SendRequestRequest>")},
			report.TargetMissing, 1, 1},
		{"two blocks", SMEV3, Input{Document: []byte(`<t:AckRequest` + types("1.2") +
			"><b:AckTargetMessage/><b:AckTargetMessage/></t:AckRequest>")}, report.TargetAmbiguous, 1, 0},
		{"two operations", SMEV3, Input{Document: []byte(strings.Replace(request, "</s:Body>", "<x/></s:Body>", 1))},
			report.TargetAmbiguous, 1, 0},
		{"two wrappers", SMEV3, Input{Document: []byte(`<t:AckRequest` + types("1.2") +
			"><b:AckTargetMessage/>\n<t:CallerInformationSystemSignature/>\n<t:CallerInformationSystemSignature/></t:AckRequest>")},
			report.TargetAmbiguous, 3, 1},
		{"wrapper in use", SMEV3, Input{Document: []byte(`<t:AckRequest` + types("1.2") +
			"><b:AckTargetMessage/><t:CallerInformationSystemSignature>x</t:CallerInformationSystemSignature></t:AckRequest>")},
			report.RequestInvalid, 1, 0},
		{"signed already", SMEV3, Input{Document: vectors.Read(t, "smev-messages/made/smev3-ack.xml")}, report.AlreadySigned, 6, 0},
		{"target with smev3", SMEV3, Input{Document: []byte(request), Target: "x"}, report.RequestInvalid, 0, 0},
		{"content without Id", SMEV3Personal,
			Input{Document: []byte(strings.ReplaceAll(request, ` Id="PERSONAL_SIGNATURE"`, ""))}, report.TargetMissing, 1, 0},
		{"content with another Id", SMEV3Personal, Input{Document: []byte(request), Target: "other"}, report.RequestInvalid, 1, 0},
		{"content Id unusable", SMEV3Personal,
			Input{Document: []byte(strings.ReplaceAll(request, `"PERSONAL_SIGNATURE"`, `"1 2"`))}, report.RequestInvalid, 1, 0},
		{"two contents", SMEV3Personal,
			Input{Document: []byte(strings.ReplaceAll(request, `<q:Question`, `<x/><q:Question`))}, report.TargetAmbiguous, 1, 0},
		{"smev2 without envelope", SMEV2, Input{Document: []byte(`<doc/>`)}, report.TargetMissing, 1, 1},
		{"smev2 two bodies", SMEV2, Input{Document: []byte(envelope("", "<s:Body/><s:Body/>"))}, report.TargetMissing, 1, 1},
		{"smev2 two headers", SMEV2, Input{Document: []byte(envelope("<s:Header/><s:Header/>", "<s:Body/>"))},
			report.TargetAmbiguous, 1, 0},
		{"smev2 two Security", SMEV2, Input{Document: []byte(envelope("<s:Header>"+security+"</wsse:Security>"+security+
			"</wsse:Security></s:Header>", "<s:Body/>"))}, report.TargetAmbiguous, 1, 0},
		{"smev2 foreign token", SMEV2,
			Input{Document: []byte(envelope("<s:Header>"+security+
				"<wsse:BinarySecurityToken>AAAA</wsse:BinarySecurityToken></wsse:Security></s:Header>", "<s:Body/>"))},
			report.RequestInvalid, 1, 0},
		{"smev2 signed already", SMEV2, Input{Document: vectors.Read(t, "smev-messages/made/smev2-ov-256u.xml")},
			report.AlreadySigned, 6, 0},
		{"no AppData", SMEV2SP, Input{Document: []byte(envelope("", "<s:Body/>"))}, report.TargetMissing, 1, 1},
		{"two AppData", SMEV2SP, Input{Document: []byte(`<a xmlns="http://smev.gosuslugi.ru/rev120315"><AppData/><AppData/></a>`)},
			report.TargetAmbiguous, 1, 0},
		{"missing target", Enveloped, Input{Document: []byte(`<doc/>`), Target: "#nowhere"}, report.TargetMissing, 0, 0},
		{"target twice", Enveloped, Input{Document: []byte(`<doc><a id="x"/><a id="x"/></doc>`), Target: "#x"},
			report.XMLDuplicateID, 1, 17},
		{"enveloped twice", Enveloped, Input{Document: vectors.Read(t, "gost/xmldsig/01-enveloped-256-exc.xml")},
			report.AlreadySigned, 1, 0},
		{"enveloping with a target", Enveloping, Input{Document: []byte(`<doc/>`), Target: "x"}, report.RequestInvalid, 0, 0},
		{"detached without a target", Detached, Input{Document: []byte(`<doc/>`)}, report.RequestInvalid, 0, 0},
		{"enveloped where SMEV's own signature goes", Enveloped,
			Input{Document: []byte(`<smev:AppData xmlns:smev="http://smev.gosuslugi.ru/rev120315" Id="own"/>`), Target: "own"},
			report.RequestInvalid, 1, 1},
		{"detached where SMEV's own signature goes", Detached,
			Input{Document: []byte(`<smev:AppData xmlns:smev="http://smev.gosuslugi.ru/rev120315"><a Id="a"/></smev:AppData>`),
				Target: "#a"}, report.RequestInvalid, 1, 1},
		{"detached from the root", Detached, Input{Document: []byte(`<doc Id="r"/>`), Target: "#r"}, report.RequestInvalid, 1, 1},
		{"detached, no URI", Detached, Input{Document: []byte(`x`), Target: "a b"}, report.RequestInvalid, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.in.Certificate == nil && c.name != "no certificate" {
				c.in.Certificate = good
			}
			prepared, err := c.profile.Prepare(c.in)
			if prepared != nil || err == nil {
				t.Fatal("not refused")
			}
			e, ok := err.(*report.Error)
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			if e.Code != c.code || e.Place.Line != c.line || c.column != 0 && e.Place.Column != c.column {
				t.Errorf("%v; want code %s at line %d, column %d", e, c.code, c.line, c.column)
			}
			if e.Message == "" || strings.Contains(e.Error(), "8c1c0a10") {
				t.Errorf("message %q", e)
			}
		})
	}
}

func TestCompleteRefuses(t *testing.T) {
	p, other := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_256, "CryptoPro-A")
	prepared, err := Enveloped.Prepare(Input{Document: []byte("<doc/>"), Certificate: p.cert})
	if err != nil {
		t.Fatal(err)
	}
	good, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := other.key.Sign(rand.Reader, prepared.Digest(), nil)
	if err != nil {
		t.Fatal(err)
	}
	swapped := append(append([]byte{}, good[32:]...), good[:32]...)
	for name, value := range map[string][]byte{
		"wrong key": foreign, "halves swapped": swapped, "too long": append(good[:64:64], 0), "short": good[:63], "none": nil,
	} {
		if out, err := prepared.Complete(value); out != nil || code(err) != report.SignatureValue {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
	// What is known to be good by another key, or over another digest, is not good here.
	others, err := testpki.Sign(other.key, prepared.Digest())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := testpki.Sign(p.key, make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]gost.Verified{"wrong key": others, "another digest": elsewhere, "none": {}} {
		if out, err := prepared.CompleteVerified(value); out != nil || code(err) != report.SignatureValue {
			t.Errorf("verified, %s: %q, %v", name, out, err)
		}
	}
	proved, err := p.cert.PublicKey.Prove(prepared.Digest(), good)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := prepared.CompleteVerified(proved); err != nil || !bytes.Contains(out, []byte(base64.StdEncoding.EncodeToString(good))) {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := prepared.Complete(good); out != nil || code(err) != report.RequestInvalid {
		t.Errorf("a second time: %q, %v", out, err)
	}
}

// TestTruncated: no prefix of a signed message panics or passes.
func TestTruncated(t *testing.T) {
	ca := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	for _, file := range []string{"smev-messages/made/smev3-received-request.xml", "smev-messages/made/smev2-node.xml",
		"gost/xmldsig/43-xades-bes-v1.xml"} {
		doc := strings.TrimRight(string(vectors.Read(t, file)), "\n")
		for n := 0; n < len(doc); n += 37 {
			if _, err := Verify([]byte(doc[:n]), Policy{}); code(err) != report.XMLSyntax && code(err) != report.XMLEncoding {
				t.Fatalf("%s cut at %d: %v", file, n, err)
			}
			if _, err := Enveloped.Prepare(Input{Document: []byte(doc[:n]), Certificate: ca.cert}); code(err) != report.XMLSyntax &&
				code(err) != report.XMLEncoding {
				t.Fatalf("%s cut at %d: %v", file, n, err)
			}
		}
	}
}

// TestVerifyRefuses: documents whose cryptography holds, or never gets so far.
func TestVerifyRefuses(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	request := messagesToSign()[1].doc
	signed := string(p.sign(t, SMEV3, Input{Document: []byte(request)}))
	plain := string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a Id="x">1</a></doc>`)}))
	inner := string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a Id="x">1</a></doc>`), Target: "x"}))
	detached := string(p.sign(t, Detached, Input{Document: []byte(`text`), Target: "file"}))
	SMEV3.transforms = chainExclusive // what a peer with another idea of SMEV 3 writes
	noSMEV := string(p.sign(t, SMEV3, Input{Document: []byte(request)}))
	SMEV3.transforms = chainSMEV3
	bes := string(p.sign(t, XAdESBES, Input{Document: []byte(`<doc/>`)}))
	ov := string(p.sign(t, SMEV2, Input{Document: []byte(messagesToSign()[16].doc)}))
	for _, c := range []struct {
		name   string
		doc    string
		policy Policy
		code   report.Code
	}{
		{"SMEV 3 message without a signature", request, Policy{}, report.SignatureNone},
		{"signature in the wrong place",
			strings.NewReplacer("<t:CallerInformationSystemSignature>", "<t:Elsewhere>",
				"</t:CallerInformationSystemSignature>", "</t:Elsewhere>").Replace(signed), Policy{}, report.SignatureNone},
		{"a second operation", strings.Replace(signed, "</s:Body>",
			`<t:AckRequest`+types("1.2")+`><b:AckTargetMessage/></t:AckRequest></s:Body>`, 1), Policy{}, report.SignatureNone},
		{"a second foreign element in Body", strings.Replace(signed, "</s:Body>", `<x/></s:Body>`, 1), Policy{}, report.ProfileForm},
		{"a second Body", strings.Replace(signed, "</s:Body>", `</s:Body><s:Body/>`, 1), Policy{}, report.CoverageWrong},
		{"a second block", strings.Replace(signed, "<t:CallerInformationSystemSignature>",
			`<t:SenderProvidedRequestData/><t:CallerInformationSystemSignature>`, 1), Policy{}, report.CoverageWrong},
		{"company in the wrapper", strings.Replace(signed, "</t:CallerInformationSystemSignature>",
			"<x/></t:CallerInformationSystemSignature>", 1), Policy{}, report.ProfileForm},
		{"another wrapper", strings.Replace(signed, "</t:SendRequestRequest>",
			"<t:CallerInformationSystemSignature>"+cut(signed, "<ds:Signature ", "</ds:Signature>")+
				"</t:CallerInformationSystemSignature></t:SendRequestRequest>", 1), Policy{}, report.ProfileForm},
		{"no SMEV transform", noSMEV, Policy{}, report.ProfileForm},
		{"wrong profile", plain, Policy{Profile: SMEV3}, report.SignatureNone},
		{"inner element instead of the root", inner, Policy{Profile: Enveloped}, report.CoverageWrong},
		{"root instead of inner element", plain, Policy{Profile: Enveloped, Target: "x"}, report.CoverageWrong},
		{"enveloped as enveloping", plain, Policy{Profile: Enveloping}, report.CoverageWrong},
		{"enveloped as detached", plain, Policy{Profile: Detached}, report.CoverageWrong},
		{"enveloped as XAdES", plain, Policy{Profile: XAdESBES}, report.XAdESProperties},
		{"content outside not given", detached, Policy{}, report.ReferenceURI},
		{"other content outside", detached, Policy{Content: []byte("other")}, report.ReferenceDigest},
		{"content outside for enveloped", detached, Policy{Content: []byte("text"), Profile: Enveloped}, report.ReferenceURI},
		{"properties of another signature", strings.Replace(bes, `Target="#signature"`, `Target="#other"`, 1),
			Policy{}, report.XAdESProperties},
		{"no KeyInfo", strings.Replace(plain, cut(plain, "<ds:KeyInfo>", "</ds:KeyInfo>"), "", 1), Policy{}, report.KeyInfo},
		{"KeyInfo by name", strings.Replace(plain, cut(plain, "<ds:KeyInfo>", "</ds:KeyInfo>"),
			"<ds:KeyInfo><ds:KeyName>x</ds:KeyName></ds:KeyInfo>", 1), Policy{}, report.KeyInfo},
		{"certificate unreadable", strings.Replace(plain, "<ds:X509Certificate>MII", "<ds:X509Certificate>NII", 1),
			Policy{}, report.CertSyntax},
		{"no SignatureValue", strings.Replace(plain, cut(plain, "<ds:SignatureValue>", "</ds:SignatureValue>"), "", 1),
			Policy{}, report.SignatureStructure},
		{"two SignedInfo", strings.Replace(plain, "<ds:SignatureValue>",
			cut(plain, "<ds:SignedInfo>", "</ds:SignedInfo>")+"<ds:SignatureValue>", 1), Policy{}, report.SignatureStructure},
		{"text in Signature", strings.Replace(plain, "<ds:SignatureValue>", "x<ds:SignatureValue>", 1), Policy{},
			report.SignatureStructure},
		{"unknown C14N", strings.Replace(plain, `Method Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"`,
			`Method Algorithm="urn:c14n"`, 1), Policy{}, report.SignatureC14N},
		{"XPath", strings.Replace(plain, `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`,
			`<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath>not(self::doc)</ds:XPath></ds:Transform>`, 1),
			Policy{}, report.ReferenceTransform},
		{"XPointer", strings.Replace(plain, `URI=""`, `URI="#xpointer(/)"`, 1), Policy{}, report.ReferenceURI},
		{"too many references", strings.Replace(plain, "</ds:SignedInfo>",
			strings.Repeat(cut(plain, "<ds:Reference ", "</ds:Reference>"), 20)+"</ds:SignedInfo>", 1), Policy{}, report.ReferenceLimit},
		{"too many transforms", strings.Replace(plain, "</ds:Transforms>",
			strings.Repeat(`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`, 4)+"</ds:Transforms>", 1),
			Policy{}, report.ReferenceLimit},
		{"too many signatures", strings.Replace(plain, "</doc>", strings.Repeat(`<ds:Signature xmlns:ds="`+nsDS+`"/>`, 64)+"</doc>", 1),
			Policy{}, report.ReferenceLimit},
		{"token elsewhere", strings.Replace(strings.Replace(ov, cut(ov, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>"), "", 1),
			"<soap:Body", "<x:y xmlns:x='urn:x' xmlns:wsse='"+nsWSSE+"'>"+
				cut(ov, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>")+"</x:y><soap:Body", 1), Policy{}, report.KeyInfo},
		{"Security without a signature", strings.Replace(ov, cut(ov, "<ds:Signature ", "</ds:Signature>"), "", 1),
			Policy{}, report.SignatureNone},
		{"expired", plain, Policy{Trust: p.store, Time: time.Now().AddDate(5, 0, 0)}, report.CertTime},
		{"not trusted", plain, Policy{Trust: newPair(t, gost.GOST2012_256, "CryptoPro-A").store}, report.CertPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Verify([]byte(c.doc), c.policy)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict() != report.Invalid || r.Err() == nil {
				t.Errorf("verdict %s", r.Verdict())
			}
			found := false
			for _, f := range r.Failures() {
				found = found || f.Code == c.code
			}
			if !found {
				t.Errorf("want %s, got%s", c.code, messages(r))
			}
		})
	}
	for name, doc := range map[string]string{
		"no '#' in the token reference": strings.Replace(ov, `Reference URI="#SenderCert"`, `Reference URI="SenderCert"`, 1),
		"no ValueType":                  strings.Replace(ov, ` ValueType="`+tokenX509+`"/>`, `/>`, 1),
		"blanks in base64": strings.Replace(strings.Replace(plain, "==</ds:SignatureValue>", "=\r\n =</ds:SignatureValue>", 1),
			">MII", ">\n M II\t", 1),
	} {
		if r, err := Verify([]byte(doc), Policy{Trust: p.store}); err != nil || r.Verdict() != report.Valid {
			t.Errorf("%s: %v %s", name, err, messages(r))
		}
	}
	if r, err := Verify([]byte(plain), Policy{}); err != nil || r.Verdict() != report.Indeterminate || r.Integrity() != report.Valid {
		t.Errorf("without trust: %v, %s", err, r.Verdict())
	}
}

// TestScope: a declaration added above a signature with inclusive canonicalization would break it.
func TestScope(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	Enveloped.transforms = []string{canon.EnvelopedURI, canon.InclusiveURI}
	inclusive := p.sign(t, Enveloped, Input{Document: []byte(messagesToSign()[16].doc), Target: ""})
	inner := p.sign(t, Enveloped, Input{Document: []byte(strings.Replace(messagesToSign()[16].doc, "<q:Answer>", `<q:Answer Id="own">`, 1)),
		Target: "own"})
	Enveloped.transforms = []string{canon.EnvelopedURI} // inclusive by default
	byDefault := p.sign(t, Enveloped,
		Input{Document: []byte(strings.Replace(messagesToSign()[16].doc, "<q:Answer>", `<q:Answer Id="own">`, 1)), Target: "own"})
	Enveloped.transforms = chainEnveloped
	exclusive := p.sign(t, SMEV2SP, Input{Document: []byte(messagesToSign()[16].doc)})
	for _, c := range []struct {
		name    string
		doc     []byte
		profile *Profile
		code    report.Code
	}{
		{"declaration on Body above inclusive", inner, SMEV2, report.AlreadySigned},
		{"declaration on Body above inclusive by default", byDefault, SMEV2, report.AlreadySigned},
		{"declaration on Body above exclusive", exclusive, SMEV2, ""},
		{"around the whole document", inclusive, Enveloping, report.AlreadySigned},
		{"around an inclusive element", inner, Enveloping, report.AlreadySigned},
		{"around an exclusive element", exclusive, Enveloping, ""},
	} {
		prepared, err := c.profile.Prepare(Input{Document: c.doc, Certificate: p.cert})
		if code(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if prepared == nil {
			continue
		}
		value, err := p.key.Sign(rand.Reader, prepared.Digest(), nil)
		if err != nil {
			t.Fatal(err)
		}
		out, err := prepared.Complete(value)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := Verify(out, Policy{Trust: p.store}); err != nil || r.Verdict() != report.Valid {
			t.Errorf("%s: %v%s", c.name, err, messages(r))
		}
	}
}

// TestNode: a valid certificate is not enough to sign as SMEV.
func TestNode(t *testing.T) {
	at := time.Unix(vectors.Time, 0)
	dir := "gost/certs/2012-256-cpXA/"
	anyone := trust.New(certificates(t, dir+"root.pem"), certificates(t, dir+"int.pem"))
	pinned := trust.New(certificates(t, dir+"leaf.pem"), nil)
	other := newPair(t, gost.GOST2012_256, "CryptoPro-A").store
	for _, file := range []string{"smev3-received-request.xml", "smev2-node.xml"} {
		doc := vectors.Read(t, "smev-messages/made/"+file)
		for node, want := range map[*trust.Store]report.Verdict{nil: report.Indeterminate, pinned: report.Valid, other: report.Invalid} {
			r, err := Verify(doc, Policy{Trust: anyone, Node: node, Time: at})
			if err != nil || r.Verdict() != want || r.Integrity() != report.Valid {
				t.Errorf("%s: %v, %s, want %s%s", file, err, r.Verdict(), want, messages(r))
			}
		}
	}
}

// cut is the part of s from start to the end of end.
func cut(s, start, end string) string {
	s = s[strings.Index(s, start):]
	return s[:strings.Index(s, end)+len(end)]
}

// TestWide: documents that multiply what signatures make a verifier look at are answered in time that follows their length; a
// quadratic walk over any of them would outlast the test's patience.
func TestWide(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	for name, doc := range map[string]string{
		"operations": soapOpen + strings.Repeat(`<t:AckRequest`+types("1.2")+`/>`, 20000) + soapClose,
		"signatures": `<a>` + strings.Repeat(`<ds:Signature xmlns:ds="`+nsDS+`"/>`, 20000) + `</a>`,
		"references": `<ds:Signature xmlns:ds="` + nsDS + `"><ds:SignedInfo><ds:CanonicalizationMethod/><ds:SignatureMethod/>` +
			strings.Repeat("<ds:Reference/>", 50000) + `</ds:SignedInfo><ds:SignatureValue/></ds:Signature>`,
		"headers": `<s:Envelope xmlns:s="` + nsSOAP + `" xmlns:wsse="` + nsWSSE + `"><s:Header>` +
			strings.Repeat(`<wsse:Security s:actor="`+actorSMEV+`"/>`, 20000) + `</s:Header><s:Body/></s:Envelope>`,
		"Ids": `<a>` + strings.Repeat(`<b Id="x"/>`, 50000) + `</a>`,
	} {
		r, err := Verify([]byte(doc), Policy{})
		if err != nil || r.Verdict() != report.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if n := len(r.Failures()); n > 2*maxSignatures {
			t.Errorf("%s: %d failures reported", name, n)
		}
		for _, profile := range Profiles {
			if _, err := profile.Prepare(Input{Document: []byte(doc), Certificate: p.cert, Target: "#x"}); err != nil &&
				code(err) == report.Internal {
				t.Errorf("%s, %s: %v", name, profile.Name, err)
			}
		}
	}
}
