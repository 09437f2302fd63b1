package api

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
)

// watchPause is how often a watcher's keys are looked at. That costs no token anything; certificates end without anybody's doing.
const watchPause = time.Second

func (s *keyService) WatchKeys(_ *epovpb.WatchKeysRequest, stream grpc.ServerStreamingServer[epovpb.WatchKeysResponse]) error {
	ctx := stream.Context()
	known := map[string]*epovpb.Key{}
	age := time.NewTimer(s.limits.Load().BatchTime)
	defer age.Stop()
	ticker := time.NewTicker(watchPause)
	defer ticker.Stop()
	keys, err := s.signing.ListKeys(ctx, callerOf(ctx))
	for first := true; ; first = false {
		if err != nil {
			return s.fail(ctx, err, "")
		}
		out := &epovpb.WatchKeysResponse{}
		present := make(map[string]*epovpb.Key, len(keys))
		for _, k := range keys {
			key := encodeKey(k)
			present[key.Name] = key
			if !proto.Equal(known[key.Name], key) {
				out.Keys = append(out.Keys, key)
			}
		}
		for name := range known {
			if present[name] == nil {
				out.Removed = append(out.Removed, name)
			}
		}
		known = present
		if first || len(out.Keys)+len(out.Removed) > 0 {
			if err := s.send(ctx, func() error { return stream.Send(out) }); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-age.C:
			return nil
		case <-s.stopping():
			return statusOf(report.Errorf(report.Draining, report.Place{}, "the service is stopping"), "", "").Err()
		case <-ctx.Done():
			return statusOf(ended(ctx), "", "").Err()
		}
		caller, unknown := s.recognise(ctx, epovpb.KeyService_WatchKeys_FullMethodName) // by the policy of now
		if unknown != nil {
			return unknown
		}
		keys, err = s.signing.ListAgain(caller)
	}
}
