package signer

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// VerifyXMLRequest asks what an XML document's signatures are worth.
type VerifyXMLRequest struct {
	Document []byte
	Profile  string    // expected profile; empty: recognised
	Target   string    // Id of the element that must be covered, only with profiles that leave a choice; empty: the root
	Content  []byte    // of a detached signature that is not in the document, which one must cover; nil: none
	Time     time.Time // when to judge certificates; zero: now
	Require  []string  // signatures that must be there, by name or profile
	// Attachments are files of a SMEV 3 message by uuid or contentId, to be checked against their headers; nil: not checked.
	Attachments map[string][]byte
}

// Bounds of lists in VerifyXMLRequest.
const (
	MaxRequire     = 32
	MaxAttachments = 64
)

// VerifyCMSRequest asks what a CMS message's signatures are worth.
type VerifyCMSRequest struct {
	Message      []byte
	Detached     bool // Content is the content of a detached signature
	Content      []byte
	Time         time.Time // when to judge certificates; zero: now
	Certificates [][]byte  // DER, among which to look for signers
	Profile      string    // what every signature must be like; empty: as it comes
}

// MaxCertificates bounds VerifyCMSRequest.Certificates.
const MaxCertificates = 64

// VerifyXML examines a document. Needs OpVerify. An invalid signature is a report, not an error.
func (s *Service) VerifyXML(ctx context.Context, caller *Caller, req VerifyXMLRequest) (*report.Report, error) {
	octets := len(req.Document) + len(req.Content)
	for _, file := range req.Attachments {
		octets += len(file)
	}
	in, err := s.enter(ctx, caller, OpVerify, octets)
	if err != nil {
		return nil, err
	}
	defer func() { in.leave(s.now()) }()
	policy, err := s.xmlPolicy(req.Profile, req.Target, req.Content, req.Time)
	if err != nil {
		return nil, err
	}
	if len(req.Document) == 0 {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "document"}, "the document is empty")
	}
	if err := s.fits("document", req.Document, report.XMLLimit); err != nil {
		return nil, err
	}
	if err := s.fits("content", req.Content, report.XMLLimit); err != nil {
		return nil, err
	}
	if len(req.Require) > MaxRequire {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "require"}, "%d names, the limit is %d",
			len(req.Require), MaxRequire)
	}
	if len(req.Attachments) > MaxAttachments {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "attachments"},
			"%d attachments, the limit is %d", len(req.Attachments), MaxAttachments)
	}
	for _, file := range req.Attachments {
		if err := s.fits("attachments", file, report.XMLLimit); err != nil {
			return nil, err
		}
	}
	policy.Require = req.Require
	policy.Stop = func() error { return expired(ctx) }
	if req.Attachments != nil {
		policy.Attachment = func(id string) (io.Reader, error) {
			if file, ok := req.Attachments[id]; ok {
				return bytes.NewReader(file), nil
			}
			return nil, nil
		}
	}
	r, err := xmldsig.Verify(req.Document, policy)
	if err != nil {
		return nil, asError(err)
	}
	return r, nil
}

func (s *Service) xmlPolicy(name, target string, content []byte, at time.Time) (xmldsig.Policy, error) {
	now := s.settings.Load()
	policy := xmldsig.Policy{
		Target: target, Trust: now.Trust, Node: now.SMEV, Keys: s.signers, Time: s.timeOr(at), Content: content, Limits: now.Limits.XML,
	}
	if name != "" {
		if policy.Profile = xmldsig.ProfileByName(name); policy.Profile == nil {
			return policy, unknownProfile(name, known(xmldsig.Profiles, func(p *xmldsig.Profile) string { return p.Name }))
		}
	}
	return policy, nil
}

// VerifyCMS examines a message. Needs OpVerify. An invalid signature is a report, not an error.
func (s *Service) VerifyCMS(ctx context.Context, caller *Caller, req VerifyCMSRequest) (*report.Report, error) {
	in, err := s.enter(ctx, caller, OpVerify, len(req.Message)+len(req.Content))
	if err != nil {
		return nil, err
	}
	defer func() { in.leave(s.now()) }()
	if len(req.Message) == 0 {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "message"}, "the message is empty")
	}
	if err := s.fits("message", req.Message, report.CMSLimit); err != nil {
		return nil, err
	}
	if err := s.fits("content", req.Content, report.CMSLimit); err != nil {
		return nil, err
	}
	certificates, err := parseCertificates(req.Certificates)
	if err != nil {
		return nil, err
	}
	policy := s.cmsPolicy(req.Detached, req.Content, certificates, req.Time)
	if req.Profile != "" {
		if policy.Profile = cms.ProfileByName(req.Profile); policy.Profile == nil {
			return nil, unknownProfile(req.Profile, known(cms.Profiles, func(p *cms.Profile) string { return p.Name }))
		}
	}
	policy.Stop = func() error { return expired(ctx) }
	r, err := cms.Verify(req.Message, policy)
	if err != nil {
		return nil, asError(err)
	}
	return r, nil
}

func (s *Service) cmsPolicy(detached bool, content []byte, certificates []*gost.Certificate, at time.Time) cms.Policy {
	now := s.settings.Load()
	return cms.Policy{
		Trust: now.Trust, Keys: s.signers, Time: s.timeOr(at), Certificates: certificates,
		Detached: detached, Content: content, Limits: now.Limits.CMS,
	}
}

// parseCertificates reads those that a request gives along.
func parseCertificates(list [][]byte) ([]*gost.Certificate, error) {
	at := report.Place{Path: "certificates"}
	if len(list) > MaxCertificates {
		return nil, report.Errorf(report.RequestInvalid, at, "%d certificates, the limit is %d", len(list), MaxCertificates)
	}
	var out []*gost.Certificate
	for _, der := range list {
		c, err := gost.ParseCertificate(der)
		if err != nil {
			return nil, &report.Error{Code: report.CertSyntax, Place: at, Message: "a certificate cannot be read", Err: err}
		}
		out = append(out, c)
	}
	return out, nil
}
