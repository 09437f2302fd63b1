package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
)

func TestSettle(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "client.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("address: a:1\ntls: {certificate: c.pem, key: /k.pem, ca: ca.pem}\nkey: keys/A/ov\ntimeout: 5s\n")
	cfg, err := (&connection{ClientConfig: file, Address: "b:2"}).settle()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Address != "b:2" || cfg.TLS.Cert != filepath.Join(dir, "c.pem") || cfg.TLS.Key != "/k.pem" || cfg.Timeout != 5*time.Second {
		t.Errorf("%+v", cfg)
	}
	if key, err := cfg.signingKey(""); err != nil || key != "keys/A/ov" {
		t.Errorf("%q, %v", key, err)
	}
	if key, err := cfg.signingKey("keys/B/ov"); err != nil || key != "keys/B/ov" {
		t.Errorf("%q, %v", key, err)
	}

	for text, want := range map[string]string{
		"addres: a:1\n":                          "field addres not found",
		"address: a:1\n":                         "--tls-cert is missing",
		"":                                       "--address is missing",
		"address: [a]\n":                         "line 1",
		"tls: {certificate: c, key: k, ca: a}\n": "--address is missing",
		"address: a\ntls: {certificate: c, key: k}\n":    "--tls-ca is missing",
		"timeout: -1s\naddress: a\ntls: {key: k, ca: a}": "--timeout must be positive",
	} {
		write(text)
		_, err := (&connection{ClientConfig: file}).settle()
		if err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != exitUsage {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// The name of the configuration file, unless a flag gives another, is the one that the daemon is asked to be.
func TestServerName(t *testing.T) {
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, data := range map[string][]byte{
		"c.pem": certificate, "ca.pem": certificate, "k.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	asked := make(chan string, 8)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		select {
		case asked <- h.ServerName:
		default:
		}
		return nil, errors.New("no")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { conn.(*tls.Conn).Handshake(); conn.Close() }()
		}
	}()
	file := filepath.Join(dir, "client.yaml")
	text := "address: " + listener.Addr().String() +
		"\ntls: {certificate: c.pem, key: k.pem, ca: ca.pem, server_name: epovd.test}\ntimeout: 5s\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{"": "epovd.test", "other.test": "other.test"} {
		err := (&connection{ClientConfig: file, ServerName: flag}).call(t.Context(),
			func(ctx context.Context, service *client.Client, _ *clientConfig) error {
				_, err := service.Keys.ListKeys(ctx, &pb.ListKeysRequest{})
				return err
			})
		if got := <-asked; err == nil || got != want {
			t.Errorf("%q: asked for %q, %v", flag, got, err)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}
