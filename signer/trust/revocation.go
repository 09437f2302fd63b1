package trust

import (
	"fmt"
	"strings"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// Revocations knows what was published about revocation. It is asked while a signature is verified, from many goroutines,
// and only about certificates whose path to an anchor is sound, so that the addresses in them are those of a trusted CA.
// What it answers is not believed before its signature is verified; everything else about it is checked each time.
type Revocations interface {
	// Lists returns the CRLs, complete ones and deltas, that the issuer of c has published, as far as they are known.
	Lists(c, issuer *gost.Certificate) []List
	// Responses returns OCSP responses that may speak of c.
	Responses(c, issuer *gost.Certificate) []Response
}

// List is a CRL and where it came from, a file or an address.
type List struct {
	*gost.RevocationList
	Source string
}

// Response is an OCSP response and where it came from.
type Response struct {
	*gost.OCSPResponse
	Source string
}

// skew is how far clocks may differ: evidence that was made so much later than now is not yet from the future.
const skew = 5 * time.Minute

// finding is what one piece of evidence says of one certificate.
type finding struct {
	usable bool   // it settles the matter
	why    string // when it is not usable
	listed bool   // it calls the certificate revoked, at any time
	gost.Revoked
	evidence report.Revocation
}

// revoked reports whether the finding makes the certificate unusable at a time. A revocation lasts, so that evidence that is
// no longer fresh still tells of it; a certificate that was put on hold may have been released since.
func (f *finding) revoked(at time.Time) bool {
	return f.listed && !f.Since().After(at) && (f.usable || f.Reason != gost.ReasonHold)
}

// checkRevocation asks about every certificate of a path but the anchor, and notes in the evidence what was found.
func (s *Store) checkRevocation(path []*gost.Certificate, at time.Time, e *report.Evidence) []report.Check {
	revoked := report.Check{Code: report.CertRevoked, Message: "no certificate of the path is known to have been revoked"}
	known := report.Check{Code: report.CertRevocation, Message: "that no certificate of the path was revoked is known from fresh evidence"}
	if path == nil {
		revoked.Status, revoked.Message = report.NotChecked, "without a path nobody says whether the certificate was revoked"
		known.Status, known.Message = report.NotChecked, revoked.Message
		return []report.Check{revoked, known}
	}
	now := s.now()
	for i, c := range path[:len(path)-1] {
		f := s.ask(c, path[i+1], at, now)
		what := title(path[:i+1])
		if f.usable || f.revoked(at) {
			found := f.evidence
			found.Revoked = f.revoked(at)
			if f.listed {
				found.RevokedAt, found.Reason = f.Since(), f.Reason.String()
			}
			e.Path[i].Revocation = &found
		}
		switch {
		case f.revoked(at):
			if revoked.Status == report.Passed {
				revoked.Status = report.Failed
				revoked.Message = fmt.Sprintf("%s was revoked at %s%s, says %s", what, stamp(f.Since()),
					because(f.Reason), f.evidence.Source)
				revoked.Expected, revoked.Got = "not revoked at "+stamp(at), "revoked at "+stamp(f.Since())
			}
		case !f.usable && known.Status == report.Passed && s.policy.Revocation == RevocationRequired:
			known.Status = report.Failed
			known.Message = fmt.Sprintf("whether %s was revoked is not known: %s", what, f.why)
		case !f.usable && known.Status == report.Passed:
			known.Message = fmt.Sprintf("whether %s was revoked is not known, and the policy does not demand it: %s", what, f.why)
		}
	}
	return []report.Check{revoked, known}
}

func because(r gost.Reason) string {
	if r.String() == "" {
		return ""
	}
	return " (" + r.String() + ")"
}

// ask weighs all evidence about a certificate: what revokes it counts first, then the youngest that is usable.
func (s *Store) ask(c, issuer *gost.Certificate, at, now time.Time) finding {
	if s.revocations == nil {
		return finding{why: "no CRLs or OCSP responses are configured"}
	}
	found := append(s.fromLists(c, issuer, at, now), s.fromResponses(c, issuer, at, now)...)
	best := finding{why: "there is no CRL and no OCSP response of its issuer"}
	var reasons []string
	for _, f := range found {
		if !f.usable && f.why != "" && len(reasons) < 4 {
			reasons = append(reasons, f.evidence.Source+": "+f.why)
		}
		switch {
		case f.revoked(at) && (!best.revoked(at) || f.Since().Before(best.Since())):
			best = f
		case best.revoked(at):
		case f.usable && (!best.usable || f.evidence.ThisUpdate.After(best.evidence.ThisUpdate)):
			best = f
		}
	}
	if !best.usable && len(reasons) > 0 {
		best.why = strings.Join(reasons, "; ")
	}
	return best
}

// fresh says what is wrong with the times of evidence about c; empty when nothing is.
func (s *Store) fresh(thisUpdate, nextUpdate, at, now time.Time) string {
	switch {
	case thisUpdate.After(now.Add(skew)):
		return "is from the future: thisUpdate " + stamp(thisUpdate)
	case !nextUpdate.IsZero() && nextUpdate.Before(thisUpdate):
		return "ends before it begins"
	case nextUpdate.IsZero() && s.policy.Freshness == 0:
		return "has no nextUpdate, and the policy sets no freshness"
	case !nextUpdate.IsZero() && at.After(nextUpdate.Add(s.policy.Grace)):
		return "is out of date: nextUpdate " + stamp(nextUpdate)
	case s.policy.Freshness > 0 && at.Sub(thisUpdate) > s.policy.Freshness:
		return fmt.Sprintf("is older than %v: thisUpdate %s", s.policy.Freshness, stamp(thisUpdate))
	}
	return ""
}

// fromLists asks the CRLs (RFC 5280 section 6.3.3). A list must be signed with the key that signed the certificate; other
// CRL issuers (indirect lists) and lists for some reasons only are not processed, and are named when they are met.
func (s *Store) fromLists(c, issuer *gost.Certificate, at, now time.Time) []finding {
	var out []finding
	lists := s.revocations.Lists(c, issuer)
	for _, l := range lists {
		if l.BaseNumber != nil {
			if f := s.fromDelta(l, c, issuer, at, now); f.listed {
				out = append(out, f)
			}
			continue
		}
		f := s.fromList(l, c, issuer, at, now)
		if f.why == notOurs {
			continue
		}
		for _, d := range lists {
			if d.BaseNumber != nil && f.evidence.Kind != "" && extends(d, l) {
				if newer := s.withDelta(f, d, l, c, issuer, at, now); newer.usable || newer.listed {
					out = append(out, newer)
				}
			}
		}
		out = append(out, f)
	}
	return out
}

// notOurs marks a list that says nothing about the certificate and cannot be blamed for it.
const notOurs = "it is about other certificates"

// acceptable says why a list cannot be believed or does not speak of c; empty when it can and does.
func (s *Store) acceptable(l List, c, issuer *gost.Certificate) string {
	switch {
	case !l.Issuer.Equal(c.Issuer), !l.Scope.Covers(c):
		return notOurs
	case issuer.HasKeyUsage && issuer.KeyUsage&gost.UsageCRLSign == 0:
		return "the key usage of its issuer lacks cRLSign"
	case len(l.UnknownCritical) > 0:
		return fmt.Sprintf("it has a critical extension that is not understood: %v", l.UnknownCritical)
	case l.Scope.Indirect:
		return "it is an indirect CRL, which is not supported"
	case l.Scope.Relative:
		return "its distribution point is named relative to the issuer, which is not supported"
	}
	verify := func() error { return s.keys.CheckRevocationList(l.RevocationList, issuer) }
	if err := s.set.Load().check(l.Fingerprint, issuer, verify); err != nil {
		return err.Error()
	}
	return ""
}

func (s *Store) fromList(l List, c, issuer *gost.Certificate, at, now time.Time) finding {
	f := finding{evidence: report.Revocation{Source: l.Source}}
	if f.why = s.acceptable(l, c, issuer); f.why != "" {
		return f
	}
	f.evidence = evidenceOf(l, "crl")
	if f.Revoked, f.listed = l.Find(c.Serial); f.listed && f.Reason == gost.ReasonRemoveFromCRL {
		f.listed, f.why = false, "it is complete and has an entry with removeFromCRL, which belongs into a delta"
		return f
	}
	s.settle(&f, l, c, at, now)
	return f
}

// settle decides whether the list's times let it speak.
func (s *Store) settle(f *finding, l List, c *gost.Certificate, at, now time.Time) {
	f.why = s.fresh(l.ThisUpdate, l.NextUpdate, at, now)
	switch {
	case f.why != "":
	case !f.listed && l.Scope.SomeReasons:
		f.why = "it lists revocations for some reasons only"
	case !f.listed && c.NotAfter.Before(l.ThisUpdate) && (l.ExpiredSince.IsZero() || l.ExpiredSince.After(c.NotAfter)):
		f.why = "it was made after the certificate had expired, and expired certificates are not listed"
	}
	f.usable = f.why == ""
}

// extends reports whether a delta may be applied to a complete list (RFC 5280 section 5.2.4).
func extends(delta, base List) bool {
	return delta.Issuer.Equal(base.Issuer) && delta.Scope.Equal(base.Scope) &&
		string(delta.AuthorityKeyID) == string(base.AuthorityKeyID) &&
		base.Number != nil && delta.Number != nil && base.Number.Cmp(delta.BaseNumber) >= 0 && delta.Number.Cmp(base.Number) > 0
}

// withDelta is what base and delta say together. The times are those of the delta.
func (s *Store) withDelta(f finding, delta, base List, c, issuer *gost.Certificate, at, now time.Time) finding {
	if why := s.acceptable(delta, c, issuer); why != "" {
		return finding{why: why}
	}
	if base.ThisUpdate.After(now.Add(skew)) {
		return finding{why: "the base of the delta is from the future"}
	}
	f.evidence = evidenceOf(delta, "delta-crl")
	if r, listed := delta.Find(c.Serial); listed {
		f.Revoked, f.listed = r, r.Reason != gost.ReasonRemoveFromCRL
	}
	s.settle(&f, delta, c, at, now)
	return f
}

// fromDelta is what a delta says without a base that fits: nothing of who is good, but whom it calls
// revoked is.
func (s *Store) fromDelta(delta List, c, issuer *gost.Certificate, at, now time.Time) (f finding) {
	if s.acceptable(delta, c, issuer) == "" {
		f.evidence = evidenceOf(delta, "delta-crl")
		f.Revoked, f.listed = delta.Find(c.Serial)
		if f.listed = f.listed && f.Reason != gost.ReasonRemoveFromCRL; f.listed {
			s.settle(&f, delta, c, at, now)
		}
	}
	return f
}

func evidenceOf(l List, kind string) report.Revocation {
	e := report.Revocation{
		Kind: kind, Source: l.Source, Issuer: l.Issuer.String(), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate,
	}
	if l.Number != nil {
		e.Number = fmt.Sprintf("%X", l.Number)
	}
	return e
}
