package xmltext

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/vectors"
)

// dump writes the tokens of a document, one a line.
func dump(doc string, limits Limits) (string, error) {
	var b strings.Builder
	tok := NewTokenizer([]byte(doc), limits)
	for {
		kind, err := tok.Next()
		if err != nil {
			return b.String(), err
		}
		span := tok.Span()
		fmt.Fprintf(&b, "%d %q", tok.Depth(), doc[span.Start:span.End])
		switch kind {
		case EOF:
			return b.String(), nil
		case StartElement, EndElement:
			n := tok.Name()
			fmt.Fprintf(&b, " %v {%s}%s:%s", kind, n.Space, n.Prefix, n.Local)
			for _, d := range tok.Declared() {
				fmt.Fprintf(&b, " [%s=%s]", d.Prefix, d.URI)
			}
			for _, a := range tok.Attrs() {
				fmt.Fprintf(&b, " {%s}%s:%s=%q", a.Space, a.Prefix, a.Local, a.Value)
			}
		case Text:
			fmt.Fprintf(&b, " text %q cdata=%t", tok.Text(), tok.CDATA())
		case Comment:
			fmt.Fprintf(&b, " comment %q", tok.Text())
		case ProcInst:
			fmt.Fprintf(&b, " pi %q %q", tok.Target(), tok.Text())
		}
		b.WriteByte('\n')
	}
}

func TestTokens(t *testing.T) {
	for _, test := range []struct{ doc, want string }{
		{
			"\uFEFF<?xml version='1.0' encoding='utf-8' standalone='no'?>\n<!--a\r\nb--><?p  x\ry?><r/>\n<?q?>",
			`0 "<!--a\r\nb-->" comment "a\nb"
0 "<?p  x\ry?>" pi "p" "x\ny"
1 "<r/>" start tag {}:r
1 "" end tag {}:r
0 "<?q?>" pi "q" ""
0 ""`,
		}, {
			`<a xmlns='urn:a' p:x = "1" y='2' xmlns:p="urn:&#112;"><p:b xmlns=""><c/></p:b ></a>`,
			`1 "<a xmlns='urn:a' p:x = \"1\" y='2' xmlns:p=\"urn:&#112;\">" start tag {urn:a}:a [=urn:a] [p=urn:p] {urn:p}p:x="1" {}:y="2"
2 "<p:b xmlns=\"\">" start tag {urn:p}p:b [=]
3 "<c/>" start tag {}:c
3 "" end tag {}:c
2 "</p:b >" end tag {urn:p}p:b [=]
1 "</a>" end tag {urn:a}:a [=urn:a] [p=urn:p]
0 ""`,
		}, {
			"<a>one\r\ntwo\rthree&#13;&#xA;&lt;&amp;&gt;&quot;&apos;<![CDATA[<&\r\n]]]]><![CDATA[]]>]] ></a>",
			`1 "<a>" start tag {}:a
1 "one\r\ntwo\rthree&#13;&#xA;&lt;&amp;&gt;&quot;&apos;" text "one\ntwo\nthree\r\n<&>\"'" cdata=false
1 "<![CDATA[<&\r\n]]]]>" text "<&\n]]" cdata=true
1 "<![CDATA[]]>" text "" cdata=true
1 "]] >" text "]] >" cdata=false
1 "</a>" end tag {}:a
0 ""`,
		}, {
			"<a x=' \t\n\r\n\r &#9;&#10;&#13;&#x1F600;\"&quot;&apos;>'/>",
			`1 "<a x=' \t\n\r\n\r &#9;&#10;&#13;&#x1F600;\"&quot;&apos;>'/>" start tag {}:a {}:x="      \t\n\r😀\"\"'>"
1 "" end tag {}:a
0 ""`,
		}, {
			`<a xmlns:xml="http://www.w3.org/XML/1998/namespace" xml:id="i"/>`,
			`1 "<a xmlns:xml=\"http://www.w3.org/XML/1998/namespace\" xml:id=\"i\"/>" start tag {}:a {http://www.w3.org/XML/1998/namespace}xml:id="i"
1 "" end tag {}:a
0 ""`,
		}, {
			"<данные·.-1 Ж='я'/>",
			`1 "<данные·.-1 Ж='я'/>" start tag {}:данные·.-1 {}:Ж="я"
1 "" end tag {}:данные·.-1
0 ""`,
		},
	} {
		got, err := dump(test.doc, Limits{})
		if err != nil || got != test.want {
			t.Errorf("%q: %v\n got %s\nwant %s", test.doc, err, got, test.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("n", 1025)
	for _, test := range []struct {
		doc     string
		reason  Reason
		offset  int
		message string
	}{
		{"", Malformed, 0, "no root element"},
		{" \n", Malformed, 2, "no root element"},
		{"text", Malformed, 0, "text outside the root element"},
		{"\x00", Malformed, 0, "character U+0000 is not allowed"},
		{"<a/>x", Malformed, 4, "text outside the root element"},
		{"<a/>\xFF", Encoding, 4, "not valid UTF-8"},
		{"<a/>&#32;", Malformed, 4, "text outside the root element"},
		{"<a/><![CDATA[]]>", Malformed, 4, "CDATA section outside the root element"},
		{"<a/><b/>", Malformed, 4, "second root element"},
		{"</a>", Malformed, 0, "end tag without an open element"},
		{"<a/></a>", Malformed, 4, "end tag without an open element"},
		{"<a>", Malformed, 3, `document ends inside the element "a"`},
		{"<a>text", Malformed, 7, `document ends inside the element "a"`},
		{"<a", Malformed, 2, "document ends inside a start tag"},
		{"<a ", Malformed, 3, "document ends inside a start tag"},
		{"<a /", Malformed, 3, "/ without > in a start tag"},
		{"<", Malformed, 1, "document ends inside a tag"},
		{"<a></a", Malformed, 6, "document ends inside an end tag"},
		{"<a></b>", Malformed, 3, "end tag of another element where </a> is due"},
		{"<a></ab>", Malformed, 3, "end tag of another element where </a> is due"},
		{"<a></ a>", Malformed, 3, "end tag of another element where </a> is due"},
		{"<a xmlns:p='urn:p' xmlns:q='urn:p'><p:b></q:b></a>", Malformed, 40, "end tag of another element where </p:b> is due"},
		{"< a/>", Malformed, 1, "no name of an element starts with this character"},
		{"<1a/>", Malformed, 1, "no name of an element starts with this character"},
		{"<:a/>", Malformed, 1, "no name of an element starts with this character"},
		{"<a:/>", Malformed, 3, "no name of an element starts with this character"},
		{"<a:b:c/>", Malformed, 4, "second colon in the name of an element"},
		{"<·a/>", Malformed, 1, "no name of an element starts with this character"},
		{"<a×/>", Malformed, 2, "no white space before an attribute"},
		{"<a b/>", Malformed, 4, "no = after the name of an attribute"},
		{"<a b=1/>", Malformed, 5, "value of an attribute without quotes"},
		{"<a b='1/>", Malformed, 9, "document ends inside the value of an attribute"},
		{"<a b='1'c='2'/>", Malformed, 8, "no white space before an attribute"},
		{"<a b='<'/>", Malformed, 6, "< in the value of an attribute"},
		{"<a b='1' b='2'/>", Malformed, 0, `attribute "b" twice`},
		{"<a xmlns:p='urn:a' xmlns:q='urn:&#97;' p:b='1' q:b='2'/>", Malformed, 0, `attribute "b" twice`},
		{"<a xmlns='urn:a' xmlns='urn:b'/>", Malformed, 17, `namespace prefix "" declared twice`},
		{"<a xmlns:p='urn:a' xmlns:p='urn:a'/>", Malformed, 19, `namespace prefix "p" declared twice`},
		{"<a xmlns:xml='" + xmlURI + "' xmlns:xml='" + xmlURI + "'/>", Malformed, 52, "namespace prefix xml declared twice"},
		{"<p:a/>", Malformed, 1, `namespace prefix "p" is not declared`},
		{"<a p:b='1'/>", Malformed, 3, `namespace prefix "p" is not declared`},
		{"<a><b xmlns:p='urn:p'/><p:c/></a>", Malformed, 24, `namespace prefix "p" is not declared`},
		{"<a xmlns:p=''/>", Malformed, 3, `prefix "p" declared with an empty namespace name`},
		{"<a xmlns:xmlns='urn:a'/>", Malformed, 3, "prefix xmlns must not be declared"},
		{"<a xmlns:xml='urn:a'/>", Malformed, 3, "prefix xml bound to another namespace than its own"},
		{"<a xmlns:p='" + xmlURI + "'/>", Malformed, 3, "namespace of the prefix xml bound to another prefix"},
		{"<a xmlns='" + xmlURI + "'/>", Malformed, 3, "namespace of the prefix xml bound to another prefix"},
		{"<a xmlns='" + xmlnsURI + "'/>", Malformed, 3, "namespace of the prefix xmlns bound to a prefix"},
		{"<xmlns:a/>", Malformed, 1, "element name with the prefix xmlns"},
		{"<a>]]></a>", Malformed, 3, "]]> in character data"},
		{"<a>&b;</a>", Malformed, 3, `entity "b" is not declared`},
		{"<a>& b</a>", Malformed, 4, "no name of an entity starts with this character"},
		{"<a>&amp</a>", Malformed, 3, "& without a name and a semicolon"},
		{"<a>&#;</a>", Malformed, 3, "character reference without digits or without a semicolon"},
		{"<a>&#x;</a>", Malformed, 3, "character reference without digits or without a semicolon"},
		{"<a>&#X41;</a>", Malformed, 3, "character reference without digits or without a semicolon"},
		{"<a>&#1a;</a>", Malformed, 3, "character reference without digits or without a semicolon"},
		{"<a>&#0;</a>", Malformed, 3, "reference to U+0000, which is not allowed"},
		{"<a>&#xD800;</a>", Malformed, 3, "reference to U+D800, which is not allowed"},
		{"<a b='&#xFFFE;'/>", Malformed, 6, "reference to U+FFFE, which is not allowed"},
		{"<a>&#x110000;</a>", Malformed, 3, "character reference beyond U+10FFFF"},
		{"<a>&#x10000000000000041;</a>", Malformed, 3, "character reference beyond U+10FFFF"},
		{"<a>\x01</a>", Malformed, 3, "character U+0001 is not allowed"},
		{"<a b='\x1F'/>", Malformed, 6, "character U+001F is not allowed"},
		{"<a>\uFFFE</a>", Malformed, 3, "character U+FFFE is not allowed"},
		{"<a><!--\x02--></a>", Malformed, 7, "character U+0002 is not allowed"},
		{"<a>\xC0\x80</a>", Encoding, 3, "not valid UTF-8"},
		{"<a>\xED\xA0\x80</a>", Encoding, 3, "not valid UTF-8"},
		{"<a b='\xFF'/>", Encoding, 6, "not valid UTF-8"},
		{"<a\xE0/>", Encoding, 2, "not valid UTF-8"},
		{"<a><![CDATA[\xFF]]></a>", Encoding, 12, "not valid UTF-8"},
		{"<a><!-- -- --></a>", Malformed, 8, "-- inside a comment"},
		{"<a><!-- ---></a>", Malformed, 8, "-- inside a comment"},
		{"<a><!-- ", Malformed, 8, "document ends inside a comment"},
		{"<a><![CDATA[ ]]", Malformed, 15, "document ends inside a CDATA section"},
		{"<a><![cdata[ ]]></a>", Malformed, 3, "unknown markup after <!"},
		{"<!ELEMENT a ANY><a/>", Malformed, 0, "unknown markup after <!"},
		{"<a><?p ", Malformed, 7, "document ends inside a processing instruction"},
		{"<a><?p?", Malformed, 7, "document ends inside a processing instruction"},
		{"<a><? p?></a>", Malformed, 5, "no name of a processing instruction starts with this character"},
		{"<a><?p=1?></a>", Malformed, 6, "no white space after the target of a processing instruction"},
		{"<a><?p:q?></a>", Malformed, 6, "colon in the target of a processing instruction"},
		{"<a><?XmL x?></a>", Malformed, 3, `processing instruction named "XmL", or an XML declaration not at the start`},
		{" <?xml version='1.0'?><a/>", Malformed, 1, `processing instruction named "xml", or an XML declaration not at the start`},
		{"<!DOCTYPE a><a/>", Doctype, 0, "document type declarations are not accepted"},
		{"<a/><!DOCTYPE a>", Doctype, 4, "document type declarations are not accepted"},
		{"<?xml?><a/>", Malformed, 0, `processing instruction named "xml", or an XML declaration not at the start`},
		{"<?xml encoding='UTF-8'?><a/>", Malformed, 5, "no version in the XML declaration"},
		{"<?xml version='1.1'?><a/>", Malformed, 5, `XML version "1.1"; only 1.0 is accepted`},
		{"<?xml version='1.0' encoding='windows-1251'?><a/>", Encoding, 19, `encoding "windows-1251" declared; only UTF-8 is accepted`},
		{"<?xml version='1.0' encoding=''?><a/>", Encoding, 19, `encoding "" declared; only UTF-8 is accepted`},
		{"<?xml version='1.0' standalone='maybe'?><a/>", Malformed, 19, "standalone is neither yes nor no in the XML declaration"},
		{"<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>", Malformed, 37, "something unknown in the XML declaration"},
		{"<?xml version=1.0?><a/>", Malformed, 14, "version without quotes in the XML declaration"},
		{"<?xml version '1.0'?><a/>", Malformed, 14, "no = after version in the XML declaration"},
		{"<?xml version='1.0", Malformed, 14, "document ends inside the XML declaration"},
		{"\xFF\xFE<\x00a\x00/\x00>\x00", Encoding, 0, "encoded in UTF-16; only UTF-8 is accepted"},
		{"\xFE\xFF\x00<\x00a", Encoding, 0, "encoded in UTF-16; only UTF-8 is accepted"},
		{"<\x00a\x00", Encoding, 0, "encoded in UTF-16; only UTF-8 is accepted"},
		{"\x00\x00\xFE\xFF\x00\x00\x00<", Encoding, 0, "encoded in UTF-32; only UTF-8 is accepted"},
		{"\x4C\x6F\xA7\x94", Encoding, 0, "encoded in EBCDIC; only UTF-8 is accepted"},
		{"<a>\uFEFF</a>\uFEFF", Malformed, 10, "text outside the root element"},
		{"<" + long + "/>", Limit, 1, "name of an element longer than 1024 octets"},
		{"<a " + long + "='1'/>", Limit, 3, "name of an attribute longer than 1024 octets"},
		{"<" + long[:600] + ":" + long[:600] + "/>", Limit, 1, "name of an element longer than 1024 octets"},
		{"<a xmlns='" + long + long + "'/>", Limit, 3, "namespace name longer than 2048 octets"},
	} {
		_, err := dump(test.doc, Limits{})
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: error %v", test.doc, err)
			continue
		}
		line, column := Position([]byte(test.doc), test.offset)
		want := SyntaxError{test.reason, test.offset, line, column, test.message}
		if *syntax != want {
			t.Errorf("%.80q:\n got %v: %v\nwant %v: %v", test.doc, syntax.Reason, syntax, want.Reason, &want)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		limits  Limits
		fits    string
		exceeds string
		message string
	}{
		{Limits{Size: 4}, "<a/>", "<a/> ", "document of 5 octets, more than 4"},
		{Limits{Depth: 2}, "<a><b/></a>", "<a><b><c/></b></a>", "elements nested deeper than 2"},
		{Limits{Attributes: 2}, "<a b='' xmlns='urn:a'/>", "<a b='' c='' xmlns='urn:a'/>", "more than 2 attributes"},
		{Limits{NameLength: 3}, "<aaa/>", "<aaaa/>", "name of an element longer than 3"},
		{Limits{Namespaces: 1}, "<a><b xmlns='urn:a'/><b xmlns='urn:b'/></a>", "<a xmlns='urn:a'><b xmlns='urn:b'/></a>",
			"more than 1 namespace declarations"},
		{Limits{NamespaceLength: 5}, "<a xmlns='urn:a'/>", "<a xmlns='urn:ab'/>", "namespace name longer than 5"},
	} {
		if _, err := dump(test.fits, test.limits); err != nil {
			t.Errorf("%s: %v", test.fits, err)
		}
		_, err := dump(test.exceeds, test.limits)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Reason != Limit || !strings.HasPrefix(syntax.Message, test.message) {
			t.Errorf("%s: error %v, want %s", test.exceeds, err, test.message)
		}
	}
}

func TestErrorStays(t *testing.T) {
	tok := NewTokenizer([]byte("<a></b>"), Limits{})
	_, _ = tok.Next()
	_, err := tok.Next()
	if _, again := tok.Next(); err == nil || err != again {
		t.Errorf("errors %v and then %v", err, again)
	}
	tok.Reset([]byte("<a/>"), Limits{})
	if kind, err := tok.Next(); kind != StartElement || err != nil {
		t.Errorf("after Reset: %v, %v", kind, err)
	}
	if want := "xml: line 1, column 4 (offset 3): end tag of another element where </a> is due"; err.Error() != want {
		t.Errorf("message %q", err)
	}
}

func TestManyAttributesAreUnique(t *testing.T) {
	var tag strings.Builder
	for i := range 200 {
		fmt.Fprintf(&tag, " a%d='' p:a%d=''", i*7919%1000, i*7919%1000)
	}
	limits := Limits{Attributes: 1000}
	if _, err := dump("<a xmlns:p='urn:p' xmlns:q='urn:p'"+tag.String()+"/>", limits); err != nil {
		t.Error(err)
	}
	for _, one := range []string{" a0=''", " q:a7919=''", " q:a919=''"} {
		_, err := dump("<a xmlns:p='urn:p' xmlns:q='urn:p'"+tag.String()+one+"/>", limits)
		if twice := err != nil && strings.Contains(err.Error(), "twice"); twice == (one == " q:a7919=''") {
			t.Errorf("%s: %v", one, err)
		}
	}
}

func TestScope(t *testing.T) {
	tok := NewTokenizer([]byte(`<a xmlns='urn:a' xmlns:p='urn:p'><b xmlns='' xmlns:q='urn:q&amp;' xmlns:p='urn:r'><c/></b></a>`), Limits{})
	scope := func() string {
		var all []string
		for _, b := range tok.InScope(nil) {
			all = append(all, fmt.Sprintf("%s=%s", b.Prefix, b.URI))
		}
		return strings.Join(all, " ")
	}
	for _, want := range []string{"p=urn:p =urn:a", "p=urn:r q=urn:q&", "p=urn:r q=urn:q&", "p=urn:r q=urn:q&",
		"p=urn:r q=urn:q&", "p=urn:p =urn:a", ""} {
		if _, err := tok.Next(); err != nil {
			t.Fatal(err)
		}
		if got := scope(); got != want {
			t.Errorf("at %v: %q in scope, want %q", tok.Span(), got, want)
		}
		uri, ok := tok.Lookup([]byte("p"))
		if ok != strings.Contains(want, "p="+string(uri)) && ok != (want != "") {
			t.Errorf("at %v: p is %q, %t", tok.Span(), uri, ok)
		}
		if _, ok := tok.Lookup(nil); ok != strings.Contains(want, " =") {
			t.Errorf("at %v: default namespace bound: %t", tok.Span(), ok)
		}
		if uri, ok := tok.Lookup([]byte("xml")); !ok || string(uri) != xmlURI {
			t.Errorf("xml is %q, %t", uri, ok)
		}
	}
}

func TestPosition(t *testing.T) {
	doc := []byte("a\r\nb\rc\nЖd")
	for offset, want := range []string{"1:1", "1:2", "1:3", "2:1", "2:2", "3:1", "3:2", "4:1", "4:2", "4:3", "4:4", "4:4"} {
		line, column := Position(doc, offset)
		if got := fmt.Sprintf("%d:%d", line, column); got != want {
			t.Errorf("offset %d is at %s, want %s", offset, got, want)
		}
	}
}

func TestNameCharacters(t *testing.T) {
	// the first and last characters of the ranges of NameStartChar, and what NameChar adds
	for _, r := range "AZ_az\u00C0\u00D6\u00D8\u00F6\u00F8\u02FF\u0370\u037D\u037F\u1FFF\u200C\u200D\u2070\u218F\u2C00\u2FEF" +
		"\u3001\uD7FF\uF900\uFDCF\uFDF0\uFFFD\U00010000\U000EFFFF" {
		if !isNameStart(r) || !isNamePart(r) {
			t.Errorf("U+%04X starts no name", r)
		}
	}
	for _, r := range "-.09\u00B7\u0300\u036F\u203F\u2040" {
		if isNameStart(r) || !isNamePart(r) {
			t.Errorf("U+%04X: start %t, part %t", r, isNameStart(r), isNamePart(r))
		}
	}
	for _, r := range "@[`{/:;\u00BF\u00D7\u00F7\u037E\u2000\u200B\u200E\u2041\u206F\u2190\u2BFF\u2FF0\u3000\uE000\uF8FF\uFDD0" +
		"\uFDEF\U000F0000\U0010FFFF" {
		if isNamePart(r) {
			t.Errorf("U+%04X is in a name", r)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	doc := []byte("<?xml version='1.0' encoding='UTF-8'?><a xmlns:p='urn:&amp;' p:x='1&#10;2' y='\n'>t&lt;\r\n<!--c\r--><?p d\r?>" +
		"<b a='' c='' d='' e='' f='' g='' h='' i='' j='' p:k='' l=''/><![CDATA[\r\n]]>ЖЖ</a>")
	tok := NewTokenizer(doc, Limits{})
	allocs := testing.AllocsPerRun(100, func() {
		tok.Reset(doc, Limits{})
		for {
			kind, err := tok.Next()
			if err != nil {
				t.Fatal(err)
			}
			if kind == EOF {
				return
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations in the steady state", allocs)
	}
}

// Messages of every kind are read whole; their tokens lie one behind the other.
func TestVectorsAreRead(t *testing.T) {
	read := 0
	for _, pattern := range []string{"smev-transform/*.in.xml", "smev-messages/made/*.xml", "gost/xmldsig/*.xml"} {
		files, err := filepath.Glob(vectors.Path(pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = walk(doc)
			if doctype := strings.Contains(string(doc), "<!DOCTYPE"); doctype != (err != nil) {
				t.Errorf("%s: %v", file, err)
			}
			read++
		}
	}
	t.Logf("%d documents", read)
}

func BenchmarkTokenizer(b *testing.B) {
	doc := []byte("<?xml version='1.0' encoding='UTF-8'?>\n<a xmlns='urn:a' xmlns:p='urn:p'>" +
		strings.Repeat("\n  <p:item code=\"17\" name='наименование'>value &amp; значение</p:item>", 1000) + "\n</a>")
	tok := NewTokenizer(nil, Limits{})
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		tok.Reset(doc, Limits{})
		for {
			kind, err := tok.Next()
			if err != nil {
				b.Fatal(err)
			}
			if kind == EOF {
				break
			}
		}
	}
}
