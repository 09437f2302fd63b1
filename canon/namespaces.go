package canon

import (
	"bytes"
	"slices"
)

// shownNamespaces are the namespace nodes that the output has in scope. They are kept as a mark on each declaration of the
// document that the output shows: a declaration in force is not overridden between where it is shown and where it is used,
// since the output has all elements in between. So a marked declaration need not be shown again, and one that is not marked
// has to be compared with the innermost marked one of its prefix only.
type shownNamespaces struct {
	shown  []bool // by index of the declaration
	marked []int  // the marked ones, in order
	open   []int  // how many of marked there were before each open element of the output
	fresh  []int  // those to write in the current start tag, sorted by prefix
	total  int    // octets of names in all declarations written
}

func (n *shownNamespaces) reset() {
	n.shown, n.marked, n.open, n.fresh, n.total = n.shown[:0], n.marked[:0], n.open[:0], n.fresh[:0], 0
}

// enter prepares for the declarations from first up to count, those of an element that starts.
func (n *shownNamespaces) enter(first, count int) {
	n.open = append(n.open, len(n.marked))
	n.fresh = n.fresh[:0]
	n.shown = n.shown[:min(first, len(n.shown))]
	for len(n.shown) < count {
		n.shown = append(n.shown, false)
	}
}

// leave forgets what the element that ends has shown.
func (n *shownNamespaces) leave() {
	last := len(n.open) - 1
	if from := n.open[last]; from < len(n.marked) {
		for _, i := range n.marked[from:] {
			if i < len(n.shown) {
				n.shown[i] = false
			}
		}
		n.marked = n.marked[:from]
	}
	n.open = n.open[:last]
}

// namespaces finds the namespace nodes that the current element shows. Inclusive forms show what is in scope and not yet in
// the output (Canonical XML 1.0 section 2.3); exclusive forms treat the prefixes of PrefixList so, and of the others show
// those that the element visibly utilizes (Exclusive XML Canonicalization section 3).
func (c *canonicalizer) namespaces() error {
	tok, n := c.tok, &c.shownNamespaces
	first, count := tok.FirstDeclared(), tok.Bindings()
	apex := len(n.open) == 0
	if apex { // nothing is in the output yet
		first = 0
	}
	n.enter(first, count)
	for i := tok.FirstDeclared(); i < count; i++ {
		if err := c.meansOneThing(i); err != nil {
			return err
		}
	}
	if !c.exclusive || len(c.prefixes) > 0 {
		for k := range count - first {
			i := first + k
			if apex {
				i = count - 1 - k
				if len(tok.Binding(i).URI) == 0 || tok.Overridden(i) {
					continue
				}
			}
			if !c.exclusive || c.listed(tok.Binding(i).Prefix) {
				if err := c.show(i); err != nil {
					return err
				}
			}
		}
	}
	if c.exclusive {
		if err := c.show(tok.NameBinding()); err != nil {
			return err
		}
		attrs := tok.Attrs()
		for i := range attrs {
			if err := c.show(attrs[i].Binding); err != nil {
				return err
			}
		}
	}
	if len(n.fresh) > 1 {
		slices.SortFunc(n.fresh, func(a, b int) int { return bytes.Compare(tok.Binding(a).Prefix, tok.Binding(b).Prefix) })
	}
	return nil
}

// listed reports whether PrefixList has prefix.
func (c *canonicalizer) listed(prefix []byte) bool {
	return slices.ContainsFunc(c.prefixes, func(p string) bool {
		return p == string(prefix) || p == "#default" && len(prefix) == 0
	})
}

// show sees to it that the output has the declaration with index i in scope. There are no nodes to show for the prefix xml,
// nor for names without a namespace where no default namespace was ever declared.
func (c *canonicalizer) show(i int) error {
	if i < 0 || c.shown[i] {
		return nil
	}
	return c.render(i)
}

// render adds the declaration with index i to those of the current element unless the output has the same in scope.
func (c *canonicalizer) render(i int) error {
	tok, b := c.tok, c.tok.Binding(i)
	var before []byte // xmlns="" is in scope from the start
	for outer := tok.Outer(i); outer >= 0; outer = tok.Outer(outer) {
		if c.shown[outer] {
			before = tok.Binding(outer).URI
			break
		}
	}
	c.shown[i] = true
	c.marked = append(c.marked, i)
	if bytes.Equal(before, b.URI) {
		return nil
	}
	if err := c.meansOneThing(i); err != nil {
		return err
	}
	c.fresh = append(c.fresh, i)
	if c.total += len(b.Prefix) + len(b.URI); c.total > bound(tok.Span().End) {
		return c.refuse("%v", errTooLarge)
	}
	return nil
}

// meansOneThing refuses a declaration of a relative namespace name, which means different things in different places: a failure,
// whether the name is used or not (Canonical XML 1.0 section 1.3).
func (c *canonicalizer) meansOneThing(i int) error {
	if b := c.tok.Binding(i); len(b.URI) > 0 && !absolute(b.URI) {
		return c.refuse("namespace prefix %.64q bound to a relative URI", b.Prefix)
	}
	return nil
}

// absolute reports whether uri starts with a scheme and a colon (RFC 3986 section 3.1).
func absolute(uri []byte) bool {
	for i, c := range uri {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return i > 0 && c == ':'
		}
	}
	return false
}
