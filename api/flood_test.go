package api

import (
	"context"
	"crypto/tls"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/signer"
)

// A client that floods the service takes neither all its places nor the time of others: what goes over its limits is refused
// with the limit's name and the time to wait, and every call of the other client is served.
func TestFlood(t *testing.T) {
	w := newWorld(t, Limits{Calls: 32})
	access, err := signer.NewAccess([]signer.Role{
		{Name: "all", Grants: []signer.Grant{{Keys: []string{"keys/*"}, Operations: []signer.Operation{signer.OpSignXML}}}},
		{Name: "few", Quota: signer.Quota{Rate: 5, Burst: 40, Concurrent: 16, MessageBytes: 4096}, Grants: []signer.Grant{
			{Keys: []string{"keys/*"}, Operations: []signer.Operation{signer.OpSignXML}}}},
	}, []signer.Client{
		{Name: "good", SANs: []string{"admin.example.ru"}, Roles: []string{"all"}},
		{Name: "flood", SANs: []string{"flood.example.ru"}, Roles: []string{"few"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.server.signing.SetAccess(access)
	good, flood := w.dial(t, "admin.example.ru"), w.dial(t, "flood.example.ru")
	leave := make(chan struct{})
	var held atomic.Int32
	w.ring[0].hook = func(context.Context) error { held.Add(1); <-leave; return nil }
	sign := func(c *client, key string, document []byte) error {
		_, err := c.SignXml(context.Background(), &epovpb.SignXmlRequest{Key: key, Profile: "smev3", Document: document})
		return err
	}
	var group sync.WaitGroup
	for range 16 { // hang at a token that does not answer
		group.Go(func() {
			if err := sign(flood, "keys/EXMP01/ov", ack()); err != nil {
				t.Error(err)
			}
		})
	}
	await.True(t, "all its calls at work", func() bool { return held.Load() == 16 })
	limit := func(err error) string {
		if status.Code(err) != codes.ResourceExhausted || detail[errdetails.ErrorInfo](err).GetReason() != "QUOTA_EXCEEDED" {
			t.Errorf("%v", err)
			return ""
		}
		q := detail[errdetails.QuotaFailure](err).GetViolations()
		if len(q) != 1 || q[0].Subject != "clients/flood/roles/few" || q[0].QuotaMetric != "epov/"+q[0].QuotaId || q[0].QuotaValue == 0 {
			t.Errorf("%v", q)
			return ""
		}
		if retry := detail[errdetails.RetryInfo](err); (retry.GetRetryDelay().AsDuration() > 0) != (q[0].QuotaId != "message_bytes") {
			t.Errorf("%s: %v", q[0].QuotaId, retry)
		}
		return q[0].QuotaId
	}
	if got := limit(sign(flood, "keys/EXMP01/second", ack())); got != "concurrent" {
		t.Error(got)
	}
	if got := limit(sign(flood, "keys/EXMP01/second", append(ack(), make([]byte, 4096)...))); got != "message_bytes" {
		t.Error(got)
	}
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					sign(flood, "keys/EXMP01/second", ack())
				}
			}
		})
	}
	for range 100 {
		if err := sign(good, "keys/EXMP01/second", ack()); err != nil {
			t.Fatalf("the other client: %v", err)
		}
	}
	close(stop)
	close(leave)
	group.Wait()
	w.ring[0].hook = nil
	refused := ""
	for range 60 {
		if err := sign(flood, "keys/EXMP01/second", ack()); err != nil {
			refused = limit(err)
		}
	}
	if refused != "rate" {
		t.Errorf("the burst does not end: %q", refused)
	}
}

// Whoever has no limit of its own leaves a quarter of the places to others.
func TestShare(t *testing.T) {
	w := newWorld(t, Limits{Calls: 8})
	admin, gateway := w.dial(t, "admin.example.ru"), w.dial(t, "spiffe://example.ru/gateway")
	leave := make(chan struct{})
	var held atomic.Int32
	w.ring[1].hook = func(context.Context) error { held.Add(1); <-leave; return nil }
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if _, err := admin.SignXml(context.Background(),
				&epovpb.SignXmlRequest{Key: "keys/EXMP01/second", Profile: "smev3", Document: ack()}); err != nil {
				t.Error(err)
			}
		})
	}
	await.True(t, "six calls at work", func() bool { return held.Load() == 6 })
	if _, err := admin.ListKeys(t.Context(), &epovpb.ListKeysRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Error(err)
	}
	if _, err := gateway.SignXml(t.Context(),
		&epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}); err != nil {
		t.Error(err)
	}
	close(leave)
	group.Wait()
	await.True(t, "an idle server", w.idle)
	for _, s := range []*shares{&w.server.share, &w.server.load} {
		await.True(t, "no share", func() bool {
			s.mutex.Lock()
			defer s.mutex.Unlock()
			return len(s.held) == 0
		})
	}
}

// A client that opens as many connections as it can leaves a quarter of them to others, and gets its own back as they end.
func TestConnectionsAreShared(t *testing.T) {
	w := newWorld(t, Limits{Connections: 8})
	connect := func(san string) *tls.Conn {
		conn, err := tls.Dial("tcp", w.addr, &tls.Config{
			RootCAs: w.tls.Pool(), ServerName: "epovd.test", NextProtos: []string{"h2"},
			Certificates: []tls.Certificate{w.tls.NewClient(t, san)},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	// The server's settings are the first that it says; to whom it does not want it says nothing.
	served := func(conn *tls.Conn) bool {
		_, err := io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00") // RFC 9113 section 3.4
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		return err == nil
	}
	var held []*tls.Conn
	for range 6 {
		conn := connect("admin.example.ru")
		if held = append(held, conn); !served(conn) {
			t.Fatalf("connection %d is refused", len(held))
		}
	}
	if served(connect("admin.example.ru")) {
		t.Error("one client has seven of eight connections")
	}
	w.serves(t)
	for _, san := range []string{"stranger.example.ru", ""} { // known to the authority, and to nobody else
		if !served(connect(san)) {
			t.Errorf("%q is refused for another's connections", san)
		}
	}
	if !strings.Contains(w.log.String(), "as many connections as one client may have") {
		t.Error(w.log)
	}
	held[0].Close()
	await.True(t, "the connection that has ended", func() bool { return served(connect("admin.example.ru")) })
}
