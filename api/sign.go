package api

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

type signService struct {
	epovpb.UnimplementedSignServiceServer
	*Server
}

func (s *signService) SignXml(ctx context.Context, req *epovpb.SignXmlRequest) (*epovpb.SignXmlResponse, error) {
	at, err := moment(req.SigningTime, "signing_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out, err := s.signing.SignXML(ctx, callerOf(ctx), signer.SignXMLRequest{
		Key: req.Key, Profile: req.Profile, Document: req.Document, Target: req.Target, Time: at,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "document")
	}
	return &epovpb.SignXmlResponse{Document: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint}, nil
}

func (s *signService) SignCms(ctx context.Context, req *epovpb.SignCmsRequest) (*epovpb.SignCmsResponse, error) {
	at, err := moment(req.SigningTime, "signing_time")
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	in := signer.SignCMSRequest{Key: req.Key, Profile: req.Profile, Time: at}
	for _, n := range req.Countersigned {
		in.Countersigned = append(in.Countersigned, int(min(n, math.MaxInt32)))
	}
	switch source := req.Source.(type) {
	case *epovpb.SignCmsRequest_Content:
		in.Content = source.Content
	case *epovpb.SignCmsRequest_ContentDigest:
		in.ByDigest, in.Digest = true, source.ContentDigest
	default:
		return nil, s.fail(ctx, report.Errorf(report.RequestInvalid, report.Place{Path: "source"},
			"neither content nor content_digest is given"), "")
	}
	out, err := s.signing.SignCMS(ctx, callerOf(ctx), in)
	if err != nil {
		return nil, s.fail(ctx, err, "content")
	}
	return &epovpb.SignCmsResponse{Message: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint}, nil
}

func (s *signService) SignDigest(ctx context.Context, req *epovpb.SignDigestRequest) (*epovpb.SignDigestResponse, error) {
	out, err := s.signing.SignDigest(ctx, callerOf(ctx), signer.SignDigestRequest{
		Key: req.Key, Digest: req.Digest, DigestAlgorithm: req.DigestAlgorithm,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "digest")
	}
	return &epovpb.SignDigestResponse{
		Signature: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint, Algorithm: out.Algorithm,
	}, nil
}

// moment reads an optional time; absent is the zero time.
func moment(t *timestamppb.Timestamp, field string) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil || t.AsTime().IsZero() { // the zero time stands for a time that is left out
		return time.Time{}, report.Errorf(report.RequestInvalid, report.Place{Path: field}, "not a time of the years 1 to 9999")
	}
	return t.AsTime(), nil
}
