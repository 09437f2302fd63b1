package main

import (
	"io"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/internal/load"
)

// canonComparisons compares with libxml2 and goxmldsig, parsing and canonicalizing together, and the fused route to the SMEV transform
// with the two transforms one after the other.
func canonComparisons() ([]comparison, error) {
	var list []comparison
	apply := func(doc []byte, uris ...string) func() {
		var chain []canon.Transform
		for _, uri := range uris {
			chain = append(chain, canon.Transform{URI: uri})
		}
		return func() { must(canon.Apply(io.Discard, doc, canon.Node{Whole: true}, chain, xmltext.Limits{})) }
	}
	for _, size := range []struct {
		name   string
		octets int
	}{{"2k", 2 << 10}, {"20k", 20 << 10}, {"1m", 1 << 20}, {"20m", 20 << 20}} {
		doc := load.Message(size.octets)
		list = append(list, comparison{
			name: "canon/libxml2-" + size.name, ours: apply(doc, canon.ExclusiveURI), peer: "c14n", input: doc,
		})
	}
	doc := load.Message(20 << 10)
	list = append(list, comparison{
		name: "canon/goxmldsig-20k", ours: apply(doc, canon.ExclusiveURI), peer: "c14n", program: "goxmldsig", input: doc,
	})
	// With comments, of which a whole document as Node has none, the octets are the same, but the route is not fused.
	doc = load.Message(10 << 10)
	return append(list, comparison{
		name: "canon/smev-fused", ours: apply(doc, canon.ExclusiveURI, canon.SMEVURI),
		other: apply(doc, canon.ExclusiveCommentsURI, canon.SMEVURI),
	}), nil
}
