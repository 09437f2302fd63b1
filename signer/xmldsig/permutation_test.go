package xmldsig

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// reads finds content as an application does that goes by a path of local names from the root: in a document that the verifier
// calls valid it must never find something evil.
func reads(t *testing.T, doc string, steps ...string) (found []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	var path []string
	for {
		token, err := d.RawToken()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if slices.Equal(path, steps) {
				found = append(found, "")
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) >= len(steps) && slices.Equal(path[:len(steps)], steps) {
				found[len(found)-1] += string(token)
			}
		}
	}
}

// TestPermutations: the signed assertion S, one that is evil E, and the signature G in every arrangement (On Breaking SAML,
// section 4): each in each of the others, before or after it, with the same Id, another, or none.
func TestPermutations(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(p.sign(t, Enveloped, Input{Document: []byte(`<r><a Id="s"><v>good</v></a></r>`), Target: "s"}))
	g := cut(signed, "<ds:Signature ", "</ds:Signature>")
	object := func(in string) string {
		return strings.Replace(g, "</ds:KeyInfo>", "</ds:KeyInfo><ds:Object>"+in+"</ds:Object>", 1)
	}
	s := func(in string) string { return `<a Id="s"><v>good</v>` + in + `</a>` }
	total, valid := 0, 0
	for _, id := range []string{` Id="s"`, ` ID="s"`, ` id="s"`, ` xml:id="s"`, ` x:Id="s"`, ` Id="e"`, ""} {
		e := func(before, after string) string { return `<a` + id + `>` + before + `<v>evil</v>` + after + `</a>` }
		arrangements := map[string]string{"as signed": s(g)}
		add := func(name, doc string) { arrangements[name] = doc }
		// G in S; E anywhere.
		add("E before S(G)", e("", "")+s(g))
		add("E after S(G)", s(g)+e("", ""))
		add("E(S(G)) first", e(s(g), ""))
		add("E(S(G)) last", e("", s(g)))
		add("S(G(E))", s(object(e("", ""))))
		add("S(E G)", s(e("", "")+g))
		add("S(G E)", s(g+e("", "")))
		// G in E.
		add("E(G) S", e("", g)+s(""))
		add("S E(G)", s("")+e("", g))
		add("E(G S)", e("", g+s("")))
		add("E(S G)", e("", s("")+g))
		add("E(G(S))", e("", object(s(""))))
		add("E(G(S)) first", e(object(s("")), ""))
		add("S(E(G))", s(e("", g)))
		// G at the root.
		add("G S E", g+s("")+e("", ""))
		add("G E S", g+e("", "")+s(""))
		add("E G S", e("", "")+g+s(""))
		add("E S G", e("", "")+s("")+g)
		add("S G E", s("")+g+e("", ""))
		add("G(S) E", object(s(""))+e("", ""))
		add("E G(S)", e("", "")+object(s("")))
		add("G(E(S))", object(e("", s(""))))
		add("G(E S)", object(e("", "")+s("")))
		add("E(S) G", e("", s(""))+g)
		for name, inner := range arrangements {
			for _, wrap := range []string{"%s", "<w>%s</w>", "<w/>%s", "<a><v>evil</v></a>%s", "%s<a><v>evil</v></a>"} {
				doc := `<r xmlns:x="urn:x">` + fmt.Sprintf(wrap, inner) + `</r>`
				total++
				for _, policy := range []Policy{{Profile: Enveloped, Target: "s"}, {Profile: Enveloped}, {}} {
					a := attack{name: name + id + " " + wrap, doc: doc, policy: policy}
					a.run(t, p)
					policy.Trust = p.store
					r, err := Verify([]byte(doc), policy)
					if err != nil || r.Verdict() != report.Valid || policy.Profile == nil {
						continue
					}
					valid++
					if policy.Target == "" {
						t.Errorf("%s: the root is not what is signed\n%s", a.name, doc)
					}
					// By the Id, as the report has it, there is one element, and it is the signed one.
					i := slices.IndexFunc(r.Signatures[0].Coverage, func(c report.Coverage) bool { return c.URI == "#s" })
					place := r.Signatures[0].Coverage[i].Place
					if content := doc[place.Offset:place.End]; strings.Contains(content, "evil") ||
						!strings.HasPrefix(content, `<a Id="s"><v>good</v>`) {
						t.Errorf("%s: %s is said to be covered", a.name, content)
					}
				}
			}
		}
	}
	t.Logf("%d documents, %d verdicts valid", total, valid)
	if valid == 0 {
		t.Error("not even the signed document is valid")
	}
}

// TestMessageWrapping: signed blocks and bodies of SMEV moved to every place of the envelope, with something evil where they were
// (McIntosh and Austel; Gajek and others). Who reads a valid message by its path reads what was signed.
func TestMessageWrapping(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	list := messagesToSign()
	request := strings.Replace(string(p.sign(t, SMEV3, Input{Document: []byte(list[1].doc)})), "<s:Body>",
		"<s:Header></s:Header><s:Body>", 1)
	ov := string(p.sign(t, SMEV2, Input{Document: []byte(list[17].doc)}))
	sp := strings.Replace(string(p.sign(t, SMEV2SP, Input{Document: []byte(list[17].doc)})), "<soap:Header/>",
		"<soap:Header></soap:Header>", 1)
	node := string(p.sign(t, SMEV2Node, Input{Document: []byte(strings.Replace(list[17].doc, "<soap:Header/>",
		`<soap:Header><smev:Header xmlns:smev="http://smev.gosuslugi.ru/rev120315"><smev:NodeId>good</smev:NodeId></smev:Header></soap:Header>`, 1))}))
	valid, total := 0, 0
	for _, m := range []struct {
		name       string
		doc        string
		start, end string // of what is signed
		good       string // in it
		path       []string
	}{
		{"SMEV 3", request, "<t:SenderProvidedRequestData", "</t:SenderProvidedRequestData>", "8c1c0a10",
			[]string{"Envelope", "Body", "SendRequestRequest", "SenderProvidedRequestData"}},
		{"SMEV 2", ov, "<soap:Body", "</soap:Body>", ">text<", []string{"Envelope", "Body"}},
		{"SMEV 2, official", sp, "<smev:AppData", "</smev:AppData>", ">text<",
			[]string{"Envelope", "Body", "Ask", "MessageData", "AppData"}},
		{"SMEV 2, node, Body", node, "<soap:Body", "</soap:Body>", ">text<", []string{"Envelope", "Body"}},
		{"SMEV 2, node, Header", node, "<smev:Header", "</smev:Header>", ">good<", []string{"Envelope", "Header", "Header"}},
	} {
		if r, err := Verify([]byte(m.doc), Policy{Trust: p.store, Node: p.store}); err != nil ||
			r.Verdict() != report.Valid || len(reads(t, m.doc, m.path...)) != 1 {
			t.Fatalf("%s: %v%s", m.name, err, messages(r))
		}
		block := cut(m.doc, m.start, m.end)
		if !strings.Contains(block, m.good) {
			t.Fatalf("%s: %s", m.name, block)
		}
		evil := strings.Replace(block, m.good, strings.NewReplacer("text", "evil", "good", "evil", "8c1c0a10", "evil").Replace(m.good), 1)
		if m.name == "SMEV 2, official" { // the signature stays with the data that it was made for
			evil = strings.Replace(evil, cut(evil, "<ds:Signature ", "</ds:Signature>"), "", 1)
		}
		declared := ` xmlns:smev="http://smev.gosuslugi.ru/rev120315" xmlns:q="http://example.ru/s" xmlns:t="` + nsSMEV3 +
			`1.2" xmlns:b="` + nsSMEV3 + `basic/1.2"`
		for _, id := range []string{"same", "other", "none", "xml:id", "ID"} {
			e := evil
			for _, attribute := range []string{` Id="SIGNED_BY_CONSUMER"`, cutID(block)} {
				switch id {
				case "other":
					e = strings.Replace(e, attribute, strings.Replace(attribute, `="`, `="other-`, 1), 1)
				case "none":
					e = strings.Replace(e, attribute, "", 1)
				case "xml:id", "ID":
					e = strings.Replace(e, attribute, " "+id+attribute[strings.Index(attribute, "="):], 1)
				}
			}
			for _, place := range []string{
				"<s:Header>", "</s:Header>", "<soap:Header>", "</soap:Header>", "<s:Body>", "</s:Body>",
				"</soap:Body>", "</t:SendRequestRequest>",
				"<t:CallerInformationSystemSignature>", "</ds:KeyInfo>", "</ds:Signature>", "</wsse:Security>",
				"</s:Envelope>", "</soap:Envelope>", "</smev:MessageData>",
			} {
				for _, how := range []string{"%s", "<w" + declared + ">%s</w>",
					`<w soap:mustUnderstand="0" xmlns:soap="` + nsSOAP +
						`" soap:actor="http://schemas.xmlsoap.org/soap/actor/none"` + declared + ">%s</w>",
					"<ds:Object xmlns:ds='" + nsDS + "'>%s</ds:Object>"} {
					without := strings.Replace(m.doc, block, e, 1)
					if !strings.Contains(without, place) {
						continue
					}
					moved := fmt.Sprintf(how, block)
					doc := strings.Replace(without, place, moved+place, 1)
					if place[1] != '/' {
						doc = strings.Replace(without, place, place+moved, 1)
					}
					total++
					for _, policy := range []Policy{{}, {Profile: SMEV3}, {Profile: SMEV2}, {Profile: SMEV2SP}, {Profile: SMEV2Node}} {
						policy.Trust, policy.Node = p.store, p.store
						r, err := Verify([]byte(doc), policy)
						if err != nil {
							if code(err) == report.Internal {
								t.Fatal(err)
							}
							continue
						}
						if r.Verdict() == report.Invalid {
							if len(r.Failures()) == 0 {
								t.Errorf("no reason given")
							}
							continue
						}
						valid++
						for _, content := range reads(t, doc, m.path...) {
							if strings.Contains(content, "evil") {
								t.Errorf("%s, Id %s, at %s %s: %s, but evil is read\n%s", m.name, id, place, how, r.Verdict(), doc)
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d documents, %d verdicts not invalid", total, valid)
	if total < 500 {
		t.Errorf("only %d documents", total)
	}
}

// cutID is the first attribute with an Id in an element.
func cutID(element string) string {
	for _, name := range []string{` Id="`, `wsu:Id="`, `wsu1:Id="`} {
		if i := strings.Index(element, name); i >= 0 && i < strings.Index(element, ">") {
			i = strings.LastIndex(element[:i+1], " ")
			return cut(element[i:], " ", `"`) + cut(element[i+strings.Index(element[i:], `"`)+1:], "", `"`)
		}
	}
	return " none"
}

// TestNamespaceInjection: declarations put around what is signed change nothing or break the signature (The Curse of
// Namespaces).
func TestNamespaceInjection(t *testing.T) {
	p := newPair(t, gost.GOST2012_256, "CryptoPro-A")
	signed := string(p.sign(t, Detached, Input{Document: []byte(`<r><a Id="s"><p:v xmlns:p="urn:p">good</p:v></a></r>`), Target: "#s"}))
	for name, c := range map[string]struct{ old, new string }{
		"unused prefix on the root":       {"<r>", `<r xmlns:q="urn:q">`},
		"default namespace on the root":   {"<r>", `<r xmlns="urn:evil">`},
		"default namespace undeclared":    {`<a Id="s">`, `<a xmlns="" Id="s">`},
		"prefix of the content":           {"<r>", `<r xmlns:p="urn:evil">`},
		"prefix of the content, nearer":   {`<a Id="s">`, `<a Id="s" xmlns:p="urn:other">`},
		"prefix of the content, changed":  {`xmlns:p="urn:p"`, `xmlns:p="urn:evil"`},
		"ds elsewhere":                    {"<r>", `<r xmlns:ds="urn:evil">`},
		"ds in SignedInfo":                {"<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="urn:evil">`},
		"ds again":                        {"<ds:SignedInfo>", `<ds:SignedInfo xmlns:ds="` + nsDS + `">`},
		"unused prefix in SignedInfo":     {"<ds:SignedInfo>", `<ds:SignedInfo xmlns:evil="urn:q">`},
		"xml redeclared":                  {"<r>", `<r xmlns:xml="urn:evil">`},
		"xmlns declared":                  {"<r>", `<r xmlns:xmlns="urn:evil">`},
		"a prefix for the xml namespace":  {"<r>", `<r xmlns:q="` + nsXML + `">`},
		"a relative namespace":            {"<r>", `<r xmlns:q="evil">`},
		"xml:lang on an ancestor":         {"<r>", `<r xml:lang="evil">`},
		"xml:base on an ancestor":         {"<r>", `<r xml:base="http://evil/">`},
		"an attribute of another element": {`<a Id="s">`, `<a Id="s" evil="1">`},
		"a prefix list": {`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>`,
			`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"><ec:InclusiveNamespaces xmlns:ec="` +
				nsEC + `" PrefixList="q"/></ds:Transform>`},
	} {
		if !strings.Contains(signed, c.old) {
			t.Fatalf("%s: nothing to change", name)
		}
		doc := strings.Replace(signed, c.old, c.new, 1)
		attack{name: name, doc: doc, policy: Policy{Profile: Detached, Target: "s"}}.run(t, p)
		r, err := Verify([]byte(doc), Policy{Trust: p.store})
		breaks := slices.Contains([]string{"default namespace on the root", "prefix of the content, changed",
			"ds in SignedInfo", "xml redeclared", "xmlns declared",
			"a prefix for the xml namespace", "an attribute of another element", "a prefix list"}, name)
		if valid := err == nil && r.Verdict() == report.Valid; valid == breaks {
			t.Errorf("%s: %v, valid %t", name, err, valid)
		}
	}
}
