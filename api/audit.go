package api

import (
	"context"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

type auditService struct {
	epovpb.UnimplementedAuditServiceServer
	*Server
}

func (s *auditService) GetReceipt(ctx context.Context, req *epovpb.GetReceiptRequest) (*epovpb.GetReceiptResponse, error) {
	var r *audit.Receipt
	var err error
	switch of := req.Record.(type) {
	case *epovpb.GetReceiptRequest_Index:
		r, err = s.signing.Receipt(ctx, callerOf(ctx), of.Index)
	case *epovpb.GetReceiptRequest_RequestId:
		r, err = s.signing.ReceiptFor(ctx, callerOf(ctx), req.Client, of.RequestId)
	default:
		err = report.Errorf(report.RequestInvalid, report.Place{Path: "record"}, "neither index nor request_id is given")
	}
	if err != nil {
		return nil, s.fail(ctx, err, "record")
	}
	return &epovpb.GetReceiptResponse{Receipt: r.Marshal(), Index: r.Index}, nil
}

func (s *auditService) GetCheckpoint(ctx context.Context, _ *epovpb.GetCheckpointRequest) (*epovpb.GetCheckpointResponse, error) {
	checkpoint, key, err := s.signing.Checkpoint(callerOf(ctx))
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	return &epovpb.GetCheckpointResponse{Checkpoint: checkpoint, VerifierKey: key}, nil
}
