package tlog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/epov-signer/epov/signer/audit"
)

// furnished makes the directory of a log with two bundles, and some records in the journal only.
func furnished(t *testing.T) (dir string, key *audit.Key) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir)
	for n := range 150 {
		add(t, l, n)
		if n == 100 {
			if _, err := l.Receipt(t.Context(), uint64(n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := 150; n < 420; n++ {
		add(t, l, n)
	}
	key = keyOf(t, l)
	shut(t, l)
	j := &journal{dir: filepath.Join(dir, "journal"), create: create}
	for first := range 3 {
		b := newBatch(nil)
		r := record(420 + first)
		b.add(&r, true)
		if err := j.write(uint64(420+first), 1, b.buf); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	if err := trim(filepath.Join(dir, "journal"), 420); err != nil { // else the next batch for the tree does it
		t.Fatal(err)
	}
	return dir, key
}

func verify(t *testing.T, dir string, key *audit.Key, older ...Older) *Verification {
	t.Helper()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := d.Verify(t.Context(), key, older...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifySound(t *testing.T) {
	dir, key := furnished(t)
	v := verify(t, dir, key)
	if len(v.Findings) > 0 || v.Records() != 423 || v.Tree != 420 || v.Checkpoint != 420 || v.Journal != 3 || v.Log != origin {
		t.Fatalf("%+v", v)
	}
	other := keyOf(t, open(t, t.TempDir()))
	if v := verify(t, dir, other); len(v.Findings) != 1 || v.Findings[0].File != "checkpoint" {
		t.Errorf("with another log's key: %+v", v.Findings)
	}
}

// TestVerifyFindsFlippedBits flips bits in every file that tells of records.
func TestVerifyFindsFlippedBits(t *testing.T) {
	dir, key := furnished(t)
	passive := map[string]bool{ // nothing is concluded from these
		"lock": true, "log.pub": true, "checkpoint.key": true, ".state/treeState.lock": true, ".state/publish.lock": true,
		".state/gcState.lock": true, ".state/gcState": true, ".state/version": true,
	}
	flips := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if passive[filepath.ToSlash(name)] {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		size := len(data)
		if filepath.Dir(name) == "journal" {
			size = blockBytes + 200 // what follows the last group is no record, nor is the end of the last group's block
		}
		for i := range 12 {
			at := i * (size - 1) / 11
			if filepath.Dir(name) == "journal" && at >= 28 && at < blockBytes {
				continue // room in the header's block
			}
			changed := append([]byte(nil), data...)
			changed[at] ^= 1 << (i % 8)
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				return err
			}
			flips++
			d, err := OpenDir(dir)
			if err != nil {
				return err
			}
			if v, err := d.Verify(context.Background(), key); err == nil && len(v.Findings) == 0 {
				t.Errorf("bit %d of octet %d of %s is not missed", i%8, at, name)
			}
		}
		return os.WriteFile(path, data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if flips < 100 {
		t.Errorf("only %d bits", flips)
	}
	if v := verify(t, dir, key); len(v.Findings) > 0 {
		t.Errorf("the test has left damage: %+v", v.Findings)
	}
}

// TestVerifyNamesTheRecord says which record was changed, by somebody who could write all but the checkpoint.
func TestVerifyNamesTheRecord(t *testing.T) {
	dir, key := furnished(t)
	path := filepath.Join(dir, "tile", "entries", "000")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(data), `"request":"request-42"`, `"request":"request-24"`, 1)
	if err := os.WriteFile(path, []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range verify(t, dir, key).Findings {
		all.WriteString(f.File + ": " + f.Message + "\n")
	}
	if !strings.Contains(all.String(), "record 42 is not the one") || !strings.Contains(all.String(), "its own checkpoint") {
		t.Errorf("findings:\n%s", all.String())
	}
}

// TestVerifyFindsCuts takes records away at the end, and in the middle, as somebody does who writes the tree anew.
func TestVerifyFindsCuts(t *testing.T) {
	dir, key := furnished(t)
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	raw, kept, err := d.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	older := Older{"kept.checkpoint", *kept}

	t.Run("file removed", func(t *testing.T) {
		path := filepath.Join(dir, "tile", "entries", "000")
		aside := filepath.Join(t.TempDir(), "000")
		if err := os.Rename(path, aside); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, dir, key); len(v.Findings) == 0 {
			t.Error("not missed")
		}
		if err := os.Rename(aside, path); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("journal removed in the middle", func(t *testing.T) {
		j := filepath.Join(dir, "journal", segmentName(420))
		data, err := os.ReadFile(j)
		if err != nil {
			t.Fatal(err)
		}
		clear(data[2*blockBytes : 3*blockBytes]) // the second of three groups
		changed := t.TempDir()
		if err := os.WriteFile(filepath.Join(changed, segmentName(420)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := readJournal(changed, 420); err == nil {
			t.Error("not missed")
		}
	})
	// A shorter log with the same key, all in order by itself.
	secret, err := os.ReadFile(filepath.Join(dir, "checkpoint.key"))
	if err != nil {
		t.Fatal(err)
	}
	rewritten := func(t *testing.T, numbers func(yield func(int) bool)) string {
		other := t.TempDir()
		if err := os.WriteFile(filepath.Join(other, "checkpoint.key"), secret, 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, other)
		for n := range numbers {
			add(t, l, n)
		}
		shut(t, l)
		if v := verify(t, other, key); len(v.Findings) > 0 {
			t.Fatalf("the forgery is not one: %+v", v.Findings)
		}
		return other
	}
	t.Run("end cut off", func(t *testing.T) {
		other := rewritten(t, func(yield func(int) bool) {
			for n := range 390 {
				if !yield(n) {
					return
				}
			}
		})
		v := verify(t, other, key, older)
		if len(v.Findings) != 1 || !strings.Contains(v.Findings[0].Message,
			"has been cut: kept.checkpoint covers 420 records, there are 390") {
			t.Errorf("%+v", v.Findings)
		}
	})
	t.Run("record removed", func(t *testing.T) {
		other := rewritten(t, func(yield func(int) bool) {
			for n := range 421 {
				if n != 333 && !yield(n) {
					return
				}
			}
		})
		if v := verify(t, other, key, older); len(v.Findings) != 1 || !strings.Contains(v.Findings[0].Message, "kept.checkpoint") {
			t.Errorf("%+v", v.Findings)
		}
	})
	t.Run("sound", func(t *testing.T) {
		// The log goes on; what was kept still fits.
		l := open(t, dir)
		for n := range 100 {
			add(t, l, 423+n)
		}
		shut(t, l)
		if v := verify(t, dir, key, older); len(v.Findings) > 0 || v.Records() != 523 {
			t.Errorf("%+v", v)
		}
		if c, err := key.Open(raw); err != nil || c.Size != 420 {
			t.Error(c, err)
		}
	})
}

func TestDirRecordsAndReceipts(t *testing.T) {
	dir, key := furnished(t)
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	for f, err := range d.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Index != next || f.Record.Request != record(int(next)).Request {
			t.Fatalf("record %d: %+v", next, f.Record)
		}
		next++
	}
	if next != 423 {
		t.Errorf("%d records", next)
	}
	for _, index := range []uint64{0, 255, 256, 419} {
		r, err := d.Receipt(t.Context(), index)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Verify(key); err != nil || r.Record.Request != record(int(index)).Request {
			t.Errorf("%d: %v", index, err)
		}
		r.Record.Caller = "somebody else"
		if _, err := r.Verify(key); err == nil {
			t.Error("a forged receipt is right")
		}
	}
	if _, err := d.Receipt(t.Context(), 420); err == nil {
		t.Error("a receipt without a checkpoint")
	}
	if _, err := OpenDir(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestVerifyAtWork verifies and reads a log again and again while it is written to.
func TestVerifyAtWork(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, 0)
	key := keyOf(t, l)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := range 3000 { // a log that grows faster than it is read would keep its readers for ever
				select {
				case <-stop:
					return
				default:
				}
				if _, err := l.Record(context.Background(), record(worker*1_000_000+n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last := uint64(0)
	for range 10 {
		v := verify(t, dir, key)
		if len(v.Findings) > 0 || v.Records() < last {
			t.Errorf("%+v", v)
			break
		}
		last = v.Records()
		d, err := OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		count := uint64(0)
		for _, err := range d.Records(t.Context()) {
			if err != nil {
				t.Error(err)
			}
			count++
		}
		if count < last {
			t.Errorf("%d records, there were %d", count, last)
		}
	}
	close(stop)
	wg.Wait()
}
