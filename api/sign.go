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
	at, err := s.begin(req.SigningTime, req.Receipt, "document_crc32c", req.Document, req.DocumentCrc32C)
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out, err := s.signing.SignXML(ctx, callerOf(ctx), signer.SignXMLRequest{
		Key: req.Key, Profile: req.Profile, Document: req.Document, Target: req.Target, Time: at, RequestID: req.RequestId,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "document")
	}
	answer := &epovpb.SignXmlResponse{
		Document: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint, Act: s.encodeAct(ctx, &out, req.Receipt),
	}
	answer.DocumentCrc32C, answer.VerifiedDocumentCrc32C = resultSum(out.Bytes, req.DocumentCrc32C)
	return answer, nil
}

func (s *signService) SignCms(ctx context.Context, req *epovpb.SignCmsRequest) (*epovpb.SignCmsResponse, error) {
	payload := req.GetContent()
	if digest := req.GetContentDigest(); digest != nil {
		payload = digest
	}
	at, err := s.begin(req.SigningTime, req.Receipt, "content_crc32c", payload, req.ContentCrc32C)
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	in := signer.SignCMSRequest{Key: req.Key, Profile: req.Profile, Time: at, RequestID: req.RequestId}
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
	answer := &epovpb.SignCmsResponse{
		Message: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint, Act: s.encodeAct(ctx, &out, req.Receipt),
	}
	answer.MessageCrc32C, answer.VerifiedContentCrc32C = resultSum(out.Bytes, req.ContentCrc32C)
	return answer, nil
}

func (s *signService) SignDigest(ctx context.Context, req *epovpb.SignDigestRequest) (*epovpb.SignDigestResponse, error) {
	if _, err := s.begin(nil, req.Receipt, "digest_crc32c", req.Digest, req.DigestCrc32C); err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out, err := s.signing.SignDigest(ctx, callerOf(ctx), signer.SignDigestRequest{
		Key: req.Key, Digest: req.Digest, DigestAlgorithm: req.DigestAlgorithm, RequestID: req.RequestId,
	})
	if err != nil {
		return nil, s.fail(ctx, err, "digest")
	}
	answer := &epovpb.SignDigestResponse{
		Signature: out.Bytes, Key: out.Key, CertificateFingerprint: out.Fingerprint, Algorithm: out.Algorithm,
		Act: s.encodeAct(ctx, &out, req.Receipt),
	}
	answer.SignatureCrc32C, answer.VerifiedDigestCrc32C = resultSum(out.Bytes, req.DigestCrc32C)
	return answer, nil
}

// begin checks what all requests for signatures have in common.
func (s *Server) begin(t *timestamppb.Timestamp, receipt bool, field string, payload []byte, sum *uint32) (time.Time, error) {
	at, err := moment(t, "signing_time")
	if err == nil {
		err = s.mayReceipt(receipt)
	}
	if err == nil {
		err = checkPayload(field, payload, sum)
	}
	return at, err
}

// resultSum is the checksum of a result, for a caller who gave one of the payload, which matched.
func resultSum(result []byte, given *uint32) (*uint32, bool) {
	if given == nil {
		return nil, false
	}
	sum := sumOf(result)
	return &sum, true
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
