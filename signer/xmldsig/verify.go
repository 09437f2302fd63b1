package xmldsig

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/epov-signer/epov/canon"
	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// Policy is what a verifier demands.
type Policy struct {
	// Profile that the document must follow. Nil: messages of SMEV 3 and SMEV 2 are recognised and held against their tables,
	// any other signature is examined as plain XMLDSig and its coverage reported.
	//
	// A profile replaces recognition: at least one signature must follow it, and what else a message of SMEV needs is not
	// demanded. Every other signature of the document is examined all the same, those in the places of SMEV against their
	// tables; one that is broken makes the document invalid.
	Profile *Profile
	// Target is the Id of the element that profiles enveloped, xades-bes and detached must cover; empty: the root (detached:
	// anything). For smev2-sp, the smev:AppData that must be signed; empty: every one.
	Target string
	// Trust decides about signers; nil: trust is reported as not checked.
	Trust *trust.Store
	// Node decides who may sign as SMEV itself (SMEVSignature, actor recipient): any other valid certificate is not enough.
	// Nil: Trust decides, and that the signer is SMEV is reported as not checked.
	Node *trust.Store
	// Keys prepares the keys of signers that come again; may be nil.
	Keys *gost.KeyCache
	// Time is when to judge certificates; zero: now.
	Time time.Time
	// Content is what a detached signature covers outside the document, and what one must cover when it is given; nil: a
	// Reference to the outside is refused.
	Content []byte
	// AllowGOST94 accepts GOST R 34.11-94 digests of references under keys of GOST R 34.10-2012.
	AllowGOST94 bool
	Limits      xmltext.Limits
	// Trace, when set, receives the octets that were digested: name is "signature-0/signed-info" or "signature-0/reference-1",
	// with numbers from 0 in document order. The octets are the callee's to keep.
	Trace func(name string, octets []byte)
}

// examiner verifies one document.
type examiner struct {
	*outline
	policy   Policy
	report   *report.Report
	matched  map[*rule]int    // signatures found per row
	profiles map[*Profile]int // signatures that follow it
	missed   []report.Check   // why others do not follow the profile demanded
	outside  bool             // a signature covers the content outside
	loaded   []int            // by loads, nil before
	digested int              // references
	work     int64            // octets read and written for digests
}

// Verify examines every ds:Signature of the document. The error is nil when it could be examined, whatever the verdict:
// look at the report, or use its Err. Otherwise it is a *report.Error, RequestInvalid for a Target that the profile has no
// use for.
func Verify(doc []byte, policy Policy) (*report.Report, error) {
	if p := policy.Profile; policy.Target != "" && (p == nil || !p.targeted()) {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "target"}, "a target needs a profile that leaves a choice")
	}
	o, err := locate(doc, policy.Limits)
	if err != nil {
		return nil, err
	}
	if policy.Time.IsZero() {
		policy.Time = time.Now()
	}
	e := &examiner{
		outline: o, policy: policy, report: &report.Report{Format: "xmldsig"},
		matched: map[*rule]int{}, profiles: map[*Profile]int{},
	}
	if c, clash := o.firstClash(); clash {
		e.report.Add(failed(o.fail(report.XMLDuplicateID, c.second, "this element has the same Id as the one at line %d", o.place(c.first).Line)))
	}
	if len(o.signatures) > maxSignatures {
		e.report.Add(failed(report.Errorf(report.ReferenceLimit, report.Place{}, "more than %d signatures", maxSignatures)))
	}
	for i, n := range o.signatures[:min(len(o.signatures), maxSignatures)] {
		e.report.Signatures = append(e.report.Signatures, e.examine(i, n))
	}
	e.demand()
	return e.report, nil
}

// failed turns an error into a failed check.
func failed(err *report.Error) report.Check {
	return report.Check{Code: err.Code, Status: report.Failed, Message: err.Message, Place: err.Place}
}

// examine checks one ds:Signature: structure, algorithms, key, value, references, what must be covered, the signer.
func (e *examiner) examine(index, n int) report.Signature {
	out := report.Signature{Name: "ds:Signature", Place: e.place(n)}
	rule := e.ruleOf(e.nodes[n].parent)
	profile := e.policy.Profile
	if rule != nil {
		out.Name, profile = rule.name, rule.profile
		out.Profile = profile.Name
		e.matched[rule]++
		e.profiles[profile]++
	} else if profile != nil && profile.tabled() {
		profile = nil // a place of this profile would have had a row
	}
	pass := func(code report.Code, at int, format string, args ...any) {
		out.Add(report.Check{Code: code, Message: fmt.Sprintf(format, args...), Place: e.place(at)})
	}

	s, problem := e.parse(n)
	if problem != nil {
		out.Add(failed(problem))
		return out
	}
	pass(report.SignatureStructure, n, "the signature is built as XMLDSig says")

	algorithm := gost.AlgorithmByURI(s.method)
	switch {
	case algorithm == nil:
		out.Add(failed(e.fail(report.SignatureMethod, s.signedInfo, "the signature method is no GOST signature with a public key: %s", quote(s.method))))
	case s.hmacLength:
		out.Add(failed(e.fail(report.SignatureMethod, s.signedInfo, "the signature method takes no parameters")))
		algorithm = nil
	default:
		out.Algorithm = algorithm.Name
	}
	info := e.signedInfo(index, s, algorithm, &out)

	certificates, problem := e.certificates(s)
	if problem != nil {
		out.Add(failed(problem))
	}
	var leaf *gost.Certificate
	if problem == nil {
		leaf = e.value(s, algorithm, info, certificates, &out)
	}

	found := e.references(index, s, algorithm, &out)
	if rule == nil {
		e.astray(n, found, &out)
	}
	if rule == nil && profile != nil {
		if ok, demand := e.shape(profile, s, found); ok {
			pass(report.CoverageWrong, n, "the signature covers what the profile says")
			out.Profile = profile.Name
			e.profiles[profile]++
		} else { // one more signature than the one that counts
			e.missed = append(e.missed, failed(e.fail(report.CoverageWrong, n, "%s", demand)))
			profile = nil
		}
	}
	if rule != nil {
		e.cover(rule, s, found, &out)
	}
	e.objects(s, profile, found, &out)
	e.filtered(s, profile, found, &out)
	e.qualifying(s, profile, found, leaf, &out)
	if leaf != nil {
		out.Signer = signer(leaf)
		var extra []*gost.Certificate
		for _, c := range certificates {
			if c != leaf {
				extra = append(extra, c)
			}
		}
		store := e.policy.Trust
		if rule != nil && rule.node && e.policy.Node != nil {
			store = e.policy.Node
		}
		judgement := store.Check(leaf, extra, e.policy.Time)
		out.Checks = append(out.Checks, judgement.Checks...)
		out.Evidence = judgement.Evidence
		if rule != nil && rule.node && e.policy.Node == nil {
			out.Add(report.Check{Code: report.CertPath, Status: report.NotChecked, Place: e.place(s.keyInfo),
				Message: "who may sign as SMEV itself is not configured"})
		}
	}
	return out
}

// signedInfo canonicalizes SignedInfo and digests it; nil when that cannot be done.
func (e *examiner) signedInfo(index int, s *signature, algorithm *gost.Algorithm, out *report.Signature) []byte {
	if s.c14n.odd || !canon.IsCanonicalization(s.c14n.uri) {
		out.Add(failed(e.fail(report.SignatureC14N, s.c14n.node, "the canonicalization method is not among those allowed: %s", quote(s.c14n.uri))))
		return nil
	}
	out.Add(report.Check{Code: report.SignatureC14N, Message: "the canonicalization method is allowed", Place: e.place(s.c14n.node)})
	if algorithm == nil {
		return nil
	}
	h := algorithm.Digest.New()
	node := canon.Node{Element: e.nodes[s.signedInfo].tag.Start, Comments: true}
	chain := []canon.Transform{{URI: s.c14n.uri, PrefixList: s.c14n.prefixes}}
	if _, err := e.apply(h, s.signedInfo, node, chain, fmt.Sprintf("signature-%d/signed-info", index)); err != nil {
		code := err.Code
		if code == report.ReferenceTransform {
			code = report.SignatureC14N
		}
		out.Add(report.Check{Code: code, Status: report.Failed, Message: err.Message, Place: e.place(s.signedInfo)})
		return nil
	}
	return h.Sum(nil)
}

// apply canonicalizes into w and counts the octets. The document is read from its start to the end of node, and what one
// transform makes of it by the next: signatures that want more than a fair share of that are refused.
func (e *examiner) apply(w io.Writer, n int, node canon.Node, chain []canon.Transform, trace string) (int64, *report.Error) {
	if e.work > maxWorkAtLeast+maxWork*int64(len(e.doc)) {
		return 0, e.fail(report.ReferenceLimit, n, "the signatures of the document cover too much")
	}
	end := len(e.doc)
	if !node.Whole {
		end = e.nodes[n].span().End
	}
	e.work += int64(end) * int64(max(1, len(chain)))
	var octets bytes.Buffer
	count := &counter{to: w}
	if e.policy.Trace != nil {
		count.to = io.MultiWriter(w, &octets)
	}
	if err := canon.Apply(count, e.doc, node, chain, e.policy.Limits); err != nil {
		return 0, asError(err)
	}
	if e.policy.Trace != nil {
		e.policy.Trace(trace, octets.Bytes())
	}
	e.work += count.n
	return count.n, nil
}

type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.to.Write(p)
}

// value checks SignatureValue and finds the signer: the certificate whose key verifies, else the first that could have
// signed.
func (e *examiner) value(s *signature, algorithm *gost.Algorithm, digest []byte, certificates []*gost.Certificate, out *report.Signature) *gost.Certificate {
	var able []*gost.Certificate
	for _, c := range certificates {
		if c.PublicKey != nil && c.PublicKey.Algorithm == algorithm {
			able = append(able, c)
		}
	}
	if algorithm == nil {
		return certificates[0]
	}
	if len(able) == 0 {
		c := certificates[0]
		if c.PublicKey != nil {
			out.Add(report.Check{Code: report.SignatureMethod, Status: report.Failed, Place: e.place(s.signedInfo),
				Message: "the signature method does not fit the key in the certificate", Expected: c.PublicKey.Algorithm.Name, Got: algorithm.Name})
		}
		return c // trust says what is wrong with its key
	}
	out.Add(report.Check{Code: report.SignatureMethod, Message: "the signature method is allowed and fits the key", Place: e.place(s.signedInfo)})
	out.Add(report.Check{Code: report.KeyInfo, Message: "the signer's certificate is in the message", Place: e.place(s.keyInfo)})
	if digest == nil {
		return able[0]
	}
	wrong := func(message string) *gost.Certificate {
		out.Add(report.Check{Code: report.SignatureValue, Status: report.Failed, Message: message, Place: e.place(s.value)})
		return able[0]
	}
	value, err := decode(e.nodes[s.value].text)
	if err != nil || e.nodes[s.value].children > 0 {
		return wrong("the signature value is not base64")
	}
	if len(value) != algorithm.SignatureSize() {
		return wrong(fmt.Sprintf("the signature value has %d octets, not %d", len(value), algorithm.SignatureSize()))
	}
	for _, c := range able {
		if e.policy.Keys.Verify(c.PublicKey, digest, value) == nil {
			out.Add(report.Check{Code: report.SignatureValue, Message: "the signature value verifies with the signer's key", Place: e.place(s.value)})
			return c
		}
	}
	return wrong("the signature value does not verify with the key in the certificate: SignedInfo was changed or another key signed")
}

// base64Of renders a digest for a report.
func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
