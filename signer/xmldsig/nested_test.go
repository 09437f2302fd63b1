package xmldsig

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// TestNested: an official signs, then the system; EP-SP in AppData, then EP-OV.
func TestNested(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	for _, c := range []struct {
		doc          string
		inner, outer *Profile
	}{
		{messagesToSign()[1].doc, SMEV3Personal, SMEV3},
		{messagesToSign()[16].doc, SMEV2SP, SMEV2},
	} {
		signed := p.sign(t, c.inner, Input{Document: []byte(c.doc)})
		both := p.sign(t, c.outer, Input{Document: signed})
		r, err := Verify(both, Policy{Trust: p.store})
		if err != nil || r.Verdict() != report.Valid || len(r.Signatures) != 2 {
			t.Errorf("%s, %s: %v %s", c.inner.Name, c.outer.Name, err, messages(r))
		}
		outer := p.sign(t, c.outer, Input{Document: []byte(c.doc)})
		if _, err := c.inner.Prepare(Input{Document: outer, Certificate: p.cert}); code(err) != report.AlreadySigned {
			t.Errorf("%s after %s: %v", c.inner.Name, c.outer.Name, err)
		}
		if _, err := c.outer.Prepare(Input{Document: both, Certificate: p.cert}); code(err) != report.AlreadySigned {
			t.Errorf("%s twice: %v", c.outer.Name, err)
		}
	}
}

// delivered makes of a request what SMEV delivers: the sender's block and signature moved below Request.
func delivered(signed string) string {
	block := cut(signed, "<t:SenderProvidedRequestData", "</t:SenderProvidedRequestData>")
	signature := cut(signed, "<t:CallerInformationSystemSignature>", "</t:CallerInformationSystemSignature>")
	signature = strings.ReplaceAll(signature, "CallerInformationSystemSignature", "SenderInformationSystemSignature")
	return soapOpen + `<t:GetRequestResponse` + types("1.2") + `><t:RequestMessage><t:Request>` + block +
		`<t:MessageMetadata><t:MessageId>1</t:MessageId></t:MessageMetadata>` + signature +
		`</t:Request><b:AttachmentContentList/></t:RequestMessage></t:GetRequestResponse>` + soapClose
}

// TestLayers: SMEV over the sender over an official, each with a key of its own; and the same in SMEV 2. Every signature is
// reported with who made it, what it covers and which others are in that.
func TestLayers(t *testing.T) {
	official, system := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_256, "tc26-256-A")
	node := newPair(t, gost.GOST2012_512, "tc26-512-A")
	people := trusting(official, system)
	list := messagesToSign()
	signed := string(official.sign(t, SMEV3Personal, Input{Document: []byte(list[1].doc)}))
	signed = string(system.sign(t, SMEV3, Input{Document: []byte(signed)}))
	three := string(node.sign(t, SMEV3Node, Input{Document: []byte(delivered(signed))}))

	two := string(official.sign(t, SMEV2SP, Input{Document: []byte(list[16].doc)}))
	two = string(system.sign(t, SMEV2, Input{Document: []byte(two)}))
	two = strings.Replace(two, "</soap:Header>",
		`<smev:Header xmlns:smev="http://smev.gosuslugi.ru/rev120315"><smev:NodeId>1</smev:NodeId></smev:Header></soap:Header>`, 1)
	two = string(node.sign(t, SMEV2Node, Input{Document: []byte(two)}))

	type layer struct {
		name, profile string
		by            *pair
		element       []string
		covers        []string
	}
	for name, c := range map[string]struct {
		doc    string
		layers []layer
	}{
		"SMEV 3": {three, []layer{
			{personal, "smev3-personal", official, []string{"{urn://example.ru/q}Question"}, nil},
			{sender, "smev3", system, []string{"{" + nsSMEV3 + "1.2}SenderProvidedRequestData"}, []string{personal}},
			{smev, "smev3-node", node, []string{"{" + nsSMEV3 + "1.2}Request"}, []string{personal, sender}},
		}},
		"SMEV 2": {two, []layer{
			{"smev:AppData/ds:Signature", "smev2-sp", official, []string{"{" + nsSMEV2 + "120315}AppData"}, nil},
			{"wsse:Security[actor smev]", "smev2", system, []string{"{" + nsSOAP + "}Body"}, []string{"smev:AppData/ds:Signature"}},
			{"wsse:Security[actor recipient]", "smev2-node", node,
				[]string{"{" + nsSMEV2 + "120315}Header", "{" + nsSOAP + "}Body"}, []string{"smev:AppData/ds:Signature"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := Policy{Trust: people, Node: node.store}
			for _, l := range c.layers {
				policy.Require = append(policy.Require, l.name, l.profile)
			}
			r, err := Verify([]byte(c.doc), policy)
			if err != nil || r.Verdict() != report.Valid || len(r.Signatures) != len(c.layers) {
				t.Fatalf("%v %s%s", err, r.Verdict(), messages(r))
			}
			for _, l := range c.layers {
				i := slices.IndexFunc(r.Signatures, func(s report.Signature) bool { return s.Name == l.name })
				if i < 0 {
					t.Fatalf("%s is not reported", l.name)
				}
				s := r.Signatures[i]
				var elements, covers []string
				for _, covered := range s.Coverage {
					elements = append(elements, covered.Element)
				}
				for _, j := range s.Covers {
					covers = append(covers, r.Signatures[j].Name)
				}
				slices.Sort(covers)
				if s.Profile != l.profile || !slices.Equal(s.Signer.Certificate, l.by.cert.Raw) ||
					!slices.Equal(elements, l.element) || !slices.Equal(covers, l.covers) {
					t.Errorf("%s: profile %s, covers %q and in it %q", s.Name, s.Profile, elements, covers)
				}
			}
			policy.Node = people
			if r, err := Verify([]byte(c.doc), policy); err != nil || r.Verdict() != report.Invalid || r.Integrity() != report.Valid {
				t.Errorf("a system that signs as SMEV is not the node: %v %s", err, r.Verdict())
			}
		})
	}

	if r, err := Verify([]byte(signed), Policy{Require: []string{smev}}); err != nil ||
		!slices.Contains(codes(r.Failures()), report.SignatureNone) {
		t.Errorf("what is required may be missing: %v", err)
	}
	if _, err := Verify([]byte(signed), Policy{Require: []string{"Personal"}}); code(err) != report.RequestInvalid {
		t.Errorf("an unknown name: %v", err)
	}
}

// TestInTurn: parties sign one after the other; what was signed before stays valid, or the next one is refused.
func TestInTurn(t *testing.T) {
	a, b := newPair(t, gost.GOST2012_256, "CryptoPro-A"), newPair(t, gost.GOST2012_512, "tc26-512-A")
	people := trusting(a, b)
	const doc = `<doc xmlns="urn:d"><part Id="a">1</part><part Id="b">2</part></doc>`
	request := strings.Replace(messagesToSign()[16].doc, "<q:Answer>text</q:Answer>", gisgmpRequest, 1)
	type step struct {
		profile *Profile
		target  string
	}
	for _, c := range []struct {
		name  string
		doc   string
		steps []step
		works bool
	}{
		{"shared, shared", doc, []step{{Shared, ""}, {Shared, ""}, {Shared, ""}}, true},
		{"shared, then one over all", doc, []step{{Shared, ""}, {Enveloped, ""}}, true},
		{"over all, then shared", doc, []step{{Enveloped, ""}, {Shared, ""}}, false},
		{"detached twice over one part", doc, []step{{Detached, "#a"}, {Detached, "#a"}}, true},
		{"detached over two parts", doc, []step{{Detached, "#a"}, {Detached, "#b"}}, true},
		{"in two parts", doc, []step{{Enveloped, "a"}, {Enveloped, "b"}, {Enveloped, ""}}, true},
		{"part, XAdES over all", doc, []step{{Enveloped, "a"}, {XAdESBES, ""}}, true},
		{"all, then a part", doc, []step{{Enveloped, ""}, {Enveloped, "b"}}, false},
		{"enveloping", doc, []step{{Enveloped, ""}, {Enveloping, ""}}, false}, // URI="" would mean another document
		{"enveloping a detached one", doc, []step{{Detached, "#a"}, {Enveloping, ""}}, true},
		{"GIS GMP: charge, request, SMEV 2", request, []step{{GISGMP, "C_1"}, {GISGMP, ""}, {SMEV2, ""}}, true},
		{"GIS GMP: XAdES in the charge", request, []step{{XAdESBES, "C_1"}, {GISGMP, ""}, {SMEV2, ""}}, true},
		{"GIS GMP: request, then charge", request, []step{{GISGMP, ""}, {GISGMP, "C_1"}}, false},
		{"GIS GMP: SMEV 2, then request", request, []step{{SMEV2, ""}, {GISGMP, ""}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := []byte(c.doc)
			for i, s := range c.steps {
				p := []*pair{a, b}[i%2]
				prepared, err := s.profile.Prepare(Input{Document: document, Certificate: p.cert, Target: s.target})
				if last := i == len(c.steps)-1; last && !c.works {
					if code(err) != report.AlreadySigned || prepared != nil {
						t.Errorf("not refused: %v", err)
					}
					return
				} else if err != nil {
					t.Fatal(err)
				}
				document = p.sign(t, s.profile, Input{Document: document, Target: s.target})
				policy := Policy{Trust: people, Profile: s.profile, Target: s.target}
				if !s.profile.targeted() {
					policy.Target = ""
				}
				for _, policy := range []Policy{{Trust: people}, policy} {
					r, err := Verify(document, policy)
					if err != nil || r.Verdict() != report.Valid || len(r.Signatures) != i+1 {
						t.Fatalf("after %s: %v %s%s\n%s", s.profile.Name, err, r.Verdict(), messages(r), document)
					}
				}
			}
		})
	}
}

// TestEntity: an entity of GIS GMP that was signed as a document keeps its signature in a message, and only there does URI=""
// mean it.
func TestEntity(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	charge := string(p.sign(t, GISGMP, Input{Document: []byte(gisgmpCharge)}))
	message := strings.Replace(messagesToSign()[16].doc, "<q:Answer>text</q:Answer>",
		`<g:RequestMessage xmlns:g="http://roskazna.ru/gisgmp/xsd/116/Message" xmlns="urn:x" xmlns:d="urn:d" Id="ID_1">`+
			charge+charge+`</g:RequestMessage>`, 1)
	message = string(p.sign(t, SMEV2, Input{Document: []byte(message)}))
	r, err := Verify([]byte(message), Policy{Trust: p.store, Require: []string{"gisgmp", "smev2"}})
	if err != nil || r.Verdict() != report.Valid || len(r.Signatures) != 3 {
		t.Fatalf("%v %s%s", err, r.Verdict(), messages(r))
	}
	for _, s := range r.Signatures[1:] {
		if s.Profile != "gisgmp" || len(s.Coverage) != 1 || s.Coverage[0].Element != "{http://roskazna.ru/gisgmp/xsd/116/Charge}Charge" {
			t.Errorf("%s covers %+v", s.Profile, s.Coverage)
		}
	}
	elsewhere := strings.Replace(`<doc>`+charge+`</doc>`, "http://roskazna.ru/gisgmp/xsd/116/Charge", "urn:charge", 1)
	if r, err := Verify([]byte(elsewhere), Policy{Trust: p.store}); err != nil ||
		!slices.Contains(codes(r.Failures()), report.ReferenceDigest) {
		t.Errorf("URI=\"\" elsewhere: %v%s", err, messages(r))
	}
	wrapped := `<r:Pack xmlns:r="http://roskazna.ru/gisgmp/xsd/116/Pack"><c:Charge xmlns:c="urn:evil"/>` + charge + `</r:Pack>`
	signature := cut(wrapped, "<ds:Signature ", "</ds:Signature>")
	wrapped = strings.Replace(strings.Replace(wrapped, signature, "", 1), "</r:Pack>", signature+"</r:Pack>", 1)
	if r, err := Verify([]byte(wrapped), Policy{Trust: p.store}); err != nil || r.Verdict() != report.Invalid {
		t.Errorf("a signature moved to another entity: %v", err)
	}
	for target, want := range map[string]report.Code{"C_1": report.CoverageWrong, "none": report.CoverageWrong} {
		signed := p.sign(t, GISGMP, Input{Document: []byte(gisgmpRequest)})
		if r, err := Verify(signed, Policy{Trust: p.store, Profile: GISGMP, Target: target}); err != nil ||
			!slices.Contains(codes(r.Failures()), want) {
			t.Errorf("target %s: %v%s", target, err, messages(r))
		}
	}
	for name, c := range map[string]struct {
		doc, target string
		code        report.Code
	}{
		"none":       {`<doc/>`, "", report.TargetMissing},
		"without Id": {`<doc>` + strings.Replace(gisgmpRequest, `Id="ID_1"`, "", 1) + `</doc>`, "", report.TargetMissing},
		"two": {`<doc>` + gisgmpRequest + strings.NewReplacer("ID_1", "ID_2", "C_1", "C_2").Replace(gisgmpRequest) + `</doc>`,
			"", report.TargetAmbiguous},
		"not GIS GMP": {`<doc Id="d"/>`, "d", report.TargetMissing},
		"no such":     {gisgmpRequest, "d", report.TargetMissing},
	} {
		if _, err := GISGMP.Prepare(Input{Document: []byte(c.doc), Target: c.target, Certificate: p.cert}); code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConcurrent: verifications and signatures at the same time do not see each other, nor what one before them left.
func TestConcurrent(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	var docs [][]byte
	var want []string
	policy := Policy{Trust: p.store, Node: p.store, Keys: gost.NewKeyCache(4), Time: time.Now()}
	show := func(doc []byte) string {
		r, err := Verify(doc, policy)
		return fmt.Sprintf("%v %+v", err, r)
	}
	list := messagesToSign()
	for _, m := range list {
		if m.name == "outside" {
			continue
		}
		doc := p.sign(t, m.profile, Input{Document: []byte(m.doc), Target: m.target})
		for _, d := range [][]byte{doc, doc[:len(doc)/2], bytes.Replace(doc, []byte("text"), []byte("evil"), 1)} {
			docs, want = append(docs, d), append(want, "")
		}
	}
	plain := func(s string) string { return regexp.MustCompile(`0x[0-9a-f]+`).ReplaceAllString(s, "") }
	for i, d := range docs {
		want[i] = plain(show(d))
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range docs {
				i = (i*7 + worker*13) % len(docs)
				if got := plain(show(docs[i])); got != want[i] {
					t.Errorf("document %d: %s, alone %s", i, got, want[i])
					return
				}
				m := list[i%len(list)]
				if _, err := m.profile.Prepare(Input{Document: []byte(m.doc), Target: m.target, Certificate: p.cert}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
