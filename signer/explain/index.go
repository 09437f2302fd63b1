package explain

import (
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/signer/report"
)

// maxElements bounds the elements that are kept of a document; of a longer one, only the beginning has names.
const maxElements = 1 << 18

// index is where the elements of a document are.
type index struct {
	doc      []byte
	elements []element
	byStart  map[int]int
}

type element struct {
	start, tagEnd, end int // of the start tag, and of the whole
	parent, depth      int
	name               string // as written
	ids                []idAttribute
}

// idAttribute is an attribute that may be meant as an Id.
type idAttribute struct{ name, value string }

// newIndex reads a document that is known to be well-formed.
func newIndex(doc []byte, limits xmltext.Limits) *index {
	x := &index{doc: doc, byStart: map[int]int{}}
	t := xmltext.NewTokenizer(doc, limits)
	var open []int
	for {
		kind, err := t.Next()
		if err != nil || kind == xmltext.EOF {
			return x
		}
		switch kind {
		case xmltext.StartElement:
			if len(x.elements) == maxElements {
				open = append(open, -1)
				continue
			}
			span := t.Span()
			e := element{start: span.Start, tagEnd: span.End, parent: -1, depth: len(open), name: string(t.QName())}
			if len(open) > 0 {
				e.parent = open[len(open)-1]
			}
			for _, a := range t.Attrs() {
				if strings.EqualFold(string(a.Local), "id") && len(e.ids) < 4 {
					name := string(a.Local)
					if len(a.Prefix) > 0 {
						name = string(a.Prefix) + ":" + name
					}
					e.ids = append(e.ids, idAttribute{name, string(a.Value)})
				}
			}
			open = append(open, len(x.elements))
			x.byStart[e.start] = len(x.elements)
			x.elements = append(x.elements, e)
		case xmltext.EndElement:
			if n := open[len(open)-1]; n >= 0 {
				x.elements[n].end = t.Span().End
			}
			open = open[:len(open)-1]
		}
	}
}

// at finds an element by the offset of its start tag; -1 when it is not kept.
func (x *index) at(start int) int {
	if n, ok := x.byStart[start]; ok {
		return n
	}
	return -1
}

func (x *index) text(n int) []byte { return x.doc[x.elements[n].start:x.elements[n].end] }

// place says where an element is.
func (x *index) place(n int) report.Place {
	e := &x.elements[n]
	line, column := xmltext.Position(x.doc, e.start)
	var steps []string
	for i := n; i >= 0; i = x.elements[i].parent {
		steps = append(steps, x.elements[i].name)
	}
	slices.Reverse(steps)
	return report.Place{Offset: e.start, End: e.end, Line: line, Column: column, Path: clip("/" + strings.Join(steps, "/"))}
}

// clip bounds what is told of a document.
func clip(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// maxOthers bounds the elements that are tried in place of the one referred to.
const maxOthers = 24

// others are elements that may have been meant instead of n, nearest first: those about it, those with an Id, the root.
func (x *index) others(n int) []int {
	var out []int
	add := func(i int) {
		if i >= 0 && i != n && len(out) < maxOthers && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	if n >= 0 {
		add(x.elements[n].parent)
		for i := n + 1; i < len(x.elements) && x.elements[i].start < x.elements[n].end && len(out) < 8; i++ {
			if x.elements[i].parent == n {
				add(i)
			}
		}
	}
	for i := range x.elements {
		if len(x.elements[i].ids) > 0 {
			add(i)
		}
	}
	for i := n; i >= 0; i = x.elements[i].parent {
		add(i)
	}
	if len(x.elements) > 0 {
		add(0)
	}
	return out
}
