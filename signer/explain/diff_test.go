package explain

import (
	"strings"
	"testing"

	"github.com/epov-signer/epov/gost"
)

func TestPristine(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	content := `<x:data xmlns:x="urn:x" Id="d"><x:name>Иванов</x:name><x:sum cur="RUB">100</x:sum><x:note></x:note><x:old></x:old></x:data>`
	f := forge{doc: `<root>` + "\n" + content + `@SIG@</root>`, uri: "#d", transforms: exclusiveOnly, digested: content, signer: id}
	signed := string(f.make(t))
	edited := strings.NewReplacer("100", "900", `cur="RUB"`, `cur="USD" rate="1"`, "<x:old></x:old>", "<x:new>1</x:new>").Replace(signed)

	expectMistakes(t, explainXML(t, []byte(edited), Options{}), 0, Unknown)
	for name, copy := range map[string]string{"signed": signed, "not yet signed": strings.Replace(f.doc, "@SIG@", "", 1)} {
		t.Run(name, func(t *testing.T) {
			finding := expectMistakes(t, explainXML(t, []byte(edited), Options{Pristine: []byte(copy)}), 0, ContentEdited)
			want := []Edit{
				{Kind: AttributeChanged, Name: "cur", Was: "RUB", Is: "USD"},
				{Kind: AttributeChanged, Name: "rate", Is: "1"},
				{Kind: TextChanged, Was: "100", Is: "900"},
				{Kind: ElementRemoved, Name: "x:old"},
				{Kind: ElementAdded, Name: "x:new"},
			}
			if len(finding.Edits) != len(want) {
				t.Fatalf("%+v", finding.Edits)
			}
			for i, e := range finding.Edits {
				w := want[i]
				if e.Kind != w.Kind || e.Name != w.Name || e.Was != w.Was || e.Is != w.Is || e.Place.Line != 2 ||
					!strings.HasPrefix(e.Place.Path, "/root/x:data") {
					t.Errorf("%+v, want %+v", e, w)
				}
			}
			if path := finding.Edits[2].Place.Path; path != "/root/x:data/x:sum/text()" {
				t.Error(path)
			}
			if d := finding.Difference; d == nil || !strings.Contains(d.Stated, "USD") || !strings.Contains(d.Matching, "RUB") {
				t.Errorf("%+v", d)
			}
		})
	}
	t.Run("a copy that does not match", func(t *testing.T) {
		finding := expectMistakes(t, explainXML(t, []byte(edited),
			Options{Pristine: []byte(strings.Replace(signed, "Иванов", "Петров", 1))}), 0, Unknown)
		if len(finding.Edits) == 0 || len(finding.What) == 0 {
			t.Errorf("%+v", finding)
		}
	})
	t.Run("SignedInfo edited", func(t *testing.T) {
		broken := strings.Replace(signed, `URI="#d"`, `URI="#d" Type="urn:t"`, 1)
		finding := expectMistakes(t, explainXML(t, []byte(broken), Options{Pristine: []byte(signed)}), -1, ContentEdited)
		if len(finding.Edits) != 1 || finding.Edits[0].Name != "Type" {
			t.Errorf("%+v", finding.Edits)
		}
	})
	t.Run("SMEV: prefixes and blanks do not count", func(t *testing.T) {
		g := f
		g.transforms, g.digested = smev3, smevOf(t, content)
		signed := string(g.make(t))
		moved := strings.NewReplacer("<x:", "<y:", "</x:", "</y:", "xmlns:x", "xmlns:y", "100", "900").Replace(signed)
		moved = strings.Replace(moved, "<y:sum", "\n  <y:sum", 1)
		finding := expectMistakes(t, explainXML(t, []byte(moved), Options{Pristine: []byte(signed)}), 0, ContentEdited)
		if len(finding.Edits) != 1 || finding.Edits[0].Is != "900" {
			t.Errorf("%+v", finding.Edits)
		}
	})
	if _, err := XML(t.Context(), []byte(edited), policyNone, Options{Pristine: []byte("<")}); err == nil {
		t.Error("a copy that is not XML is accepted")
	}
}

// A long document with many differences ends with a bounded list.
func TestManyEdits(t *testing.T) {
	var was, is strings.Builder
	for range 3000 {
		was.WriteString("<a>1</a>")
		is.WriteString("<a>2</a><b></b>")
	}
	x, y := "<r>"+was.String()+"</r>", "<r>"+is.String()+"</r>"
	a, b := newTree([]byte(x), 0, -1, noLimits), newTree([]byte(y), 0, -1, noLimits)
	c := &comparer{doc: []byte(y)}
	c.compare("", a, b)
	if len(c.edits) != maxEdits {
		t.Errorf("%d edits", len(c.edits))
	}
}

// What is dumped are the steps of each reference, and what matches.
func TestDump(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	content := `<x:data xmlns:x="urn:x" Id="d"> <x:a>1</x:a></x:data>`
	exc := canonical(t, content, "--exc-c14n")
	f := forge{doc: `<root xmlns:o="urn:o">` + content + `@SIG@</root>`, uri: "#d", transforms: smev3, digested: exc,
		signer: id, value: swapHalves}
	dumped := map[string]string{}
	e := explainXML(t, f.make(t), Options{Dump: func(name string, octets []byte) { dumped[name] = string(octets) }})
	if len(e.Findings) != 2 {
		t.Fatalf("%+v", e.Findings)
	}
	smev := `<ns1:data xmlns:ns1="urn:x" Id="d"><ns1:a>1</ns1:a></ns1:data>`
	for name, want := range map[string]string{
		"signature-0/reference-0/step-1-exc-c14n": exc,
		"signature-0/reference-0/step-2-smev":     smev,
		"signature-0/reference-0/matching":        exc,
	} {
		if dumped[name] != want {
			t.Errorf("%s: %q", name, dumped[name])
		}
	}
	if !strings.HasPrefix(dumped["signature-0/signed-info"], "<ds:SignedInfo xmlns:ds=") {
		t.Error(dumped["signature-0/signed-info"])
	}
}
