package api

import (
	"context"
	"strings"
	"sync"
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
	caller, err := s.recognise(ctx, info.FullMethodName)
	if err != nil {
		return nil, err
	}
	if s.drain.refusing.Load() {
		return nil, statusOf(report.Errorf(report.Draining, report.Place{}, "no new calls are taken"), "", "").Err()
	}
	if !s.calls.take(1) {
		s.trace.refused(RefusedOverload)
		return nil, overload(s.calls.most)
	}
	if !s.share.take(caller.Name(), 1) {
		s.calls.leave(1)
		s.trace.refused(RefusedOverload)
		return nil, overload(s.share.most)
	}
	bounded, cancel := context.WithTimeout(ctx, s.limits.CallTime)
	context.AfterFunc(ctx, func() {
		cancel()
		s.calls.leave(1)
		s.share.leave(caller.Name(), 1)
	})
	return bounded, nil
}

// shares bound how many of the places one client holds, so that some are left to the others.
type shares struct {
	most  int64
	mutex sync.Mutex
	held  map[string]int64 // by those who hold any
}

// newShares leaves a quarter of the places to others.
func newShares(places int) shares {
	return shares{most: int64(places - places/4), held: map[string]int64{}}
}

// take lets a first one through, however large.
func (s *shares) take(who string, n int64) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if has := s.held[who]; has > 0 && has+n > s.most {
		return false
	}
	s.held[who] += n
	return true
}

func (s *shares) leave(who string, n int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.held[who] -= n; s.held[who] <= 0 {
		delete(s.held, who)
	}
}

func overload(most int64) error {
	return statusOf(report.Errorf(report.Overload, report.Place{}, "there is room for %d calls", most), "", "").Err()
}
