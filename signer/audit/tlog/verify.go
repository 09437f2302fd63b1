package tlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/epov-signer/epov/signer/audit"
)

// Older is a checkpoint of the log that was kept elsewhere.
type Older struct {
	Name       string // for findings, such as its file
	Checkpoint audit.Checkpoint
}

// Finding is something that is wrong with a log.
type Finding struct {
	File    string // below the directory; empty: no file in particular
	Message string
}

// Verification is what has been found out about a log.
type Verification struct {
	Log         string
	Checkpoint  uint64 // records under the checkpoint
	Tree        uint64 // records in the tree
	Journal     int    // records in the journal only
	First, Last time.Time
	Findings    []Finding // empty: all is well
}

// Records is how many there are.
func (v *Verification) Records() uint64 { return v.Tree + uint64(v.Journal) }

// maxFindings bounds what is told of a log that is broken everywhere.
const maxFindings = 100

// Verify checks all of the log: the signature of its checkpoint, each record's form, every hash of the tree, the trees of the
// checkpoint and of those that were kept elsewhere, and the journal. What is wrong is in the findings; the error is about what
// stood in the way of looking.
func (d *Dir) Verify(ctx context.Context, key *audit.Key, older ...Older) (*Verification, error) {
	v := &verifying{Dir: d, tree: (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)}
	raw, err := d.files.ReadCheckpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("the log has no checkpoint: %w", err)
	}
	if c, err := key.Open(raw); err != nil {
		v.find("checkpoint", "%s", trimmed(err))
	} else {
		v.Log, v.Verification.Checkpoint = c.Origin, c.Size
		older = append(older, Older{"its own checkpoint", *c})
	}
	state, records, journal, err := d.snapshot(ctx)
	if err != nil {
		v.find(filepath.Join(".state", "treeState"), "%s", err)
		state.Size = v.Verification.Checkpoint
	}
	for _, o := range older {
		switch {
		case v.Log != "" && o.Checkpoint.Origin != v.Log:
			v.find("", "%s is of another log, %q", o.Name, o.Checkpoint.Origin)
		case o.Checkpoint.Size > state.Size:
			v.find("", "the log has been cut: %s covers %d records, there are %d", o.Name, o.Checkpoint.Size, state.Size)
		default:
			v.marks = append(v.marks, o)
		}
	}
	if err := v.walk(ctx, state.Size); err != nil {
		return nil, err
	}
	v.Tree = v.tree.End()
	if err == nil && v.Tree == state.Size && len(state.Root) > 0 && !bytes.Equal(v.root(), state.Root) {
		v.find(filepath.Join(".state", "treeState"), "its root is not that of the tree")
	}
	if journal == nil && state.Size > 0 && lacksJournal(filepath.Join(d.root, "journal")) {
		v.find("journal", "has been removed: records that were not in the tree yet are lost")
	}
	if journal != nil {
		v.find("journal", "%s", journal)
	}
	for i, raw := range records {
		v.record(state.Size+uint64(i), raw, "journal")
	}
	v.Journal = len(records)
	return &v.Verification, nil
}

// verifying is a verification on its way through the tree.
type verifying struct {
	*Dir
	Verification
	tree  *compact.Range
	tiles [8]pendingTile // by level
	marks []Older        // that have not been come to
}

// pendingTile is the part of a tile that is known so far.
type pendingTile struct {
	index  uint64
	hashes []byte
}

func (v *verifying) find(file, format string, args ...any) {
	if len(v.Findings) < maxFindings {
		v.Findings = append(v.Findings, Finding{filepath.ToSlash(file), fmt.Sprintf(format, args...)})
	}
}

func trimmed(err error) string {
	const prefix = "audit: "
	if s := err.Error(); len(s) > len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):]
	}
	return err.Error()
}

// walk goes through the tree's bundles and tiles from the first to the last.
func (v *verifying) walk(ctx context.Context, size uint64) error {
	v.compare()
	for number := uint64(0); number*layout.EntryBundleWidth < size; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := number * layout.EntryBundleWidth
		want := min(size-first, layout.EntryBundleWidth)
		file, data, err := v.part(layout.EntriesPath(number, layout.PartialTileSize(0, number, size)), layout.EntriesPath(number, 0))
		var bundle api.EntryBundle
		if err == nil {
			err = bundle.UnmarshalText(data)
		}
		if err == nil && uint64(len(bundle.Entries)) < want {
			err = fmt.Errorf("%d records where %d belong", len(bundle.Entries), want)
		}
		if err != nil {
			v.find(file, "records %d to %d cannot be read: %s", first, first+want-1, err)
			return nil
		}
		if n := uint64(len(bundle.Entries)); n > want && (want == layout.EntryBundleWidth || file != layout.EntriesPath(number, 0)) {
			v.find(file, "%d records where %d belong", n, want)
		}
		for i, raw := range bundle.Entries[:want] {
			index := first + uint64(i)
			v.record(index, raw, file)
			hash := audit.LeafHash(raw)
			if err := v.tree.Append(hash[:], v.node); err != nil {
				return err
			}
			v.compare()
		}
		v.outdated(filepath.Dir(layout.EntriesPath(number, 1)), data)
	}
	for level := range v.tiles {
		if len(v.tiles[level].hashes) > 0 {
			v.tile(uint64(level))
		}
	}
	return nil
}

// record checks a record's form.
func (v *verifying) record(index uint64, raw []byte, file string) {
	r, err := audit.Parse(raw)
	if err != nil {
		v.find(file, "record %d: %s", index, trimmed(err))
		return
	}
	if v.First.IsZero() {
		v.First = r.Time
	}
	v.Last = r.Time
}

func (v *verifying) root() []byte {
	if v.tree.End() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	// It fails for ranges that do not begin at 0 only.
	root, _ := v.tree.GetRootHash(nil)
	return root
}

// compare holds the tree so far against the checkpoints of this size.
func (v *verifying) compare() {
	for _, m := range v.marks {
		if m.Checkpoint.Size == v.tree.End() && !bytes.Equal(v.root(), m.Checkpoint.Root[:]) {
			v.find("", "the first %d records are not those that %s covers: some of them have been changed, added or removed",
				m.Checkpoint.Size, m.Name)
		}
	}
}

// node takes a hash of the tree into the tile that it belongs to: tiles hold every eighth level.
func (v *verifying) node(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 {
		return
	}
	level := uint64(id.Level / layout.TileHeight)
	t := &v.tiles[level]
	t.index = id.Index / layout.TileWidth
	t.hashes = append(t.hashes, hash...)
	if len(t.hashes) == layout.TileWidth*len(hash) {
		v.tile(level)
		t.hashes = t.hashes[:0]
	}
}

// tile compares a tile, full or at the tree's end, with its file.
func (v *verifying) tile(level uint64) {
	t := &v.tiles[level]
	width := len(t.hashes) / 32 % layout.TileWidth
	whole := layout.TilePath(level, t.index, 0)
	file, data, err := v.part(layout.TilePath(level, t.index, uint8(width)), whole)
	if file == whole && width > 0 {
		data = data[:min(len(data), len(t.hashes))]
	}
	switch {
	case err != nil:
		v.find(file, "cannot be read: %s", err)
	case len(data) != len(t.hashes):
		v.find(file, "%d octets where %d belong", len(data), len(t.hashes))
	default:
		for i := 0; i < len(data); i += 32 {
			if bytes.Equal(data[i:i+32], t.hashes[i:i+32]) {
				continue
			}
			below := uint64(1) << (level * layout.TileHeight) // records under a hash of this level
			first := (t.index*layout.TileWidth + uint64(i/32)) * below
			if below == 1 {
				v.find(file, "record %d is not the one that the tree was made of", first)
			} else {
				v.find(file, "the hash of records %d to %d is another one", first, first+below-1)
			}
		}
	}
	v.outdated(filepath.Dir(layout.TilePath(level, t.index, 1)), t.hashes)
}

// part reads a file that may have been overtaken by its full state.
func (v *verifying) part(file, whole string) (string, []byte, error) {
	data, err := readRegular(filepath.Join(v.Dir.root, file), maxBundleBytes)
	if errors.Is(err, os.ErrNotExist) && file != whole {
		if data, err := readRegular(filepath.Join(v.Dir.root, whole), maxBundleBytes); err == nil {
			return whole, data, nil
		}
	}
	return file, data, err
}

// outdated compares what is left of a file's other states with it: shorter ones, and longer ones that a crash kept from
// becoming part of the tree.
func (v *verifying) outdated(dir string, whole []byte) {
	entries, err := os.ReadDir(filepath.Join(v.Dir.root, dir))
	if err != nil {
		return // none is left
	}
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 8); err != nil || n == 0 {
			continue // of a write that a crash cut short
		}
		file := filepath.Join(dir, e.Name())
		data, err := readRegular(filepath.Join(v.Dir.root, file), maxBundleBytes)
		if err != nil {
			continue // removed meanwhile
		}
		if n := min(len(data), len(whole)); !bytes.Equal(whole[:n], data[:n]) {
			v.find(file, "another state of the file, with other records")
		}
	}
}
