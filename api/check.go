package api

import (
	"context"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

func (s *signService) CheckSign(ctx context.Context, req *epovpb.CheckSignRequest) (*epovpb.CheckSignResponse, error) {
	at, err := moment(req.SigningTime, "signing_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	in := signer.CheckSignRequest{Key: req.Key, Profile: req.Profile, Target: req.Target, Time: at}
	field := "document"
	switch source := req.Source.(type) {
	case *epovpb.CheckSignRequest_Document:
		in.Document = source.Document
	case *epovpb.CheckSignRequest_Content:
		field, in.Content = "content", source.Content
	case *epovpb.CheckSignRequest_ContentDigest:
		field, in.ByDigest, in.Digest = "content_digest", true, source.ContentDigest
	default:
		return nil, s.fail(ctx, report.Errorf(report.RequestInvalid, report.Place{Path: "source"}, "what would be signed is not given"), "")
	}
	r, err := s.signing.CheckSign(ctx, callerOf(ctx), in)
	if err != nil {
		return nil, s.fail(ctx, err, field)
	}
	return &epovpb.CheckSignResponse{
		Ready: r.Ready(), Key: r.Key, CertificateFingerprint: r.Fingerprint,
		Checks: encodeChecks(r.Checks), Warnings: encodeChecks(r.Warnings),
	}, nil
}
