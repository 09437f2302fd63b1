package xmldsig

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/signer/report"
)

// An outline is what one pass over the tokens keeps of a document: the elements that signatures are concerned with, those
// with an Id, and their ancestors. The rest leaves no trace, so memory follows the number of such elements, not the length
// of the document.
type outline struct {
	doc        []byte
	nodes      []node           // in document order
	signatures []int            // ds:Signature elements, in document order
	includes   []int            // xop:Include elements, in document order
	bearers    map[string]id    // Id -> the first element that has it
	twice      map[string]clash // Ids on more than one element
	sharing    map[string][]int // the elements that have such Ids, by sharers, nil before

	body       int    // soap:Body of the envelope, -1 when there is none
	marks      []mark // positions known, ascending
	operations []int  // what may be a SMEV message's operation: the kept children of soap:Body, or the root
	places     map[int]report.Place

	// While reading.
	tok     xmltext.Tokenizer
	frames  []frame           // the open elements
	classes []vocabulary      // of the namespace declarations in scope
	attrs   []attribute       // backs those of the nodes
	names   map[string]string // outlives the document: the same names come again
	ahead   ahead
}

// frame is an open element. Most of them never become nodes.
type frame struct {
	tag      xmltext.Span
	qname    []byte
	binding  int // of the name
	from, to int // its own declarations
	children int
	node     int // -1 until it is kept
}

type id struct {
	node     int
	declared bool
}

type clash struct {
	first, second int
	declared      bool // by isDeclaredID on both
}

// node is an element.
type node struct {
	parent   int    // index, -1 for the root
	sym      string // "ds:Signature", "t:Request", …: fixed symbol and local name; empty in foreign namespaces
	version  string // of the vocabulary
	space    string
	local    string
	qname    string       // as written
	tag, end xmltext.Span // of the start tag and of the end tag, which is empty for an empty-element tag
	attrs    []attribute  // of foreign elements, only the Ids
	declared []binding
	children int    // element children, kept or not
	filled   bool   // holds character data other than blanks; not kept for foreign elements
	text     []byte // for elements in textual
}

type attribute struct{ space, local, value string }

type binding struct{ prefix, uri string }

// textual names the elements whose text is of interest.
var textual = map[string]bool{
	"ds:DigestValue": true, "ds:SignatureValue": true, "ds:X509Certificate": true, "ds:XPath": true, "xf:XPath": true,
	"ds:X509IssuerName": true, "ds:X509SerialNumber": true, "wsse:BinarySecurityToken": true,
	"wsse:KeyIdentifier": true,
	"xades:SigningTime":  true, "xades:IssuerSerialV2": true, "xades:Identifier": true, "xades:ObjectReference": true,
	"xades:EncapsulatedTimeStamp": true, "xades:EncapsulatedX509Certificate": true,
}

const (
	maxNames    = 1024 // in the table of names
	maxNameText = 128  // octets of one of them
	maxKeep     = 4096 // nodes of an outline that is used again
)

var outlines = sync.Pool{New: func() any {
	return &outline{
		bearers: map[string]id{}, twice: map[string]clash{}, places: map[int]report.Place{},
		names: map[string]string{},
	}
}}

// release gives o back. Nothing of it may be in use any more.
func (o *outline) release() {
	if cap(o.nodes) > maxKeep || cap(o.attrs) > maxKeep || cap(o.frames) > maxKeep {
		return
	}
	o.doc, o.sharing = nil, nil
	o.ahead.release()
	o.tok.Reset(nil, xmltext.Limits{})
	clear(o.nodes)
	clear(o.attrs)
	clear(o.frames[:cap(o.frames)])
	clear(o.bearers)
	clear(o.twice)
	clear(o.places)
	if len(o.names) >= maxNames {
		clear(o.names)
	}
	o.nodes, o.attrs, o.frames, o.classes = o.nodes[:0], o.attrs[:0], o.frames[:0], o.classes[:0]
	o.signatures, o.includes, o.marks, o.operations = o.signatures[:0], o.includes[:0], o.marks[:0], nil
	outlines.Put(o)
}

// locate reads the whole document, and makes the octets of what is foreseen to be digested. Errors are *report.Error. The
// outline should be released.
func locate(doc []byte, limits xmltext.Limits, foreseen foresight) (*outline, error) {
	o := outlines.Get().(*outline)
	o.doc = doc
	if len(doc) > maxAheadOctets {
		foreseen = nil
	}
	o.ahead.foresight, o.ahead.limits = foreseen, limits
	t := &o.tok
	t.Reset(doc, limits)
	for {
		kind, err := t.Next()
		if err != nil {
			return nil, asError(err)
		}
		if len(o.ahead.running) > 0 {
			o.ahead.step(t, kind)
		}
		switch kind {
		case xmltext.EOF:
			o.enter()
			return o, nil
		case xmltext.StartElement:
			if o.start(t) && foreseen != nil {
				o.foresee(t)
			}
			if n := len(o.nodes); n > maxElements {
				return nil, o.fail(report.XMLLimit, n-1, "more than %d elements that signatures are concerned with", maxElements)
			}
		case xmltext.EndElement:
			last := len(o.frames) - 1
			if n := o.frames[last].node; n >= 0 {
				o.nodes[n].end = t.Span()
			}
			o.frames = o.frames[:last]
		case xmltext.Text:
			if len(o.frames) == 0 {
				continue
			}
			f := &o.frames[len(o.frames)-1]
			if f.node < 0 || o.nodes[f.node].sym == "" {
				continue
			}
			n, text := &o.nodes[f.node], t.Text()
			if !n.filled && len(bytes.Trim(text, blanks)) > 0 {
				n.filled = true
			}
			switch {
			case !textual[n.sym]:
			case len(n.text) == 0 && t.Shape() == xmltext.Plain: // which is part of the document
				n.text = text[:len(text):len(text)]
			default:
				n.text = append(n.text, text...)
			}
		}
	}
}

const blanks = " \t\r\n"

// start opens an element, and keeps it if it matters.
func (o *outline) start(t *xmltext.Tokenizer) (keep bool) {
	binding, from, to := t.NameBinding(), t.FirstDeclared(), t.Bindings()
	o.classes = o.classes[:from]
	for i := from; i < to; i++ {
		class, _ := vocabularyOf(t.Binding(i).URI, o.intern)
		o.classes = append(o.classes, class)
	}
	keep = len(o.frames) == 0 || binding >= 0 && o.classes[binding].symbol != ""
	if len(o.frames) > 0 {
		p := &o.frames[len(o.frames)-1]
		children := &p.children
		if p.node >= 0 {
			n := &o.nodes[p.node]
			children = &n.children
			// A second child is refused by its number.
			keep = keep || n.children == 0 && n.sym == "b:MessagePrimaryContent"
		}
		*children++
	}
	if attrs := t.Attrs(); !keep {
		for i := range attrs {
			keep = keep || isID(attrs[i].Space, attrs[i].Local)
		}
	}
	if len(o.frames) == cap(o.frames) {
		o.frames = slices.Grow(o.frames, 1)
	}
	o.frames = o.frames[:len(o.frames)+1]
	o.frames[len(o.frames)-1] = frame{tag: t.Span(), qname: t.QName(), binding: binding, from: from, to: to, node: -1}
	if keep {
		o.keep(t)
	}
	return keep
}

// keep makes nodes of the open elements that are none yet: ancestors before what they hold, which is document order.
func (o *outline) keep(t *xmltext.Tokenizer) {
	i := len(o.frames)
	for i > 0 && o.frames[i-1].node < 0 {
		i--
	}
	for ; i < len(o.frames); i++ {
		o.node(t, i)
	}
	index := len(o.nodes) - 1
	n := &o.nodes[index]
	from := len(o.attrs)
	for _, a := range t.Attrs() {
		id := isID(a.Space, a.Local)
		if n.sym == "" && !id {
			continue
		}
		kept := attribute{space: o.intern(a.Space), local: o.intern(a.Local)}
		if kept.local == "Algorithm" {
			kept.value = o.intern(a.Value)
		} else {
			kept.value = string(a.Value)
		}
		o.attrs = append(o.attrs, kept)
		if id {
			o.bear(kept.value, index, isDeclaredID(kept.space, kept.local))
		}
	}
	n.attrs = o.attrs[from:len(o.attrs):len(o.attrs)]
	switch n.sym {
	case "ds:Signature":
		o.signatures = append(o.signatures, index)
	case "xop:Include":
		o.includes = append(o.includes, index)
	case "wsse:Security":
		// The actor tells Security headers apart: it is part of their name here.
		switch actor, _ := n.attr(nsSOAP, "actor"); actor {
		case actorSMEV:
			n.sym = "wsse:Security[smev]"
		case actorRecipient:
			n.sym = "wsse:Security[recipient]"
		}
	}
}

// node makes one of an open element.
func (o *outline) node(t *xmltext.Tokenizer, i int) {
	f := &o.frames[i]
	f.node = len(o.nodes)
	n := node{parent: -1, tag: f.tag, qname: o.intern(f.qname), children: f.children}
	if i > 0 {
		n.parent = o.frames[i-1].node
	}
	n.local = n.qname
	if colon := bytes.IndexByte(f.qname, ':'); colon >= 0 {
		n.local = n.qname[colon+1:]
	}
	switch {
	case f.binding >= 0:
		n.space = o.intern(t.Binding(f.binding).URI)
		if v := o.classes[f.binding]; v.symbol != "" {
			var scratch [maxNameText]byte
			n.sym = o.intern(append(append(append(scratch[:0], v.symbol...), ':'), n.local...))
			n.version = v.version
		}
	case f.binding == xmltext.XMLBinding:
		n.space = nsXML
	}
	for b := f.from; b < f.to; b++ {
		d := t.Binding(b)
		n.declared = append(n.declared, binding{o.intern(d.Prefix), o.intern(d.URI)})
	}
	o.nodes = append(o.nodes, n)
}

func (o *outline) bear(value string, node int, declared bool) {
	first, taken := o.bearers[value]
	if !taken {
		o.bearers[value] = id{node, declared}
		return
	}
	if first.node == node {
		return
	}
	c, again := o.twice[value]
	if !again {
		c = clash{first: first.node, second: node}
	}
	c.declared = c.declared || first.declared && declared
	o.bearers[value] = id{first.node, first.declared || declared}
	o.twice[value] = c
}

func (o *outline) intern(b []byte) string {
	if s, ok := o.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(o.names) < maxNames && len(b) <= maxNameText {
		o.names[s] = s
	}
	return s
}

func (n *node) attr(space, local string) (string, bool) {
	for _, a := range n.attrs {
		if a.local == local && a.space == space {
			return a.value, true
		}
	}
	return "", false
}

// id is the value of the unqualified attribute Id.
func (n *node) id() string {
	v, _ := n.attr("", "Id")
	return v
}

// empty tells an element written as an empty-element tag.
func (n *node) empty() bool { return n.end.Start == n.end.End }

// span reaches from the start tag to the end of the end tag.
func (n *node) span() xmltext.Span { return xmltext.Span{Start: n.tag.Start, End: n.end.End} }

// children are the kept children, in document order.
func (o *outline) children(n int) []int {
	var out []int
	for i := n + 1; i < len(o.nodes) && o.nodes[i].tag.Start < o.nodes[n].end.Start; i++ {
		if o.nodes[i].parent == n {
			out = append(out, i)
		}
	}
	return out
}

// within tells whether n is outer or a descendant of it.
func (o *outline) within(n, outer int) bool {
	a, b := o.nodes[n].span(), o.nodes[outer].span()
	return b.Start <= a.Start && a.End <= b.End
}

// named are the children of n called sym.
func (o *outline) named(n int, sym string) []int {
	var out []int
	for _, c := range o.children(n) {
		if o.nodes[c].sym == sym {
			out = append(out, c)
		}
	}
	return out
}

// include finds the first xop:Include in an element.
func (o *outline) include(n int) (int, bool) {
	span := o.nodes[n].span()
	i, _ := slices.BinarySearchFunc(o.includes, span.Start, func(n, at int) int { return o.nodes[n].tag.Start - at })
	if i == len(o.includes) || o.nodes[o.includes[i]].tag.Start >= span.End {
		return 0, false
	}
	return o.includes[i], true
}

// maxPathText bounds the octets of a path; a report may hold thousands.
const maxPathText = 512

// path renders the way from the root, with names as written. Of a long one the end is shown.
func (o *outline) path(n int) string {
	var space [32]int
	way, length := space[:0], 0
	var b strings.Builder
	for ; n >= 0; n = o.nodes[n].parent {
		if length += 1 + len(quote(o.nodes[n].qname)); length > maxPathText {
			b.WriteString("…")
			break
		}
		way = append(way, n)
	}
	b.Grow(min(length, maxPathText))
	for _, n := range slices.Backward(way) {
		b.WriteByte('/')
		b.WriteString(quote(o.nodes[n].qname))
	}
	return b.String()
}

// lookup resolves a prefix in the scope of n's content.
func (o *outline) lookup(n int, prefix string) (uri string, ok bool) {
	if prefix == "xml" {
		return nsXML, true
	}
	for ; n >= 0; n = o.nodes[n].parent {
		for _, b := range o.nodes[n].declared {
			if b.prefix == prefix {
				return b.uri, b.uri != ""
			}
		}
	}
	return "", false
}

// prefix finds a prefix for a namespace in the scope of n's content, the nearest declaration first. The default namespace
// counts only where unprefixed says so: it does not reach attributes.
func (o *outline) prefix(n int, uri string, unprefixed bool) (string, bool) {
	for at := n; at >= 0; at = o.nodes[at].parent {
		for _, b := range o.nodes[at].declared {
			if b.uri != uri || b.prefix == "" && !unprefixed {
				continue
			}
			if now, _ := o.lookup(n, b.prefix); now == uri {
				return b.prefix, true
			}
		}
	}
	return "", false
}
