package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
)

// Certificates are exchanged under running connections: they stay, new ones meet the new certificate, and a client whose
// authority was withdrawn is refused at its next call, on the connection that it has.
func TestExchangedTLS(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	list := func(c *client) codes.Code {
		_, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		return status.Code(err)
	}
	if got := list(c); got != codes.OK {
		t.Fatal(got)
	}
	state := c.conn.GetState()
	other := testpki.NewTLS(t)
	both := w.tls.Pool()
	both.AddCert(other.Certificate)
	if err := w.server.SetTLS(MutualTLS(other.NewServer(t, "epovd.test"), both)); err != nil {
		t.Fatal(err)
	}
	if got := list(c); got != codes.OK || c.conn.GetState() != state {
		t.Errorf("the old connection: %v, %v", got, c.conn.GetState())
	}
	dial := func(a *testpki.TLS, san string) *client {
		return w.dialTLS(t, &tls.Config{RootCAs: other.Pool(), ServerName: "epovd.test",
			Certificates: []tls.Certificate{a.NewClient(t, san)}})
	}
	if got := list(dial(other, "admin.example.ru")); got != codes.OK {
		t.Errorf("a client of the new authority: %v", got)
	}
	if got := list(w.dial(t, "admin.example.ru")); got != codes.Unavailable {
		t.Errorf("a client that knows the old certificate only: %v", got)
	}
	if err := w.server.SetTLS(MutualTLS(other.NewServer(t, "epovd.test"), other.Pool())); err != nil {
		t.Fatal(err)
	}
	if got := list(c); got != codes.PermissionDenied {
		t.Errorf("the client of the withdrawn authority: %v", got)
	}
	if got := list(dial(w.tls, "admin.example.ru")); got != codes.Unavailable {
		t.Errorf("a new connection with a certificate of the withdrawn authority: %v", got)
	}
	// And back: the connection is still there.
	if err := w.server.SetTLS(MutualTLS(other.NewServer(t, "epovd.test"), both)); err != nil {
		t.Fatal(err)
	}
	if got := list(c); got != codes.OK {
		t.Errorf("the client of the restored authority: %v", got)
	}
	for name, bad := range map[string]*tls.Config{
		"no client certificates": {MinVersion: tls.VersionTLS13},
		"no authorities":         {MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert},
		"TLS 1.2":                {ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: both, MinVersion: tls.VersionTLS12},
	} {
		if w.server.SetTLS(bad) == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// A client that the policy no longer names is refused at its next call; so is one whose certificate is over.
func TestExchangedPolicy(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "admin.example.ru")
	list := func() codes.Code {
		_, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		return status.Code(err)
	}
	if got := list(); got != codes.OK {
		t.Fatal(got)
	}
	with := func(san string) *signer.Access {
		a, err := signer.NewAccess([]signer.Role{{Name: "look", Grants: []signer.Grant{
			{Keys: []string{"keys/*"}, Operations: []signer.Operation{signer.OpList}}}}},
			[]signer.Client{{Name: "admin", SANs: []string{san}, Roles: []string{"look"}}})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	w.server.signing.SetAccess(with("else.example.ru"))
	if got := list(); got != codes.PermissionDenied {
		t.Error(got)
	}
	w.server.signing.SetAccess(with("admin.example.ru"))
	if got := list(); got != codes.OK {
		t.Error(got)
	}
	pair := w.tls.NewPair(t, &x509.Certificate{
		DNSNames: []string{"admin.example.ru"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1500 * time.Millisecond),
	})
	c = w.dialTLS(t, &tls.Config{RootCAs: w.tls.Pool(), ServerName: "epovd.test",
		Certificates: []tls.Certificate{pair}})
	if got := list(); got != codes.OK {
		t.Error(got)
	}
	time.Sleep(time.Until(pair.Leaf.NotAfter) + 10*time.Millisecond)
	if got := list(); got != codes.PermissionDenied {
		t.Errorf("a certificate that is over: %v", got)
	}
}

// However many strangers call, the log has a line in a second of them.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	w := newWorld(t, Limits{})
	c := w.dial(t, "stranger.example.ru")
	begun := time.Now()
	for range 300 {
		if _, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Fatal(err)
		}
	}
	if n, most := strings.Count(w.log.String(), "caller refused"), 2+int(time.Since(begun).Seconds()); n < 1 || n > most {
		t.Errorf("%d lines", n)
	}
}

// The health of a key is told to those whom the key concerns, and to monitoring; to others it is a name like any other.
func TestHealthOfKeys(t *testing.T) {
	w := newWorld(t, Limits{})
	w.server.SetServing(true, map[string]bool{"keys/EXMP01/ov": true, "keys/EXMP01/second": false})
	admin, gateway, stranger := w.dial(t, "admin.example.ru"), w.dial(t, "spiffe://example.ru/gateway"), w.dial(t, "stranger.example.ru")
	const serving, not = healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	const unknown = healthpb.HealthCheckResponse_SERVICE_UNKNOWN
	for _, tc := range []struct {
		name    string
		c       *client
		service string
		want    healthpb.HealthCheckResponse_ServingStatus
	}{
		{"admin", admin, "keys/EXMP01/ov", serving},
		{"admin", admin, "keys/EXMP01/second", not},
		{"admin", admin, "keys/EXMP01/none", unknown},
		{"gateway", gateway, "keys/EXMP01/ov", serving},
		{"gateway", gateway, "keys/EXMP01/second", unknown},
		{"gateway", gateway, "keys/EXMP01/ov/versions/1", unknown},
		{"gateway", gateway, "", serving},
		{"stranger", stranger, "keys/EXMP01/ov", unknown},
		{"stranger", stranger, "", serving},
	} {
		h := healthpb.NewHealthClient(tc.c.conn)
		got := unknown
		out, err := h.Check(t.Context(), &healthpb.HealthCheckRequest{Service: tc.service})
		if err == nil {
			got = out.Status
		} else if status.Code(err) != codes.NotFound {
			t.Error(err)
		}
		if got != tc.want {
			t.Errorf("%s asks after %q: %v, want %v", tc.name, tc.service, got, tc.want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		watch, err := h.Watch(ctx, &healthpb.HealthCheckRequest{Service: tc.service})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := watch.Recv(); err != nil || out.Status != tc.want {
			t.Errorf("%s watches %q: %v, %v, want %v", tc.name, tc.service, out, err, tc.want)
		}
		cancel()
	}
	for c, want := range map[*client]int{admin: len(services) + 3, gateway: len(services) + 2, stranger: len(services) + 1} {
		if list, err := healthpb.NewHealthClient(c.conn).List(t.Context(), &healthpb.HealthListRequest{}); err != nil ||
			len(list.Statuses) != want {
			t.Errorf("%v, %v, want %d", list, err, want)
		}
	}
	// A key that goes is unknown again.
	w.server.SetServing(true, map[string]bool{"keys/EXMP01/ov": true})
	if _, err := healthpb.NewHealthClient(admin.conn).Check(t.Context(),
		&healthpb.HealthCheckRequest{Service: "keys/EXMP01/second"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
}

// A server that drains says so first, and then takes no new calls while it finishes those at work.
func TestDrain(t *testing.T) {
	w := newWorld(t, Limits{})
	w.server.SetServing(true, map[string]bool{"keys/EXMP01/ov": true})
	c := w.dial(t, "admin.example.ru")
	health := func(service string) string {
		out, err := healthpb.NewHealthClient(c.conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return out.Status.String()
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	w.ring[0].hook = func(context.Context) error { entered <- struct{}{}; <-leave; return nil }
	sign := &epovpb.SignXmlRequest{Key: "keys/EXMP01/ov", Profile: "smev3", Document: ack()}
	done := make(chan error, 1)
	go func() { _, err := c.SignXml(context.Background(), sign); done <- err }()
	<-entered
	list := func() codes.Code {
		_, err := c.ListKeys(t.Context(), &epovpb.ListKeysRequest{})
		return status.Code(err)
	}
	w.server.Drain(false)
	for _, service := range []string{"", "epov.v1.SignService", "epov.v1.VerifyService", "keys/EXMP01/ov"} {
		if got := health(service); got != "NOT_SERVING" {
			t.Errorf("%q: %s", service, got)
		}
	}
	w.server.SetServing(true, map[string]bool{"keys/EXMP01/ov": true}) // whoever watches the tokens goes on
	if got := health(""); got != "NOT_SERVING" {
		t.Error(got)
	}
	if got := list(); got != codes.OK {
		t.Errorf("while balancers take notice: %v", got)
	}
	w.server.Drain(true)
	if got := list(); got != codes.Unavailable {
		t.Errorf("a new call: %v", got)
	}
	await.True(t, "one call", func() bool { return w.server.Calls() == 1 })
	close(leave)
	if err := <-done; err != nil {
		t.Errorf("the call at work: %v", err)
	}
	await.True(t, "no calls", func() bool { return w.server.Calls() == 0 })
	w.ring[0].hook = nil
	w.server.Undrain()
	if got := health("keys/EXMP01/ov"); got != "SERVING" {
		t.Error(got)
	}
	if got := list(); got != codes.OK {
		t.Error(got)
	}
}
