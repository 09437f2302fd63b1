package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/epov-signer/epov/hsm"
)

type tlsCmd struct {
	Generate tlsGenerateCmd `cmd:"" help:"Generate an ECDSA or RSA key that cannot leave the token."`
	CSR      tlsCSRCmd      `cmd:"" name:"csr" help:"Ask for a certificate of such a key: a PKCS#10 request, signed on the token."`
}

type tlsGenerateCmd struct {
	tokenFlags
	ID   string `name:"id" default:"tls" help:"CKA_ID and CKA_LABEL; tls.key_token.id of the daemon's configuration."`
	Kind string `default:"ecdsa-p256" help:"ecdsa-p256, ecdsa-p384, rsa-3072 or rsa-4096."`
	Out  string `short:"o" placeholder:"FILE" help:"Where to write the public key, PEM; default: standard output."`
}

func (c *tlsGenerateCmd) Run(ctx context.Context, con *console) error {
	if !slices.Contains(hsm.TLSKeyKinds, c.Kind) {
		return usagef("--kind %s: the kinds are %s", printable(c.Kind), strings.Join(hsm.TLSKeyKinds, ", "))
	}
	var public crypto.PublicKey
	err := c.with(ctx, con, func(cfg hsm.TokenConfig, log *slog.Logger) (err error) {
		public, err = hsm.GenerateTLSKey(ctx, cfg, c.ID, c.Kind, log)
		return err
	})
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return con.write(c.Out, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), false)
}

type tlsCSRCmd struct {
	tokenFlags
	ID      string   `name:"id" default:"tls" help:"CKA_ID of the key."`
	DNS     []string `name:"dns" placeholder:"NAME" help:"DNS names of the daemon; several by commas."`
	IP      []net.IP `name:"ip" placeholder:"ADDRESS" help:"IP addresses of the daemon."`
	URI     []string `name:"uri" placeholder:"URI" help:"URIs, such as a SPIFFE ID."`
	Subject string   `placeholder:"NAME" help:"Common name; default: the first DNS name."`
	Out     string   `short:"o" placeholder:"FILE" help:"Where to write the PEM; default: standard output."`
}

func (c *tlsCSRCmd) Run(ctx context.Context, con *console) error {
	request := x509.CertificateRequest{DNSNames: c.DNS, IPAddresses: c.IP}
	for _, text := range c.URI {
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" {
			return usagef("--uri %s is no URI", printable(text))
		}
		request.URIs = append(request.URIs, u)
	}
	if len(c.DNS)+len(c.IP)+len(c.URI) == 0 {
		return usagef("--dns, --ip or --uri says by which name clients know the daemon; the subject is not looked at")
	}
	for _, name := range c.DNS {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7F }) {
			return usagef("--dns %s is no DNS name; write others than ASCII in punycode", printable(name))
		}
	}
	request.Subject = pkix.Name{CommonName: c.Subject}
	if c.Subject == "" && len(c.DNS) > 0 {
		request.Subject.CommonName = c.DNS[0]
	}
	return c.with(ctx, con, func(cfg hsm.TokenConfig, log *slog.Logger) error {
		key, closer, err := hsm.OpenTLSKey(ctx, cfg, c.ID, log)
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, &request, key)
		if err = errors.Join(err, closer.Close()); err != nil {
			return fmt.Errorf("request for the key %q: %w", c.ID, err)
		}
		return con.write(c.Out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), false)
	})
}

// with has f open the token by itself: TLS keys do not go through the module's process.
func (t *tokenFlags) with(ctx context.Context, con *console, f func(hsm.TokenConfig, *slog.Logger) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	cfg, _, done, err := t.config("user PIN")
	if err != nil {
		return err
	}
	defer done()
	return f(cfg, slog.New(slog.NewTextHandler(con.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
}
