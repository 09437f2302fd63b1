package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/testpki"
)

// benchDocument has 10 KB.
func benchDocument() []byte {
	filler := bytes.Repeat([]byte("<p>0123456789abcdefghijklmnopqrstuvwxyz</p>"), 230)
	return append(append([]byte("<doc>"), filler...), "</doc>"...)
}

// cpu reports the processor time of client and server together, which what happens beside does not change as it changes the clock's.
func cpu(b *testing.B, n func() int) func() {
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	return func() { b.ReportMetric(float64((spent()-before).Nanoseconds())/float64(n()), "cpu-ns/op") }
}

func benchWorld(b *testing.B) *client {
	w := newWorld(b, Limits{})
	w.server.log = slog.New(slog.DiscardHandler)
	return w.dial(b, "admin.example.ru")
}

// BenchmarkUnary is SignXml of 10 KB, call after call.
func BenchmarkUnary(b *testing.B) {
	c := benchWorld(b)
	req := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: benchDocument()}
	b.ReportAllocs()
	defer cpu(b, func() int { return b.N })()
	for b.Loop() {
		if _, err := c.SignXml(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatch is the same over SignBatch: four items a message, as many under way as the service takes.
func BenchmarkBatch(b *testing.B) {
	c := benchWorld(b)
	document := benchDocument()
	const each = 4
	stream, err := c.SignBatch(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	defer cpu(b, func() int { return b.N })()
	b.ResetTimer()
	go func() {
		req := &epovpb.SignBatchRequest{}
		for i := 0; i < b.N; i += each {
			req.Items = req.Items[:0]
			for j := i; j < min(i+each, b.N); j++ {
				req.Items = append(req.Items, &epovpb.SignItem{CorrelationId: uint64(j), Request: &epovpb.SignItem_Xml{
					Xml: &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "enveloped", Document: document}}})
			}
			if stream.Send(req) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	answered := 0
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range m.Items {
			if a.GetXml() == nil {
				b.Fatal(a)
			}
			answered++
		}
	}
	if answered != b.N {
		b.Fatal(answered)
	}
}

// echo is what gRPC itself costs: the same octets there and back, over the same TLS.
type echo struct{}

var echoService = grpc.ServiceDesc{
	ServiceName: "echo", HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Unary",
		Handler: func(_ any, _ context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			m := new(wrapperspb.BytesValue)
			return m, dec(m)
		}}},
	Streams: []grpc.StreamDesc{{StreamName: "Stream", ClientStreams: true, ServerStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			for {
				m := new(wrapperspb.BytesValue)
				if err := s.RecvMsg(m); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(m); err != nil {
					return err
				}
			}
		}}},
}

func echoConn(b *testing.B) *grpc.ClientConn {
	w := &world{tls: testpki.NewTLS(b)}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(MutualTLS(w.tls.NewServer(b, "epovd.test"), w.tls.Pool()))))
	s.RegisterService(&echoService, echo{})
	l := listen(b)
	w.addr = l.Addr().String()
	go s.Serve(l)
	b.Cleanup(s.Stop)
	return w.dial(b, "admin.example.ru").conn
}

func BenchmarkEchoUnary(b *testing.B) {
	conn, m := echoConn(b), wrapperspb.Bytes(benchDocument())
	b.ReportAllocs()
	defer cpu(b, func() int { return b.N })()
	for b.Loop() {
		if err := conn.Invoke(b.Context(), "/echo/Unary", m, new(wrapperspb.BytesValue)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEchoStream(b *testing.B) {
	conn, m := echoConn(b), wrapperspb.Bytes(benchDocument())
	stream, err := conn.NewStream(b.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/echo/Stream")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	defer cpu(b, func() int { return b.N })()
	b.ResetTimer()
	go func() {
		for range b.N {
			if stream.SendMsg(m) != nil {
				return
			}
		}
		stream.CloseSend()
	}()
	for range b.N {
		if err := stream.RecvMsg(new(wrapperspb.BytesValue)); err != nil {
			b.Fatal(err)
		}
	}
}
