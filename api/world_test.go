package api

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// softKey is a key in software; hook, when set, answers instead.
type softKey struct {
	name string
	key  *gost.PrivateKey
	cert *gost.Certificate
	hook func(ctx context.Context) error
	away atomic.Pointer[error] // what is known of its token
}

func (k *softKey) Available() error {
	if e := k.away.Load(); e != nil {
		return *e
	}
	return nil
}

func (k *softKey) Name() string                   { return k.name }
func (k *softKey) Public() *gost.PublicKey        { return k.key.Public().(*gost.PublicKey) }
func (k *softKey) Certificate() *gost.Certificate { return k.cert }
func (k *softKey) Chain() []*gost.Certificate     { return nil }
func (k *softKey) SignDigest(ctx context.Context, digest []byte, _ signer.Flow) (gost.Verified, error) {
	if k.hook != nil {
		if err := k.hook(ctx); err != nil {
			return gost.Verified{}, err
		}
	}
	return testpki.Sign(k.key, digest)
}

type softRing []*softKey

func (r softRing) Key(name string) (signer.Key, error) {
	for _, k := range r {
		if k.name == name || strings.HasPrefix(k.name, name+"/versions/") {
			return k, nil
		}
	}
	return nil, report.Errorf(report.KeyUnknown, report.Place{}, "no key is configured by the name %s", name)
}

func (r softRing) Keys() []signer.Key {
	var out []signer.Key
	for _, k := range r {
		out = append(out, k)
	}
	return out
}

// world is a server on loopback with mutual TLS and keys in software.
type world struct {
	server *Server
	addr   string
	tls    *testpki.TLS
	ring   softRing
	log    *await.Log
}

func newWorld(tb testing.TB, limits Limits) *world {
	tb.Helper()
	w := &world{tls: testpki.NewTLS(tb), log: &await.Log{}}
	ca := testpki.NewCA(tb, gost.GOST2012_256, "tc26-256-B")
	for _, name := range []string{"keys/EXMP01/ov/versions/1", "keys/EXMP01/second/versions/3", "keys/EXMP01/old/versions/1"} {
		t := testpki.Template{}
		if strings.Contains(name, "old") {
			t.NotBefore, t.NotAfter = time.Now().AddDate(-2, 0, 0), time.Now().AddDate(-1, 0, 0)
		}
		key, cert := ca.NewSigner(tb, gost.GOST2012_256, "tc26-256-B", t)
		w.ring = append(w.ring, &softKey{name: name, key: key, cert: cert})
	}
	access, err := signer.NewAccess([]signer.Role{
		{Name: "everything", Grants: []signer.Grant{{Keys: []string{"keys/*"}, Operations: signer.Operations}}},
		{Name: "sign", Grants: []signer.Grant{{Keys: []string{"keys/EXMP01/ov"}, Operations: []signer.Operation{signer.OpSignXML}}}},
	}, []signer.Client{
		{Name: "admin", SANs: []string{"admin.example.ru"}, Roles: []string{"everything"}},
		{Name: "gateway", SANs: []string{"spiffe://example.ru/gateway"}, Roles: []string{"sign"}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service, err := signer.New(signer.Config{
		Keys: w.ring, Access: access, Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Logger: log,
		Limits: signer.Limits{MessageBytes: limits.MessageBytes},
	})
	if err != nil {
		tb.Fatal(err)
	}
	w.server, err = New(Config{Service: service, TLS: MutualTLS(w.tls.NewServer(tb, "epovd.test"), w.tls.Pool()),
		Limits: limits, Logger: log})
	if err != nil {
		tb.Fatal(err)
	}
	w.serve(tb)
	return w
}

func listen(tb testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (w *world) serve(tb testing.TB) {
	l := listen(tb)
	w.addr = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- w.server.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		w.server.Shutdown(ctx)
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
}

// client is all services over one connection.
type client struct {
	epovpb.SignServiceClient
	epovpb.VerifyServiceClient
	epovpb.KeyServiceClient
	epovpb.InfoServiceClient
	conn *grpc.ClientConn
}

func (w *world) dialTLS(tb testing.TB, config *tls.Config) *client {
	tb.Helper()
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &client{
		epovpb.NewSignServiceClient(conn), epovpb.NewVerifyServiceClient(conn), epovpb.NewKeyServiceClient(conn),
		epovpb.NewInfoServiceClient(conn), conn,
	}
}

// dial connects as the client with this SAN.
func (w *world) dial(tb testing.TB, san string) *client {
	tb.Helper()
	return w.dialTLS(tb, &tls.Config{
		RootCAs: w.tls.Pool(), ServerName: "epovd.test", Certificates: []tls.Certificate{w.tls.NewClient(tb, san)},
	})
}

func ack() []byte {
	return []byte(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<b:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">8c1c0a10-f1ee-11f0-8a5e-0242ac120002</b:AckTargetMessage>` +
		`</t:AckRequest></S:Body></S:Envelope>`)
}
