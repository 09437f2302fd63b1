package canon

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

const dsigURI = "http://www.w3.org/2000/09/xmldsig#"

// selection is what a canonicalization writes: a node without some of its descendants.
type selection struct {
	Node
	prefixes   []string // InclusiveNamespaces PrefixList
	enveloped  []int    // offsets of ds:Signature elements to leave out
	signatures bool     // leave out every ds:Signature
	outside    []int    // offsets of ds:Signature elements that must not be met
}

// canonicalizer writes canonical XML from tokens. The output is a subtree or a whole document, less whole subtrees; so an
// element's parent in the output is its parent in the document, except for the apex of the subtree.
type canonicalizer struct {
	tok *xmltext.Tokenizer
	out *writer
	form
	selection

	// rendered holds the namespace nodes written for the open elements, one after the other, and open how many there were
	// before each of these elements. The innermost one of a prefix is what the output has in scope.
	rendered []xmltext.Binding
	open     []int
	scope    []xmltext.Binding
	xml      []inherited
	apex     int // depth of the apex, 0 before it is met
	end      int // offset of the end of the apex
	met      int // how many of the enveloped were met
}

// run canonicalizes what s selects of doc.
func (c *canonicalizer) run(doc []byte, f *form, s selection, limits xmltext.Limits) error {
	c.form, c.selection = *f, s
	c.rendered, c.open, c.xml = c.rendered[:0], c.open[:0], c.xml[:0]
	c.apex, c.end, c.met = 0, 0, 0
	c.tok.Reset(doc, limits)
	rooted := false // the root is behind
	for {
		kind, err := c.tok.Next()
		if err != nil {
			return err
		}
		inside := c.apex > 0
		switch kind {
		case xmltext.EOF:
			if !c.Whole {
				return c.refuse("no element starts at offset %d", c.Element)
			}
			c.end = len(doc)
			return c.finish()
		case xmltext.StartElement:
			omitted, err := c.omits()
			switch {
			case err != nil:
				return err
			case !inside && !c.Whole && c.tok.Span().Start != c.Element:
				c.inherit()
				continue
			case omitted && !inside:
				return c.refuse("the ds:Signature to leave out is the root of what is signed")
			case omitted:
				if err := c.skip(); err != nil {
					return err
				}
				continue
			case !inside:
				c.apex = c.tok.Depth()
			}
			if err := c.startTag(); err != nil {
				return err
			}
		case xmltext.EndElement:
			if !inside {
				c.disinherit()
				continue
			}
			c.endTag()
			if c.tok.Depth() == c.apex {
				if c.apex, rooted = 0, true; !c.Whole {
					c.end = c.tok.Span().End
					return c.finish()
				}
			}
		case xmltext.Text:
			if inside {
				c.out.escaped(c.tok.Text(), &textEscapes)
			}
		case xmltext.Comment, xmltext.ProcInst:
			if inside || c.Whole {
				c.misc(kind, inside, rooted)
			}
		}
		if c.out.err != nil {
			return c.out.err
		}
	}
}

func (c *canonicalizer) refuse(format string, args ...any) error {
	return &TransformError{URI: c.uri, Message: fmt.Sprintf(format, args...)}
}

// finish ends a run that has seen all it selects.
func (c *canonicalizer) finish() error {
	for _, offset := range c.enveloped[c.met:] { // in order of offset
		if offset < c.end && (c.Whole || offset >= c.Element) {
			return &TransformError{URI: EnvelopedURI, Message: fmt.Sprintf("no ds:Signature starts at offset %d", offset)}
		}
	}
	return c.out.flush()
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

// skip reads up to the end of the element that starts here.
func (c *canonicalizer) skip() error {
	for depth := c.tok.Depth(); ; {
		kind, err := c.tok.Next()
		switch {
		case err != nil:
			return err
		case kind == xmltext.StartElement:
			if _, err := c.omits(); err != nil {
				return err
			}
		case kind == xmltext.EndElement && c.tok.Depth() == depth:
			return nil
		}
	}
}

func (c *canonicalizer) startTag() error {
	name, attrs := c.tok.Name(), c.tok.Attrs()
	mark := len(c.rendered)
	c.open = append(c.open, mark)
	if err := c.namespaces(name, attrs); err != nil {
		return err
	}
	if len(c.open) == 1 {
		var err error
		if attrs, err = c.inheritTo(attrs); err != nil {
			return err
		}
	}
	c.out.octet('<')
	c.out.qname(name)
	fresh := c.rendered[mark:]
	slices.SortFunc(fresh, func(a, b xmltext.Binding) int { return bytes.Compare(a.Prefix, b.Prefix) })
	for _, b := range fresh {
		c.out.string(" xmlns")
		if len(b.Prefix) > 0 {
			c.out.octet(':')
			c.out.octets(b.Prefix)
		}
		c.value(b.URI)
	}
	slices.SortFunc(attrs, compareAttrs)
	for i := range attrs {
		c.out.octet(' ')
		c.out.qname(attrs[i].Name)
		c.value(attrs[i].Value)
	}
	c.out.octet('>')
	return nil
}

// compareAttrs orders attributes as Canonical XML 1.0 section 2.2 says.
func compareAttrs(a, b xmltext.Attr) int {
	return cmp.Or(bytes.Compare(a.Space, b.Space), bytes.Compare(a.Local, b.Local))
}

func (c *canonicalizer) value(v []byte) {
	c.out.string(`="`)
	c.out.escaped(v, &valueEscapes)
	c.out.octet('"')
}

func (c *canonicalizer) endTag() {
	c.out.string("</")
	c.out.qname(c.tok.Name())
	c.out.octet('>')
	last := len(c.open) - 1
	c.rendered, c.open = c.rendered[:c.open[last]], c.open[:last]
}

// misc writes a comment or a processing instruction; outside the root a line feed parts it from the root.
func (c *canonicalizer) misc(kind xmltext.Kind, inside, rooted bool) {
	if kind == xmltext.Comment && !(c.form.comments && c.Node.Comments) {
		return
	}
	if !inside && rooted {
		c.out.octet('\n')
	}
	if kind == xmltext.Comment {
		c.out.string("<!--")
		c.out.octets(c.tok.Text())
		c.out.string("-->")
	} else {
		c.out.string("<?")
		c.out.octets(c.tok.Target())
		if text := c.tok.Text(); len(text) > 0 {
			c.out.octet(' ')
			c.out.octets(text)
		}
		c.out.string("?>")
	}
	if !inside && !rooted {
		c.out.octet('\n')
	}
}
