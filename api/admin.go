package api

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// Operator is what an administration service acts on. Its methods are called for callers who may do what they ask for. Errors
// are *report.Error.
type Operator interface {
	// Drain returns when nothing is at work any more, or after the deadline with the calls that are; a negative one means ctx's.
	Drain(ctx context.Context, notice, deadline time.Duration) (atWork int, err error)
	Undrain()
	Reload(ctx context.Context) []ReloadedPart
	State() State
	Stage(ctx context.Context, n signer.KeyName, tokens []string, id string) error
	Activate(ctx context.Context, n signer.KeyName) error
	Retire(ctx context.Context, n signer.KeyName) error
	Disable(ctx context.Context, n signer.KeyName) error
}

// ReloadedPart is what became of a part of the configuration.
type ReloadedPart struct {
	Name     string
	Result   epovpb.ReloadResult
	Message  string
	Findings []ConfigurationFinding
}

// ConfigurationFinding is what is wrong with a file.
type ConfigurationFinding struct {
	File         string
	Line, Column int
	Path         string
	Message      string
}

// State is what there is to tell of a running service.
type State struct {
	Draining bool
	AtWork   int
	Started  time.Time
	Tokens   []TokenState
	Keys     []KeyState
	Usage    []signer.Usage
	Reload   []ReloadedPart
	Reloaded time.Time // zero: never
}

// TokenState is the state of a token.
type TokenState struct {
	Name, State, Message, Serial              string
	Since                                     time.Time
	Sessions, SessionsLimit, Working, Waiting int
	Signed                                    uint64
}

// KeyState is the state of a key version.
type KeyState struct {
	Name    signer.KeyName
	Primary bool
	State   string
	Err     error // why it would not sign now
	Tokens  []string
}

type adminService struct {
	epovpb.UnimplementedAdminServiceServer
	*Server
	operator Operator
}

// act lets an administrative act happen: the caller may do it, and it is told and recorded.
func (s *adminService) act(ctx context.Context, op signer.Operation, name, key string, do func(n signer.KeyName) error) error {
	if err := s.signing.Administer(ctx, callerOf(ctx), op, name, key, do); err != nil {
		return s.fail(ctx, err, "key")
	}
	return nil
}

const mostPatience = time.Hour

func patience(d *durationpb.Duration, field string, otherwise time.Duration) (time.Duration, error) {
	if d == nil {
		return otherwise, nil
	}
	if err := d.CheckValid(); err != nil || d.AsDuration() < 0 || d.AsDuration() > mostPatience {
		return 0, report.Errorf(report.RequestInvalid, report.Place{Path: field}, "must be from 0 to an hour")
	}
	return d.AsDuration(), nil
}

func (s *adminService) Drain(ctx context.Context, req *epovpb.DrainRequest) (*epovpb.DrainResponse, error) {
	notice, err := patience(req.Notice, "notice", 5*time.Second)
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	deadline, err := patience(req.Deadline, "deadline", -1)
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out := &epovpb.DrainResponse{}
	err = s.act(ctx, signer.OpAdmin, "drain", "", func(signer.KeyName) error {
		n, err := s.operator.Drain(ctx, notice, deadline)
		out.CallsAtWork = int32(min(n, math.MaxInt32))
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *adminService) Undrain(ctx context.Context, _ *epovpb.UndrainRequest) (*epovpb.UndrainResponse, error) {
	err := s.act(ctx, signer.OpAdmin, "undrain", "", func(signer.KeyName) error { s.operator.Undrain(); return nil })
	if err != nil {
		return nil, err
	}
	return &epovpb.UndrainResponse{}, nil
}

func (s *adminService) Reload(ctx context.Context, _ *epovpb.ReloadRequest) (*epovpb.ReloadResponse, error) {
	out := &epovpb.ReloadResponse{}
	err := s.act(ctx, signer.OpAdmin, "reload", "", func(signer.KeyName) error {
		out.Parts = encodeParts(s.operator.Reload(context.WithoutCancel(ctx)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func encodeParts(list []ReloadedPart) []*epovpb.ReloadedPart {
	var out []*epovpb.ReloadedPart
	for _, p := range list {
		part := &epovpb.ReloadedPart{Name: p.Name, Result: p.Result, Message: text(p.Message)}
		for _, f := range p.Findings {
			part.Findings = append(part.Findings, &epovpb.ConfigurationFinding{
				File: text(f.File), Line: int32(f.Line), Column: int32(f.Column), Path: text(f.Path), Message: text(f.Message),
			})
		}
		out = append(out, part)
	}
	return out
}

func (s *adminService) GetAdminState(ctx context.Context, _ *epovpb.GetAdminStateRequest) (*epovpb.GetAdminStateResponse, error) {
	var state State
	err := s.signing.Monitor(ctx, callerOf(ctx), func() error { state = s.operator.State(); return nil })
	if err != nil {
		return nil, s.fail(ctx, err, "")
	}
	out := &epovpb.GetAdminStateResponse{
		Draining: state.Draining, CallsAtWork: int32(state.AtWork), Started: timestamppb.New(state.Started),
		Reload: encodeParts(state.Reload), Reloaded: encodeTime(state.Reloaded),
	}
	for _, t := range state.Tokens {
		out.Tokens = append(out.Tokens, &epovpb.TokenStatus{
			Name: text(t.Name), State: t.State, Since: encodeTime(t.Since), Message: text(t.Message), Serial: text(t.Serial),
			Sessions: int32(t.Sessions), SessionsLimit: int32(t.SessionsLimit), Working: int32(t.Working),
			Queued: int32(t.Waiting), Signed: t.Signed,
		})
	}
	for _, k := range state.Keys {
		key := &epovpb.KeyVersionStatus{Name: k.Name.String(), Primary: k.Primary, State: k.State, Signs: k.Err == nil, Tokens: k.Tokens}
		if k.Err != nil {
			key.Message = text(k.Err.Error())
		}
		out.Keys = append(out.Keys, key)
	}
	for _, u := range state.Usage {
		out.Clients = append(out.Clients, &epovpb.ClientUsage{
			Client: u.Client, Role: u.Role, Calls: u.Calls, OverRate: u.Rate, OverConcurrent: u.Concurrent, OverSize: u.Size,
			Denied: u.Denied, AtWork: int32(u.Running),
		})
	}
	return out, nil
}

func (s *adminService) StageKey(ctx context.Context, req *epovpb.StageKeyRequest) (*epovpb.StageKeyResponse, error) {
	err := s.act(ctx, signer.OpAdminKeys, "stage", req.Key, func(n signer.KeyName) error {
		return s.operator.Stage(ctx, n, req.Tokens, req.Id)
	})
	if err != nil {
		return nil, err
	}
	return &epovpb.StageKeyResponse{}, nil
}

func (s *adminService) ActivateKey(ctx context.Context, req *epovpb.ActivateKeyRequest) (*epovpb.ActivateKeyResponse, error) {
	err := s.act(ctx, signer.OpAdminKeys, "activate", req.Key, func(n signer.KeyName) error { return s.operator.Activate(ctx, n) })
	if err != nil {
		return nil, err
	}
	return &epovpb.ActivateKeyResponse{}, nil
}

func (s *adminService) RetireKey(ctx context.Context, req *epovpb.RetireKeyRequest) (*epovpb.RetireKeyResponse, error) {
	err := s.act(ctx, signer.OpAdminKeys, "retire", req.Key, func(n signer.KeyName) error { return s.operator.Retire(ctx, n) })
	if err != nil {
		return nil, err
	}
	return &epovpb.RetireKeyResponse{}, nil
}

func (s *adminService) DisableKey(ctx context.Context, req *epovpb.DisableKeyRequest) (*epovpb.DisableKeyResponse, error) {
	err := s.act(ctx, signer.OpAdminKeys, "disable", req.Key, func(n signer.KeyName) error { return s.operator.Disable(ctx, n) })
	if err != nil {
		return nil, err
	}
	return &epovpb.DisableKeyResponse{}, nil
}
