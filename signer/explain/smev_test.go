package explain

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/vectors"
)

// The variant without a deviation is the transform, on all vectors of others.
func TestNoVariantIsTheTransform(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(vectors.Others(t), "smev-transform", "*.in.xml"))
	if err != nil || len(files) < 90 {
		t.Fatal(len(files), err)
	}
	compared := 0
	for _, name := range files {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		octets := func(chain ...canon.Transform) ([]byte, error) {
			var out bytes.Buffer
			err := canon.Apply(&out, doc, canon.Node{Whole: true}, chain, xmltext.Limits{})
			return out.Bytes(), err
		}
		exclusive, err := octets(canon.Transform{URI: canon.ExclusiveURI})
		if err != nil {
			continue
		}
		want, err := octets(canon.Transform{URI: canon.ExclusiveURI}, canon.Transform{URI: canon.SMEVURI})
		if err != nil {
			continue // refused, and what implementations do then differs
		}
		got, err := (&smevVariant{}).apply(exclusive, xmltext.Limits{})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", filepath.Base(name), err, got, want)
		}
		compared++
	}
	if compared < 85 {
		t.Errorf("only %d compared", compared)
	}
}

// Each deviation, committed by hand.
func TestSMEVMistakes(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	for _, tc := range []struct {
		name, content, digested string
		want                    []Mistake
	}{
		{"unqualified first", `<a:e xmlns:a="urn:a" a:z="1" b="2" Id="d"></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d" b="2" ns1:z="1"></ns1:e>`, []Mistake{SMEVAttributes}},
		{"by local name", `<a:e xmlns:a="urn:a" a:z="1" Id="d"></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d" ns1:z="1"></ns1:e>`, []Mistake{SMEVAttributes}},
		{"by prefix", `<a:e xmlns:a="urn:z" xmlns:b="urn:b" a:y="1" b:x="2" Id="d"></a:e>`,
			`<ns1:e xmlns:ns1="urn:z" xmlns:ns2="urn:b" Id="d" ns1:y="1" ns2:x="2"></ns1:e>`, []Mistake{SMEVAttributes}},
		{"prefixes are not forgotten", `<a:e xmlns:a="urn:a" Id="d"><b:x xmlns:b="urn:b"></b:x><b:y xmlns:b="urn:b"></b:y></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns2:x xmlns:ns2="urn:b"></ns2:x><ns2:y></ns2:y></ns1:e>`, []Mistake{SMEVPrefixes}},
		{"numbers are given back", `<a:e xmlns:a="urn:a" Id="d"><b:x xmlns:b="urn:b"></b:x><b:y xmlns:b="urn:b"></b:y></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns2:x xmlns:ns2="urn:b"></ns2:x><ns2:y xmlns:ns2="urn:b"></ns2:y></ns1:e>`,
			[]Mistake{SMEVPrefixes}},
		{"attributes first", `<a:e xmlns:a="urn:a" xmlns:b="urn:b" b:x="1" Id="d"></a:e>`,
			`<ns2:e xmlns:ns1="urn:b" xmlns:ns2="urn:a" ns1:x="1" Id="d"></ns2:e>`, []Mistake{SMEVPrefixes}},
		{"from 0", `<a:e xmlns:a="urn:a" Id="d"></a:e>`, `<ns0:e xmlns:ns0="urn:a" Id="d"></ns0:e>`, []Mistake{SMEVPrefixes}},
		{"greater-than always", `<a:e xmlns:a="urn:a" Id="d">a &gt; b</a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d">a &gt; b</ns1:e>`, []Mistake{SMEVEscaping}},
		{"greater-than never", `<a:e xmlns:a="urn:a" Id="d">&gt; b</a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d">> b</ns1:e>`, []Mistake{SMEVEscaping}},
		{"upper case", `<a:e xmlns:a="urn:a" Id="d" b="&#10;"></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d" b="&#xA;"></ns1:e>`, []Mistake{SMEVEscaping}},
		{"raw line feeds", `<a:e xmlns:a="urn:a" Id="d" b="&#10;"></a:e>`,
			"<ns1:e xmlns:ns1=\"urn:a\" Id=\"d\" b=\"\n\"></ns1:e>", []Mistake{SMEVEscaping}},
		{"decimal", `<a:e xmlns:a="urn:a" Id="d" b="&#10;"></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d" b="&#10;"></ns1:e>`, []Mistake{SMEVEscaping}},
		{"nothing escaped", `<a:e xmlns:a="urn:a" Id="d" b="&amp;"></a:e>`,
			`<ns1:e xmlns:ns1="urn:a" Id="d" b="&"></ns1:e>`, []Mistake{SMEVEscaping}},
		{"CR dropped", `<a:e xmlns:a="urn:a" Id="d">a&#13;b</a:e>`, `<ns1:e xmlns:ns1="urn:a" Id="d">ab</ns1:e>`, []Mistake{SMEVText}},
		{"line feeds deleted", "<a:e xmlns:a=\"urn:a\" Id=\"d\">a\nb</a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d">ab</ns1:e>`, []Mistake{SMEVText}},
		{"blank texts kept", "<a:e xmlns:a=\"urn:a\" Id=\"d\"> <a:x></a:x></a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d"> <ns1:x></ns1:x></ns1:e>`, []Mistake{SMEVText}},
		{"trimmed", "<a:e xmlns:a=\"urn:a\" Id=\"d\"><a:x> b </a:x></a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns1:x>b</ns1:x></ns1:e>`, []Mistake{SMEVText}},
		{"Unicode blanks", "<a:e xmlns:a=\"urn:a\" Id=\"d\"><a:x>\u00a0</a:x></a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns1:x></ns1:x></ns1:e>`, []Mistake{SMEVText}},
		{"wordless", "<a:e xmlns:a=\"urn:a\" Id=\"d\"><a:x>-</a:x></a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns1:x></ns1:x></ns1:e>`, []Mistake{SMEVText}},
		{"mixed", "<a:e xmlns:a=\"urn:a\" Id=\"d\">t<a:x>u</a:x>v</a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d"><ns1:x>u</ns1:x></ns1:e>`, []Mistake{SMEVText}},
		{"pieces", "<a:e xmlns:a=\"urn:a\" Id=\"d\">a &amp; &amp; b</a:e>",
			`<ns1:e xmlns:ns1="urn:a" Id="d">a &amp;&amp; b</ns1:e>`, []Mistake{SMEVText}},
		{"several", "<a:e xmlns:a=\"urn:a\" Id=\"d\"><a:x b=\"&#10;\">a &gt; b</a:x></a:e>",
			"<ns1:e xmlns:ns1=\"urn:a\" Id=\"d\"><ns1:x b=\"\n\">a &gt; b</ns1:x></ns1:e>", []Mistake{SMEVEscaping, SMEVText}},
		{"not applied", `<a:e xmlns:a="urn:a" Id="d"></a:e>`, `<a:e xmlns:a="urn:a" Id="d"></a:e>`, []Mistake{TransformSkipped}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := forge{doc: `<root>` + tc.content + `@SIG@</root>`, uri: "#d", transforms: smev3, digested: tc.digested, signer: id}
			expectMistakes(t, explainXML(t, f.make(t), Options{}), 0, tc.want...)
		})
	}
	// An element without a namespace: the transform refuses it, implementations do not.
	f := forge{doc: `<root><e Id="d"></e>@SIG@</root>`, uri: "#d", transforms: smev3,
		digested: `<ns1:e xmlns:ns1="" Id="d"></ns1:e>`, signer: id}
	e := explainXML(t, f.make(t), Options{})
	expectMistakes(t, e, 0, SMEVPrefixes)
}

// Every variant differs from the transform somewhere, so that each can be told.
func TestVariantsDiffer(t *testing.T) {
	doc := "<p:e xmlns:p=\"urn:a\" xmlns:q=\"urn:q\" xmlns:b=\"urn:b\" p:z=\"&gt;\" q:y=\"&#10;&amp;\" b:c=\"1\" a=\"2\">\n" +
		"<b:x xmlns:r=\"urn:0\" r:k=\"v\">t &gt; &amp; &amp; \"u\"&#xD;\nw</b:x> mixed <b:y> &gt; </b:y><b:z>\u00a0</b:z><b:w>-</b:w><b:v> </b:v>" +
		`<c:s xmlns:c="urn:c" xmlns:d="urn:1" d:k="v">&gt;</c:s><c:s xmlns:c="urn:c"></c:s></p:e>`
	var octets bytes.Buffer
	chain := []canon.Transform{{URI: canon.ExclusiveURI}}
	if err := canon.Apply(&octets, []byte(doc), canon.Node{Whole: true}, chain, xmltext.Limits{}); err != nil {
		t.Fatal(err)
	}
	right := smevOf(t, octets.String())
	for i := range smevVariants {
		v := &smevVariants[i]
		got, err := v.apply(octets.Bytes(), xmltext.Limits{})
		if err != nil {
			t.Errorf("%s: %v", v.what, err)
		}
		if string(got) == right && !v.bareEmpty && !v.bareKeep {
			t.Errorf("%s: no difference", v.what)
		}
		if len(v.mistakes) == 0 || v.what == "" ||
			slices.ContainsFunc(v.mistakes, func(m Mistake) bool { return !strings.HasPrefix(string(m), "smev.") }) {
			t.Errorf("%s: %v", v.what, v.mistakes)
		}
	}
}
