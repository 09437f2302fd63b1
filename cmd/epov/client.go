package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/epov-signer/epov/api/client"
)

// connection says how to reach a daemon. Flags win over the client configuration file.
type connection struct {
	ClientConfig string        `placeholder:"FILE" env:"EPOV_CLIENT_CONFIG" help:"YAML file with address, tls (certificate, key, ca, server_name), key, timeout."`
	Address      string        `placeholder:"HOST:PORT" help:"Where the daemon listens."`
	TLSCert      string        `name:"tls-cert" placeholder:"FILE" help:"This client's certificate, PEM."`
	TLSKey       string        `name:"tls-key" placeholder:"FILE" help:"Its private key, PEM."`
	TLSCA        string        `name:"tls-ca" placeholder:"FILE" help:"Certificates of the authority that issued the daemon's, PEM."`
	ServerName   string        `placeholder:"NAME" help:"Name the daemon's certificate must bear; default: the host of the address."`
	Timeout      time.Duration `placeholder:"DURATION" help:"How long to wait for an answer; default 30s."`
}

// clientConfig is the file; paths in it are relative to its folder.
type clientConfig struct {
	Address string `yaml:"address"`
	TLS     struct {
		Cert       string `yaml:"certificate"`
		Key        string `yaml:"key"`
		CA         string `yaml:"ca"`
		ServerName string `yaml:"server_name"`
	} `yaml:"tls"`
	Key     string        `yaml:"key"` // signing key to use where --key is not given
	Timeout time.Duration `yaml:"timeout"`
}

// settle joins the flags with the file into a complete configuration.
func (c *connection) settle() (*clientConfig, error) {
	var cfg clientConfig
	if c.ClientConfig != "" {
		data, err := os.ReadFile(c.ClientConfig)
		if err != nil {
			return nil, err
		}
		dec := yaml.NewDecoder(bytes.NewReader(data))
		dec.KnownFields(true)
		if err := dec.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
			return nil, usagef("%s: %w", c.ClientConfig, err)
		}
		for _, path := range []*string{&cfg.TLS.Cert, &cfg.TLS.Key, &cfg.TLS.CA} {
			if *path != "" && !filepath.IsAbs(*path) {
				*path = filepath.Join(filepath.Dir(c.ClientConfig), *path)
			}
		}
	}
	override(&cfg.Address, c.Address)
	override(&cfg.TLS.Cert, c.TLSCert)
	override(&cfg.TLS.Key, c.TLSKey)
	override(&cfg.TLS.CA, c.TLSCA)
	override(&cfg.TLS.ServerName, c.ServerName)
	if c.Timeout != 0 {
		cfg.Timeout = c.Timeout
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Timeout < 0 {
		return nil, usagef("--timeout must be positive")
	}
	for _, need := range []struct{ value, flag string }{
		{cfg.Address, "--address"}, {cfg.TLS.Cert, "--tls-cert"}, {cfg.TLS.Key, "--tls-key"}, {cfg.TLS.CA, "--tls-ca"},
	} {
		if need.value == "" {
			return nil, usagef("%s is missing; give it, or a --client-config", need.flag)
		}
	}
	switch a := cfg.Address; {
	case strings.HasPrefix(a, "/"), strings.HasPrefix(a, "unix:"):
		return nil, usagef("%s is a socket, and host:port is needed; `epov admin` takes its socket by --socket", printable(a))
	case !strings.Contains(a, ":"):
		return nil, usagef("%s has no port: host:port is needed", printable(a))
	}
	return &cfg, nil
}

func override(target *string, value string) {
	if value != "" {
		*target = value
	}
}

// dial prepares a connection with mutual TLS; the first call makes it. Nothing is tried twice: the exit code says when trying
// again may help.
func (cfg *clientConfig) dial() (*client.Client, error) {
	service, err := client.Dial(client.Config{
		Addresses: []string{cfg.Address}, TLS: client.Files(cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.CA).WithServerName(cfg.TLS.ServerName),
		Health: client.NoHealth, Attempts: 1, MessageBytes: maxInput,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return service, nil
}

// connect lets f make its calls, and disconnects.
func (c *connection) connect(f func(*client.Client, *clientConfig) error) error {
	cfg, err := c.settle()
	if err != nil {
		return err
	}
	service, err := cfg.dial()
	if err != nil {
		return err
	}
	defer service.Close()
	return f(service, cfg)
}

// call is connect for calls that end within the timeout.
func (c *connection) call(ctx context.Context, f func(context.Context, *client.Client, *clientConfig) error) error {
	return c.connect(func(service *client.Client, cfg *clientConfig) error {
		ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
		defer cancel()
		return f(ctx, service, cfg)
	})
}

// signingKey picks the key to sign with.
func (cfg *clientConfig) signingKey(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if cfg.Key == "" {
		return "", usagef("--key is missing; `epov keys` lists the keys this client may use")
	}
	return cfg.Key, nil
}

// signed says on standard error who signed, so that standard output stays the document's.
func (con *console) signed(key, fingerprint string) {
	fmt.Fprintf(con.err, "signed by %s, certificate %s\n", printable(key), printable(fingerprint))
}
