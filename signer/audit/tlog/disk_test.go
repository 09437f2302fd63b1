package tlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/internal/await"
	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// disk stands between the journal and its files.
type disk struct {
	mu   sync.Mutex
	fail error         // of writes and of new files
	sync error         // of Sync, after the data has been written
	hang chan struct{} // Sync waits until it is closed
}

func (d *disk) set(change func(*disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *disk) now() (hang chan struct{}, fail, sync error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hang, d.fail, d.sync
}

func (d *disk) create(name string, size int64) (file, error) {
	if _, fail, _ := d.now(); fail != nil {
		return nil, fail
	}
	f, err := create(name, size)
	return diskFile{f, d}, err
}

type diskFile struct {
	file
	d *disk
}

func (f diskFile) WriteAt(p []byte, off int64) (int, error) {
	if _, fail, _ := f.d.now(); fail != nil {
		n, _ := f.file.WriteAt(p[:len(p)/2], off) // a part of it gets there
		return n, fail
	}
	return f.file.WriteAt(p, off)
}

func (f diskFile) Sync() error {
	hang, _, fail := f.d.now()
	if hang != nil {
		<-hang
	}
	if fail != nil {
		return fail
	}
	return f.file.Sync()
}

// TestDiskFails lets writes and syncs fail in every way, while many callers are at work. What was refused may be in the log or
// not; what was not refused is, at its place.
func TestDiskFails(t *testing.T) {
	for name, failure := range map[string]func(*disk){
		"full":      func(d *disk) { d.fail = syscall.ENOSPC },
		"read-only": func(d *disk) { d.fail = syscall.EROFS },
		"broken":    func(d *disk) { d.sync = syscall.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			dir, d := t.TempDir(), &disk{}
			l := open(t, dir, func(c *Config) { c.create = d.create })
			var wg sync.WaitGroup
			var mu sync.Mutex
			var refused atomic.Int64
			granted := map[uint64]string{}
			stop := make(chan struct{})
			for worker := range 8 {
				wg.Go(func() {
					for n := worker * 1_000_000; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						r := record(n)
						e, err := l.Record(context.Background(), r)
						switch code(err) {
						case "":
							if err != nil {
								t.Error(err)
							}
							mu.Lock()
							granted[e.Index] = r.Request
							mu.Unlock()
						case report.AuditUnavailable:
							refused.Add(1)
							if known, _ := errors.AsType[*report.Error](err); known.RetryAfter <= 0 {
								t.Error("no time after which to ask again")
							}
							time.Sleep(time.Millisecond)
						default:
							t.Error(err)
						}
					}
				})
			}
			count := func() int { mu.Lock(); defer mu.Unlock(); return len(granted) }
			for range 3 {
				before, had := count(), refused.Load()
				await.True(t, "grants", func() bool { return count() > before+20 })
				d.set(failure)
				await.True(t, "refusals", func() bool { return refused.Load() > had+20 })
				if l.Ready() == nil {
					t.Error("a log that takes nothing is ready")
				}
				d.set(func(d *disk) { d.fail, d.sync = nil, nil })
				await.True(t, "the log to recover", func() bool { return l.Ready() == nil })
			}
			close(stop)
			wg.Wait()
			shut(t, l)
			all(t, dir, keyOf(t, l), granted)
		})
	}
}

// all checks that a log verifies and has all that was granted.
func all(t *testing.T, dir string, key *audit.Key, granted map[uint64]string) {
	t.Helper()
	if v := verify(t, dir, key); len(v.Findings) > 0 {
		t.Fatalf("%+v", v.Findings)
	}
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for f, err := range d.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if request, ok := granted[f.Index]; ok {
			seen++
			if f.Record.Request != request {
				t.Fatalf("record %d is of %s, granted was %s", f.Index, f.Record.Request, request)
			}
		}
	}
	if seen != len(granted) {
		t.Errorf("%d of %d that were granted are in the log", seen, len(granted))
	}
}

// TestReleaseFirst keeps what nobody waits for while the disk fails, as far as there is room.
func TestReleaseFirst(t *testing.T) {
	dir, d := t.TempDir(), &disk{}
	l := open(t, dir, func(c *Config) { c.create, c.ReleaseFirst = d.create, true })
	taken := 0
	put := func() error {
		e, err := l.Record(t.Context(), record(taken))
		if err == nil {
			taken++
		}
		if e.Recorded() {
			t.Error("a place, before there is one")
		}
		return err
	}
	for range 100 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	d.set(func(d *disk) { d.fail = syscall.ENOSPC })
	for {
		if err := put(); code(err) == report.Overload {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if l.Stats().Waiting > 2*maxQueueBytes {
			t.Fatal("what waits is not bounded")
		}
	}
	if l.Ready() == nil {
		t.Error("a log without room is ready")
	}
	d.set(func(d *disk) { d.fail = nil })
	await.True(t, "the log to recover", func() bool { return l.Ready() == nil && l.Stats().Waiting == 0 })
	shut(t, l)
	if got := l.Stats().Records; got != uint64(taken) {
		t.Errorf("%d records of %d", got, taken)
	}
	all(t, dir, keyOf(t, l), nil)
}

// TestDiskHangs refuses new work while a write does not come back, and lets those go whose time is over.
func TestDiskHangs(t *testing.T) {
	d := &disk{}
	l := open(t, t.TempDir(), func(c *Config) { c.create = d.create })
	add(t, l, 0)
	hang := make(chan struct{})
	d.set(func(d *disk) { d.hang = hang })
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.Record(short, record(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for a disk that hangs: %v", err)
	}
	await.True(t, "the log to notice", func() bool { return code(l.Ready()) == report.AuditUnavailable })
	if _, err := l.Record(t.Context(), record(2)); code(err) != report.AuditUnavailable {
		t.Error(err)
	}
	d.set(func(d *disk) { d.hang = nil })
	close(hang)
	await.True(t, "the log to recover", func() bool { return l.Ready() == nil })
	if got := add(t, l, 3); got != 2 { // the second record got there after all
		t.Errorf("record %d", got)
	}
}

// TestSmallDisk fills a real file system: what Tessera writes fails too there.
func TestSmallDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("a small disk cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	home := filepath.Join(dir, "log")
	l := open(t, home)
	granted := map[uint64]string{}
	n := 0
	put := func() error {
		r := record(n)
		n++
		e, err := l.Record(t.Context(), r)
		if err == nil {
			granted[e.Index] = r.Request
		}
		return err
	}
	for range 50 {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	await.True(t, "the tree", func() bool { return l.Stats().Tree == 50 })
	// Others fill the disk. The journal has room for a while, in what it has reserved; the tree has none at once.
	filler := filepath.Join(dir, "filler")
	if err := fill(filler); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	var err error
	for err == nil && time.Now().Before(deadline) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 200 {
			n++
			r := record(n)
			wg.Go(func() {
				e, failed := l.Record(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				if failed != nil {
					err = failed
				} else {
					granted[e.Index] = r.Request
				}
			})
		}
		wg.Wait()
	}
	if code(err) != report.AuditUnavailable {
		t.Fatalf("a full disk: %v", err)
	}
	if s := l.Stats(); s.Tree >= s.Records {
		t.Errorf("a full disk with a tree that grows: %+v", s)
	}
	t.Logf("refused after %d records, %d of them in the tree", len(granted), l.Stats().Tree)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the log to recover", func() bool { return l.Ready() == nil })
	if err := put(); err != nil {
		t.Fatal(err)
	}
	await.True(t, "the tree to catch up", func() bool { s := l.Stats(); return s.Tree == s.Records && s.Checkpoint == s.Tree })
	shut(t, l)
	all(t, home, keyOf(t, l), granted)
}

// fill writes until nothing more fits.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}
