package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

type checkCmd struct {
	connection
	Profile string    `required:"" placeholder:"NAME" help:"The profile that it is to be signed with."`
	Key     string    `placeholder:"KEY" help:"Ask the daemon whether this key would sign; without it the message alone is looked at, here."`
	Target  string    `placeholder:"ID" help:"XML: Id of the element to sign; for detached: the URI of the content."`
	Time    time.Time `placeholder:"RFC3339" help:"Signing time to claim; default: now."`
	rendering
	File string `arg:"" help:"What is to be signed; - is standard input."`
}

func (c *checkCmd) Run(ctx context.Context, con *console) error {
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	p := xmldsig.ProfileByName(c.Profile)
	if p == nil && cms.ProfileByName(c.Profile) == nil && c.Key == "" {
		return usagef("there is no profile %q", c.Profile)
	}
	r := &readiness{File: c.File, Profile: c.Profile}
	if c.Key != "" {
		err = c.ask(ctx, data, r)
	} else {
		c.here(p, data, r)
	}
	if err != nil {
		return err
	}
	r.Ready = len(failures(r.checks)) == 0
	if c.JSON {
		err = r.json(con.out)
	} else {
		err = r.text(con.out, c.language())
	}
	if err == nil && !r.Ready {
		err = errVerdict
	}
	return err
}

// here looks at the message; CMS takes any content.
func (c *checkCmd) here(p *xmldsig.Profile, data []byte, r *readiness) {
	if p == nil {
		return
	}
	in := xmldsig.Input{Document: data, Target: c.Target, Time: c.Time}
	if err := p.Check(in); err != nil {
		r.checks = append(r.checks, failedCheck(err))
	}
	r.warnings = p.Lint(in)
}

// ask has the daemon look at the message and the key.
func (c *checkCmd) ask(ctx context.Context, data []byte, r *readiness) error {
	req := &pb.CheckSignRequest{Key: c.Key, Profile: c.Profile, Target: c.Target}
	if req.Source = (&pb.CheckSignRequest_Document{Document: data}); cms.ProfileByName(c.Profile) != nil {
		req.Source = &pb.CheckSignRequest_Content{Content: data}
	}
	if !c.Time.IsZero() {
		req.SigningTime = timestamppb.New(c.Time)
	}
	return c.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
		answer, err := service.Sign.CheckSign(ctx, req)
		if err != nil {
			return err
		}
		r.Key, r.Fingerprint = answer.GetKey(), answer.GetCertificateFingerprint()
		if r.checks, err = checksOf(answer.GetChecks()); err == nil {
			r.warnings, err = checksOf(answer.GetWarnings())
		}
		return err
	})
}

// readiness is the answer, as text or as JSON.
type readiness struct {
	File        string          `json:"file"`
	Ready       bool            `json:"ready"`
	Profile     string          `json:"profile"`
	Key         string          `json:"key,omitempty"`
	Fingerprint string          `json:"certificate_fingerprint,omitempty"`
	Checks      json.RawMessage `json:"checks"`
	Warnings    json.RawMessage `json:"warnings"`

	checks, warnings []report.Check
}

func failures(checks []report.Check) (out []report.Check) {
	for _, c := range checks {
		if c.Status == report.Failed {
			out = append(out, c)
		}
	}
	return out
}

func failedCheck(err error) report.Check {
	check := report.Check{Code: report.Internal, Status: report.Failed, Message: err.Error()}
	if e := asCoded(err); e != nil {
		check.Code, check.Message, check.Place = e.Code, e.Message, e.Place
	}
	return check
}

func (r *readiness) json(w io.Writer) (err error) {
	if r.Checks, err = report.ChecksJSON(r.checks); err != nil {
		return err
	}
	if r.Warnings, err = report.ChecksJSON(r.warnings); err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}

func (r *readiness) text(w io.Writer, l report.Language) error {
	say := struct{ ready, refused, with, warnings string }{
		"READY", "NOT READY", "would be signed by ", "Signing would go through; recipients may not agree:"}
	if l == report.Russian {
		say = struct{ ready, refused, with, warnings string }{
			"МОЖНО ПОДПИСАТЬ", "ПОДПИСАТЬ НЕЛЬЗЯ", "будет подписано ключом ", "Подписать можно, но получатель может отклонить сообщение:"}
	}
	var b bytes.Buffer
	head := say.ready
	if !r.Ready {
		head = say.refused
	}
	b.WriteString(head + "  " + strings.Join([]string{printable(r.File), r.Profile}, ", ") + "\n")
	if r.Key != "" && r.Ready {
		b.WriteString("  " + say.with + printable(r.Key) + "\n")
	}
	if err := report.WriteChecks(&b, r.checks, l); err != nil {
		return err
	}
	if len(r.warnings) > 0 {
		b.WriteString(say.warnings + "\n")
		if err := report.WriteChecks(&b, r.warnings, l); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}
