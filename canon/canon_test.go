package canon

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
)

// Documents of Canonical XML 1.0 section 3 (the same in 1.1), less their document type declarations and what these do.
func TestCanonicalXMLExamples(t *testing.T) {
	for _, test := range []struct{ name, uri, doc, want string }{
		{
			"3.1 PIs, Comments, and Outside of Document Element, no comments", InclusiveURI,
			"<?xml version=\"1.0\"?>\n\n<?xml-stylesheet   href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n\n<doc>Hello, world!" +
				"<!-- Comment 1 --></doc>\n\n<?pi-without-data     ?>\n\n<!-- Comment 2 -->\n\n<!-- Comment 3 -->",
			"<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n<doc>Hello, world!</doc>\n<?pi-without-data?>",
		},
		{
			"3.1 PIs, Comments, and Outside of Document Element", InclusiveCommentsURI,
			"<?xml version=\"1.0\"?>\n\n<?xml-stylesheet   href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n\n<doc>Hello, world!" +
				"<!-- Comment 1 --></doc>\n\n<?pi-without-data     ?>\n\n<!-- Comment 2 -->\n\n<!-- Comment 3 -->",
			"<?xml-stylesheet href=\"doc.xsl\"\n   type=\"text/xsl\"   ?>\n<doc>Hello, world!<!-- Comment 1 --></doc>\n" +
				"<?pi-without-data?>\n<!-- Comment 2 -->\n<!-- Comment 3 -->",
		},
		{
			"3.2 Whitespace in Document Content", InclusiveURI,
			"<doc>\n   <clean>   </clean>\n   <dirty>   A   B   </dirty>\n   <mixed>\n      A\n      <clean>   </clean>\n" +
				"      B\n      <dirty>   A   B   </dirty>\n      C\n   </mixed>\n</doc>",
			"<doc>\n   <clean>   </clean>\n   <dirty>   A   B   </dirty>\n   <mixed>\n      A\n      <clean>   </clean>\n" +
				"      B\n      <dirty>   A   B   </dirty>\n      C\n   </mixed>\n</doc>",
		},
		{
			"3.3 Start and End Tags", InclusiveURI,
			"<doc>\n   <e1   />\n   <e2   ></e2>\n   <e3   name = \"elem3\"   id=\"elem3\"   />\n" +
				"   <e4   name=\"elem4\"   id=\"elem4\"   ></e4>\n" +
				"   <e5 a:attr=\"out\" b:attr=\"sorted\" attr2=\"all\" attr=\"I'm\"\n      xmlns:b=\"http://www.ietf.org\"\n" +
				"      xmlns:a=\"http://www.w3.org\"\n      xmlns=\"http://example.org\"/>\n" +
				"   <e6 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n      <e7 xmlns=\"http://www.ietf.org\">\n" +
				"         <e8 xmlns=\"\" xmlns:a=\"http://www.w3.org\">\n            <e9 xmlns=\"\" xmlns:a=\"http://www.ietf.org\"/>\n" +
				"         </e8>\n      </e7>\n   </e6>\n</doc>",
			"<doc>\n   <e1></e1>\n   <e2></e2>\n   <e3 id=\"elem3\" name=\"elem3\"></e3>\n   <e4 id=\"elem4\" name=\"elem4\"></e4>\n" +
				"   <e5 xmlns=\"http://example.org\" xmlns:a=\"http://www.w3.org\" xmlns:b=\"http://www.ietf.org\" attr=\"I'm\" " +
				"attr2=\"all\" b:attr=\"sorted\" a:attr=\"out\"></e5>\n   <e6 xmlns:a=\"http://www.w3.org\">\n" +
				"      <e7 xmlns=\"http://www.ietf.org\">\n         <e8 xmlns=\"\">\n" +
				"            <e9 xmlns:a=\"http://www.ietf.org\"></e9>\n         </e8>\n      </e7>\n   </e6>\n</doc>",
		},
		{
			"3.4 Character Modifications and Character References", InclusiveURI,
			"<doc>\n   <text>First line&#x0d;&#10;Second line</text>\n   <value>&#x32;</value>\n" +
				"   <compute><![CDATA[value>\"0\" && value<\"10\" ?\"valid\":\"error\"]]></compute>\n" +
				"   <compute expr='value>\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"'>valid</compute>\n" +
				"   <norm attr=' &apos;   &#x20;&#13;&#xa;&#9;   &apos; '/>\n</doc>",
			"<doc>\n   <text>First line&#xD;\nSecond line</text>\n   <value>2</value>\n" +
				"   <compute>value&gt;\"0\" &amp;&amp; value&lt;\"10\" ?\"valid\":\"error\"</compute>\n" +
				"   <compute expr=\"value>&quot;0&quot; &amp;&amp; value&lt;&quot;10&quot; ?&quot;valid&quot;:&quot;error&quot;\">" +
				"valid</compute>\n   <norm attr=\" '    &#xD;&#xA;&#x9;   ' \"></norm>\n</doc>",
		},
		{"3.6 UTF-8 Encoding", InclusiveURI, "<doc>&#169;</doc>", "<doc>\u00A9</doc>"},
		{"namespace names are escaped like attributes", ExclusiveURI,
			`<a xmlns="urn:a?x=1&amp;y=&lt;2&gt;&quot;&#9;&#xA;&#xD;"/>`,
			`<a xmlns="urn:a?x=1&amp;y=&lt;2>&quot;&#x9;&#xA;&#xD;"></a>`},
	} {
		for _, uri := range []string{test.uri, strings.Replace(test.uri, InclusiveURI, Inclusive11URI, 1)} {
			got, err := apply([]byte(test.doc), Node{Whole: true, Comments: true}, Transform{URI: uri})
			if err != nil || string(got) != test.want {
				t.Errorf("%s, %s: %v\n got %q\nwant %q", test.name, uri, err, got, test.want)
			}
		}
	}
}

// Exclusive XML Canonicalization section 2.2: one element in two contexts.
func TestExclusiveExamples(t *testing.T) {
	const (
		elem2 = "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"/></n1:elem2>"
		first = "<n0:local xmlns:n0=\"foo:bar\" xmlns:n3=\"ftp://example.org\">" + elem2 + "</n0:local>"
		other = "<n2:pdu xmlns:n1=\"http://example.com\" xmlns:n2=\"http://foo.example\" xml:lang=\"fr\" xml:space=\"retain\">" +
			elem2 + "</n2:pdu>"
		rest = "</n1:elem2>"
	)
	for _, test := range []struct {
		doc  string
		t    Transform
		want string
	}{
		{first, Transform{URI: InclusiveURI}, "<n1:elem2 xmlns:n0=\"foo:bar\" xmlns:n1=\"http://example.net\" " +
			"xmlns:n3=\"ftp://example.org\" xml:lang=\"en\"><n3:stuff></n3:stuff>" + rest},
		{other, Transform{URI: InclusiveURI}, "<n1:elem2 xmlns:n1=\"http://example.net\" xmlns:n2=\"http://foo.example\" " +
			"xml:lang=\"en\" xml:space=\"retain\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>" + rest},
		{first, Transform{URI: ExclusiveURI}, "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">" +
			"<n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>" + rest},
		{other, Transform{URI: ExclusiveURI}, "<n1:elem2 xmlns:n1=\"http://example.net\" xml:lang=\"en\">" +
			"<n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>" + rest},
		{other, Transform{URI: ExclusiveURI, PrefixList: []string{"n2", "n9"}}, "<n1:elem2 xmlns:n1=\"http://example.net\" " +
			"xmlns:n2=\"http://foo.example\" xml:lang=\"en\"><n3:stuff xmlns:n3=\"ftp://example.org\"></n3:stuff>" + rest},
	} {
		at := strings.Index(test.doc, "<n1:elem2")
		got, err := apply([]byte(test.doc), Node{Element: at}, test.t)
		if err != nil || string(got) != test.want {
			t.Errorf("%s in %s: %v\n got %q\nwant %q", test.t.URI, test.doc, err, got, test.want)
		}
	}
}

func TestDefaultNamespaceInPrefixList(t *testing.T) {
	const doc = `<r xmlns="urn:d"><p:a xmlns:p="urn:p"><p:b xmlns=""><p:c xmlns="urn:d"/></p:b></p:a></r>`
	at := strings.Index(doc, "<p:a")
	for _, test := range []struct {
		list []string
		want string
	}{
		{nil, `<p:a xmlns:p="urn:p"><p:b><p:c></p:c></p:b></p:a>`},
		{[]string{"#default"}, `<p:a xmlns="urn:d" xmlns:p="urn:p"><p:b xmlns=""><p:c xmlns="urn:d"></p:c></p:b></p:a>`},
	} {
		got, err := apply([]byte(doc), Node{Element: at}, Transform{URI: ExclusiveURI, PrefixList: test.list})
		if err != nil || string(got) != test.want {
			t.Errorf("list %q: %v\n got %q\nwant %q", test.list, err, got, test.want)
		}
	}
}

// What the apex takes over (Canonical XML 1.0 section 2.4, 1.1 section 2.4 and the document of its section 3.8).
func TestXMLAttributesOfTheApex(t *testing.T) {
	const doc = `<doc xmlns="http://www.ietf.org" xmlns:w3c="http://www.w3.org" xml:base="something/else" xml:lang="en">` +
		`<e1 xml:lang="fr"><x xml:space="default"/><e2 xmlns="" xml:id="abc" xml:base="bar/" xml:space="preserve" xml:z="1">` +
		`<e3 id="E3" xml:base="foo"/><e4 xml:lang="ru" xml:id="i"/></e2></e1></doc>`
	for _, test := range []struct{ at, uri, want string }{
		{"<e3", InclusiveURI, `<e3 xmlns:w3c="http://www.w3.org" id="E3" xml:base="foo" xml:id="abc" xml:lang="fr" ` +
			`xml:space="preserve" xml:z="1"></e3>`},
		{"<e3", Inclusive11URI, `<e3 xmlns:w3c="http://www.w3.org" id="E3" xml:base="something/bar/foo" xml:lang="fr" ` +
			`xml:space="preserve"></e3>`},
		{"<e4", InclusiveURI, `<e4 xmlns:w3c="http://www.w3.org" xml:base="bar/" xml:id="i" xml:lang="ru" ` +
			`xml:space="preserve" xml:z="1"></e4>`},
		{"<e4", Inclusive11URI, `<e4 xmlns:w3c="http://www.w3.org" xml:base="something/bar/" xml:id="i" xml:lang="ru" ` +
			`xml:space="preserve"></e4>`},
		{"<x", Inclusive11URI, `<x xmlns="http://www.ietf.org" xmlns:w3c="http://www.w3.org" xml:base="something/else" ` +
			`xml:lang="fr" xml:space="default"></x>`},
		{"<e4", ExclusiveURI, `<e4 xml:id="i" xml:lang="ru"></e4>`},
	} {
		got, err := apply([]byte(doc), Node{Element: strings.Index(doc, test.at)}, Transform{URI: test.uri})
		if err != nil || string(got) != test.want {
			t.Errorf("%s of %s: %v\n got %s\nwant %s", test.uri, test.at, err, got, test.want)
		}
	}
	for doc, want := range map[string]string{
		`<r xml:base="abc/"><e xml:base="../"/></r>`:                      `<e></e>`,
		`<r><e xml:base="../x"/></r>`:                                     `<e xml:base="../x"></e>`,
		`<r xml:base=".."><m xml:base=".."><e xml:base="x"/></m></r>`:     `<e xml:base="../../x"></e>`,
		`<r xml:base="http://a/b?q"><m xml:base="c#f"><e/></m></r>`:       `<e xml:base="http://a/c"></e>`,
		`<r xml:base="http://a/b?q"><m xml:base="urn:x"><e/></m></r>`:     `<e xml:base="urn:x"></e>`,
		`<r xml:base="a/b"><m xml:base="/c/./d"><e xml:lang=""/></m></r>`: `<e xml:base="/c/d" xml:lang=""></e>`,
	} {
		got, err := apply([]byte(doc), Node{Element: strings.Index(doc, "<e")}, Transform{URI: Inclusive11URI})
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n got %s\nwant %s", doc, err, got, want)
		}
	}
	long := `<r xml:base="` + strings.Repeat("a/", maxBase/2) + `"><e xml:base="b"/></r>`
	_, err := apply([]byte(long), Node{Element: strings.Index(long, "<e")}, Transform{URI: Inclusive11URI})
	var refusal *TransformError
	if !errors.As(err, &refusal) {
		t.Errorf("error %v, want a refusal of the long xml:base", err)
	}
}

const dsig = ` xmlns="` + dsigURI + `"`

func TestChains(t *testing.T) {
	const doc = `<?pi?><r xmlns="urn:r" xml:lang="en"><!--c--><a Id="a">x <Signature` + dsig + `><b/></Signature>y` +
		`<s:Signature xmlns:s="` + dsigURI + `"/></a><Signature` + dsig + `/></r>`
	a, root := strings.Index(doc, "<a"), strings.Index(doc, "<r")
	inA, prefixed, inR := strings.Index(doc, "<Sig"), strings.Index(doc, "<s:Sig"), strings.LastIndex(doc, "<Sig")
	enveloped := func(at int) Transform { return Transform{URI: EnvelopedURI, Signature: at} }
	exclusive, smev := Transform{URI: ExclusiveURI}, Transform{URI: SMEVURI}
	filter := Transform{URI: XPathURI, OmitSignatures: true}
	const sPrefixed = `<s:Signature xmlns:s="` + dsigURI + `"></s:Signature>`
	for _, test := range []struct {
		name  string
		node  Node
		chain []Transform
		want  string // or an error that starts with "transform"
	}{
		{"none is inclusive", Node{Element: inR}, nil, `<Signature xmlns="` + dsigURI + `" xml:lang="en"></Signature>`},
		{"enveloped, exclusive", Node{Element: a}, []Transform{enveloped(inA), exclusive},
			`<a xmlns="urn:r" Id="a">x y` + sPrefixed + `</a>`},
		{"enveloped alone is inclusive", Node{Element: a}, []Transform{enveloped(inA)},
			`<a xmlns="urn:r" Id="a" xml:lang="en">x y` + sPrefixed + `</a>`},
		{"enveloped twice", Node{Element: a}, []Transform{enveloped(prefixed), enveloped(inA), exclusive},
			`<a xmlns="urn:r" Id="a">x y</a>`},
		{"enveloped outside has no effect", Node{Element: a}, []Transform{filter, enveloped(inR), exclusive},
			`<a xmlns="urn:r" Id="a">x y</a>`},
		{"filter", Node{Whole: true}, []Transform{filter, exclusive},
			"<?pi?>\n" + `<r xmlns="urn:r" xml:lang="en"><a Id="a">x y</a></r>`},
		{"filter and enveloped in what it omits", Node{Element: a}, []Transform{filter, enveloped(inA), exclusive},
			`<a xmlns="urn:r" Id="a">x y</a>`},
		{"whole enveloped", Node{Whole: true, Comments: true}, []Transform{enveloped(inR), enveloped(inA), enveloped(prefixed),
			{URI: InclusiveCommentsURI}}, "<?pi?>\n" + `<r xmlns="urn:r" xml:lang="en"><!--c--><a Id="a">x y</a></r>`},
		{"c14n twice", Node{Element: a}, []Transform{filter, exclusive, {URI: InclusiveURI}},
			`<a xmlns="urn:r" Id="a">x y</a>`},
		{"filter on octets", Node{Element: a}, []Transform{exclusive, filter}, `<a xmlns="urn:r" Id="a">x y</a>`},
		{"smev", Node{Element: a}, []Transform{enveloped(inA), exclusive, smev},
			`<ns1:a xmlns:ns1="urn:r" Id="a">x y<ns2:Signature xmlns:ns2="` + dsigURI + `"></ns2:Signature></ns1:a>`},
		{"smev, enveloped outside", Node{Element: a}, []Transform{filter, exclusive, smev, enveloped(inR)},
			`<ns1:a xmlns:ns1="urn:r" Id="a">x y</ns1:a>`},

		{"smev, enveloped inside", Node{Element: a}, []Transform{exclusive, smev, enveloped(inA)},
			"transform " + EnvelopedURI + ": the ds:Signature lies in what an earlier transform made octets of"},
		{"exclusive, enveloped inside", Node{Whole: true}, []Transform{exclusive, enveloped(inR)},
			"transform " + EnvelopedURI + ": the ds:Signature lies in"},
		{"exclusive, enveloped is the node", Node{Element: inR}, []Transform{exclusive, enveloped(inR)},
			"transform " + EnvelopedURI + ": the ds:Signature lies in"},
		{"smev first meets xml:lang", Node{Element: a}, []Transform{smev}, "transform " + SMEVURI + ": attribute xml:lang"},
		{"smev, exclusive", Node{Element: a}, []Transform{smev, exclusive},
			"transform " + ExclusiveURI + ": no transform may follow"},
		{"smev, smev", Node{Element: a}, []Transform{smev, smev}, "transform " + SMEVURI + ": no transform may follow"},
		{"smev, filter", Node{Element: a}, []Transform{smev, filter}, "transform " + XPathURI + ": no transform may follow"},
		{"unknown", Node{Element: a}, []Transform{{URI: "urn:x"}}, "transform urn:x: not supported"},
		{"another XPath", Node{Element: a}, []Transform{{URI: XPathURI}}, "transform " + XPathURI + ": the only expression"},
		{"PrefixList", Node{Element: a}, []Transform{{URI: InclusiveURI, PrefixList: []string{"a"}}},
			"transform " + InclusiveURI + ": takes no PrefixList"},
		{"long PrefixList", Node{Element: a}, []Transform{{URI: ExclusiveURI, PrefixList: make([]string, 257)}},
			"transform " + ExclusiveURI + ": PrefixList of more than 256"},
		{"long chain", Node{Element: a}, make([]Transform, 17), "transform: more than 16 transforms"},
		{"not a Signature", Node{Whole: true}, []Transform{enveloped(a)},
			"transform " + EnvelopedURI + ": element at offset"},
		{"no element there", Node{Whole: true}, []Transform{enveloped(a + 1)},
			"transform " + EnvelopedURI + ": no ds:Signature starts at offset"},
		{"no element there, at the end", Node{Element: a}, []Transform{enveloped(prefixed + 3)},
			"transform " + EnvelopedURI + ": no ds:Signature starts at offset"},
		{"enveloped is the node", Node{Element: inR}, []Transform{enveloped(inR)},
			"transform " + InclusiveURI + ": the ds:Signature to leave out is the root"},
		{"filter omits the node", Node{Element: inR}, []Transform{filter, exclusive},
			"transform " + ExclusiveURI + ": the ds:Signature to leave out is the root"},
		{"no such node", Node{Element: root + 1}, []Transform{exclusive},
			"transform " + ExclusiveURI + ": no element starts at offset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := apply([]byte(doc), test.node, test.chain...)
			if strings.HasPrefix(test.want, "transform") {
				var refusal *TransformError
				if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("error %v, want %s", err, test.want)
				}
				return
			}
			if err != nil || string(got) != test.want {
				t.Errorf("%v\n got %s\nwant %s", err, got, test.want)
			}
		})
	}
}

func TestSyntaxErrorsPassThrough(t *testing.T) {
	for _, doc := range []string{"", "<a>", "<a><b></a>", "<!DOCTYPE a><a/>", "<a/><b/>"} {
		_, err := apply([]byte(doc), Node{Whole: true})
		var syntax *xmltext.SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: error %v, want a *xmltext.SyntaxError", doc, err)
		}
	}
	_, err := apply([]byte("<a/>"), Node{Whole: true})
	if err != nil {
		t.Error(err)
	}
}

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestWriteErrorPropagates(t *testing.T) {
	doc := []byte(`<a xmlns="urn:a">` + strings.Repeat("<b>text &amp; more</b>", 5000) + `</a>`)
	for _, chain := range [][]Transform{{{URI: ExclusiveURI}}, smevChain} {
		for _, left := range []int{0, 50000, 100000} {
			err := Apply(&brokenWriter{left}, doc, Node{Whole: true}, chain, xmltext.Limits{})
			if err != io.ErrClosedPipe {
				t.Errorf("error %v, want the writer's", err)
			}
		}
	}
}

// A long namespace name on many siblings must not make a small document a huge one.
func TestOutputIsBounded(t *testing.T) {
	doc := []byte(`<a xmlns:p="urn:` + strings.Repeat("x", 2000) + `">` + strings.Repeat("<p:b/>", 5000) + `</a>`)
	err := Apply(io.Discard, doc, Node{Whole: true}, []Transform{{URI: ExclusiveURI}}, xmltext.Limits{})
	var refusal *TransformError
	if !errors.As(err, &refusal) || refusal.Message != errTooLarge.Error() {
		t.Errorf("error %v, want a refusal of the size", err)
	}
}

// The apex of an inclusive form may carry more declarations than the limit allows one tag of the document.
func TestManyDeclarationsSurviveTheNextTransform(t *testing.T) {
	var doc bytes.Buffer
	for i := range 4 {
		doc.WriteString("<x:e xmlns:x='urn:x'")
		for j := range 100 {
			doc.WriteString(" xmlns:p" + string(rune('a'+i)) + strings.Repeat("q", j) + "='urn:y'")
		}
		doc.WriteString(">")
	}
	doc.WriteString("<x:f/>" + strings.Repeat("</x:e>", 4))
	at := bytes.Index(doc.Bytes(), []byte("<x:f"))
	got, err := apply(doc.Bytes(), Node{Element: at}, Transform{URI: InclusiveURI}, Transform{URI: SMEVURI})
	if want := `<ns1:f xmlns:ns1="urn:x"></ns1:f>`; err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
}

func TestKnown(t *testing.T) {
	for _, uri := range []string{ExclusiveURI, ExclusiveCommentsURI, InclusiveURI, InclusiveCommentsURI, Inclusive11URI,
		Inclusive11CommentsURI} {
		if !Known(uri) || !IsCanonicalization(uri) {
			t.Errorf("%s is not known as a canonicalization method", uri)
		}
	}
	for _, uri := range []string{EnvelopedURI, SMEVURI, XPathURI, Filter2URI} {
		if !Known(uri) || IsCanonicalization(uri) {
			t.Errorf("%s is not known, or known as a canonicalization method", uri)
		}
	}
	if Known("") || Known(ExclusiveURI+" ") || Known(Base64URI) || IsCanonicalization(Base64URI) {
		t.Error("an unknown URI is known")
	}
}

func TestApplyAllocations(t *testing.T) {
	doc := []byte(generate(1, true))
	p := new(processor) // Apply takes one from a pool, which may be empty at any time
	for _, chain := range [][]Transform{smevChain[:1], smevChain} {
		allocs := testing.AllocsPerRun(100, func() {
			if err := p.apply(io.Discard, doc, Node{Whole: true}, chain, xmltext.Limits{}); err != nil {
				t.Fatal(err)
			}
			p.clean()
		})
		if allocs > 0 {
			t.Errorf("%d transforms: %v allocations in the steady state", len(chain), allocs)
		}
	}
}
