package trust

import (
	"errors"
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
	responder, err := s.responder(r, issuer, at, now)
	switch {
	case err != nil:
		f.why = err.Error()
		return f
	case a.ThisUpdate.After(r.ProducedAt.Add(skew)): // thisUpdate is what was known then (RFC 6960 section 2.4)
		f.why = "it tells of a time after it was produced: producedAt " + stamp(r.ProducedAt)
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

// responder finds who signed the response and may, and holds it against time and CRLs. When the response was produced is the
// responder's word alone: a certificate that has ended by the moment of judgement vouches for nothing, and one that was revoked
// is not believed whatever time it states, for who has a leaked key states any.
func (s *Store) responder(r Response, issuer *gost.Certificate, at, now time.Time) (*gost.Certificate, error) {
	d, err := responder(s.keys, r.OCSPResponse, issuer)
	if err != nil || d == issuer {
		return d, err
	}
	for _, t := range []time.Time{r.ProducedAt, at} {
		if why := outside(t, d.NotBefore, d.NotAfter); why != "" && !t.Before(r.ProducedAt) {
			return nil, errors.New("the certificate of its responder " + why + " and did not fit at " + stamp(t))
		}
	}
	if r.ProducedAt.After(now.Add(skew)) {
		return nil, errors.New("is from the future: producedAt " + stamp(r.ProducedAt))
	}
	if !d.OCSPNoCheck { // then a CRL may say that the responder was revoked
		for _, f := range s.fromLists(d, issuer, now, now) {
			if f.revoked(now) {
				return nil, errors.New("its responder was revoked")
			}
		}
	}
	return d, nil
}

// CheckResponder reports why a response is not one that issuer, or whom issuer has certified for it, has signed; nil when it
// is. Times and revocation are not looked at.
func CheckResponder(r *gost.OCSPResponse, issuer *gost.Certificate) error {
	_, err := responder(nil, r, issuer)
	return err
}

// responder finds who signed the response and may: the issuer of the certificate itself, or whom the issuer has certified
// for it (RFC 6960 section 4.2.2.2).
func responder(keys *gost.KeyCache, r *gost.OCSPResponse, issuer *gost.Certificate) (*gost.Certificate, error) {
	if r.IsBy(issuer) {
		return issuer, keys.CheckOCSPResponse(r, issuer)
	}
	i := slices.IndexFunc(r.Certificates, r.IsBy)
	if i < 0 {
		return nil, errors.New("the certificate of its responder is missing")
	}
	d := r.Certificates[i]
	if err := keys.CheckOCSPResponse(r, d); err != nil {
		return nil, err
	}
	switch {
	case !d.Issuer.Equal(issuer.Subject):
		return nil, errors.New("its responder was not certified by the issuer of the certificate")
	case !slices.ContainsFunc(d.ExtKeyUsage, oidOCSPSigning.Equal):
		return nil, errors.New("the certificate of its responder is not for OCSP")
	case d.HasKeyUsage && d.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0:
		return nil, errors.New("the key usage of its responder does not allow to sign")
	case len(d.UnknownCritical) > 0:
		return nil, fmt.Errorf("the certificate of its responder has a critical extension that is not understood: %v", d.UnknownCritical)
	}
	return d, keys.CheckSignature(d, issuer)
}
