package signer

import (
	"context"
	"time"

	"github.com/epov-signer/epov/signer/explain"
	"github.com/epov-signer/epov/signer/report"
)

// ExplainRequest asks why a message does not verify.
type ExplainRequest struct {
	Document     []byte // XML; or
	Message      []byte // CMS
	Detached     bool   // Content is the content of a detached signature
	Content      []byte
	Pristine     []byte    // a copy from before the signature was broken; nil: none
	Certificates [][]byte  // DER, among which that of the key that signed may be
	Profile      string    // expected profile of XML; empty: recognised
	Target       string    // as in VerifyXMLRequest
	Time         time.Time // when to judge certificates; zero: now
}

// Explain examines a message as VerifyXML and VerifyCMS do and looks for the mistake that explains what is wrong. Needs
// OpVerify. Half of the processors search at once; a request waits for its turn. It ends with ctx; what it has found by then
// is the answer.
func (s *Service) Explain(ctx context.Context, caller *Caller, req ExplainRequest) (*explain.Explanation, error) {
	in, err := s.enter(ctx, caller, OpVerify, len(req.Document)+len(req.Message)+len(req.Content)+len(req.Pristine))
	if err != nil {
		return nil, err
	}
	defer func() { in.leave(s.now()) }()
	xml := len(req.Document) > 0
	if xml == (len(req.Message) > 0) {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "subject"},
			"one of document and message must be given, and not be empty")
	}
	if !xml && req.Profile != "" || !xml && req.Target != "" {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "profile"}, "profile and target are for XML")
	}
	for _, part := range []struct {
		field  string
		octets []byte
	}{{"document", req.Document}, {"message", req.Message}, {"content", req.Content}, {"pristine", req.Pristine}} {
		limit := report.CMSLimit
		if xml {
			limit = report.XMLLimit
		}
		if err := s.fits(part.field, part.octets, limit); err != nil {
			return nil, err
		}
	}
	certificates, err := parseCertificates(req.Certificates)
	if err != nil {
		return nil, err
	}
	select {
	case s.explaining <- struct{}{}:
		defer func() { <-s.explaining }()
	case <-ctx.Done():
		return nil, expired(ctx)
	}
	if end, ok := ctx.Deadline(); ok { // time is left to answer
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)*9/10)
		defer cancel()
	}
	o := explain.Options{Pristine: req.Pristine, Certificates: certificates}
	var out *explain.Explanation
	if xml {
		policy, policyErr := s.xmlPolicy(req.Profile, req.Target, req.Content, req.Time)
		if policyErr != nil {
			return nil, policyErr
		}
		out, err = explain.XML(ctx, req.Document, policy, o)
	} else {
		out, err = explain.CMS(ctx, req.Message, s.cmsPolicy(req.Detached, req.Content, nil, req.Time), o)
	}
	if err != nil {
		return nil, asError(err)
	}
	return out, nil
}
