package hsm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/softhsm"
)

// serveTLS makes one connection to a server whose key is on the token.
func serveTLS(t *testing.T, key crypto.Signer) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	client, server := net.Pipe()
	defer client.Close()
	go func() {
		defer server.Close()
		conn := tls.Server(server, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
		_, _ = io.WriteString(conn, "hello")
	}()
	conn := tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "localhost"})
	hello := make([]byte, 5)
	if _, err := io.ReadFull(conn, hello); err != nil || string(hello) != "hello" {
		t.Fatalf("%q %v", hello, err)
	}
}

// A TLS key and signing keys of the same token serve in one process, and let go in any order.
func TestTLSKeyBesideSigning(t *testing.T) {
	soft := softhsm.New(t)
	cfg := config(t, soft)
	for _, kind := range []string{"ecdsa-p256", "rsa-3072"} {
		public, err := hsm.GenerateTLSKey(t.Context(), cfg, "tls/"+kind, kind, quiet)
		if err != nil {
			t.Fatal(err)
		}
		_, err = hsm.GenerateTLSKey(t.Context(), cfg, "tls/"+kind, kind, quiet)
		wantKind(t, err, hsm.Exists)
		for _, tlsFirst := range []bool{true, false} {
			signer, closer, err := hsm.OpenTLSKey(t.Context(), cfg, "tls/"+kind, quiet)
			if err != nil {
				t.Fatal(err)
			}
			if !signer.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Error("another key than the one generated")
			}
			token := open(t, cfg)
			key := newKey(t, token, "EXMP01/"+kind+map[bool]string{true: "/1", false: "/2"}[tlsFirst])
			sign := func() {
				t.Helper()
				if _, err := key.SignDigest(t.Context(), make([]byte, 32)); err != nil {
					t.Error(err)
				}
			}
			serveTLS(t, signer)
			sign()
			if tlsFirst {
				if err := closer.Close(); err != nil {
					t.Error(err)
				}
				sign()
				closeToken(t, token)
			} else {
				closeToken(t, token)
				serveTLS(t, signer)
				if err := closer.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	_, _, err := hsm.OpenTLSKey(t.Context(), cfg, "tls/none", quiet)
	wantKind(t, err, hsm.KeyNotFound)
	_, err = hsm.GenerateTLSKey(t.Context(), cfg, "tls/dsa", "dsa", quiet)
	wantKind(t, err, hsm.Invalid)

	token := open(t, cfg)
	list, err := token.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeToken(t, token)
	i := slices.IndexFunc(list, func(k hsm.KeyInfo) bool { return strings.HasPrefix(k.Type, "gost") })
	_, _, err = hsm.OpenTLSKey(t.Context(), cfg, list[i].ID, quiet)
	wantKind(t, err, hsm.KeyUnusable) // for ever: it is of another kind

	token = open(t, cfg)
	_, _, err = hsm.OpenTLSKey(t.Context(), cfg, "tls/ecdsa-p256", quiet)
	wantKind(t, err, hsm.Config) // too late, and nothing is disturbed by the attempt
	list, err = token.Keys(t.Context())
	if err != nil || len(list) != 6 {
		t.Errorf("%d keys, %v", len(list), err)
	}
}

// The rules of the PIN hold for crypto11 too.
func TestTLSKeyWrongPIN(t *testing.T) {
	soft := softhsm.New(t)
	cfg := config(t, soft)
	right := cfg.PIN
	if _, err := hsm.GenerateTLSKey(t.Context(), cfg, "tls", "ecdsa-p256", quiet); err != nil {
		t.Fatal(err)
	}
	cfg.PIN = hsm.PINValue(hsm.NewPIN([]byte("surely-wrong")))
	for range 3 {
		_, _, err := hsm.OpenTLSKey(t.Context(), cfg, "tls", quiet)
		wantKind(t, err, hsm.PINRefused)
	}
	_, err := hsm.Open(t.Context(), cfg, quiet)
	wantKind(t, err, hsm.PINRefused)
	cfg.PIN = right
	signer, closer, err := hsm.OpenTLSKey(t.Context(), cfg, "tls", quiet)
	if err != nil {
		t.Fatal(err)
	}
	serveTLS(t, signer)
	if err := closer.Close(); err != nil {
		t.Error(err)
	}
}

// A pipe with the PIN serves the TLS key and the token, though it can be read once.
func TestTLSKeyAndTokenFromPipe(t *testing.T) {
	soft := softhsm.New(t)
	cfg := config(t, soft)
	if _, err := hsm.GenerateTLSKey(t.Context(), cfg, "tls", "ecdsa-p256", quiet); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(soft.PIN); err != nil {
		t.Fatal(err)
	}
	w.Close()
	cfg.PIN = hsm.PINDescriptor(int(r.Fd()))
	signer, closer, err := hsm.OpenTLSKey(t.Context(), cfg, "tls", quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	serveTLS(t, signer)
	closeToken(t, open(t, cfg))
	serveTLS(t, signer) // the login outlives the token's sessions
}

// A login that is there already is no proof of a PIN: what was refused before stays refused.
func TestSecondTLSKeyKeepsTheRecord(t *testing.T) {
	faulty := softhsm.NewFaulty(t)
	cfg := config(t, faulty.Token)
	if _, err := hsm.GenerateTLSKey(t.Context(), cfg, "tls", "ecdsa-p256", quiet); err != nil {
		t.Fatal(err)
	}
	wrong := cfg
	wrong.PIN = hsm.PINValue(hsm.NewPIN([]byte("surely-wrong")))
	_, _, err := hsm.OpenTLSKey(t.Context(), wrong, "tls", quiet)
	wantKind(t, err, hsm.PINRefused)
	other := cfg
	other.StateDir = t.TempDir() // a login that leaves the record alone
	_, first, err := hsm.OpenTLSKey(t.Context(), other, "tls", quiet)
	if err != nil {
		t.Fatal(err)
	}
	cfg.PIN = hsm.PINValue(hsm.NewPIN([]byte("wrong-too")))
	_, second, err := hsm.OpenTLSKey(t.Context(), cfg, "tls", quiet) // rides on the first
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{second, first} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	before := faulty.Calls("C_Login")
	_, _, err = hsm.OpenTLSKey(t.Context(), wrong, "tls", quiet)
	wantKind(t, err, hsm.PINRefused)
	if faulty.Calls("C_Login") != before {
		t.Error("the wrong PIN was tried again")
	}
}
