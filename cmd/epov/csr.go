package main

import (
	"context"
	"encoding/pem"
	"fmt"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
)

type csrCmd struct {
	Make csrMakeCmd `cmd:"" default:"withargs" help:"Make a request, signed on the token. The default."`
	Show csrShowCmd `cmd:"" help:"Show what a request asks for, and check its signature: 1 when it does not verify."`
}

type csrMakeCmd struct {
	tokenFlags
	Name           string   `required:"" placeholder:"NAME" help:"Key version, such as keys/EXMP01/ov/versions/1."`
	Subject        string   `required:"" placeholder:"DN" help:"Distinguished name (RFC 4514), such as \"OGRN=1234567890123,INNLE=1234567890,CN=EXMP01,O=...,C=RU\"; the last part comes first in the encoding."`
	For            string   `enum:"organisation,official" default:"organisation" help:"What the subject is checked against: organisation (EP-OV) or official (EP-SP)."`
	Usage          string   `default:"digitalSignature,nonRepudiation" placeholder:"LIST" help:"Key usage to ask for, by the names of RFC 5280."`
	Purpose        []string `placeholder:"OID" help:"Extended key usage to ask for: an OID, clientAuth, emailProtection; several by commas."`
	SignTool       string   `placeholder:"TEXT" help:"subjectSignTool: name of the signing tool that holds the key."`
	Class          string   `placeholder:"KC2" help:"Class of the signing tool, KC1 to KA1; lower ones are included."`
	Identification string   `placeholder:"KIND" help:"identificationKind: how the CA identified the applicant: personal, certificate, passport or system."`
	Out            string   `short:"o" placeholder:"FILE" help:"Where to write the PEM; default: standard output."`
}

var identificationKinds = map[string]gost.IdentificationKind{
	"personal": gost.IdentifiedInPerson, "certificate": gost.IdentifiedByCertificate, "passport": gost.IdentifiedByPassport,
	"system": gost.IdentifiedBySystem,
}

func (c *csrMakeCmd) Run(ctx context.Context, con *console) error {
	name, err := parseKeyName(c.Name)
	if err != nil {
		return err
	}
	template, err := c.template()
	if err != nil {
		return err
	}
	kind := gost.OfOrganisation
	if c.For == "official" {
		kind = gost.OfOfficial
	}
	for _, finding := range template.Subject.CheckSubject(kind) {
		fmt.Fprintf(con.err, "warning: subject: %s (order 795); a CA may refuse the request\n", printable(finding))
	}
	return c.use(ctx, con, func(token *hsm.Token) error {
		key, err := token.Key(ctx, name.id())
		if err != nil {
			return err
		}
		prepared, err := gost.PrepareRequest(template, key.Public())
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

// template is what the flags ask for, in the order in which certificates have it.
func (c *csrMakeCmd) template() (t gost.RequestTemplate, err error) {
	if t.Subject, err = gost.ParseName(c.Subject); err != nil {
		return t, usagef("--subject: %w", err)
	}
	if t.KeyUsage, err = gost.ParseKeyUsage(c.Usage); err != nil {
		return t, usagef("--usage: %w", err)
	}
	add := func(flag string, given bool, make func() (gost.Extension, error)) {
		if !given || err != nil {
			return
		}
		var e gost.Extension
		if e, err = make(); err != nil {
			err = usagef("--%s: %w", flag, err)
			return
		}
		t.Extensions = append(t.Extensions, e)
	}
	add("purpose", len(c.Purpose) > 0, func() (gost.Extension, error) { return gost.ExtKeyUsageExtension(c.Purpose...) })
	add("class", c.Class != "", func() (gost.Extension, error) { return gost.SigningToolClassExtension(c.Class) })
	add("sign-tool", c.SignTool != "", func() (gost.Extension, error) { return gost.SubjectSignToolExtension(c.SignTool) })
	add("identification", c.Identification != "", func() (gost.Extension, error) {
		kind, known := identificationKinds[c.Identification]
		if !known {
			return gost.Extension{}, fmt.Errorf("%q is none of personal, certificate, passport, system", c.Identification)
		}
		return gost.IdentificationKindExtension(kind)
	})
	return t, err
}
