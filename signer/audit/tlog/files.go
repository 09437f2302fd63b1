package tlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/sys/unix"

	"github.com/epov-signer/epov/signer/audit"
)

const (
	maxStateBytes = 4 << 10
	maxTileBytes  = layout.TileWidth * 32
	// maxBundleBytes bounds a file of records: c2sp.org/tlog-tiles has two octets for the length of each.
	maxBundleBytes = layout.EntryBundleWidth * (2 + 1<<16)
)

// readRegular reads a file of at most limit octets. What is not a file is refused: a directory may come from anywhere, with
// links to elsewhere or pipes that never end in it.
func readRegular(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", name)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s has %d octets, the limit is %d", name, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) { // shorter than a moment ago
		err = nil
	}
	return data[:n], err
}

// files are those of a log, as tessera's client wants them.
type files struct{ root string }

func (f files) ReadCheckpoint(context.Context) ([]byte, error) {
	return readRegular(filepath.Join(f.root, layout.CheckpointPath), audit.MaxCheckpointBytes)
}

func (f files) ReadTile(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
	return f.partOrWhole(layout.TilePath(level, index, partial), layout.TilePath(level, index, 0), maxTileBytes)
}

func (f files) ReadEntryBundle(_ context.Context, index uint64, partial uint8) ([]byte, error) {
	return f.partOrWhole(layout.EntriesPath(index, partial), layout.EntriesPath(index, 0), maxBundleBytes)
}

// partOrWhole reads a file that may have been overtaken by its full state.
func (f files) partOrWhole(part, whole string, limit int64) ([]byte, error) {
	data, err := readRegular(filepath.Join(f.root, part), limit)
	if errors.Is(err, os.ErrNotExist) && part != whole {
		return readRegular(filepath.Join(f.root, whole), limit)
	}
	return data, err
}
