package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
)

func TestReportOf(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got, err := reportOf(&pb.Report{
		Format: "cms",
		Checks: []*pb.Check{{Code: "cms.syntax", Status: pb.CheckStatus_CHECK_STATUS_PASSED, Message: "m"}},
		Signatures: []*pb.Signature{{
			Name: "SignerInfo 1", Algorithm: "gost2012-256", ClaimedTime: timestamppb.New(at),
			Signer:   &pb.Signer{Subject: "CN=A", NotBefore: timestamppb.New(at), NotAfter: timestamppb.New(at), Certificate: []byte{1}},
			Coverage: []*pb.Coverage{{Uri: "u", Place: &pb.Place{Offset: 1, End: 2, Line: 3, Column: 4, Path: "p"}, Octets: 5}},
			Checks:   []*pb.Check{{Code: "certificate.path", Status: pb.CheckStatus_CHECK_STATUS_NOT_CHECKED, Expected: "e", Got: "g"}},
			Evidence: &pb.Evidence{Time: timestamppb.New(at), RevocationPolicy: "required", Certificates: []*pb.PathCertificate{
				{Subject: "CN=A", Serial: "0A", Fingerprint: "f",
					Revocation: &pb.Revocation{Kind: "crl", Source: "s", Issuer: "i", Number: "1",
						ThisUpdate: timestamppb.New(at), Revoked: true, RevokedAt: timestamppb.New(at), Reason: "r"}},
				{Subject: "CN=B", Anchor: true}}},
		}},
	}, pb.Verdict_VERDICT_INDETERMINATE)
	if err != nil {
		t.Fatal(err)
	}
	want := &report.Report{
		Format: "cms",
		Checks: []report.Check{{Code: report.CMSSyntax, Message: "m"}},
		Signatures: []report.Signature{{
			Name: "SignerInfo 1", Algorithm: "gost2012-256", ClaimedTime: at,
			Signer:   &report.Signer{Subject: "CN=A", NotBefore: at, NotAfter: at, Certificate: []byte{1}},
			Coverage: []report.Coverage{{URI: "u", Place: report.Place{Offset: 1, End: 2, Line: 3, Column: 4, Path: "p"}, Octets: 5}},
			Checks:   []report.Check{{Code: report.CertPath, Status: report.NotChecked, Expected: "e", Got: "g"}},
			Evidence: &report.Evidence{Time: at, Revocation: "required", Path: []report.PathCertificate{
				{Subject: "CN=A", Serial: "0A", Fingerprint: "f",
					Revocation: &report.Revocation{Kind: "crl", Source: "s", Issuer: "i", Number: "1",
						ThisUpdate: at, Revoked: true, RevokedAt: at, Reason: "r"}},
				{Subject: "CN=B", Anchor: true}}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// A daemon of another version may say what this program cannot know; then it must not print a verdict of its own.
func TestReportOfRefuses(t *testing.T) {
	passed := []*pb.Check{{Code: "x", Status: pb.CheckStatus_CHECK_STATUS_PASSED}}
	unknown := []*pb.Check{{Code: "x", Status: pb.CheckStatus(9)}}
	for name, c := range map[string]struct {
		r *pb.Report
		v pb.Verdict
	}{
		"verdicts differ":   {&pb.Report{Signatures: []*pb.Signature{{Checks: passed}}}, pb.Verdict_VERDICT_INVALID},
		"no verdict":        {&pb.Report{Signatures: []*pb.Signature{{Checks: passed}}}, pb.Verdict_VERDICT_UNSPECIFIED},
		"nothing is signed": {&pb.Report{}, pb.Verdict_VERDICT_VALID},
		"unknown status":    {&pb.Report{Signatures: []*pb.Signature{{Checks: unknown}}}, pb.Verdict_VERDICT_VALID},
		"no report":         {nil, pb.Verdict_VERDICT_VALID},
	} {
		if r, err := reportOf(c.r, c.v); err == nil || !strings.Contains(err.Error(), "one version") {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}
