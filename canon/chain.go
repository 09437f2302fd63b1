package canon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/epov-signer/epov/canon/xmltext"
)

const (
	maxChain    = 16  // transforms of a chain
	maxPrefixes = 256 // entries of a PrefixList
)

// stage is an octet-producing transform together with what was taken out of the node-set before it.
type stage struct {
	form *form // nil for the SMEV transform
	selection
}

// Apply writes the octets that chain makes of node in doc. A chain that ends with a node-set is canonicalized with
// inclusive C14N 1.0 (XMLDSig section 4.4.3.2), and so is a node-set that meets the SMEV transform. Between two
// octet-producing transforms the octets are parsed anew. Nothing but an enveloped-signature transform without effect may
// follow the SMEV transform, whose octets go to the digest as they are. doc is read up to the end of node.
//
// Errors are *xmltext.SyntaxError for doc itself, *TransformError for what a transform refuses, and w's own. What was
// written before an error means nothing. Output is bounded: 64 times the length of doc and 64 KiB.
func Apply(w io.Writer, doc []byte, node Node, chain []Transform, limits xmltext.Limits) error {
	p := processors.Get().(*processor)
	defer processors.Put(p)
	defer p.release()
	return p.apply(w, doc, node, chain, limits)
}

func (p *processor) apply(w io.Writer, doc []byte, node Node, chain []Transform, limits xmltext.Limits) error {
	if err := p.plan(chain); err != nil {
		return err
	}
	stages := p.stages
	stages[0].Node = node
	for i := range stages[1:] {
		stages[i+1].Node = Node{Whole: true, Comments: true}
	}
	for i := range stages {
		dst := w
		var buf *bytes.Buffer
		if i+1 < len(stages) {
			buf = &p.between[i%2]
			buf.Reset()
			dst = buf
		}
		if err := p.run(dst, bound(len(doc)), doc, &stages[i], limits); err != nil {
			if i == 0 {
				return err
			}
			if syntax := (*xmltext.SyntaxError)(nil); errors.As(err, &syntax) {
				return &TransformError{URI: stages[i].uri(), Message: "output of the transform before it", Err: err}
			}
			return err
		}
		if buf == nil {
			break
		}
		doc, limits = buf.Bytes(), derived(limits)
	}
	return nil
}

func (s *stage) uri() string {
	if s.form == nil {
		return SMEVURI
	}
	return s.form.uri
}

// derived are the limits of the octets that a transform made of a document within limits: the writer has bounded their
// size, and the apex of an inclusive form declares all that is in scope.
func derived(limits xmltext.Limits) xmltext.Limits {
	limits.Size, limits.Attributes = math.MaxInt, math.MaxInt32
	return limits
}

// plan checks a chain and divides it into stages, at least one.
func (p *processor) plan(chain []Transform) error {
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
		case XPathURI:
			current.signatures, nodes = true, true
			continue
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
	case !Known(t.URI):
		message = "not supported"
	case afterSMEV && t.URI != EnvelopedURI:
		message = "no transform may follow " + SMEVURI
	case len(t.PrefixList) > 0 && (f == nil || !f.exclusive):
		message = "takes no PrefixList"
	case len(t.PrefixList) > maxPrefixes:
		message = fmt.Sprintf("PrefixList of more than %d entries", maxPrefixes)
	case t.URI == XPathURI && !t.OmitSignatures:
		message = "the only expression supported is not(ancestor-or-self::ds:Signature)"
	default:
		return nil
	}
	return &TransformError{URI: t.URI, Message: message}
}

// processor is the reusable state of Apply.
type processor struct {
	tok     xmltext.Tokenizer
	out     writer
	c14n    canonicalizer
	smev    smevTransform
	stages  []stage
	between [2]bytes.Buffer
}

var processors = sync.Pool{New: func() any { return new(processor) }}

func (p *processor) run(w io.Writer, limit int, doc []byte, s *stage, limits xmltext.Limits) error {
	p.out.reset(w, limit)
	var err error
	if s.form == nil {
		p.smev.tok, p.smev.out = &p.tok, &p.out
		err = p.smev.run(doc, limits)
	} else {
		p.c14n.tok, p.c14n.out = &p.tok, &p.out
		err = p.c14n.run(doc, s.form, s.selection, limits)
	}
	if errors.Is(err, errTooLarge) {
		return &TransformError{URI: s.uri(), Message: err.Error()}
	}
	return err
}

// release makes p ready for the next use, without the caller's data and without buffers that were large once.
func (p *processor) release() {
	const keep = 1 << 20
	p.tok.Reset(nil, xmltext.Limits{})
	p.out.reset(nil, 0)
	p.c14n.selection = selection{}
	clear(p.stages)
	p.stages = p.stages[:0]
	for i := range p.between {
		if p.between[i].Cap() > keep {
			p.between[i] = bytes.Buffer{}
		}
	}
}
