package cms

import (
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/report"
)

// oidSignatureTimeStamp is id-aa-signatureTimeStampToken (RFC 3161 appendix A, RFC 5126 section 6.1.1).
var oidSignatureTimeStamp = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}

var (
	oidExtKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

// maxTimeStamps bounds the time-stamps of one signature.
const maxTimeStamps = 16

// ClockSkew is how far the clocks of signers, time-stamping authorities and verifiers may be apart.
const ClockSkew = 5 * time.Minute

// VerifyTimeStamp examines a TimeStampToken (RFC 3161, RFC 5816) over the given octets: its imprint, its signature with GOST
// R 34.10-2001 or 2012, RSA (PKCS #1 v1.5) or ECDSA, the ESS attribute that must name its signer, the extended key usage, and
// trust. The checks have codes timestamp.*; those about one rule that pass are one check.
//
// The authority is judged at policy.Time, not at the time that it states itself: a key that has leaked since could have
// stated any. What is answered as Trusted passed every check. Content, Reader, Digest and Trace of the policy are not used.
func VerifyTimeStamp(token, imprinted []byte, policy Policy) (report.TimeStamp, []report.Check) {
	ts, err := ParseTimeStamp(token)
	if err != nil {
		check := report.Check{Code: report.TimeStampToken, Status: report.Failed, Message: "the time-stamp token cannot be read"}
		var e *report.Error
		if errors.As(err, &e) {
			check.Message += ": " + e.Message
		}
		return report.TimeStamp{}, []report.Check{check}
	}
	return ts.Verify(imprinted, policy)
}

// Verify is [VerifyTimeStamp] of a token that has been read.
func (ts *TimeStamp) Verify(imprinted []byte, policy Policy) (report.TimeStamp, []report.Check) {
	policy.Detached, policy.Content, policy.Reader, policy.Digest, policy.Trace = false, nil, nil, nil, nil
	v := newVerifier(ts.message, policy)
	v.token = true
	content := inMemory(ts.message.content, oidTSTInfo, ts.message.contentPlace)
	si := &ts.message.signers[0]
	signature := v.signer(si, &content)

	checks := append([]report.Check{ts.checkImprint(imprinted)}, summarize(signature)...)
	if signature.certificate != nil {
		checks = append(checks, checkAuthority(signature.certificate))
	}
	checks = append(checks, ts.checkTime(v.policy.Time, signature.certificate))
	if ts.unknown != "" {
		checks = append(checks, report.Check{Code: report.TimeStampToken, Status: report.NotChecked,
			Message: "the time-stamp token is not understood: " + ts.unknown})
	}
	out := report.TimeStamp{
		Time: ts.Time, Accuracy: ts.Accuracy, Policy: ts.Policy.String(), Serial: fmt.Sprintf("%X", ts.Serial),
		Digest: ts.Digest.String(), Signer: signature.Signer, Algorithm: signature.Algorithm,
		Evidence: signature.Evidence,
	}
	out.Trusted = !slices.ContainsFunc(checks, func(c report.Check) bool { return c.Status != report.Passed })
	return out, checks
}

// checkImprint holds messageImprint against the octets.
func (ts *TimeStamp) checkImprint(imprinted []byte) report.Check {
	c := report.Check{Code: report.TimeStampImprint, Got: base64.StdEncoding.EncodeToString(ts.Imprint),
		Message: "the time-stamp is about this signature"}
	method := digestByOID(ts.Digest)
	if method == nil {
		c.Status, c.Message = report.NotChecked, "the imprint of the time-stamp is made with an unknown digest: "+ts.Digest.String()
		return c
	}
	want := sum(method.new(), imprinted)
	c.Expected = base64.StdEncoding.EncodeToString(want)
	switch {
	case !anyEqual(ts.Imprint, [][]byte{want}):
		c.Status, c.Message = report.Failed, "the time-stamp is about something else than this signature"
	case method.weak:
		c.Status, c.Message = report.NotChecked,
			"the imprint of the time-stamp is made with "+method.name+", which is too weak to tell anything"
	}
	return c
}

// checkTime: the time stated is not in the future, and in the validity of the authority's certificate.
func (ts *TimeStamp) checkTime(now time.Time, c *gost.Certificate) report.Check {
	check := report.Check{Code: report.TimeStampTime, Got: stamp(ts.Time), Message: "the time stated is a possible one"}
	switch {
	case ts.Time.After(now.Add(ClockSkew + ts.Accuracy)):
		check.Status, check.Expected = report.Failed, "at most "+stamp(now)
		check.Message = "the time-stamp is from the future"
	case c != nil && (ts.Time.Before(c.NotBefore) || ts.Time.After(c.NotAfter)):
		check.Status, check.Expected = report.Failed, stamp(c.NotBefore)+" to "+stamp(c.NotAfter)
		check.Message = "the time-stamp is from outside the validity of its signer's certificate"
	}
	return check
}

// stampRules are the checks of a token's signature by what they say about the time-stamp; those not named are about trust. That
// the token names its signer's certificate is mandatory (RFC 3161 section 2.4.2, RFC 5816 section 2.2.1).
var stampRules = []struct {
	code   report.Code
	inner  []report.Code
	passed string
}{
	{report.TimeStampSignature, []report.Code{
		report.SignatureNone, report.CMSSigner, report.CMSAttributes, report.CMSContentType, report.CMSContent, report.CMSMessageDigest,
		report.CMSDigestMethod, report.CMSAlgorithmProtection, report.SignatureMethod, report.SignatureValue,
	}, "the signature of the time-stamp verifies"},
	{report.TimeStampCertificate, []report.Code{report.CMSSigningCertificate}, "the time-stamp names its signer's certificate"},
	{report.TimeStampTrust, nil, "the signer of the time-stamp is trusted"},
}

// summarize turns the checks of a token's signature into those of a time-stamp: what is in order needs few words.
func summarize(signature examined) (out []report.Check) {
	left := signature.Checks
	for _, rule := range stampRules {
		passed, others := 0, []report.Check(nil)
		before := len(out)
		for _, c := range left {
			switch {
			case rule.inner != nil && !slices.Contains(rule.inner, c.Code):
				others = append(others, c)
			case c.Status == report.Passed:
				passed++
			default:
				c.Code, c.Message = rule.code, "time-stamp: "+c.Message
				c.Place = report.Place{} // it counts from the start of the token
				out = append(out, c)
			}
		}
		left = others
		switch {
		case len(out) > before:
		case passed > 0:
			out = append(out, report.Check{Code: rule.code, Message: rule.passed})
		case signature.certificate != nil:
			out = append(out, report.Check{Code: rule.code, Status: report.Failed,
				Message: "the time-stamp does not name its signer's certificate"})
		}
	}
	return out
}

// checkAuthority: the certificate is a time-stamping authority's and nothing else (RFC 3161 section 2.3). Trust in it is
// another question.
func checkAuthority(c *gost.Certificate) report.Check {
	check := report.Check{
		Code: report.TimeStampUsage, Message: "the certificate is for time-stamping only, and says so critically",
		Expected: oidTimeStamping.String(), Got: acceptable(c.ExtKeyUsage),
	}
	i := slices.IndexFunc(c.Extensions, func(e gost.Extension) bool { return oidExtKeyUsage.Equal(e.OID) })
	switch {
	case i < 0:
		check.Status, check.Message = report.Failed, "the certificate of the time-stamp's signer is not for time-stamping"
	case len(c.ExtKeyUsage) != 1 || !c.ExtKeyUsage[0].Equal(oidTimeStamping):
		check.Status, check.Message = report.Failed, "the certificate of the time-stamp's signer is not for time-stamping alone"
	case !c.Extensions[i].Critical:
		check.Status, check.Message = report.Failed, "the extended key usage of the time-stamp's signer is not critical"
	}
	return check
}

// timeStamps examines the signature-time-stamps of a SignerInfo and returns when its certificate is to be judged.
func (v *verifier) timeStamps(si *signerInfo, s *report.Signature) time.Time {
	policy := v.policy
	policy.Certificates = v.known
	for _, a := range si.unsigned {
		if !a.oid.Equal(oidSignatureTimeStamp) {
			continue
		}
		if len(a.values) == 0 {
			s.Add(report.Check{Code: report.TimeStampToken, Status: report.Failed, Place: a.place,
				Message: "the time-stamp attribute is empty"})
		}
		for i, token := range a.values {
			if len(s.TimeStamps) == maxTimeStamps {
				s.Add(report.Check{Code: report.TimeStampToken, Status: report.NotChecked, Place: a.place,
					Message: fmt.Sprintf("only the first %d time-stamps were looked at", maxTimeStamps)})
				return s.StampedTime(v.policy.Time)
			}
			place := a.place
			place.Path = fmt.Sprintf("%s.values[%d]", place.Path, i)
			ts, checks := VerifyTimeStamp(token, si.signature, policy)
			AddTimeStampTo(s, ts, checks, place)
		}
	}
	return s.StampedTime(v.policy.Time)
}

// AddTimeStampTo adds to the report of a signature what [VerifyTimeStamp] said about its time-stamp, at its place, and holds
// the time against the one that the signer claims (s.ClaimedTime): a signature cannot be older than the time at which it was
// made. CAdES and XAdES share it.
func AddTimeStampTo(s *report.Signature, ts report.TimeStamp, checks []report.Check, place report.Place) {
	if !ts.Time.IsZero() && !s.ClaimedTime.IsZero() && ts.Time.Add(ClockSkew+ts.Accuracy).Before(s.ClaimedTime) {
		ts.Trusted = false
		checks = append(checks, report.Check{Code: report.TimeStampTime, Status: report.Failed,
			Message:  "the time-stamp is older than the time at which the signer claims to have signed",
			Expected: "at least " + stamp(s.ClaimedTime), Got: stamp(ts.Time)})
	}
	for _, c := range checks {
		c.Place = place
		s.Add(c)
	}
	ts.Place = place
	s.TimeStamps = append(s.TimeStamps, ts)
}
