package tlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/epov-signer/epov/internal/await"
)

// made counts the files that a journal has had made, and can hold back or fail those that are spares.
type made struct {
	mu     sync.Mutex
	names  []string
	fail   error         // of spares
	hold   chan struct{} // spares wait until it is closed
	around func()        // called before and after each operation
}

func (m *made) create(name string, size int64) (file, error) {
	m.mu.Lock()
	m.names = append(m.names, filepath.Base(name))
	fail, hold := m.fail, m.hold
	m.mu.Unlock()
	if filepath.Base(name) == spareName {
		if hold != nil {
			<-hold
		}
		if fail != nil {
			return nil, fail
		}
	}
	m.look()
	f, err := create(name, size)
	m.look()
	return madeFile{f, m}, err
}

func (m *made) look() {
	if m.around != nil {
		m.around()
	}
}

// segments is how many were made under the name of a segment, which somebody waited for.
func (m *made) segments() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range m.names {
		if name != spareName {
			n++
		}
	}
	return n
}

func (m *made) spares() int {
	n := m.segments()
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.names) - n
}

type madeFile struct {
	file
	m *made
}

func (f madeFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.look()
	defer f.m.look()
	return f.file.WriteAt(p, off)
}

func (f madeFile) Sync() error {
	f.m.look()
	defer f.m.look()
	return f.file.Sync()
}

// fillSegment puts records in until another segment has begun, and gives the index after them.
func fillSegment(tb testing.TB, j *journal, next uint64) uint64 {
	tb.Helper()
	long := strings.Repeat("r", 60<<10)
	for begun := j.at; ; {
		put(tb, j, next, long, long, long, long, long, long, long, long)
		next += 8
		if j.at < begun {
			return next
		}
		begun = j.at
	}
}

// TestSpare has segments made beside the one at work: but for the first, nobody waits for a file to be made, and nobody waits for
// one that is being made while there is room.
func TestSpare(t *testing.T) {
	m := &made{}
	var wg sync.WaitGroup
	j := &journal{dir: t.TempDir(), create: m.create, beside: wg.Go}
	put(t, j, 0, "first")
	next := uint64(1)
	for range 4 {
		wg.Wait() // it is ready
		m.mu.Lock()
		m.hold = make(chan struct{})
		m.mu.Unlock()
		next = fillSegment(t, j, next) // and the one after it is held back meanwhile
		for range 3 {
			put(t, j, next, "while the next one is made")
			next++
		}
		close(m.hold)
	}
	wg.Wait()
	if m.segments() != 1 || m.spares() != 5 {
		t.Errorf("made: %v", m.names)
	}
	if err := errors.Join(j.abandon(), j.dropSpare(), j.dropSpare()); err != nil {
		t.Error(err)
	}
	records, torn, err := readJournal(j.dir, 0)
	if err != nil || torn > 0 || uint64(len(records)) != next {
		t.Errorf("%d records of %d, %d octets cut short, %v", len(records), next, torn, err)
	}
	if list, err := segments(j.dir); err != nil || len(list) != 5 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := os.Stat(filepath.Join(j.dir, spareName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spare is left behind: %v", err)
	}
}

// TestSpareIsNotMade goes on without where a spare cannot be made, or has gone.
func TestSpareIsNotMade(t *testing.T) {
	for what, spoil := range map[string]func(m *made, spare string) error{
		"the disk is full": func(m *made, _ string) error { m.fail = syscall.ENOSPC; return nil },
		"it was removed":   func(_ *made, spare string) error { return os.Remove(spare) },
	} {
		m := &made{}
		j := &journal{dir: t.TempDir(), create: m.create, beside: func(f func()) { f() }}
		put(t, j, 0, "first")
		if err := spoil(m, filepath.Join(j.dir, spareName)); err != nil {
			t.Fatal(err)
		}
		next := uint64(1)
		for range 3 {
			next = fillSegment(t, j, next)
		}
		if err := j.abandon(); err != nil {
			t.Error(err)
		}
		if records, _, err := readJournal(j.dir, 0); err != nil || uint64(len(records)) != next {
			t.Errorf("%s: %d records of %d, %v", what, len(records), next, err)
		}
		if m.segments() == 1 {
			t.Errorf("%s: %v", what, m.names)
		}
	}
}

// TestSpareAtEachCrash looks at the journal before and after each operation on any of its files, as if the process had ended
// there: what was durable is read, and nothing is taken for damage.
func TestSpareAtEachCrash(t *testing.T) {
	m := &made{}
	j := &journal{dir: t.TempDir(), create: m.create, beside: func(f func()) { f() }}
	durable, looks := uint64(0), 0
	m.around = func() {
		looks++
		records, _, err := readJournal(j.dir, 0)
		if err != nil || uint64(len(records)) < durable {
			t.Fatalf("look %d: %d records of %d, %v", looks, len(records), durable, err)
		}
	}
	for range 3 {
		durable = fillSegment(t, j, durable)
	}
	if list, err := segments(j.dir); err != nil || len(list) != 4 || looks < 50 {
		t.Errorf("%v, %v, %d looks", list, err, looks)
	}
}

// TestSpareOfACrash passes over a spare that an older process has left, whatever it holds, and removes it.
func TestSpareOfACrash(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	key := keyOf(t, l)
	add(t, l, 0)
	shut(t, l)
	name := filepath.Join(dir, "journal", spareName)
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log that was closed leaves its spare: %v", err)
	}
	begun, err := os.ReadFile(filepath.Join(dir, "journal", segmentName(0)))
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range [][]byte{nil, make([]byte, segmentBytes), begun, []byte("neither")} {
		if err := os.WriteFile(name, left, 0o600); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, dir, key); len(v.Findings) > 0 {
			t.Errorf("%+v", v.Findings)
		}
		l := open(t, dir)
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
		add(t, l, 1)
		await.True(t, "a segment that is ready", func() bool {
			data, err := os.ReadFile(name)
			return err == nil && bytes.Equal(data, make([]byte, segmentBytes))
		})
		shut(t, l)
	}
}

// TestSpareHangs neither holds up records while a spare is being made on a disk that does not answer, nor Close.
func TestSpareHangs(t *testing.T) {
	m := &made{hold: make(chan struct{})}
	dir := t.TempDir()
	l := open(t, dir, func(c *Config) { c.create = m.create })
	for n := range 20 {
		add(t, l, n)
	}
	await.True(t, "a spare being made", func() bool { return m.spares() == 1 })
	ended := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() { close(m.hold); close(ended) })
	shut(t, l)
	<-ended
	if _, err := os.Stat(filepath.Join(dir, "journal", spareName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a spare that came late is left behind: %v", err)
	}
}
