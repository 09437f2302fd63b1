// Package nodes runs the daemon as users do, in processes of their own with tokens of their own, for tests and benchmarks of
// several equal ones behind gRPC's balancing.
package nodes

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

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
	tls   *testpki.TLS
	gost  *testpki.CA
	epovd string
}

// NewSite makes authorities. epovd is the path of the program.
func NewSite(tb testing.TB, epovd string) *Site {
	tb.Helper()
	s := &Site{Dir: tb.TempDir(), epovd: epovd, gost: testpki.NewCA(tb, gost.GOST2012_256, "CryptoPro-A"), tls: testpki.NewTLS(tb)}
	s.tls.Write(tb, filepath.Join(s.Dir, "ca.pem"))
	check(tb, os.WriteFile(filepath.Join(s.Dir, "root.pem"), testpki.PEM(s.gost.Certificate), 0o600))
	pair(tb, filepath.Join(s.Dir, "client"), s.tls.NewClient(tb, Caller))
	return s
}

// TLS is the client's.
func (s *Site) TLS() client.TLS {
	return client.Files(filepath.Join(s.Dir, "client.pem"), filepath.Join(s.Dir, "client.key"), filepath.Join(s.Dir, "ca.pem"))
}

// Server writes the certificate of a server on a host as NAME.pem and NAME.key to Dir, as the daemons have them.
func (s *Site) Server(tb testing.TB, name, host string) {
	tb.Helper()
	pair(tb, filepath.Join(s.Dir, name), s.tls.NewServer(tb, host))
}

// pair writes NAME.pem and NAME.key.
func pair(tb testing.TB, name string, p tls.Certificate) {
	tb.Helper()
	testpki.WritePair(tb, p, name+".pem", name+".key")
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
