package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// watched answers each call of WatchKeys by the script, and ends it so.
type watched struct {
	pb.UnimplementedKeyServiceServer
	calls  atomic.Int32
	script []func(grpc.ServerStreamingServer[pb.WatchKeysResponse]) error
}

func (w *watched) WatchKeys(_ *pb.WatchKeysRequest, s grpc.ServerStreamingServer[pb.WatchKeysResponse]) error {
	return w.script[min(int(w.calls.Add(1)), len(w.script))-1](s)
}

func (w *watched) start(tb testing.TB) *client.Client {
	a := testpki.NewTLS(tb)
	files := clientFiles(tb, a, tb.TempDir(), anyClient)
	return dial(tb, client.Config{TLS: client.Files(files[0], files[1], files[2]), Health: client.NoHealth,
		Addresses: []string{serve(tb, a, func(g *grpc.Server) { pb.RegisterKeyServiceServer(g, w) })}})
}

func keyIn(name string, state pb.KeyState) *pb.Key { return &pb.Key{Name: name, State: state} }

// Whoever watches is told of each change once, also of those between two calls.
func TestWatchKeys(t *testing.T) {
	const usable, away = pb.KeyState_KEY_STATE_USABLE, pb.KeyState_KEY_STATE_AWAY
	type stream = grpc.ServerStreamingServer[pb.WatchKeysResponse]
	w := &watched{script: []func(stream) error{
		func(s stream) error {
			s.Send(&pb.WatchKeysResponse{Keys: []*pb.Key{keyIn("a", usable), keyIn("b", usable), keyIn("c", usable)}})
			return s.Send(&pb.WatchKeysResponse{Keys: []*pb.Key{keyIn("b", away)}, Removed: []string{"c"}})
		},
		func(stream) error {
			return refusal(codes.Unavailable, pb.ErrorReason_SERVICE_DRAINING, time.Millisecond)
		},
		func(s stream) error { // the same as was known
			return s.Send(&pb.WatchKeysResponse{Keys: []*pb.Key{keyIn("a", usable), keyIn("b", away)}})
		},
		func(s stream) error { // a has gone meanwhile, d has come
			s.Send(&pb.WatchKeysResponse{Keys: []*pb.Key{keyIn("b", away), keyIn("d", usable)}})
			return refusal(codes.PermissionDenied, pb.ErrorReason_ACCESS_DENIED, 0)
		},
	}}
	var got []string
	var last error
	for m, err := range w.start(t).WatchKeys(t.Context()) {
		if last = err; err != nil {
			break
		}
		text := ""
		for _, k := range m.Keys {
			text += " " + k.Name + ":" + k.State.String()[len("KEY_STATE_"):]
		}
		for _, name := range m.Removed {
			text += " -" + name
		}
		got = append(got, text)
	}
	if want := []string{" a:USABLE b:USABLE c:USABLE", " b:AWAY -c", " d:USABLE -a"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(last, client.Because(pb.ErrorReason_ACCESS_DENIED)) || w.calls.Load() != 4 {
		t.Error(last, w.calls.Load())
	}
}

// The sequence ends with its context, also while the service is away, and with its loop.
func TestWatchKeysEnds(t *testing.T) {
	w := &watched{script: []func(grpc.ServerStreamingServer[pb.WatchKeysResponse]) error{
		func(grpc.ServerStreamingServer[pb.WatchKeysResponse]) error {
			return refusal(codes.Unavailable, pb.ErrorReason_SERVICE_DRAINING, time.Hour)
		},
	}}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	n := 0
	for m, err := range w.start(t).WatchKeys(ctx) {
		if n++; m != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(m, err)
		}
	}
	if n != 1 || w.calls.Load() != 1 {
		t.Error(n, w.calls.Load())
	}
	for m, err := range newWorld(t).dial(t).WatchKeys(t.Context()) {
		if err != nil || len(m.Keys) != 1 || m.Keys[0].Name != keyVersion {
			t.Error(m, err)
		}
		break
	}
}

// Verifying many, and much, gives what VerifyXML and VerifyCMS give.
func TestVerifyManyAndMuch(t *testing.T) {
	c := newWorld(t).dial(t)
	signed, err := c.SignSMEV3(t.Context(), "keys/EXMP01/ov", message())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for answer, err := range c.VerifyAll(t.Context(), func(yield func(*pb.VerifyXmlRequest) bool) {
		for i := range 200 {
			document := signed.Document
			if i%2 == 1 {
				document = message() // without a signature
			}
			if !yield(&pb.VerifyXmlRequest{Document: document}) {
				return
			}
		}
	}) {
		invalid, bad := errors.AsType[*client.InvalidError](err)
		if bad != (n%2 == 1) || answer == nil || !bad && err != nil || bad && invalid.Report == nil {
			t.Fatalf("%d: %v", n, err)
		}
		n++
	}
	if n != 200 {
		t.Errorf("%d answers", n)
	}
	b := c.NewVerifyBatch(t.Context())
	pending, err := b.VerifyCMS(t.Context(), &pb.VerifyCmsRequest{Message: []byte("no message")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pending.Wait(t.Context()); err == nil {
		t.Error("what is no message is verified")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	attached, detached := &octets{}, &octets{}
	for profile, to := range map[string]*octets{"pkcs7-attached": attached, "pkcs7-detached": detached} {
		if _, err := c.SignCMSStream(t.Context(), &pb.SignCmsHeader{Key: "keys/EXMP01/ov", Profile: profile},
			zeros(3<<20), to); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.VerifyCMSStream(t.Context(), &pb.VerifyCmsHeader{}, attached.reader()); err != nil {
		t.Error(err)
	}
	if _, err := c.VerifyCMSStream(t.Context(), &pb.VerifyCmsHeader{Message: detached.all}, zeros(3<<20)); err != nil {
		t.Error(err)
	}
	if answer, err := c.VerifyCMSStream(t.Context(), &pb.VerifyCmsHeader{Message: detached.all}, zeros(3<<20+1)); answer == nil {
		t.Error(err)
	} else if _, bad := errors.AsType[*client.InvalidError](err); !bad {
		t.Error(err)
	}
	if _, err := c.VerifyCMSStream(t.Context(), &pb.VerifyCmsHeader{Profile: "nothing"}, zeros(30<<20)); !errors.Is(err,
		client.Because(pb.ErrorReason_REQUEST_INVALID)) {
		t.Error(err)
	}
	broken := errors.New("the disk is gone")
	if _, err := c.VerifyCMSStream(t.Context(), &pb.VerifyCmsHeader{},
		io.MultiReader(attached.reader(), unreadable{broken})); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type octets struct{ all []byte }

func (o *octets) Write(p []byte) (int, error) { o.all = append(o.all, p...); return len(p), nil }
func (o *octets) reader() io.Reader           { return &rest{o.all} }

type rest struct{ left []byte }

func (r *rest) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func zeros(n int) io.Reader { return &rest{make([]byte, n)} }

type unreadable struct{ err error }

func (f unreadable) Read([]byte) (int, error) { return 0, f.err }

// The certificate of a daemon is held against the name that is given, instead of the address.
func TestServerName(t *testing.T) {
	w := newWorld(t)
	_, port, _ := net.SplitHostPort(w.address)
	pair, err := tls.LoadX509KeyPair(w.files[0], w.files[1])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(w.tls.Certificate)
	for kind, trust := range map[string]client.TLS{
		"files":  client.Files(w.files[0], w.files[1], w.files[2]),
		"config": client.FromConfig(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool}),
	} {
		for name, well := range map[string]bool{"": false, "epovd.test": true, "other.test": false} {
			for _, addresses := range [][]string{{"localhost:" + port}, {"localhost:" + port, "localhost:" + port}} {
				as := trust
				if name != "" {
					as = as.WithServerName(name)
				}
				c := dial(t, client.Config{Addresses: addresses, TLS: as, Attempts: 1})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				_, err := c.Keys.ListKeys(ctx, &pb.ListKeysRequest{})
				cancel()
				if (err == nil) != well {
					t.Errorf("%s, %q, %d addresses: %v", kind, name, len(addresses), err)
				}
			}
		}
	}
}
