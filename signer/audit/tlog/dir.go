package tlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera/client"

	"github.com/epov-signer/epov/signer/audit"
	"github.com/epov-signer/epov/signer/report"
)

// Dir is the directory of a log that is read without writing to it. The log may be at work meanwhile: what is read then is what
// it held at some moment.
type Dir struct {
	root  string
	files files
}

// OpenDir opens the directory of a log for reading.
func OpenDir(root string) (*Dir, error) {
	if _, err := os.Stat(filepath.Join(root, ".state", "treeState")); err != nil {
		return nil, fmt.Errorf("%s does not hold an audit log: %w", root, err)
	}
	return &Dir{root: root, files: files{root}}, nil
}

// Checkpoint reads the newest checkpoint, and what it says without anybody having checked it.
func (d *Dir) Checkpoint() ([]byte, *audit.Checkpoint, error) {
	raw, err := d.files.ReadCheckpoint(context.Background())
	if err != nil {
		return nil, nil, err
	}
	c, err := audit.ReadCheckpoint(raw)
	return raw, c, err
}

// Key reads the verifier key that the log has left in its directory.
func (d *Dir) Key() (*audit.Key, error) {
	data, err := readRegular(filepath.Join(d.root, KeyFile), audit.MaxCheckpointBytes)
	if err != nil {
		return nil, err
	}
	return audit.ParseKey(data)
}

// treeState is Tessera's word on the tree.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func (d *Dir) state() (s treeState, err error) {
	data, err := readRegular(filepath.Join(d.root, ".state", "treeState"), maxStateBytes)
	if err != nil {
		return s, err
	}
	err = json.Unmarshal(data, &s)
	if same, _ := json.Marshal(s); err != nil || len(s.Root) != 32 || string(same) != string(data) {
		return s, errors.New(".state/treeState cannot be read")
	}
	return s, nil
}

// snapshot reads the state of the tree and the journal's records that were not in it then. Where the log is at work the journal
// may be read just as it changes: what is really damaged is so the next time too. The error journal is about it alone.
func (d *Dir) snapshot(ctx context.Context) (s treeState, records [][]byte, journal, err error) {
	for try := 0; ; try++ {
		if s, err = d.state(); err != nil {
			return s, nil, nil, err
		}
		if records, _, journal = readJournal(filepath.Join(d.root, "journal"), s.Size); journal == nil || try == 10 {
			return s, records, journal, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return s, nil, nil, ctx.Err()
		}
	}
}

// Found is a record and its place.
type Found struct {
	Index  uint64
	Raw    []byte // canonical form
	Record *audit.Record
}

// Records goes through all records in their order, those of the journal too. It ends at the first error.
func (d *Dir) Records(ctx context.Context) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		s, records, journal, err := d.snapshot(ctx)
		if err != nil {
			yield(Found{}, err)
			return
		}
		for index := uint64(0); index < s.Size; {
			bundle, err := readBundle(ctx, d.files, index, s.Size)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Found{Index: index}, err)
				return
			}
			for _, raw := range bundle {
				if !yieldRecord(yield, index, raw) {
					return
				}
				index++
			}
		}
		if journal != nil {
			yield(Found{Index: s.Size}, journal)
			return
		}
		for i, raw := range records {
			if !yieldRecord(yield, s.Size+uint64(i), raw) {
				return
			}
		}
	}
}

func yieldRecord(yield func(Found, error) bool, index uint64, raw []byte) bool {
	r, err := audit.Parse(raw)
	if err != nil {
		return yield(Found{Index: index}, fmt.Errorf("record %d: %w", index, err)) && false
	}
	return yield(Found{index, raw, r}, nil)
}

// Receipt proves a record under the newest checkpoint. The error is a *report.Error with RecordUnknown when that does not cover
// it.
func (d *Dir) Receipt(ctx context.Context, index uint64) (*audit.Receipt, error) {
	raw, c, err := d.Checkpoint()
	if err != nil {
		return nil, err
	}
	if index >= c.Size {
		return nil, report.Errorf(report.RecordUnknown, report.Place{},
			"the newest checkpoint covers %d records, numbered from 0; the one asked for has number %d", c.Size, index)
	}
	record, err := readRecord(ctx, d.files, index, c.Size)
	if err != nil {
		return nil, err
	}
	proofs, err := client.NewProofBuilder(ctx, c.Size, d.files.ReadTile)
	if err != nil {
		return nil, err
	}
	path, err := proofs.InclusionProof(ctx, index)
	if err != nil {
		return nil, err
	}
	return &audit.Receipt{Log: c.Origin, Index: index, Record: *record, Proof: path, Checkpoint: raw}, nil
}
