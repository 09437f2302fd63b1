package xmldsig

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/signer/report"
)

// What one document may ask of a verifier. The recommendations of XML Signature Best Practices (section 2.1) leave the
// numbers open; signatures of SMEV have at most two references and three transforms.
const (
	maxSignatures   = 64
	maxReferences   = 20
	maxTransforms   = 5
	maxCertificates = 16
	maxPrefixes     = 64
	maxDigested     = 256     // references of all signatures together
	maxElements     = 1 << 18 // elements kept: of known namespaces, or with an Id
	maxWork         = 32      // octets read and written for digests, per octet of the document and
	maxWorkAtLeast  = 64 << 20
	maxOperations   = 8 // children of soap:Body that are looked at, when there is more than the one there must be
)

// signature is a ds:Signature as written.
type signature struct {
	node       int
	signedInfo int
	c14n       transform
	method     string
	hmacLength bool
	value      int
	references []reference
	keyInfo    int // -1 when absent
	objects    []int
}

// reference is a ds:Reference as written.
type reference struct {
	node       int
	uri        string
	hasURI     bool
	typ        string
	transforms []transform
	method     string
	value      int // ds:DigestValue
}

// transform is a ds:Transform or ds:CanonicalizationMethod as written.
type transform struct {
	node     int
	uri      string
	prefixes []string
	filters  bool // leaves out every ds:Signature
	odd      bool // has parameters that are not understood
}

// parse reads a ds:Signature; the error says what is not as XMLDSig section 4 demands.
func (o *outline) parse(n int) (*signature, *report.Error) {
	s := &signature{node: n, keyInfo: -1}
	signature := o.reader(n)
	s.signedInfo = signature.one("ds:SignedInfo")
	s.value = signature.one("ds:SignatureValue")
	if signature.next() == "ds:KeyInfo" {
		s.keyInfo = signature.one("ds:KeyInfo")
	}
	for signature.next() == "ds:Object" {
		s.objects = append(s.objects, signature.one("ds:Object"))
	}
	if err := signature.end(); err != nil {
		return nil, err
	}

	info := o.reader(s.signedInfo)
	c14n := info.one("ds:CanonicalizationMethod")
	method := info.one("ds:SignatureMethod")
	var refs []int
	for info.next() == "ds:Reference" {
		refs = append(refs, info.one("ds:Reference"))
	}
	if err := info.end(); err != nil {
		return nil, err
	}
	switch {
	case len(refs) == 0:
		return nil, o.fail(report.SignatureStructure, s.signedInfo, "SignedInfo has no Reference: nothing is signed")
	case len(refs) > maxReferences:
		return nil, o.fail(report.ReferenceLimit, s.signedInfo, "more than %d references", maxReferences)
	}
	s.c14n = o.parseTransform(c14n)
	s.method, _ = o.nodes[method].attr("", "Algorithm")
	s.hmacLength = o.nodes[method].children > 0
	for _, r := range refs {
		ref, err := o.parseReference(r)
		if err != nil {
			return nil, err
		}
		s.references = append(s.references, ref)
	}
	return s, nil
}

func (o *outline) parseReference(n int) (reference, *report.Error) {
	r := reference{node: n}
	r.uri, r.hasURI = o.nodes[n].attr("", "URI")
	r.typ, _ = o.nodes[n].attr("", "Type")
	in := o.reader(n)
	if in.next() == "ds:Transforms" {
		list := in.one("ds:Transforms")
		each := o.reader(list)
		for each.next() == "ds:Transform" {
			r.transforms = append(r.transforms, o.parseTransform(each.one("ds:Transform")))
		}
		if err := each.end(); err != nil {
			return r, err
		}
		if len(r.transforms) > maxTransforms {
			return r, o.fail(report.ReferenceLimit, list, "more than %d transforms", maxTransforms)
		}
	}
	method := in.one("ds:DigestMethod")
	r.value = in.one("ds:DigestValue")
	if err := in.end(); err != nil {
		return r, err
	}
	r.method, _ = o.nodes[method].attr("", "Algorithm")
	if o.nodes[method].children > 0 {
		return r, o.fail(report.ReferenceMethod, method, "the digest method takes no parameters")
	}
	return r, nil
}

func (o *outline) parseTransform(n int) transform {
	t := transform{node: n}
	t.uri, _ = o.nodes[n].attr("", "Algorithm")
	kids := o.children(n)
	t.odd = o.nodes[n].children != len(kids) || len(kids) > 1 || o.nodes[n].filled
	for _, k := range kids {
		switch o.nodes[k].sym {
		case "ec:InclusiveNamespaces":
			list, _ := o.nodes[k].attr("", "PrefixList")
			t.prefixes = strings.Fields(list)
			t.odd = t.odd || len(t.prefixes) > maxPrefixes || t.uri != canon.ExclusiveURI && t.uri != canon.ExclusiveCommentsURI
		case "ds:XPath", "xf:XPath":
			filter, _ := o.nodes[k].attr("", "Filter")
			t.filters = canon.OmitsSignatures(t.uri, filter, string(o.nodes[k].text), func(prefix string) string {
				uri, _ := o.lookup(k, prefix)
				return uri
			})
			t.odd = t.odd || o.nodes[k].children > 0 || t.uri != expressionOf[o.nodes[k].sym]
		default:
			t.odd = true
		}
	}
	return t
}

// expressionOf names the transform that an element holds the expression of.
var expressionOf = map[string]string{"ds:XPath": canon.XPathURI, "xf:XPath": canon.Filter2URI}

// reader takes the children of an element one by one, in the order of the schema. The first mistake sticks.
type reader struct {
	o    *outline
	node int
	kids []int // yet to come
	all  int
	err  *report.Error
}

func (o *outline) reader(n int) reader {
	kids := o.children(n)
	return reader{o: o, node: n, kids: kids, all: len(kids)}
}

// next is the name of the child that comes next; empty when there is none.
func (r *reader) next() string {
	if len(r.kids) == 0 || r.err != nil {
		return ""
	}
	return r.o.nodes[r.kids[0]].sym
}

// one takes the child called sym.
func (r *reader) one(sym string) int {
	if r.err == nil && r.next() != sym {
		r.err = r.o.fail(report.SignatureStructure, r.node, "%s is missing or out of place in %s", sym, r.o.nodes[r.node].qname)
	}
	if r.err != nil {
		return r.node
	}
	n := r.kids[0]
	r.kids = r.kids[1:]
	return n
}

// end says what was wrong: a mistake before, children left over, or children or text that nobody knows.
func (r *reader) end() *report.Error {
	n := &r.o.nodes[r.node]
	if r.err == nil && (len(r.kids) > 0 || n.children != r.all || n.filled) {
		r.err = r.o.fail(report.SignatureStructure, r.node, "%s holds something that does not belong there", n.qname)
	}
	return r.err
}

var strict = base64.StdEncoding.Strict()

// decode reads base64 with blanks anywhere.
func decode(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, ' ') >= 0 || bytes.IndexByte(text, '\t') >= 0 {
		text = slices.DeleteFunc(slices.Clone(text), func(c byte) bool { return c == ' ' || c == '\t' })
	}
	return strict.AppendDecode(nil, text) // which passes over line ends
}

// chain turns the transforms of a Reference of s into those of canon. target is the element that the Reference means.
func (o *outline) chain(s *signature, r *reference, target int) (chain []canon.Transform, err *report.Error) {
	refuse := func(t transform, why string) ([]canon.Transform, *report.Error) {
		return nil, o.fail(report.ReferenceTransform, t.node, "%s", why)
	}
	for _, t := range r.transforms {
		step := canon.Transform{URI: t.uri, PrefixList: t.prefixes}
		switch {
		case !canon.Known(t.uri):
			return refuse(t, "the transform is not among those allowed: "+quote(t.uri))
		case t.odd:
			return refuse(t, "the transform has parameters that are not understood")
		case t.uri == canon.EnvelopedURI:
			// Without effect when the Signature lies outside the element: seen in traffic of SMEV.
			step.Signature = o.nodes[s.node].tag.Start
		case t.uri == canon.XPathURI || t.uri == canon.Filter2URI:
			if !t.filters {
				return refuse(t, "XPath is refused, except not(ancestor-or-self::ds:Signature) and, as a filter, to subtract //ds:Signature")
			}
			if o.signed(target) {
				return refuse(t, "the transform removes the signed element itself")
			}
			step.OmitSignatures = true
		}
		chain = append(chain, step)
	}
	return chain, nil
}

// signed tells whether an element is a ds:Signature or lies in one.
func (o *outline) signed(n int) bool {
	for ; n >= 0; n = o.nodes[n].parent {
		if o.nodes[n].sym == "ds:Signature" {
			return true
		}
	}
	return false
}

// visible tells text of ASCII without controls, which most names are.
func visible(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// quote shows an identifier from the document, cut to a length that fits a message.
func quote(s string) string {
	if len(s) <= 120 && visible(s) {
		return s
	}
	if len(s) > 120 {
		s = s[:120] + "…"
	} else if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == utf8.RuneError }) {
		return s
	}
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s), "?")
}
