package xmldsig

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
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
	// Require names signatures that must be there, by what the report calls them ("PersonalSignature", "SMEVSignature",
	// "wsse:Security[actor recipient]", …) or by their profile.
	Require []string
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
	// Attachment, when set, has the attachments of SMEV 3 messages checked. It opens the file of a RefAttachmentHeader by its
	// uuid, or that of an AttachmentHeader whose content is not in the document by its contentId; nil, nil: not at hand.
	Attachment func(id string) (io.Reader, error)
	// AllowGOST94 accepts GOST R 34.11-94 digests of references under keys of GOST R 34.10-2012.
	AllowGOST94 bool
	Limits      xmltext.Limits
	// Trace, when set, receives the octets that were digested: name is "signature-0/signed-info" or "signature-0/reference-1",
	// with numbers from 0 in document order. The octets are the callee's to keep.
	Trace func(name string, octets []byte)
	// Stop, when set, is asked between the stages; its error ends the examination, and is what Verify returns.
	Stop func() error
}

func (p *Policy) stopped() error {
	if p.Stop == nil {
		return nil
	}
	return p.Stop()
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
	contents *contents        // by content, nil before
	all      []*examination
	asked    []*digestion
	digested int   // references
	work     int64 // octets read and written for digests
	trusting trust.Work
}

// Verify examines every ds:Signature of the document. The error is nil when it could be examined, whatever the verdict:
// look at the report, or use its Err. Otherwise it is a *report.Error, RequestInvalid for a Target that the profile has no
// use for.
func Verify(doc []byte, policy Policy) (*report.Report, error) { return verify(doc, policy, verifying) }

func verify(doc []byte, policy Policy, foreseen foresight) (*report.Report, error) {
	if p := policy.Profile; policy.Target != "" && (p == nil || !p.targeted()) {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "target"}, "a target needs a profile that leaves a choice")
	}
	for _, name := range policy.Require {
		if ProfileByName(name) == nil && !slices.ContainsFunc(rules, func(r rule) bool { return r.name == name }) {
			return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "require"}, "no signature is called %s", quote(name))
		}
	}
	o, err := locate(doc, policy.Limits, foreseen)
	if err != nil {
		return nil, err
	}
	defer o.release()
	if policy.Time.IsZero() {
		policy.Time = time.Now()
	}
	e := &examiner{
		outline: o, policy: policy, report: &report.Report{Format: "xmldsig"},
		matched: map[*rule]int{}, profiles: map[*Profile]int{},
	}
	if c, clash := o.firstClash(); clash {
		e.report.Add(failed(o.fail(report.XMLDuplicateID, c.second,
			"this element has the same Id as the one at line %d", o.place(c.first).Line)))
	}
	if len(o.signatures) > maxSignatures {
		e.report.Add(failed(report.Errorf(report.ReferenceLimit, report.Place{}, "more than %d signatures", maxSignatures)))
	}
	for i, n := range o.signatures[:min(len(o.signatures), maxSignatures)] {
		e.all = append(e.all, e.read(i, n))
	}
	if err := policy.stopped(); err != nil {
		return nil, err
	}
	e.run()
	for _, x := range e.all {
		if err := policy.stopped(); err != nil {
			return nil, err
		}
		e.judge(x)
		e.report.Signatures = append(e.report.Signatures, x.out)
	}
	e.nest()
	if err := policy.stopped(); err != nil {
		return nil, err
	}
	e.attachments()
	e.demand()
	return e.report, nil
}

// failed turns an error into a failed check.
func failed(err *report.Error) report.Check {
	return report.Check{Code: err.Code, Status: report.Failed, Message: err.Message, Place: err.Place}
}

// examination is one ds:Signature on its way: read first, then digested together with the others, then judged.
type examination struct {
	node      int
	rule      *rule    // of the place that it lies in, nil for none
	profile   *Profile // to hold it against, may be nil
	s         *signature
	algorithm *gost.Algorithm // nil when it is not accepted
	info      *digestion      // of SignedInfo, nil when it cannot be digested
	found     []finding
	extra     []*gost.Certificate // found beside the signer's
	at        time.Time           // when a trusted time-stamp says that the signature was there, zero for none
	out       report.Signature
}

func (x *examination) add(c report.Check) { x.out.Add(c) }

// read takes one ds:Signature apart and asks for the digests that it needs.
func (e *examiner) read(index, n int) *examination {
	x := &examination{node: n, rule: e.ruleOf(e.nodes[n].parent), profile: e.policy.Profile}
	x.out = report.Signature{Name: "ds:Signature", Place: e.place(n), Checks: make([]report.Check, 0, 16)}
	if x.rule != nil {
		x.out.Name, x.profile = x.rule.name, x.rule.profile
		x.out.Profile = x.profile.Name
		e.matched[x.rule]++
		e.profiles[x.profile]++
	} else if e.countered(n) >= 0 {
		x.out.Name, x.profile = "xades:CounterSignature", nil
	} else if x.profile != nil && x.profile.tabled() {
		x.profile = nil // a place of this profile would have had a row
	}
	s, problem := e.parse(n)
	if problem != nil {
		x.add(failed(problem))
		return x
	}
	x.s = s
	x.add(report.Check{Code: report.SignatureStructure, Message: "the signature is built as XMLDSig says", Place: x.out.Place})

	x.algorithm = gost.AlgorithmByURI(s.method)
	switch {
	case x.algorithm == nil:
		x.add(failed(e.fail(report.SignatureMethod, s.signedInfo,
			"the signature method is no GOST signature with a public key: %s", quote(s.method))))
	case s.hmacLength:
		x.add(failed(e.fail(report.SignatureMethod, s.signedInfo, "the signature method takes no parameters")))
		x.algorithm = nil
	default:
		x.out.Algorithm = x.algorithm.Name
	}
	if s.c14n.odd || !canon.IsCanonicalization(s.c14n.uri) {
		x.add(failed(e.fail(report.SignatureC14N, s.c14n.node,
			"the canonicalization method is not among those allowed: %s", quote(s.c14n.uri))))
	} else {
		x.add(report.Check{Code: report.SignatureC14N, Message: "the canonicalization method is allowed", Place: e.place(s.c14n.node)})
		if x.algorithm != nil {
			node := canon.Node{Element: e.nodes[s.signedInfo].tag.Start, Comments: true}
			chain := []canon.Transform{{URI: s.c14n.uri, PrefixList: s.c14n.prefixes}}
			x.info = e.digest(x.algorithm.Digest, s.signedInfo, node, chain, trace{index, -1})
		}
	}
	x.found = make([]finding, len(s.references))
	for i := range s.references {
		x.found[i] = finding{reference: &s.references[i], node: -1}
		x.found[i].problem = e.ask(trace{index, i}, x, &x.found[i])
	}
	return x
}

// judge says what the signature is worth: key, value, references, what must be covered, the signer.
func (e *examiner) judge(x *examination) {
	s, out := x.s, &x.out
	if s == nil {
		return
	}
	var info []byte
	if x.info != nil {
		if err := x.info.err; err != nil {
			code := err.Code
			if code == report.ReferenceTransform {
				code = report.SignatureC14N
			}
			x.add(report.Check{Code: code, Status: report.Failed, Message: err.Message, Place: e.place(s.signedInfo)})
		} else {
			info = x.info.value
		}
	}
	certificates, problem := e.certificates(s)
	var leaf *gost.Certificate
	if problem != nil {
		x.add(failed(problem))
	} else {
		leaf = e.value(s, x.algorithm, info, certificates, out)
	}
	for i := range x.found {
		e.answer(&x.found[i], out)
	}
	if x.rule == nil {
		e.astray(x.node, x.found, out)
	} else {
		e.cover(x.rule, s, x.found, out)
	}
	if asked := e.policy.Profile; asked != nil && !asked.tabled() && e.countered(x.node) < 0 &&
		(x.rule == nil || x.rule.profile.place == asked.place) {
		if ok, demand := e.shape(asked, s, x.found); ok {
			x.add(report.Check{Code: report.CoverageWrong, Message: "the signature covers what the profile says", Place: out.Place})
			x.profile, out.Profile = asked, asked.Name
			e.profiles[asked]++
		} else { // one more signature than the one that counts
			e.missed = append(e.missed, failed(e.fail(report.CoverageWrong, x.node, "%s", demand)))
			if x.rule == nil {
				x.profile = nil
			}
		}
	}
	e.objects(s, x.profile, x.found, out)
	e.smuggled(s, out)
	e.filtered(s, x.profile, x.found, out)
	e.counter(x)
	e.qualifying(x, leaf)
	if leaf != nil {
		e.signer(x, leaf, certificates)
	}
}

// signer says who signed and whether that is trusted.
func (e *examiner) signer(x *examination, leaf *gost.Certificate, certificates []*gost.Certificate) {
	x.out.Signer = trust.Signer(leaf)
	for _, c := range certificates {
		if c != leaf {
			x.extra = append(x.extra, c)
		}
	}
	at := e.policy.Time
	if !x.at.IsZero() {
		at = x.at
	}
	store, node := e.policy.Trust, x.rule != nil && x.rule.node
	if node && e.policy.Node != nil {
		store = e.policy.Node
	}
	judgement := store.Judge(trust.Question{Certificate: leaf, Extra: x.extra, Time: at, Work: &e.trusting})
	x.out.Add(judgement.Checks...)
	x.out.Evidence = judgement.Evidence
	if node && e.policy.Node == nil {
		x.add(report.Check{Code: report.CertPath, Status: report.NotChecked, Place: e.place(x.s.keyInfo),
			Message: "who may sign as SMEV itself is not configured"})
	}
}

// value checks SignatureValue and finds the signer: the certificate whose key verifies, else the first that could have
// signed.
func (e *examiner) value(s *signature, algorithm *gost.Algorithm, digest []byte, certificates []*gost.Certificate,
	out *report.Signature) *gost.Certificate {
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
				Message:  "the signature method does not fit the key in the certificate",
				Expected: c.PublicKey.Algorithm.Name, Got: algorithm.Name})
		}
		return c // trust says what is wrong with its key
	}
	out.Add(report.Check{Code: report.SignatureMethod, Message: "the signature method is allowed and fits the key",
		Place: e.place(s.signedInfo)})
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
			out.Add(report.Check{Code: report.SignatureValue,
				Message: "the signature value verifies with the signer's key", Place: e.place(s.value)})
			return c
		}
	}
	return wrong("the signature value does not verify with the key in the certificate: SignedInfo was changed or another key signed")
}

// base64Of renders a digest for a report.
func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
