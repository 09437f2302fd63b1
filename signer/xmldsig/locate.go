package xmldsig

import (
	"bytes"
	"slices"
	"strings"

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
	names      map[string]string
	spaces     map[string]vocabulary

	body       int    // soap:Body of the envelope, -1 when there is none
	marks      []mark // positions known, ascending
	operations []int  // what may be a SMEV message's operation: the kept children of soap:Body, or the root
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
	filled   bool   // holds character data other than blanks
	text     []byte // for elements in textual
	kept     bool
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

// maxNames bounds the table of interned names; further names are allocated one by one.
const maxNames = 4096

// locate reads the whole document. Errors are *report.Error.
func locate(doc []byte, limits xmltext.Limits) (*outline, error) {
	o := &outline{
		doc: doc, bearers: map[string]id{}, twice: map[string]clash{},
		names: map[string]string{}, spaces: map[string]vocabulary{},
	}
	t := xmltext.NewTokenizer(doc, limits)
	open := -1
	for {
		kind, err := t.Next()
		if err != nil {
			return nil, asError(err)
		}
		switch kind {
		case xmltext.EOF:
			o.enter()
			return o, nil
		case xmltext.StartElement:
			if open = o.start(t, open); open == maxElements {
				return nil, o.fail(report.XMLLimit, open, "more than %d elements that signatures are concerned with", maxElements)
			}
		case xmltext.EndElement:
			n := &o.nodes[open]
			n.end = t.Span()
			parent := n.parent
			switch {
			case !n.kept:
				o.nodes = o.nodes[:open]
			case parent >= 0:
				o.nodes[parent].kept = true
			}
			open = parent
		case xmltext.Text:
			if open < 0 {
				continue
			}
			n := &o.nodes[open]
			text := t.Text()
			if !n.filled && len(bytes.Trim(text, blanks)) > 0 {
				n.filled = true
			}
			if textual[n.sym] {
				n.text = append(n.text, text...)
			}
		}
	}
}

const blanks = " \t\r\n"

func (o *outline) start(t *xmltext.Tokenizer, parent int) int {
	name := t.Name()
	n := node{parent: parent, space: o.intern(name.Space), local: o.intern(name.Local), tag: t.Span()}
	n.qname = n.local
	var scratch [128]byte
	if len(name.Prefix) > 0 {
		n.qname = o.intern(append(append(append(scratch[:0], name.Prefix...), ':'), name.Local...))
	}
	v := o.vocabulary(n.space)
	if v.symbol != "" {
		n.sym = o.intern(append(append(append(scratch[:0], v.symbol...), ':'), name.Local...))
		n.version = v.version
	}
	for _, b := range t.Declared() {
		n.declared = append(n.declared, binding{o.intern(b.Prefix), o.intern(b.URI)})
	}
	index := len(o.nodes)
	n.kept = n.sym != "" || parent < 0
	for _, a := range t.Attrs() {
		space, local := o.intern(a.Space), o.intern(a.Local)
		isID := isID(space, local)
		if n.sym != "" || isID {
			n.attrs = append(n.attrs, attribute{space, local, string(a.Value)})
		}
		if isID {
			n.kept = true
			o.bear(string(a.Value), index, isDeclaredID(space, local))
		}
	}
	if parent >= 0 {
		p := &o.nodes[parent]
		p.children++
		n.kept = n.kept || p.sym == "b:MessagePrimaryContent" && p.children == 1 // a second one is refused by its number
	}
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
	o.nodes = append(o.nodes, n)
	return index
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
	if len(o.names) < maxNames {
		o.names[s] = s
	}
	return s
}

func (o *outline) vocabulary(space string) vocabulary {
	v, ok := o.spaces[space]
	if !ok {
		v, _ = vocabularyOf(space)
		if len(o.spaces) < maxNames {
			o.spaces[space] = v
		}
	}
	return v
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
	var steps []string
	length := 0
	for ; n >= 0; n = o.nodes[n].parent {
		step := quote(o.nodes[n].qname)
		if length += 1 + len(step); length > maxPathText {
			steps = append(steps, "…")
			break
		}
		steps = append(steps, step)
	}
	var b strings.Builder
	for i, step := range slices.Backward(steps) {
		if i < len(steps)-1 || step != "…" {
			b.WriteByte('/')
		}
		b.WriteString(step)
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
