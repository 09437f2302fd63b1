package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

type certCmd struct {
	Show   certShowCmd   `cmd:"" help:"Show what certificates say."`
	Lint   certLintCmd   `cmd:"" help:"Hold certificates against the form of qualified ones (order 795 of the FSB); fails when it is not met."`
	Import certImportCmd `cmd:"" help:"Store a certificate beside its key; its public key must be the key's."`
}

type certImportCmd struct {
	tokenFlags
	Name    string `required:"" placeholder:"NAME" help:"Key version, such as keys/EXMP01/ov/versions/1."`
	Replace bool   `help:"Replace the certificate that is there."`
	Chain   string `placeholder:"FILE" help:"Where to write the certificates of the CAs that came along, for the configuration's chain."`
	File    string `arg:"" help:"The certificate, PEM, DER or PKCS#7 (.p7b), alone or with those of the CAs above it; - is standard input."`
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
	certs, err := certificatesIn(c.File, data)
	if err != nil {
		return err
	}
	if certs, err = chained(certs); err != nil {
		return usagef("%s: %w", c.File, err)
	}
	cert, above := certs[0], certs[1:]
	var chain []byte
	for _, ca := range above {
		if !ca.SelfIssued() { // the other side has the root, or does not trust it
			chain = append(chain, ca.PEM()...)
		}
	}
	if c.Chain != "" && len(chain) == 0 {
		return usagef("%s holds no certificate between the signer's and the root's: there is nothing for --chain", c.File)
	}
	return c.use(ctx, con, func(token *hsm.Token) error {
		if err := token.ImportCertificate(ctx, name.id(), cert.Raw, c.Replace); err != nil {
			return err
		}
		_, err := fmt.Fprintf(con.out, "stored the certificate of %s\n  subject  %s\n  issuer   %s\n  valid    %s to %s, %s\n", name,
			printable(cert.Subject.String()), printable(cert.Issuer.String()),
			cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), daysLeft(cert))
		if now := time.Now(); now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
			fmt.Fprintln(con.err, "warning: the certificate is not valid now; the daemon does not sign with it")
		}
		if cert.HasKeyUsage && cert.KeyUsage&(gost.UsageDigitalSignature|gost.UsageContentCommitment) == 0 {
			fmt.Fprintf(con.err, "warning: the certificate is not for signing: its key usage is %s\n", cert.KeyUsage)
		}
		if err != nil || len(above) == 0 {
			return err
		}
		if c.Chain != "" {
			return con.write(c.Chain, chain, false)
		}
		advice := "; --chain FILE writes them, without the root, for the configuration"
		if len(chain) == 0 {
			advice = ""
		}
		_, err = fmt.Fprintf(con.out, "  chain    %s more, checked and not stored%s\n", plural(len(above), "certificate"), advice)
		return err
	})
}

// chained orders certificates from the signer's upwards, and checks that each was signed by the next.
func chained(certs []*gost.Certificate) ([]*gost.Certificate, error) {
	if len(certs) == 0 {
		return nil, fmt.Errorf("there is no certificate in it")
	}
	certs = slices.CompactFunc(slices.Clone(certs), func(a, b *gost.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
	var leaves []*gost.Certificate
	for _, c := range certs {
		if !slices.ContainsFunc(certs, func(o *gost.Certificate) bool { return o != c && o.Issuer.Equal(c.Subject) }) {
			leaves = append(leaves, c)
		}
	}
	if len(leaves) != 1 {
		return nil, fmt.Errorf("of its %d certificates %d could be the signer's; give the signer's, alone or with those of the CAs above it",
			len(certs), len(leaves))
	}
	ordered := leaves
	for len(ordered) < len(certs) {
		last := ordered[len(ordered)-1]
		i := slices.IndexFunc(certs, func(c *gost.Certificate) bool {
			return !slices.Contains(ordered, c) && c.Subject.Equal(last.Issuer) && last.CheckSignatureFrom(c) == nil
		})
		if i < 0 {
			return nil, fmt.Errorf("the certificate of %s was not signed with any other in it", printable(last.Subject.String()))
		}
		ordered = append(ordered, certs[i])
	}
	return ordered, nil
}

// daysLeft says how long a certificate is valid yet.
func daysLeft(c *gost.Certificate) string {
	switch days := int(time.Until(c.NotAfter) / (24 * time.Hour)); {
	case time.Now().After(c.NotAfter):
		return "over"
	case days == 0:
		return "less than a day left"
	default:
		return plural(days, "day") + " left"
	}
}
