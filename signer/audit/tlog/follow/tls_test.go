package follow

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority issues certificates into a folder.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, name, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.Subject = pkix.Name{CommonName: name}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der},
		name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pair(t *testing.T, name string) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestSyslogTLS sends over TLS to a server that asks for a certificate, in each version there is, and loses nothing to a server
// that takes none of ours.
func TestSyslogTLS(t *testing.T) {
	ca, stranger := newAuthority(t, "ca"), newAuthority(t, "stranger")
	ca.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	ca.issue(t, "epovd", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	stranger.issue(t, "epovd", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	listen := func(version uint16) net.Listener {
		s, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{ca.pair(t, "server")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
			MinVersion: version, MaxVersion: version,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			const count = 20
			s, l := listen(version), &list{}
			l.add(count)
			to := Syslog{URL: "tls://" + s.Addr().String(), CA: ca.file("ca.pem"),
				Certificate: ca.file("epovd.pem"), Key: ca.file("epovd.key")}
			if err := to.Check(); err != nil {
				t.Fatal(err)
			}
			f := run(t, Config{Name: "tls", Dir: t.TempDir(), Source: l, Open: to.Open})
			c, err := s.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for i := range count {
				var size int
				if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
					t.Fatal(err)
				}
				message := make([]byte, size)
				if _, err := io.ReadFull(r, message); err != nil {
					t.Fatal(err)
				}
				check(t, l, string(message), i)
			}
			if who := c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName; who != "epovd" {
				t.Error("sent by", who)
			}
			reaches(t, f, count)
		})
		t.Run(name+", refused", func(t *testing.T) {
			s := listen(version)
			go func() {
				for {
					c, err := s.Accept()
					if err != nil {
						return
					}
					_ = c.(*tls.Conn).Handshake() // which fails, by design
					c.Close()
				}
			}()
			url := "tls://" + s.Addr().String()
			for what, to := range map[string]Syslog{
				"no certificate": {URL: url, CA: ca.file("ca.pem")},
				"another authority's": {URL: url, CA: ca.file("ca.pem"), Certificate: stranger.file("epovd.pem"),
					Key: stranger.file("epovd.key")},
				"another server": {URL: url, CA: stranger.file("stranger.pem"), Certificate: ca.file("epovd.pem"),
					Key: ca.file("epovd.key")},
				"the system's roots": {URL: url, Certificate: ca.file("epovd.pem"), Key: ca.file("epovd.key")},
				"another name": {URL: strings.Replace(url, "127.0.0.1", "localhost", 1), CA: ca.file("ca.pem"),
					Certificate: ca.file("epovd.pem"), Key: ca.file("epovd.key")},
				"no such file":    {URL: url, CA: ca.file("missing.pem")},
				"no certificates": {URL: url, CA: ca.file("server.key")},
			} {
				if sink, err := to.Open(t.Context()); err == nil {
					sink.Close()
					t.Errorf("%s: a connection", what)
				}
			}
		})
	}
}

// TestStreamThatEnds: a server that goes away is known before more is sent, which would be lost.
func TestStreamThatEnds(t *testing.T) {
	s, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sink, err := Syslog{URL: "tcp://" + s.Addr().String()}.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	c, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	l := &list{}
	l.add(1)
	if err := sink.Send(context.Background(), "log", 0, l.all); err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-sink.(*syslog).ended
	if err := sink.Send(context.Background(), "log", 0, l.all); err == nil {
		t.Error("sent to nobody")
	}
}
