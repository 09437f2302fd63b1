package explain

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// referenceSearch looks for what makes the digest of one Reference match.
type referenceSearch struct {
	*search
	index    *index
	parts    *xmldsig.Parts
	ref      *xmldsig.ReferenceParts
	wanted   *wanted
	base     source
	target   int    // index of the element referred to, -1 for none or the whole document
	singly   bool   // all single mistakes were tried
	octets   []byte // as the signature states them, nil when they cannot be made
	hit      []byte
	hitOther int
}

// reference searches for one Reference; ok is false when its digest is right.
func (s *search) reference(x *index, parts *xmldsig.Parts, ref *xmldsig.ReferenceParts) (f Finding, r *referenceSearch, ok bool) {
	s.next()
	r = &referenceSearch{
		search: s, index: x, parts: parts, ref: ref, wanted: readDigest(ref.Value, hashName(ref.Method, gost.DigestByURI(ref.Method))),
		target: -1, hitOther: -1,
	}
	r.base = source{doc: x.doc, node: canon.Node{Whole: true}, signature: parts.Place.Offset, chain: ref.Transforms, other: -1}
	if !ref.Whole && len(ref.Targets) > 0 {
		r.target = x.at(ref.Targets[0].Offset)
		r.base = r.element(r.base, ref.Targets[0].Offset, ref.Targets[0].End)
	}
	f = Finding{Reference: -1, Subject: "Reference " + quoted(ref.URI), Place: ref.Place}
	if !ref.Whole && len(ref.Targets) == 0 {
		return r.missing(f)
	}
	octets, err := s.stated(&r.base)
	if err == nil {
		r.octets = octets
		if mistakes, _, found := r.wanted.match(s, octets, false); found && len(mistakes) == 0 && len(ref.Targets) < 2 {
			return f, r, false
		}
	}
	if mistakes, what, octets, found := r.hypotheses(); found {
		f.Mistakes, f.What = mistakes, what
		f.Difference = difference(r.octets, octets)
		r.hit = octets
		if r.hitOther >= 0 {
			place := x.place(r.hitOther)
			f.Other = &place
		}
		return f, r, true
	}
	f.Mistakes = []Mistake{Unknown}
	switch {
	case s.exhausted && !r.singly:
		f.Mistakes = []Mistake{Exhausted}
	case s.exhausted:
		f.What = append(f.What, "not all pairs of mistakes were tried: the message is large")
	}
	return f, r, true
}

// missing is about a Reference to an Id that no element has.
func (r *referenceSearch) missing(f Finding) (Finding, *referenceSearch, bool) {
	id, local := strings.CutPrefix(r.ref.URI, "#")
	if !local {
		return f, r, false // content outside, or refused by name
	}
	f.Mistakes = []Mistake{Unknown}
	if !r.spend(len(r.index.doc)) {
		f.Mistakes = []Mistake{Exhausted}
		return f, r, true
	}
	for i, e := range r.index.elements {
		for _, a := range e.ids {
			if strings.EqualFold(a.value, id) {
				place := r.index.place(i)
				f.Mistakes, f.Other, f.What = []Mistake{TargetIDName}, &place, []string{clip(e.name + "/@" + a.name)}
				return f, r, true
			}
		}
	}
	if mistakes, what, octets, found := r.first(r.otherTargets()); found {
		f.Mistakes, f.What = mistakes, what
		r.hit = octets
		if r.hitOther >= 0 {
			place := r.index.place(r.hitOther)
			f.Other = &place
		}
	}
	return f, r, true
}

// element makes a source start from an element.
func (r *referenceSearch) element(src source, start, end int) source {
	src.node, src.end = canon.Node{Element: start}, end
	if n := r.index.at(start); n >= 0 {
		src.depth = r.index.elements[n].depth
	}
	return src
}

// hypotheses goes through the list: what is cheap and common first, one mistake before two.
func (r *referenceSearch) hypotheses() (mistakes []Mistake, what []string, octets []byte, ok bool) {
	if r.octets != nil {
		if m, w, found := r.wanted.match(r.search, r.octets, true); found && len(m) > 0 {
			return m, w, r.octets, true
		}
	}
	if mistakes, what, octets, ok = r.smev(r.base); ok {
		return
	}
	if slices.ContainsFunc(r.base.chain, func(t canon.Transform) bool { return t.URI == canon.EnvelopedURI }) {
		if mistakes, what, octets, ok = r.first(r.blanks()); ok {
			return
		}
	}
	singles := slices.Concat(r.duplicates(), r.chains(r.base), r.documents(), r.otherTargets())
	if mistakes, what, octets, ok = r.edited(r.base, true); ok {
		return
	}
	if mistakes, what, octets, ok = r.first(singles); ok {
		return
	}
	r.singly = !r.exhausted
	for i := range singles {
		if mistakes, what, octets, ok = r.edited(singles[i], false); ok {
			return
		}
	}
	for _, other := range slices.Concat(r.duplicates(), r.documents(), r.otherTargets()) {
		if mistakes, what, octets, ok = r.first(r.chains(other)); ok {
			return
		}
	}
	for _, chain := range r.chains(r.base) {
		if mistakes, what, octets, ok = r.smev(chain); ok {
			return
		}
	}
	return nil, nil, nil, false
}

// try makes the octets of a source and compares.
func (r *referenceSearch) try(src *source, all bool) (mistakes []Mistake, what []string, octets []byte, ok bool) {
	octets, err := r.run(src)
	if err != nil {
		return nil, nil, nil, false
	}
	mistakes, what, ok = r.wanted.match(r.search, octets, all && len(octets) <= smallOctets)
	if ok {
		r.hitOther = src.other
		return slices.Concat(src.mistakes, mistakes), slices.Concat(src.what, what), octets, true
	}
	return nil, nil, octets, false
}

func (r *referenceSearch) first(sources []source) (mistakes []Mistake, what []string, octets []byte, ok bool) {
	for i := range sources {
		if mistakes, what, octets, ok = r.try(&sources[i], true); ok {
			return
		}
		if r.exhausted {
			break
		}
	}
	return nil, nil, nil, false
}

// edited tries what may have been done to the octets of a source.
func (r *referenceSearch) edited(src source, all bool) (mistakes []Mistake, what []string, octets []byte, ok bool) {
	plain, err := r.run(&src)
	if err != nil {
		return nil, nil, nil, false
	}
	for _, e := range slices.Concat(xmlEdits, indentations(src.depth), octetEdits) {
		if !r.spend(len(plain)) {
			break
		}
		octets = e.do(plain)
		if octets == nil || bytes.Equal(octets, plain) {
			continue
		}
		if m, w, found := r.wanted.match(r.search, octets, all && len(octets) <= smallOctets); found {
			r.hitOther = src.other
			return slices.Concat(src.mistakes, []Mistake{e.mistake}, m), slices.Concat(src.what, []string{e.what}, w), octets, true
		}
		if r.exhausted {
			break
		}
	}
	return nil, nil, nil, false
}

// smev tries what implementations of the SMEV transform do.
func (r *referenceSearch) smev(src source) (mistakes []Mistake, what []string, octets []byte, ok bool) {
	if src.raw || !slices.ContainsFunc(src.chain, func(t canon.Transform) bool { return t.URI == canon.SMEVURI }) {
		return nil, nil, nil, false
	}
	right, _ := r.run(&src)
	for i := range smevVariants {
		v := &smevVariants[i]
		with := src
		with.variant = v
		with.mistakes = slices.Concat(src.mistakes, v.mistakes)
		with.what = slices.Concat(src.what, []string{v.what})
		octets, err := r.run(&with)
		if r.exhausted {
			break
		}
		if err != nil || right != nil && bytes.Equal(octets, right) {
			continue // a deviation that makes no difference here
		}
		if m, w, found := r.wanted.match(r.search, octets, false); found {
			r.hitOther = src.other
			return slices.Concat(with.mistakes, m), slices.Concat(with.what, w), octets, true
		}
	}
	return nil, nil, nil, false
}

// duplicates are the elements that have the Id.
func (r *referenceSearch) duplicates() []source {
	var out []source
	if len(r.ref.Targets) < 2 {
		return nil
	}
	for _, t := range r.ref.Targets {
		src := r.element(r.base, t.Offset, t.End).with(TargetDuplicate, "")
		src.other = r.index.at(t.Offset)
		out = append(out, src)
	}
	return out
}

// otherTargets are elements that may have been meant instead, and the whole document.
func (r *referenceSearch) otherTargets() []source {
	var out []source
	for _, n := range r.index.others(r.target) {
		e := &r.index.elements[n]
		src := r.element(r.base, e.start, e.end).with(TargetOther, "")
		src.other = n
		out = append(out, src)
	}
	if !r.base.node.Whole {
		src := r.base.with(TargetOther, "the whole document")
		src.node, src.end = canon.Node{Whole: true}, len(r.index.doc)
		out = append(out, src)
	}
	return out
}

// documents are the base in other surroundings: alone, without its Id, without blanks about the signature.
func (r *referenceSearch) documents() []source {
	out := r.raws()
	if r.target < 0 {
		return append(out, r.blanks()...)
	}
	e := &r.index.elements[r.target]
	alone := r.base.with(NamespacesMoved, "")
	alone.doc, alone.node, alone.signature = r.index.text(r.target), canon.Node{Whole: true}, r.base.signature-e.start
	out = append(out, alone)
	// The same with the declarations it lacks, which is what cutting out with a DOM gives.
	var needed bytes.Buffer
	if s := r.base; r.spend(e.end) &&
		canon.Apply(&needed, s.doc, s.node, []canon.Transform{{URI: canon.ExclusiveURI}}, r.limits) == nil {
		cut := alone
		cut.doc = needed.Bytes()
		if at := bytes.Index(cut.doc, r.signatureTag()); at >= 0 {
			cut.signature = at
		}
		out = append(out, cut)
	}
	id, local := strings.CutPrefix(r.ref.URI, "#")
	if local {
		if without, ok := withoutID(r.index, r.target, id); ok {
			src := r.base.with(TargetIDAdded, "")
			src.doc = without
			if src.signature > e.tagEnd {
				src.signature -= len(r.index.doc) - len(without)
			}
			out = append(out, src)
		}
	}
	return append(out, r.blanks()...)
}

// signatureTag is the start tag of the own Signature, by which it is found again where offsets have changed.
func (r *referenceSearch) signatureTag() []byte {
	if n := r.index.at(r.parts.Place.Offset); n >= 0 {
		return r.index.doc[r.index.elements[n].start:r.index.elements[n].tagEnd]
	}
	return []byte("<none>")
}

// raws are the text of the element, and the text of the document.
func (r *referenceSearch) raws() []source {
	whole := r.base.with(ContentText, "the whole text")
	whole.raw, whole.node, whole.end = true, canon.Node{}, len(r.index.doc)
	if r.target < 0 {
		return []source{whole}
	}
	src := r.base.with(ContentText, "the text of the element")
	src.raw = true
	inner := src
	inner.what = []string{"the text between the tags of the element"}
	e := &r.index.elements[r.target]
	if close := bytes.LastIndexByte(r.index.text(r.target), '<'); close > 0 && e.start+close >= e.tagEnd {
		inner.node.Element, inner.end = e.tagEnd, e.start+close
		return []source{src, inner, whole}
	}
	return []source{src, whole}
}

// blanks is the document without white space about the Signature that the enveloped-signature transform leaves out.
func (r *referenceSearch) blanks() []source {
	n := r.index.at(r.parts.Place.Offset)
	if n < 0 {
		return nil
	}
	start, end := r.index.elements[n].start, r.index.elements[n].end
	doc := r.index.doc
	from, to := len(bytes.TrimRight(doc[:start], " \t\r\n")), len(doc)-len(bytes.TrimLeft(doc[end:], " \t\r\n"))
	var out []source
	for _, cut := range [][2]int{{from, to}, {from, end}, {start, to}} {
		if cut == [2]int{start, end} {
			continue
		}
		src := r.base.with(SignatureBlanks, "")
		src.doc = slices.Concat(doc[:cut[0]], doc[start:end], doc[cut[1]:])
		src.signature = cut[0]
		if r.base.node.Element > start {
			src.node.Element -= start - cut[0]
			if r.base.node.Element >= end {
				src.node.Element -= cut[1] - end
			}
		}
		out = append(out, src)
	}
	return out
}

// withoutID takes the attribute out that gives an element its Id.
func withoutID(x *index, n int, id string) ([]byte, bool) {
	e := &x.elements[n]
	head, attrs, tail := attributesOf(x.doc[e.start:e.tagEnd])
	out := bytes.Clone(x.doc[:e.start])
	out = append(out, head...)
	found := false
	for _, a := range attrs {
		isID := slices.ContainsFunc(e.ids, func(i idAttribute) bool { return i.name == a.name && i.value == id })
		if isID && !found {
			found = true
			continue
		}
		out = append(out, a.text...)
	}
	return append(append(out, tail...), x.doc[e.tagEnd:]...), found
}

func quoted(uri string) string { return fmt.Sprintf("%q", clip(uri)) }

// difference is nil when there is nothing to compare or no difference.
func difference(stated, matching []byte) *Difference {
	if stated == nil || matching == nil || bytes.Equal(stated, matching) {
		return nil
	}
	n := min(len(stated), len(matching))
	at := 0
	for at < n && stated[at] == matching[at] {
		at++
	}
	return &Difference{Offset: at, Stated: around(stated, at), Matching: around(matching, at)}
}

// around cuts a little out of octets.
func around(b []byte, at int) string {
	const before, after = 24, 40
	from, to := max(0, at-before), min(len(b), at+after)
	return strings.ToValidUTF8(string(b[from:to]), "�")
}
