package tlog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallJournal has two segments, the second with groups of one block and a last one of four. It gives what is read from it, and
// where the last group lies.
func smallJournal(t *testing.T) (dir, want string, names [2]string, at int) {
	t.Helper()
	dir = t.TempDir()
	j := &journal{dir: dir, create: create}
	put(t, j, 10, "a", "b")
	put(t, j, 12, strings.Repeat("c", 700))
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	put(t, j, 13, "d")
	put(t, j, 14, "e", "f")
	put(t, j, 16, strings.Repeat("g", 600), strings.Repeat("h", 500), strings.Repeat("i", 500))
	if err := j.abandon(); err != nil {
		t.Fatal(err)
	}
	names = [2]string{filepath.Join(dir, segmentName(10)), filepath.Join(dir, segmentName(13))}
	for _, name := range names { // short, so that a test reads it often; what is cut off is zero
		if err := os.Truncate(name, 9*blockBytes); err != nil {
			t.Fatal(err)
		}
	}
	return dir, read(t, dir, 10), names, 3 * blockBytes
}

func rewrite(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestJournalMissesNoFlip flips each bit of a journal, one after the other: no record is lost or changed without a word.
func TestJournalMissesNoFlip(t *testing.T) {
	dir, want, names, _ := smallJournal(t)
	for _, name := range names {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		refused := 0
		for at := range whole {
			for bit := range 8 {
				if at%blockBytes > 64 && bit != at%8 { // one of each octet of the records
					continue
				}
				set := func(octet byte) {
					if _, err := f.WriteAt([]byte{octet}, int64(at)); err != nil {
						t.Fatal(err)
					}
				}
				set(whole[at] ^ 1<<bit)
				switch got := read(t, dir, 10); got {
				case "refused":
					refused++
				case want, want + " torn": // in room that is not used
				default:
					t.Fatalf("bit %d of octet %d of %s: %s", bit, at, filepath.Base(name), got)
				}
				set(whole[at])
			}
		}
		if used := len(bytes.TrimRight(whole, "\x00")); refused < used {
			t.Errorf("%s: %d bits are not missed, of %d octets in use", filepath.Base(name), refused, used)
		}
	}
	// Damage to what the tree has by now is no reason to stop.
	whole, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	whole[4*blockBytes] ^= 1
	rewrite(t, names[1], whole)
	if got := read(t, dir, 19); got != " torn" {
		t.Error(got)
	}
	if got := read(t, dir, 18); got != "refused" {
		t.Error(got)
	}
}

// TestJournalHealsCrashes leaves any of the last group's blocks out, as a crash while it was written does, and cuts the file at
// any octet, as file systems do that cannot reserve room. The records before it are there.
func TestJournalHealsCrashes(t *testing.T) {
	dir, want, names, last := smallJournal(t)
	whole, err := os.ReadFile(names[1])
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(want, " ggg")
	for lost := 1; lost < 1<<4; lost++ {
		torn := bytes.Clone(whole)
		for block := range 4 {
			if lost>>block&1 == 1 {
				clear(torn[last+block*blockBytes:][:blockBytes])
			}
		}
		rewrite(t, names[1], torn)
		if got := read(t, dir, 10); strings.TrimSuffix(got, " torn") != before {
			t.Errorf("blocks %04b: %s", lost, got)
		}
	}
	for size := range whole {
		rewrite(t, names[1], whole[:size])
		got := strings.TrimSuffix(read(t, dir, 10), " torn")
		if !strings.HasPrefix(want, got) || size > last && !strings.HasPrefix(got, before) {
			t.Fatalf("cut to %d octets: %s", size, got)
		}
	}
}

// TestJournalOfOtherFiles puts other things where segments belong.
func TestJournalOfOtherFiles(t *testing.T) {
	for what, do := range map[string]func(dir string, names [2]string) error{
		"a copy under another number": func(dir string, names [2]string) error {
			data, err := os.ReadFile(names[1])
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, segmentName(19)), data, 0o600)
		},
		"exchanged": func(dir string, names [2]string) error {
			other := filepath.Join(dir, "..", "other")
			if err := os.Rename(names[0], other); err != nil {
				return err
			}
			if err := os.Rename(names[1], names[0]); err != nil {
				return err
			}
			return os.Rename(other, names[1])
		},
		"the first one missing": func(_ string, names [2]string) error { return os.Remove(names[0]) },
		"a link": func(_ string, names [2]string) error {
			other := names[1] + ".away"
			other = filepath.Join(filepath.Dir(filepath.Dir(other)), filepath.Base(other))
			if err := os.Rename(names[1], other); err != nil {
				return err
			}
			return os.Symlink(other, names[1])
		},
		"a pipe": func(_ string, names [2]string) error {
			if err := os.Remove(names[1]); err != nil {
				return err
			}
			return syscall.Mkfifo(names[1], 0o600)
		},
		"a folder": func(_ string, names [2]string) error {
			if err := os.Remove(names[1]); err != nil {
				return err
			}
			return os.Mkdir(names[1], 0o700)
		},
		"without end": func(_ string, names [2]string) error { return os.Truncate(names[1], 1<<40) },
	} {
		dir, _, names, _ := smallJournal(t)
		if err := do(dir, names); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, 10); got != "refused" {
			t.Errorf("%s: %s", what, got)
		}
	}
}
