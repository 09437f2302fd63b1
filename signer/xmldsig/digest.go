package xmldsig

import (
	"bytes"
	"errors"
	"fmt"
	"hash"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// maxTogether bounds the digests of one scan: a chain may hold a canonical form of the whole document while it runs.
const maxTogether = 8

// digestion is a digest that was asked for: of what a chain makes of a node, or of content outside.
type digestion struct {
	node   int // that names the place of a refusal
	digest *gost.Digest
	hash   hash.Hash // while the octets are made
	made   []byte    // the octets, if they were foreseen
	value  []byte
	job    canon.Job
	trace  trace
	octets *bytes.Buffer // for the trace
	work   *int64
	most   int64
	n      int64 // octets digested
	err    *report.Error
}

// trace numbers the signature and its reference, -1 for SignedInfo.
type trace struct{ signature, reference int }

func (t trace) String() string {
	if t.reference < 0 {
		return fmt.Sprintf("signature-%d/signed-info", t.signature)
	}
	return fmt.Sprintf("signature-%d/reference-%d", t.signature, t.reference)
}

// errTooMuch stops a canonicalization that writes more than its share.
var errTooMuch = errors.New("the signatures of the document cover too much")

// Write takes what is to be digested.
func (d *digestion) Write(p []byte) (int, error) {
	if err := d.count(p); err != nil {
		return 0, err
	}
	return d.hash.Write(p)
}

// count notes octets that are to be digested.
func (d *digestion) count(p []byte) error {
	if *d.work += int64(len(p)); *d.work > d.most {
		return errTooMuch
	}
	d.n += int64(len(p))
	if d.octets != nil {
		d.octets.Write(p)
	}
	return nil
}

// digest asks for the digest of what a chain makes of a node.
func (e *examiner) digest(digest *gost.Digest, n int, node canon.Node, chain []canon.Transform, t trace) *digestion {
	d := &digestion{
		node: n, digest: digest, trace: t, work: &e.work, most: maxWorkAtLeast + maxWork*int64(len(e.doc)),
		job: canon.Job{Node: node, Chain: chain},
	}
	d.job.W = d
	if e.policy.Trace != nil {
		d.octets = &bytes.Buffer{}
	}
	e.asked = append(e.asked, d)
	return d
}

// digestOutside digests the content that is not in the document.
func (e *examiner) digestOutside(digest *gost.Digest, t trace) *digestion {
	d := &digestion{n: int64(len(e.policy.Content)), value: digest.Sums(e.policy.Content)[0]}
	if e.policy.Trace != nil {
		e.policy.Trace(t.String(), bytes.Clone(e.policy.Content))
	}
	return d
}

// run makes the digests that were asked for. Those that were not foreseen are made several in one scan of the document. It is
// read from its start to the end of the last node, and what one transform makes of it by the next: signatures that want more
// than a fair share of that are refused, whether it was foreseen or not.
func (e *examiner) run() {
	var together []*digestion
	for _, d := range e.asked {
		end := len(e.doc)
		if !d.job.Node.Whole {
			end = e.nodes[d.node].span().End
		}
		if e.work += int64(end) * int64(max(1, len(d.job.Chain))); e.work > d.most {
			d.err = e.fail(report.ReferenceLimit, d.node, "%v", errTooMuch)
			continue
		}
		if octets, _, ok := e.ahead.octets(d.job.Node, d.job.Chain); ok {
			d.made = octets
			e.done(d, d.count(octets))
			continue
		}
		if together = append(together, d); len(together) == maxTogether {
			e.scan(together)
			together = together[:0]
		}
	}
	e.scan(together)
	for _, digest := range gost.Digests {
		e.sums(digest)
	}
}

// sums makes the digests by one hash function of what was foreseen, side by side.
func (e *examiner) sums(digest *gost.Digest) {
	var list []*digestion
	var messages [][]byte
	for _, d := range e.asked {
		if d.digest == digest && d.made != nil && d.err == nil {
			list, messages = append(list, d), append(messages, d.made)
		}
	}
	if len(list) == 0 {
		return
	}
	for i, sum := range digest.Sums(messages...) {
		list[i].value = sum
	}
}

func (e *examiner) scan(together []*digestion) {
	jobs := make([]canon.Job, len(together))
	for i, d := range together {
		d.hash = d.digest.New()
		jobs[i] = d.job
	}
	for i, err := range canon.ApplyAll(e.doc, jobs, e.policy.Limits) {
		d := together[i]
		d.value, d.hash = d.hash.Sum(nil), nil
		e.done(d, err)
	}
}

// done takes what came of a digest.
func (e *examiner) done(d *digestion, err error) {
	switch {
	case errors.Is(err, errTooMuch):
		d.err = e.fail(report.ReferenceLimit, d.node, "%v", errTooMuch)
	case err != nil:
		d.err = asError(err)
	case d.octets != nil:
		e.policy.Trace(d.trace.String(), d.octets.Bytes())
	}
}
