package canon

import (
	"fmt"
	"math"
	"slices"

	"github.com/epov-signer/epov/canon/xmltext"
)

const (
	maxChain    = 16  // transforms of a chain
	maxPrefixes = 256 // entries of a PrefixList
)

// stage is an octet-producing transform together with what was taken out of the node-set before it.
type stage struct {
	form   *form // nil for the SMEV transform
	octets bool  // base64 is decoded as it stands, not parsed
	selection
}

func (s *stage) uri() string {
	if s.form == nil {
		return SMEVURI
	}
	return s.form.uri
}

// derived are the limits of the octets that a transform made of a document within limits: their size is bounded already,
// and the apex of an inclusive form declares all that is in scope.
func derived(limits xmltext.Limits) xmltext.Limits {
	limits.Size, limits.Attributes = math.MaxInt, math.MaxInt32
	return limits
}

// plan checks a chain that starts from node and divides it into stages, at least one.
func (p *processor) plan(node Node, chain []Transform) error {
	if len(chain) > maxChain {
		return &TransformError{Message: fmt.Sprintf("more than %d transforms", maxChain)}
	}
	var (
		current stage
		outside []int
		nodes   = true // the data is a node-set
		smev    = false
	)
	for i := range chain {
		t := &chain[i]
		if err := t.check(smev); err != nil {
			return err
		}
		switch t.URI {
		case EnvelopedURI:
			if len(p.stages) > 0 { // the offset means nothing in the octets that there are now
				outside = append(outside, t.Signature)
			} else {
				current.enveloped = append(current.enveloped, t.Signature)
			}
			continue
		case XPathURI, Filter2URI:
			current.signatures, nodes = true, true
			continue
		case Base64URI:
			current.form, current.octets = &base64Form, !nodes
		case SMEVURI:
			if nodes {
				current.form = implicit
				p.add(&current)
			}
			smev = true
		default:
			current.form, current.prefixes = findForm(t.URI), t.PrefixList
		}
		p.add(&current)
		nodes = false
	}
	if nodes {
		current.form = implicit
		p.add(&current)
	}
	p.stages[0].outside = outside
	p.stages[0].Node = node
	for i := range p.stages[1:] {
		p.stages[i+1].Node = Node{Whole: true, Comments: true}
	}
	return nil
}

// add ends the current stage.
func (p *processor) add(current *stage) {
	slices.Sort(current.enveloped)
	p.stages = append(p.stages, *current)
	*current = stage{}
}

// check refuses a transform that is not supported as it is, or after the SMEV transform.
func (t *Transform) check(afterSMEV bool) error {
	f := findForm(t.URI)
	message := ""
	switch {
	case !Known(t.URI) && t.URI != Base64URI:
		message = "not supported"
	case afterSMEV && t.URI != EnvelopedURI:
		message = "no transform may follow " + SMEVURI
	case len(t.PrefixList) > 0 && (f == nil || !f.exclusive):
		message = "takes no PrefixList"
	case len(t.PrefixList) > maxPrefixes:
		message = fmt.Sprintf("PrefixList of more than %d entries", maxPrefixes)
	case t.URI == XPathURI && !t.OmitSignatures:
		message = "the only expression supported is not(ancestor-or-self::ds:Signature)"
	case t.URI == Filter2URI && !t.OmitSignatures:
		message = "the only filter supported is the subtraction of //ds:Signature"
	default:
		return nil
	}
	return &TransformError{URI: t.URI, Message: message}
}
