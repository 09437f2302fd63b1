package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Files names PEM files: the client's certificate (its chain may follow it), its private key, and the authorities of the
// daemons' certificates. Before each new connection they are read again if they have changed; what cannot be read then, or
// does not fit together, leaves the last good ones in force.
func Files(certificate, key, authorities string) TLS {
	return TLS{files: &files{paths: [3]string{certificate, key, authorities}}}
}

// FromConfig takes a configuration as it is, for keys that are on no file. Its lowest version becomes TLS 1.3, which is the
// only one that the service speaks.
func FromConfig(c *tls.Config) TLS {
	if c == nil {
		return TLS{}
	}
	c = c.Clone()
	c.MinVersion = tls.VersionTLS13
	return TLS{config: c}
}

// WithServerName says which name the daemons' certificates must bear, instead of the host of each address.
func (t TLS) WithServerName(name string) TLS {
	switch {
	case t.config != nil:
		t.config = t.config.Clone()
		t.config.ServerName = name
	case t.files != nil:
		t.files = &files{paths: t.files.paths, serverName: name}
	}
	return t
}

// serverName is the name of WithServerName, or of the configuration.
func (t TLS) serverName() string {
	switch {
	case t.config != nil:
		return t.config.ServerName
	case t.files != nil:
		return t.files.serverName
	}
	return ""
}

func (t TLS) credentials() (credentials.TransportCredentials, error) {
	switch {
	case t.config != nil:
		return credentials.NewTLS(t.config), nil
	case t.files != nil:
		if _, err := t.files.read(); err != nil {
			return nil, err
		}
		return &reloading{
			TransportCredentials: credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, ServerName: t.files.serverName}),
			files:                t.files,
		}, nil
	}
	return nil, errors.New("client: TLS is missing")
}

// files are a client's certificate, its key and the authorities, as last read.
type files struct {
	paths      [3]string
	serverName string

	mutex  sync.Mutex
	seen   [3]stamp
	config *tls.Config
}

type stamp struct {
	modified time.Time
	size     int64
}

// read gives the configuration that the files make now, or the last good one; an error only when there never was one.
func (f *files) read() (*tls.Config, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	seen, err := f.stamps()
	if err != nil || f.config != nil && seen == f.seen {
		return f.config, f.bearable(err)
	}
	config, err := f.load()
	if err != nil {
		return f.config, f.bearable(err)
	}
	f.config, f.seen = config, seen
	return config, nil
}

func (f *files) bearable(err error) error {
	if f.config != nil {
		return nil
	}
	return err
}

func (f *files) stamps() (out [3]stamp, err error) {
	for i, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			return out, fmt.Errorf("client: %w", err)
		}
		out[i] = stamp{info.ModTime(), info.Size()}
	}
	return out, nil
}

func (f *files) load() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(f.paths[0], f.paths[1])
	if err != nil {
		return nil, fmt.Errorf("client: the certificate %s and its key: %w", f.paths[0], err)
	}
	authorities, err := os.ReadFile(f.paths[2])
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("client: %s holds no PEM certificate", f.paths[2])
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, RootCAs: roots, ServerName: f.serverName,
	}, nil
}

// reloading reads the files anew for each handshake.
type reloading struct {
	credentials.TransportCredentials
	files *files
}

func (r *reloading) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	config, err := r.files.read()
	if err != nil {
		return nil, nil, err
	}
	return credentials.NewTLS(config).ClientHandshake(ctx, authority, conn)
}

func (r *reloading) Clone() credentials.TransportCredentials {
	return &reloading{TransportCredentials: r.TransportCredentials.Clone(), files: r.files}
}
