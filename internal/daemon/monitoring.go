package daemon

import (
	"errors"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/daemon/observe"
	"github.com/epov-signer/epov/signer/report"
)

// short is what callers may read of an error: what the module said stays in the log.
func short(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*report.Error](err); ok {
		return e.Message
	}
	return translate(err).Message
}

// monitor is the state for callers.
func (d *Daemon) monitor() *epovpb.ServiceState {
	s := d.observing.metrics.State()
	out := &epovpb.ServiceState{
		Time: timestamppb.New(s.Now), Started: timestamppb.New(s.Started), Version: s.Version, Serving: s.Serving, Draining: s.Draining,
		Connections: uint32(s.Connections), ConnectionsLimit: uint32(s.ConnectionsLimit), Calls: uint32(max(s.Active, 0)),
		SignaturesPerSecond: s.Rate, RefusalsPerSecond: s.Refusals, Signatures: s.Signed, Refusals: s.NotSigned,
		Queue: latency(s.Queue), Token: latency(s.Token), Verify: latency(s.Verify), Total: latency(s.Total),
		Revocation: &epovpb.RevocationState{
			Lists: uint32(s.Revocations.Lists), Overdue: uint32(s.Revocations.Overdue), Failing: uint32(s.Revocations.Failing),
			Oldest: moment(s.Revocations.Oldest),
		},
	}
	for i := range s.Tokens {
		out.Tokens = append(out.Tokens, tokenMessage(&s.Tokens[i]))
	}
	for i := range s.Keys {
		out.Keys = append(out.Keys, keyMessage(&s.Keys[i]))
	}
	for _, c := range s.Certificates {
		out.Certificates = append(out.Certificates, &epovpb.CertificateEnd{Kind: c.Kind, Name: c.Name, End: moment(c.Until)})
	}
	if a := s.Audit; a != nil {
		out.Audit = &epovpb.AuditState{Records: a.Records, Lag: a.Lag, WaitingBytes: uint64(a.Waiting), Reason: a.Reason}
	}
	return out
}

func tokenMessage(t *observe.Token) *epovpb.TokenState {
	out := &epovpb.TokenState{
		Name: t.Name, Vendor: t.Vendor, Model: t.Model, Serial: t.Serial, State: t.State, Since: moment(t.Since),
		Reason: t.Reason, Pin: t.PIN,
		Sessions: uint32(t.Sessions), SessionsLimit: uint32(t.Limit), Working: uint32(t.Working), Queued: uint32(t.Queued),
		Hanging: uint32(t.Hanging), Signatures: t.Signed, SignaturesPerSecond: t.Rate, OfferedPerSecond: t.Offered,
		Latency: latency(t.Latency), Restarts: t.Restarts,
	}
	if c := t.Capacity(); c > 0 {
		out.CapacityPerSecond = &c
	}
	if !math.IsNaN(t.Headroom) {
		out.Headroom = &t.Headroom
	}
	return out
}

func keyMessage(k *observe.Key) *epovpb.KeyHealth {
	out := &epovpb.KeyHealth{
		Name: k.Name, Primary: k.Primary, State: k.State, Reason: k.Reason, CertificateEnd: moment(k.Until),
		SignaturesPerSecond: k.Rate, Latency: latency(k.Latency),
	}
	for _, r := range k.Replicas {
		m := &epovpb.ReplicaState{
			Token: r.Token, Reason: r.Reason, OutOfService: r.OutOfService, Signed: moment(r.Signed),
			Tested: moment(r.Tested), TestFailure: r.Failure,
		}
		if !r.Tested.IsZero() {
			m.TestTook = durationpb.New(r.Took)
		}
		out.Replicas = append(out.Replicas, m)
	}
	return out
}

func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func latency(l observe.Latency) *epovpb.Latency {
	return &epovpb.Latency{P50: durationpb.New(l.P50), P99: durationpb.New(l.P99), Count: l.Count}
}

func tokenState(t hsm.TokenHealth) observe.Token {
	return observe.Token{
		Name: t.Name, Vendor: t.Vendor, Model: t.Info.Model, Serial: t.Info.Serial, State: t.State.String(),
		Since: t.Since, Reason: short(t.Err),
		PIN: pinState(t), Sessions: t.Sessions, Limit: t.Limit, Working: t.Working, Queued: t.Queued, Hanging: t.Hanging,
		Service: t.Service, Signed: t.Signed,
	}
}
