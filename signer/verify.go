package signer

import (
	"context"
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
}

// VerifyCMSRequest asks what a CMS message's signatures are worth.
type VerifyCMSRequest struct {
	Message      []byte
	Detached     bool // Content is the content of a detached signature
	Content      []byte
	Time         time.Time // when to judge certificates; zero: now
	Certificates [][]byte  // DER, among which to look for signers
}

// MaxCertificates bounds VerifyCMSRequest.Certificates.
const MaxCertificates = 64

// VerifyXML examines a document. Needs OpVerify. An invalid signature is a report, not an error.
func (s *Service) VerifyXML(ctx context.Context, caller *Caller, req VerifyXMLRequest) (*report.Report, error) {
	if err := s.mayVerify(ctx, caller); err != nil {
		return nil, err
	}
	var profile *xmldsig.Profile
	if req.Profile != "" {
		if profile = xmldsig.ProfileByName(req.Profile); profile == nil {
			return nil, unknownProfile(req.Profile, known(xmldsig.Profiles, func(p *xmldsig.Profile) string { return p.Name }))
		}
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
	r, err := xmldsig.Verify(req.Document, xmldsig.Policy{
		Profile: profile, Target: req.Target, Trust: s.trust, Node: s.smev, Keys: s.signers, Time: s.timeOr(req.Time), Content: req.Content, Limits: s.limits.XML,
	})
	if err != nil {
		return nil, asError(err)
	}
	return r, nil
}

// VerifyCMS examines a message. Needs OpVerify. An invalid signature is a report, not an error.
func (s *Service) VerifyCMS(ctx context.Context, caller *Caller, req VerifyCMSRequest) (*report.Report, error) {
	if err := s.mayVerify(ctx, caller); err != nil {
		return nil, err
	}
	if len(req.Message) == 0 {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "message"}, "the message is empty")
	}
	if err := s.fits("message", req.Message, report.CMSLimit); err != nil {
		return nil, err
	}
	if err := s.fits("content", req.Content, report.CMSLimit); err != nil {
		return nil, err
	}
	if len(req.Certificates) > MaxCertificates {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "certificates"},
			"%d certificates, the limit is %d", len(req.Certificates), MaxCertificates)
	}
	var certificates []*gost.Certificate
	for _, der := range req.Certificates {
		c, err := gost.ParseCertificate(der)
		if err != nil {
			return nil, &report.Error{Code: report.CertSyntax, Place: report.Place{Path: "certificates"},
				Message: "a certificate cannot be read", Err: err}
		}
		certificates = append(certificates, c)
	}
	r, err := cms.Verify(req.Message, cms.Policy{
		Trust: s.trust, Keys: s.signers, Time: s.timeOr(req.Time), Certificates: certificates,
		Detached: req.Detached, Content: req.Content, Limits: s.limits.CMS,
	})
	if err != nil {
		return nil, asError(err)
	}
	return r, nil
}

func (s *Service) mayVerify(ctx context.Context, caller *Caller) error {
	if !caller.has(OpVerify) {
		return report.Errorf(report.AccessDenied, report.Place{}, "%s is not granted", OpVerify)
	}
	return expired(ctx)
}
