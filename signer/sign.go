package signer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// SignXMLRequest asks for an XML signature.
type SignXMLRequest struct {
	Key      string // key or key version
	Profile  string // name of a profile of xmldsig
	Document []byte
	Target   string    // Id of the element to sign, where the profile leaves a choice
	Time     time.Time // claimed signing time; zero: now
	// RequestID makes the same request, made again, get the same answer; see [RequestIDs]. Empty: none.
	RequestID string
}

// SignCMSRequest asks for a CMS message. Exactly one of content and digest is given: Content when ByDigest is false, Digest
// when it is true.
type SignCMSRequest struct {
	Key      string
	Profile  string // name of a profile of cms
	ByDigest bool
	Content  []byte
	Digest   []byte    // of the content with the key's hash, wire order
	Time     time.Time // signingTime; zero: now

	// Countersigned is for the profile countersignature: which signature, numbered from 1, then which of its countersignatures;
	// empty: the only signature there is.
	Countersigned []int

	RequestID string // as in SignXMLRequest
}

// SignDigestRequest asks for a bare signature over a digest.
type SignDigestRequest struct {
	Key             string
	Digest          []byte // wire order
	DigestAlgorithm string // name of the gost.Digest that made it
	RequestID       string // as in SignXMLRequest
}

// Signed is the answer to a request for a signature.
type Signed struct {
	Bytes       []byte // signed document, CMS message or bare signature s ‖ r
	Key         string // exact version that signed
	Fingerprint string // Streebog-256 of the certificate, hexadecimal; empty when the key has none
	Algorithm   string // name of the gost.Algorithm
	Timings     Timings
	Audit       audit.Entry // where the audit log has it

	// Replayed says that an earlier request with the same RequestID was answered so; all else is about that one.
	Replayed bool
}

// prepared is a signature that awaits its value; xmldsig and cms both make them.
type prepared interface {
	Digest() []byte
	Contents() [][]byte // digests of what the caller has signed, by the same algorithm; none where Digest is that
	CompleteVerified(value gost.Verified) ([]byte, error)
}

// SignXML signs a document. Needs OpSignXML on the key.
func (s *Service) SignXML(ctx context.Context, caller *Caller, req SignXMLRequest) (Signed, error) {
	a := &act{caller: caller, op: OpSignXML, name: req.Key, profile: req.Profile, request: req.RequestID, payload: req.Document,
		octets: len(req.Document)}
	if req.RequestID != "" {
		a.sum = func() requestSum {
			h := hashRequest(OpSignXML, req.Key, req.Profile, req.Target)
			h.time(req.Time)
			h.payload(req.Document)
			return h.sum()
		}
	}
	return s.sign(ctx, a, true, "", func(key Key) (prepared, error) { return s.prepareXML(key, req) })
}

// prepareXML does all that precedes the key.
func (s *Service) prepareXML(key Key, req SignXMLRequest) (prepared, error) {
	p := xmldsig.ProfileByName(req.Profile)
	if p == nil {
		return nil, unknownProfile(req.Profile, known(xmldsig.Profiles, func(p *xmldsig.Profile) string { return p.Name }))
	}
	by, err := s.stamper(p.Name, p.Stamped())
	if err != nil {
		return nil, err
	}
	if len(req.Document) == 0 {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "document"}, "the document is empty")
	}
	if err := s.fits("document", req.Document, report.XMLLimit); err != nil {
		return nil, err
	}
	prepared, err := p.Prepare(s.inputXML(key, req))
	if err != nil || !p.Stamped() {
		return prepared, err
	}
	return s.stampedXML(prepared, by), nil
}

func (s *Service) inputXML(key Key, req SignXMLRequest) xmldsig.Input {
	return xmldsig.Input{
		Document: req.Document, Certificate: key.Certificate(), Target: req.Target,
		Time: s.timeOr(req.Time), Keys: s.signers, Limits: s.settings.Load().Limits.XML,
	}
}

// SignCMS makes a CMS message. Needs OpSignCMS on the key, and OpSignDigest too when only a digest is given.
func (s *Service) SignCMS(ctx context.Context, caller *Caller, req SignCMSRequest) (Signed, error) {
	further := Operation("")
	if req.ByDigest {
		further = OpSignDigest
	}
	a := &act{caller: caller, op: OpSignCMS, name: req.Key, profile: req.Profile, request: req.RequestID, payload: req.Content,
		octets: len(req.Content) + len(req.Digest)}
	if req.RequestID != "" {
		a.sum = func() requestSum {
			h := hashRequest(OpSignCMS, req.Key, req.Profile, strconv.FormatBool(req.ByDigest), fmt.Sprint(req.Countersigned))
			h.time(req.Time)
			h.payload(req.Content)
			h.add(req.Digest)
			return h.sum()
		}
	}
	return s.sign(ctx, a, true, further, func(key Key) (prepared, error) { return s.prepareCMS(key, req) })
}

// prepareCMS does all that precedes the key.
func (s *Service) prepareCMS(key Key, req SignCMSRequest) (prepared, error) {
	p := cms.ProfileByName(req.Profile)
	if p == nil {
		return nil, unknownProfile(req.Profile, known(cms.Profiles, func(p *cms.Profile) string { return p.Name }))
	}
	by, err := s.stamper(p.Name, p.TimeStamp)
	if err != nil {
		return nil, err
	}
	in := cms.Input{Certificate: key.Certificate(), Chain: key.Chain(), Time: s.timeOr(req.Time)}
	if len(req.Countersigned) > 0 && p != cms.Countersignature {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "countersigned"},
			"profile %s countersigns nothing", p.Name)
	}
	for _, n := range req.Countersigned {
		in.Signer = append(in.Signer, n-1)
	}
	if req.ByDigest {
		if !p.Detached {
			return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "content_digest"},
				"profile %s includes the content, so a digest does not suffice", p.Name)
		}
		if err := fitsKey("content_digest", req.Digest, key.Public().Algorithm.Digest); err != nil {
			return nil, err
		}
		in.Digest = req.Digest
	} else {
		if err := s.fits("content", req.Content, report.CMSLimit); err != nil {
			return nil, err
		}
		in.Content = req.Content
	}
	prepared, err := p.Prepare(in)
	if err != nil || !p.TimeStamp {
		return prepared, err
	}
	return stampedCMS(prepared, by), nil
}

// SignDigest signs a digest as it is. Needs OpSignDigest on the key; the key needs no certificate.
func (s *Service) SignDigest(ctx context.Context, caller *Caller, req SignDigestRequest) (Signed, error) {
	a := &act{caller: caller, op: OpSignDigest, name: req.Key, request: req.RequestID, octets: len(req.Digest)}
	if req.RequestID != "" {
		a.sum = func() requestSum {
			h := hashRequest(OpSignDigest, req.Key, req.DigestAlgorithm)
			h.add(req.Digest)
			return h.sum()
		}
	}
	return s.sign(ctx, a, false, "", func(key Key) (prepared, error) {
		d := key.Public().Algorithm.Digest
		if req.DigestAlgorithm != d.Name {
			return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "digest_algorithm"},
				"digest algorithm %q, the key signs %s", printable(req.DigestAlgorithm), d.Name)
		}
		if err := fitsKey("digest", req.Digest, d); err != nil {
			return nil, err
		}
		return bare(req.Digest), nil
	})
}

// bare is a digest whose signature is the answer itself.
type bare []byte

func (b bare) Digest() []byte                                       { return b }
func (b bare) Contents() [][]byte                                   { return nil }
func (b bare) CompleteVerified(value gost.Verified) ([]byte, error) { return value.Signature(), nil }

// sign is the one way to a signature: access, key, earlier answer, prepare, token, complete, time-stamp, audit record.
func (s *Service) sign(ctx context.Context, a *act, needCertificate bool, further Operation,
	prepare func(Key) (prepared, error)) (out Signed, err error) {
	a.begun = s.now()
	defer func() {
		s.record(ctx, a, err)
		s.tellTrace(ctx, a, err)
		a.in.leave(s.now())
		if err != nil {
			s.tell(ctx, a, err)
			out, err = Signed{}, about(err, a.name)
		}
	}()
	key, in, err := s.find(a.caller, asked{a.op, further, a.name, a.profile, a.octets})
	a.in = in
	if err != nil {
		return out, err
	}
	a.name, a.key = key.Name(), key
	if a.request != "" {
		c, told, err := s.replays.claim(ctx, a.caller.Name(), a.request, a.sum())
		if err != nil {
			return out, err
		}
		if told {
			return s.retell(ctx, a, c)
		}
		defer func() { s.replays.settle(a.caller.Name(), c, a.answer(c, out)) }()
	}
	if err := s.usable(key, needCertificate); err != nil {
		return out, err
	}
	if err := expired(ctx); err != nil {
		return out, err
	}
	p, err := prepare(key)
	if err != nil {
		return out, err
	}
	if s.audit != nil {
		if err := s.audit.Ready(); err != nil {
			return out, err
		}
	}
	a.digest, a.of = p.Digest(), p.Contents()
	s.mark(&a.passed.Prepared)
	a.value, err = a.submit(ctx, key)
	s.mark(&a.passed.Signed)
	if err == nil && !a.value.Of(key.Public(), a.digest) {
		err = report.Errorf(report.Internal, report.Place{}, "the key answered with a signature that is not its own over the digest")
	}
	if err != nil {
		return out, err
	}
	signed, err := p.CompleteVerified(a.value)
	if err != nil {
		return out, err
	}
	if p, ok := p.(*stamped); ok {
		if signed, err = s.stamp(ctx, p, signed); err != nil {
			return out, err
		}
	}
	s.mark(&a.passed.Completed)
	if err := s.keep(ctx, a); err != nil {
		return out, err
	}
	return Signed{
		Bytes: signed, Key: key.Name(), Fingerprint: fingerprint(key.Certificate()), Algorithm: key.Public().Algorithm.Name,
		Timings: a.took, Audit: a.entry,
	}, nil
}

// submit has the key sign the digest, and keeps what that took.
func (a *act) submit(ctx context.Context, key Key) (gost.Verified, error) {
	took := timings.Get().(*Timings)
	*took = Timings{}
	value, err := key.SignDigest(ctx, a.digest, a.in.flow(took))
	a.took = *took
	timings.Put(took)
	return value, err
}

// timings saves an allocation per signature: what goes through an interface is on the heap.
var timings = sync.Pool{New: func() any { return new(Timings) }}

func (s *Service) timeOr(t time.Time) time.Time {
	if t.IsZero() {
		return s.now()
	}
	return t
}

func fitsKey(field string, digest []byte, d *gost.Digest) error {
	if len(digest) != d.Size {
		return report.Errorf(report.RequestInvalid, report.Place{Path: field},
			"%d bytes, a %s digest has %d", len(digest), d.Name, d.Size)
	}
	return nil
}

func unknownProfile(name string, known []string) error {
	if name == "" {
		return report.Errorf(report.RequestInvalid, report.Place{Path: "profile"},
			"no profile is named; the profiles are %s", strings.Join(known, ", "))
	}
	return report.Errorf(report.RequestInvalid, report.Place{Path: "profile"},
		"no profile %q; the profiles are %s", printable(name), strings.Join(known, ", "))
}

// printable cuts what a caller sent to a length that fits into an error and into the log.
func printable(s string) string {
	const most = 160 // longer than any name of a key version
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
