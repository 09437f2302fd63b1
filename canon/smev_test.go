package canon

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/vectors"
)

var smevChain = []Transform{{URI: ExclusiveURI}, {URI: SMEVURI}}

// smevOctets is the SMEV transform alone, on octets.
func smevOctets(doc []byte) ([]byte, error) {
	var out bytes.Buffer
	p := new(processor)
	p.stages = make([]stage, 1)
	err := p.stage(0, doc, &out, xmltext.Limits{})
	return out.Bytes(), err
}

func apply(doc []byte, node Node, chain ...Transform) ([]byte, error) {
	var out bytes.Buffer
	err := Apply(&out, doc, node, chain, xmltext.Limits{})
	return out.Bytes(), err
}

// The rows that the official documents print are read in place, see package vectors.
func officialSMEV(id string) bool { return id <= "007" || id == "037" || id == "053" }

// smevFile reads a file of a case; ok is false when the case has no such file.
func smevFile(t *testing.T, name string, official bool) (data []byte, ok bool) {
	t.Helper()
	path := vectors.Path("smev-transform/" + name)
	if official {
		path = filepath.Join(vectors.Others(t), "smev-transform", name)
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return data, err == nil
}

func TestSMEVVectors(t *testing.T) {
	passed, refused := 0, 0
	for _, row := range vectors.TSV(t, vectors.Read, "smev-transform/cases.tsv") {
		id := row["id"]
		t.Run(id, func(t *testing.T) {
			in, ok := smevFile(t, id+".in.xml", officialSMEV(id))
			if !ok {
				t.Fatal("no input")
			}
			want, accepted := smevFile(t, id+".out.xml", officialSMEV(id))
			raw, errRaw := smevOctets(in)
			whole, errWhole := apply(in, Node{Whole: true}, smevChain...)
			root, errRoot := apply(in, Node{Element: rootOffset(t, in)}, smevChain...)
			vectors.Outcome(t, "smev transform", id, map[bool]string{true: "same octets", false: "invalid"}[accepted],
				map[bool]string{true: "same octets", false: "invalid"}[errWhole == nil])
			switch {
			case strings.HasPrefix(row["feature"], "DOCTYPE"): // refused by policy, whatever the reference does
				for _, err := range []error{errRaw, errWhole} {
					var syntax *xmltext.SyntaxError
					if !errors.As(err, &syntax) || syntax.Reason != xmltext.Doctype {
						t.Errorf("error %v, want a refusal of the DOCTYPE", err)
					}
				}
				refused++
				return
			case !accepted:
				for _, err := range []error{errRaw, errWhole, errRoot} {
					var transform *TransformError
					if !errors.As(err, &transform) || transform.URI != SMEVURI {
						t.Errorf("error %v, want a refusal by the SMEV transform", err)
					}
				}
				refused++
				return
			}
			if errRaw != nil || !bytes.Equal(raw, want) {
				t.Errorf("on octets: %v\n got %q\nwant %q", errRaw, raw, want)
			}
			if other, ok := smevFile(t, id+".c14n.out.xml", officialSMEV(id)); ok {
				want = other
			}
			if errWhole != nil || !bytes.Equal(whole, want) {
				t.Errorf("after exclusive C14N of the document: %v\n got %q\nwant %q", errWhole, whole, want)
			}
			if errRoot != nil || !bytes.Equal(root, want) {
				t.Errorf("after exclusive C14N of the root: %v\n got %q\nwant %q", errRoot, root, want)
			}
			again, err := smevOctets(raw)
			if same := bytes.Equal(again, raw); err != nil || same == (id == "013") {
				t.Errorf("transformed twice: %v, same %t", err, same) // in 013 a dropped PI joins two blocks
			}
			if !t.Failed() {
				passed++
			}
		})
	}
	t.Logf("smev-transform: %d passed on octets and after exclusive C14N, %d refused as due", passed, refused)
}

// rootOffset is where the root element starts; 0 for a document that is refused before.
func rootOffset(t *testing.T, doc []byte) int {
	t.Helper()
	tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
	for {
		kind, err := tok.Next()
		if err != nil {
			return 0
		}
		if kind == xmltext.StartElement {
			return tok.Span().Start
		}
	}
}

func TestCompareUTF16(t *testing.T) {
	words := []string{"", "a", "b", "ab", "\uD7FF", "\uE000", "\uFB00", "\uFFFD", "\U00010000", "\U0001F600", "\U0010FFFD",
		"x\uFB00", "x\U0001F600", "я", "ё", "Ё", "А"}
	for _, a := range words {
		for _, b := range words {
			want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
			if got := compareUTF16([]byte(a), []byte(b)); got != want {
				t.Errorf("compareUTF16(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// textModel is rule 9 for text, written down again over UTF-16 code units and pieces.
func textModel(text string) string {
	units := utf16.Encode([]rune(text))
	size := 512
	long := len(units) >= 12
	if !long {
		size = 12
	}
	escaped := make([]string, len(units))
	for start := 0; start < len(units); start += size {
		for i := start; i < min(start+size, len(units)); i++ {
			switch u := units[i]; {
			case u == '<':
				escaped[i] = "&lt;"
			case u == '&':
				escaped[i] = "&amp;"
			case u == '\r':
				escaped[i] = "&#xd;"
			case u >= 0x7F && u <= 0x9F:
				escaped[i] = "&#x" + strings.ToLower(string("0123456789ABCDEF"[u>>4])+string("0123456789ABCDEF"[u&15])) + ";"
			case u == '>' && (i == start || units[i-1] == ']' || long && escaped[i-1] != ""):
				escaped[i] = "&gt;"
			}
		}
	}
	var b strings.Builder
	i := 0
	for _, r := range text {
		n := utf16.RuneLen(r)
		if escaped[i] != "" {
			b.WriteString(escaped[i])
		} else {
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func TestSMEVText(t *testing.T) {
	random := newRandom(7)
	alphabet := []string{">", ">", "]", "<", "&", "\r", "\n", "a", "я", "\U0001F600", "\u0085", "\u007f", "\""}
	for range 3000 {
		n := random.IntN(30)
		if random.IntN(10) == 0 {
			n = 500 + random.IntN(600)
		}
		var text strings.Builder
		text.WriteString("x"[:random.IntN(2)])
		for range n {
			if random.IntN(3) > 0 && n > 100 {
				text.WriteByte('b')
				continue
			}
			text.WriteString(alphabet[random.IntN(len(alphabet))])
		}
		if strings.Trim(text.String(), "\r\n") == "" {
			continue
		}
		doc := "<a xmlns='urn:a'>" + strings.NewReplacer("<", "&lt;", "&", "&amp;", ">", "&gt;", "\r", "&#13;").
			Replace(text.String()) + "</a>"
		want := `<ns1:a xmlns:ns1="urn:a">` + textModel(text.String()) + "</ns1:a>"
		got, err := smevOctets([]byte(doc))
		if err != nil || string(got) != want {
			t.Fatalf("%q: %v\n got %q\nwant %q", text.String(), err, got, want)
		}
	}
}

func TestSMEVRefusals(t *testing.T) {
	for _, test := range []struct{ doc, message string }{
		{`<a/>`, `element "a" has no namespace`},
		{`<a xmlns="urn:a"><b xmlns=""/></a>`, `element "b" has no namespace`},
		{`<a xmlns="urn:a" xml:lang="ru"/>`, `attribute xml:lang of the element "a"`},
		{`<a xmlns="urn:a" xml:id="x"/>`, `attribute xml:id of the element "a"`},
		{`<xml:a/>`, `element "a" in the namespace of the prefix xml`},
	} {
		_, err := smevOctets([]byte(test.doc))
		var transform *TransformError
		if !errors.As(err, &transform) || transform.URI != SMEVURI || transform.Message != test.message {
			t.Errorf("%s: error %v, want %s", test.doc, err, test.message)
		}
	}
}
