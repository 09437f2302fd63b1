package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/report"
)

// MutualTLS is the one TLS configuration there is: version 1.3, and a client certificate that leads to one of the CAs.
func MutualTLS(certificate tls.Certificate, clientCAs *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   []string{"h2"},
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    clientCAs,
		// A resumed session would carry an identity that was verified long ago.
		SessionTicketsDisabled: true,
	}
}

func checkTLS(c *tls.Config) error {
	if c.ClientAuth != tls.RequireAndVerifyClientCert || c.ClientCAs == nil || c.MinVersion < tls.VersionTLS13 {
		return errors.New("api: TLS without version 1.3 and verified client certificates")
	}
	return nil
}

// SetTLS exchanges the server's certificate and the authorities of its clients; see MutualTLS. Handshakes from now on go by the
// new ones. Connections stay, but each is asked at its next call whether one of the new authorities vouches for its client.
func (s *Server) SetTLS(c *tls.Config) error {
	if s.plain {
		return errors.New("api: the server has no TLS")
	}
	if err := checkTLS(c); err != nil {
		return err
	}
	s.tls.Store(c)
	s.KeysChanged() // who watched may be nobody now
	return nil
}

// gate shakes hands by the TLS configuration of the moment, and keeps who came. Of the connections that there may be no client has
// all: see Limits.Connections.
type gate struct {
	credentials.TransportCredentials
	server *Server
}

func newGate(s *Server) *gate {
	return &gate{credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.tls.Load(), nil },
	}), s}
}

func (g *gate) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	before := g.server.tls.Load()
	out, info, err := g.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		return out, info, err
	}
	state, ok := info.(credentials.TLSInfo)
	if !ok || len(state.State.VerifiedChains) == 0 {
		out.Close()
		return nil, nil, errors.New("the client's certificate was not verified")
	}
	id := &identity{TLSInfo: state, leaf: state.State.VerifiedChains[0][0]}
	id.names = append(id.names, id.leaf.DNSNames...)
	for _, u := range id.leaf.URIs {
		id.names = append(id.names, u.String())
	}
	if g.server.tls.Load() == before { // else it is verified again by the first call
		id.found.Store(&finding{tls: before})
	}
	if id.conn, err = g.admit(out, id.names); err != nil {
		out.Close()
		return nil, nil, err
	}
	return id.conn, id, nil
}

// admit counts a connection for its client, until it is closed.
func (g *gate) admit(conn net.Conn, names []string) (net.Conn, error) {
	share := &g.server.connShare
	if share.bound() == 0 {
		return conn, nil
	}
	who := fmt.Sprint(some(names)) // no client has a name with brackets
	if caller, err := g.server.signing.Access().Caller(names); err == nil {
		who = caller.Name()
	}
	if !share.take(who, 1) {
		return nil, fmt.Errorf("%s has as many connections as one client may have, %d", who, share.bound())
	}
	return &counted{conn, sync.OnceFunc(func() { share.leave(who, 1) })}, nil
}

// counted is a connection that tells of its end.
type counted struct {
	net.Conn
	end func()
}

func (c *counted) Close() error {
	defer c.end()
	return c.Conn.Close()
}

func (g *gate) Clone() credentials.TransportCredentials {
	return &gate{g.TransportCredentials.Clone(), g.server}
}

// identity is who is at the other end of a connection: the verified certificate with its DNS names and URIs. The subject is not
// looked at.
type identity struct {
	credentials.TLSInfo
	conn  net.Conn
	leaf  *x509.Certificate
	names []string
	found atomic.Pointer[finding]
}

func (id *identity) hangUp() { id.conn.Close() }

// finding is what an identity amounts to, by one TLS configuration and one policy.
type finding struct {
	tls       *tls.Config
	untrusted error // no authority of these vouches for it
	access    *signer.Access
	caller    *signer.Caller
	err       error
}

// by looks again only when something has changed.
func (id *identity) by(config *tls.Config, access *signer.Access) (*signer.Caller, error) {
	now := time.Now()
	if now.After(id.leaf.NotAfter) {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "the client certificate is over")
	}
	f := id.found.Load()
	if f != nil && f.tls == config && f.access == access {
		return f.caller, f.err
	}
	next := &finding{tls: config, access: access}
	if f != nil && f.tls == config {
		next.untrusted = f.untrusted
	} else {
		next.untrusted = id.verify(config, now)
	}
	if next.err = next.untrusted; next.err == nil {
		next.caller, next.err = access.Caller(id.names)
	}
	id.found.Store(next)
	return next.caller, next.err
}

// verify asks whether the authorities vouch for the certificate, as the handshake did for those of then.
func (id *identity) verify(config *tls.Config, now time.Time) error {
	between := x509.NewCertPool()
	for _, c := range id.State.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := id.leaf.Verify(x509.VerifyOptions{
		Roots: config.ClientCAs, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return &report.Error{Code: report.AccessDenied,
			Message: "the authority of the client certificate is not accepted any more", Err: err}
	}
	return nil
}

// identify recognises the caller.
func (s *Server) identify(ctx context.Context) (*signer.Caller, error) {
	access := s.signing.Access()
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, report.Errorf(report.Internal, report.Place{}, "a call without a peer")
	}
	switch who := p.AuthInfo.(type) {
	case *identity:
		return who.by(s.tls.Load(), access)
	case *localPeer:
		return who.caller, nil
	}
	if !s.plain {
		return nil, report.Errorf(report.AccessDenied, report.Place{}, "a client certificate is needed")
	}
	return access.Anyone()
}

// namesOf gives the DNS names and URIs of the caller's verified certificate, nil when there is none.
func namesOf(ctx context.Context) []string {
	if p, ok := peer.FromContext(ctx); ok {
		if id, ok := p.AuthInfo.(*identity); ok {
			return id.names
		}
	}
	return nil
}
