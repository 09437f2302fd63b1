package explain

import (
	"runtime"
	"strings"
	"testing"

	"github.com/epov-signer/epov/canon/xmltext"
)

// allocated is how many octets f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The text as it stands may have tags that canonical XML does not have: they open nothing.
func TestIndentEmptyTags(t *testing.T) {
	const want = "<r>\n <a/>\n <b>\n  <c/>\n </b>\n <d/>\n</r>"
	if got := string(indent([]byte("<r><a/><b><c/></b><d/></r>"), " ", 0)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	const n = 5000
	flat := []byte("<r>" + strings.Repeat("<a/>", n) + "</r>")
	if got := len(indent(flat, "  ", 0)); got > 4*len(flat) {
		t.Errorf("%d octets of %d", got, len(flat))
	}
}

// White space about tags that lie deep takes no more memory than a few times the document.
func TestIndentIsBounded(t *testing.T) {
	const depth = 250
	deep := []byte(strings.Repeat("<a>", depth) + strings.Repeat("<b></b>", 20000) + strings.Repeat("</a>", depth))
	used := allocated(func() {
		if got := indent(deep, "    ", 0); got != nil {
			t.Errorf("%d octets of %d", len(got), len(deep))
		}
	})
	if used > 80*uint64(len(deep)) {
		t.Errorf("%d octets are used for %d", used, len(deep))
	}
}

// A text that comments cut into pieces is put together once.
func TestTreeIsLinear(t *testing.T) {
	tree := func(n int) (used uint64) {
		doc := []byte("<r>" + strings.Repeat("text<!---->", n) + "</r>")
		used = allocated(func() {
			root := newTree(doc, 0, -1, xmltext.Limits{})
			if len(root.kids) != 1 || root.kids[0].text != strings.Repeat("text", n) {
				t.Errorf("%d pieces are another text", n)
			}
		})
		return used
	}
	if small, large := tree(5000), tree(20000); large > 8*small {
		t.Errorf("%d octets, and %d for four times as many pieces", small, large)
	}
}

// However many digests and values there are to be explained, the work is bounded.
func TestSearchIsBounded(t *testing.T) {
	s := newSearch(t.Context(), xmltext.Limits{}, Options{})
	const piece = 1 << 20
	octets, verifications := 0, 0
	for part := range 2000 {
		s.next()
		for s.spend(piece) {
			octets += piece
		}
		if part < 5 && octets < maxOctets+part*leastOctets/2 {
			t.Errorf("part %d: no more than %d octets", part, octets)
		}
		for ; s.verifications > 0; s.verifications-- {
			verifications++
		}
	}
	if octets > maxOctets+moreOctets || verifications > maxVerifications+moreVerifications {
		t.Errorf("%d octets and %d verifications", octets, verifications)
	}
}
