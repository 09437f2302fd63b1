package tlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/await"
)

// countdown lets the operation of a number fail, and those after it as long as it is told to.
type countdown struct {
	left  atomic.Int64
	fails int64
}

func (c *countdown) next() error {
	if n := c.left.Add(-1); n < 0 && n >= -c.fails {
		return syscall.ENOSPC
	}
	return nil
}

type countedFile struct {
	file
	c *countdown
}

func (f countedFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.c.next(); err != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2/blockBytes*blockBytes], off)
		return n, err
	}
	return f.file.WriteAt(p, off)
}

func (f countedFile) Sync() error { return errors.Join(f.c.next(), f.file.Sync()) }

// TestDiskFullAtEachWrite has each single operation on the journal fail, and then a few more. What was confirmed is in the log,
// at its place, after a crash right then too: the directory is read as it is.
func TestDiskFullAtEachWrite(t *testing.T) {
	for _, fails := range []int64{1, 3} {
		for at := int64(0); at < 18; at++ {
			dir, c := t.TempDir(), &countdown{fails: fails}
			c.left.Store(at)
			l := open(t, dir, func(config *Config) {
				config.create = func(name string, size int64) (file, error) {
					if err := c.next(); err != nil {
						return nil, err
					}
					f, err := create(name, size)
					return countedFile{f, c}, err
				}
			})
			confirmed := map[uint64]string{}
			for n := range 5 {
				r := record(n)
				if e, err := l.Record(t.Context(), r); err == nil {
					confirmed[e.Index] = r.Request
				} else if code(err) == "" {
					t.Error(err)
				}
			}
			check := func(when string) {
				d, err := OpenDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				found := map[uint64]string{}
				for f, err := range d.Records(t.Context()) {
					if err != nil {
						t.Fatalf("%d failures from operation %d, %s: %v", fails, at, when, err)
					}
					found[f.Index] = f.Record.Request
				}
				for index, request := range confirmed {
					if found[index] != request {
						t.Errorf("%d failures from operation %d, %s: record %d is of %q, not %q", fails, at, when,
							index, found[index], request)
					}
				}
			}
			check("at once")
			shut(t, l)
			check("closed")
			l = open(t, dir)
			add(t, l, 1000)
			shut(t, l)
			check("opened again")
		}
	}
}

// TestCloseWhileDiskHangs gives up after its time, and keeps others from the directory as long as a write is under way.
func TestCloseWhileDiskHangs(t *testing.T) {
	dir, d := t.TempDir(), &disk{}
	l := open(t, dir, func(c *Config) { c.create = d.create })
	add(t, l, 0)
	hang := make(chan struct{})
	d.set(func(d *disk) { d.hang = hang })
	waiting := make(chan error)
	go func() {
		_, err := l.Record(context.Background(), record(1))
		waiting <- err
	}()
	await.True(t, "a write", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !l.writing.IsZero()
	})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Close(short); err != nil {
		t.Error(err)
	}
	if other, err := Open(t.Context(), Config{Dir: dir, Origin: origin}); err == nil {
		t.Error("two write to one directory")
		shut(t, other)
	}
	close(hang)
	if err := <-waiting; err != nil {
		t.Error("what became durable after all:", err)
	}
	await.True(t, "the lock of the directory", func() bool {
		other, err := Open(t.Context(), Config{Dir: dir, Origin: origin, Interval: minInterval})
		if err != nil {
			return false
		}
		if s := other.Stats(); s.Records != 2 {
			t.Errorf("%+v", s)
		}
		shut(t, other)
		return true
	})
}

// TestClockSetBack signs checkpoints although the newest one is of the future.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 0)
	if _, err := l.Receipt(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "checkpoint"), later, later); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := 1; n < 3; n++ {
		if _, err := l.Receipt(ctx, add(t, l, n)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStrangeDirectories refuses what is no log, or cannot be written, without a trace of panic.
func TestStrangeDirectories(t *testing.T) {
	for what, spoil := range map[string]func(dir string) error{
		"the lock is a link": func(dir string) error {
			if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(dir, "checkpoint"), filepath.Join(dir, "lock"))
		},
		"the checkpoint is a folder": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "checkpoint")), os.Mkdir(filepath.Join(dir, "checkpoint"), 0o700))
		},
		"the checkpoint is a pipe": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "checkpoint")), syscall.Mkfifo(filepath.Join(dir, "checkpoint"), 0o600))
		},
		"the checkpoint is huge": func(dir string) error { return os.Truncate(filepath.Join(dir, "checkpoint"), 1<<40) },
		"the state is empty":     func(dir string) error { return os.Truncate(filepath.Join(dir, ".state", "treeState"), 0) },
		"the journal is a file": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "journal")), os.WriteFile(filepath.Join(dir, "journal"), nil, 0o600))
		},
		"the key is of another log": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "checkpoint.key"), []byte("PRIVATE+KEY+x+0+AA\n"), 0o600)
		},
	} {
		dir := t.TempDir()
		l := open(t, dir)
		add(t, l, 0)
		shut(t, l)
		before, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", what, err))
		}
		if l, err := Open(t.Context(), Config{Dir: dir, Origin: origin, Logger: open(t, t.TempDir()).log}); err == nil {
			t.Errorf("%s: it opens", what)
			shut(t, l)
		}
		if what == "the lock is a link" {
			if after, err := os.ReadFile(filepath.Join(dir, "checkpoint")); err != nil || string(after) != string(before) {
				t.Errorf("the file that the link leads to has been written: %q, %v", after, err)
			}
		}
	}
}

// TestCopyAtWork copies a log that is written to, in the order that docs/audit.md gives. The copies are sound.
func TestCopyAtWork(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	key := keyOf(t, l)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := l.Record(context.Background(), record(n)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	await.True(t, "records in the tree", func() bool { return l.Stats().Checkpoint > 0 })
	for range 8 {
		to := t.TempDir()
		for _, part := range []string{"journal", "checkpoint", ".state", "log.pub", "tile"} {
			if out, err := exec.Command("cp", "-a", filepath.Join(dir, part), to).CombinedOutput(); err != nil &&
				!strings.Contains(string(out), "No such file") {
				t.Fatalf("%v: %s", err, out) // what is gone meanwhile has been overtaken
			}
		}
		if v := verify(t, to, key); len(v.Findings) > 0 {
			t.Errorf("%+v", v.Findings)
		}
	}
	close(stop)
	<-done
	shut(t, l)
}

func TestJournalRemoved(t *testing.T) {
	dir, key := furnished(t)
	if err := os.RemoveAll(filepath.Join(dir, "journal")); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir, key); len(v.Findings) != 1 || v.Findings[0].File != "journal" {
		t.Errorf("%+v", v.Findings)
	}
	l := open(t, dir)
	if n := add(t, l, 0); n != 420 {
		t.Error(n)
	}
}
