package api

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
)

// Why a handshake failed stands in the log, but not once for every attempt; a port that is merely looked at is not worth a line.
func TestRefusalsAreTold(t *testing.T) {
	log := &await.Log{}
	a := testpki.NewTLS(t)
	r := newRefusals(credentials.NewTLS(MutualTLS(a.NewServer(t, "epovd.test"), a.Pool())),
		slog.New(slog.NewTextHandler(log, nil)), &Trace{})
	shake := func(client func(net.Conn)) {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
				client(conn)
				conn.Close()
			}
		}()
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, _, err := r.ServerHandshake(conn); err == nil {
			t.Error("the handshake succeeded")
		}
	}
	nobody := func(conn net.Conn) {
		c := tls.Client(conn, &tls.Config{RootCAs: a.Pool(), ServerName: "epovd.test", NextProtos: []string{"h2"}})
		_, _ = io.ReadAll(c)
	}
	shake(func(net.Conn) {})
	if s := log.String(); s != "" {
		t.Error(s)
	}
	r.lines.told = time.Now().Add(-2 * time.Second)
	shake(nobody)
	r.lines.told = time.Now().Add(time.Hour)
	shake(nobody)
	if s := log.String(); strings.Count(s, "connection refused") != 1 || !strings.Contains(s, "remote=127.0.0.1:") ||
		!strings.Contains(s, "client didn't provide a certificate") {
		t.Error(s)
	}
	r.lines.told = time.Time{}
	shake(func(conn net.Conn) { _, _ = io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n"); _, _ = io.ReadAll(conn) })
	if s := log.String(); !strings.Contains(s, "first record does not look like a TLS handshake") ||
		!strings.Contains(s, "untold_before=1") {
		t.Error(s)
	}
}
