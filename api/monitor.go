package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// Bounds of the interval between two answers to a watcher.
const (
	leastInterval   = 200 * time.Millisecond
	mostInterval    = time.Minute
	defaultInterval = time.Second
)

type monitorService struct {
	epovpb.UnimplementedMonitorServiceServer
	*Server
}

func (s *monitorService) GetState(ctx context.Context, _ *epovpb.GetStateRequest) (*epovpb.GetStateResponse, error) {
	out := &epovpb.GetStateResponse{}
	err := s.signing.Monitor(ctx, callerOf(ctx), func() error {
		out.State = s.state()
		return nil
	})
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	return out, nil
}

// over is an error that is rendered already.
type over struct{ error }

func (s *monitorService) WatchState(req *epovpb.WatchStateRequest, stream grpc.ServerStreamingServer[epovpb.WatchStateResponse]) error {
	ctx := stream.Context()
	interval := defaultInterval
	if req.Interval != nil {
		if interval = req.Interval.AsDuration(); req.Interval.CheckValid() != nil || interval < leastInterval || interval > mostInterval {
			return s.fail(ctx, report.Errorf(report.RequestInvalid, report.Place{Path: "interval"},
				"it must be from %v to %v", leastInterval, mostInterval), "")
		}
	}
	err := s.signing.Monitor(ctx, callerOf(ctx), func() error { return over{s.watchState(ctx, interval, stream)} })
	if done, ok := errors.AsType[over](err); ok {
		return done.error
	}
	return s.fail(ctx, err, "")
}

func (s *monitorService) watchState(ctx context.Context, interval time.Duration,
	stream grpc.ServerStreamingServer[epovpb.WatchStateResponse]) error {
	begun := time.Now()
	return s.watching(ctx, epovpb.MonitorService_WatchState_FullMethodName,
		func(caller *signer.Caller) (<-chan struct{}, time.Duration, error) {
			if err := s.signing.MayMonitor(caller); err != nil {
				return nil, 0, s.fail(ctx, err, "")
			}
			out := &epovpb.WatchStateResponse{State: s.state()}
			err := stream.Send(out)
			return nil, interval - time.Since(begun)%interval, err
		})
}

// state is that of the server at least.
func (s *Server) state() *epovpb.ServiceState {
	if s.monitor == nil {
		return &epovpb.ServiceState{Version: s.version}
	}
	return s.monitor()
}

func (s *monitorService) SignCanary(ctx context.Context, req *epovpb.SignCanaryRequest) (*epovpb.SignCanaryResponse, error) {
	out, err := s.signing.SignCanary(ctx, callerOf(ctx), req.Key, req.Nonce)
	if err != nil {
		return nil, s.fail(ctx, err, "nonce")
	}
	return &epovpb.SignCanaryResponse{
		Key: out.Key, Algorithm: out.Algorithm, Total: durationpb.New(out.Total),
		Timings: &epovpb.Timings{
			Queue: durationpb.New(out.Timings.Queue), Token: durationpb.New(out.Timings.Sign),
			Verify: durationpb.New(out.Timings.Verify), Retried: out.Timings.Retried,
		},
	}, nil
}
