package tlog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPace holds groups apart when records come fast, and not otherwise.
func TestPace(t *testing.T) {
	var p pace
	now := time.Now()
	if d := p.wait(now); d != 0 {
		t.Error("the first record waits", d)
	}
	come := func(groups, count int, every time.Duration) {
		for range groups {
			p.begin(now, count)
			now = now.Add(every)
		}
	}
	come(50, 1, 2*time.Millisecond) // 500 in a second, each alone
	if d := p.wait(p.begun); d != 0 {
		t.Error("records that come slowly wait", d)
	}
	come(50, 1, 200*time.Microsecond) // 5000 in a second
	if d := p.wait(p.begun); d != groupEvery {
		t.Error("records that come fast wait", d)
	}
	if d := p.wait(p.begun.Add(time.Second)); d != 0 {
		t.Error("the next group is overdue, and waits", d)
	}
	now = now.Add(time.Hour)
	come(1, 1, 0)
	if d := p.wait(now); d != 0 {
		t.Error("a record after a long time waits", d)
	}
}

// TestFlusher makes files durable by asynchronous calls, is told when that fails, and is done without where there are none.
func TestFlusher(t *testing.T) {
	f := newFlusher()
	if f == nil {
		t.Skip("the system offers no asynchronous calls")
	}
	dir := t.TempDir()
	file, err := f.create(filepath.Join(dir, "a"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := file.WriteAt([]byte("record"), 512); err != nil {
			t.Fatal(err)
		}
		if err := file.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	// A pipe is not a file that a disk holds.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if err := (osFile{w, f}).Sync(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("fdatasync of a pipe: %v", err)
	}
	if err := (osFile{file.(osFile).File, f}).Sync(); err != nil {
		t.Error("after a failure:", err)
	}
	f.close()
	if err := file.Sync(); err != nil { // without
		t.Error("after close:", err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err == nil || strings.Contains(err.Error(), errNotSubmitted.Error()) {
		t.Errorf("a file that is closed: %v", err)
	}
}
