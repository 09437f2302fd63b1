package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
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

// authority issues TLS certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB) *authority {
	a := &authority{}
	a.cert, a.key = a.issue(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: rand.Text()}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) issue(tb testing.TB, t *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	t.SerialNumber, t.NotBefore, t.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, with := a.cert, a.key
	if parent == nil {
		parent, with = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), with)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert, key
}

// files writes a certificate, its key and the authority's certificate as PEM.
func (a *authority) files(tb testing.TB, dir string, cert *x509.Certificate, key *ecdsa.PrivateKey) [3]string {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	var out [3]string
	for i, block := range []pem.Block{{Type: "CERTIFICATE", Bytes: cert.Raw}, {Type: "PRIVATE KEY", Bytes: der},
		{Type: "CERTIFICATE", Bytes: a.cert.Raw}} {
		out[i] = filepath.Join(dir, []string{"tls.pem", "tls.key", "ca.pem"}[i])
		if err := os.WriteFile(out[i], pem.EncodeToMemory(&block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return out
}

func (a *authority) client(tb testing.TB, dir, uri string) [3]string {
	u, err := url.Parse(uri)
	if err != nil {
		tb.Fatal(err)
	}
	cert, key := a.issue(tb, &x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return a.files(tb, dir, cert, key)
}

func (a *authority) server(tb testing.TB) *tls.Config {
	cert, key := a.issue(tb, &x509.Certificate{
		IPAddresses: []net.IP{{127, 0, 0, 1}}, DNSNames: []string{"epovd.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return api.MutualTLS(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, pool)
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
	tls     *authority
	address string
	files   [3]string // of a client that may do everything
}

const anyClient = "spiffe://example.ru/gateway"

func newWorld(tb testing.TB) *world { return newAuthority(tb).world(tb, nil) }

// world starts a service that reports such a load.
func (a *authority) world(tb testing.TB, load api.Load) *world {
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
	server, err := api.New(api.Config{Service: service, TLS: w.tls.server(tb), Logger: log, Load: load})
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
	w.files = w.tls.client(tb, tb.TempDir(), anyClient)
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
func (a *authority) serve(tb testing.TB, register func(*grpc.Server)) string {
	tb.Helper()
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(a.server(tb))))
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
