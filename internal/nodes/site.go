// Package nodes runs the daemon as users do, in processes of their own with tokens of their own, for tests and benchmarks of
// several equal ones behind gRPC's balancing.
package nodes

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
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/testpki"
	"github.com/epov-signer/epov/softhsm"
)

// Caller is the URI of the site's client, which may do everything.
const Caller = "spiffe://example.ru/gateway"

// Site is what equal daemons share: authorities, and a client that may do everything.
type Site struct {
	Dir   string // of the authorities and the client: ca.pem, client.pem, client.key, root.pem
	tls   *x509.Certificate
	key   *ecdsa.PrivateKey
	gost  *testpki.CA
	epovd string
}

// NewSite makes authorities. epovd is the path of the program.
func NewSite(tb testing.TB, epovd string) *Site {
	tb.Helper()
	s := &Site{Dir: tb.TempDir(), epovd: epovd, gost: testpki.NewCA(tb, gost.GOST2012_256, "CryptoPro-A")}
	s.tls, s.key = s.issue(tb, &x509.Certificate{
		Subject: pkix.Name{CommonName: "TLS CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	s.pem(tb, filepath.Join(s.Dir, "ca.pem"), "CERTIFICATE", s.tls.Raw)
	s.pem(tb, filepath.Join(s.Dir, "root.pem"), "CERTIFICATE", s.gost.Certificate.Raw)
	u, err := url.Parse(Caller)
	check(tb, err)
	cert, key := s.issue(tb, &x509.Certificate{URIs: []*url.URL{u}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	s.pair(tb, filepath.Join(s.Dir, "client"), cert, key)
	return s
}

// TLS is the client's.
func (s *Site) TLS() client.TLS {
	return client.Files(filepath.Join(s.Dir, "client.pem"), filepath.Join(s.Dir, "client.key"), filepath.Join(s.Dir, "ca.pem"))
}

// Server writes the certificate of a server on a host as NAME.pem and NAME.key to Dir, as the daemons have them.
func (s *Site) Server(tb testing.TB, name, host string) {
	tb.Helper()
	cert, key := s.server(tb, host)
	s.pair(tb, filepath.Join(s.Dir, name), cert, key)
}

func (s *Site) server(tb testing.TB, host string) (*x509.Certificate, *ecdsa.PrivateKey) {
	return s.issue(tb, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(host)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (s *Site) issue(tb testing.TB, t *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(tb, err)
	t.SerialNumber, t.NotBefore, t.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour)
	parent, with := s.tls, s.key
	if parent == nil {
		parent, with = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), with)
	check(tb, err)
	cert, err := x509.ParseCertificate(der)
	check(tb, err)
	return cert, key
}

func (s *Site) pair(tb testing.TB, name string, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(tb, err)
	s.pem(tb, name+".pem", "CERTIFICATE", cert.Raw)
	s.pem(tb, name+".key", "PRIVATE KEY", der)
}

func (s *Site) pem(tb testing.TB, path, kind string, der []byte) {
	tb.Helper()
	check(tb, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Token is a token with a key, and the key's certificate.
type Token struct {
	*softhsm.Token
	ID          string // of the key, "SYSTEM/NAME/VERSION"
	Certificate *gost.Certificate
}

// Furnish puts a key on a token, unless it has the one of softhsm.NewNoop, and issues its certificate.
func (s *Site) Furnish(tb testing.TB, t *softhsm.Token, id string) *Token {
	tb.Helper()
	ctx := context.Background()
	opened, err := hsm.Open(ctx, hsm.TokenConfig{
		Module: t.Module, Serial: t.Serial, PIN: hsm.PINValue(hsm.NewPIN([]byte(t.PIN))), StateDir: filepath.Join(tb.TempDir(), "state"),
	}, slog.New(slog.DiscardHandler))
	check(tb, err)
	defer opened.Close(ctx)
	var public *gost.PublicKey
	if id == softhsm.NoopKey {
		key, err := opened.Key(ctx, id)
		check(tb, err)
		public = key.Public()
	} else {
		public, err = opened.GenerateKey(ctx, id, gost.GOST2012_256, gost.ParamSetByName("CryptoPro-A"))
		check(tb, err)
	}
	return &Token{Token: t, ID: id, Certificate: s.gost.Issue(tb, public, testpki.Template{CommonName: id})}
}
