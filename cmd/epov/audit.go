package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
)

type auditCmd struct {
	Verify     auditVerifyCmd     `cmd:"" help:"Check a whole audit log against its checkpoint, and against those kept elsewhere."`
	Search     auditSearchCmd     `cmd:"" help:"Find records: by time, client, key, outcome, request, or by what was signed."`
	Receipt    auditReceiptCmd    `cmd:"" help:"Make a receipt of a record, or verify one."`
	Checkpoint auditCheckpointCmd `cmd:"" help:"Write a log's newest checkpoint, to be kept elsewhere."`
}

// logDir is the directory of a log; the daemon may be writing to it.
type logDir struct {
	Dir string `arg:"" name:"dir" help:"Directory of the log, which epovd has in audit.directory."`
}

func (d logDir) open() (*tlog.Dir, error) { return tlog.OpenDir(d.Dir) }

// logKey is the key that checks a log's checkpoints.
type logKey struct {
	Key string `placeholder:"FILE" help:"Key of the log: its verifier key, or the certificate or public key of its checkpoints."`
}

func (k logKey) read(con *console) (*audit.Key, error) {
	data, err := con.read(k.Key)
	if err != nil {
		return nil, err
	}
	key, err := audit.ParseKey(data)
	if err != nil {
		return nil, usagef("%s: %s", k.Key, plain(err))
	}
	return key, nil
}

// plain takes the package's name from an error of it: the command says what it is about.
func plain(err error) string {
	const prefix = "audit: "
	if s := err.Error(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return err.Error()
}

type auditVerifyCmd struct {
	logDir
	logKey
	Checkpoint []string `placeholder:"FILE" help:"Checkpoint or receipt of this log that was kept elsewhere; again for more of them."`
	JSON       bool     `name:"json" help:"Write JSON."`
}

func (c *auditVerifyCmd) Run(ctx context.Context, con *console) error {
	dir, err := c.open()
	if err != nil {
		return err
	}
	var key *audit.Key
	own := c.Key == ""
	if own {
		key, err = dir.Key()
	} else {
		key, err = c.read(con)
	}
	if err != nil {
		return err
	}
	var older []tlog.Older
	for _, name := range c.Checkpoint {
		kept, err := keptCheckpoint(con, name, key)
		if err != nil {
			return usagef("%s: %s", name, plain(err))
		}
		older = append(older, tlog.Older{Name: name, Checkpoint: *kept})
	}
	v, err := dir.Verify(ctx, key, older...)
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.json(con, v)
	} else {
		c.text(con.out, v, own)
	}
	if err == nil && len(v.Findings) > 0 {
		err = errVerdict
	}
	return err
}

// keptCheckpoint reads a checkpoint, or the one in a receipt; the key must have signed it.
func keptCheckpoint(con *console, name string, key *audit.Key) (*audit.Checkpoint, error) {
	data, err := con.read(name)
	if err != nil {
		return nil, err
	}
	if r, err := audit.ParseReceipt(data); err == nil {
		return r.Verify(key)
	}
	return key.Open(data)
}

func (c *auditVerifyCmd) text(w io.Writer, v *tlog.Verification, own bool) {
	verdict := "SOUND"
	if len(v.Findings) > 0 {
		verdict = "BROKEN"
	}
	fmt.Fprintf(w, "%s  %s\n", verdict, printable(v.Log))
	fmt.Fprintf(w, "records     %d, the first of %s, the last of %s\n", v.Records(), moment(v.First), moment(v.Last))
	fmt.Fprintf(w, "checkpoint  covers %d", v.Checkpoint)
	if n := v.Records() - min(v.Records(), v.Checkpoint); n > 0 {
		fmt.Fprintf(w, "; %d came after it", n)
	}
	if v.Journal > 0 {
		fmt.Fprintf(w, ", %d of them are in the journal", v.Journal)
	}
	fmt.Fprintln(w)
	if own {
		fmt.Fprintln(w, "key         the one that lies beside the log: whoever could change the log could change it too; see --key")
	}
	if len(c.Checkpoint) == 0 {
		fmt.Fprintln(w, "compared    with its own checkpoint only: what was cut off at the end together with it is not missed; see --checkpoint")
	}
	for _, f := range v.Findings {
		if f.File != "" {
			fmt.Fprintf(w, "wrong       %s: %s\n", printable(f.File), printable(f.Message))
		} else {
			fmt.Fprintf(w, "wrong       %s\n", printable(f.Message))
		}
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

type jsonLogFinding struct {
	File    string `json:"file,omitempty"`
	Message string `json:"message"`
}

func (c *auditVerifyCmd) json(con *console, v *tlog.Verification) error {
	out := struct {
		Log        string           `json:"log"`
		Sound      bool             `json:"sound"`
		Records    uint64           `json:"records"`
		Checkpoint uint64           `json:"checkpoint"`
		Journal    int              `json:"journal"`
		First      string           `json:"first,omitempty"`
		Last       string           `json:"last,omitempty"`
		Findings   []jsonLogFinding `json:"findings"`
	}{Log: v.Log, Sound: len(v.Findings) == 0, Records: v.Records(), Checkpoint: v.Checkpoint, Journal: v.Journal,
		Findings: []jsonLogFinding{}}
	if !v.First.IsZero() {
		out.First, out.Last = moment(v.First), moment(v.Last)
	}
	for _, f := range v.Findings {
		out.Findings = append(out.Findings, jsonLogFinding(f))
	}
	return writeJSON(con, out)
}

type auditCheckpointCmd struct {
	logDir
	Output string `short:"o" placeholder:"FILE" help:"Where to write it. Default: standard output."`
}

func (c *auditCheckpointCmd) Run(con *console) error {
	dir, err := c.open()
	if err != nil {
		return err
	}
	raw, _, err := dir.Checkpoint()
	if err != nil {
		return err
	}
	return con.write(c.Output, raw, false)
}

type auditReceiptCmd struct {
	Make   auditMakeCmd          `cmd:"" default:"withargs" help:"Make the receipt of a record (the default)."`
	Verify auditReceiptVerifyCmd `cmd:"" help:"Verify a receipt with the log's key and nothing else."`
}

type auditMakeCmd struct {
	logDir
	Index  string `arg:"" optional:"" help:"Number of the record."`
	File   string `placeholder:"FILE" help:"Instead of the number: a signed XML document or CMS message whose signature the record is about."`
	Output string `short:"o" placeholder:"FILE" help:"Where to write it. Default: standard output."`
}

func (c *auditMakeCmd) Run(ctx context.Context, con *console) error {
	if (c.Index == "") == (c.File == "") {
		return usagef("either the number of a record or --file is needed")
	}
	dir, err := c.open()
	if err != nil {
		return err
	}
	index, err := c.index(ctx, con, dir)
	if err != nil {
		return err
	}
	r, err := dir.Receipt(ctx, index)
	if err != nil {
		return err
	}
	return con.write(c.Output, r.Marshal(), false)
}

func (c *auditMakeCmd) index(ctx context.Context, con *console, dir *tlog.Dir) (uint64, error) {
	if c.File == "" {
		index, err := strconv.ParseUint(c.Index, 10, 63)
		if err != nil {
			return 0, usagef("%q is not the number of a record", c.Index)
		}
		return index, nil
	}
	of, err := readTraces(con, c.File)
	if err != nil {
		return 0, err
	}
	var found []uint64
	for f, err := range dir.Records(ctx) {
		if err != nil {
			return 0, err
		}
		if f.Record.Kind == audit.Signature && of.made(f.Record) {
			found = append(found, f.Index)
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("the log has no record of a signature of %s", c.File)
	case 1:
		return found[0], nil
	}
	return 0, usagef("%s has signatures of several records: %v; name one by its number", c.File, found)
}

type auditReceiptVerifyCmd struct {
	logKey
	File    string `placeholder:"FILE" help:"Signed XML document or CMS message that the receipt must be about."`
	JSON    bool   `name:"json" help:"Write JSON."`
	Receipt string `arg:"" help:"The receipt."`
}

func (c *auditReceiptVerifyCmd) Run(con *console) error {
	if c.Key == "" {
		return usagef("--key is needed: a receipt proves something only to who knows the log's key from elsewhere")
	}
	key, err := c.read(con)
	if err != nil {
		return err
	}
	data, err := con.read(c.Receipt)
	if err != nil {
		return err
	}
	r, err := audit.ParseReceipt(data)
	if err != nil {
		return usagef("%s: %s", c.Receipt, plain(err))
	}
	checkpoint, wrong := r.Verify(key)
	if wrong == nil && c.File != "" {
		of, err := readTraces(con, c.File)
		if err != nil {
			return err
		}
		if !of.made(&r.Record) {
			wrong = errors.New("the record is not about a signature of " + c.File)
		}
	}
	if c.JSON {
		out := struct {
			Valid  bool            `json:"valid"`
			Reason string          `json:"reason,omitempty"`
			Log    string          `json:"log"`
			Index  uint64          `json:"index"`
			Size   uint64          `json:"size,omitempty"`
			Record json.RawMessage `json:"record"`
		}{Valid: wrong == nil, Log: r.Log, Index: r.Index, Record: r.Record.Append(nil)}
		if wrong != nil {
			out.Reason = plain(wrong)
		} else {
			out.Size = checkpoint.Size
		}
		if err := writeJSON(con, out); err != nil {
			return err
		}
	} else if wrong != nil {
		fmt.Fprintf(con.out, "INVALID  %s\n", printable(plain(wrong)))
	} else {
		fmt.Fprintf(con.out, "VALID  record %d of %s, among the %d that its key has signed for\n", r.Index,
			printable(r.Log), checkpoint.Size)
		describeRecord(con.out, &r.Record)
	}
	if wrong != nil {
		return errVerdict
	}
	return nil
}

// describeRecord tells a record in lines.
func describeRecord(w io.Writer, r *audit.Record) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%-12s%s\n", name, printable(value))
		}
	}
	line("time", r.Time.UTC().Format("2006-01-02T15:04:05.000000Z"))
	line("kind", string(r.Kind))
	line("client", r.Caller)
	line("role", r.Role)
	line("operation", r.Operation)
	line("key", r.Key)
	line("certificate", r.Certificate)
	line("profile", r.Profile)
	for _, d := range r.Digests {
		line("digest", fmt.Sprintf("%s %s (%s)", d.Algorithm, d.Value, d.Of))
	}
	line("signature", r.Signature)
	line("request id", r.Request)
	line("token", r.Token)
	line("outcome", r.Outcome)
	line("incident", r.Incident)
	line("subject", r.Subject)
	if r.Original != nil {
		line("original", fmt.Sprintf("record %d", *r.Original))
	}
	if r.Dropped > 0 {
		line("left out", plural(int(min(r.Dropped, 1<<30)), "earlier refusal")+" of this client")
	}
	if took := slices.Max([]time.Duration{r.Queue, r.Sign, r.Verify, r.Total}); took > 0 {
		line("took", fmt.Sprintf("%v: waiting %v, token %v, verification %v", r.Total, r.Queue, r.Sign, r.Verify))
	}
}
