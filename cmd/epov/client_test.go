package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
