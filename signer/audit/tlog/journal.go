package tlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The journal is where a record becomes durable: files written one after another, in groups, each group with one write and one
// fdatasync. What is in the tree is deleted from the journal; what is in the journal only is put into the tree at the next
// start. Integers are big-endian.
//
//	spare    zeros, preallocated: the next segment, not begun yet
//	segment  magic(16) first(8) crc32c(4) zero(484), then groups; preallocated
//	group    magic(4) length(4) first(8) count(4) crc32c(4), length octets, zeros up to the next multiple of 512
//	         the octets are count times length(4) record; the checksum covers all of it but itself
//
// first is the index of the first record. Groups of a segment have been written one after the other, each durable before the
// next was begun: damage before a group that is whole is not the trace of a crash. Nor is damage in the last one that a crash
// cannot have done: blocks reach the disk whole or not at all, so a write that was cut short lacks one.
const (
	segmentMagic  = "epov-journal-1\n\x00"
	groupMagic    = 0x65706a31 // "epj1"
	groupHeader   = 24
	blockBytes    = 512
	segmentBytes  = 4 << 20
	maxGroupBytes = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// file is what the journal needs of its files.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Sync() error // of the data and of what is needed to read it
	Close() error
}

type osFile struct {
	*os.File
	flusher *flusher // may be nil
}

func (f osFile) Sync() error {
	if f.flusher != nil {
		if err := f.flusher.datasync(int(f.Fd())); !errors.Is(err, errNotSubmitted) {
			return err
		}
	}
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// create makes a file that must not be there, with room for size octets where the file system can reserve it.
func create(name string, size int64) (file, error) { return (*flusher)(nil).create(name, size) }

// create is the same for a file that f makes durable.
func (f *flusher) create(name string, size int64) (file, error) {
	file, err := reserve(name, size)
	if err != nil {
		return nil, err
	}
	return osFile{file, f}, nil
}

func reserve(name string, size int64) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Fallocate(int(f.Fd()), 0, 0, size)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return nil, errors.Join(&os.PathError{Op: "fallocate", Path: name, Err: err}, f.Close(), os.Remove(name))
	}
	if err := zero(f, size); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(name))
	}
	return f, nil
}

// zero writes the reserved room once: what is then written over it needs no word of the file system's own journal to become
// durable, which everybody who syncs would wait for together.
func zero(f *os.File, size int64) error {
	block := make([]byte, 256<<10)
	for at := int64(0); at < size; at += int64(len(block)) {
		if _, err := f.WriteAt(block[:min(size-at, int64(len(block)))], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// journal is used by one goroutine, but for trim.
type journal struct {
	dir    string
	create func(name string, size int64) (file, error)
	file   file // nil: the next write begins a segment
	at     int64

	beside func(func()) // runs what makes the next segment ready; nil: each is made when it is needed
	spare  <-chan spare // gives that segment once; nil: it is not being made
	log    *slog.Logger // may be nil
}

func segmentName(first uint64) string { return fmt.Sprintf("%020d.journal", first) }

// segments lists the first indexes of the segments in order.
func segments(dir string) ([]uint64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []uint64
	for _, e := range entries {
		if e.Name() == spareName {
			continue
		}
		digits, ok := strings.CutSuffix(e.Name(), ".journal")
		first, err := strconv.ParseUint(digits, 10, 63)
		if !ok || err != nil || segmentName(first) != e.Name() {
			return nil, fmt.Errorf("%s is not a file of the journal", filepath.Join(dir, e.Name()))
		}
		list = append(list, first)
	}
	slices.Sort(list)
	return list, nil
}

// write makes a group durable. buf has groupHeader octets of room and then the framed records; it may be extended. After an
// error none, some or all of it may be found again if the process ends now; a later write begins a new segment, which
// overrules what this one left.
func (j *journal) write(first uint64, count int, buf []byte) error {
	binary.BigEndian.PutUint32(buf, groupMagic)
	binary.BigEndian.PutUint32(buf[4:], uint32(len(buf)-groupHeader))
	binary.BigEndian.PutUint64(buf[8:], first)
	binary.BigEndian.PutUint32(buf[16:], uint32(count))
	binary.BigEndian.PutUint32(buf[20:], groupSum(buf))
	if rest := len(buf) % blockBytes; rest > 0 {
		buf = append(buf, make([]byte, blockBytes-rest)...)
	}
	if j.file != nil && j.at+int64(len(buf)) > segmentBytes {
		if err := j.abandon(); err != nil {
			return err
		}
	}
	if j.file == nil {
		if err := j.begin(first); err != nil {
			return err
		}
	}
	_, err := j.file.WriteAt(buf, j.at)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		_ = j.abandon() // what this file holds is in doubt, and so is every later word about it
		return err
	}
	j.at += int64(len(buf))
	return nil
}

func groupSum(group []byte) uint32 {
	return crc32.Update(crc32.Checksum(group[:20], castagnoli), castagnoli, group[groupHeader:])
}

// begin makes the segment that starts with record first, and has the next one made ready.
func (j *journal) begin(first uint64) error {
	if !j.takeSpare(first) {
		name := filepath.Join(j.dir, segmentName(first))
		if err := removeIfThere(name); err != nil { // it holds no durable group: a write failed in it
			return err
		}
		f, err := j.create(name, segmentBytes)
		if err != nil {
			return err
		}
		if err := j.enter(f, name, first); err != nil {
			return err
		}
	}
	j.prepare()
	return nil
}

// enter begins the segment in a file that has room for it under the name it has been made with. One that has the segment's
// name by now holds no durable group.
func (j *journal) enter(f file, made string, first uint64) error {
	header := make([]byte, blockBytes)
	copy(header, segmentMagic)
	binary.BigEndian.PutUint64(header[16:], first)
	binary.BigEndian.PutUint32(header[24:], crc32.Checksum(header[:24], castagnoli))
	_, err := f.WriteAt(header, 0)
	if err == nil {
		err = f.Sync()
	}
	name := filepath.Join(j.dir, segmentName(first))
	if err == nil && name != made {
		if err = os.Rename(made, name); err == nil {
			made = name
		}
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close(), removeIfThere(made))
	}
	j.file, j.at = f, blockBytes
	return nil
}

func (j *journal) abandon() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// trim deletes the segments whose records are all below the index, but never the newest, which may be at work.
func trim(dir string, below uint64) error {
	list, err := segments(dir)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(list) && list[i+1] <= below; i++ {
		if err := os.Remove(filepath.Join(dir, segmentName(list[i]))); err != nil {
			return err
		}
	}
	return nil
}

// clear deletes all segments. None is open, and all records are in the tree.
func (j *journal) clear() error {
	list, err := segments(j.dir)
	for _, first := range list {
		err = errors.Join(err, os.Remove(filepath.Join(j.dir, segmentName(first))))
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
