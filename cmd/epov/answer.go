package main

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
)

// reportOf reads the daemon's report. The verdict is worked out from the checks as always; it must be the daemon's, or else a
// newer daemon has said something that this program did not understand.
func reportOf(p *pb.Report, verdict pb.Verdict) (*report.Report, error) {
	r := &report.Report{Format: p.GetFormat()}
	var err error
	if r.Checks, err = checksOf(p.GetChecks()); err != nil {
		return nil, err
	}
	for _, s := range p.GetSignatures() {
		checks, err := checksOf(s.GetChecks())
		if err != nil {
			return nil, err
		}
		r.Signatures = append(r.Signatures, report.Signature{
			Name: s.GetName(), Profile: s.GetProfile(), Place: placeOfProto(s.GetPlace()), Algorithm: s.GetAlgorithm(),
			Signer: signerOf(s.GetSigner()), Coverage: coverageOf(s.GetCoverage()), ClaimedTime: timeOf(s.GetClaimedTime()),
			Evidence: evidenceOf(s.GetEvidence()), TimeStamps: stampsOf(s.GetTimeStamps()),
			Covers: coversOf(s.GetCovers(), len(p.GetSignatures())),
			Checks: checks,
		})
	}
	want := map[report.Verdict]pb.Verdict{
		report.Valid: pb.Verdict_VERDICT_VALID, report.Invalid: pb.Verdict_VERDICT_INVALID,
		report.Indeterminate: pb.Verdict_VERDICT_INDETERMINATE,
	}[r.Verdict()]
	if verdict != want {
		return nil, fmt.Errorf("the daemon says %v but its report says %v: are epov and epovd of one version?", verdict, want)
	}
	return r, nil
}

func checksOf(list []*pb.Check) ([]report.Check, error) {
	var out []report.Check
	for _, c := range list {
		k := report.Check{
			Code: report.Code(c.GetCode()), Message: c.GetMessage(), Place: placeOfProto(c.GetPlace()),
			Expected: c.GetExpected(), Got: c.GetGot(),
		}
		switch c.GetStatus() {
		case pb.CheckStatus_CHECK_STATUS_PASSED:
			k.Status = report.Passed
		case pb.CheckStatus_CHECK_STATUS_FAILED:
			k.Status = report.Failed
		case pb.CheckStatus_CHECK_STATUS_NOT_CHECKED:
			k.Status = report.NotChecked
		default:
			return nil, fmt.Errorf("check %s has an unknown status %v: are epov and epovd of one version?", c.GetCode(), c.GetStatus())
		}
		out = append(out, k)
	}
	return out, nil
}

func signerOf(s *pb.Signer) *report.Signer {
	if s == nil {
		return nil
	}
	return &report.Signer{
		Subject: s.GetSubject(), Issuer: s.GetIssuer(), Serial: s.GetSerial(), NotBefore: timeOf(s.GetNotBefore()),
		NotAfter: timeOf(s.GetNotAfter()), Fingerprint: s.GetFingerprint(), Certificate: s.GetCertificate(),
	}
}

// coversOf drops what is no index of a signature, which would be no report.
func coversOf(list []int32, signatures int) []int {
	var out []int
	for _, i := range list {
		if i >= 0 && int(i) < signatures {
			out = append(out, int(i))
		}
	}
	return out
}

func stampsOf(list []*pb.TimeStamp) []report.TimeStamp {
	var out []report.TimeStamp
	for _, ts := range list {
		out = append(out, report.TimeStamp{
			Place: placeOfProto(ts.GetPlace()), Time: timeOf(ts.GetTime()), Accuracy: ts.GetAccuracy().AsDuration(), Policy: ts.GetPolicy(),
			Serial: ts.GetSerial(), Digest: ts.GetDigest(), Algorithm: ts.GetAlgorithm(), Signer: signerOf(ts.GetSigner()),
			Evidence: evidenceOf(ts.GetEvidence()), Trusted: ts.GetTrusted(),
		})
	}
	return out
}

func evidenceOf(e *pb.Evidence) *report.Evidence {
	if e == nil {
		return nil
	}
	out := &report.Evidence{Time: timeOf(e.GetTime()), Revocation: e.GetRevocationPolicy()}
	for _, c := range e.GetCertificates() {
		certificate := report.PathCertificate{
			Subject: c.GetSubject(), Serial: c.GetSerial(), Fingerprint: c.GetFingerprint(), Anchor: c.GetAnchor(),
		}
		if r := c.GetRevocation(); r != nil {
			certificate.Revocation = &report.Revocation{
				Kind: r.GetKind(), Source: r.GetSource(), Issuer: r.GetIssuer(), Number: r.GetNumber(),
				ThisUpdate: timeOf(r.GetThisUpdate()), NextUpdate: timeOf(r.GetNextUpdate()),
				Revoked: r.GetRevoked(), RevokedAt: timeOf(r.GetRevokedAt()), Reason: r.GetReason(),
			}
		}
		out.Path = append(out.Path, certificate)
	}
	return out
}

func coverageOf(list []*pb.Coverage) []report.Coverage {
	var out []report.Coverage
	for _, c := range list {
		out = append(out, report.Coverage{
			URI: c.GetUri(), Element: c.GetElement(), Place: placeOfProto(c.GetPlace()), Transforms: c.GetTransforms(),
			Digest: c.GetDigest(), Octets: c.GetOctets(),
		})
	}
	return out
}

func placeOfProto(p *pb.Place) report.Place {
	return report.Place{
		Offset: int(p.GetOffset()), End: int(p.GetEnd()), Line: int(p.GetLine()), Column: int(p.GetColumn()), Path: p.GetPath(),
	}
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
