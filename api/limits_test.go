package api

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

func (w *world) idle() bool {
	return w.server.calls.used.Load() == 0 && w.server.probes.used.Load() == 0 && w.server.work.used.Load() == 0 &&
		w.server.batches.used.Load() == 0
}

// TestArrival: a call counts from its first octet on, and a request that never comes does not keep its place.
func TestArrival(t *testing.T) {
	w := newWorld(t, Limits{Calls: 2, CallTime: 300 * time.Millisecond})
	c := w.dial(t, "admin.example.ru")
	var idle []grpc.ClientStream
	for range 2 {
		s, err := c.conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/epov.v1.SignService/SignXml")
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, s)
	}
	await.True(t, "two calls", func() bool { return w.server.calls.used.Load() == 2 })
	sign := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	_, err := c.SignXml(t.Context(), sign)
	if status.Code(err) != codes.ResourceExhausted || detail[errdetails.ErrorInfo](err).GetReason() != "OVERLOAD" ||
		detail[errdetails.RetryInfo](err) == nil {
		t.Errorf("third call: %v", err)
	}
	if _, err := healthpb.NewHealthClient(c.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("health: %v", err)
	}
	for _, s := range idle {
		if err := s.RecvMsg(new(epovpb.SignXmlResponse)); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("a request that never comes: %v", err)
		}
	}
	await.True(t, "an idle server", w.idle)
	if _, err := c.SignXml(t.Context(), sign); err != nil {
		t.Error(err)
	}
}

// TestPlacesAreLeft: however a call ends.
func TestPlacesAreLeft(t *testing.T) {
	w := newWorld(t, Limits{Calls: 64, CallTime: time.Second})
	c := w.dial(t, "admin.example.ru")
	stranger := w.dial(t, "stranger.example.ru")
	sign := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	for i := range 40 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		c.SignXml(ctx, sign)
		cancel()
		c.SignXml(t.Context(), &epovpb.SignXmlRequest{})
		stranger.SignXml(t.Context(), sign)
		c.conn.Invoke(t.Context(), "/epov.v1.SignService/Nothing", sign, new(epovpb.SignXmlResponse))
		healthpb.NewHealthClient(c.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "nothing"})
	}
	watching, cancel := context.WithCancel(t.Context())
	watch, err := healthpb.NewHealthClient(c.conn).Watch(watching, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Error(err)
	}
	cancel()
	await.True(t, "an idle server", w.idle)
}

// TestWeight: large requests leave room for few.
func TestWeight(t *testing.T) {
	w := newWorld(t, Limits{Calls: 5})
	c := w.dial(t, "admin.example.ru")
	entered, leave := make(chan struct{}, 8), make(chan struct{})
	w.ring[0].hook = func(context.Context) error { entered <- struct{}{}; <-leave; return nil }
	large := &epovpb.SignCmsRequest{Key: "keys/EXMP01/ov", Profile: "pkcs7-detached",
		Source: &epovpb.SignCmsRequest_Content{Content: make([]byte, 2<<20)}}
	done := make(chan error, 1)
	go func() { _, err := c.SignCms(context.Background(), large); done <- err }()
	<-entered
	small := proto.CloneOf(large)
	small.Key, small.Source = "keys/EXMP01/second", &epovpb.SignCmsRequest_Content{}
	if _, err := c.SignCms(t.Context(), small); err != nil {
		t.Errorf("a small one beside: %v", err)
	}
	large.Key = small.Key
	if _, err := c.SignCms(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a second large one: %v", err)
	}
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.ring[0].hook = nil
	large.Source = &epovpb.SignCmsRequest_Content{Content: make([]byte, 12<<20)}
	if _, err := c.SignCms(t.Context(), large); err != nil {
		t.Errorf("larger than all places: %v", err)
	}
	await.True(t, "an idle server", w.idle)
}

// TestNoOracle: who may not use a key learns nothing about it, not even whether it exists or is out of order.
func TestNoOracle(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "spiffe://example.ru/gateway")
	ask := func(key string) []string {
		var out []string
		add := func(err error) {
			s := status.Convert(err)
			reason := detail[errdetails.ErrorInfo](err)
			out = append(out, s.Code().String(), strings.ReplaceAll(s.Message(), key, "KEY"), reason.String())
		}
		_, err := c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: key, Profile: "nothing", Document: []byte("<"), SigningTime: nil})
		add(err)
		_, err = c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: key, Profile: "smev3", Document: ack()})
		add(err)
		_, err = c.SignCms(t.Context(), &epovpb.SignCmsRequest{Key: key, Source: &epovpb.SignCmsRequest_Content{}})
		add(err)
		_, err = c.SignCms(t.Context(), &epovpb.SignCmsRequest{Key: key, Source: &epovpb.SignCmsRequest_ContentDigest{}})
		add(err)
		_, err = c.SignDigest(t.Context(), &epovpb.SignDigestRequest{Key: key})
		add(err)
		_, err = c.GetKey(t.Context(), &epovpb.GetKeyRequest{Key: key})
		add(err)
		return out
	}
	want := ask("keys/NOSUCH/ov")
	for _, code := range want[:1] {
		if code != codes.PermissionDenied.String() {
			t.Fatal(want)
		}
	}
	for _, key := range []string{
		"keys/EXMP01/second", "keys/EXMP01/old", "keys/EXMP01/nosuch", "keys/EXMP01/second/versions/3", "keys/EXMP01/second/versions/9",
	} {
		if got := ask(key); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// TestStrangeFields: fields of any length and content are answered, shortly, and do not fill the log.
func TestStrangeFields(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	long := strings.Repeat("keys/\u202e\n\"", 1<<20/16)
	for name, call := range map[string]func() error{
		"key": func() error {
			_, err := c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: long, Profile: "smev3", Document: ack()})
			return err
		},
		"profile": func() error {
			_, err := c.SignXml(t.Context(), &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: long, Document: ack()})
			return err
		},
		"target": func() error {
			_, err := c.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: ack(), Target: long})
			return err
		},
		"target of a detached signature": func() error {
			_, err := c.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "detached", Document: ack(), Target: long})
			return err
		},
		"digest algorithm": func() error {
			_, err := c.SignDigest(t.Context(), &epovpb.SignDigestRequest{Key: "keys/EXMP01/ov", DigestAlgorithm: long})
			return err
		},
		"key to show": func() error { _, err := c.GetKey(t.Context(), &epovpb.GetKeyRequest{Key: long}); return err },
		"profile to examine": func() error {
			_, err := c.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: ack(), Profile: long})
			return err
		},
		"zero time": func() error {
			_, err := c.VerifyXml(t.Context(), &epovpb.VerifyXmlRequest{Document: ack(), ValidationTime: timestamppb.New(time.Time{})})
			return err
		},
		"time before all time": func() error {
			_, err := c.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack(),
					SigningTime: &timestamppb.Timestamp{Seconds: -1 << 62}})
			return err
		},
		"nanoseconds": func() error {
			_, err := c.SignXml(t.Context(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack(),
					SigningTime: &timestamppb.Timestamp{Nanos: -1}})
			return err
		},
	} {
		err := call()
		if status.Code(err) != codes.InvalidArgument || len(err.Error()) > 2048 || detail[errdetails.ErrorInfo](err) == nil {
			t.Errorf("%s: %.300v", name, err)
		}
	}
	if n := len(w.log.String()); n > 1<<16 {
		t.Errorf("the log has %d octets", n)
	}
}
