package daemon

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/epov-signer/epov/api/epovpb"
)

// Who may monitor sees everything that the daemon knows of itself; who may have a canary signed learns how that went; neither may
// do what the other may, nor sign.
func TestMonitor(t *testing.T) {
	p := newPlant(t)
	operations := func(list string) string {
		return strings.Replace(p.config, "[sign-xml, sign-cms, verify, list]", "["+list+"]", 1) +
			"audit: {directory: audit, name: epov.test/log}\n"
	}
	d, stop := p.running(t, operations("monitor, canary, sign-xml"), quiet)
	conn := p.dial(t, d)
	monitor, sign := epovpb.NewMonitorServiceClient(conn), epovpb.NewSignServiceClient(conn)
	for range 3 {
		if _, err := sign.SignXml(t.Context(),
			&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: []byte(ack)}); err != nil {
			t.Fatal(err)
		}
	}
	canary, err := monitor.SignCanary(t.Context(), &epovpb.SignCanaryRequest{Key: "keys/EXMP01/ov", Nonce: []byte("probe 1")})
	if err != nil || canary.Key != "keys/EXMP01/ov/versions/2" || canary.Algorithm != "gost2012-256" ||
		canary.Timings.Token.AsDuration() <= 0 || canary.Total.AsDuration() < canary.Timings.Token.AsDuration() {
		t.Errorf("%v, %v", canary, err)
	}
	if _, err := monitor.SignCanary(t.Context(), &epovpb.SignCanaryRequest{Key: "keys/EXMP01/bare"}); err != nil {
		t.Errorf("a key without certificate: %v", err)
	}
	for name, req := range map[string]*epovpb.SignCanaryRequest{
		"long nonce": {Key: "keys/EXMP01/ov", Nonce: make([]byte, 65)}, "no key": {},
	} {
		if _, err := monitor.SignCanary(t.Context(), req); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := monitor.SignCanary(t.Context(),
		&epovpb.SignCanaryRequest{Key: "keys/OTHER1/ov"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a key that is not granted: %v", err)
	}

	watch, err := monitor.WatchState(t.Context(), &epovpb.WatchStateRequest{Interval: durationpb.New(200 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	var s *epovpb.ServiceState
	for deadline := time.Now().Add(20 * time.Second); ; { // rates follow within a second
		out, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if s = out.State; s.SignaturesPerSecond > 0 && s.Audit.Lag == 0 || time.Now().After(deadline) {
			break
		}
	}
	if !s.Serving || s.Draining || s.Signatures != 5 || s.Refusals != 3 || s.SignaturesPerSecond <= 0 ||
		s.Connections != 1 || s.Calls != 1 ||
		s.Version != BuildVersion() || s.Total.P99.AsDuration() <= 0 || s.Token.Count != 5 ||
		s.Audit.GetRecords() < 5 || s.Audit.Reason != "" {
		t.Errorf("%v", s)
	}
	if len(s.Tokens) != 1 || s.Tokens[0].State != "ready" || s.Tokens[0].Pin != "ok" || s.Tokens[0].Vendor != "softhsm" ||
		s.Tokens[0].GetCapacityPerSecond() <= 0 || s.Tokens[0].GetHeadroom() <= 0 || s.Tokens[0].Latency.Count != 5 {
		t.Errorf("%v", s.Tokens)
	}
	primaries := 0
	for _, k := range s.Keys {
		if k.Primary {
			primaries++
		}
		if k.State != "active" || k.Reason != "" || len(k.Replicas) != 1 || k.Replicas[0].Signed == nil || k.Replicas[0].TestFailure != "" {
			t.Errorf("%v", k)
		}
	}
	if len(s.Keys) != 3 || primaries != 2 || len(s.Certificates) != 4 {
		t.Errorf("%d keys, %d primary, certificates %v", len(s.Keys), primaries, s.Certificates)
	}
	for _, interval := range []time.Duration{0, time.Millisecond, time.Hour} {
		bad, err := monitor.WatchState(t.Context(), &epovpb.WatchStateRequest{Interval: durationpb.New(interval)})
		if err == nil {
			_, err = bad.Recv()
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("interval %v: %v", interval, err)
		}
	}
	// The token goes; what the module said is not told.
	if err := d.tokens.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	out, err := monitor.GetState(t.Context(), &epovpb.GetStateRequest{})
	if err != nil || out.State.Serving || out.State.Tokens[0].State != "closed" || out.State.Keys[0].Reason == "" ||
		strings.Contains(out.String(), "CKR_") {
		t.Errorf("%v, %v", out, err)
	}
	if _, err := monitor.SignCanary(t.Context(), &epovpb.SignCanaryRequest{Key: "keys/EXMP01/ov"}); status.Code(err) != codes.Unavailable {
		t.Errorf("a canary without a token: %v", err)
	}
	stop()

	d, _ = p.running(t, operations("sign-xml, sign-cms, sign-digest, verify, list"), quiet)
	monitor = epovpb.NewMonitorServiceClient(p.dial(t, d))
	if _, err := monitor.GetState(t.Context(), &epovpb.GetStateRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a state without the right: %v", err)
	}
	if _, err := monitor.SignCanary(t.Context(),
		&epovpb.SignCanaryRequest{Key: "keys/EXMP01/ov"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a canary without the right: %v", err)
	}
}
