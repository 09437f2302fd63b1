package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/epov-signer/epov/canon/xmltext"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
	"github.com/epov-signer/epov/signer/cms"
	"github.com/epov-signer/epov/signer/xmldsig"
)

type auditSearchCmd struct {
	logDir
	Since     string `placeholder:"TIME" help:"Not before this time: 2026-11-22, 2026-11-22T09:00:00Z, or 36h for so long ago."`
	Until     string `placeholder:"TIME" help:"Before this time."`
	Client    string `placeholder:"NAME" help:"Client that asked."`
	Key       string `placeholder:"NAME" help:"Key or key version."`
	Kind      string `enum:",signature,refusal,replay,administrative" default:"" placeholder:"KIND" help:"signature, refusal, replay or administrative."`
	Outcome   string `placeholder:"CODE" help:"done, or the code of a refusal; access for all of its family."`
	Operation string `placeholder:"NAME" help:"Operation, such as sign-xml."`
	Request   string `name:"request-id" placeholder:"ID" help:"Request id that the client gave."`
	File      string `placeholder:"FILE" help:"Signed XML document, CMS message, or the content of a signature: who had us sign this?"`
	Limit     int    `default:"100" placeholder:"N" help:"At most so many of the newest that fit, 0: all. Default: 100."`
	JSON      bool   `name:"json" help:"Write JSON, a record a line."`
}

func (c *auditSearchCmd) Run(ctx context.Context, con *console) error {
	wanted, err := c.filter(con, time.Now())
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return usagef("--limit must not be negative")
	}
	dir, err := c.open()
	if err != nil {
		return err
	}
	var found []tlog.Found
	count := 0
	for f, err := range dir.Records(ctx) {
		if err != nil {
			return err
		}
		if !wanted(f.Record) {
			continue
		}
		count++
		if found = append(found, f); c.Limit > 0 && len(found) > c.Limit {
			found = found[1:]
		}
	}
	if c.JSON {
		for _, f := range found {
			line, err := json.Marshal(struct {
				Index  uint64          `json:"index"`
				Record json.RawMessage `json:"record"`
			}{f.Index, f.Raw})
			if err != nil {
				return err
			}
			if _, err := con.out.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return c.conclude(count)
	}
	if count == 0 {
		fmt.Fprintln(con.out, "no record fits")
		return errVerdict
	}
	t := newTable(con.out, "RECORD", "TIME", "CLIENT", "OPERATION", "KEY", "PROFILE", "REQUEST ID", "OUTCOME")
	for _, f := range found {
		r := f.Record
		outcome := r.Outcome
		if r.Kind == audit.Replay && r.Original != nil {
			outcome = fmt.Sprintf("replay of %d", *r.Original)
		}
		t.row(strconv.FormatUint(f.Index, 10), moment(r.Time), r.Caller, r.Operation, r.Key, r.Profile, r.Request, outcome)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if count > len(found) {
		fmt.Fprintf(con.out, "the newest %d of %d; see --limit\n", len(found), count)
	}
	return nil
}

func (c *auditSearchCmd) conclude(count int) error {
	if count == 0 {
		return errVerdict
	}
	return nil
}

// filter makes one condition of the flags.
func (c *auditSearchCmd) filter(con *console, now time.Time) (func(*audit.Record) bool, error) {
	since, err := timeFlag("--since", c.Since, now)
	if err != nil {
		return nil, err
	}
	until, err := timeFlag("--until", c.Until, now)
	if err != nil {
		return nil, err
	}
	var of *traces
	if c.File != "" {
		if of, err = readTraces(con, c.File); err != nil {
			return nil, err
		}
	}
	is := func(want, have string) bool { return want == "" || want == have }
	return func(r *audit.Record) bool {
		return (since.IsZero() || !r.Time.Before(since)) && (until.IsZero() || r.Time.Before(until)) &&
			is(c.Client, r.Caller) && (is(c.Key, r.Key) || strings.HasPrefix(r.Key, c.Key+"/versions/")) &&
			is(c.Kind, string(r.Kind)) && (is(c.Outcome, r.Outcome) || strings.HasPrefix(r.Outcome, c.Outcome+".")) &&
			is(c.Operation, r.Operation) && is(c.Request, r.Request) && (of == nil || of.in(r))
	}, nil
}

func timeFlag(name, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, usagef("%s %q is neither a time such as 2026-11-22T09:00:00Z, in UTC unless it says otherwise, nor a time ago such as 36h",
		name, text)
}

// traces are what records say of a file, when they say something.
type traces struct {
	signed     bool            // signatures have been found in it
	signatures map[string]bool // Streebog-256 of their values, hexadecimal
	digests    map[string]bool // of the file, and of what its signatures are about
}

// in reports whether a record is about the file, or about something that a signature in it is about too.
func (t *traces) in(r *audit.Record) bool {
	return t.signatures[r.Signature] ||
		slices.ContainsFunc(r.Digests, func(d audit.Digest) bool { return t.digests[d.Value] })
}

// made reports whether a record is about a signature in the file; of a file without any, whether it is about the file.
func (t *traces) made(r *audit.Record) bool {
	if t.signed {
		return t.signatures[r.Signature]
	}
	return t.in(r)
}

func readTraces(con *console, name string) (*traces, error) {
	data, err := con.read(name)
	if err != nil {
		return nil, err
	}
	t := &traces{signatures: map[string]bool{}, digests: map[string]bool{}}
	t.content(data)
	t.signature(data) // the file may be a bare signature
	if parts, err := xmldsig.Dissect(data, xmltext.Limits{}); err == nil {
		for _, p := range parts {
			if value := plainBase64(p.Value); value != nil {
				t.signed = true
				t.signature(value)
			}
			for _, r := range p.References {
				if value := plainBase64(r.Value); value != nil {
					t.digests[hex.EncodeToString(value)] = true
				}
			}
		}
		return t, nil
	}
	if der, err := cms.Decode(bytes.Clone(data)); err == nil {
		if parts, err := cms.Dissect(der, cms.Limits{}, nil); err == nil {
			t.content(parts.Content)
			t.signers(parts.Signers)
		}
	}
	return t, nil
}

// signers takes those of a message, and those who countersigned.
func (t *traces) signers(list []cms.SignerParts) {
	for _, s := range list {
		t.signed = true
		t.signature(s.Signature)
		t.content(s.Signature) // of a countersignature
		if s.MessageDigest != nil {
			t.digests[hex.EncodeToString(s.MessageDigest)] = true
		}
		t.signers(s.Countersignatures)
	}
}

func (t *traces) signature(value []byte) { t.signatures[digestOf(gost.Streebog256, value)] = true }

func (t *traces) content(data []byte) {
	if data == nil {
		return
	}
	for _, d := range []*gost.Digest{gost.Streebog256, gost.Streebog512} {
		t.digests[digestOf(d, data)] = true
	}
}

// plainBase64 reads base64 with white space in it; nil when it is none.
func plainBase64(s string) []byte {
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil || len(data) == 0 {
		return nil
	}
	return data
}

func digestOf(d *gost.Digest, data []byte) string {
	h := d.New()
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
