package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
)

// auditConfig is where and how acts are recorded; the zero value: nowhere.
type auditConfig struct {
	log      tlog.Config
	replicas []hsm.KeyRef // of the key that signs checkpoints; empty: a key in the log's directory
	place    value
}

func (c *Config) readAudit(v value) {
	if !v.present() {
		return
	}
	at := v.mapping("directory", "name", "signatures", "refusals", "checkpoints")
	a := &c.audit
	a.place = at("checkpoints")
	a.log.Dir = c.path(at("directory").required(v))
	a.log.Origin = at("name").required(v)
	if a.log.Origin != "" && !audit.ValidOrigin(a.log.Origin) {
		at("name").fail("must be one word without +, such as epov.example.ru/audit/node-1")
	}
	a.log.ReleaseFirst = at("signatures").choice("durable-first", "release-first") == "release-first"
	switch at("refusals").choice("limited", "all", "none") {
	case "all":
		a.log.Refusals = tlog.All
	case "none":
		a.log.Refusals = tlog.None
	}
	c.readCheckpoints(at("checkpoints"))
	c.sandbox.writes(a.log.Dir)
}

func (c *Config) readCheckpoints(v value) {
	at := v.mapping("every_milliseconds", "key")
	c.audit.log.Interval = time.Duration(at("every_milliseconds").number(100, 3600_000)) * time.Millisecond
	key := at("key")
	if !key.present() {
		return
	}
	of := key.mapping("token", "id", "replicas")
	if !of("replicas").present() && !of("id").present() {
		missing(of("id"), key)
	}
	c.audit.replicas = c.readReplicas(signer.KeyName{}, key, of)
	for _, ref := range c.audit.replicas {
		// A client that may sign digests could sign checkpoints.
		if slices.ContainsFunc(c.keys, func(k keyConfig) bool { return slices.Contains(k.replicas, ref) }) {
			key.fail("is also a key of clients; checkpoints need a key of their own")
		}
	}
}

// openAudit opens the audit log; nil without one.
func (d *Daemon) openAudit(ctx context.Context) (*tlog.Log, error) {
	a := d.config.audit
	if a.log.Dir == "" {
		return nil, nil
	}
	a.log.Logger = d.log
	if len(a.replicas) > 0 {
		key, err := openCheckpointKey(ctx, &a, d.tokens)
		if err != nil {
			doc := &document{}
			a.place.in(doc).fail("%s", err)
			return nil, d.config.errors(doc)
		}
		a.log.Signer = audit.NoteSigner(a.log.Origin, key, checkpointPatience)
	} else {
		d.log.Warn("the audit log's checkpoints are signed by a key in its directory: whoever can read that can rewrite the log",
			"next", "configure audit.checkpoints.key")
	}
	return tlog.Open(ctx, a.log)
}

// checkpointPatience is how long a token may take for a checkpoint. There is another attempt soon.
const checkpointPatience = 10 * time.Second

// checkpointKey signs checkpoints on a token. It is in no ring: no client reaches it.
type checkpointKey struct {
	tokens *hsm.Scheduler
	key    *hsm.Key
	public *gost.PublicKey
}

func openCheckpointKey(ctx context.Context, a *auditConfig, tokens *hsm.Scheduler) (*checkpointKey, error) {
	key, err := tokens.AddKey(ctx, hsm.KeyConfig{Name: "audit/checkpoints", Replicas: a.replicas})
	if err != nil {
		return nil, err
	}
	k := &checkpointKey{tokens: tokens, key: key, public: key.Public()}
	if k.public != nil {
		return k, nil
	}
	// Its token is away. The log remembers whose signatures it has.
	data, err := os.ReadFile(filepath.Join(a.log.Dir, tlog.KeyFile))
	if err != nil {
		return nil, fmt.Errorf("the key's token is away (%w), and a new log needs it", key.Err())
	}
	known, err := audit.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tlog.KeyFile, err)
	}
	if k.public = known.Public(); k.public == nil {
		return nil, fmt.Errorf("the key's token is away (%w), and the log's checkpoints were signed by another kind of key", key.Err())
	}
	return k, nil
}

func (k *checkpointKey) Public() *gost.PublicKey { return k.public }

func (k *checkpointKey) SignDigest(ctx context.Context, digest []byte) ([]byte, error) {
	if p := k.key.Public(); p != nil && !p.Equal(k.public) {
		return nil, errors.New("the token holds another key than the one that signed the log's checkpoints before; that takes a restart")
	}
	return k.tokens.Submit(ctx, k.key, digest, hsm.Flow{Client: "audit checkpoints", Weight: 1})
}

// auditor is the log as package signer wants it.
func auditor(l *tlog.Log) signer.Auditor {
	if l == nil {
		return nil
	}
	return l
}

// closeAudit makes durable what waits. It goes before the tokens: the last checkpoint is signed by one.
func (d *Daemon) closeAudit(log *slog.Logger) error {
	if d.audit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second+d.config.audit.log.Interval)
	defer cancel()
	if err := d.audit.Close(ctx); err != nil {
		log.Error("the audit log was not closed in order", "error", err)
		return err
	}
	return nil
}
