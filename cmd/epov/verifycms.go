package main

import (
	"encoding/base64"
	"time"

	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/tsp"
)

// verifyAttachmentCmd verifies the two fields of a RefAttachmentHeader.
type verifyAttachmentCmd struct {
	here
	Hash          string    `required:"" placeholder:"BASE64" help:"Hash of the header."`
	Signature     string    `required:"" placeholder:"FILE" help:"SignaturePKCS7 of the header: base64, PEM or DER."`
	Time          time.Time `placeholder:"RFC3339" help:"When to judge certificates; default: now."`
	IntegrityOnly bool      `help:"Succeed if the signature is whole, whoever made it: trust does not count."`
	rendering
	File string `arg:"" optional:"" help:"The attachment; without it, its Hash stands for it."`
}

func (c *verifyAttachmentCmd) Run(con *console) error {
	hash, err := base64.StdEncoding.DecodeString(c.Hash)
	if err != nil {
		return usagef("--hash is not base64")
	}
	data, err := con.read(c.Signature)
	if err != nil {
		return err
	}
	message, err := cms.Decode(data)
	if err != nil {
		return err
	}
	policy, err := c.cmsPolicy("", c.Time)
	if err != nil {
		return err
	}
	if c.File != "" {
		f, err := con.open(c.File)
		if err != nil {
			return err
		}
		defer f.Close()
		policy.Reader = f
	}
	r, err := cms.VerifyAttachment(hash, message, policy)
	if err != nil {
		return err
	}
	v := verifying{rendering: c.rendering, IntegrityOnly: c.IntegrityOnly, File: c.Signature}
	return v.answer(con, r)
}

// verifyTimestampCmd verifies a token of its own; those in signatures are verified with them.
type verifyTimestampCmd struct {
	here
	Content       string    `required:"" placeholder:"FILE" help:"What the time-stamp is about."`
	Time          time.Time `placeholder:"RFC3339" help:"When to judge the authority's certificate; default: now."`
	IntegrityOnly bool      `help:"Succeed if the token is whole, whoever made it: trust does not count."`
	rendering
	File string `arg:"" help:"The token, or an authority's whole answer; - is standard input."`
}

func (c *verifyTimestampCmd) Run(con *console) error {
	token, err := con.read(c.File)
	if err != nil {
		return err
	}
	if response, err := tsp.ParseResponse(token); err == nil && response.Token != nil {
		token = response.Token
	}
	content, err := con.read(c.Content)
	if err != nil {
		return err
	}
	policy, err := c.cmsPolicy("", c.Time)
	if err != nil {
		return err
	}
	ts, checks := cms.VerifyTimeStamp(token, content, policy)
	r := &report.Report{Format: "cms", Signatures: []report.Signature{{
		Name: "time-stamp", Algorithm: ts.Algorithm, Signer: ts.Signer, ClaimedTime: ts.Time, Evidence: ts.Evidence, Checks: checks,
		TimeStamps: []report.TimeStamp{ts},
	}}}
	v := verifying{rendering: c.rendering, IntegrityOnly: c.IntegrityOnly, File: c.File}
	return v.answer(con, r)
}
