package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/epov-signer/epov/api/client"
	pb "github.com/epov-signer/epov/api/epovpb"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/explain"
	"github.com/epov-signer/epov/signer/report"
	"github.com/epov-signer/epov/signer/xmldsig"
)

type explainCmd struct {
	Pristine      string    `placeholder:"FILE" help:"A copy from before the signature was broken, of the message or, for CMS, of its content."`
	Content       string    `placeholder:"FILE" help:"The content of a detached signature."`
	Certificate   []string  `placeholder:"FILE" help:"Certificates among which that of the key that signed may be, PEM or DER."`
	Dump          string    `placeholder:"DIR" help:"Write the octets of every step into this folder, for comparison with the other side's, and index.tsv about them."`
	Thorough      bool      `help:"Search to the end, however long it takes."`
	Profile       string    `placeholder:"NAME" help:"XML: the profile the signature must follow; default: as recognised."`
	Target        string    `placeholder:"ID" help:"XML: the Id of the element that the profile must cover."`
	Time          time.Time `placeholder:"RFC3339" help:"When to judge certificates; default: now."`
	Anchors       []string  `placeholder:"FILE" help:"Certificates to trust, PEM or DER; without any, trust is not checked."`
	Intermediates []string  `placeholder:"FILE" help:"Certificates to build paths with."`
	SMEV          []string  `name:"smev" placeholder:"FILE" help:"Certificates that may sign as SMEV itself, or their issuers'."`
	Directory     string    `name:"trust-directory" placeholder:"DIR" help:"Trust what epov trust import has put there."`
	Daemon        bool      `help:"Ask a daemon, which has its own trust, instead of searching here."`
	connection
	rendering
	File string `arg:"" help:"What does not verify, XML or CMS as it looks; - is standard input."`
}

func (c *explainCmd) Run(ctx context.Context, con *console) error {
	return about(c.File, c.run(ctx, con))
}

func (c *explainCmd) run(ctx context.Context, con *console) error {
	data, err := con.read(c.File)
	if err != nil {
		return err
	}
	isXML, err := holdsXML(c.File, data)
	if err != nil {
		return err
	}
	if !isXML {
		if c.Profile != "" || c.Target != "" {
			return usagef("--profile and --target are for XML signatures")
		}
		if data, err = cms.Decode(data); err != nil {
			return err
		}
	}
	files := verifying{File: c.File, Content: c.Content, Time: c.Time}
	content, err := files.content(con)
	if err != nil {
		return err
	}
	var pristine []byte
	if c.Pristine != "" {
		if pristine, err = os.ReadFile(c.Pristine); err != nil {
			return err
		}
	}
	certificates, err := readCertificates(c.Certificate)
	if err != nil {
		return err
	}
	var e *explain.Explanation
	if c.Daemon {
		if c.Dump != "" || c.Thorough || c.Directory != "" || len(c.Anchors)+len(c.Intermediates)+len(c.SMEV) > 0 {
			return usagef("--dump, --thorough, --anchors, --intermediates, --smev and --trust-directory do not go with --daemon")
		}
		e, err = c.ask(ctx, isXML, data, content, pristine, certificates, &files)
	} else {
		e, err = c.here(ctx, isXML, data, content, pristine, certificates)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = e.WriteJSON(con.out, c.File)
	} else {
		err = e.WriteText(con.out, c.File, c.language())
	}
	if err == nil && e.Report.Integrity() != report.Valid {
		err = errVerdict
	}
	return err
}

// here searches in this process.
func (c *explainCmd) here(ctx context.Context, isXML bool, data, content, pristine []byte, certificates []*gost.Certificate,
) (*explain.Explanation, error) {
	l := here{Anchors: c.Anchors, Intermediates: c.Intermediates, SMEV: c.SMEV, Directory: c.Directory, Dump: c.Dump}
	d := &indexedDump{dumper: l.dump()}
	o := explain.Options{Pristine: pristine, Certificates: certificates, Thorough: c.Thorough}
	if c.Dump != "" {
		o.Dump = d.save
	}
	store, err := l.store()
	if err != nil {
		return nil, err
	}
	var e *explain.Explanation
	if isXML {
		policy := xmldsig.Policy{Target: c.Target, Trust: store, Time: c.Time, Content: content}
		if policy.Node, err = l.node(); err != nil {
			return nil, err
		}
		if c.Profile != "" {
			if policy.Profile = xmldsig.ProfileByName(c.Profile); policy.Profile == nil {
				return nil, usagef("there is no profile %q", c.Profile)
			}
		}
		e, err = explain.XML(ctx, data, policy, o)
	} else {
		e, err = explain.CMS(ctx, data, cms.Policy{Trust: store, Time: c.Time, Detached: content != nil, Content: content}, o)
	}
	return e, errors.Join(err, d.finish())
}

// ask has a daemon search.
func (c *explainCmd) ask(ctx context.Context, isXML bool, data, content, pristine []byte, certificates []*gost.Certificate,
	v *verifying) (e *explain.Explanation, err error) {
	req := &pb.ExplainRequest{Content: content, Pristine: pristine, Profile: c.Profile, Target: c.Target, ValidationTime: v.time()}
	if req.Subject = (&pb.ExplainRequest_Message{Message: data}); isXML {
		req.Subject = &pb.ExplainRequest_Document{Document: data}
	}
	for _, cert := range certificates {
		req.Certificates = append(req.Certificates, cert.Raw)
	}
	err = c.call(ctx, func(ctx context.Context, service *client.Client, _ *clientConfig) error {
		answer, err := service.Verify.Explain(ctx, req)
		if err != nil {
			return err
		}
		r, err := reportOf(answer.GetReport(), answer.GetVerdict())
		if err != nil {
			return err
		}
		e = &explain.Explanation{Report: r}
		for _, f := range answer.GetFindings() {
			finding, err := findingOf(f)
			if err != nil {
				return err
			}
			e.Findings = append(e.Findings, finding)
		}
		return nil
	})
	return e, err
}

// findingOf reads a finding of the daemon's. Mistakes that this program does not know have no sentences here.
func findingOf(f *pb.Finding) (explain.Finding, error) {
	out := explain.Finding{
		Signature: int(f.GetSignature()), Reference: -1, Subject: f.GetSubject(), Place: placeOfProto(f.GetPlace()),
		Code: report.Code(f.GetCode()), What: f.GetNotes(),
	}
	for _, m := range f.GetMistakes() {
		mistake := explain.Mistake(m.GetName())
		if mistake.Info().What.English == "" {
			return out, fmt.Errorf("the daemon names a mistake %q: are epov and epovd of one version?", m.GetName())
		}
		out.Mistakes = append(out.Mistakes, mistake)
	}
	if len(out.Mistakes) == 0 || out.Signature < 0 {
		return out, errors.New("the daemon's finding says nothing: are epov and epovd of one version?")
	}
	if f.Reference != nil {
		out.Reference = int(f.GetReference())
	}
	if f.GetOther() != nil {
		place := placeOfProto(f.GetOther())
		out.Other = &place
	}
	if d := f.GetDifference(); d != nil {
		out.Difference = &explain.Difference{Offset: int(d.GetOffset()), Stated: d.GetStated(), Matching: d.GetMatching()}
	}
	for _, e := range f.GetEdits() {
		out.Edits = append(out.Edits, explain.Edit{
			Kind: explain.EditKind(e.GetKind()), Place: placeOfProto(e.GetPlace()), Name: e.GetName(), Was: e.GetWas(), Is: e.GetIs(),
		})
	}
	return out, nil
}

// indexedDump writes octets down and tells about them in index.tsv: how many there are, and their digests as a DigestValue
// has them.
type indexedDump struct {
	*dumper
	index strings.Builder
}

func (d *indexedDump) save(name string, octets []byte) {
	if d.err != nil {
		return
	}
	d.err = d.dumper.save(name, octets)
	fmt.Fprintf(&d.index, "%s\t%d", name, len(octets))
	for _, digest := range []*gost.Digest{gost.Streebog256, gost.Streebog512, gost.GOSTR341194} {
		h := digest.New()
		h.Write(octets)
		d.index.WriteString("\t" + base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	d.index.WriteByte('\n')
}

func (d *indexedDump) finish() error {
	if d.err != nil || d.index.Len() == 0 {
		return d.err
	}
	head := "file\toctets\tstreebog256\tstreebog512\tgostr3411-94\n"
	return os.WriteFile(filepath.Join(d.dir, "index.tsv"), []byte(head+d.index.String()), 0o600)
}
