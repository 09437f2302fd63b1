package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"crypto/tls"
	"crypto/x509"

	"github.com/epov-signer/epov/internal/nodes"
	"github.com/epov-signer/epov/internal/processes"
)

// The peer of a service that signs is one that gives back what it gets: gRPC as it comes, over the same TLS, in a process of
// its own, which is this program again with its files in the environment.
const echoFiles = "EPOV_BENCH_ECHO"

// echoMain serves if this process is to be the echo; it does not return then.
func echoMain() {
	dir := os.Getenv(echoFiles)
	if dir == "" {
		return
	}
	certificate, err := tls.LoadX509KeyPair(dir+"/echo.pem", dir+"/echo.key")
	must(err)
	ca, err := os.ReadFile(dir + "/ca.pem")
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, SessionTicketsDisabled: true,
		Certificates: []tls.Certificate{certificate},
	})))
	s.RegisterService(newEchoService(), nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	fmt.Println(l.Addr())
	must(s.Serve(l))
}

// newEchoService gives messages back, with or without work on them before.
func newEchoService() *grpc.ServiceDesc {
	nothing, least := func([]byte) error { return nil }, leastWork()
	return &grpc.ServiceDesc{
		ServiceName: "bench.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{unaryMethod("Unary", nothing), unaryMethod("Least", least)},
		Streams: []grpc.StreamDesc{streamMethod("Stream", nothing), streamMethod("StreamLeast", least), streamMethod("Token", tokenCall())},
	}
}

func unaryMethod(name string, work func([]byte) error) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name,
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			message := &wrapperspb.BytesValue{}
			if err := decode(message); err != nil {
				return nil, err
			}
			return message, work(message.Value)
		}}
}

func streamMethod(name string, work func([]byte) error) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		for {
			message := &wrapperspb.BytesValue{}
			if err := s.RecvMsg(message); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := work(message.Value); err != nil {
				return err
			}
			if err := s.SendMsg(message); err != nil {
				return err
			}
		}
	}}
}

// echo is such a process.
type echo struct {
	address string
	pid     int
}

func startEcho(tb testing.TB, site *nodes.Site, environment ...string) *echo {
	site.Server(tb, "echo", "127.0.0.1")
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self)
	cmd.Env, cmd.Stderr = append(append(os.Environ(), echoFiles+"="+site.Dir), environment...), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make([]byte, 64)
	n, err := out.Read(line)
	must(err)
	return &echo{strings.TrimSpace(string(line[:n])), cmd.Process.Pid}
}

func (e *echo) spent() time.Duration { return processes.Time(e.pid) }

// unaryEcho makes one call.
func unaryEcho(conn grpc.ClientConnInterface, method string, payload []byte) func(context.Context) error {
	return func(ctx context.Context) error {
		return conn.Invoke(ctx, "/bench.Echo/"+method, &wrapperspb.BytesValue{Value: payload}, &wrapperspb.BytesValue{})
	}
}

// streamEcho keeps as many messages on their way over one stream for a time, and returns how many came back.
func streamEcho(ctx context.Context, conn grpc.ClientConnInterface, method string, payload []byte, window int,
	d time.Duration) (int, error) {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/bench.Echo/"+method)
	if err != nil {
		return 0, err
	}
	room, sent := make(chan struct{}, window), make(chan error, 1)
	begun := time.Now()
	go func() {
		for time.Since(begun) < d {
			room <- struct{}{}
			if err := s.SendMsg(&wrapperspb.BytesValue{Value: payload}); err != nil {
				sent <- err
				return
			}
		}
		sent <- s.CloseSend()
	}()
	for n := 0; ; n++ {
		if err := s.RecvMsg(&wrapperspb.BytesValue{}); errors.Is(err, io.EOF) {
			return n, <-sent
		} else if err != nil {
			return n, err
		}
		<-room
	}
}
