package tlog

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// TestFlusherTakesNothing has the kernel refuse the calls: files become durable all the same.
func TestFlusherTakesNothing(t *testing.T) {
	f := newFlusher()
	if f == nil {
		t.Skip("the system offers no asynchronous calls")
	}
	ring := f.ring
	defer func() { f.ring = ring; f.close() }()
	f.ring = 0 // which is none
	file, err := f.create(filepath.Join(t.TempDir(), "a"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.datasync(int(file.(osFile).Fd())); !errors.Is(err, errNotSubmitted) {
		t.Errorf("the kernel took it: %v", err)
	}
	if err := file.Sync(); err != nil {
		t.Error(err)
	}
}

// TestFlusherMissesAnEnd loses sight of a call: it fails, and no later one takes its end for that of its own.
func TestFlusherMissesAnEnd(t *testing.T) {
	f := newFlusher()
	if f == nil {
		t.Skip("the system offers no asynchronous calls")
	}
	defer f.close()
	file, err := f.create(filepath.Join(t.TempDir(), "a"), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := f.event.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errNotSubmitted) {
		t.Errorf("nobody knows how it ended: %v", err)
	}
	if err := f.event.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := f.datasync(int(file.(osFile).Fd())); !errors.Is(err, errNotSubmitted) {
		t.Errorf("the next call: %v", err)
	}
	if err := file.Sync(); err != nil {
		t.Error(err)
	}
}

// TestNoRoomForFlusher opens a log where others have taken all asynchronous calls that the system allows (fs.aio-max-nr).
func TestNoRoomForFlusher(t *testing.T) {
	var rings []uintptr
	for size := uintptr(1 << 16); size > 0; {
		var ring uintptr
		switch _, _, e := unix.Syscall(unix.SYS_IO_SETUP, size, uintptr(unsafe.Pointer(&ring)), 0); {
		case e == 0 && len(rings) < 4096:
			rings = append(rings, ring)
		case e == 0:
			t.Skip("there is no end to them")
		default:
			size /= 2
		}
	}
	f := newFlusher()
	l := open(t, t.TempDir())
	for _, ring := range rings {
		_, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, ring, 0, 0)
	}
	if f != nil {
		f.close()
		t.Skip("the system does not count them")
	}
	if l.flusher != nil {
		t.Error("a log with asynchronous calls")
	}
	if _, err := l.Record(context.Background(), record(0)); err != nil {
		t.Error(err)
	}
}
