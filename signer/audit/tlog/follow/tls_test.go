package follow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/epov-signer/epov/internal/testpki"
)

// authority has in a folder ca.pem, and the certificate of a client in epovd.pem and epovd.key.
type authority struct {
	*testpki.TLS
	dir string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{testpki.NewTLS(t), t.TempDir()}
	a.Write(t, a.file("ca.pem"))
	testpki.WritePair(t, a.NewPair(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "epovd"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}), a.file("epovd.pem"), a.file("epovd.key"))
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// TestSyslogTLS sends over TLS to a server that asks for a certificate, in each version there is, and loses nothing to a server
// that takes none of ours.
func TestSyslogTLS(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	server := ca.NewServer(t, "127.0.0.1")
	listen := func(version uint16) net.Listener {
		s, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(),
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
			receive(t, c, l, count)
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
				"another server": {URL: url, CA: stranger.file("ca.pem"), Certificate: ca.file("epovd.pem"),
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
