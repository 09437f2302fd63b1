package explain

import (
	"bytes"
	"slices"
	"strings"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
)

var canonicalForms = []string{
	canon.ExclusiveURI, canon.InclusiveURI, canon.Inclusive11URI,
	canon.ExclusiveCommentsURI, canon.InclusiveCommentsURI, canon.Inclusive11CommentsURI,
}

// chains are the chain of a source with one thing wrong about it.
func (r *referenceSearch) chains(src source) []source {
	if src.raw {
		return nil
	}
	var out []source
	add := func(chain []canon.Transform, m Mistake, what string) {
		with := src.with(m, what)
		with.chain = chain
		out = append(out, with)
	}
	for i := 0; i+1 < len(src.chain); i++ {
		chain := slices.Clone(src.chain)
		chain[i], chain[i+1] = chain[i+1], chain[i]
		add(chain, TransformOrder, chain[i].URI+" before "+chain[i+1].URI)
	}
	if len(src.chain) > 2 {
		chain := slices.Clone(src.chain)
		slices.Reverse(chain)
		add(chain, TransformOrder, "in the reverse order")
	}
	for i, t := range src.chain {
		if !canon.IsCanonicalization(t.URI) {
			continue
		}
		for _, uri := range canonicalForms {
			if uri == t.URI {
				continue
			}
			chain := slices.Clone(src.chain)
			chain[i] = canon.Transform{URI: uri}
			if exclusive(uri) && exclusive(t.URI) {
				chain[i].PrefixList = t.PrefixList
			}
			m := formMistake(t.URI, uri)
			add(chain, m, uri)
			if m == C14NComments {
				out[len(out)-1].node.Comments = true
			}
		}
		if exclusive(t.URI) {
			for _, list := range r.prefixLists(src, t.PrefixList) {
				chain := slices.Clone(src.chain)
				chain[i].PrefixList = list
				add(chain, C14NPrefixList, "PrefixList \""+strings.Join(list, " ")+"\"")
			}
		}
	}
	stated := func(uri string) bool {
		return slices.ContainsFunc(src.chain, func(t canon.Transform) bool { return t.URI == uri })
	}
	if !stated(canon.EnvelopedURI) {
		add(slices.Insert(slices.Clone(src.chain), 0, canon.Transform{URI: canon.EnvelopedURI}), TransformAdded, canon.EnvelopedURI)
	}
	omits := func(t canon.Transform) bool { return t.OmitSignatures }
	if all := (canon.Transform{URI: canon.XPathURI, OmitSignatures: true}); !slices.ContainsFunc(src.chain, omits) {
		chain := slices.DeleteFunc(slices.Clone(src.chain), func(t canon.Transform) bool { return t.URI == canon.EnvelopedURI })
		add(slices.Insert(chain, 0, all), SignatureLater, "")
	}
	for i, t := range src.chain {
		add(slices.Delete(slices.Clone(src.chain), i, i+1), TransformSkipped, t.URI)
	}
	if len(src.chain) > 1 {
		add(nil, TransformSkipped, "all of them")
	}
	if !stated(canon.SMEVURI) {
		add(append(slices.Clone(src.chain), canon.Transform{URI: canon.SMEVURI}), TransformAdded, canon.SMEVURI)
	}
	if !slices.ContainsFunc(src.chain, func(t canon.Transform) bool { return canon.IsCanonicalization(t.URI) }) {
		for _, uri := range canonicalForms[:3] {
			chain := slices.Clone(src.chain)
			at := slices.IndexFunc(chain, func(t canon.Transform) bool { return t.URI == canon.SMEVURI })
			if at < 0 {
				at = len(chain)
			}
			add(slices.Insert(chain, at, canon.Transform{URI: uri}), TransformAdded, uri)
		}
	}
	unknown := func(t canon.Transform) bool { return !canon.Known(t.URI) }
	if known := slices.DeleteFunc(slices.Clone(src.chain), unknown); len(known) < len(src.chain) {
		add(known, TransformSkipped, "those that are not known here")
	}
	return out
}

func exclusive(uri string) bool {
	return uri == canon.ExclusiveURI || uri == canon.ExclusiveCommentsURI
}

// formMistake names what it means to take one form for another.
func formMistake(stated, used string) Mistake {
	plain := func(uri string) string { return strings.TrimSuffix(strings.TrimSuffix(uri, "WithComments"), "#") }
	switch {
	case plain(stated) == plain(used):
		return C14NComments
	case exclusive(stated):
		return C14NInclusive
	case exclusive(used):
		return C14NExclusive
	}
	return C14NVersion
}

// maxPrefixes bounds the prefixes that are tried one by one.
const maxPrefixes = 12

// prefixLists are other lists than the one stated: none, each prefix in scope, all of them.
func (r *referenceSearch) prefixLists(src source, stated []string) [][]string {
	var lists [][]string
	if len(stated) > 0 {
		lists = append(lists, nil)
	}
	all := r.prefixesAt(src)
	if len(all) > maxPrefixes {
		all = all[:maxPrefixes]
	}
	for _, p := range all {
		lists = append(lists, []string{p}, append(slices.Clone(stated), p))
	}
	if len(all) > 1 {
		lists = append(lists, all)
	}
	return slices.DeleteFunc(lists, func(l []string) bool { return slices.Equal(l, stated) })
}

// prefixesAt are the prefixes in scope of the element that a source starts from.
func (r *referenceSearch) prefixesAt(src source) []string {
	if !r.spend(src.end) {
		return nil
	}
	return prefixesAt(src, r.limits)
}

func prefixesAt(src source, limits xmltext.Limits) []string {
	t := xmltext.NewTokenizer(src.doc, limits)
	for {
		kind, err := t.Next()
		if err != nil || kind == xmltext.EOF {
			return nil
		}
		if kind != xmltext.StartElement || !src.node.Whole && t.Span().Start < src.node.Element {
			continue
		}
		var out []string
		for _, b := range t.InScope(nil) {
			p := string(bytes.Clone(b.Prefix))
			if p == "" {
				p = "#default"
			}
			if !slices.Contains(out, p) && p != "xml" {
				out = append(out, p)
			}
		}
		return out
	}
}
