package client_test

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crypto/tls"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/trust"
)

// files writes a certificate, its key and the authority's certificate as PEM.
func files(tb testing.TB, a *testpki.TLS, dir string, pair tls.Certificate) [3]string {
	tb.Helper()
	out := [3]string{filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key"), filepath.Join(dir, "ca.pem")}
	testpki.WritePair(tb, pair, out[0], out[1])
	a.Write(tb, out[2])
	return out
}

func clientFiles(tb testing.TB, a *testpki.TLS, dir, uri string) [3]string {
	return files(tb, a, dir, a.NewClient(tb, uri))
}

func serverTLS(tb testing.TB, a *testpki.TLS) *tls.Config {
	t := testpki.Server("epovd.test")
	t.IPAddresses = []net.IP{{127, 0, 0, 1}}
	return api.MutualTLS(a.NewPair(tb, t), a.Pool())
}

// softRing is one key in software.
type softRing struct {
	key  *gost.PrivateKey
	cert *gost.Certificate
}

const keyVersion = "keys/EXMP01/ov/versions/1"

func (r softRing) Name() string                   { return keyVersion }
func (r softRing) Public() *gost.PublicKey        { return r.key.Public().(*gost.PublicKey) }
func (r softRing) Certificate() *gost.Certificate { return r.cert }
func (r softRing) Chain() []*gost.Certificate     { return nil }
func (r softRing) SignDigest(_ context.Context, digest []byte, _ signer.Flow) (gost.Verified, error) {
	return testpki.Sign(r.key, digest)
}

func (r softRing) Key(name string) (signer.Key, error) {
	if strings.HasPrefix(keyVersion, name) {
		return r, nil
	}
	return nil, report.Errorf(report.KeyUnknown, report.Place{}, "no key is configured by the name %s", name)
}
func (r softRing) Keys() []signer.Key { return []signer.Key{r} }

// world is the service itself on loopback, with a key in software.
type world struct {
	tls     *testpki.TLS
	address string
	files   [3]string // of a client that may do everything
}

const anyClient = "spiffe://example.ru/gateway"

func newWorld(tb testing.TB) *world { return worldOf(tb, testpki.NewTLS(tb), nil) }

// worldOf starts a service that reports such a load.
func worldOf(tb testing.TB, a *testpki.TLS, load api.Load) *world {
	tb.Helper()
	w := &world{tls: a}
	ca := testpki.NewCA(tb, gost.GOST2012_256, "tc26-256-B")
	key, cert := ca.NewSigner(tb, gost.GOST2012_256, "tc26-256-B", testpki.Template{})
	access, err := signer.NewAccess(
		[]signer.Role{{Name: "everything", Grants: []signer.Grant{{Keys: []string{"keys/*"}, Operations: signer.Operations}}}},
		[]signer.Client{{Name: "gateway", SANs: []string{anyClient}, Roles: []string{"everything"}}})
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	service, err := signer.New(signer.Config{
		Keys: softRing{key, cert}, Access: access, Trust: trust.New([]*gost.Certificate{ca.Certificate}, nil), Logger: log,
	})
	if err != nil {
		tb.Fatal(err)
	}
	server, err := api.New(api.Config{Service: service, TLS: serverTLS(tb, w.tls), Logger: log, Load: load})
	if err != nil {
		tb.Fatal(err)
	}
	server.SetServing(true, nil)
	l := listen(tb)
	w.address = l.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(ctx)
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	w.files = clientFiles(tb, w.tls, tb.TempDir(), anyClient)
	return w
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func (w *world) dial(tb testing.TB) *client.Client {
	return dial(tb, client.Config{Addresses: []string{w.address}, TLS: client.Files(w.files[0], w.files[1], w.files[2])})
}

func dial(tb testing.TB, config client.Config) *client.Client {
	tb.Helper()
	c, err := client.Dial(config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

// serve runs a server of the test's own with mutual TLS.
func serve(tb testing.TB, a *testpki.TLS, register func(*grpc.Server)) string {
	tb.Helper()
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(serverTLS(tb, a))))
	register(s)
	l := listen(tb)
	go s.Serve(l)
	tb.Cleanup(s.Stop)
	return l.Addr().String()
}

func message() []byte {
	return []byte(`<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/"><S:Body>` +
		`<t:AckRequest xmlns:t="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" ` +
		`xmlns:b="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<b:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true">8c1c0a10-f1ee-11f0-8a5e-0242ac120002</b:AckTargetMessage>` +
		`</t:AckRequest></S:Body></S:Envelope>`)
}
