package explain

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// Every mistake says in both languages what it is and what to do.
func TestSentences(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "mistakes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := map[Mistake]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Mistake" {
				value, _ := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if constants[Mistake(value)] {
					t.Errorf("%s twice", value)
				}
				constants[Mistake(value)] = true
			}
		}
		return true
	})
	form := regexp.MustCompile(`^[a-z][a-z0-9-]*(\.[a-z0-9-]+)?$`)
	russian := regexp.MustCompile(`[а-яё]{3}`)
	seen := map[Mistake]bool{}
	for _, i := range Mistakes {
		if seen[i.Mistake] || !constants[i.Mistake] || !form.MatchString(string(i.Mistake)) || i.Mistake.Info() != i {
			t.Errorf("%s", i.Mistake)
		}
		seen[i.Mistake] = true
		for _, s := range []Sentence{i.What, i.Advice} {
			if s.In(report.English) != s.English || s.In(report.Russian) != s.Russian ||
				s.English == "" || russian.MatchString(s.English) || !russian.MatchString(s.Russian) ||
				strings.HasSuffix(s.English, ".") || strings.HasSuffix(s.Russian, ".") {
				t.Errorf("%s: %+v", i.Mistake, s)
			}
		}
	}
	for m := range constants {
		if !seen[m] {
			t.Errorf("%s has no row in Mistakes", m)
		}
	}
}

// A large message with an unknown mistake ends, and so does a search whose time is over.
func TestBounds(t *testing.T) {
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	records := 8000
	if testing.Short() { // under emulation an octet takes thirty times as long
		records = 500
	}
	content := `<x:data xmlns:x="urn:x" Id="d">` + strings.Repeat("<x:item n=\"1\">some text of a record</x:item>\n", records) + `</x:data>`
	f := forge{doc: `<root>` + content + `@SIG@</root>`, uri: "#d", transforms: smev3, digested: "something else", signer: id}
	doc := f.make(t)
	start := time.Now()
	e := explainXML(t, doc, Options{})
	if len(e.Findings) != 1 || e.Findings[0].Known() {
		t.Fatalf("%+v", e.Findings)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("%v for %d octets", took, len(doc))
	} else {
		t.Logf("%v for %d octets", took, len(doc))
	}
	if !newSearch(t.Context(), noLimits, Options{Thorough: true}).spend(1<<40) || newSearch(t.Context(), noLimits, Options{}).spend(1<<40) {
		t.Error("a thorough search has bounds, or another has none")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	e, err := XML(over, doc, xmldsig.Policy{}, Options{})
	if err != nil || len(e.Findings) == 0 || e.Findings[0].Mistakes[0] != Exhausted {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, doc := range []string{"", "<a>", "<!DOCTYPE a><a/>"} {
		if _, err := XML(t.Context(), []byte(doc), xmldsig.Policy{}, Options{}); err == nil {
			t.Errorf("%q is explained", doc)
		}
	}
	e := explainXML(t, []byte("<a/>"), Options{})
	if len(e.Findings) != 0 || e.Report.Verdict() != report.Invalid {
		t.Errorf("%+v", e)
	}
}

func FuzzXML(f *testing.F) {
	id := newIdentity(f, gost.GOST2012_256, "tc26-256-B")
	content := `<x:data xmlns:x="urn:x" Id="d"><x:a>1</x:a></x:data>`
	for _, transforms := range [][]string{exclusiveOnly, smev3, enveloped, nil} {
		g := forge{doc: `<root>` + content + `@SIG@</root>`, uri: "#d", transforms: transforms, digested: content,
			signer: id, value: swapHalves}
		doc := g.make(f)
		f.Add(doc, []byte(g.doc))
		f.Add(doc, doc)
	}
	f.Fuzz(func(t *testing.T, doc, copy []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		verdict := func(r *report.Report) report.Verdict { return r.Verdict() }
		before, err := xmldsig.Verify(doc, xmldsig.Policy{})
		e, explainErr := XML(ctx, doc, xmldsig.Policy{}, Options{Pristine: copy, Dump: func(string, []byte) {}})
		if err != nil {
			if explainErr == nil {
				t.Fatal("explained what cannot be examined")
			}
			return
		}
		if explainErr != nil {
			return // the copy
		}
		if verdict(before) != verdict(e.Report) {
			t.Fatalf("%v became %v", verdict(before), verdict(e.Report))
		}
		for _, finding := range e.Findings {
			if len(finding.Mistakes) == 0 || finding.Subject == "" || finding.Signature >= len(e.Report.Signatures) {
				t.Fatalf("%+v", finding)
			}
		}
	})
}

func TestAdvice(t *testing.T) {
	russian := regexp.MustCompile(`[а-яё]{3}`)
	seen := map[report.Code]bool{}
	for _, a := range advices {
		if seen[a.Code] || a.Code.Info().English == "" || a.English == "" || russian.MatchString(a.English) ||
			!russian.MatchString(a.Russian) {
			t.Errorf("%+v", a)
		}
		seen[a.Code] = true
	}
	id := newIdentity(t, gost.GOST2012_256, "tc26-256-B")
	content := `<data Id="d">1</data>`
	f := forge{doc: `<root>` + content + `@SIG@</root>`, uri: "http://example.ru/", transforms: exclusiveOnly,
		digested: content, signer: id}
	a := explainXML(t, f.make(t), Options{}).Advice()
	if len(a) != 1 || a[0].Code != report.ReferenceURI {
		t.Errorf("%+v", a)
	}
	if a := explainXML(t, []byte("<a/>"), Options{}).Advice(); len(a) != 1 || a[0].Code != report.SignatureNone {
		t.Errorf("%+v", a)
	}
	// What a finding explains needs no advice besides.
	f.uri, f.digested = "#d", "else"
	if a := explainXML(t, f.make(t), Options{}).Advice(); len(a) != 0 {
		t.Errorf("%+v", a)
	}
}
