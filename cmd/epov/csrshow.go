package main

import (
	"encoding/asn1"
	"fmt"

	"github.com/epov-signer/epov/gost"
)

type csrShowCmd struct {
	For  string `enum:"organisation,official" default:"organisation" help:"What the subject is checked against: organisation (EP-OV) or official (EP-SP)."`
	JSON bool   `name:"json" help:"Write JSON."`
	File string `arg:"" help:"The request, PEM or DER; - is standard input."`
}

// requestView is a request for people and for scripts.
type requestView struct {
	Subject    []attributeView `json:"subject"`
	Key        string          `json:"key"`
	Parameters string          `json:"parameters"`
	SignedWith string          `json:"signed_with"`
	Verifies   bool            `json:"verifies"`
	Fault      string          `json:"fault,omitempty"`
	KeyUsage   string          `json:"key_usage,omitempty"`
	Purposes   []string        `json:"purposes,omitempty"`
	Policies   []string        `json:"policies,omitempty"`
	SignTool   string          `json:"subject_sign_tool,omitempty"`
	Identified string          `json:"identification_kind,omitempty"`
	Extensions []extensionView `json:"extensions,omitempty"`
	Findings   []string        `json:"findings,omitempty"` // about the subject, by order 795
}

func (c *csrShowCmd) Run(con *console) error {
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	der, err := unarmour(c.File, data, "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
	if err != nil {
		return err
	}
	request, err := gost.ParseRequest(der, gost.AllowTestParams()) // looking at one says nothing of its worth
	if err != nil {
		return usagef("%s: %w", c.File, err)
	}
	kind := gost.OfOrganisation
	if c.For == "official" {
		kind = gost.OfOfficial
	}
	v := requestView{
		Subject: attributes(request.Subject), Key: request.PublicKey.Algorithm.Name, Parameters: request.PublicKey.Params.Name,
		SignedWith: named(request.SignatureOID), Findings: request.Subject.CheckSubject(kind),
	}
	fault := request.CheckSignature()
	if v.Verifies = fault == nil; fault != nil {
		v.Fault = fault.Error()
	}
	wanted, err := request.Certificate()
	if err != nil {
		return usagef("%s: %w", c.File, err)
	}
	if wanted.HasKeyUsage {
		v.KeyUsage = wanted.KeyUsage.String()
	}
	v.Purposes, v.Policies = namedAll(wanted.ExtKeyUsage), namedAll(wanted.Policies)
	v.SignTool, _ = wanted.SubjectSignTool() // an odd one is among the extensions all the same
	v.Identified, _ = wanted.IdentificationKind()
	for _, e := range request.Extensions {
		oid := asn1.ObjectIdentifier(e.OID)
		v.Extensions = append(v.Extensions, extensionView{oid.String(), gost.OIDName(oid), e.Critical})
	}
	if c.JSON {
		err = writeJSON(con, &v)
	} else {
		err = v.write(con)
	}
	if err == nil && fault != nil {
		err = errVerdict
	}
	return err
}

// write prints the view, what is absent left out.
func (v *requestView) write(con *console) error {
	w := labelled{to: con.out}
	w.name("subject", v.Subject)
	w.line("key", v.Key+", "+v.Parameters)
	w.line("signed with", v.SignedWith)
	if v.Verifies {
		w.line("signature", "verifies with this key")
	} else {
		w.line("signature", "DOES NOT VERIFY: "+v.Fault)
	}
	w.line("key usage", v.KeyUsage)
	w.lines("purposes", v.Purposes)
	w.lines("policies", v.Policies)
	w.line("signs with", v.SignTool)
	w.line("identified", v.Identified)
	w.extensions(v.Extensions)
	for _, f := range v.Findings {
		w.line("warning", fmt.Sprintf("subject: %s (order 795)", f))
	}
	return w.err
}
