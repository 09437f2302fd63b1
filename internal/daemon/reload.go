package daemon

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	lookPause   = 500 * time.Millisecond // between two looks at what may change
	reloadRetry = 5 * time.Second        // after a change that could not be taken over for now
	reloadTime  = 30 * time.Second       // the most that taking over a part may take
)

// Result is what became of a part of the configuration when it was read again.
type Result string

const (
	TakenOver Result = "taken over"
	Unchanged Result = "unchanged"
	Refused   Result = "refused" // what was in force stays in force
	Restart   Result = "restart" // what has changed takes a restart; the rest is as it was
)

// Outcome is the result of one part.
type Outcome struct {
	Part     string // "configuration", "tls", "policy", "keys", "trust"
	Result   Result
	Message  string    // why it was refused, or what takes a restart; empty where nothing is to be said
	Findings []Finding // what is wrong, and where
}

// part is a piece of the configuration, with the files that it names, that can be exchanged while the daemon runs. Others join
// by a line in [Daemon.parts].
type part struct {
	name    string
	refused string // what the log says
	// read reads the part anew, files and all; what is wrong is noted in root's document.
	read func(c *Config, root value)
	// take puts in force what was read, as a whole or not at all, and says whether it is other than before. forced: somebody
	// asked for it. The error is a *ConfigError when only another file helps, else it may help to try again.
	take func(ctx context.Context, c *Config, forced bool) (Result, error)
	// whole files are replaced in one step; others are read once they have rested between two looks.
	whole bool

	watched map[string]fileStamp // the files, as they were before they were read
	pending map[string]fileStamp // as they were at the last look, if that was otherwise
	retry   time.Time            // zero: not before something changes
	told    string
}

// reloader is the one way by which anything of the configuration changes under a running daemon: SIGHUP, files that change, and
// the administration service go through it, one after another.
type reloader struct {
	mutex   sync.Mutex
	started value // the configuration at the start, by which what takes a restart is told
	root    value // the configuration in force
	edited  fileStamp
	parts   []*part
	last    []Outcome // of what was asked for last
	at      time.Time
	refused map[string]int64 // so often, by part

	keys    []keyConfig // in force
	leaving map[string]leaving
}

// fileStamp tells whether a file is another one than before, without reading it.
type fileStamp struct {
	info os.FileInfo // nil: not there
}

func stampOf(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info}
}

func (s fileStamp) same(other fileStamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == other.info
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

func stampsOf(files map[string]fileStamp) map[string]fileStamp {
	now := make(map[string]fileStamp, len(files))
	for path := range files {
		now[path] = stampOf(path)
	}
	return now
}

func sameStamps(a, b map[string]fileStamp) bool { return maps.EqualFunc(a, b, fileStamp.same) }

// live are the settings that can change under a running daemon; with a dot: within a section that else takes a restart.
var live = []string{"tls", "keys", "key_states", "policy", "roles", "clients", "trust.anchors", "trust.intermediates", "trust.smev",
	"admin.client_ca"}

// Reload reads the configuration again, and everything that may change while the daemon runs, whether or not it has. Each part
// is taken over as a whole or refused by itself.
func (d *Daemon) Reload(ctx context.Context) []Outcome {
	r := &d.reloader
	r.mutex.Lock()
	defer r.mutex.Unlock()
	defer notifyReload()()
	r.last, r.at = []Outcome{d.reread()}, time.Now()
	for _, p := range r.parts {
		p.told = ""
		r.last = append(r.last, d.renew(ctx, p, true))
	}
	return slices.Clone(r.last)
}

// Reloaded is what came of the last Reload that was asked for, and when; and how often each part was refused since the start.
func (d *Daemon) Reloaded() (last []Outcome, at time.Time, refused map[string]int64) {
	d.reloader.mutex.Lock()
	defer d.reloader.mutex.Unlock()
	return slices.Clone(d.reloader.last), d.reloader.at, maps.Clone(d.reloader.refused)
}

// reread reads the configuration's own file. What the parts name they read themselves.
func (d *Daemon) reread() Outcome {
	r := &d.reloader
	out := Outcome{Part: "configuration", Result: Unchanged}
	r.edited = stampOf(d.config.file)
	c, root, err := openConfig(d.config.file)
	if err == nil {
		c.running, c.sandbox.complete = true, true
		at := root.sections()
		c.readListen(root, at)
		c.readTokens(root, at("tokens"))
		if c.readOthers(at); len(root.doc.findings) > 0 {
			err = c.errors(root.doc)
		}
	}
	if err != nil {
		return d.refuse(out, "the configuration is not taken over", err)
	}
	if !sameNode(root.node, r.root.node) {
		out.Result = TakenOver
	}
	r.root = root
	if changed := changes(r.started, root); len(changed) > 0 {
		out.Result, out.Message = Restart, strings.Join(changed, ", ")
		d.log.Warn("settings have changed that take a restart", "settings", out.Message)
	}
	return out
}

// refuse makes an outcome of an error and tells the log.
func (d *Daemon) refuse(out Outcome, message string, err error) Outcome {
	out.Result = Refused
	d.reloader.refused[out.Part]++
	wrong, ok := errors.AsType[*ConfigError](err)
	if !ok {
		out.Message = err.Error()
		d.log.Error(message+" for now", "error", err)
		return out
	}
	for _, f := range wrong.Findings {
		if f.File == "" {
			f.File = wrong.File
		}
		out.Findings = append(out.Findings, f)
		d.log.Error(message, "file", f.File, "line", f.Line, "path", f.Path, "error", f.Message)
	}
	return out
}

// fresh is a configuration of which nothing is read yet, but what takes a restart.
func (d *Daemon) fresh() *Config {
	c := &Config{file: d.config.file, dir: d.config.dir, insecure: d.config.insecure, tokens: d.config.tokens, running: true,
		files: map[string]fileStamp{}}
	c.sandbox.complete = true
	return c
}

// renew reads a part anew and takes it over.
func (d *Daemon) renew(ctx context.Context, p *part, forced bool) Outcome {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	out := Outcome{Part: p.name}
	c := d.fresh()
	doc := &document{}
	p.read(c, d.reloader.root.in(doc))
	var err error
	if len(doc.findings) > 0 {
		err = c.errors(doc)
	} else {
		out.Result, err = p.take(ctx, c, forced)
	}
	if p.retry, p.pending = (time.Time{}), nil; p.watched == nil || err == nil {
		p.watched = c.files
	} else {
		maps.Copy(p.watched, c.files) // it may be mended by any of them
	}
	if err == nil {
		if p.told = ""; out.Result == TakenOver {
			d.log.Info("taken over", "part", p.name)
			d.recordReload(ctx, c, out)
		}
		return out
	}
	if _, ok := errors.AsType[*ConfigError](err); !ok {
		p.retry = time.Now().Add(reloadRetry)
	}
	if p.told == err.Error() {
		out.Result, out.Message = Refused, err.Error()
		return out
	}
	p.told = err.Error()
	out = d.refuse(out, p.refused, err)
	d.recordReload(ctx, c, out)
	return out
}

// follow takes over what changes by itself: the files that the configuration names. The configuration's own file is taken over
// when somebody asks for it: who edits it may not be done yet, and some of its settings take a restart anyway.
func (d *Daemon) follow(ctx context.Context) {
	ticker := time.NewTicker(lookPause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			d.look(ctx)
		}
	}
}

// begin learns which files there are to follow. What has changed since they were read at the start is taken over.
func (d *Daemon) begin(ctx context.Context) {
	d.reloader.mutex.Lock()
	defer d.reloader.mutex.Unlock()
	for _, p := range d.reloader.parts {
		d.renew(ctx, p, false)
	}
}

func (d *Daemon) look(ctx context.Context) {
	r := &d.reloader
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if now := stampOf(d.config.file); !now.same(r.edited) {
		r.edited = now
		d.log.Info("the configuration file has changed; `epov admin reload` or SIGHUP takes it over")
	}
	d.leave(time.Now())
	for _, p := range r.parts {
		now := stampsOf(p.watched)
		changed := !sameStamps(now, p.watched)
		switch {
		case changed && !p.whole && !sameStamps(now, p.pending):
			p.pending = now // until it rests
		case changed:
			p.told = ""
			d.renew(ctx, p, false)
		case !p.retry.IsZero() && !time.Now().Before(p.retry):
			d.renew(ctx, p, false)
		}
	}
}

// changes names the settings that are others than at the start and take a restart.
func changes(started, now value) []string {
	before, after := settings(started), settings(now)
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(live, name) && !sameNode(before[name], after[name]) {
			changed = append(changed, name)
		}
	}
	return changed
}

// settings are those of the first level, and of some sections those of the second.
func settings(root value) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	add := func(prefix string, n *yaml.Node) {
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			out[prefix+n.Content[i].Value] = n.Content[i+1]
		}
	}
	add("", root.node)
	for _, name := range []string{"trust", "admin"} {
		if n := out[name]; n != nil {
			delete(out, name)
			add(name+".", n)
		}
	}
	return out
}

// sameNode reports whether two settings say the same, wherever they stand.
func sameNode(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, sameNode)
}
