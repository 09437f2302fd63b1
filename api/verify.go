package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

type verifyService struct {
	epovpb.UnimplementedVerifyServiceServer
	*Server
}

func (s *verifyService) VerifyXml(ctx context.Context, req *epovpb.VerifyXmlRequest) (*epovpb.VerifyXmlResponse, error) {
	at, err := moment(req.ValidationTime, "validation_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	r, err := s.signing.VerifyXML(ctx, callerOf(ctx), signer.VerifyXMLRequest{
		Document: req.Document, Profile: req.Profile, Target: req.Target, Content: req.Content, Time: at,
		Require: req.Require, Attachments: req.Attachments,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "document")
	}
	return &epovpb.VerifyXmlResponse{Verdict: verdict(r.Verdict()), Integrity: verdict(r.Integrity()), Report: encodeReport(r)}, nil
}

func (s *verifyService) VerifyCms(ctx context.Context, req *epovpb.VerifyCmsRequest) (*epovpb.VerifyCmsResponse, error) {
	at, err := moment(req.ValidationTime, "validation_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	r, err := s.signing.VerifyCMS(ctx, callerOf(ctx), signer.VerifyCMSRequest{
		Message: req.Message, Detached: req.Content != nil, Content: req.Content, Time: at, Certificates: req.Certificates,
		Profile: req.Profile,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "message")
	}
	return &epovpb.VerifyCmsResponse{Verdict: verdict(r.Verdict()), Integrity: verdict(r.Integrity()), Report: encodeReport(r)}, nil
}

func verdict(v report.Verdict) epovpb.Verdict {
	switch v {
	case report.Valid:
		return epovpb.Verdict_VERDICT_VALID
	case report.Invalid:
		return epovpb.Verdict_VERDICT_INVALID
	}
	return epovpb.Verdict_VERDICT_INDETERMINATE
}

func encodeReport(r *report.Report) *epovpb.Report {
	out := &epovpb.Report{Format: text(r.Format), Checks: encodeChecks(r.Checks)}
	for i := range r.Signatures {
		out.Signatures = append(out.Signatures, encodeSignature(&r.Signatures[i]))
	}
	return out
}

func encodeSignature(s *report.Signature) *epovpb.Signature {
	out := &epovpb.Signature{
		Name: text(s.Name), Profile: text(s.Profile), Place: encodePlace(s.Place), Algorithm: text(s.Algorithm),
		Checks: encodeChecks(s.Checks), Verdict: verdict(s.Verdict()), Integrity: verdict(s.Integrity()),
	}
	if s.Signer != nil {
		out.Signer = encodeSigner(s.Signer)
	}
	for _, c := range s.Coverage {
		covered := &epovpb.Coverage{
			Uri: text(c.URI), Element: text(c.Element), Place: encodePlace(c.Place), Digest: text(c.Digest), Octets: c.Octets,
		}
		for _, t := range c.Transforms {
			covered.Transforms = append(covered.Transforms, text(t))
		}
		out.Coverage = append(out.Coverage, covered)
	}
	out.ClaimedTime = encodeTime(s.ClaimedTime)
	out.Evidence = encodeEvidence(s.Evidence)
	for _, i := range s.Covers {
		out.Covers = append(out.Covers, int32(i))
	}
	for _, ts := range s.TimeStamps {
		stamp := &epovpb.TimeStamp{
			Place: encodePlace(ts.Place), Time: encodeTime(ts.Time), Policy: text(ts.Policy),
			Serial: text(ts.Serial), Digest: text(ts.Digest),
			Algorithm: text(ts.Algorithm), Evidence: encodeEvidence(ts.Evidence), Trusted: ts.Trusted,
		}
		if ts.Accuracy > 0 {
			stamp.Accuracy = durationpb.New(ts.Accuracy)
		}
		if ts.Signer != nil {
			stamp.Signer = encodeSigner(ts.Signer)
		}
		out.TimeStamps = append(out.TimeStamps, stamp)
	}
	return out
}

func encodeEvidence(e *report.Evidence) *epovpb.Evidence {
	if e == nil {
		return nil
	}
	out := &epovpb.Evidence{Time: encodeTime(e.Time), RevocationPolicy: text(e.Revocation)}
	for _, c := range e.Path {
		certificate := &epovpb.PathCertificate{
			Subject: text(c.Subject), Serial: text(c.Serial), Fingerprint: text(c.Fingerprint), Anchor: c.Anchor,
		}
		if r := c.Revocation; r != nil {
			certificate.Revocation = &epovpb.Revocation{
				Kind: text(r.Kind), Source: text(r.Source), Issuer: text(r.Issuer), Number: text(r.Number),
				ThisUpdate: encodeTime(r.ThisUpdate), NextUpdate: encodeTime(r.NextUpdate),
				Revoked: r.Revoked, RevokedAt: encodeTime(r.RevokedAt), Reason: text(r.Reason),
			}
		}
		out.Certificates = append(out.Certificates, certificate)
	}
	return out
}

func encodeSigner(c *report.Signer) *epovpb.Signer {
	return &epovpb.Signer{
		Subject: text(c.Subject), Issuer: text(c.Issuer), Serial: text(c.Serial),
		NotBefore: timestamppb.New(c.NotBefore), NotAfter: timestamppb.New(c.NotAfter),
		Fingerprint: text(c.Fingerprint), Certificate: c.Certificate,
	}
}

// encodeTime leaves out the zero time.
func encodeTime(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func encodeChecks(checks []report.Check) []*epovpb.Check {
	// A report has dozens: they lie in one piece of memory, with their places.
	type placed struct {
		check epovpb.Check
		place epovpb.Place
	}
	all, list := make([]placed, len(checks)), make([]*epovpb.Check, len(checks))
	for i := range checks {
		c, out := &checks[i], &all[i].check
		list[i] = out
		out.Code, out.Message, out.Expected, out.Got = string(c.Code), text(c.Message), text(c.Expected), text(c.Got)
		if c.Place != (report.Place{}) {
			out.Place = &all[i].place
			fillPlace(out.Place, c.Place)
		}
		switch c.Status {
		case report.Passed:
			out.Status = epovpb.CheckStatus_CHECK_STATUS_PASSED
		case report.Failed:
			out.Status = epovpb.CheckStatus_CHECK_STATUS_FAILED
			info := c.Code.Info()
			out.SmevFault, out.SentenceRu = info.Fault, info.Russian
		default:
			out.Status = epovpb.CheckStatus_CHECK_STATUS_NOT_CHECKED
		}
	}
	return list
}

func encodePlace(p report.Place) *epovpb.Place {
	if p == (report.Place{}) {
		return nil
	}
	out := new(epovpb.Place)
	fillPlace(out, p)
	return out
}

func fillPlace(to *epovpb.Place, p report.Place) {
	to.Offset, to.End, to.Path = int64(p.Offset), int64(p.End), text(p.Path)
	to.Line, to.Column = int32(min(p.Line, 1<<31-1)), int32(min(p.Column, 1<<31-1))
}
