package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/beevik/etree"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/vectors"
)

// slow is exclusive canonicalization (without comments) as its specification tells it, over a tree: for every element it
// looks at all namespace nodes and all of its output ancestors.
type slow struct{ bytes.Buffer }

func (s *slow) element(e *etree.Element, shown map[string]string) {
	utilized := []string{e.Space}
	var attrs []etree.Attr
	for _, a := range e.Attr {
		if a.Space == "xmlns" || a.Space == "" && a.Key == "xmlns" {
			continue
		}
		attrs = append(attrs, a)
		if a.Space != "" && a.Space != "xml" {
			utilized = append(utilized, a.Space)
		}
	}
	slices.Sort(utilized)
	inner := map[string]string{}
	for k, v := range shown {
		inner[k] = v
	}
	s.WriteString("<" + e.FullTag())
	for _, prefix := range slices.Compact(utilized) {
		uri := resolve(e, prefix)
		if inner[prefix] == uri {
			continue
		}
		inner[prefix] = uri
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		fmt.Fprintf(s, ` %s="%s"`, name, valueEscapes.Replace(uri))
	}
	space := func(a etree.Attr) string {
		switch a.Space {
		case "":
			return ""
		case "xml":
			return "http://www.w3.org/XML/1998/namespace"
		}
		return resolve(e, a.Space)
	}
	slices.SortFunc(attrs, func(a, b etree.Attr) int {
		return strings.Compare(space(a)+"\x00"+a.Key, space(b)+"\x00"+b.Key)
	})
	for _, a := range attrs {
		fmt.Fprintf(s, ` %s="%s"`, a.FullKey(), valueEscapes.Replace(a.Value))
	}
	s.WriteString(">")
	for _, child := range e.Child {
		switch c := child.(type) {
		case *etree.Element:
			s.element(c, inner)
		case *etree.CharData:
			s.WriteString(textEscapes.Replace(c.Data))
		case *etree.ProcInst:
			s.WriteString("<?" + c.Target)
			if c.Inst != "" {
				s.WriteString(" " + c.Inst)
			}
			s.WriteString("?>")
		}
	}
	s.WriteString("</" + e.FullTag() + ">")
}

var (
	textEscapes  = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
	valueEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
)

// resolve is what a prefix is bound to at e.
func resolve(e *etree.Element, prefix string) string {
	for ; e != nil; e = e.Parent() {
		for _, a := range e.Attr {
			if prefix != "" && a.Space == "xmlns" && a.Key == prefix || prefix == "" && a.Space == "" && a.Key == "xmlns" {
				return a.Value
			}
		}
	}
	return ""
}

// Every element of the messages is canonicalized alike from the octets, through the bridge, and by the slow oracle.
func TestLikeTheSlowOracle(t *testing.T) {
	exclusive := []canon.Transform{{URI: canon.ExclusiveURI}}
	elements := 0
	for _, pattern := range []string{"smev-messages/made/*.xml", "gost/xmldsig/*.xml", "smev-transform/*.in.xml"} {
		files, err := filepath.Glob(vectors.Path(pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc := etree.NewDocument()
			if err := doc.ReadFromBytes(data); err != nil || bytes.Contains(data, []byte("<!DOCTYPE")) {
				continue // what encoding/xml does not take, or canon
			}
			root := doc.Root()
			d, err := Write(root, xmltext.Limits{})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			for _, e := range append(root.FindElements("//*")[:min(20, len(root.FindElements("//*")))], root) {
				var want slow
				want.element(e, nil)
				var bridge, direct bytes.Buffer
				if err := Apply(&bridge, e, exclusive, xmltext.Limits{}); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				offset, err := d.Offset(e)
				if err != nil {
					t.Fatal(err)
				}
				if err := canon.Apply(&direct, d.Octets, canon.Node{Element: offset}, exclusive, xmltext.Limits{}); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				if bridge.String() != want.String() || direct.String() != want.String() {
					t.Errorf("%s, %s:\n got %q\nwant %q", file, e.GetPath(), bridge.String(), want.String())
				}
				elements++
			}
		}
	}
	if elements < 100 {
		t.Errorf("only %d elements", elements)
	}
	t.Logf("%d elements", elements)
}

func TestWhiteSpaceSurvives(t *testing.T) {
	root := etree.NewElement("a")
	root.CreateAttr("b", "\t\r\n\"<>&'")
	root.CreateText("\t\r\n\"<>&']]>")
	var out bytes.Buffer
	if err := Apply(&out, root, []canon.Transform{{URI: canon.InclusiveURI}}, xmltext.Limits{}); err != nil {
		t.Fatal(err)
	}
	want := "<a b=\"&#x9;&#xD;&#xA;&quot;&lt;>&amp;'\">\t&#xD;\n\"&lt;&gt;&amp;']]&gt;</a>"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestEnvelopedByOffset(t *testing.T) {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<a>x<s:Signature xmlns:s="http://www.w3.org/2000/09/xmldsig#"/>y</a>`); err != nil {
		t.Fatal(err)
	}
	d, err := Write(doc.Root(), xmltext.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	signature, err := d.Offset(doc.FindElement("//Signature"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	chain := []canon.Transform{{URI: canon.EnvelopedURI, Signature: signature}, {URI: canon.ExclusiveURI}}
	if err := canon.Apply(&out, d.Octets, canon.Node{Whole: true}, chain, xmltext.Limits{}); err != nil || out.String() != "<a>xy</a>" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if _, err := d.Offset(etree.NewElement("other")); !errors.Is(err, ErrElsewhere) {
		t.Errorf("error %v", err)
	}
}

// A tree may hold what is no XML; it must not become other XML.
func TestTreesThatAreNoDocuments(t *testing.T) {
	element := func(tag string, attr ...string) *etree.Element {
		root := etree.NewElement("root")
		e := root.CreateElement("x")
		e.Space, e.Tag = "", tag
		for _, a := range attr {
			e.Attr = append(e.Attr, etree.Attr{Key: a, Value: "v"})
		}
		return root
	}
	directive := etree.NewElement("root")
	directive.CreateDirective("DOCTYPE x")
	for name, root := range map[string]*etree.Element{
		"markup in a name":           element(`b/><c d="1"`),
		"another element in a name":  element("b/><c"),
		"space in a name":            element("b c"),
		"undeclared prefix":          element("p:b"),
		"markup in an attribute":     element("b", `c="1" d`),
		"equal attributes":           element("b", "c", "c"),
		"document type declaration":  directive,
		"end of a comment in a name": element("!--"),
	} {
		if d, err := Write(root, xmltext.Limits{}); err == nil {
			t.Errorf("%s: accepted as %q", name, d.Octets)
		}
	}
}
