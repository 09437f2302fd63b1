package xmldsig

import (
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// TestWrapping: signed parts that were moved, doubled or joined by unsigned company. Every digest and every signature in these
// documents holds; what is wrong is where things are.
func TestWrapping(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	list := messagesToSign()
	request := string(p.sign(t, SMEV3, Input{Document: []byte(list[1].doc)}))
	operation := cut(request, "<t:SendRequestRequest", "</t:SendRequestRequest>")
	declared := types("1.2")
	block := cut(request, "<t:SenderProvidedRequestData", "</t:SenderProvidedRequestData>")
	wrapper := cut(request, "<t:CallerInformationSystemSignature>", "</t:CallerInformationSystemSignature>")
	signature := cut(request, "<ds:Signature ", "</ds:Signature>")
	evilBlock := strings.Replace(strings.Replace(block, `Id="SIGNED_BY_CONSUMER"`, `Id="x"`, 1), `Id="PERSONAL_SIGNATURE"`, "", 1)
	evil := strings.Replace(operation, block, evilBlock, 1)
	unsigned := strings.Replace(evil, wrapper, "", 1)

	personal := string(p.sign(t, SMEV3Personal, Input{Document: []byte(list[1].doc)}))
	personalWrapper := cut(personal, "<t:PersonalSignature>", "</t:PersonalSignature>")
	question := cut(personal, "<q:Question", "</q:Question>")

	ov := string(p.sign(t, SMEV2, Input{Document: []byte(list[16].doc)}))
	security := cut(ov, "<wsse:Security ", "</wsse:Security>")
	body := cut(ov, "<soap:Body", "</soap:Body>")

	sp := string(p.sign(t, SMEV2SP, Input{Document: []byte(list[16].doc)}))
	signedData := cut(sp, "<smev:AppData", "</smev:AppData>")

	enveloped := string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a>1</a></doc>`)}))
	enveloping := string(p.sign(t, Enveloping, Input{Document: []byte(`<doc><a>1</a></doc>`)}))
	bes := string(p.sign(t, XAdESBES, Input{Document: []byte(`<doc><a>1</a></doc>`)}))
	detached := string(p.sign(t, Detached, Input{Document: []byte(`<doc><a Id="a">1</a></doc>`), Target: "#a"}))

	for _, c := range []struct {
		name string
		doc  string
		want Policy
		code report.Code
	}{
		{"block into the header", strings.Replace(strings.Replace(request, operation, evil, 1), "<s:Body>",
			"<s:Header"+declared+">"+block+"</s:Header><s:Body>", 1), Policy{}, report.CoverageWrong},
		{"block beside the operation", strings.Replace(request, operation, "<x"+declared+">"+block+"</x>"+evil, 1),
			Policy{}, report.CoverageWrong},
		{"block into the wrapper", strings.Replace(request, operation,
			strings.Replace(evil, wrapper, strings.Replace(wrapper, signature, signature+block, 1), 1), 1), Policy{}, report.CoverageWrong},
		{"block into an Object of the signature",
			strings.Replace(request, operation,
				strings.Replace(evil, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object>"+block+"</ds:Object>", 1), 1),
			Policy{}, report.CoverageWrong},
		{"operation one level down, unsigned one in its place",
			strings.Replace(request, operation, unsigned+"<x:keep xmlns:x='urn:x'>"+operation+"</x:keep>", 1),
			Policy{}, report.SignatureNone},
		{"operation one level down", strings.Replace(request, operation, "<x:keep xmlns:x='urn:x'>"+operation+"</x:keep>", 1),
			Policy{}, report.CoverageWrong},
		{"operation in the header", strings.Replace(strings.Replace(request, operation, "<x/>", 1), "<s:Body>",
			"<s:Header>"+operation+"</s:Header><s:Body>", 1), Policy{}, report.CoverageWrong},
		{"operation below another", strings.Replace(request, operation, "<t:AckRequest"+types("1.2")+">"+operation+"</t:AckRequest>", 1),
			Policy{}, report.CoverageWrong},
		{"envelope in an envelope", strings.Replace(request, operation, request, 1), Policy{}, report.CoverageWrong},
		{"SOAP 1.2 around it", strings.ReplaceAll(request, nsSOAP, "http://www.w3.org/2003/05/soap-envelope"),
			Policy{}, report.CoverageWrong},
		{"wrapper of another namespace",
			strings.NewReplacer("<t:CallerInformationSystemSignature>",
				"<x:CallerInformationSystemSignature xmlns:x='urn:x'>", "</t:CallerInformationSystemSignature>",
				"</x:CallerInformationSystemSignature>").Replace(request), Policy{}, report.SignatureNone},
		{"wrapper of another operation",
			strings.NewReplacer("<t:CallerInformationSystemSignature>", "<t:SMEVSignature>",
				"</t:CallerInformationSystemSignature>", "</t:SMEVSignature>").Replace(request), Policy{}, report.SignatureNone},
		{"a second wrapper, empty", strings.Replace(request, wrapper, "<t:CallerInformationSystemSignature/>"+wrapper, 1),
			Policy{}, report.ProfileForm},
		{"a second block of another version",
			strings.Replace(request, wrapper,
				strings.NewReplacer("<t:SenderProvidedRequestData",
					"<t:SenderProvidedRequestData xmlns:t='"+nsSMEV3+"1.1'").Replace(evilBlock)+wrapper, 1), Policy{}, report.ProfileForm},
		{"two signatures in the wrapper", strings.Replace(request, signature, signature+signature, 1), Policy{}, report.ProfileForm},
		{"signature in an Object of a signature",
			strings.Replace(request, signature,
				strings.Replace(signature, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object>"+signature+"</ds:Object>", 1), 1),
			Policy{}, report.CoverageWrong},
		{"Id in two flavours", strings.Replace(request, operation,
			strings.Replace(operation, wrapper, `<x ID="SIGNED_BY_CONSUMER"/>`+wrapper, 1), 1), Policy{}, report.XMLDuplicateID},
		{"Id in xml:id too", strings.Replace(request, "<s:Body>", `<s:Header xml:id="SIGNED_BY_CONSUMER"/><s:Body>`, 1),
			Policy{}, report.XMLDuplicateID},

		{"personal: signed content into the header",
			strings.Replace(strings.Replace(personal, question, strings.Replace(question, "PERSONAL_SIGNATURE", "x", 1), 1), "<s:Body>",
				"<s:Header>"+question+"</s:Header><s:Body>", 1), Policy{}, report.CoverageWrong},
		{"personal: a second content", strings.Replace(personal, question, question+"<x/>", 1), Policy{}, report.CoverageWrong},
		{"personal: wrapper outside", strings.Replace(strings.Replace(personal, personalWrapper, "", 1),
			"</t:SendRequestRequest>", personalWrapper+"</t:SendRequestRequest>", 1), Policy{Profile: SMEV3Personal}, report.SignatureNone},
		{"personal: wrapper outside, recognised",
			strings.Replace(strings.Replace(personal, personalWrapper, "", 1), "</t:SendRequestRequest>",
				personalWrapper+"</t:SendRequestRequest>", 1), Policy{}, report.CoverageWrong},

		{"smev2: Body into the header",
			strings.Replace(strings.Replace(ov, body, "<soap:Body><evil/></soap:Body>", 1), "</soap:Header>",
				"<x>"+body+"</x></soap:Header>", 1), Policy{}, report.CoverageWrong},
		{"smev2: Body beside Body", strings.Replace(ov, body, body+"<soap:Body><evil/></soap:Body>", 1), Policy{}, report.CoverageWrong},
		{"smev2: Security outside of the header",
			strings.Replace(strings.Replace(ov, security, "", 1), "<soap:Body", security+"<soap:Body", 1), Policy{}, report.CoverageWrong},
		{"smev2: two headers of one actor",
			strings.Replace(ov, security, security+
				strings.NewReplacer(`wsu:Id="SenderCert"`, `wsu:Id="other"`, "#SenderCert", "#other").Replace(security), 1),
			Policy{}, report.ProfileForm},
		{"smev2: another actor beside",
			strings.Replace(ov, security, "<wsse:Security xmlns:wsse='"+nsWSSE+"' soap:actor='"+actorSMEV+"'/>"+security, 1),
			Policy{}, report.SignatureNone},
		{"smev2: Body into the header, another actor",
			strings.Replace(strings.Replace(strings.Replace(ov, body, "<soap:Body><evil/></soap:Body>", 1),
				"</soap:Header>", "<x>"+body+"</x></soap:Header>", 1), actorSMEV, "urn:x", 1), Policy{}, report.CoverageWrong},
		{"smev2: Body into the header, no Security",
			strings.NewReplacer("<wsse:Security ", "<x ", "</wsse:Security>", "</x>",
				cut(ov, "<wsse:SecurityTokenReference", "</wsse:SecurityTokenReference>"),
				"<ds:X509Data><ds:X509Certificate>"+base64Of(p.cert.Raw)+"</ds:X509Certificate></ds:X509Data>", body,
				"<soap:Body><evil/></soap:Body>", "</soap:Header>", "<x>"+body+"</x></soap:Header>").Replace(ov),
			Policy{}, report.CoverageWrong},
		{"operation one level down, no wrapper",
			strings.NewReplacer("<t:CallerInformationSystemSignature>", "<x>", "</t:CallerInformationSystemSignature>",
				"</x>", "<s:Body>", "<s:Body><x>", "</s:Body>", "</x></s:Body>").Replace(request), Policy{}, report.CoverageWrong},
		{"smev2: token of another Security",
			strings.Replace(strings.Replace(ov, cut(ov, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>"), "", 1), security[:20],
				"<wsse:Security xmlns:wsse='"+nsWSSE+"' soap:actor='urn:x'>"+
					cut(ov, "<wsse:BinarySecurityToken", "</wsse:BinarySecurityToken>")+"</wsse:Security>"+security[:20], 1), Policy{},
			report.KeyInfo},

		{"smev2-sp: signed data moved, other data in its place",
			strings.Replace(strings.Replace(sp, signedData, "<smev:AppData><q:Answer>evil</q:Answer></smev:AppData>", 1),
				"<smev:MessageData>", "<q:old>"+signedData+"</q:old><smev:MessageData>", 1),
			Policy{Profile: SMEV2SP}, report.CoverageWrong},
		{"smev2-sp: signed data in the header",
			strings.Replace(strings.Replace(sp, signedData, "<smev:AppData><q:Answer>evil</q:Answer></smev:AppData>", 1),
				"<soap:Body>", "<soap:Header xmlns:smev='http://smev.gosuslugi.ru/rev120315' xmlns:q='http://example.ru/s'>"+signedData+
					"</soap:Header><soap:Body>", 1), Policy{}, report.CoverageWrong},

		{"enveloped: an unsigned Object",
			strings.Replace(enveloped, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><a>evil</a></ds:Object>", 1),
			Policy{Profile: Enveloped}, report.CoverageWrong},
		{"enveloping: an unsigned Object before",
			strings.Replace(enveloping, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><doc><a>evil</a></doc></ds:Object>", 1),
			Policy{Profile: Enveloping}, report.CoverageWrong},
		{"xades: company of the properties",
			strings.Replace(bes, "</xades:QualifyingProperties>", "</xades:QualifyingProperties><a>evil</a>", 1),
			Policy{Profile: XAdESBES}, report.CoverageWrong},
		{"xades: text beside the properties",
			strings.Replace(bes, "</xades:QualifyingProperties>", "</xades:QualifyingProperties>evil", 1),
			Policy{Profile: XAdESBES}, report.CoverageWrong},
		{"detached: an unsigned Object",
			strings.Replace(detached, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><a>evil</a></ds:Object>", 1),
			Policy{Profile: Detached}, report.CoverageWrong},
		{"enveloped: company of an explicit Target",
			string(p.sign(t, Enveloped, Input{Document: []byte(`<doc><a Id="a">1</a></doc>`)})),
			Policy{Profile: Enveloped, Target: "a"}, report.CoverageWrong},
		{"smev2-sp: the target is other data",
			strings.Replace(sp, "</smev:MessageData>", "<smev:AppData wsu:Id='evil' xmlns:wsu='"+nsWSU+"'/></smev:MessageData>", 1),
			Policy{Profile: SMEV2SP, Target: "evil"}, report.CoverageWrong},
		{"smev2-sp: the target is something else",
			strings.Replace(sp, "</smev:MessageData>", "<x Id='evil'/></smev:MessageData>", 1),
			Policy{Profile: SMEV2SP, Target: "evil"}, report.CoverageWrong},
		{"smev2-sp: the target is not there", sp, Policy{Profile: SMEV2SP, Target: "evil"}, report.CoverageWrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Trust = p.store
			r, err := Verify([]byte(c.doc), c.want)
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict() != report.Invalid {
				t.Errorf("verdict %s\n%s", r.Verdict(), c.doc)
			}
			found := false
			for _, f := range r.Failures() {
				found = found || f.Code == c.code
				if f.Code == report.ReferenceDigest || f.Code == report.SignatureValue {
					t.Errorf("the attack itself is broken: %s", f.Message)
				}
			}
			if !found {
				t.Errorf("want %s, got%s", c.code, messages(r))
			}
		})
	}
}

// TestUnknown: what is not examined keeps a document from being valid, without making it invalid.
func TestUnknown(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	sign := func(profile *Profile, doc, target string) string {
		return string(p.sign(t, profile, Input{Document: []byte(doc), Target: target}))
	}
	const manifest = `<ds:Manifest xmlns:ds="` + nsDS + `" Id="a"><ds:Reference URI="file"/></ds:Manifest>`
	future := soapOpen + `<t:AckRequest` + types("1.9") +
		`><b:AckTargetMessage Id="a">1</b:AckTargetMessage><t:CallerInformationSystemSignature>`
	detached := sign(Detached, `<doc><a Id="a">1</a></doc>`, "#a")
	for name, doc := range map[string]string{
		"an Object beside":           strings.Replace(detached, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object><a>evil</a></ds:Object>", 1),
		"a Manifest referred to":     sign(Detached, `<doc>`+manifest+`</doc>`, "#a"),
		"a Manifest in the Object":   sign(Enveloping, manifest, ""),
		"an unknown version of SMEV": sign(Enveloped, future+`</t:CallerInformationSystemSignature></t:AckRequest>`+soapClose, ""),
	} {
		r, err := Verify([]byte(doc), Policy{Trust: p.store})
		if err != nil {
			t.Fatal(err)
		}
		open := slices.ContainsFunc(append(slices.Clone(r.Checks), r.Signatures[0].Checks...), func(c report.Check) bool {
			return c.Status == report.NotChecked
		})
		if r.Verdict() != report.Indeterminate || !open {
			t.Errorf("%s: %s%s", name, r.Verdict(), messages(r))
		}
	}
}

// TestInclude: octets that are elsewhere are not signed by a name for them.
func TestInclude(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	include := `<xop:Include xmlns:xop="` + nsXOP + `" href="cid:1"/>`
	for _, c := range []struct {
		profile *Profile
		doc     string
		target  string
	}{
		{Enveloped, `<doc>` + include + `</doc>`, ""},
		{Enveloped, `<doc><a/><b Id="b">` + include + `</b></doc>`, "b"},
		{Enveloping, `<doc>` + include + `</doc>`, ""},
		{Detached, `<doc><b Id="b"/><a Id="a">` + include + `</a></doc>`, "#a"},
		{SMEV3, strings.Replace(messagesToSign()[1].doc, "<q:Note>", include+"<q:Note>", 1), ""},
		{SMEV2, strings.Replace(messagesToSign()[16].doc, "<q:Answer>", include+"<q:Answer>", 1), ""},
		{XAdESBES, include, ""},
	} {
		in := Input{Document: []byte(c.doc), Target: c.target, Certificate: p.cert}
		if _, err := c.profile.Prepare(in); code(err) != report.RequestInvalid {
			t.Errorf("%s: %v", c.profile.Name, err)
		}
	}
	// Beside what is signed it does no harm: attachments of SMEV 3 travel so.
	beside := strings.Replace(messagesToSign()[1].doc, "</t:SendRequestRequest>",
		"<b:AttachmentContentList>"+include+"</b:AttachmentContentList></t:SendRequestRequest>", 1)
	signed := p.sign(t, SMEV3, Input{Document: []byte(beside)})
	if r, err := Verify(signed, Policy{Trust: p.store}); err != nil || r.Verdict() != report.Valid {
		t.Errorf("beside: %v%s", err, messages(r))
	}
}

// TestExplicitProfile: a profile that is named replaces recognition, so a message of SMEV with one more signature is what the
// caller says it is; signatures in the places of SMEV that are there are examined all the same.
func TestExplicitProfile(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	request := messagesToSign()[1].doc
	two := strings.Replace(request, "</s:Body>", "<x/></s:Body>", 1)
	archive := `<archive>` + string(p.sign(t, SMEV3, Input{Document: []byte(request)})) + `</archive>`
	for name, doc := range map[string]string{
		"without SMEV's own signatures": request, "two elements in Body": two, "a signed message inside": archive,
	} {
		for _, profile := range []*Profile{Enveloped, XAdESBES} {
			signed := p.sign(t, profile, Input{Document: []byte(doc)})
			r, err := Verify(signed, Policy{Profile: profile, Trust: p.store})
			if err != nil || r.Verdict() != report.Valid {
				t.Errorf("%s, %s: %v%s", name, profile.Name, err, messages(r))
			}
			if r, err = Verify(signed, Policy{Trust: p.store}); err != nil || r.Verdict() != report.Invalid {
				t.Errorf("%s, %s, recognised: %v, %s", name, profile.Name, err, r.Verdict())
			}
		}
	}
	broken := strings.Replace(archive, ">8c1c0a10<", ">9c1c0a10<", 1)
	r, err := Verify(p.sign(t, Enveloped, Input{Document: []byte(broken)}), Policy{Profile: Enveloped, Trust: p.store})
	if err != nil || r.Verdict() != report.Invalid {
		t.Errorf("a broken message inside: %v %s", err, r.Verdict())
	}
}

// TestWork: what a document may make a verifier keep, read and answer is bounded.
func TestWork(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	for name, doc := range map[string]string{
		"Ids":   `<a>` + strings.Repeat(`<b id=""/>`, maxElements+1) + `</a>`,
		"names": `<a xmlns:t="` + nsSMEV3 + `1.2">` + strings.Repeat(`<t:b/>`, maxElements+1) + `</a>`,
	} {
		if _, err := Verify([]byte(doc), Policy{}); code(err) != report.XMLLimit {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Enveloped.Prepare(Input{Document: []byte(doc), Certificate: p.cert}); code(err) != report.XMLLimit {
			t.Errorf("%s: %v", name, err)
		}
	}

	signature := cut(string(p.sign(t, Enveloped, Input{Document: []byte(`<doc/>`)})), "<ds:Signature ", "</ds:Signature>")
	reference := cut(signature, "<ds:Reference ", "</ds:Reference>")
	greedy := strings.Repeat(strings.Replace(signature, reference, strings.Repeat(reference, maxReferences), 1), maxSignatures)
	r, err := Verify([]byte("<doc>"+strings.Repeat("<a>text</a>", 1<<17)+greedy+"</doc>"), Policy{})
	if err != nil || !slices.ContainsFunc(r.Failures(), func(c report.Check) bool {
		return c.Code == report.ReferenceLimit && strings.Contains(c.Message, "cover too much")
	}) {
		t.Errorf("too much work: %v", err)
	}

	long := strings.Repeat("n", 1000)
	doc := strings.Repeat("<"+long+">", 200) + greedy + strings.Repeat("</"+long+">", 200)
	if r, err = Verify([]byte(doc), Policy{}); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, c := range r.Failures() {
		size += len(c.Message) + len(c.Place.Path) + len(c.Expected) + len(c.Got)
	}
	if size > 2*len(doc) {
		t.Errorf("a document of %d octets makes a report of %d", len(doc), size)
	}
	if got := r.Signatures[0].Place.Path; len(got) > maxPathText+16 || !strings.HasSuffix(got, "/ds:Signature") ||
		!strings.HasPrefix(got, "…/") {
		t.Errorf("path %q", got)
	}
}

// TestSlack: base64 has one spelling of a value but for blanks, so that a signed document cannot be varied in it.
func TestSlack(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	doc := string(p.sign(t, Enveloped, Input{Document: []byte(`<doc/>`)}))
	value := cut(doc, "<ds:SignatureValue>", "</ds:SignatureValue>")
	at := strings.Index(value, "=") - 1
	slack := value[:at] + string(value[at]+1) + value[at+1:] // 4 bits of the last digit mean nothing
	for name, other := range map[string]string{
		"bits that mean nothing": slack,
		"no padding":             strings.Replace(value, "==", "", 1),
		"more padding":           strings.Replace(value, "==", "====", 1),
		"two values":             strings.Replace(value, "==", "==AAAA", 1),
		"URL alphabet":           strings.Replace(value, ">", ">-_", 1),
		"a reference to nothing": strings.Replace(value, "==", "&#x200B;==", 1),
	} {
		r, err := Verify([]byte(strings.Replace(doc, value, other, 1)), Policy{Trust: p.store})
		if err != nil || r.Verdict() != report.Invalid {
			t.Errorf("%s: %v %s", name, err, r.Verdict())
		}
	}
}

// TestBeside: what is signed besides by others does not make a message of SMEV wrong.
func TestBeside(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	ov := string(p.sign(t, SMEV2, Input{Document: []byte(messagesToSign()[16].doc)}))
	security := cut(ov, "<wsse:Security ", "</wsse:Security>")
	other := strings.NewReplacer(actorSMEV, "urn:other", `wsu:Id="SenderCert"`, `wsu:Id="other"`, "#SenderCert", "#other").Replace(security)
	data := strings.Replace(messagesToSign()[16].doc, "</smev:MessageData>", `<smev:AppData Id="second"/></smev:MessageData>`, 1)
	data = strings.Replace(data, "<smev:AppData>", `<smev:AppData Id="first">`, 1)
	one := string(p.sign(t, SMEV2SP, Input{Document: []byte(data), Target: "first"}))
	both := string(p.sign(t, SMEV2SP, Input{Document: []byte(one), Target: "second"}))
	for name, c := range map[string]struct {
		doc    string
		policy Policy
	}{
		"another actor beside":      {strings.Replace(ov, security, security+other, 1), Policy{}},
		"another actor alone":       {strings.Replace(ov, security, other, 1), Policy{}},
		"the AppData that counts":   {one, Policy{Profile: SMEV2SP, Target: "#first"}},
		"every AppData":             {both, Policy{Profile: SMEV2SP}},
		"every AppData, recognised": {both, Policy{}},
	} {
		c.policy.Trust = p.store
		if r, err := Verify([]byte(c.doc), c.policy); err != nil || r.Verdict() != report.Valid {
			t.Errorf("%s: %v%s", name, err, messages(r))
		}
	}
}

// TestNothingAsked: what a caller asks about is what the answer is about.
func TestNothingAsked(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	enveloped := p.sign(t, Enveloped, Input{Document: []byte(`<doc><a Id="a"/></doc>`)})
	beside := p.sign(t, Detached, Input{Document: []byte(`<doc><a Id="a"/></doc>`), Target: "#a"})
	for _, c := range []struct {
		doc     []byte
		profile *Profile
	}{{enveloped, nil}, {beside, nil}, {beside, Detached}} {
		r, err := Verify(c.doc, Policy{Trust: p.store, Profile: c.profile, Content: []byte("not covered")})
		if err != nil || r.Verdict() != report.Invalid || r.Failures()[0].Code != report.CoverageWrong {
			t.Errorf("content that nobody covers: %v%s", err, messages(r))
		}
	}
	for _, profile := range []*Profile{nil, SMEV3, SMEV3Personal, SMEV2, Enveloping} {
		if _, err := Verify(enveloped, Policy{Profile: profile, Target: "a"}); code(err) != report.RequestInvalid {
			t.Errorf("target: %v", err)
		}
	}
}
