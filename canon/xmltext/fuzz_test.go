package xmltext

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/epov-signer/epov/internal/vectors"
)

// walk reads a document and checks what holds for the tokens of any.
func walk(doc []byte) error {
	tok := NewTokenizer(doc, Limits{})
	end, depth := 0, 0
	for {
		kind, err := tok.Next()
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(doc) || syntax.Line < 1 || syntax.Column < 1 {
				return fmt.Errorf("no proper error: %#v", err)
			}
			return err
		}
		span := tok.Span()
		if span.Start < end || span.End < span.Start || span.End > len(doc) {
			return fmt.Errorf("span %v after %d", span, end)
		}
		end = span.End
		switch kind {
		case EOF:
			if depth != 0 || tok.Depth() != 0 {
				return fmt.Errorf("document ends at depth %d", depth)
			}
			if bad := firstBad(doc); bad < len(doc) {
				return fmt.Errorf("accepted with a bad character at %d", bad)
			}
			return nil
		case StartElement:
			depth++
			if doc[span.Start] != '<' || doc[span.End-1] != '>' || len(tok.Name().Local) == 0 {
				return fmt.Errorf("start tag %q", doc[span.Start:span.End])
			}
		case Text:
			if !utf8.Valid(tok.Text()) {
				return fmt.Errorf("text %q is not UTF-8", tok.Text())
			}
		}
		if tok.Depth() != depth {
			return fmt.Errorf("depth %d, want %d", tok.Depth(), depth)
		}
		if kind == EndElement {
			depth--
		}
	}
}

func seeds(f *testing.F) {
	vectors.Seed(f, "smev-transform/*.in.xml", "gost/xmldsig/3*.xml")
	f.Add([]byte("<?xml version='1.0'?><a xmlns:p='urn:a' p:b='&#10;\r\n'><![CDATA[x]]><?p d?><!-- c --></a>\n"))
}

func FuzzTokenizer(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		err := walk(doc)
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Fatal(err)
		}
		if err != nil || strings.ContainsFunc(string(doc), func(r rune) bool { return r >= utf8.RuneSelf }) {
			return // names of encoding/xml are those of the fourth edition
		}
		d := xml.NewDecoder(strings.NewReader(string(doc)))
		for {
			if _, err := d.RawToken(); err == io.EOF {
				return
			} else if err != nil {
				t.Fatalf("encoding/xml refuses what is accepted here: %v", err)
			}
		}
	})
}
