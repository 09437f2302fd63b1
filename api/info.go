package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
)

type infoService struct {
	epovpb.UnimplementedInfoServiceServer
	*Server
}

func (s *infoService) GetCapabilities(ctx context.Context, _ *epovpb.GetCapabilitiesRequest) (*epovpb.GetCapabilitiesResponse, error) {
	c, limits := s.signing.Capabilities(), s.limits.Load()
	caller := callerOf(ctx)
	out := &epovpb.GetCapabilitiesResponse{
		Version: s.version, Caller: text(caller.Name()), Audit: c.Audit, TimeStamps: c.TimeStamps, Time: timestamppb.New(time.Now()),
		Limits: &epovpb.ServiceLimits{
			MessageBytes: uint64(c.MessageBytes), StreamBytes: uint64(c.StreamBytes), ChunkBytes: maxChunk,
			BatchItems: uint32(limits.BatchItems), CallTime: durationpb.New(limits.CallTime),
			StreamTime: durationpb.New(limits.StreamTime), StallTime: durationpb.New(limits.StallTime),
			BatchTime: durationpb.New(limits.BatchTime),
		},
		RequestIds: &epovpb.RequestIdLimits{
			TimeToLive: durationpb.New(c.RequestIDs.TTL), Entries: uint32(c.RequestIDs.Entries), Bytes: uint64(c.RequestIDs.Bytes),
		},
	}
	for _, op := range signer.Operations {
		if caller.Has(op) {
			out.Operations = append(out.Operations, string(op))
		}
	}
	for _, p := range c.Profiles {
		out.Profiles = append(out.Profiles, &epovpb.Profile{
			Name: p.Name, Format: p.Format, Stream: p.Stream, TimeStamp: p.TimeStamp, ByDigest: p.ByDigest,
		})
	}
	for _, a := range c.Algorithms {
		out.Algorithms = append(out.Algorithms, &epovpb.Algorithm{
			Name: a.Name, Digest: a.Digest.Name, SignatureBytes: uint32(a.SignatureSize()), Signs: signer.Signs(a),
		})
	}
	return out, nil
}
