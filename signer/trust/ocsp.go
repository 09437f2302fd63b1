package trust

import (
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// fromResponses asks the OCSP responses (RFC 6960 section 3.2).
func (s *Store) fromResponses(c, issuer *gost.Certificate, at, now time.Time) []finding {
	var out []finding
	for _, r := range s.revocations.Responses(c, issuer) {
		for i := range r.Answers {
			if a := &r.Answers[i]; a.Is(c, issuer) {
				out = append(out, s.fromAnswer(r, a, c, issuer, at, now))
			}
		}
	}
	return out
}

func (s *Store) fromAnswer(r Response, a *gost.OCSPAnswer, c, issuer *gost.Certificate, at, now time.Time) finding {
	f := finding{evidence: report.Revocation{
		Kind: "ocsp", Source: r.Source, ThisUpdate: a.ThisUpdate, NextUpdate: a.NextUpdate,
	}}
	if len(r.UnknownCritical) > 0 {
		f.why = fmt.Sprintf("it has a critical extension that is not understood: %v", r.UnknownCritical)
		return f
	}
	responder, why := s.responder(r, issuer, now)
	if why != "" {
		f.why = why
		return f
	}
	f.evidence.Issuer = responder.Subject.String()
	f.Revoked, f.listed = a.Revoked, a.Status == gost.OCSPRevoked
	f.why = s.fresh(a.ThisUpdate, a.NextUpdate, at, now)
	switch {
	case f.why != "":
	case a.Status == gost.OCSPUnknown:
		f.why = "the responder does not know the certificate"
	case !f.listed && c.NotAfter.Before(a.ThisUpdate):
		f.why = "it was made after the certificate had expired"
	}
	f.usable = f.why == ""
	return f
}

// responder finds who signed the response and may: the issuer of the certificate itself, or whom the issuer has certified
// for it (RFC 6960 section 4.2.2.2).
func (s *Store) responder(r Response, issuer *gost.Certificate, now time.Time) (_ *gost.Certificate, why string) {
	if r.IsBy(issuer) {
		if err := s.keys.CheckOCSPResponse(r.OCSPResponse, issuer); err != nil {
			return nil, err.Error()
		}
		return issuer, ""
	}
	i := slices.IndexFunc(r.Certificates, r.IsBy)
	if i < 0 {
		return nil, "the certificate of its responder is missing"
	}
	d := r.Certificates[i]
	if err := s.keys.CheckOCSPResponse(r.OCSPResponse, d); err != nil {
		return nil, err.Error()
	}
	switch {
	case !d.Issuer.Equal(issuer.Subject):
		return nil, "its responder was not certified by the issuer of the certificate"
	case !slices.ContainsFunc(d.ExtKeyUsage, oidOCSPSigning.Equal):
		return nil, "the certificate of its responder is not for OCSP"
	case d.HasKeyUsage && d.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return nil, "the key usage of its responder does not allow to sign"
	case len(d.UnknownCritical) > 0:
		return nil, fmt.Sprintf("the certificate of its responder has a critical extension that is not understood: %v", d.UnknownCritical)
	}
	if why := outside(r.ProducedAt, d.NotBefore, d.NotAfter); why != "" {
		return nil, "the certificate of its responder " + why + " and did not fit when it was produced"
	}
	if r.ProducedAt.After(now.Add(skew)) {
		return nil, "is from the future: producedAt " + stamp(r.ProducedAt)
	}
	if err := s.keys.CheckSignature(d, issuer); err != nil {
		return nil, err.Error()
	}
	if !d.OCSPNoCheck { // then a CRL may say that the responder was revoked
		for _, f := range s.fromLists(d, issuer, r.ProducedAt, now) {
			if f.revoked(r.ProducedAt) {
				return nil, "its responder was revoked"
			}
		}
	}
	return d, ""
}
