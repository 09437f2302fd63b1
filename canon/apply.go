package canon

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/epov-signer/epov/canon/xmltext"
)

// Apply writes the octets that chain makes of node in doc. A chain that ends with a node-set is canonicalized with
// inclusive C14N 1.0 (XMLDSig section 4.4.3.2), and so is a node-set that meets the SMEV transform. Between two
// octet-producing transforms the octets are parsed anew, unless the outcome is known to be the same without. Nothing but an
// enveloped-signature transform without effect may follow the SMEV transform, whose octets go to the digest as they are.
// doc is read up to the end of node.
//
// Errors are *xmltext.SyntaxError for doc itself, *TransformError for what a transform refuses, and w's own. What was
// written before an error means nothing. The output is bounded: the namespace names in it have no more than 64 times the
// octets of doc and 64 KiB, and the rest has a few times those of doc.
func Apply(w io.Writer, doc []byte, node Node, chain []Transform, limits xmltext.Limits) error {
	p := processors.Get().(*processor)
	defer p.release()
	return p.apply(w, doc, node, chain, limits)
}

func (p *processor) apply(w io.Writer, doc []byte, node Node, chain []Transform, limits xmltext.Limits) error {
	if err := p.plan(node, chain); err != nil {
		return err
	}
	p.tok.Reset(doc, limits)
	p.begin(&p.tok, w)
	return p.rest(w, doc, limits, p.scan())
}

// ApplyReader is Apply for a document that r delivers. It reads r up to the end of node, and perhaps more. The document is
// not held in memory; nor is what passes between the transforms of the chain that ends with exclusive canonicalization and
// the SMEV transform. Other chains with more than one octet-producing transform hold their octets in between. Where a
// document gives more than one reason to refuse it, the error may be another one than Apply's.
func ApplyReader(w io.Writer, r io.Reader, node Node, chain []Transform, limits xmltext.Limits) error {
	p := processors.Get().(*processor)
	defer p.release()
	if err := p.plan(node, chain); err != nil {
		return err
	}
	p.tok.ResetReader(r, limits)
	p.begin(&p.tok, w)
	p.smev.block.reader, p.c14n.reader = true, true
	err := p.scan()
	if err != nil || p.fuses() {
		return err
	}
	return p.following(w, limits)
}

// Job is what one reference asks of a document: the octets that Chain makes of Node, written to W.
type Job struct {
	Node  Node
	Chain []Transform
	W     io.Writer
}

// ApplyAll does the same as Apply for each job and returns their errors in the same order. The document is read once, as
// far as the last of the nodes needs; nodes may overlap. The jobs' writers take turns: they are called by one goroutine.
func ApplyAll(doc []byte, jobs []Job, limits xmltext.Limits) []error {
	errs := make([]error, len(jobs))
	running := make([]*processor, len(jobs))
	var tok *xmltext.Tokenizer
	left := 0
	for i, job := range jobs {
		p := processors.Get().(*processor)
		defer p.release()
		if errs[i] = p.plan(job.Node, job.Chain); errs[i] != nil {
			continue
		}
		if tok == nil {
			tok = &p.tok
			tok.Reset(doc, limits)
		}
		running[i] = p
		p.begin(tok, job.W)
		left++
	}
	scanned := make([]*processor, len(jobs))
	copy(scanned, running)
	for left > 0 {
		kind, err := tok.Next()
		for i, p := range running {
			if p == nil || err == nil && kind != xmltext.EOF && p.c14n.before() {
				continue
			}
			done, stepErr := false, err
			if err == nil {
				done, stepErr = p.c14n.step(kind)
			}
			if done || stepErr != nil {
				errs[i], running[i] = stepErr, nil
				left--
			}
		}
	}
	for i, p := range scanned {
		if p != nil {
			errs[i] = p.rest(jobs[i].W, doc, limits, errs[i])
		}
	}
	return errs
}

// processor is the reusable state of one chain at work.
type processor struct {
	tok     xmltext.Tokenizer
	out     writer
	c14n    canonicalizer
	smev    smevTransform
	decoder decoder
	stages  []stage
	staged  bool // the stages are not to be fused
	between [2]bytes.Buffer

	follower Follower // the one that this works for
}

var processors = sync.Pool{New: func() any { return new(processor) }}

// begin prepares the first stage, which reads tok.
func (p *processor) begin(tok *xmltext.Tokenizer, w io.Writer) {
	if len(p.stages) > 1 && !p.fuses() {
		p.between[0].Reset()
		w = &p.between[0]
	}
	p.beginStage(0, tok, w)
	if p.fuses() {
		p.smev.begin(tok, &p.out)
		p.c14n.fused = &p.smev
	}
}

// beginStage prepares a stage that reads tok and is not the SMEV transform.
func (p *processor) beginStage(i int, tok *xmltext.Tokenizer, w io.Writer) {
	s := &p.stages[i]
	p.out.reset(w)
	p.c14n.begin(tok, &p.out, s.form, s.selection)
	if s.form == &base64Form {
		p.decoder = decoder{out: &p.out}
		p.c14n.decoder = &p.decoder
	}
}

// scan runs the canonicalizer over the document.
func (p *processor) scan() error {
	for {
		kind, err := p.c14n.tok.Next()
		if err != nil {
			return err
		}
		if done, err := p.c14n.step(kind); done || err != nil {
			return err
		}
	}
}

// rest takes over after the scan of doc, which ended with err.
func (p *processor) rest(w io.Writer, doc []byte, limits xmltext.Limits, err error) error {
	switch {
	case !p.fuses():
		if err == nil {
			err = p.following(w, limits)
		}
	case err != nil: // the stages one after the other may find another reason first
		p.staged = true
		p.tok.Reset(doc, limits)
		p.begin(&p.tok, io.Discard)
		if staged := p.rest(io.Discard, doc, limits, p.scan()); staged != nil {
			err = staged
		}
	}
	return err
}

// following runs the stages after the first.
func (p *processor) following(w io.Writer, limits xmltext.Limits) error {
	for i := 1; i < len(p.stages); i++ {
		doc, dst := p.between[(i-1)%2].Bytes(), w
		if i+1 < len(p.stages) {
			next := &p.between[i%2]
			next.Reset()
			dst = next
		}
		if err := p.stage(i, doc, dst, derived(limits)); err != nil {
			if syntax := (*xmltext.SyntaxError)(nil); errors.As(err, &syntax) {
				return &TransformError{URI: p.stages[i].uri(), Message: "output of the transform before it", Err: err}
			}
			return err
		}
	}
	return nil
}

// stage runs a stage over octets.
func (p *processor) stage(i int, doc []byte, w io.Writer, limits xmltext.Limits) error {
	p.tok.Reset(doc, limits)
	switch s := &p.stages[i]; {
	case s.form == nil:
		p.out.reset(w)
		p.smev.begin(&p.tok, &p.out)
		return p.smev.run()
	case s.octets:
		p.out.reset(w)
		p.decoder = decoder{out: &p.out}
		if err := p.decoder.write(doc); err != nil {
			return err
		}
		if err := p.decoder.finish(); err != nil {
			return err
		}
		return p.out.flush()
	}
	p.beginStage(i, &p.tok, w)
	return p.scan()
}

// release gives p back.
func (p *processor) release() {
	p.clean()
	processors.Put(p)
}

// clean takes the caller's data out of p, and buffers that were large once.
func (p *processor) clean() {
	const keep = 1 << 20
	p.tok.Reset(nil, xmltext.Limits{})
	p.out.reset(nil)
	p.c14n.selection = selection{}
	p.smev.block.held = nil
	if cap(p.smev.block.own) > keep {
		p.smev.block.own = nil
	}
	clear(p.stages)
	p.stages, p.staged = p.stages[:0], false
	for i := range p.between {
		if p.between[i].Cap() > keep {
			p.between[i] = bytes.Buffer{}
		}
	}
}
