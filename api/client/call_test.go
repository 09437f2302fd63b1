package client_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// scripted answers as a test says.
type scripted struct {
	pb.UnimplementedSignServiceServer
	pb.UnimplementedKeyServiceServer
	calls atomic.Int32
	sign  func(call int, req *pb.SignDigestRequest) (*pb.SignDigestResponse, error)
	list  func(call int) error
}

func (s *scripted) SignDigest(_ context.Context, req *pb.SignDigestRequest) (*pb.SignDigestResponse, error) {
	return s.sign(int(s.calls.Add(1)), req)
}

func (s *scripted) ListKeys(context.Context, *pb.ListKeysRequest) (*pb.ListKeysResponse, error) {
	return &pb.ListKeysResponse{}, s.list(int(s.calls.Add(1)))
}

// start serves a script and dials it.
func (s *scripted) start(tb testing.TB, config client.Config) *client.Client {
	a := testpki.NewTLS(tb)
	files := clientFiles(tb, a, tb.TempDir(), anyClient)
	config.Addresses = []string{serve(tb, a, func(g *grpc.Server) {
		pb.RegisterSignServiceServer(g, s)
		pb.RegisterKeyServiceServer(g, s)
	})}
	config.TLS, config.Health = client.Files(files[0], files[1], files[2]), client.NoHealth
	return dial(tb, config)
}

func refusal(code codes.Code, reason pb.ErrorReason, retry time.Duration) error {
	s, err := status.New(code, "told").WithDetails(&errdetails.ErrorInfo{Domain: "epov", Reason: reason.String()})
	if err == nil && retry > 0 {
		s, err = s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retry)})
	}
	if err != nil {
		panic(err)
	}
	return s.Err()
}

func TestRepetition(t *testing.T) {
	overload := refusal(codes.ResourceExhausted, pb.ErrorReason_OVERLOAD, time.Millisecond)
	for _, c := range []struct {
		name  string
		err   error
		calls int // made in all, by a script that fails twice
	}{
		{"overload", overload, 3},
		{"token away", refusal(codes.Unavailable, pb.ErrorReason_TOKEN_AWAY, time.Millisecond), 3},
		{"no RetryInfo", refusal(codes.Unavailable, pb.ErrorReason_TOKEN_AWAY, 0), 1},
		{"refused for good", refusal(codes.FailedPrecondition, pb.ErrorReason_KEY_UNUSABLE, time.Millisecond), 1},
		{"broken connection, nothing changed by the call", status.Error(codes.Unavailable, "broken"), 3},
		{"too large", status.Error(codes.ResourceExhausted, "too large"), 1},
		{"internal", status.Error(codes.Internal, "internal"), 1},
	} {
		s := &scripted{list: func(call int) error {
			if call <= 2 {
				return c.err
			}
			return nil
		}}
		_, err := s.start(t, client.Config{}).Keys.ListKeys(t.Context(), &pb.ListKeysRequest{})
		if n := int(s.calls.Load()); n != c.calls || (err == nil) != (c.calls == 3) {
			t.Errorf("%s: %d calls, %v", c.name, n, err)
		}
	}
	never := &scripted{list: func(int) error { return overload }}
	if _, err := never.start(t, client.Config{Attempts: 2}).Keys.ListKeys(t.Context(),
		&pb.ListKeysRequest{}); !errors.Is(err, client.Because(pb.ErrorReason_OVERLOAD)) {
		t.Error(err)
	}
	if n := never.calls.Load(); n != 2 {
		t.Errorf("%d attempts instead of 2", n)
	}
}

// TestPatience sees that a call is not kept waiting for a repetition that would come after its deadline.
func TestPatience(t *testing.T) {
	s := &scripted{list: func(int) error { return refusal(codes.ResourceExhausted, pb.ErrorReason_OVERLOAD, time.Hour) }}
	c := s.start(t, client.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := c.Keys.ListKeys(ctx, &pb.ListKeysRequest{})
	if e := client.AsError(err); ctx.Err() != nil || e == nil || e.RetryAfter != time.Hour {
		t.Errorf("%v", err)
	}
}

func TestOtherKeySigned(t *testing.T) {
	for asked, signed := range map[string]string{
		"keys/A/ov/versions/1": "keys/A/ov/versions/2",
		"keys/A/ov":            "keys/A/ov2/versions/1",
		"keys/A/o":             "keys/A/ov/versions/1",
	} {
		s := &scripted{sign: func(int, *pb.SignDigestRequest) (*pb.SignDigestResponse, error) {
			return &pb.SignDigestResponse{Key: signed}, nil
		}}
		if _, err := s.start(t, client.Config{}).SignDigest(t.Context(), &pb.SignDigestRequest{Key: asked}); err == nil {
			t.Errorf("asked for %s, %s signed", asked, signed)
		}
	}
}

// TestSpread has calls without an id go to all daemons in turns, whatever the balance, each daemon verified by its own name.
func TestSpread(t *testing.T) {
	for _, balance := range []client.Balance{client.RoundRobin, client.Weighted, client.ByRequest} {
		a := testpki.NewTLS(t)
		files := clientFiles(t, a, t.TempDir(), anyClient)
		var nodes [3]scripted
		var addresses []string
		for i := range nodes {
			nodes[i].list = func(int) error { return nil }
			addresses = append(addresses, serve(t, a, func(g *grpc.Server) { pb.RegisterKeyServiceServer(g, &nodes[i]) }))
		}
		c := dial(t, client.Config{
			Addresses: addresses, TLS: client.Files(files[0], files[1], files[2]), Balance: balance, Health: client.NoHealth,
		})
		least := func() int32 { return min(nodes[0].calls.Load(), nodes[1].calls.Load(), nodes[2].calls.Load()) }
		for range 10000 {
			if _, err := c.Keys.ListKeys(t.Context(), &pb.ListKeysRequest{}); err != nil {
				t.Fatal(balance, err)
			}
			if least() >= 10 {
				break
			}
		}
		if least() < 10 {
			t.Errorf("%s: calls were not spread", balance)
		}
	}
}

// TestDialer goes through a connection of the caller's own making.
func TestDialer(t *testing.T) {
	w := newWorld(t)
	var dialed atomic.Int32
	c := dial(t, client.Config{
		Addresses: []string{"epovd.test:8443"}, TLS: client.Files(w.files[0], w.files[1], w.files[2]),
		Dialer: func(ctx context.Context, address string) (net.Conn, error) {
			if address != "epovd.test:8443" {
				return nil, fmt.Errorf("asked for %s", address)
			}
			dialed.Add(1)
			return (&net.Dialer{}).DialContext(ctx, "tcp", w.address)
		},
	})
	if _, err := c.Keys.ListKeys(t.Context(), &pb.ListKeysRequest{}); err != nil || dialed.Load() == 0 {
		t.Error(err)
	}
}

// TestWeighted has one daemon tell that its tokens are busy: the other one gets most calls.
func TestWeighted(t *testing.T) {
	if testing.Short() {
		t.Skip("weights count after two seconds")
	}
	a := testpki.NewTLS(t)
	var served [2]atomic.Uint64 // reports ask for the count of signatures; each daemon counts its own
	idle := worldOf(t, a, func() (uint64, float64) { return served[0].Add(100), 0.1 })
	busy := worldOf(t, a, func() (uint64, float64) { return served[1].Add(100), 0.9 })
	c := dial(t, client.Config{
		Addresses: []string{idle.address, busy.address},
		TLS:       client.Files(idle.files[0], idle.files[1], idle.files[2]), Balance: client.Weighted,
	})
	fingerprints := map[string]int{}
	share := func(n int) map[string]int {
		clear(fingerprints)
		for range n {
			answer, err := c.SignSMEV3(t.Context(), "keys/EXMP01/ov", message())
			if err != nil {
				t.Fatal(err)
			}
			fingerprints[answer.GetCertificateFingerprint()]++
		}
		return fingerprints
	}
	key, err := dial(t, client.Config{Addresses: []string{busy.address},
		TLS: client.Files(idle.files[0], idle.files[1], idle.files[2])}).Signer(t.Context(), "keys/EXMP01/ov")
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := key.Certificate().Fingerprint()
	ofBusy := hex.EncodeToString(fingerprint[:])
	got := 0
	for begun := time.Now(); time.Since(begun) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if got = share(40)[ofBusy]; got < 12 {
			return
		}
	}
	t.Errorf("the busy daemon still gets %d of 40 calls", got)
}
