package explain

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// EditKind is what was done to a part of a document.
type EditKind string

const (
	TextChanged      EditKind = "text"
	AttributeChanged EditKind = "attribute" // changed, added (Was is empty) or removed (Is is empty)
	NamespaceChanged EditKind = "namespace" // of an element: its name or its prefix
	ElementAdded     EditKind = "element-added"
	ElementRemoved   EditKind = "element-removed"
)

// Edit is one difference between a message and its pristine copy, as canonical XML sees them.
type Edit struct {
	Kind    EditKind
	Place   report.Place // in the message; of an element that was removed, that of its parent
	Name    string       // of the attribute or element
	Was, Is string       // cut to a bearable length
}

// Bounds of a comparison.
const (
	maxEdits     = 50
	maxTreeNodes = 1 << 17
	maxTable     = 1 << 22 // of the longest common subsequence of children
)

// tree is an element or a text of a document.
type tree struct {
	name   string // as written; empty for a text
	space  string
	attrs  []smevAttr
	text   string
	pieces []string // to be added to text when all are known: comments and CDATA sections cut it up
	kids   []*tree
	offset int
	end    int
	sum    uint64 // of all of it
}

var treeSeed = maphash.MakeSeed()

// newTree reads the element that starts at an offset; nil when it is too large.
func newTree(doc []byte, start int, omit int, limits xmltext.Limits) *tree {
	t := xmltext.NewTokenizer(doc, limits)
	var open []*tree
	var root *tree
	count, skipping := 0, 0
	for {
		kind, err := t.Next()
		if err != nil || kind == xmltext.EOF {
			return root
		}
		inside := len(open) > 0 || kind == xmltext.StartElement && root == nil && t.Span().Start >= start
		if !inside {
			continue
		}
		if skipping > 0 || kind == xmltext.StartElement && t.Span().Start == omit {
			switch kind {
			case xmltext.StartElement:
				skipping++
			case xmltext.EndElement:
				skipping--
			}
			continue
		}
		if count++; count > maxTreeNodes {
			return nil
		}
		switch kind {
		case xmltext.StartElement:
			n := &tree{name: string(t.QName()), space: string(t.Name().Space), offset: t.Span().Start}
			for _, a := range t.Attrs() {
				n.attrs = append(n.attrs, smevAttr{string(a.Space), string(a.Local), string(a.Prefix), string(a.Value)})
			}
			slices.SortFunc(n.attrs, func(a,
				b smevAttr) int {
				return cmp.Or(cmp.Compare(a.space, b.space), cmp.Compare(a.local, b.local))
			})
			if len(open) > 0 {
				open[len(open)-1].kids = append(open[len(open)-1].kids, n)
			} else {
				root = n
			}
			open = append(open, n)
		case xmltext.EndElement:
			n := open[len(open)-1]
			n.end = t.Span().End
			n.seal()
			if open = open[:len(open)-1]; len(open) == 0 {
				return root
			}
		case xmltext.Text:
			n := open[len(open)-1]
			if last := len(n.kids) - 1; last >= 0 && n.kids[last].name == "" {
				n.kids[last].pieces = append(n.kids[last].pieces, string(t.Text()))
			} else {
				n.kids = append(n.kids, &tree{text: string(t.Text()), offset: t.Span().Start, end: t.Span().End})
			}
		}
	}
}

func (n *tree) seal() {
	var h maphash.Hash
	h.SetSeed(treeSeed)
	add := func(parts ...string) {
		for _, s := range parts {
			h.WriteString(s)
			h.WriteByte(0)
		}
	}
	add(n.name, n.space)
	for _, a := range n.attrs {
		add(a.space, a.local, a.value)
	}
	for _, k := range n.kids {
		if k.name == "" {
			if k.pieces != nil {
				k.text, k.pieces = k.text+strings.Join(k.pieces, ""), nil
			}
			k.sum = maphash.String(treeSeed, k.text) | 1
		}
		h.WriteByte(1)
		for i := range 8 {
			h.WriteByte(byte(k.sum >> (8 * i)))
		}
	}
	n.sum = h.Sum64()
}

// comparer collects edits.
type comparer struct {
	doc   []byte
	edits []Edit
}

func (c *comparer) add(kind EditKind, at, end int, path, name, was, is string) {
	if len(c.edits) == maxEdits {
		return
	}
	line, column := xmltext.Position(c.doc, at)
	c.edits = append(c.edits, Edit{
		Kind: kind, Name: clip(name), Was: excerpt(was), Is: excerpt(is),
		Place: report.Place{Offset: at, End: end, Line: line, Column: column, Path: clip(path)},
	})
}

func excerpt(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// compare says what became of was in the document.
func (c *comparer) compare(path string, was, is *tree) {
	if was.sum == is.sum || len(c.edits) == maxEdits {
		return
	}
	if was.name == "" {
		if was.text != is.text {
			c.add(TextChanged, is.offset, is.end, path+"/text()", "", was.text, is.text)
		}
		return
	}
	path += "/" + is.name
	if was.name != is.name || was.space != is.space {
		c.add(NamespaceChanged, is.offset, is.end, path, is.name, "{"+was.space+"}"+was.name, "{"+is.space+"}"+is.name)
	}
	c.attributes(path, was, is)
	c.kids(path, was, is)
}

func (c *comparer) attributes(path string, was, is *tree) {
	find := func(list []smevAttr, a smevAttr) (string, bool) {
		for _, b := range list {
			if b.space == a.space && b.local == a.local {
				return b.value, true
			}
		}
		return "", false
	}
	for _, a := range is.attrs {
		if old, ok := find(was.attrs, a); !ok || old != a.value {
			c.add(AttributeChanged, is.offset, is.end, path+"/@"+a.local, a.local, old, a.value)
		}
	}
	for _, a := range was.attrs {
		if _, ok := find(is.attrs, a); !ok {
			c.add(AttributeChanged, is.offset, is.end, path+"/@"+a.local, a.local, a.value, "")
		}
	}
}

// kids pairs the children of two elements: equal ones first, then by name in order.
func (c *comparer) kids(path string, was, is *tree) {
	a, b := was.kids, is.kids
	for len(a) > 0 && len(b) > 0 && a[0].sum == b[0].sum {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1].sum == b[len(b)-1].sum {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	for _, pair := range align(a, b) {
		switch {
		case pair[0] == nil && pair[1].name == "":
			c.add(TextChanged, pair[1].offset, pair[1].end, path+"/text()", "", "", pair[1].text)
		case pair[1] == nil && pair[0].name == "":
			c.add(TextChanged, is.offset, is.end, path+"/text()", "", pair[0].text, "")
		case pair[0] == nil:
			c.add(ElementAdded, pair[1].offset, pair[1].end, path+"/"+pair[1].name, pair[1].name, "", "")
		case pair[1] == nil:
			c.add(ElementRemoved, is.offset, is.end, path+"/"+pair[0].name, pair[0].name, "", "")
		default:
			c.compare(path, pair[0], pair[1])
		}
	}
}

// align pairs children by a longest common subsequence of names; what has no partner is paired with nil.
func align(a, b []*tree) [][2]*tree {
	var out [][2]*tree
	if len(a)*len(b) > maxTable {
		for i := range max(len(a), len(b)) {
			var pair [2]*tree
			if i < len(a) {
				pair[0] = a[i]
			}
			if i < len(b) {
				pair[1] = b[i]
			}
			if pair[0] != nil && pair[1] != nil && (pair[0].name == "") != (pair[1].name == "") {
				out = append(out, [2]*tree{pair[0], nil}, [2]*tree{nil, pair[1]})
				continue
			}
			out = append(out, pair)
		}
		return out
	}
	// best[i][j] is the worth of the best pairing of a[i:] and b[j:]: equal pairs count more than pairs of a name.
	width := len(b) + 1
	best := make([]int32, (len(a)+1)*width)
	worth := func(x, y *tree) int32 {
		switch {
		case x.sum == y.sum:
			return 3
		case x.name == y.name:
			return 2
		}
		return 0
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			v := max(best[(i+1)*width+j], best[i*width+j+1])
			if w := worth(a[i], b[j]); w > 0 {
				v = max(v, best[(i+1)*width+j+1]+w)
			}
			best[i*width+j] = v
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && worth(a[i], b[j]) > 0 &&
			best[i*width+j] == best[(i+1)*width+j+1]+worth(a[i], b[j]):
			out = append(out, [2]*tree{a[i], b[j]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || best[(i+1)*width+j] >= best[i*width+j+1]):
			out = append(out, [2]*tree{a[i], nil})
			i++
		default:
			out = append(out, [2]*tree{nil, b[j]})
			j++
		}
	}
	return out
}

// pristine is what is known of the copy.
type pristine struct {
	index *index
	parts []xmldsig.Parts
}

func newPristine(doc []byte, limits xmltext.Limits) (*pristine, error) {
	parts, err := xmldsig.Dissect(doc, limits)
	if err != nil {
		return nil, err
	}
	return &pristine{newIndex(doc, limits), parts}, nil
}

// edits compares what a Reference covers with the copy, and says so if the copy matches.
func (e *xmlExplainer) edits(f *Finding, r *referenceSearch) {
	if e.copy == nil {
		return
	}
	node, ok := e.copy.target(r, e.index)
	if !ok {
		f.What = append(f.What, "the pristine copy has no element of this Id")
		return
	}
	src := r.base
	src.doc, src.node, src.end = e.copy.index.doc, node, len(e.copy.index.doc)
	src.signature = e.copy.signature(f.Signature)
	octets, err := e.run(&src)
	if err != nil {
		f.What = append(f.What, "the transforms refuse the pristine copy")
		return
	}
	mistakes, _, matches := r.wanted.match(e.search, octets, false)
	matches = matches && len(mistakes) == 0
	switch {
	case matches && !f.Known():
		f.Mistakes = []Mistake{ContentEdited}
		r.hit = octets
		f.Difference = difference(r.octets, octets)
	case !matches && !f.Known():
		f.What = append(f.What, "the pristine copy does not match the digest either")
	}
	f.Edits = e.compareWith(src, r)
}

func (e *xmlExplainer) compareWith(src source, r *referenceSearch) []Edit {
	omit := -1
	if slices.ContainsFunc(src.chain, func(t canon.Transform) bool { return t.URI == canon.EnvelopedURI }) {
		omit = r.base.signature
	}
	is := newTree(e.index.doc, r.base.node.Element, omit, e.limits)
	was := newTree(src.doc, src.node.Element, src.signature, e.limits)
	if is == nil || was == nil {
		return nil
	}
	if slices.ContainsFunc(src.chain, func(t canon.Transform) bool { return t.URI == canon.SMEVURI }) {
		is.withoutBlanks()
		was.withoutBlanks()
	}
	c := &comparer{doc: e.index.doc}
	parent := ""
	if n := e.index.at(is.offset); n >= 0 {
		path := e.index.place(n).Path
		parent = strings.TrimSuffix(path, "/"+e.index.elements[n].name)
	}
	c.compare(parent, was, is)
	return c.edits
}

// withoutBlanks drops what the SMEV transform drops, and prefixes, which it renames.
func (n *tree) withoutBlanks() {
	n.kids = slices.DeleteFunc(n.kids, func(k *tree) bool { return k.name == "" && smevBlank(k.text) })
	for _, k := range n.kids {
		if k.name != "" {
			k.withoutBlanks()
		}
	}
	if _, local, ok := strings.Cut(n.name, ":"); ok {
		n.name = local
	}
	n.seal()
}

// target finds in the copy what a Reference means in the message.
func (p *pristine) target(r *referenceSearch, x *index) (canon.Node, bool) {
	if r.base.node.Whole {
		return canon.Node{Whole: true}, true
	}
	id, _ := strings.CutPrefix(r.ref.URI, "#")
	name := ""
	if r.target >= 0 {
		name = x.elements[r.target].name
	}
	same := -1
	for _, e := range p.index.elements {
		for _, a := range e.ids {
			if a.value == id {
				return canon.Node{Element: e.start}, true
			}
		}
		if same < 0 && e.name == name {
			same = e.start // the copy may be from before the Id was added
		}
	}
	return canon.Node{Element: max(same, 0)}, same >= 0
}

// signature is the offset of the copy's signature of that number, -1 when it was not there yet.
func (p *pristine) signature(n int) int {
	if n < len(p.parts) {
		return p.parts[n].Place.Offset
	}
	return -1
}

// editedInfo compares SignedInfo with that of the copy.
func (e *xmlExplainer) editedInfo(f *Finding, info []byte, values []reading, keys []candidateKey) {
	if e.copy == nil || f.Signature >= len(e.copy.parts) || e.copy.parts[f.Signature].Err != nil || len(values) == 0 {
		return
	}
	parts := &e.copy.parts[f.Signature]
	src := source{
		doc: e.copy.index.doc, node: canon.Node{Element: parts.SignedInfo.Offset, Comments: true}, end: parts.SignedInfo.End,
		chain: []canon.Transform{parts.C14N},
	}
	octets, err := e.run(&src)
	if err != nil || bytes.Equal(octets, info) {
		return
	}
	is, was := newTree(e.index.doc, f.Place.Offset, -1, e.limits), newTree(src.doc, src.node.Element, -1, e.limits)
	if is == nil || was == nil {
		return
	}
	if stated := gost.AlgorithmByURI(parts.Method); stated != nil && !f.Known() && rightNow(octets, values[0].octets, keys, stated) {
		f.Mistakes, f.Difference = []Mistake{ContentEdited}, difference(info, octets)
	}
	c := &comparer{doc: e.index.doc}
	c.compare(strings.TrimSuffix(f.Place.Path, "/"+is.name), was, is)
	f.Edits = c.edits
}
