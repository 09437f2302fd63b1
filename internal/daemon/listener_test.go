package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

// Connections beyond the bound are closed, the others are kept, and whoever leaves makes room.
func TestNarrow(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &await.Log{}
	l, err := narrow(tcp, 2, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 8)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	dial()
	defer (<-accepted).Close()
	refused := dial()
	_ = refused.SetReadDeadline(time.Now().Add(10 * time.Second))
	var timeout net.Error
	if _, err := refused.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Error("the third connection was not closed:", err)
	}
	if !strings.Contains(log.String(), "connections=2") {
		t.Error("nobody was told:", log)
	}
	_ = first.Close()
	_ = first.Close() // makes room once only
	dial()
	defer (<-accepted).Close()
	if n := l.held.Load(); n != 2 {
		t.Errorf("%d of 2 are taken", n)
	}
}

// There are as many connections as the limit of open files allows, and none when it leaves too few for the tokens.
func TestNarrowByFiles(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) }()
	for _, tc := range []struct {
		files      uint64
		most, want int
	}{{spared + 40, 0, 40}, {spared + 40, 7, 7}, {spared, 7, 0}} {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: tc.files, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		l, err := narrow(nil, tc.most, quiet)
		if tc.want == 0 {
			if err == nil {
				t.Error("accepted:", tc)
			}
		} else if err != nil || int(l.most.Load()) != tc.want {
			t.Error(tc, l, err)
		}
	}
}

// One client has no more than its share of the connections that the configuration lets there be, of now and not of the start.
func TestConnectionsOfOneClient(t *testing.T) {
	const few, more = "watch_seconds: 1, connections: 4}", "watch_seconds: 1, connections: 8}"
	r := startRotating(t, newPlant(t), "watch_seconds: 1}", few, "primary: 2", "primary: 1", "      - {version: 2, token: main}\n", "")
	list := func() codes.Code {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := epovpb.NewKeyServiceClient(r.dial(t, r.d)).ListKeys(ctx, &epovpb.ListKeysRequest{})
		return status.Code(err)
	}
	for n := 1; n <= 4; n++ {
		if got := list(); (got == codes.OK) != (n <= 3) || n == 4 && got != codes.Unavailable {
			t.Errorf("connection %d: %v", n, got)
		}
	}
	if out := r.reload(t, string(read(t, r.d.config.file)), few, more); outcome(t, out, "limits").Result != TakenOver {
		t.Fatalf("%+v", out)
	}
	if got := list(); got != codes.OK {
		t.Errorf("of 8: %v", got)
	}
}
