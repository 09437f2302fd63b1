package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// TLS is an authority for the certificates of connections. Its keys are of ECDSA, on P-256.
type TLS struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewTLS makes a self-signed authority.
func NewTLS(tb testing.TB) *TLS {
	tb.Helper()
	a := &TLS{key: NewTLSKey(tb)}
	a.Certificate = a.Issue(tb, a.key.Public(), &x509.Certificate{
		Subject: pkix.Name{CommonName: "TLS CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// NewTLSKey makes a key.
func NewTLSKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// Issue makes of a template a certificate for a public key. Where it names no times they are an hour ago and in two days.
func (a *TLS) Issue(tb testing.TB, public crypto.PublicKey, t *x509.Certificate) *x509.Certificate {
	tb.Helper()
	t.SerialNumber = big.NewInt(time.Now().UnixNano())
	if t.NotAfter.IsZero() {
		t.NotBefore, t.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour)
	}
	parent := a.Certificate
	if parent == nil {
		parent = t
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, public, a.key)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// NewPair makes a key and its certificate, which is in Leaf too.
func (a *TLS) NewPair(tb testing.TB, t *x509.Certificate) tls.Certificate {
	tb.Helper()
	key := NewTLSKey(tb)
	leaf := a.Issue(tb, key.Public(), t)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// NewServer is NewPair for a server with a host's name or address.
func (a *TLS) NewServer(tb testing.TB, host string) tls.Certificate {
	tb.Helper()
	return a.NewPair(tb, Server(host))
}

// Server is the template of a server's certificate.
func Server(host string) *x509.Certificate {
	t := &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	return t
}

// NewClient is NewPair for a client with a DNS name or a URI, and a subject that must not matter.
func (a *TLS) NewClient(tb testing.TB, san string) tls.Certificate {
	tb.Helper()
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "admin.example.ru"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	switch {
	case strings.Contains(san, ":"):
		u, err := url.Parse(san)
		if err != nil {
			tb.Fatal(err)
		}
		t.URIs = []*url.URL{u}
	case san != "":
		t.DNSNames = []string{san}
	}
	return a.NewPair(tb, t)
}

// Pool holds the authority alone.
func (a *TLS) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.Certificate)
	return p
}

// Write writes the authority's certificate as PEM.
func (a *TLS) Write(tb testing.TB, file string) {
	tb.Helper()
	write(tb, file, "CERTIFICATE", a.Certificate.Raw)
}

// WritePair writes a certificate and its key as PEM.
func WritePair(tb testing.TB, pair tls.Certificate, certificate, key string) {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, certificate, "CERTIFICATE", pair.Certificate[0])
	write(tb, key, "PRIVATE KEY", der)
}

func write(tb testing.TB, file, kind string, der []byte) {
	tb.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		tb.Fatal(err)
	}
}
