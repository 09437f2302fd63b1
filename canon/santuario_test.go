package canon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/oracle"
	"github.com/epov-signer/epov/internal/vectors"
)

var santuarioForms = []struct {
	name            string
	form            byte
	comments, plain string
}{
	{"c14n", oracle.SantuarioInclusive, InclusiveCommentsURI, InclusiveURI},
	{"c14n11", oracle.SantuarioInclusive11, Inclusive11CommentsURI, Inclusive11URI},
	{"exc-c14n", oracle.SantuarioExclusive, ExclusiveCommentsURI, ExclusiveURI},
}

// generateForSantuario keeps off what TestWhereSantuarioDiffers has: the root is not empty, and names are those of the
// fourth edition of XML 1.0.
func generateForSantuario(t *testing.T, seed uint64) string {
	doc := strings.ReplaceAll(generate(seed, false), "\U00010400", "hh")
	root := places(t, doc)[0]
	if empty, ok := strings.CutSuffix(doc[:root.end], "/>"); ok {
		return empty + ">.</" + doc[root.start+1:root.name] + ">" + doc[root.end:]
	}
	end := strings.LastIndex(doc[:root.end], "</")
	return doc[:end] + "." + doc[end:]
}

func TestWholeDocumentsLikeSantuario(t *testing.T) {
	documents := many(400)
	for _, c := range santuarioForms {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(documents) {
				doc := generateForSantuario(t, 6000+seed)
				nodes := doc
				if c.form == oracle.SantuarioInclusive { // TestWhereSantuarioDiffers says why
					nodes = strings.ReplaceAll(doc, "xml:", "x.")
				}
				for _, test := range []struct {
					doc  string
					form byte
					uri  string
				}{
					{doc, c.form, c.plain},
					{doc, c.form + oracle.SantuarioComments, c.comments},
					{nodes, c.form + oracle.SantuarioNodes, c.plain},
					{nodes, c.form + oracle.SantuarioNodes + oracle.SantuarioComments, c.comments},
				} {
					want, err := oracle.Santuario(t, []byte(test.doc), test.form)
					if err != nil {
						t.Fatalf("seed %d, form %d: %v\n%q", seed, test.form, err, test.doc)
					}
					vectors.Outcome(t, "santuario c14n", fmt.Sprintf("%d %d", test.form, seed), "same octets", "same octets")
					got, err := apply([]byte(test.doc), Node{Whole: true, Comments: true}, Transform{URI: test.uri})
					if err != nil || string(got) != string(want) {
						t.Fatalf("seed %d, form %d: %v\n in %q\n got %q\nwant %q", seed, test.form, err, test.doc, got, want)
					}
				}
			}
			t.Logf("%d documents like Santuario's, as octets and as node-sets, with and without comments", documents)
		})
	}
}

// santuarioDiffers has what Santuario does otherwise than the specifications, libxml2 and we.
var santuarioDiffers = []struct{ name, doc, want string }{
	{"what follows an empty root", `<?p?><a/><?q?>`, "<?p?>\n<a></a>\n<?q?>"},                // it drops that
	{"a name of the fifth edition of XML 1.0", "<\U00010400/>", "<\U00010400></\U00010400>"}, // the JDK's parser refuses it
	{"xml: attributes of ancestors, in a node-set with the parent", // it repeats them on an element that has its own
		`<a xml:lang="ru"><b/><c xml:space="preserve">.</c></a>`, `<a xml:lang="ru"><b></b><c xml:space="preserve">.</c></a>`},
}

func TestWhereSantuarioDiffers(t *testing.T) {
	for _, c := range santuarioDiffers {
		got, err := apply([]byte(c.doc), Node{Whole: true}, Transform{URI: InclusiveURI})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
		if libxml2, err := oracle.Libxml2(t, []byte(c.doc), oracle.LibxmlInclusive); err != nil || string(libxml2) != c.want {
			t.Errorf("%s: libxml2 writes %q, %v", c.name, libxml2, err)
		}
	}
	t.Run("now", func(t *testing.T) { // it may be mended one day: told, not a failure
		for _, c := range santuarioDiffers {
			for _, nodes := range []byte{0, oracle.SantuarioNodes} {
				got, err := oracle.Santuario(t, []byte(c.doc), oracle.SantuarioInclusive+nodes)
				t.Logf("%s, nodes %d: differs %t: %q, %v", c.name, nodes, string(got) != c.want, got, err)
			}
		}
	})
}
