package tlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/sys/unix"
)

const (
	// maxBurst bounds the records that are given to Tessera at once, as one batch of its own. There is never a second burst
	// before the first has ended, so that its batches cannot overtake each other.
	maxBurst = 2048
	burstAge = 20 * time.Millisecond

	maxGather = time.Second            // for which the tree waits for more records: each batch costs several files
	soon      = 250 * time.Millisecond // the same when a receipt is waited for
	retryTree = 250 * time.Millisecond
	mostRetry = 5 * time.Second
)

// treeLoop puts records from the journal into the tree.
func (l *Log) treeLoop() {
	retry := retryTree
	for {
		l.mu.Lock()
		records := l.backlog[:min(len(l.backlog), maxBurst)]
		l.mu.Unlock()
		if len(records) == 0 {
			select {
			case <-l.integrate:
				l.gather()
			case <-l.written:
				l.mu.Lock()
				empty := len(l.backlog) == 0
				l.mu.Unlock()
				if empty {
					return
				}
			}
			continue
		}
		if err := l.grow(records); err != nil {
			l.log.Warn("the audit log's tree lags behind its journal", "error", err, "records", len(records))
			if l.pause(retry) || l.broken.Load() {
				return
			}
			retry = min(2*retry, mostRetry)
			continue
		}
		retry = retryTree
		if len(records) < maxBurst {
			l.gather()
		}
	}
}

// gather waits for more records.
func (l *Log) gather() {
	select {
	case <-time.After(min(l.cfg.Interval, maxGather)):
	case <-l.wanted:
		l.pause(min(l.cfg.Interval/4, soon))
	case <-l.stop:
	}
}

// pause waits, but not when the log is being closed, which it reports.
func (l *Log) pause(d time.Duration) (closing bool) {
	select {
	case <-time.After(d):
		return false
	case <-l.stop:
		return true
	}
}

// grow puts the records that follow those in the tree into it.
func (l *Log) grow(records [][]byte) error {
	if err := writable(l.cfg.Dir); err != nil {
		return err
	}
	l.forgetFuture()
	futures := make([]tessera.IndexFuture, len(records))
	for i, r := range records {
		futures[i] = l.appender.Add(context.Background(), tessera.NewEntry(r))
	}
	var failed error
	for i, f := range futures {
		index, err := f()
		if err == nil && index.Index != l.tree+uint64(i) {
			// Its place has been told to its caller: a tree that has it elsewhere must not go on.
			l.broken.Store(true)
			err = fmt.Errorf("record %d has become number %d of the tree; the log is closed", l.tree+uint64(i), index.Index)
		}
		if failed == nil {
			failed = err
		}
	}
	return l.grown(failed)
}

// forgetFuture dates the checkpoint anew when the clock has been set back behind its date: the driver signs the next one an
// interval after that.
func (l *Log) forgetFuture() {
	name := filepath.Join(l.cfg.Dir, layout.CheckpointPath)
	info, err := os.Stat(name)
	if now := time.Now(); err == nil && info.ModTime().After(now.Add(l.cfg.Interval)) {
		l.log.Warn("the clock has been set back", "checkpoint", info.ModTime(), "now", now)
		if err := os.Chtimes(name, now, now.Add(-l.cfg.Interval)); err != nil {
			l.log.Warn("the audit log's checkpoint was not dated anew", "error", err)
		}
	}
}

// grown takes note of what is in the tree, also after a batch that failed: it may have failed after it was done.
func (l *Log) grown(failed error) error {
	size, err := l.sizer.IntegratedSize(context.Background())
	if err != nil {
		return errors.Join(failed, err)
	}
	l.mu.Lock()
	n := min(size-l.tree, uint64(len(l.backlog)))
	for _, r := range l.backlog[:n] {
		l.backBytes -= len(r)
	}
	clear(l.backlog[:n])
	if l.backlog = l.backlog[n:]; len(l.backlog) == 0 {
		l.backlog = nil
	}
	if size > l.tree {
		l.tree = size
		close(l.grows)
		l.grows = make(chan struct{})
	}
	l.mu.Unlock()
	if failed != nil { // what is in the tree may not be durable
		return failed
	}
	if err := trim(l.journal.dir, size); err != nil {
		l.log.Warn("the audit log's journal is not trimmed", "error", err)
	}
	return nil
}

// headroom is the room that a burst may take: the driver leaves a piece of a file behind each time that the disk is full.
const headroom = 4 << 20

// writable looks at what the driver must find: it panics where it cannot open its lock.
func writable(dir string) error {
	state := filepath.Join(dir, ".state")
	if err := hasRoom(state, headroom); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(state, "treeState.lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// flock takes the lock or fails.
func flock(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
