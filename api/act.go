package api

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// act is all of epovpb.Act in one piece of memory.
type act struct {
	act                  epovpb.Act
	timings              epovpb.Timings
	queue, token, verify durationpb.Duration
	record               uint64
}

// encodeAct says how a signature came about.
func (s *Server) encodeAct(ctx context.Context, out *signer.Signed, receipt bool) *epovpb.Act {
	a := new(act)
	a.act.Timings, a.act.Replayed = &a.timings, out.Replayed
	set := func(d *durationpb.Duration, t time.Duration) *durationpb.Duration {
		d.Seconds, d.Nanos = int64(t/time.Second), int32(t%time.Second)
		return d
	}
	a.timings.Queue = set(&a.queue, out.Timings.Queue)
	a.timings.Token = set(&a.token, out.Timings.Sign)
	a.timings.Verify = set(&a.verify, out.Timings.Verify)
	a.timings.Retried = out.Timings.Retried
	if out.Audit.Recorded() {
		a.record = out.Audit.Index
		a.act.Record = &a.record
		if receipt {
			a.act.Receipt = s.receipt(ctx, a.record)
		}
	}
	return &a.act
}

// receipt proves a record. Where it cannot be had in time the answer goes without: the signature is made, and the receipt can be
// asked for later.
func (s *Server) receipt(ctx context.Context, index uint64) []byte {
	r, err := s.signing.Receipt(ctx, callerOf(ctx), index)
	if err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a signature is released without its receipt", slog.String("caller", callerOf(ctx).Name()),
			slog.Uint64("audit_index", index), slog.String("error", err.Error()))
		return nil
	}
	return r.Marshal()
}

// mayReceipt refuses to promise receipts that nobody gives.
func (s *Server) mayReceipt(wanted bool) error {
	if wanted && !s.signing.Audited() {
		return report.Errorf(report.RequestInvalid, report.Place{Path: "receipt"}, "the service keeps no audit log")
	}
	return nil
}
