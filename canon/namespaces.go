package canon

import (
	"bytes"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

// namespaces adds to c.rendered the namespace nodes that the current element shows. Inclusive forms show what is in scope
// and not yet in the output (Canonical XML 1.0 section 2.3); exclusive forms treat the prefixes of PrefixList so, and of the
// others show those that the element visibly utilizes (Exclusive XML Canonicalization section 3).
func (c *canonicalizer) namespaces(name xmltext.Name, attrs []xmltext.Attr) error {
	candidates := c.tok.Declared()
	if len(c.open) == 1 { // nothing is in the output yet
		c.scope = c.tok.InScope(c.scope[:0])
		candidates = c.scope
	}
	for _, b := range candidates {
		if !c.exclusive || c.listed(b.Prefix) {
			if err := c.render(b); err != nil {
				return err
			}
		}
	}
	if !c.exclusive {
		return nil
	}
	if err := c.render(xmltext.Binding{Prefix: name.Prefix, URI: name.Space}); err != nil {
		return err
	}
	for i := range attrs {
		if a := &attrs[i]; len(a.Prefix) > 0 {
			if err := c.render(xmltext.Binding{Prefix: a.Prefix, URI: a.Space}); err != nil {
				return err
			}
		}
	}
	return nil
}

// listed reports whether PrefixList has prefix.
func (c *canonicalizer) listed(prefix []byte) bool {
	return slices.ContainsFunc(c.prefixes, func(p string) bool {
		return p == string(prefix) || p == "#default" && len(prefix) == 0
	})
}

// render adds b to the namespace nodes of the current element unless the output has it in scope already.
func (c *canonicalizer) render(b xmltext.Binding) error {
	if string(b.Prefix) == "xml" { // never shown: it has but one meaning
		return nil
	}
	var shown []byte // xmlns="" is in scope from the start
	for i := len(c.rendered) - 1; i >= 0; i-- {
		if r := &c.rendered[i]; bytes.Equal(r.Prefix, b.Prefix) {
			shown = r.URI
			break
		}
	}
	if bytes.Equal(shown, b.URI) {
		return nil
	}
	if len(b.URI) > 0 && !absolute(b.URI) {
		// Canonical XML 1.0 section 1.3: a failure, as the name means different things in different places
		return c.refuse("namespace prefix %.64q bound to a relative URI", b.Prefix)
	}
	c.rendered = append(c.rendered, b)
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
