package api

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/epov-signer/epov/signer"
)

// localPeer is who is at the other end of a Unix socket.
type localPeer struct {
	credentials.CommonAuthInfo
	caller *signer.Caller
	conn   net.Conn
}

func (p *localPeer) hangUp() { p.conn.Close() }

func (*localPeer) AuthType() string { return "local" }

// localGate lets in whom the system vouches for: see Config.Local.
type localGate struct {
	recognise func(net.Conn) (*signer.Caller, error)
}

func (g localGate) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	caller, err := g.recognise(conn)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, &localPeer{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}, caller, conn}, nil
}

func (localGate) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("api: not a client")
}

func (localGate) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "local"}
}

func (g localGate) Clone() credentials.TransportCredentials { return g }

func (localGate) OverrideServerName(string) error { return nil }
