package canon

import (
	"io"

	"github.com/epov-signer/epov/canon/xmltext"
)

// Follower makes the octets of a Job while somebody else reads the document, who then need not have it read again. Not safe
// for concurrent use.
type Follower struct {
	p      *processor
	w      io.Writer
	limits xmltext.Limits
}

// Follow prepares for the job that starts with the current token of tok, the start tag of an element of a document in
// memory: Node.Element is set to it. What comes before must not matter: a chain whose first canonicalization is not an
// exclusive one, or that leaves a signature out, is refused. The Follower has to be closed.
func Follow(tok *xmltext.Tokenizer, job Job, limits xmltext.Limits) (*Follower, error) {
	p := processors.Get().(*processor)
	job.Node.Whole, job.Node.Element = false, tok.Span().Start
	err := p.plan(job.Node, job.Chain)
	if err == nil {
		if s := &p.stages[0]; !s.form.exclusive || s.signatures || len(s.enveloped) > 0 || len(s.outside) > 0 {
			err = &TransformError{URI: s.form.uri, Message: "needs what comes before the element"}
		}
	}
	if err != nil {
		p.release()
		return nil, err
	}
	p.begin(tok, job.W)
	p.follower = Follower{p, job.W, limits}
	return &p.follower, nil
}

// Step takes the current token, beginning with the start tag. When done, what has been written is what Apply writes. Apply
// refuses what Step refuses, perhaps for another reason.
func (f *Follower) Step(kind xmltext.Kind) (done bool, err error) {
	if done, err = f.p.c14n.step(kind); done {
		err = f.finish(err)
	}
	return done, err
}

// finish runs what follows on the canonicalization that has ended with err.
func (f *Follower) finish(err error) error {
	if err != nil || f.p.fuses() {
		return err
	}
	return f.p.following(f.w, f.limits)
}

// Close ends the following, wherever it stands. The Follower is not to be used any more.
func (f *Follower) Close() {
	p := f.p
	*f = Follower{}
	p.release()
}
