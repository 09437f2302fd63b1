package api

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	orcapb "github.com/cncf/xds/go/xds/data/orca/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
)

// Load tells how busy what signs is: signatures so far, and the share of what can be at work at once that is at work or
// waits, above 1 when more waits than is at work. It must be cheap and safe for concurrent use.
type Load func() (signed uint64, busy float64)

// reports tells balancers the load in the form of ORCA (gRFC A51): beside every answer of SignService, and over the standard
// OpenRcaService. A report is made at most ten times a second, by the call that finds the last one old; other calls only
// pass it on.
type reports struct {
	load Load

	mutex sync.Mutex // of who makes a report
	begun time.Time  // when the last one was made
	done  uint64     // signatures by then
	rate  float64    // signatures in a second, lately
	busy  float64    // lately

	last atomic.Pointer[loadReport]
}

type loadReport struct {
	until   time.Time
	trailer metadata.MD
	metrics orca.ServerMetrics
}

const (
	reportEvery = 100 * time.Millisecond
	// What a report says goes half of the way to the newest measurement: queues come and go within less than a report.
	reportMemory  = 0.5
	reportTrailer = "endpoint-load-metrics-bin"
)

var signPrefix = "/" + epovpb.SignService_ServiceDesc.ServiceName + "/"

// current is the newest report.
func (r *reports) current(now time.Time) *loadReport {
	last := r.last.Load()
	if last != nil && now.Before(last.until) || !r.mutex.TryLock() {
		return last
	}
	defer r.mutex.Unlock()
	signed, busy := r.load()
	if seconds := now.Sub(r.begun).Seconds(); !r.begun.IsZero() && seconds > 0 {
		r.rate += reportMemory * (float64(signed-r.done)/seconds - r.rate)
	}
	r.busy += reportMemory * (busy - r.busy)
	r.begun, r.done = now, signed
	next := &loadReport{until: now.Add(reportEvery), metrics: orca.ServerMetrics{
		CPUUtilization: -1, MemUtilization: -1, AppUtilization: r.busy, QPS: r.rate, EPS: -1,
		Utilization: map[string]float64{}, RequestCost: map[string]float64{}, NamedMetrics: map[string]float64{},
	}}
	text, err := proto.Marshal(&orcapb.OrcaLoadReport{ApplicationUtilization: r.busy, RpsFractional: r.rate})
	if err == nil { // three numbers always have an encoding
		next.trailer = metadata.Pairs(reportTrailer, string(text))
	}
	r.last.Store(next)
	return next
}

// ServerMetrics is for the OpenRcaService.
func (r *reports) ServerMetrics() *orca.ServerMetrics {
	if c := r.current(time.Now()); c != nil {
		return &c.metrics
	}
	return &orca.ServerMetrics{CPUUtilization: -1, MemUtilization: -1, AppUtilization: -1, QPS: -1, EPS: -1}
}

// report puts the load beside the answer of a call to SignService.
func (s *Server) report(ctx context.Context, method string) {
	if s.reports == nil || !strings.HasPrefix(method, signPrefix) {
		return
	}
	if c := s.reports.current(time.Now()); c != nil && c.trailer != nil {
		_ = grpc.SetTrailer(ctx, c.trailer) // a call that is over needs no report
	}
}
