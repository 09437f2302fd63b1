package canon

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

// inherited is an attribute in the xml namespace of an ancestor of the apex.
type inherited struct {
	depth int // of the ancestor
	attr  xmltext.Attr
}

// inherit notes the xml: attributes of the current element, which may be an ancestor of the apex.
func (c *canonicalizer) inherit() {
	if !c.inherits {
		return
	}
	for _, a := range c.tok.Attrs() {
		if string(a.Prefix) == "xml" {
			a.Value, a.Local, a.Source = bytes.Clone(a.Value), bytes.Clone(a.Local), nil
			c.xml = append(c.xml, inherited{c.tok.Depth(), a})
		}
	}
}

// disinherit forgets the current element, which ends before the apex is met.
func (c *canonicalizer) disinherit() {
	for last := len(c.xml) - 1; last >= 0 && c.xml[last].depth >= c.tok.Depth(); last-- {
		c.xml = c.xml[:last]
	}
}

// inheritTo adds to the attributes of the apex what it takes over from its ancestors. In Canonical XML 1.0 (section 2.4)
// that is the nearest of each xml: attribute that the apex has not; in 1.1 (section 2.4) only xml:lang and xml:space, and
// xml:base is joined.
func (c *canonicalizer) inheritTo(attrs []xmltext.Attr) ([]xmltext.Attr, error) {
	var err error
	c.merged = append(c.merged[:0], attrs...)
	attrs = c.merged
	if c.version11 {
		if attrs, err = c.joinBase(attrs); err != nil {
			return nil, err
		}
	}
	for i := len(c.xml) - 1; i >= 0; i-- {
		a := c.xml[i].attr
		if local := string(a.Local); !c.version11 || local == "lang" || local == "space" {
			attrs = append(attrs, a)
		}
	}
	// The apex's own attributes and then the nearest ancestor's come first among those of one name.
	slices.SortStableFunc(attrs, compareNames)
	return slices.CompactFunc(attrs, func(a, b xmltext.Attr) bool { return compareNames(a, b) == 0 }), nil
}

// compareNames orders attributes as compareAttrs does.
func compareNames(a, b xmltext.Attr) int {
	return cmp.Or(bytes.Compare(a.Space, b.Space), bytes.Compare(a.Local, b.Local))
}

const maxBase = 8 << 10 // octets of a joined xml:base

// joinBase replaces the xml:base of the apex by the join of its ancestors' and its own, if an ancestor has one.
func (c *canonicalizer) joinBase(attrs []xmltext.Attr) ([]xmltext.Attr, error) {
	isBase := func(a xmltext.Attr) bool { return string(a.Prefix) == "xml" && string(a.Local) == "base" }
	own := slices.IndexFunc(attrs, isBase)
	joined, found := xmltext.Attr{}, false
	if own >= 0 {
		joined, found = attrs[own], true
	}
	changed := false
	for _, x := range slices.Backward(c.xml) { // the innermost pair is joined first
		switch {
		case !isBase(x.attr):
			continue
		case !found:
			joined, found = x.attr, true
		case len(x.attr.Value)+len(joined.Value) > maxBase:
			return nil, c.refuse("xml:base to join longer than %d octets", maxBase)
		default:
			joined.Value, joined.Plain = []byte(joinURIReferences(string(x.attr.Value), string(joined.Value))), false
			joined.Source = nil
		}
		changed = true
	}
	if !changed {
		return attrs, nil
	}
	if own >= 0 {
		attrs = slices.Delete(attrs, own, own+1)
	}
	if len(joined.Value) > 0 { // an empty one is not rendered
		attrs = append(attrs, joined)
	}
	return attrs, nil
}
