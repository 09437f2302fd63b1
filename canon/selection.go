package canon

import (
	"fmt"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

const dsigURI = "http://www.w3.org/2000/09/xmldsig#"

// selection is what a canonicalization writes: a node without some of its descendants.
type selection struct {
	Node
	prefixes   []string // InclusiveNamespaces PrefixList
	enveloped  []int    // offsets of ds:Signature elements to leave out, in order
	signatures bool     // leave out every ds:Signature
	outside    []int    // offsets of ds:Signature elements that must not be met
}

// progress is where in the document a selection stands.
type progress struct {
	filters  bool // the selection may leave out or refuse elements
	rooted   bool // the root is behind
	apex     int  // depth of the apex, 0 outside of it
	skipping int  // depth of the element that is left out, 0 outside of one
	end      int  // offset of the end of the apex
	met      int  // how many of the enveloped were met
}

// before reports whether the current token comes before the apex and does not matter. An element that no token starts with is
// told at the end of the document.
func (c *canonicalizer) before() bool {
	return c.apex == 0 && !c.Whole && !c.filters && !c.inherits && c.tok.Span().Start < c.Element
}

// step takes the current token; done says that all that is selected has been seen and written.
func (c *canonicalizer) step(kind xmltext.Kind) (done bool, err error) {
	if c.skipping > 0 {
		return false, c.skip(kind)
	}
	switch kind {
	case xmltext.StartElement:
		if c.apex == 0 || c.filters {
			if taken, err := c.admit(); !taken || err != nil {
				return false, err
			}
		}
		if err := c.startTag(); err != nil {
			return false, err
		}
	case xmltext.EndElement:
		if c.apex == 0 {
			c.disinherit()
			return false, nil
		}
		c.endTag()
		if c.tok.Depth() == c.apex {
			if c.apex, c.rooted = 0, true; !c.Whole {
				c.end = c.tok.Span().End
				return true, c.finish()
			}
		}
	case xmltext.Text:
		if c.apex > 0 {
			if err := c.text(); err != nil {
				return false, err
			}
		}
	case xmltext.Comment, xmltext.ProcInst:
		if c.apex > 0 || c.Whole {
			if err := c.misc(kind); err != nil {
				return false, err
			}
		}
	case xmltext.EOF:
		if !c.Whole {
			return false, c.refuse("no element starts at offset %d", c.Element)
		}
		c.end = c.tok.Span().End
		return true, c.finish()
	}
	return false, c.out.err
}

// admit decides on the element that starts here: taken, or left out, or before the apex.
func (c *canonicalizer) admit() (taken bool, err error) {
	omitted := false
	if c.filters {
		if omitted, err = c.omits(); err != nil {
			return false, err
		}
	}
	switch {
	case c.apex > 0 && !omitted:
		return true, nil
	case c.apex > 0:
		c.skipping = c.tok.Depth()
		return false, nil
	case !c.Whole && c.tok.Span().Start != c.Element:
		c.inherit()
		return false, nil
	case omitted:
		return false, c.refuse("the ds:Signature to leave out is the root of what is signed")
	}
	c.apex = c.tok.Depth()
	return true, nil
}

// omits reports whether the element that starts here is to be left out.
func (c *canonicalizer) omits() (bool, error) {
	start, name := c.tok.Span().Start, c.tok.Name()
	signature := string(name.Local) == "Signature" && string(name.Space) == dsigURI
	omitted := c.signatures && signature
	for c.met < len(c.enveloped) && c.enveloped[c.met] <= start {
		if c.enveloped[c.met] == start {
			if !signature {
				return false, &TransformError{
					URI: EnvelopedURI, Message: fmt.Sprintf("element at offset %d is not a ds:Signature", start),
				}
			}
			omitted = true
		} else if c.apex > 0 || c.Whole { // between two start tags of the selection
			break
		}
		c.met++
	}
	if slices.Contains(c.outside, start) && (c.apex > 0 || c.Whole || start == c.Element) {
		return false, &TransformError{
			URI: EnvelopedURI, Message: "the ds:Signature lies in what an earlier transform made octets of",
		}
	}
	return omitted, nil
}

// skip takes a token of an element that is left out.
func (c *canonicalizer) skip(kind xmltext.Kind) error {
	switch {
	case kind == xmltext.StartElement:
		_, err := c.omits()
		return err
	case kind == xmltext.EndElement && c.tok.Depth() == c.skipping:
		c.skipping = 0
	}
	return nil
}

// finish ends a run that has seen all it selects.
func (c *canonicalizer) finish() error {
	for _, offset := range c.enveloped[c.met:] { // in order of offset
		if offset < c.end && (c.Whole || offset >= c.Element) {
			return &TransformError{URI: EnvelopedURI, Message: fmt.Sprintf("no ds:Signature starts at offset %d", offset)}
		}
	}
	if c.decoder != nil {
		if err := c.decoder.finish(); err != nil {
			return err
		}
	}
	c.endRun()
	return c.out.flush()
}

func (c *canonicalizer) refuse(format string, args ...any) error {
	return &TransformError{URI: c.uri, Message: fmt.Sprintf(format, args...)}
}
