package xmltext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/epov-signer/epov/internal/vectors"
)

// tokens writes the tokens that a tokenizer gives, one a line, adjoining pieces of text in one.
func tokens(tok *Tokenizer, doc []byte) string {
	var b strings.Builder
	var text *Span
	cdata, before, last := false, 0, EOF
	for {
		kind, err := tok.Next()
		span := tok.Span()
		if err != nil { // pieces of the text that is at fault may have come
			if last == Text {
				return b.String()[:before] + err.Error()
			}
			return b.String() + err.Error()
		}
		if text != nil && (kind != Text || tok.CDATA() != cdata || bytes.HasPrefix(doc[span.Start:], []byte("<![CDATA["))) {
			fmt.Fprintf(&b, " %v\n", *text)
			text = nil
		}
		switch kind {
		case EOF:
			fmt.Fprintf(&b, "end %v", span)
			return b.String()
		case StartElement, EndElement:
			n := tok.Name()
			fmt.Fprintf(&b, "%v %d {%s}%s:%s %s %d %t", kind, tok.Depth(), n.Space, n.Prefix, n.Local, tok.QName(), tok.NameBinding(),
				tok.Tidy() && kind == StartElement)
			for _, d := range tok.Declared() {
				fmt.Fprintf(&b, " [%s=%s]", d.Prefix, d.URI)
			}
			for _, a := range tok.Attrs() {
				fmt.Fprintf(&b, " {%s}%s:%s=%q %d %t", a.Space, a.Prefix, a.Local, a.Value, a.Binding, a.Plain)
			}
			for _, d := range tok.InScope(nil) {
				fmt.Fprintf(&b, " (%s=%s)", d.Prefix, d.URI)
			}
			fmt.Fprintf(&b, " %v\n", span)
		case Text:
			if text == nil {
				text, cdata = &span, tok.CDATA()
				if last != Text {
					before = b.Len()
				}
				fmt.Fprintf(&b, "text %t ", tok.CDATA())
			}
			fmt.Fprintf(&b, "%s", tok.Text())
			text.End = span.End
		default:
			fmt.Fprintf(&b, "%v %q %q %v\n", kind, tok.Target(), tok.Text(), span)
		}
		last = kind
	}
}

// Splitting the input anywhere and windows of any size change nothing: not the tokens, not the errors.
func TestWindow(t *testing.T) {
	defer func(n int) { firstWindow = n }(firstWindow)
	docs := [][]byte{
		[]byte("\uFEFF<?xml version='1.0' encoding='utf-8'?>\r\n<!--a\r\nb--><?p  x\ry?>\r<r/>\r\n<?q?>\r"),
		[]byte("<a xmlns='urn:a' xmlns:p='urn:&#112;&amp;x' p:x=\"1&#10;\"><p:b xmlns=''>one\r\ntwo\r&#xD;&lt;Ж\U0001F600]]x]<c/>]</p:b></a>"),
		[]byte("<a><![CDATA[one]]two]]]]><![CDATA[]]>\r\n<![CDATA[\r\n\rЖ>]]x]]>\r<b/></a>"),
		[]byte("<a>\r\r\n\n]]></a>"), []byte("<a>text\r\n\r&#x1;</a>"), []byte("<a>\r\n<b>\xD0"), []byte("<a>\r\nЖ\xD0</a>"),
		[]byte("<a><!-- -- --></a>"), []byte("<a>&unknown;</a>"), []byte("<a>&am"), []byte("<a x='1"),
		[]byte("<a></b></a>"), []byte("<a/>\r\nx"),
		[]byte("<a><p:b/></a>"), []byte("<a><![CDATA[]]"), []byte("<a>" + strings.Repeat("<b>", 300)), []byte(" \n <a/>"), nil,
	}
	for _, pattern := range []string{"smev-messages/made/*.xml", "smev-transform/0[1-4]*.in.xml"} {
		files, err := filepath.Glob(vectors.Path(pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", pattern, err)
		}
		for _, file := range files {
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc, doc[:len(doc)/2])
		}
	}
	tok := new(Tokenizer)
	for _, doc := range docs {
		tok.Reset(doc, Limits{})
		want := tokens(tok, doc)
		for _, size := range []int{2, 3, 5, 8, 13, 64, 1000} {
			firstWindow = size
			for i, r := range []io.Reader{bytes.NewReader(doc), iotest.OneByteReader(bytes.NewReader(doc)),
				iotest.DataErrReader(bytes.NewReader(doc))} {
				tok := new(Tokenizer)
				tok.ResetReader(r, Limits{})
				if got := tokens(tok, doc); got != want {
					t.Fatalf("window %d, reader %d, of %q:\n got %s\nwant %s", size, i, doc, got, want)
				}
			}
		}
	}
}

func FuzzWindow(f *testing.F) {
	for _, doc := range []string{
		"<?xml version='1.0'?>\r\n<a xmlns:p='urn:a' p:b='&#10;\r\n'>]]\r\nx]&lt;Ж<![CDATA[x]]\r\n]]><?p d?><!-- c --></a>\r\n",
		"<a xmlns='urn:&amp;'><b xmlns:c='urn:c'><c:d c:e=''/></b>&#x1F600;</a>",
	} {
		f.Add([]byte(doc), uint8(3))
	}
	f.Fuzz(func(t *testing.T, doc []byte, size uint8) {
		defer func(n int) { firstWindow = n }(firstWindow)
		firstWindow = int(size)%64 + 2
		mine := NewTokenizer(doc, Limits{})
		want := tokens(mine, doc)
		tok := new(Tokenizer)
		tok.ResetReader(bytes.NewReader(doc), Limits{})
		if got := tokens(tok, doc); got != want {
			t.Fatalf("window %d, of %q:\n got %s\nwant %s", firstWindow, doc, got, want)
		}
	})
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	tok := new(Tokenizer)
	tok.ResetReader(io.MultiReader(strings.NewReader("<a>"), iotest.ErrReader(broken)), Limits{})
	for range 3 {
		if _, err := tok.Next(); err != broken {
			t.Errorf("error %v, want the reader's", err)
		}
	}
	for _, test := range []struct {
		doc    io.Reader
		limits Limits
		want   string
	}{
		{strings.NewReader("<a>12345678</a>"), Limits{Size: 10}, "document longer than 10 octets"},
		{io.MultiReader(strings.NewReader("<a><!--"), endless('x')), Limits{}, "markup longer than"},
		{io.MultiReader(strings.NewReader("<a b='"), endless('x')), Limits{Markup: 1 << 20}, "markup longer than 1048576 octets"},
		{io.MultiReader(strings.NewReader("<a><b/></a></c>"), endless('x')), Limits{}, "end tag without an open element"},
		{io.MultiReader(strings.NewReader("<"), endless('x')), Limits{}, "name of an element longer than"},
	} {
		tok.ResetReader(test.doc, test.limits)
		var err error
		for kind := StartElement; kind != EOF; {
			kind, err = tok.Next()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
	}
}

// endless is a document without an end.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}
