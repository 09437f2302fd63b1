package canon

import "github.com/epov-signer/epov/canon/xmltext"

// Much of a message is canonical as it stands. Tokens that are, and that follow one another, are not written one by one:
// they form a run, which is written from the document in one piece when something else has to be written.

// longRun is when a run is written at the latest, so that the octets are still at hand when they are hashed.
const longRun = 8 << 10

// verbatim writes the current token as it stands in the document.
func (c *canonicalizer) verbatim(span xmltext.Span) {
	if span.Start != c.run.End {
		c.endRun()
		c.run.Start = span.Start
	}
	if c.run.End = span.End; c.run.End-c.run.Start >= longRun || c.reader {
		c.endRun()
	}
}

// endRun writes the run. It comes before all other writing.
func (c *canonicalizer) endRun() {
	if c.run.End > c.run.Start {
		c.out.octets(c.tok.Octets(c.run))
	}
	c.run.Start = c.run.End
}

// canonicalTag reports whether the current start tag is canonical as it stands: tidy, with declarations that are all to be
// written, and in order.
func (c *canonicalizer) canonicalTag() bool {
	tok := c.tok
	if first := tok.FirstDeclared(); !tok.Tidy() || len(c.fresh) != tok.Bindings()-first {
		return false
	} else {
		for k, i := range c.fresh {
			if i != first+k {
				return false
			}
		}
	}
	attrs := tok.Attrs()
	for i := 1; i < len(attrs); i++ {
		if compareAttrs(&attrs[i-1], &attrs[i]) > 0 {
			return false
		}
	}
	return true
}
