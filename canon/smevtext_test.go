package canon

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/epov-signer/epov/canon/xmltext"
)

// rule9 writes a block of character data, character by character.
func rule9(block string) string {
	if strings.Trim(block, " \t\r\n") == "" {
		return ""
	}
	var b strings.Builder
	long, unit, special := len(utf16.Encode([]rune(block))) >= 12, 0, true
	for _, r := range block {
		if long && unit%512 == 0 {
			special = true
		}
		before := b.Len()
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>' && special:
			b.WriteString("&gt;")
		case r == '\r' || r >= 0x7F && r <= 0x9F:
			fmt.Fprintf(&b, "&#x%x;", r)
		default:
			b.WriteRune(r)
		}
		escaped := b.Len()-before > len(string(r))
		special = r == ']' || long && escaped
		unit += len(utf16.Encode([]rune{r}))
	}
	return b.String()
}

// Blocks of all lengths about those that count, whole and in pieces, from memory and from a reader.
func TestBlocksByRule9(t *testing.T) {
	random := newRandom(9)
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", "]>", "]&gt;", "\r", "&#13;")
	pieces := []string{">", ">", ">>", "]", "]>", "&", "<", "\r", "\u007F", "\u0080", "\u009F", "\u00A0",
		"\u00BF", "й", "аб", "𝔸", "\uFFFD",
		"x", "xyz", " ", "привет, мир", strings.Repeat("ж", 60), strings.Repeat("q", 100), strings.Repeat("𝔸>", 30)}
	for range many(4000) {
		var block, doc strings.Builder
		doc.WriteString(`<a xmlns="urn:a">`)
		want := []int{3, 11, 12, 13, 40, 511, 512, 513, 1100}[random.IntN(9)]
		for utf16Length := 0; utf16Length < want; {
			p := pieces[random.IntN(len(pieces))]
			utf16Length += len(utf16.Encode([]rune(p)))
			block.WriteString(p)
			doc.WriteString(escape.Replace(p))
			if random.IntN(6) == 0 {
				doc.WriteString("<!-- -->")
			} else if p == "]" {
				doc.WriteString("<!---->")
			}
		}
		doc.WriteString(`</a>`)
		expected := `<ns1:a xmlns:ns1="urn:a">` + rule9(block.String()) + `</ns1:a>`
		got, err := apply([]byte(doc.String()), Node{Whole: true}, smevChain...)
		if err != nil || string(got) != expected {
			t.Fatalf("%q: %v\ngot  %q\nwant %q", doc.String(), err, got, expected)
		}
		var read bytes.Buffer
		var r io.Reader = strings.NewReader(doc.String())
		if random.IntN(2) == 0 {
			r = iotest.OneByteReader(r)
		}
		if err := ApplyReader(&read, r, Node{Whole: true}, smevChain, xmltext.Limits{}); err != nil || read.String() != expected {
			t.Fatalf("%q from a reader: %v\ngot  %q\nwant %q", doc.String(), err, read.String(), expected)
		}
	}
}

// Every octet, alone among blanks and in a run, at every place of what is looked at in one step.
func TestBlank(t *testing.T) {
	for c := range 256 {
		for length := 1; length <= 20; length++ {
			for at := range length {
				text := bytes.Repeat([]byte{' '}, length)
				text[at] = byte(c)
				run := bytes.Repeat([]byte{byte(c)}, at+1)
				if want := c <= ' '; blank(text) != want || blank(run) != want {
					t.Fatalf("blank(% X) is %v, blank(% X) is %v", text, blank(text), run, blank(run))
				}
			}
		}
	}
}
