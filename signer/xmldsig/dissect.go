package xmldsig

import (
	"slices"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Parts are a ds:Signature taken apart for diagnosis. Nothing in it has been checked: what a signature is worth, Verify says.
type Parts struct {
	Name  string // as in the report of Verify
	Place report.Place
	// Err is why it could not be taken apart; the fields below are then empty.
	Err *report.Error

	SignedInfo   report.Place
	C14N         canon.Transform // CanonicalizationMethod
	Method       string          // identifier of the SignatureMethod
	Value        string          // text of the SignatureValue
	ValuePlace   report.Place
	Certificates []*gost.Certificate // of KeyInfo, those that can be read
	References   []ReferenceParts
}

// ReferenceParts are a ds:Reference.
type ReferenceParts struct {
	Place      report.Place
	URI        string
	Transforms []canon.Transform // as written; parameters that are not understood are left out
	Method     string            // identifier of the DigestMethod
	Value      string            // text of the DigestValue
	// Whole says that it means the whole document. Targets are the elements that it may mean: one when all is well, none
	// when no element has the Id or what is meant lies outside, several when an Id is not unique: the first 16.
	Whole   bool
	Targets []report.Place
}

// Dissect takes every ds:Signature of a document apart, at most as many as Verify examines, in the same order. Places of
// elements start at the '<' of their start tag. The error is a *report.Error: the document cannot be read.
func Dissect(doc []byte, limits xmltext.Limits) ([]Parts, error) {
	o, err := locate(doc, limits, nil)
	if err != nil {
		return nil, err
	}
	defer o.release()
	var out []Parts
	for _, n := range o.signatures[:min(len(o.signatures), maxSignatures)] {
		out = append(out, o.dissect(n))
	}
	return out, nil
}

func (o *outline) dissect(n int) Parts {
	p := Parts{Name: "ds:Signature", Place: o.place(n)}
	if r := o.ruleOf(o.nodes[n].parent); r != nil {
		p.Name = r.name
	}
	s, err := o.parse(n)
	if err != nil {
		p.Err = err
		return p
	}
	p.SignedInfo, p.ValuePlace = o.place(s.signedInfo), o.place(s.value)
	p.C14N = canon.Transform{URI: s.c14n.uri, PrefixList: s.c14n.prefixes}
	p.Method, p.Value = s.method, string(o.nodes[s.value].text)
	p.Certificates, _ = (&examiner{outline: o}).certificates(s)
	for i := range s.references {
		p.References = append(p.References, o.dissectReference(s, &s.references[i]))
	}
	return p
}

func (o *outline) dissectReference(s *signature, r *reference) ReferenceParts {
	p := ReferenceParts{Place: o.place(r.node), URI: r.uri, Method: r.method, Value: string(o.nodes[r.value].text)}
	for _, t := range r.transforms {
		step := canon.Transform{URI: t.uri, PrefixList: t.prefixes, OmitSignatures: t.filters}
		if t.uri == canon.EnvelopedURI {
			step.Signature = o.nodes[s.node].tag.Start
		}
		p.Transforms = append(p.Transforms, step)
	}
	switch {
	case !r.hasURI:
	case r.uri == "":
		n := o.documentOf(s.node)
		p.Whole, p.Targets = n == 0, []report.Place{o.place(n)}
	case r.uri[0] == '#':
		for _, n := range o.sharers(r.uri[1:]) {
			p.Targets = append(p.Targets, o.place(n))
		}
	}
	return p
}

// maxTargets bounds the elements that are told for an Id.
const maxTargets = 16

// sharers are the elements that have an Id, in document order. All that several have are looked for at once: references to
// them may be many.
func (o *outline) sharers(id string) []int {
	b, known := o.bearers[id]
	if !known {
		return nil
	}
	if _, twice := o.twice[id]; !twice {
		return []int{b.node}
	}
	if o.sharing == nil {
		o.sharing = map[string][]int{}
		for n := range o.nodes {
			for _, a := range o.nodes[n].attrs {
				if _, twice := o.twice[a.value]; !twice || !isID(a.space, a.local) {
					continue
				}
				list := o.sharing[a.value]
				if len(list) < maxTargets && !slices.Contains(list, n) {
					o.sharing[a.value] = append(list, n)
				}
			}
		}
	}
	return o.sharing[id]
}

// Certificates are those of all signatures and security headers of a document that can be read, in document order, at most
// as many as a KeyInfo may hold for each signature.
func Certificates(doc []byte, limits xmltext.Limits) ([]*gost.Certificate, error) {
	o, err := locate(doc, limits, nil)
	if err != nil {
		return nil, err
	}
	defer o.release()
	var out []*gost.Certificate
	for i := range o.nodes {
		if n := &o.nodes[i]; n.sym != "ds:X509Certificate" && n.sym != "wsse:BinarySecurityToken" {
			continue
		} else if der, err := decode(n.text); err == nil {
			if c, err := gost.ParseCertificate(der); err == nil {
				out = append(out, c)
			}
		}
		if len(out) == maxCertificates {
			break
		}
	}
	return out, nil
}
