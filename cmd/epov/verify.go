package main

import (
	"bytes"
	"context"
	"io"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

type verifyCmd struct {
	Any verifyAnyCmd `cmd:"" name:"any" default:"withargs" help:"Verify a file, XML or CMS as it looks."`
	XML verifyXMLCmd `cmd:"" name:"xml" help:"Verify every XML signature of a document."`
	CMS verifyCMSCmd `cmd:"" name:"cms" help:"Verify every signer of a CMS (PKCS#7) message."`

	Timestamp  verifyTimestampCmd  `cmd:"" help:"Verify a time-stamp token (RFC 3161) of a file, here."`
	Attachment verifyAttachmentCmd `cmd:"" help:"Verify Hash and SignaturePKCS7 of an attachment of SMEV 3, here, with the file or without it."`
}

// verifying are the flags that all kinds share.
type verifying struct {
	connection
	local
	Profile       string            `placeholder:"NAME" help:"The profile the signature must follow; default: as recognised."`
	Target        string            `placeholder:"ID" help:"XML: the Id of the element that profiles enveloped, xades-bes and detached must cover; default: the root."`
	Content       string            `placeholder:"FILE" help:"The content of a detached signature."`
	Require       []string          `placeholder:"NAME" help:"XML: a signature that must be there, by name or profile, such as PersonalSignature."`
	Attachments   map[string]string `placeholder:"ID=FILE" help:"XML: the file of an attachment of SMEV 3, by its uuid or contentId."`
	Time          time.Time         `placeholder:"RFC3339" help:"When to judge certificates; default: now."`
	IntegrityOnly bool              `help:"Succeed if the signatures are whole, whoever made them: trust does not count."`
	rendering
	File string `arg:"" help:"What to verify; - is standard input."`
}

// rendering is how a report is printed.
type rendering struct {
	JSON bool   `name:"json" help:"Print the report as JSON."`
	Lang string `enum:"en,ru" default:"en" help:"Language of the report: en or ru."`
}

func (r *rendering) language() report.Language {
	l, _ := report.ParseLanguage(r.Lang) // the enum allows no other
	return l
}

func (r *rendering) render(w io.Writer, name string, found *report.Report) error {
	if r.JSON {
		return found.WriteJSON(w, name)
	}
	return found.WriteText(w, name, r.language())
}

type verifyAnyCmd struct{ verifying }

func (c *verifyAnyCmd) Run(ctx context.Context, con *console) error {
	if done, err := c.cmsFiles(con); done || err != nil {
		return err
	}
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	isXML, err := holdsXML(c.File, data)
	switch {
	case err != nil:
		return err
	case isXML:
		return c.xml(ctx, con, data)
	}
	return c.cms(ctx, con, data)
}

type verifyXMLCmd struct{ verifying }

func (c *verifyXMLCmd) Run(ctx context.Context, con *console) error {
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	return c.xml(ctx, con, data)
}

type verifyCMSCmd struct{ verifying }

func (c *verifyCMSCmd) Run(ctx context.Context, con *console) error {
	if done, err := c.cmsFiles(con); done || err != nil {
		return err
	}
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	return c.cms(ctx, con, data)
}

func (v *verifying) xml(ctx context.Context, con *console, doc []byte) error {
	content, err := v.content(con)
	if err != nil {
		return err
	}
	if err := v.local.check(); err != nil {
		return err
	}
	var r *report.Report
	files, err := v.files(con)
	if err != nil {
		return err
	}
	if v.Local {
		r, err = v.local.xml(doc, xmldsig.Policy{
			Target: v.Target, Time: v.Time, Content: content, Require: v.Require, Attachment: opener(files),
		}, v.Profile)
	} else {
		err = v.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
			answer, err := service.Verify.VerifyXml(ctx, &pb.VerifyXmlRequest{
				Document: doc, Profile: v.Profile, Target: v.Target, Content: content, ValidationTime: v.time(),
				Require: v.Require, Attachments: files,
			})
			if err == nil {
				r, err = reportOf(answer.GetReport(), answer.GetVerdict())
			}
			return err
		})
	}
	if err != nil {
		return about(v.File, err)
	}
	return v.answer(con, r)
}

// files reads the attachments; nil when none was named.
func (v *verifying) files(con *console) (map[string][]byte, error) {
	var files map[string][]byte
	for id, name := range v.Attachments {
		data, err := con.read(name)
		if err != nil {
			return nil, err
		}
		if files == nil {
			files = map[string][]byte{}
		}
		files[id] = data
	}
	return files, nil
}

func opener(files map[string][]byte) func(string) (io.Reader, error) {
	if files == nil {
		return nil
	}
	return func(id string) (io.Reader, error) {
		if data, ok := files[id]; ok {
			return bytes.NewReader(data), nil
		}
		return nil, nil
	}
}

func (v *verifying) cms(ctx context.Context, con *console, message []byte) error {
	if v.Target != "" || len(v.Require) > 0 || len(v.Attachments) > 0 {
		return usagef("--target, --require and --attachments are for XML signatures")
	}
	message, err := unwrapCMS(v.File, message)
	if err != nil {
		return err
	}
	content, err := v.content(con)
	if err != nil {
		return err
	}
	if err := v.local.check(); err != nil {
		return err
	}
	var r *report.Report
	if v.Local {
		r, err = v.local.cms(message, content, v.Profile, v.Time)
	} else {
		err = v.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
			answer, err := service.Verify.VerifyCms(ctx, &pb.VerifyCmsRequest{
				Message: message, Content: content, ValidationTime: v.time(), Profile: v.Profile,
			})
			if err == nil {
				r, err = reportOf(answer.GetReport(), answer.GetVerdict())
			}
			return err
		})
	}
	if err != nil {
		return about(v.File, err)
	}
	return v.answer(con, r)
}

// cmsFiles verifies here what may be too large for memory, and reports whether it did.
func (v *verifying) cmsFiles(con *console) (done bool, err error) {
	if !v.Local || v.Target != "" || len(v.Require) > 0 || len(v.Attachments) > 0 {
		return false, nil
	}
	r, ok, err := v.local.cmsFiles(v.File, v.Content, v.Profile, v.Time)
	if err != nil || !ok {
		return false, about(v.File, err)
	}
	return true, v.answer(con, r)
}

// content is nil when no file was named and not nil, though perhaps empty, when one was.
func (v *verifying) content(con *console) ([]byte, error) {
	if v.Content == "" {
		return nil, nil
	}
	if v.Content == "-" && v.File == "-" {
		return nil, usagef("standard input cannot be both the message and its content")
	}
	data, err := con.read(v.Content)
	if data == nil {
		data = []byte{}
	}
	return data, err
}

func (v *verifying) time() *timestamppb.Timestamp {
	if v.Time.IsZero() {
		return nil
	}
	return timestamppb.New(v.Time)
}

// answer prints the report and turns the verdict into success or not.
func (v *verifying) answer(con *console, r *report.Report) error {
	if err := v.render(con.out, v.File, r); err != nil {
		return err
	}
	if !v.JSON && len(r.Signatures) > 0 && r.Integrity() == report.Invalid {
		hint := "\n`epov explain` says why, and what to do.\n"
		if v.language() == report.Russian {
			hint = "\nПричину и способ исправления назовёт `epov explain`.\n"
		}
		if _, err := io.WriteString(con.out, hint); err != nil {
			return err
		}
	}
	verdict := r.Verdict()
	if v.IntegrityOnly {
		verdict = r.Integrity()
	}
	if verdict != report.Valid {
		return errVerdict
	}
	return nil
}
