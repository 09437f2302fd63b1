package api

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
)

// stubborn is TLS for a client that never resets a stream: the frames that do (RFC 9113 section 6.4) are left out of what it sends.
type stubborn struct {
	credentials.TransportCredentials
}

func (s stubborn) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, info, err := s.TransportCredentials.ClientHandshake(ctx, authority, conn)
	return &withoutResets{Conn: out, preface: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}, info, err
}

func (s stubborn) Clone() credentials.TransportCredentials {
	return stubborn{s.TransportCredentials.Clone()}
}

type withoutResets struct {
	net.Conn
	preface int
	pending []byte
}

func (c *withoutResets) Write(p []byte) (int, error) {
	c.pending = append(c.pending, p...)
	var out []byte
	take := func(n int, kept bool) {
		if kept {
			out = append(out, c.pending[:n]...)
		}
		c.pending = c.pending[n:]
	}
	if n := min(c.preface, len(c.pending)); n > 0 {
		c.preface -= n
		take(n, true)
	}
	for len(c.pending) >= 9 {
		n := 9 + int(binary.BigEndian.Uint32(c.pending)>>8)
		if len(c.pending) < n {
			break
		}
		take(n, c.pending[3] != 3) // RST_STREAM
	}
	_, err := c.Conn.Write(out)
	return len(p), err
}

// Clients whose calls' time is over before they have taken their answers, and who say nothing of it, have room for as many as they
// may have calls: when the caller's time is over its stream is reset, and when the service's is its connection ends.
func TestAnswersWhoseTimeIsOver(t *testing.T) {
	for name, times := range map[string]struct {
		limits Limits
		caller time.Duration
		ends   bool
	}{
		"the caller's":  {Limits{Calls: 8, StallTime: time.Minute}, 200 * time.Millisecond, false},
		"the service's": {Limits{Calls: 8, StallTime: time.Second, CallTime: 200 * time.Millisecond}, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, times.limits)
			w.serves(t)
			req := &epovpb.SignCmsRequest{Key: "keys/EXMP01/second", Profile: "pkcs7-attached",
				Source: &epovpb.SignCmsRequest_Content{Content: make([]byte, 2<<20)}}
			w.settled(t, func() {
				before := heap()
				conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(stubborn{credentials.NewTLS(&tls.Config{
					RootCAs: w.tls.Pool(), ServerName: "epovd.test",
					Certificates: []tls.Certificate{w.tls.NewClient(t, "admin.example.ru")},
				})}), grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for range 50 {
					ctx, cancel := context.WithTimeout(ctx, times.caller)
					defer cancel()
					s, err := conn.NewStream(ctx, &grpc.StreamDesc{}, epovpb.SignService_SignCms_FullMethodName)
					if err == nil {
						s.SendMsg(req)
						s.CloseSend()
						time.Sleep(50 * time.Millisecond)
					}
				}
				if more := heap() - before; more > 120<<20 { // fifty answers and what they are made of are more than 250
					t.Errorf("%d MiB more", more>>20)
				}
				w.serves(t)
				if times.ends {
					await.True(t, "the end of the connection",
						func() bool { return strings.Contains(w.log.String(), "its client takes no answers") })
				}
			})
		})
	}
}
