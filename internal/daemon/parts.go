package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/epov-signer/epov/api"
	"github.com/epov-signer/epov/gost"
	"github.com/epov-signer/epov/signer"
	"github.com/epov-signer/epov/signer/tsp"
)

// part is a piece of the configuration, with the files that it names, that can be exchanged while the daemon runs. What is read
// goes one way: read, prepare, adopt, commit.
type part struct {
	name     string
	refused  string   // what the log says
	settings []string // which it is; with a dot: within a section of which others take a restart
	// read reads the part anew, files and all; what is wrong is noted in root's document.
	read func(c *Config, root value)
	// prepare makes ready what was read beside what is in force, as a whole or not at all; nil: it says the same. forced: somebody
	// asked for it. The error is a *ConfigError when only another file helps, else it may help to try again.
	prepare func(ctx context.Context, now, next *Config, forced bool) (*change, error)
	// adopt takes what was read over into the configuration in force.
	adopt func(now, next *Config)
	// whole files are replaced in one step; others are read once they have rested between two looks.
	whole bool

	watched map[string]fileStamp // the files, as they were before they were read
	pending map[string]fileStamp // as they were at the last look, if that was otherwise
	retry   time.Time            // zero: not before something changes
	told    string
}

// change is what a part has made ready.
type change struct {
	restart string // why it takes a restart instead
	commit  func() // puts it in force, which cannot fail; nil: to adopt it is all
	undo    func() // lets go of it; nil: there is nothing to let go of
}

func restart(reasons ...string) (*change, error) {
	return &change{restart: strings.Join(reasons, "; ")}, nil
}

// stays are the settings that are of the process or of what it holds open from its start, and why.
var stays = map[string]string{
	"listen":                        "sockets are opened, or handed over by the service manager, at the start",
	"insecure":                      "the server is made with TLS or without",
	"audit":                         "the log is held open, and its records follow each other",
	"reflection":                    "the server is made with it or without",
	"admin.listen":                  "sockets are opened, or handed over by the service manager, at the start",
	"admin.group":                   "it belongs to the socket, which is opened at the start",
	"metrics.listen":                "sockets are opened, or handed over by the service manager, at the start",
	"traces":                        "calls are joined with the collector when the server is made",
	"sandbox":                       "a process that is confined cannot be confined otherwise",
	"limits.streams":                "connections keep what the server was made with",
	"limits.connection_age_seconds": "connections keep what the server was made with",
}

// newParts are what can be exchanged under a running daemon, in the order in which they refer to each other.
func (d *Daemon) newParts() []*part {
	return []*part{
		{
			name: "keys", refused: "tokens and key states are not taken over", whole: true,
			settings: []string{"tokens", "keys", "key_states"},
			read: func(c *Config, root value) {
				at := root.sections()
				c.readTokens(root, at("tokens"))
				c.readKeyring(root)
			},
			prepare: d.prepareKeys,
			adopt:   func(now, next *Config) { now.tokens, now.keys, now.states = next.tokens, next.keys, next.states },
		},
		{
			name: "tls", refused: "TLS certificates are not taken over", settings: []string{"tls", "admin.client_ca"},
			read: func(c *Config, root value) {
				at := root.sections()
				c.readTLS(root, at("tls"))
				c.readAdminCAs(at("admin"))
			},
			prepare: d.prepareTLS,
			adopt:   func(now, next *Config) { now.tls = next.tls },
		},
		{
			name: "policy", refused: "the policy is not taken over", settings: []string{"policy", "roles", "clients"},
			read:    func(c *Config, root value) { c.readPolicy(root, root.sections()) },
			prepare: d.preparePolicy,
			adopt:   func(now, next *Config) { now.policy = next.policy },
		},
		{
			name: "trust", refused: "trust is not taken over", settings: []string{"trust", "timestamps"},
			read: func(c *Config, root value) {
				at := root.sections()
				c.readTrust(at("trust"))
				c.readTimeStamps(at("timestamps"))
			},
			prepare: d.prepareTrust,
			adopt: func(now, next *Config) {
				now.trust, now.smev, now.trusted = next.trust, next.smev, next.trusted
				now.timeStamps, now.stamping = next.timeStamps, next.stamping
			},
		},
		{
			name: "limits", refused: "limits are not taken over", settings: []string{"limits", "request_ids"},
			read: func(c *Config, root value) {
				at := root.sections()
				c.readLimits(at("limits"))
				c.readRequestIDs(at("request_ids"))
				c.limits.Streams, c.limits.ConnectionAge = d.config.limits.Streams, d.config.limits.ConnectionAge
			},
			prepare: d.prepareLimits,
			adopt: func(now, next *Config) {
				now.limits, now.bounds, now.requestIDs = next.limits, next.bounds, next.requestIDs
				now.connections, now.times = next.connections, next.times
			},
		},
		{
			name: "metrics", refused: "the certificate of the metrics' listener is not taken over", settings: []string{"metrics.tls"},
			read:    func(c *Config, root value) { c.readMetrics(root.sections()("metrics")) },
			prepare: d.prepareMetrics,
			adopt:   func(now, next *Config) { now.metrics = next.metrics },
		},
		{
			name: "log", refused: "the log's settings are not taken over", settings: []string{"log"},
			read:    func(c *Config, root value) { c.readLog(root.sections()("log")) },
			prepare: d.prepareLog,
			adopt:   func(now, next *Config) { now.log = next.log },
		},
	}
}

// readKeyring reads keys and where their states are.
func (c *Config) readKeyring(root value) {
	at := root.sections()
	c.readKeys(root, at("keys"))
	c.states = c.path(at("key_states").text())
}

// adjust puts in force what of the configuration is the service's.
func (d *Daemon) adjust(c *Config) {
	d.sure("limits", d.service.Adjust(signer.Settings{
		Trust: c.trust, SMEV: c.smev, Limits: c.bounds, TimeStamps: c.timeStamps, RequestIDs: c.requestIDs,
	}))
}

// sure tells the log of an error that checks before should have kept away.
func (d *Daemon) sure(part string, err error) {
	if err != nil {
		d.log.Error("what was checked is not taken over", "part", part, "error", err)
	}
}

func (d *Daemon) preparePolicy(_ context.Context, now, next *Config, _ bool) (*change, error) {
	if p := now.policy; reflect.DeepEqual(p.Roles, next.policy.Roles) && reflect.DeepEqual(p.Clients, next.policy.Clients) {
		return nil, nil
	}
	return &change{commit: func() {
		next.policy.warnings(d.reloader.keys, d.log.Warn)
		d.policy.Store(next.policy)
		d.service.SetAccess(next.policy.Access)
		d.note()
	}}, nil
}

func (d *Daemon) prepareTLS(_ context.Context, c, n *Config, _ bool) (*change, error) {
	now, next := c.tls, n.tls
	switch {
	case now == nil || next == nil:
		return nil, nil // insecure takes a restart
	case next.token != now.token || next.id != now.id:
		return restart("tls.key_token: the key is elsewhere than before, and tokens with keys of TLS are opened at the start")
	case slices.EqualFunc(next.certificate.Certificate, now.certificate.Certificate, bytes.Equal) && next.clientCAs.Equal(now.clientCAs) &&
		next.adminCAs.Equal(now.adminCAs):
		return nil, nil
	case next.token != "":
		if err := next.useKey(now.certificate.PrivateKey); err != nil {
			return nil, n.refusal(next.place, err.Error())
		}
	}
	return &change{commit: func() {
		d.sure("tls", d.server.SetTLS(api.MutualTLS(next.certificate, next.clientCAs)))
		if d.admin != nil && network(d.config.admin.listen) != "unix" {
			d.sure("tls", d.admin.server.SetTLS(next.admin()))
		}
		next.warn(d.log)
		d.observing.tls.Store(next)
	}}, nil
}

func (c *Config) refusal(at value, message string) error {
	doc := &document{}
	at.in(doc).fail("%s", message)
	return c.errors(doc)
}

// prepareTrust reads the trust directory again where it has changed or somebody asks for it, and keeps what was learnt of revocation
// where it is looked for as before.
func (d *Daemon) prepareTrust(_ context.Context, now, next *Config, forced bool) (_ *change, err error) {
	a, b := &now.trusted, &next.trusted
	same := sameCertificates(a.fixed.Anchors, b.fixed.Anchors) && sameCertificates(a.fixed.Intermediates, b.fixed.Intermediates) &&
		sameCertificates(a.smev, b.smev) && a.path == b.path && reflect.DeepEqual(a.policy, b.policy) &&
		sameNode(a.about.node, b.about.node) && sameNode(now.stamping.place.node, next.stamping.place.node) && !a.changed()
	if same && !forced {
		return nil, nil
	}
	if at, err := next.makeStores(a); err != nil {
		if at.node == b.place.node { // it may be being imported into
			return nil, &trustError{at.path, err}
		}
		return nil, next.refusal(at, err.Error())
	}
	if same {
		return nil, nil
	}
	if next.timeStamps != nil {
		next.stamping.client.Trust = next.trust
		if next.timeStamps, err = tsp.NewClient(next.stamping.client); err != nil {
			return nil, next.refusal(next.stamping.place, err.Error())
		}
	}
	if b.library != a.library {
		if err := b.begin(d.log); err != nil {
			return nil, err
		}
	}
	return &change{commit: func() {
		d.adjust(d.reloader.now)
		d.trust.use(b)
		d.log.Info("trusted are", "anchors", len(b.fixed.Anchors)+len(b.listed.Anchors),
			"intermediates", len(b.fixed.Intermediates)+len(b.listed.Intermediates))
	}}, nil
}

type trustError struct {
	path string
	err  error
}

func (e *trustError) Error() string { return e.path + " cannot be read: " + e.err.Error() }
func (e *trustError) Unwrap() error { return e.err }

func sameCertificates(a, b []*gost.Certificate) bool {
	return slices.EqualFunc(a, b, func(a, b *gost.Certificate) bool { return bytes.Equal(a.Raw, b.Raw) })
}

func (d *Daemon) prepareLimits(_ context.Context, now, next *Config, _ bool) (*change, error) {
	if now.limits == next.limits && now.bounds == next.bounds && now.requestIDs == next.requestIDs &&
		now.connections == next.connections && now.times == next.times {
		return nil, nil
	}
	most, err := bounded(next.connections, d.log)
	if err != nil {
		return nil, err
	}
	return &change{commit: func() {
		d.adjust(d.reloader.now)
		limits := next.limits
		limits.Connections = most
		d.sure("limits", d.server.SetLimits(limits))
		d.listener.most.Store(int64(most))
		d.tokens.SetTimes(next.times.wait, next.times.watch)
		d.grace.Store(int64(next.times.grace))
	}}, nil
}

func (d *Daemon) prepareMetrics(_ context.Context, now, next *Config, _ bool) (*change, error) {
	a, b := now.metrics.tls, next.metrics.tls
	switch {
	case now.metrics.listen == "" || next.metrics.listen == "":
		return nil, nil // it takes a restart
	case (a == nil) != (b == nil):
		return restart("metrics.tls: the listener is made with TLS or without")
	case a == nil, slices.EqualFunc(a.Certificates, b.Certificates, func(a, b tls.Certificate) bool {
		return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
	}) && a.ClientCAs.Equal(b.ClientCAs):
		return nil, nil
	}
	return &change{commit: func() { d.observing.scrapes.Store(b) }}, nil
}

func (d *Daemon) prepareLog(_ context.Context, now, next *Config, _ bool) (*change, error) {
	if now.log == next.log {
		return nil, nil
	}
	return &change{commit: func() {
		if d.config.logger != nil {
			d.config.logger.set(next.log)
		}
	}}, nil
}
