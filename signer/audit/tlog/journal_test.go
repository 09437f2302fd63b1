package tlog

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func put(tb testing.TB, j *journal, first uint64, texts ...string) {
	tb.Helper()
	buf := make([]byte, groupHeader)
	for _, s := range texts {
		buf = append(buf, 0, 0, byte(len(s)>>8), byte(len(s)))
		buf = append(buf, s...)
	}
	if err := j.write(first, len(texts), buf); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, dir string, from uint64) string {
	tb.Helper()
	records, torn, err := readJournal(dir, from)
	if err != nil {
		return "refused"
	}
	out := string(bytes.Join(records, []byte(" ")))
	if torn > 0 {
		out += " torn"
	}
	return out
}

func TestJournal(t *testing.T) {
	dir := t.TempDir()
	j := &journal{dir: dir, create: create}
	put(t, j, 10, "a", "b")
	put(t, j, 12, "c")
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	put(t, j, 13, "d")
	put(t, j, 14, "e", "f")
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	for from, want := range map[uint64]string{10: "a b c d e f", 11: "b c d e f", 12: "c d e f", 13: "d e f",
		15: "f", 16: "", 9: "refused"} {
		if got := read(t, dir, from); got != want {
			t.Errorf("from %d: %s, want %s", from, got, want)
		}
	}
	first, second := filepath.Join(dir, segmentName(10)), filepath.Join(dir, segmentName(13))
	whole, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(at int, want string) {
		t.Helper()
		changed := bytes.Clone(whole)
		changed[at] ^= 1
		if err := os.WriteFile(second, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, 10); got != want {
			t.Errorf("octet %d: %s, want %s", at, got, want)
		}
		if err := os.WriteFile(second, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage(2*blockBytes+groupHeader+4, "refused") // no crash does that
	damage(blockBytes+groupHeader+4, "refused")
	damage(0, "refused")
	if err := os.Truncate(second, 2*blockBytes+30); err != nil { // without room reserved
		t.Fatal(err)
	}
	if got := read(t, dir, 10); got != "a b c d torn" {
		t.Error(got)
	}
	if err := os.Truncate(second, 100); err != nil { // a segment that was being made
		t.Fatal(err)
	}
	if got := read(t, dir, 10); got != "a b c torn" {
		t.Error(got)
	}
	if err := os.WriteFile(second, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	// A later segment overrules what a write that failed has left in the one before.
	put(t, j, 14, "E", "F")
	if got := read(t, dir, 10); got != "a b c d E F" {
		t.Error(got)
	}
	if err := trim(dir, 13); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first); err == nil {
		t.Error("not trimmed")
	}
	if got := read(t, dir, 13); got != "d E F" {
		t.Error(got)
	}
	if err := os.Remove(second); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, 13); got != "refused" {
		t.Errorf("a segment is missing: %s", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir, 14); got != "refused" {
		t.Errorf("a file of somebody else: %s", got)
	}
}

// FuzzJournal: whatever a segment holds, reading it neither panics nor gives records that it does not hold.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	j := &journal{dir: dir, create: create}
	put(f, j, 0, "record", "another")
	put(f, j, 2, "third")
	whole, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:4*blockBytes])
	f.Add(whole[:2*blockBytes+30])
	f.Add([]byte(segmentMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		s := segment{data: data}
		if !s.header(0) {
			return
		}
		for s.group() {
			for _, r := range s.records {
				if !bytes.Contains(data, r) {
					t.Fatal("a record out of nothing")
				}
			}
		}
		s.wholeGroupAfter(s.at)
		if s.rest() < 0 {
			t.Fatal("more than the file")
		}
	})
}
