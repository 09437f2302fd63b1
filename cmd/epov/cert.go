package main

import (
	"context"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

type csrCmd struct {
	tokenFlags
	Name    string `required:"" placeholder:"NAME" help:"Key version, such as keys/EXMP01/ov/versions/1."`
	Subject string `required:"" placeholder:"DN" help:"Distinguished name (RFC 4514), such as \"1.2.643.100.1=1234567890123,CN=EXMP01,O=...,C=RU\"; the last part comes first in the encoding."`
	Out     string `short:"o" placeholder:"FILE" help:"Where to write the PEM; default: standard output."`
}

func (c *csrCmd) Run(ctx context.Context, con *console) error {
	name, err := parseKeyName(c.Name)
	if err != nil {
		return err
	}
	subject, err := gost.ParseName(c.Subject)
	if err != nil {
		return usagef("--subject: %w", err)
	}
	return c.use(ctx, con, func(token *hsm.Token) error {
		key, err := token.Key(ctx, name.id())
		if err != nil {
			return err
		}
		prepared, err := gost.PrepareRequest(gost.RequestTemplate{
			Subject: subject, KeyUsage: gost.UsageDigitalSignature | gost.UsageContentCommitment,
		}, key.Public())
		if err != nil {
			return err
		}
		signature, err := key.SignDigest(ctx, prepared.Digest())
		if err != nil {
			return err
		}
		der, err := prepared.Complete(signature)
		if err != nil {
			return err
		}
		return con.write(c.Out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), false)
	})
}

type certCmd struct {
	Import certImportCmd `cmd:"" help:"Store a certificate beside its key; its public key must be the key's."`
}

type certImportCmd struct {
	tokenFlags
	Name    string `required:"" placeholder:"NAME" help:"Key version, such as keys/EXMP01/ov/versions/1."`
	Replace bool   `help:"Replace the certificate that is there."`
	File    string `arg:"" help:"The certificate, PEM or DER; - is standard input."`
}

func (c *certImportCmd) Run(ctx context.Context, con *console) error {
	name, err := parseKeyName(c.Name)
	if err != nil {
		return err
	}
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	certs, err := gost.ParseCertificates(data)
	if err != nil {
		return usagef("%s: %w", c.File, err)
	}
	if len(certs) != 1 {
		return usagef("%s holds %s; give the signer's alone", c.File, plural(len(certs), "certificate"))
	}
	cert := certs[0]
	return c.use(ctx, con, func(token *hsm.Token) error {
		if err := token.ImportCertificate(ctx, name.id(), cert.Raw, c.Replace); err != nil {
			return err
		}
		_, err := fmt.Fprintf(con.out, "stored the certificate of %s\n  subject  %s\n  issuer   %s\n  valid    %s to %s\n", name,
			printable(cert.Subject.String()), printable(cert.Issuer.String()),
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339))
		if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			fmt.Fprintln(con.err, "warning: the certificate is not valid now; the daemon does not sign with it")
		}
		return err
	})
}
