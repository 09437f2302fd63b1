package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/audit/tlog"
	"github.com/epov-signer/epov/signer/audit/tlog/follow"
)

// auditConfig is where and how acts are recorded; the zero value: nowhere.
type auditConfig struct {
	log      tlog.Config
	replicas []hsm.KeyRef // of the key that signs checkpoints; empty: a key in the log's directory
	follow   []followConfig
	place    value // of checkpoints
	dir      value
}

func (c *Config) readAudit(v value) {
	if !v.present() {
		return
	}
	at := v.mapping("directory", "name", "signatures", "refusals", "checkpoints", "followers")
	a := &c.audit
	a.place, a.dir = at("checkpoints"), at("directory")
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
	c.readFollowers(at("followers"))
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
	log, err := tlog.Open(ctx, a.log)
	switch {
	case errors.Is(err, tlog.ErrOtherLog), errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		doc := &document{} // starting again does not help
		a.dir.in(doc).fail("%s", err)
		return nil, d.config.errors(doc)
	case err != nil:
		return nil, err
	}
	d.audit = log // to be closed when a follower fails
	for _, f := range a.follow {
		follower, err := follow.New(follow.Config{
			Name: f.name, Dir: filepath.Join(a.log.Dir, "followers"), Source: log, Open: f.open, Logger: d.log,
		})
		if err != nil {
			return nil, err
		}
		d.followers = append(d.followers, follower)
	}
	return log, nil
}

// followConfig is a system that the log is passed on to.
type followConfig struct {
	name string
	open func(context.Context) (follow.Sink, error)
}

func (c *Config) readFollowers(v value) {
	for _, item := range v.list() {
		at := item.mapping("name", "syslog", "nats", "subject", "credentials", "ca", "certificate", "key")
		f := followConfig{name: at("name").required(item)}
		switch {
		case f.name == "":
		case !follow.ValidName(f.name):
			at("name").fail("must have small letters, digits and -, up to 32 of them")
		case slices.ContainsFunc(c.audit.follow, func(o followConfig) bool { return o.name == f.name }):
			at("name").fail("there is a follower %q already", f.name)
		}
		syslog, nats := at("syslog"), at("nats")
		switch {
		case syslog.present() == nats.present():
			item.fail("exactly one of syslog and nats is needed")
		case syslog.present():
			foreign(at, "is for nats", "subject", "credentials")
			f.open = c.readSyslog(at)
		default:
			foreign(at, "is for syslog", "certificate", "key")
			f.open = c.readNATS(item, at)
		}
		c.audit.follow = append(c.audit.follow, f)
	}
	if len(c.audit.follow) > 16 {
		v.fail("names %d followers; 16 are possible", len(c.audit.follow))
	}
}

func foreign(at func(string) value, why string, names ...string) {
	for _, name := range names {
		if at(name).present() {
			at(name).fail("%s", why)
		}
	}
}

func (c *Config) readSyslog(at func(string) value) func(context.Context) (follow.Sink, error) {
	s := follow.Syslog{
		URL: at("syslog").text(), CA: c.path(at("ca").text()), Certificate: c.path(at("certificate").text()), Key: c.path(at("key").text()),
	}
	if err := s.Check(); err != nil {
		at("syslog").fail("%s", err)
		return nil
	}
	c.followerFiles(at, map[string]string{"ca": s.CA, "certificate": s.Certificate, "key": s.Key})
	c.sandbox.connects(s.URL)
	return s.Open
}

// followerFiles have to be there, and stay readable.
func (c *Config) followerFiles(at func(string) value, files map[string]string) {
	for name, file := range files {
		if file == "" {
			continue
		}
		if _, err := readFile(file); err != nil {
			at(name).fail("%s", err)
		}
		c.sandbox.read = append(c.sandbox.read, file)
	}
}

func (c *Config) readNATS(owner value, at func(string) value) func(context.Context) (follow.Sink, error) {
	n := follow.NATS{
		URL: at("nats").text(), Subject: at("subject").required(owner),
		Credentials: c.path(at("credentials").text()), CA: c.path(at("ca").text()),
	}
	if err := n.Check(); err != nil && n.URL != "" && n.Subject != "" {
		at("nats").fail("%s", err)
		return nil
	}
	c.followerFiles(at, map[string]string{"credentials": n.Credentials, "ca": n.CA})
	c.sandbox.connects(n.URL)
	return n.Open
}

// followAudit passes the log on until ctx ends.
func (d *Daemon) followAudit(ctx context.Context) {
	var running sync.WaitGroup
	for _, f := range d.followers {
		running.Go(func() { f.Run(ctx) })
	}
	running.Wait()
}

// checkpointPatience is how long a token may take for a checkpoint. There is another attempt soon.
const checkpointPatience = 10 * time.Second

// checkpointsKey is its name. It is in no ring.
const checkpointsKey = "audit/checkpoints"

// checkpointKey signs checkpoints on a token. It is in no ring: no client reaches it.
type checkpointKey struct {
	tokens *hsm.Scheduler
	key    *hsm.Key
	public *gost.PublicKey
}

func openCheckpointKey(ctx context.Context, a *auditConfig, tokens *hsm.Scheduler) (*checkpointKey, error) {
	key, err := tokens.AddKey(ctx, hsm.KeyConfig{Name: checkpointsKey, Replicas: a.replicas})
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
	signature, err := k.tokens.Submit(ctx, k.key, digest, hsm.Flow{Client: "audit checkpoints", Weight: 1})
	return signature.Signature(), err
}

// auditor is the log as package signer wants it.
func auditor(l *tlog.Log) signer.Auditor {
	if l == nil {
		return nil
	}
	return l
}

// closeAudit makes durable what waits. It goes before the tokens: the last checkpoint is signed by one.
func (d *Daemon) closeAudit() error {
	if d.audit == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second+d.config.audit.log.Interval)
	defer cancel()
	if err := d.audit.Close(ctx); err != nil {
		d.log.Error("the audit log was not closed in order", "error", err)
		return err
	}
	return nil
}
