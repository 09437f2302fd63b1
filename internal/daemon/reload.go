package daemon

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/epov-signer/epov/hsm"
	"github.com/epov-signer/epov/internal/sandbox"
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
	Refused   Result = "refused" // it is wrong, or another part is: what was in force stays in force
	Restart   Result = "restart" // what has changed takes a restart; the rest is as it was
)

// Outcome is the result of one part.
type Outcome struct {
	Part     string // "configuration", or the name of a part
	Result   Result
	Message  string    // why it was refused, or what takes a restart; empty where nothing is to be said
	Findings []Finding // what is wrong, and where
}

// reloader is the one way by which anything of the configuration changes under a running daemon: SIGHUP, files that change, and
// the administration service go through it, one after another.
type reloader struct {
	mutex   sync.Mutex
	started value   // the configuration at the start, by which what takes a restart is told
	root    value   // the configuration in force
	now     *Config // the same, checked
	edited  fileStamp
	parts   []*part
	known   atomic.Pointer[reloads] // what there is to be known, without the mutex: a change may take its time

	keys    []keyConfig // in force
	leaving map[string]leaving
}

// reloads are what came of changes so far. Immutable.
type reloads struct {
	last    []Outcome // of what was asked for last
	at      time.Time
	refused map[string]int64 // so often, by part
}

// told changes what there is to be known. The mutex is held.
func (r *reloader) told(change func(*reloads)) {
	next := reloads{refused: map[string]int64{"configuration": 0}} // from 0 on, so that the first is seen as an increase
	for _, p := range r.parts {
		next.refused[p.name] = 0
	}
	if before := r.known.Load(); before != nil {
		next.last, next.at = before.last, before.at
		maps.Copy(next.refused, before.refused)
	}
	change(&next)
	r.known.Store(&next)
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

// Reload reads the configuration again, and everything that may change while the daemon runs, whether or not it has. All parts that
// differ are taken over, or, where one of them is wrong or does not come off, none. What takes a restart is named and stays as it is.
func (d *Daemon) Reload(ctx context.Context) []Outcome {
	r := &d.reloader
	r.mutex.Lock()
	defer r.mutex.Unlock()
	defer notifyReload()()
	begun := time.Now()
	first, root := d.reread()
	for _, p := range r.parts {
		p.told = ""
	}
	var list []Outcome
	if first.Result == Refused {
		for _, p := range r.parts {
			list = append(list, Outcome{Part: p.name, Result: Unchanged})
		}
	} else {
		list = d.renew(ctx, r.parts, root, true)
	}
	if slices.ContainsFunc(list, func(o Outcome) bool { return o.Result == Refused }) && first.Result == TakenOver {
		first.Result, first.Message = Refused, heldBack
	}
	list = append([]Outcome{first}, list...)
	r.told(func(now *reloads) { now.last, now.at = list, begun })
	return slices.Clone(list)
}

// Reloaded is what came of the last Reload that was asked for, and when; and how often each part was refused since the start. It does
// not wait for one that is under way.
func (d *Daemon) Reloaded() (last []Outcome, at time.Time, refused map[string]int64) {
	known := d.reloader.known.Load()
	if known == nil { // still starting
		return nil, time.Time{}, nil
	}
	return slices.Clone(known.last), known.at, maps.Clone(known.refused)
}

// reread reads the configuration's own file. What the parts name they read themselves; the rest is checked here, and takes a restart.
func (d *Daemon) reread() (Outcome, value) {
	r := &d.reloader
	out := Outcome{Part: "configuration", Result: Unchanged}
	r.edited = stampOf(d.config.file)
	c, root, err := openConfig(d.config.file)
	if err == nil {
		c.running, c.opened, c.sandbox.complete = true, r.now.tokens, true
		at := root.sections()
		c.readListen(root, at)
		c.readTokens(root, at("tokens"))
		if c.readOthers(at); len(root.doc.findings) > 0 {
			err = c.errors(root.doc)
		}
	}
	if err != nil {
		return d.refuse(out, "the configuration is not taken over", err), value{}
	}
	if !sameNode(root.node, r.root.node) {
		out.Result = TakenOver
	}
	if changed := changes(r.started, root); len(changed) > 0 {
		out.Result, out.Message = Restart, strings.Join(changed, "; ")
		d.log.Warn("settings have changed that take a restart", "settings", out.Message)
	}
	return out, root
}

// refuse makes an outcome of an error and tells the log.
func (d *Daemon) refuse(out Outcome, message string, err error) Outcome {
	out.Result = Refused
	d.reloader.told(func(now *reloads) { now.refused[out.Part]++ })
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

// fresh is the configuration in force, of which parts are about to be read anew.
func (d *Daemon) fresh() *Config {
	c := *d.reloader.now
	c.running, c.opened = true, c.tokens
	return &c
}

// heldBack is what is said of a part that could be taken over.
const heldBack = "held back: all is taken over or nothing"

// renew reads parts anew from a configuration and takes over those that differ, all of them or none.
func (d *Daemon) renew(ctx context.Context, parts []*part, root value, forced bool) []Outcome {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	r, next := &d.reloader, d.fresh()
	errs, changes := make([]error, len(parts)), make([]*change, len(parts))
	files := make([]map[string]fileStamp, len(parts))
	failed := false
	for i, p := range parts {
		doc := &document{}
		files[i] = map[string]fileStamp{}
		next.files, next.sandbox = files[i], sandboxConfig{}
		p.read(next, root.in(doc))
		if beyond := d.beyond(p, next); beyond != nil {
			changes[i] = &change{restart: "the process was confined at its start to what the configuration named then: " +
				strings.Join(beyond, ", ")}
		} else if len(doc.findings) > 0 {
			errs[i], failed = next.errors(doc), true
		}
	}
	for i, p := range parts {
		switch {
		case errs[i] != nil || changes[i] != nil:
		case failed && p.edited(r.root, root, files[i]):
			changes[i] = &change{}
		case !failed:
			changes[i], errs[i] = p.prepare(ctx, r.now, next, forced)
			failed = errs[i] != nil
		}
	}
	if failed {
		for _, c := range slices.Backward(changes) {
			if c != nil && c.undo != nil {
				c.undo()
			}
		}
	} else {
		now := *r.now
		for i, p := range parts {
			if c := changes[i]; c != nil && c.restart == "" {
				p.adopt(&now, next)
			}
		}
		r.now, r.root = &now, root
		for _, c := range changes {
			if c != nil && c.restart == "" && c.commit != nil {
				c.commit()
			}
		}
	}
	list := make([]Outcome, len(parts))
	for i, p := range parts {
		list[i] = d.outcome(ctx, p, next, files[i], changes[i], errs[i], failed)
	}
	return list
}

// edited tells whether the part, or a file that it names, looks as if it had changed.
func (p *part) edited(before, now value, files map[string]fileStamp) bool {
	a, b := settings(before), settings(now)
	differs := func(name string) bool {
		for _, all := range []map[string]*yaml.Node{a, b} {
			for setting := range all {
				if section, _, _ := strings.Cut(setting, "."); (setting == name || section == name) && !sameNode(a[setting], b[setting]) {
					return true
				}
			}
		}
		return false
	}
	return slices.ContainsFunc(p.settings, differs) || !sameStamps(files, p.watched)
}

// outcome is what became of a part, for whoever asked, the log, and the next look at its files.
func (d *Daemon) outcome(ctx context.Context, p *part, next *Config, files map[string]fileStamp, c *change,
	err error, failed bool) Outcome {
	out := Outcome{Part: p.name, Result: Unchanged}
	if p.retry, p.pending = (time.Time{}), nil; p.watched == nil || err == nil && !failed {
		p.watched = files
	} else {
		maps.Copy(p.watched, files) // it may be mended by any of them
	}
	switch {
	case err != nil:
		if _, ok := errors.AsType[*ConfigError](err); !ok {
			p.retry = time.Now().Add(reloadRetry)
		}
		if p.told == err.Error() {
			out.Result, out.Message = Refused, err.Error()
			return out
		}
		p.told = err.Error()
		out = d.refuse(out, p.refused, err)
		d.recordReload(ctx, next, out)
		return out
	case c == nil:
	case c.restart != "":
		out.Result, out.Message = Restart, c.restart
		if p.told != c.restart {
			d.log.Warn("a part of the configuration has changed that takes a restart", "part", p.name, "why", c.restart)
		}
		p.told = c.restart
		return out
	case failed:
		out.Result, out.Message = Refused, heldBack
		p.retry = time.Now().Add(reloadRetry) // by itself
	default:
		out.Result = TakenOver
		d.log.Info("taken over", "part", p.name)
		d.recordReload(ctx, next, out)
	}
	p.told = ""
	return out
}

// beyond names what a part has read of that the process cannot reach, because it was confined before anybody named it.
func (d *Daemon) beyond(p *part, next *Config) []string {
	if d.config.confined.Lacks([]string{sandbox.Landlock}) != nil {
		return nil
	}
	wanted := *next
	wanted.tokens = slices.DeleteFunc(slices.Clone(next.tokens), func(t hsm.TokenConfig) bool { // devices come and go
		return !slices.Contains(p.settings, "tokens") || slices.ContainsFunc(d.config.tokens, t.Equal)
	})
	return d.config.domain().Beyond(wanted.domain())
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
		d.renew(ctx, []*part{p}, d.reloader.root, false)
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
			d.renew(ctx, []*part{p}, r.root, false)
		case !p.retry.IsZero() && !time.Now().Before(p.retry):
			d.renew(ctx, []*part{p}, r.root, false)
		}
	}
}

// changes names the settings that are others than at the start and take a restart, and says why.
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
		if why := stays[name]; why != "" && !sameNode(before[name], after[name]) {
			changed = append(changed, name+": "+why)
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
	for _, name := range []string{"admin", "metrics", "limits"} {
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
