package xmldsig

import (
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/signer/report"
)

// inlined refuses to sign an xop:Include: the digest belongs to the octets that it stands for (XOP section 3.1), and these
// are not in the document.
func (pl *plan) inlined(o *outline) error {
	for _, r := range pl.draft.references {
		target := 0
		switch {
		case r.inside == "properties":
			continue
		case r.inside == "" && !r.whole:
			target, _ = slices.BinarySearchFunc(o.nodes, r.target, func(n node, at int) int { return n.tag.Start - at })
		}
		if n, ok := o.include(target); ok {
			return o.fail(report.RequestInvalid, n, "what is to be signed holds an xop:Include: put the octets in its place")
		}
	}
	return nil
}

// spare refuses what would change content that another signature covers: the order of signing is from the inside out.
func (pl *plan) spare(o *outline) error {
	if len(o.signatures) > maxSignatures {
		return report.Errorf(report.ReferenceLimit, report.Place{}, "more than %d signatures are in the document", maxSignatures)
	}
	for _, n := range o.signatures {
		s, _ := o.parse(n)
		if s == nil {
			continue // broken as it is
		}
		for _, e := range append(pl.edits, pl.at) {
			if pl.breaks(o, s, e) {
				return o.fail(report.AlreadySigned, n, "a further signature here would break this one: sign from the inside out")
			}
		}
	}
	return nil
}

// breaks tells whether an edit changes what s covers.
func (pl *plan) breaks(o *outline, s *signature, e edit) bool {
	inScope := func(n int) bool { return e.scope > 0 && o.within(n, e.scope-1) }
	if inScope(s.node) && inherits(s.c14n) {
		return true
	}
	for _, r := range s.references {
		target, known := o.documentOf(s.node), r.hasURI && r.uri == ""
		if name, local := strings.CutPrefix(r.uri, "#"); local {
			var b id
			b, known = o.bearers[name]
			target = b.node
		}
		if !known {
			continue
		}
		span := o.nodes[target].span()
		// A transform takes out the Signature itself, and with it its properties.
		own := slices.ContainsFunc(s.objects,
			func(object int) bool { return o.nodes[object].tag.End <= e.at && e.at <= o.nodes[object].end.Start })
		if own && slices.ContainsFunc(r.transforms, func(t transform) bool { return t.uri == canon.EnvelopedURI || t.filters }) {
			continue
		}
		bare := e == pl.at && (e.text == "" || e.text == ">") // the Signature alone
		if bare && slices.ContainsFunc(r.transforms, func(t transform) bool { return t.filters }) {
			continue
		}
		if span.Start < e.at && e.at < span.End || r.uri == "" && target == 0 && e.scope > 0 {
			return true
		}
		if inScope(target) && (!slices.ContainsFunc(r.transforms, canonicalizes) || slices.ContainsFunc(r.transforms, inherits)) {
			return true // without one it is inclusive canonicalization
		}
	}
	return false
}

func canonicalizes(t transform) bool { return canon.IsCanonicalization(t.uri) }

// inherits tells whether the octets of a canonicalization depend on namespaces that ancestors declare and nothing uses.
func inherits(t transform) bool {
	exclusive := t.uri == canon.ExclusiveURI || t.uri == canon.ExclusiveCommentsURI
	return canonicalizes(t) && !exclusive || len(t.prefixes) > 0
}
