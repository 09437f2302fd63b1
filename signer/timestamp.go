package signer

import (
	"context"

	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

// TimeStamper gets time-stamps; *tsp.Client is one. Safe for concurrent use.
type TimeStamper interface {
	// TimeStamp returns a TimeStampToken (RFC 3161) over the octets. Errors are *report.Error, or those of the context.
	TimeStamp(ctx context.Context, octets []byte) ([]byte, error)
}

// stamped is a signature that needs a time-stamp after it was made, whatever its format.
type stamped struct {
	prepared
	imprint func(signed []byte) ([]byte, error)        // what the time-stamp is about
	add     func(signed, token []byte) ([]byte, error) // where it goes
}

// stampedCMS makes CAdES-T of CAdES-BES.
func stampedCMS(p *cms.Prepared) prepared {
	return &stamped{
		prepared: p,
		imprint:  func(signed []byte) ([]byte, error) { return cms.SignatureValue(signed, 0) },
		add:      cms.AddTimeStamp,
	}
}

// stampedXML makes XAdES-T of XAdES-BES.
func (s *Service) stampedXML(p *xmldsig.Prepared) prepared {
	return &stamped{
		prepared: p,
		imprint: func(signed []byte) ([]byte, error) {
			return xmldsig.TimeStampInput(signed, p.SignatureID(), s.limits.XML)
		},
		add: func(signed, token []byte) ([]byte, error) {
			return xmldsig.AddTimeStamp(signed, p.SignatureID(), token, s.limits.XML)
		},
	}
}

// mayStamp refuses a profile with a time-stamp where nobody gives any.
func (s *Service) mayStamp(profile string) error {
	if s.stamps == nil {
		return report.Errorf(report.RequestInvalid, report.Place{Path: "profile"},
			"profile %s needs a time-stamping authority, and none is configured", profile)
	}
	return nil
}

// stamp adds a time-stamp that this service would not refuse itself.
func (s *Service) stamp(ctx context.Context, p *stamped, signed []byte) ([]byte, error) {
	octets, err := p.imprint(signed)
	if err != nil {
		return nil, err
	}
	token, err := s.stamps.TimeStamp(ctx, octets)
	if err != nil {
		return nil, err
	}
	_, checks := cms.VerifyTimeStamp(token, octets, cms.Policy{Trust: s.trust, Keys: s.signers, Time: s.now()})
	for _, c := range checks {
		if c.Status == report.Failed {
			return nil, report.Errorf(c.Code, report.Place{}, "the time-stamp that was got is no good: %s", c.Message)
		}
	}
	return p.add(signed, token)
}
