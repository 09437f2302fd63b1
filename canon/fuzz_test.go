package canon

import (
	"bytes"
	"errors"
	"regexp"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

func seeds(f *testing.F) {
	vectors.Seed(f, "smev-transform/*.in.xml", "gost/xmldsig/3*.xml")
	for seed := range uint64(5) {
		f.Add([]byte(generate(seed, false)))
	}
}

// known fails the test when err is of a kind that Apply does not promise.
func known(t *testing.T, err error) {
	var syntax *xmltext.SyntaxError
	var transform *TransformError
	if err != nil && !errors.As(err, &syntax) && !errors.As(err, &transform) {
		t.Fatal(err)
	}
}

func FuzzCanonical(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, c := range forms {
			node := Node{Whole: true, Comments: true}
			once, err := apply(doc, node, Transform{URI: c.uri})
			if err != nil {
				known(t, err)
				continue
			}
			twice, err := apply(once, node, Transform{URI: c.uri})
			if err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%s: %v\nonce  %q\ntwice %q", c.uri, err, once, twice)
			}
			chained, err := apply(doc, node, Transform{URI: c.uri}, Transform{URI: c.uri})
			if err != nil || !bytes.Equal(once, chained) {
				t.Fatalf("%s in a chain: %v\nonce  %q\ntwice %q", c.uri, err, once, chained)
			}
		}
		// any element of an accepted document can be selected, and the exclusive form of it is a fixed point
		tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
		for range 20 {
			kind, err := tok.Next()
			if err != nil || kind == xmltext.EOF {
				return
			}
			if kind != xmltext.StartElement {
				continue
			}
			for _, c := range forms {
				once, err := apply(doc, Node{Element: tok.Span().Start}, Transform{URI: c.uri})
				if err != nil {
					known(t, err)
					continue
				}
				twice, err := apply(once, Node{Whole: true}, Transform{URI: c.uri})
				if err != nil || !bytes.Equal(once, twice) {
					t.Fatalf("%s of the element at %d: %v\nonce  %q\ntwice %q", c.uri, tok.Span().Start, err, once, twice)
				}
			}
		}
	})
}

func FuzzSMEV(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		staged, err := apply(doc, Node{Whole: true}, smevChain...)
		if err != nil {
			known(t, err)
			return
		}
		implicit, err := apply(doc, Node{Whole: true}, Transform{URI: SMEVURI})
		if err != nil { // the inclusive form shows more namespaces, and refuses relative ones
			known(t, err)
		} else if !bytes.Equal(staged, implicit) {
			t.Fatalf("inclusive first:\n%q\n%q", staged, implicit)
		}
		if bytes.Contains(doc, []byte("<?")) { // a dropped instruction may join two blocks
			return
		}
		again, err := apply(staged, Node{Whole: true}, smevChain...)
		if err != nil || !bytes.Equal(staged, again) {
			t.Fatalf("%v\nonce  %q\ntwice %q", err, staged, again)
		}
	})
}

// FuzzAgainstLibxml2 holds what is accepted here against libxml2, which accepts more.
func FuzzAgainstLibxml2(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, mode := range modes {
			got, err := apply(doc, Node{Whole: true, Comments: true}, Transform{URI: mode.comments})
			if err != nil {
				known(t, err)
				continue
			}
			want, err := oracle.Libxml2(t, doc, libxmlForms[mode.lint]+oracle.LibxmlComments)
			if err == oracle.ErrLibxml2Refuses && !ordinaryNames(doc) {
				return // it parses namespace names as URIs, beyond telling absolute ones from others
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: %v\n in %q\n got %q\nwant %q", mode.lint, err, doc, got, want)
			}
		}
	})
}

var ordinaryName = regexp.MustCompile(`^([A-Za-z]+:[A-Za-z0-9.:/_-]+)?$`)

// ordinaryNames reports whether all namespace names of a document are URIs beyond doubt.
func ordinaryNames(doc []byte) bool {
	tok := xmltext.NewTokenizer(doc, xmltext.Limits{})
	for {
		kind, err := tok.Next()
		if err != nil || kind == xmltext.EOF {
			return true
		}
		for _, b := range tok.Declared() {
			if !ordinaryName.Match(b.URI) {
				return false
			}
		}
	}
}
