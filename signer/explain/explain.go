// Package explain says why a signature does not verify. It looks for a known mistake that, were it undone, would make the
// digest match or the signature value verify, and names it: which signature, which reference, which octets, what to do.
//
// A finding is certain: it is made only when a digest matches or a value verifies, so that no mistake is named by
// resemblance. What is not among the known mistakes is said to be unknown. Nothing found here makes a signature valid; the
// verdict is that of packages xmldsig and cms, and the report is theirs, unchanged.
//
// The work on one message is bounded, and ends early when the context does.
package explain

import (
	"context"
	"fmt"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// Options are what may help to explain. All of it may be left out.
type Options struct {
	// Pristine is a copy of the message from before it was broken. What differs is told where a signature covers it.
	Pristine []byte
	// Certificates are some among which that of the key that signed may be.
	Certificates []*gost.Certificate
	// Thorough lifts the bounds of the search, but for the context's.
	Thorough bool
	// Dump, when set, receives octets for comparison with those of the other side: each step on the way to a digest, and the
	// octets that match where a mistake was found. Names are paths of lower-case letters, digits, '-' and '/'.
	Dump func(name string, octets []byte)
}

// Explanation is the answer.
type Explanation struct {
	Report   *report.Report // what Verify says
	Findings []Finding      // in the order of the message; empty when every digest and every value is right
}

// Finding explains one digest or one signature value.
type Finding struct {
	// Mistakes that together explain it: mostly one, rarely two or more. Or Unknown, or Exhausted, alone.
	Mistakes  []Mistake
	Signature int          // index in Report.Signatures
	Reference int          // index of the Reference; -1 when it is about the signature value
	Subject   string       // what does not verify: `Reference "#id"`, "SignedInfo", "messageDigest", "signedAttrs"
	Place     report.Place // of that
	Code      report.Code  // of the check that fails
	// What says about this case what the sentences of its mistakes leave open: identifiers, a certificate, English notes.
	What []string
	// Other is the element that was signed instead, or whose Id is meant.
	Other *report.Place
	// Difference is where the octets that the message says to digest, and those that match, part.
	Difference *Difference
	// Edits are what was changed since the pristine copy, with ContentEdited.
	Edits []Edit
}

// Difference is where two runs of octets part.
type Difference struct {
	Offset   int    // of the first octet that differs
	Stated   string // what the message says to digest, a little before the offset and after it
	Matching string // what was digested by whoever signed
}

// Known tells whether a mistake was found.
func (f *Finding) Known() bool { return f.Mistakes[0] != Unknown && f.Mistakes[0] != Exhausted }

// Fault is the fault with which SMEV 3 answers such a message.
func (f *Finding) Fault() string { return f.Code.Info().Fault }

// XML explains the signatures of a document. The error is that of xmldsig.Verify: the document could not be examined.
func XML(ctx context.Context, doc []byte, policy xmldsig.Policy, o Options) (*Explanation, error) {
	r, err := xmldsig.Verify(doc, policy)
	if err != nil {
		return nil, err
	}
	out := &Explanation{Report: r}
	if r.Integrity() == report.Valid && o.Dump == nil {
		return out, nil
	}
	all, err := xmldsig.Dissect(doc, policy.Limits)
	if err != nil {
		return nil, err
	}
	x := newIndex(doc, policy.Limits)
	e := &xmlExplainer{search: newSearch(ctx, policy.Limits, o), index: x, policy: policy, options: o, out: out}
	if certificates, err := xmldsig.Certificates(doc, policy.Limits); err == nil {
		e.message = certificates
	}
	if o.Pristine != nil {
		if e.copy, err = newPristine(o.Pristine, policy.Limits); err != nil {
			return nil, fmt.Errorf("the pristine copy cannot be read: %w", err)
		}
	}
	for i := range all {
		if all[i].Err == nil {
			e.signature(i, &all[i])
		}
	}
	return out, nil
}

type xmlExplainer struct {
	*search
	index   *index
	policy  xmldsig.Policy
	options Options
	message []*gost.Certificate // of all signatures
	copy    *pristine           // nil when none was given
	out     *Explanation
}

func (e *xmlExplainer) add(f Finding) { e.out.Findings = append(e.out.Findings, f) }

func (e *xmlExplainer) dump(format string, args ...any) func([]byte) {
	name := fmt.Sprintf(format, args...)
	return func(octets []byte) {
		if e.options.Dump != nil && octets != nil {
			e.options.Dump(name, octets)
		}
	}
}

// signature explains the digests first, then the value, which depends on them.
func (e *xmlExplainer) signature(n int, parts *xmldsig.Parts) {
	digested := make([][]byte, len(parts.References)) // octets that the references state
	for i := range parts.References {
		ref := &parts.References[i]
		f, r, wrong := e.reference(e.index, parts, ref)
		e.steps(n, i, &r.base)
		digested[i] = r.octets
		if !wrong {
			continue
		}
		f.Signature, f.Reference, f.Code = n, i, report.ReferenceDigest
		if len(ref.Targets) == 0 && !ref.Whole {
			f.Code = report.ReferenceTarget
		}
		if len(ref.Targets) > 1 {
			f.Code = report.XMLDuplicateID
		}
		e.edits(&f, r)
		e.dump("signature-%d/reference-%d/matching", n, i)(r.hit)
		e.add(f)
	}
	e.signedInfo(n, parts, digested)
}

// steps dumps what each transform makes of what is referred to.
func (e *xmlExplainer) steps(n, i int, base *source) {
	if e.options.Dump == nil {
		return
	}
	for step := 1; step <= len(base.chain); step++ {
		src := *base
		src.chain = base.chain[:step]
		if octets, err := e.run(&src); err == nil {
			e.dump("signature-%d/reference-%d/step-%d-%s", n, i, step, stepName(base.chain[step-1].URI))(octets)
		}
	}
	if len(base.chain) == 0 {
		if octets, err := e.run(base); err == nil {
			e.dump("signature-%d/reference-%d/step-0-c14n", n, i)(octets)
		}
	}
}

// stepName is a short name of a transform for a file.
func stepName(uri string) string {
	switch uri {
	case canon.EnvelopedURI:
		return "enveloped"
	case canon.SMEVURI:
		return "smev"
	case canon.ExclusiveURI, canon.ExclusiveCommentsURI:
		return "exc-c14n"
	case canon.InclusiveURI, canon.InclusiveCommentsURI:
		return "c14n"
	case canon.Inclusive11URI, canon.Inclusive11CommentsURI:
		return "c14n11"
	}
	return "filter"
}
