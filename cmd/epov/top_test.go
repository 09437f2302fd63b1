package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/epov-signer/epov/api/epovpb"
)

// stateForTop has something of everything in it.
func stateForTop() *pb.ServiceState {
	now := time.Date(2026, 3, 1, 12, 0, 5, 0, time.UTC)
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	in := func(days float64) *timestamppb.Timestamp {
		return timestamppb.New(now.Add(time.Duration(days * 24 * float64(time.Hour))))
	}
	latency := func(p50, p99 time.Duration) *pb.Latency {
		return &pb.Latency{P50: durationpb.New(p50), P99: durationpb.New(p99), Count: 100}
	}
	float := func(v float64) *float64 { return &v }
	const ms = time.Millisecond
	s := &pb.ServiceState{
		Time: timestamppb.New(now), Started: ago(76*time.Hour + 12*time.Minute), Version: "1.0.0", Serving: true,
		Connections: 12, ConnectionsLimit: 1024, Calls: 7, SignaturesPerSecond: 118.4, RefusalsPerSecond: 0.2,
		Signatures: 1234567, Refusals: 42,
		Queue: latency(ms/4, 3*ms), Token: latency(21*ms, 48*ms), Verify: latency(ms/10, ms/8), Total: latency(22*ms, 1300*ms),
		Tokens: []*pb.TokenState{
			{Name: "main", Vendor: "rutoken", State: "ready", Since: ago(76 * time.Hour), Pin: "ok", Sessions: 4,
				SessionsLimit: 8, Working: 3, Queued: 5,
				Signatures: 1234567, SignaturesPerSecond: 118.4, OfferedPerSecond: 118.6, CapacityPerSecond: float(381),
				Headroom: float(0.689), Latency: latency(21*ms, 48*ms)},
			{Name: "spare", State: "away", Since: ago(95 * time.Second), Pin: "unknown",
				Reason: "the token cannot be reached", Restarts: 2, Latency: &pb.Latency{}},
		},
		Keys: []*pb.KeyHealth{
			{Name: "keys/EXMP01/ov/versions/1", State: "retired",
				Reason: "the version is retired: it signs no more", CertificateEnd: in(-3)},
			{Name: "keys/EXMP01/ov/versions/2", Primary: true, State: "active", CertificateEnd: in(212.5),
				SignaturesPerSecond: 110, Latency: latency(22*ms, 50*ms),
				Replicas: []*pb.ReplicaState{{Token: "main", Signed: ago(0)},
					{Token: "spare", Reason: "the token cannot be reached", Signed: ago(time.Hour)}}},
			{Name: "keys/EXMP02/ov/versions/1", Primary: true, State: "active", CertificateEnd: in(12.2),
				SignaturesPerSecond: 8.4, Latency: latency(22*ms, 50*ms),
				Replicas: []*pb.ReplicaState{{Token: "main", Signed: ago(3 * time.Second)}}},
			{Name: "keys/EXMP03/ov/versions/1", Primary: true, State: "active",
				Reason: "the token cannot be reached", CertificateEnd: in(300),
				Replicas: []*pb.ReplicaState{{Token: "spare", Reason: "the token cannot be reached"}}},
		},
		Certificates: []*pb.CertificateEnd{{Kind: "key", Name: "keys/EXMP02/ov/versions/1", End: in(12.2)},
			{Kind: "tls", Name: "CN=epovd", End: in(300)}},
		Revocation: &pb.RevocationState{Lists: 12, Overdue: 1, Oldest: ago(time.Hour)},
		Audit:      &pb.AuditState{Records: 1234700, Lag: 14},
	}
	for i := range 6 {
		s.Keys = append(s.Keys, &pb.KeyHealth{Name: fmt.Sprintf("keys/EXMP1%d/ov/versions/1", i), State: "active", CertificateEnd: in(100),
			Replicas: []*pb.ReplicaState{{Token: "main", Signed: ago(time.Duration(i) * time.Minute)}}})
	}
	return s
}

// The picture, in a terminal of the usual size, in a small one, and without bounds.
func TestTopPicture(t *testing.T) {
	for name, s := range map[string]*screen{"80x24": {width: 80, height: 24}, "50x12": {width: 50, height: 12}, "once": {}} {
		s.state(stateForTop())
		lines := s.text()
		for _, l := range lines {
			if s.width > 0 && utf8.RuneCountInString(l) > s.width {
				t.Errorf("%s: %q is too long", name, l)
			}
		}
		if s.height > 0 && len(lines) > s.height {
			t.Errorf("%s: %d lines", name, len(lines))
		}
		got := strings.Join(lines, "\n") + "\n"
		path := filepath.Join("testdata", "top", name+".txt")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || string(want) != got {
			t.Errorf("%s: got\n%s\nwant\n%s%v", name, got, want, err)
		}
	}
}

// Colours add nothing to what there is to read, and nothing from outside reaches the terminal as a command to it.
func TestTopColors(t *testing.T) {
	state := stateForTop()
	state.Tokens[0].Name = "\x1b[2Jmain"
	state.Version = "1\x1b]0;title\a"
	colored, plain := &screen{width: 80, height: 24, color: true}, &screen{width: 80, height: 24}
	colored.state(state)
	plain.state(state)
	for i, l := range colored.text() {
		for _, c := range []string{"0", bold, bad, worry, good, header} {
			l = strings.ReplaceAll(l, "\x1b["+c+"m", "")
		}
		if strings.TrimRight(l, " ") != plain.text()[i] || strings.ContainsAny(l, "\x1b\a") {
			t.Errorf("%q and %q", l, plain.text()[i])
		}
	}
	(&screen{width: 80, height: 24}).state(&pb.ServiceState{}) // an empty one does no harm
}

// monitorOf answers with a state, then fails.
type monitorOf struct {
	pb.MonitorServiceClient
	answers []error // nil: a state
	calls   int
}

func (m *monitorOf) WatchState(ctx context.Context, _ *pb.WatchStateRequest,
	_ ...grpc.CallOption) (grpc.ServerStreamingClient[pb.WatchStateResponse], error) {
	m.calls++
	return &stateStream{of: m, ctx: ctx}, nil
}

type stateStream struct {
	grpc.ServerStreamingClient[pb.WatchStateResponse]
	of  *monitorOf
	ctx context.Context
}

func (s *stateStream) Recv() (*pb.WatchStateResponse, error) {
	if len(s.of.answers) == 0 {
		<-s.ctx.Done()
		return nil, status.FromContextError(s.ctx.Err()).Err()
	}
	err := s.of.answers[0]
	s.of.answers = s.of.answers[1:]
	if err != nil {
		return nil, err
	}
	return &pb.WatchStateResponse{State: stateForTop()}, nil
}

// recorder counts what it is shown.
type recorder struct {
	shown, waited int
	done          func()
	resize        chan os.Signal
}

func (r *recorder) show(*pb.ServiceState) error {
	if r.shown++; r.shown == 3 {
		r.done()
	}
	return nil
}
func (r *recorder) wait(error) error          { r.waited++; return nil }
func (r *recorder) resized() <-chan os.Signal { return r.resize }

// A daemon that goes away is waited for; one that refuses ends the watching; the user's interrupt does so in order.
func TestTopWatches(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{done: cancel, resize: make(chan os.Signal, 1)}
	m := &monitorOf{answers: []error{nil, status.Error(codes.Unavailable, "gone"), nil, nil}}
	c := &topCmd{Interval: time.Second}
	if err := c.watch(ctx, m, r); err != nil || r.shown != 3 || r.waited != 1 || m.calls != 2 {
		t.Errorf("%v, shown %d, waited %d, %d calls", err, r.shown, r.waited, m.calls)
	}
	denied := status.Error(codes.PermissionDenied, "no")
	if err := c.watch(t.Context(), &monitorOf{answers: []error{denied}}, &recorder{}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	var out bytes.Buffer
	if err := (&lines{&out}).show(stateForTop()); err != nil {
		t.Fatal(err)
	}
	back := &pb.ServiceState{}
	if err := protojson.Unmarshal(out.Bytes(), back); err != nil || back.Tokens[1].State != "away" ||
		strings.Count(out.String(), "\n") != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
}
