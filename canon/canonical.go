package canon

import (
	"bytes"
	"errors"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

// errTooLarge ends a transform whose output grows out of proportion: exclusive canonicalization repeats a declaration on
// each of many siblings, so that without a bound a short document could have an arbitrarily long canonical form. Nothing
// else makes the output more than a few times as large as the document.
var errTooLarge = errors.New("namespace declarations to write are more than 64 times as large as the document up to there")

// bound is how many octets of namespace names are written for a document of size octets.
func bound(size int) int { return 64*size + 64<<10 }

// canonicalizer writes canonical XML from tokens. The output is a subtree or a whole document, less whole subtrees; so an
// element's parent in the output is its parent in the document, except for the apex of the subtree.
type canonicalizer struct {
	tok *xmltext.Tokenizer
	out *writer
	form
	selection
	progress
	shownNamespaces

	run     xmltext.Span   // not yet written, see verbatim.go
	reader  bool           // the document comes from a reader
	fused   *smevTransform // takes the place of canonical octets, see fused.go
	decoder *decoder       // takes the text alone, see base64.go
	xml     []inherited
	merged  []xmltext.Attr
	sorted  []*xmltext.Attr
}

// begin prepares for the tokens of a document, of which s is selected.
func (c *canonicalizer) begin(tok *xmltext.Tokenizer, out *writer, f *form, s selection) {
	c.tok, c.out, c.form, c.selection = tok, out, *f, s
	c.fused, c.decoder, c.xml = nil, nil, c.xml[:0]
	c.run, c.reader = xmltext.Span{}, false
	c.shownNamespaces.reset()
	c.progress = progress{filters: s.signatures || len(s.enveloped) > 0 || len(s.outside) > 0}
}

func (c *canonicalizer) startTag() error {
	if c.decoder != nil {
		return nil
	}
	if err := c.namespaces(); err != nil {
		return err
	}
	if c.fused != nil {
		return c.fused.startTag()
	}
	attrs := c.tok.Attrs()
	if len(c.open) == 1 && len(c.xml) > 0 {
		var err error
		if attrs, err = c.inheritTo(attrs); err != nil {
			return err
		}
	} else if c.canonicalTag() {
		c.verbatim(c.tok.Span())
		return nil
	}
	c.endRun()
	o := c.out
	o.after('<', c.tok.QName())
	for _, i := range c.fresh {
		b := c.tok.Binding(i)
		if b.Source != nil {
			o.after(' ', b.Source)
			continue
		}
		if len(b.Prefix) > 0 {
			o.string(" xmlns:")
			o.octets(b.Prefix)
		} else {
			o.string(" xmlns")
		}
		o.value(b.URI, b.Plain, &valueEscapes)
	}
	if len(attrs) > 0 {
		c.sorted = sortAttrs(c.sorted, attrs, compareAttrs)
		for _, a := range c.sorted {
			if a.Source != nil {
				o.after(' ', a.Source)
				continue
			}
			if o.octet(' '); len(a.Prefix) > 0 {
				o.octets(a.Prefix)
				o.octet(':')
			}
			o.octets(a.Local)
			o.value(a.Value, a.Plain, &valueEscapes)
		}
	}
	o.octet('>')
	return nil
}

// sortAttrs fills dst with the attributes in the order that compare gives. The tokenizer's own slice stays as it is: others
// may read the same token.
func sortAttrs(dst []*xmltext.Attr, attrs []xmltext.Attr, compare func(a, b *xmltext.Attr) int) []*xmltext.Attr {
	const few = 12
	dst = dst[:0]
	for i := range attrs {
		dst = append(dst, &attrs[i])
	}
	if len(dst) > few {
		slices.SortFunc(dst, compare)
		return dst
	}
	for i := 1; i < len(dst); i++ {
		for j := i; j > 0 && compare(dst[j], dst[j-1]) < 0; j-- {
			dst[j], dst[j-1] = dst[j-1], dst[j]
		}
	}
	return dst
}

// compareAttrs orders attributes as Canonical XML 1.0 section 2.2 says.
func compareAttrs(a, b *xmltext.Attr) int {
	if a.Binding != b.Binding {
		if k := bytes.Compare(a.Space, b.Space); k != 0 {
			return k
		}
	}
	return bytes.Compare(a.Local, b.Local)
}

func (c *canonicalizer) endTag() {
	switch {
	case c.decoder != nil:
		return
	case c.fused != nil:
		c.fused.endTag()
	default:
		span, name := c.tok.Span(), c.tok.QName()
		if span.End-span.Start == len("</>")+len(name) {
			c.verbatim(span)
			break
		}
		c.endRun()
		c.out.string("</")
		c.out.octets(name)
		c.out.octet('>')
	}
	c.leave()
}

func (c *canonicalizer) text() error {
	switch {
	case c.decoder != nil:
		return c.decoder.write(c.tok.Text())
	case c.fused != nil:
		return c.fused.join()
	case c.tok.Shape() != xmltext.Mixed:
		c.verbatim(c.tok.Span())
	default:
		c.endRun()
		c.out.escaped(c.tok.Text(), &textEscapes)
	}
	return nil
}

// misc writes a comment or a processing instruction; outside the root a line feed parts it from the root.
func (c *canonicalizer) misc(kind xmltext.Kind) error {
	switch {
	case c.decoder != nil, kind == xmltext.Comment && !(c.form.comments && c.Node.Comments):
		return nil
	case c.fused != nil:
		c.fused.endBlock()
		return nil
	}
	c.endRun()
	inside := c.apex > 0
	if !inside && c.rooted {
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
	if !inside && !c.rooted {
		c.out.octet('\n')
	}
	return nil
}
