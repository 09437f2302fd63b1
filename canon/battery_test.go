package canon

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

// lint canonicalizes with libxml2.
func lint(t *testing.T, doc, mode string) string {
	t.Helper()
	want, err := oracle.Libxml2(t, []byte(doc), libxmlForms[mode]+oracle.LibxmlComments)
	if err != nil {
		t.Fatalf("%v\n%q", err, doc)
	}
	vectors.Outcome(t, "libxml2", fmt.Sprintf("%s %x", mode, sha256.Sum256([]byte(doc))), "same octets", "same octets")
	return string(want)
}

// many is a number of documents for a test, or a tenth of it with -short.
func many(documents int) int {
	if testing.Short() {
		return documents / 10
	}
	return documents
}

var libxmlForms = map[string]byte{
	"--c14n": oracle.LibxmlInclusive, "--c14n11": oracle.LibxmlInclusive11, "--exc-c14n": oracle.LibxmlExclusive,
}

// modes pairs libxml2's canonical forms, which keep comments here, with ours, with and without comments.
var modes = []struct{ lint, comments, plain string }{
	{"--c14n", InclusiveCommentsURI, InclusiveURI},
	{"--c14n11", Inclusive11CommentsURI, Inclusive11URI},
	{"--exc-c14n", ExclusiveCommentsURI, ExclusiveURI},
}

var comment = regexp.MustCompile(`(?s)<!--.*?-->`) // the generator writes none inside CDATA or values

func TestWholeDocumentsLikeLibxml2(t *testing.T) {
	documents := many(1500)
	for _, mode := range modes {
		t.Run(strings.Trim(mode.lint, "-"), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(documents) {
				doc := generate(seed, false)
				want := lint(t, doc, mode.lint)
				got, err := apply([]byte(doc), Node{Whole: true, Comments: true}, Transform{URI: mode.comments})
				if err != nil || string(got) != want {
					t.Fatalf("seed %d: %v\n in %q\n got %q\nwant %q", seed, err, doc, got, want)
				}
				if seed%4 > 0 {
					continue
				}
				want = lint(t, comment.ReplaceAllString(doc, ""), mode.lint)
				for _, test := range []struct {
					node Node
					uri  string
				}{
					{Node{Whole: true}, mode.plain},
					{Node{Whole: true}, mode.comments},
					{Node{Whole: true, Comments: true}, mode.plain},
				} {
					got, err := apply([]byte(doc), test.node, Transform{URI: test.uri})
					if err != nil || string(got) != want {
						t.Fatalf("seed %d without comments: %v\n in %q\n got %q\nwant %q", seed, err, doc, got, want)
					}
				}
			}
			t.Logf("%d documents like libxml2's, %d of them without comments too", documents, documents/4)
		})
	}
}

// place is an element as encoding/xml sees it.
type place struct {
	start, name, end int // offsets of '<', of the end of its name, of its end
	scope            map[string]string
	xml              map[string]string // xml: attributes of its ancestors, the nearest of each name
	own              map[string]bool   // names of its attributes and declarations
}

// places finds the elements of a document by means that are not ours. Values must need no normalisation.
func places(t *testing.T, doc string) []place {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(doc))
	var all []place
	type frame struct {
		index      int
		scope, xml map[string]string
	}
	stack := []frame{{-1, map[string]string{}, map[string]string{}}}
	for {
		start := int(d.InputOffset())
		token, err := d.RawToken()
		switch tok := token.(type) {
		case nil:
			if !errors.Is(err, io.EOF) {
				t.Fatalf("%v\n%q", err, doc)
			}
			return all
		case xml.StartElement:
			up := stack[len(stack)-1]
			here := frame{len(all), maps.Clone(up.scope), maps.Clone(up.xml)}
			own := map[string]bool{}
			for _, a := range tok.Attr {
				own[strings.TrimPrefix(a.Name.Space+":"+a.Name.Local, ":")] = true
				switch {
				case a.Name.Space == "" && a.Name.Local == "xmlns":
					here.scope[""] = a.Value
				case a.Name.Space == "xmlns":
					here.scope[a.Name.Local] = a.Value
				case a.Name.Space == "xml":
					here.xml[a.Name.Local] = a.Value
				}
			}
			name := start + len("<") + len(tok.Name.Local)
			if tok.Name.Space != "" {
				name += len(tok.Name.Space) + len(":")
			}
			all = append(all, place{start: start, name: name, scope: here.scope, xml: up.xml, own: own})
			stack = append(stack, here)
		case xml.EndElement:
			all[stack[len(stack)-1].index].end = int(d.InputOffset())
			stack = stack[:len(stack)-1]
		}
	}
}

var valueEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;")

// standalone makes a document of the element, with the context that it inherits written out.
func (p place) standalone(doc string, inherit func(local string) bool) string {
	var add strings.Builder
	for _, prefix := range slices.Sorted(maps.Keys(p.scope)) {
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		if !p.own[name] {
			fmt.Fprintf(&add, ` %s="%s"`, name, valueEscaper.Replace(p.scope[prefix]))
		}
	}
	for _, local := range slices.Sorted(maps.Keys(p.xml)) {
		if inherit(local) && !p.own["xml:"+local] {
			fmt.Fprintf(&add, ` xml:%s="%s"`, local, valueEscaper.Replace(p.xml[local]))
		}
	}
	return doc[p.start:p.name] + add.String() + doc[p.name:p.end]
}

// generateSimple generates a document that encoding/xml reads, and in which no xml:base has to be joined.
func generateSimple(seed uint64) string {
	doc := strings.ReplaceAll(generate(seed, false), "\U00010400", "hh")
	return strings.ReplaceAll(doc, "xml:base", "xml:bass")
}

func TestSubtreesLikeLibxml2(t *testing.T) {
	documents := many(1500)
	for _, mode := range modes {
		t.Run(strings.Trim(mode.lint, "-"), func(t *testing.T) {
			t.Parallel()
			inherit := map[string]func(string) bool{
				"--c14n":     func(string) bool { return true },
				"--c14n11":   func(local string) bool { return local == "lang" || local == "space" },
				"--exc-c14n": func(string) bool { return false },
			}[mode.lint]
			for seed := range uint64(documents) {
				doc := generateSimple(1000 + seed)
				all := places(t, doc)
				p := all[newRandom(seed).IntN(len(all))]
				want := lint(t, p.standalone(doc, inherit), mode.lint)
				got, err := apply([]byte(doc), Node{Element: p.start, Comments: true}, Transform{URI: mode.comments})
				if err != nil || string(got) != want {
					t.Fatalf("seed %d, offset %d: %v\n in %q\n got %q\nwant %q", seed, p.start, err, doc, got, want)
				}
			}
			t.Logf("%d elements like libxml2's", documents)
		})
	}
}

// A prefix in PrefixList behaves as if every element in its scope had an attribute with it.
func TestPrefixListLikeLibxml2(t *testing.T) {
	t.Parallel()
	documents := many(1500)
	for seed := range uint64(documents) {
		doc := generateSimple(2000 + seed)
		all := places(t, doc)
		random := newRandom(seed)
		p := all[random.IntN(len(all))]
		var list []string
		for _, prefix := range prefixes[1:] {
			if random.IntN(2) == 0 {
				list = append(list, prefix)
			}
		}
		alone := p.standalone(doc, func(string) bool { return false })
		parts := places(t, alone)
		for _, part := range slices.Backward(parts) {
			for _, prefix := range list {
				if part.scope[prefix] != "" {
					alone = alone[:part.name] + fmt.Sprintf(` %s:zz.%s=""`, prefix, prefix) + alone[part.name:]
				}
			}
		}
		want := regexp.MustCompile(` [^ :<>]+:zz\.[^ :<>]+=""`).ReplaceAllString(lint(t, alone, "--exc-c14n"), "")
		got, err := apply([]byte(doc), Node{Element: p.start, Comments: true},
			Transform{URI: ExclusiveCommentsURI, PrefixList: list})
		if err != nil || string(got) != want {
			t.Fatalf("seed %d, offset %d, list %q: %v\n in %q\n got %q\nwant %q", seed, p.start, list, err, doc, got, want)
		}
	}
	t.Logf("%d elements like libxml2's", documents)
}

// With all prefixes in PrefixList the exclusive form is the inclusive one, but for xml: attributes of ancestors.
func TestFullPrefixListIsInclusive(t *testing.T) {
	list := append([]string{"#default"}, prefixes[1:]...)
	for seed := range uint64(300) {
		doc := []byte(generate(3000+seed, false))
		want, err1 := apply(doc, Node{Whole: true}, Transform{URI: InclusiveURI})
		got, err2 := apply(doc, Node{Whole: true}, Transform{URI: ExclusiveURI, PrefixList: list})
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %v %v\n in %q\n got %q\nwant %q", seed, err1, err2, doc, got, want)
		}
	}
}

func TestCanonicalFormIsFixed(t *testing.T) {
	for seed := range uint64(300) {
		doc := []byte(generate(4000+seed, false))
		for _, f := range forms {
			once, err := apply(doc, Node{Whole: true, Comments: true}, Transform{URI: f.uri})
			if err != nil {
				t.Fatal(err)
			}
			twice, err := apply(once, Node{Whole: true, Comments: true}, Transform{URI: f.uri})
			if err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("seed %d, %s: %v\nonce  %q\ntwice %q", seed, f.uri, err, once, twice)
			}
		}
	}
}

// The SMEV transform gives the same after either canonical form, and its output is its own transform.
func TestSMEVProperties(t *testing.T) {
	accepted := 0
	for seed := range uint64(500) {
		doc := []byte(generate(5000+seed, true))
		a, err1 := apply(doc, Node{Whole: true}, smevChain...)
		b, err2 := apply(doc, Node{Whole: true}, Transform{URI: InclusiveURI}, Transform{URI: SMEVURI})
		c, err3 := apply(doc, Node{Whole: true}, Transform{URI: SMEVURI})
		if (err1 == nil) != (err2 == nil) || (err1 == nil) != (err3 == nil) || !bytes.Equal(a, b) || !bytes.Equal(a, c) {
			t.Fatalf("seed %d: %v %v %v\n%q\n%q\n%q", seed, err1, err2, err3, a, b, c)
		}
		if err1 != nil {
			continue
		}
		accepted++
		if bytes.Contains(doc, []byte("<?")) { // a dropped instruction may join two blocks
			continue
		}
		again, err := smevOctets(a)
		if err != nil || !bytes.Equal(a, again) {
			t.Fatalf("seed %d: %v\nonce  %q\ntwice %q", seed, err, a, again)
		}
	}
	if accepted < 50 {
		t.Errorf("only %d of the documents were accepted", accepted)
	}
}

func TestRelativeNamespaceIsRefused(t *testing.T) {
	for _, uri := range []string{"foo", "../a", "/x", "1a:b", "//host/path", ":x"} {
		for _, doc := range []string{`<a xmlns="` + uri + `"/>`, `<a><b xmlns:unused="` + uri + `"/></a>`} {
			for _, f := range forms {
				_, err := apply([]byte(doc), Node{Whole: true}, Transform{URI: f.uri})
				var refusal *TransformError
				if !errors.As(err, &refusal) || refusal.URI != f.uri {
					t.Errorf("%s: error %v, want a refusal", doc, err)
				}
			}
			for _, form := range libxmlForms {
				if _, err := oracle.Libxml2(t, []byte(doc), form); err == nil {
					t.Errorf("%s: libxml2 accepts it", doc)
				}
			}
		}
	}
}
