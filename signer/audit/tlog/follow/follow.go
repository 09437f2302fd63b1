// Package follow passes an audit log on to other systems. A follower only reads the log: whatever becomes of the system it
// passes to, signing does not notice. What could not be passed on is later, from where the follower remembers to be.
package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"
)

// Source is the log.
type Source interface {
	Origin() string
	// Read gives records from an index on, at least one; it waits for them.
	Read(ctx context.Context, from uint64) ([][]byte, error)
}

// Sink takes records. When it fails it is closed, opened anew, and given the same ones again: those that follow each other are
// taken once or more often, but in order.
type Sink interface {
	// Send returns when the system has the records, as far as its protocol tells.
	Send(ctx context.Context, log string, first uint64, records [][]byte) error
	io.Closer
}

// Config is what a follower is made of.
type Config struct {
	Name   string // unique in its directory
	Dir    string // where its place is kept; made when it is not there
	Source Source
	Open   func(ctx context.Context) (Sink, error)
	Logger *slog.Logger
}

// Follower passes a log on. Safe for concurrent use.
type Follower struct {
	cfg  Config
	file string

	mu   sync.Mutex
	next uint64
	err  error
}

// ValidName reports whether a follower may be called so.
var ValidName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`).MatchString

// position is what a follower remembers.
type position struct {
	Log  string `json:"log"`
	Next uint64 `json:"next"`
}

// New makes a follower, at the place that it remembers, or at the log's beginning.
func New(c Config) (*Follower, error) {
	if !ValidName(c.Name) {
		return nil, fmt.Errorf("audit follower %q: a name has small letters, digits and -", c.Name)
	}
	f := &Follower{cfg: c, file: filepath.Join(c.Dir, c.Name+".json")}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit follower %s: %w", c.Name, err)
	}
	data, err := os.ReadFile(f.file)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	var p position
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return nil, fmt.Errorf("audit follower %s: %s: %w", c.Name, f.file, err)
	}
	if p.Log != c.Source.Origin() {
		return nil, fmt.Errorf("audit follower %s: %s is a place in the log %q", c.Name, f.file, p.Log)
	}
	f.next = p.Next
	return f, nil
}

// State is where a follower is.
type State struct {
	Name string
	Next uint64 // index of the record that it passes on next
	Err  error  // why it did not get on the last time; nil: it did
}

// State tells where the follower is.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return State{f.cfg.Name, f.next, f.err}
}

const (
	firstPause = 500 * time.Millisecond
	mostPause  = 30 * time.Second
	sendTime   = 30 * time.Second // for one piece of the log
)

// Run passes the log on until ctx ends.
func (f *Follower) Run(ctx context.Context) {
	var sink Sink
	defer func() {
		if sink != nil {
			_ = sink.Close() // what it has acknowledged is remembered
		}
	}()
	pause := firstPause
	for ctx.Err() == nil {
		err := f.step(ctx, &sink)
		if ctx.Err() != nil {
			return
		}
		f.note(err)
		if err == nil {
			pause = firstPause
			continue
		}
		if sink != nil {
			_ = sink.Close() // it has failed already
			sink = nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, mostPause)
	}
}

// note remembers an error, and logs it when it is news.
func (f *Follower) note(err error) {
	f.mu.Lock()
	before := f.err
	f.err = err
	next := f.next
	f.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		f.cfg.Logger.Warn("the audit log is not passed on", "follower", f.cfg.Name, "next", next, "error", err)
	case err == nil && before != nil:
		f.cfg.Logger.Info("the audit log is passed on again", "follower", f.cfg.Name, "next", next)
	}
}

// step passes on one piece.
func (f *Follower) step(ctx context.Context, sink *Sink) error {
	next := f.State().Next
	records, err := f.cfg.Source.Read(ctx, next)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if *sink == nil {
		opened, err := f.cfg.Open(ctx)
		if err != nil {
			return err
		}
		*sink = opened
	}
	if err := (*sink).Send(ctx, f.cfg.Source.Origin(), next, records); err != nil {
		return err
	}
	next += uint64(len(records))
	f.mu.Lock()
	f.next = next
	f.mu.Unlock()
	return f.remember(next)
}

// remember writes the place down. It is not waited for to reach the disk: a place that is lost is a little earlier.
func (f *Follower) remember(next uint64) error {
	data, err := json.Marshal(position{f.cfg.Source.Origin(), next})
	if err != nil {
		return err
	}
	part := f.file + ".new"
	if err := os.WriteFile(part, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(part, f.file)
}
