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
	by      TimeStamper
	imprint func(signed []byte) ([]byte, error)        // what the time-stamp is about
	add     func(signed, token []byte) ([]byte, error) // where it goes
}

// stampedCMS makes CAdES-T of CAdES-BES.
func stampedCMS(p *cms.Prepared, by TimeStamper) prepared {
	return &stamped{
		prepared: p,
		by:       by,
		imprint:  func(signed []byte) ([]byte, error) { return cms.SignatureValue(signed, 0) },
		add:      cms.AddTimeStamp,
	}
}

// stampedXML makes XAdES-T of XAdES-BES.
func (s *Service) stampedXML(p *xmldsig.Prepared, by TimeStamper) prepared {
	return &stamped{
		prepared: p,
		by:       by,
		imprint: func(signed []byte) ([]byte, error) {
			return xmldsig.TimeStampInput(signed, p.SignatureID(), s.settings.Load().Limits.XML)
		},
		add: func(signed, token []byte) ([]byte, error) {
			return xmldsig.AddTimeStamp(signed, p.SignatureID(), token, s.settings.Load().Limits.XML)
		},
	}
}

// stamper is who gives the time-stamp of a profile that has one, which is refused where nobody does.
func (s *Service) stamper(profile string, needed bool) (TimeStamper, error) {
	if !needed {
		return nil, nil
	}
	by := s.settings.Load().TimeStamps
	if by == nil {
		return nil, report.Errorf(report.RequestInvalid, report.Place{Path: "profile"},
			"profile %s needs a time-stamping authority, and none is configured", profile)
	}
	return by, nil
}

// stamp adds a time-stamp that this service would not refuse itself.
func (s *Service) stamp(ctx context.Context, p *stamped, signed []byte) ([]byte, error) {
	octets, err := p.imprint(signed)
	if err != nil {
		return nil, err
	}
	token, err := p.by.TimeStamp(ctx, octets)
	if err != nil {
		return nil, err
	}
	_, checks := cms.VerifyTimeStamp(token, octets, cms.Policy{Trust: s.settings.Load().Trust, Keys: s.signers, Time: s.now()})
	for _, c := range checks {
		if c.Status == report.Failed {
			return nil, report.Errorf(c.Code, report.Place{}, "the time-stamp that was got is no good: %s", c.Message)
		}
	}
	return p.add(signed, token)
}
