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
	c := s.signing.Capabilities()
	caller := callerOf(ctx)
	out := &epovpb.GetCapabilitiesResponse{
		Version: s.version, Caller: text(caller.Name()), Audit: c.Audit, TimeStamps: c.TimeStamps, Time: timestamppb.New(time.Now()),
		Limits: &epovpb.ServiceLimits{
			MessageBytes: uint64(c.MessageBytes), StreamBytes: uint64(c.StreamBytes), ChunkBytes: maxChunk,
			BatchItems: uint32(s.limits.Load().BatchItems), CallTime: durationpb.New(s.limits.Load().CallTime),
			StreamTime: durationpb.New(s.limits.Load().StreamTime), StallTime: durationpb.New(s.limits.Load().StallTime),
			BatchTime: durationpb.New(s.limits.Load().BatchTime),
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
