package daemon

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer/audit"
)

// The administrative acts of the daemon itself.
const (
	actStart  = "start"  // of the service; the subject is its version
	actStop   = "stop"   // in order
	actReload = "reload" // of a part of the configuration, which is the subject
)

// recordTime is how long an act's record may take. The act has happened; the log's own state tells of a log that takes nothing.
const recordTime = 5 * time.Second

// recordAct records an administrative act, with digests of the files that it put in force.
func (d *Daemon) recordAct(ctx context.Context, act, subject, outcome string, files ...string) {
	if d.audit == nil {
		return
	}
	r := audit.Record{Time: time.Now(), Kind: audit.Administrative, Operation: act, Subject: subject, Outcome: outcome}
	for _, name := range files {
		if name == "" {
			continue
		}
		data, err := readFile(name)
		if err != nil {
			d.log.Warn("a file is recorded without its digest", "file", name, "error", err)
			continue
		}
		h := gost.Streebog256.New()
		h.Write(data)
		r.Digests = append(r.Digests, audit.Digest{
			Of: "file " + name, Algorithm: gost.Streebog256.Name, Value: hex.EncodeToString(h.Sum(nil)),
		})
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if _, err := d.audit.Record(ctx, r); err != nil {
		d.log.Error("an administrative act is not recorded", "act", act, "subject", subject, "error", err)
	}
}

// recordReload records what became of a part that was read again, unless nothing did.
func (d *Daemon) recordReload(ctx context.Context, c *Config, out Outcome) {
	switch out.Result {
	case TakenOver:
		var files []string
		switch out.Part {
		case "tls", "metrics": // of keys not even digests
		case "policy", "keys":
			files = []string{c.file, policyFile(c, d.reloader.root), c.states}
		default:
			files = []string{c.file}
		}
		d.recordAct(ctx, actReload, out.Part, audit.Done, files...)
	case Refused:
		d.recordAct(ctx, actReload, out.Part, string(Refused))
	}
}

// policyFile is the file of clients and roles that a configuration names; empty where it has them itself.
func policyFile(c *Config, root value) string {
	return c.path(root.in(&document{}).sections()("policy").text())
}
