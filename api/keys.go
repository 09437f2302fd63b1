package api

import (
	"context"
	"strings"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

type keyService struct {
	epovpb.UnimplementedKeyServiceServer
	*Server
}

func (s *keyService) ListKeys(ctx context.Context, _ *epovpb.ListKeysRequest) (*epovpb.ListKeysResponse, error) {
	keys, err := s.signing.ListKeys(ctx, callerOf(ctx))
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out := &epovpb.ListKeysResponse{}
	for _, k := range keys {
		out.Keys = append(out.Keys, encodeKey(k))
	}
	return out, nil
}

func (s *keyService) GetKey(ctx context.Context, req *epovpb.GetKeyRequest) (*epovpb.GetKeyResponse, error) {
	k, err := s.signing.GetKey(ctx, callerOf(ctx), req.Key)
	if err != nil {
		return nil, s.fail(ctx, err, "key")
	}
	return &epovpb.GetKeyResponse{Key: encodeKey(k)}, nil
}

func encodeKey(k signer.KeyInfo) *epovpb.Key {
	out := &epovpb.Key{
		Name: k.Key.Name(), Primary: k.Primary, CertificateFingerprint: k.Fingerprint, State: epovpb.KeyState_KEY_STATE_USABLE,
	}
	if public := k.Key.Public(); public != nil {
		out.Algorithm, out.ParameterSet = public.Algorithm.Name, public.Params.Name
		out.PublicKey = public.SubjectPublicKeyInfo()
	}
	if c := k.Key.Certificate(); c != nil {
		out.Certificate = c.Raw
	}
	for _, c := range k.Key.Chain() {
		out.Chain = append(out.Chain, c.Raw)
	}
	if e := k.Unusable; e != nil {
		out.State = epovpb.KeyState_KEY_STATE_UNUSABLE
		switch e.Code {
		case report.TokenAway:
			out.State = epovpb.KeyState_KEY_STATE_AWAY
		case report.KeyStaged:
			out.State = epovpb.KeyState_KEY_STATE_STAGED
		case report.KeyDisabled:
			out.State = epovpb.KeyState_KEY_STATE_DISABLED
		case report.KeyRetired:
			out.State = epovpb.KeyState_KEY_STATE_RETIRED
		}
		out.StateMessage = text(e.Message)
	}
	return out
}

// text makes a string fit for protobuf, which refuses to encode anything but UTF-8; names in certificates may be otherwise.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
