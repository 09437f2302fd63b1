package api

import (
	"context"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/signer/report"
)

// places are a number of places that are taken and left; nobody waits for one.
type places struct {
	most int64
	used atomic.Int64
}

func (p *places) take(n int64) bool {
	if p.used.Add(n) > p.most {
		p.used.Add(-n)
		return false
	}
	return true
}

func (p *places) leave(n int64) { p.used.Add(-n) }

// size is how many places a request takes while it is worked on.
func (p *places) size(req any) int64 {
	n := int64(1)
	if m, ok := req.(proto.Message); ok {
		n += int64(proto.Size(m)) >> 20
	}
	return min(n, p.most)
}

// enter takes a place for a call before anything of its request is read, and bounds its time: interceptors run only when the
// whole request is in memory. The place is left when the stream ends; watchers of health may stay.
func (s *Server) enter(ctx context.Context, info *tap.Info) (context.Context, error) {
	if strings.HasPrefix(info.FullMethodName, healthPrefix) {
		if !s.probes.take(1) {
			s.trace.refused(RefusedOverload)
			return nil, overload(s.probes.most)
		}
		context.AfterFunc(ctx, func() { s.probes.leave(1) })
		return ctx, nil
	}
	if !s.calls.take(1) {
		s.trace.refused(RefusedOverload)
		return nil, overload(s.calls.most)
	}
	bounded, cancel := context.WithTimeout(ctx, s.limits.CallTime)
	context.AfterFunc(ctx, func() {
		cancel()
		s.calls.leave(1)
	})
	return bounded, nil
}

func overload(most int64) error {
	return statusOf(report.Errorf(report.Overload, report.Place{}, "there is room for %d calls", most), "", "").Err()
}
