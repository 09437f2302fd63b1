package tlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A segment is 4 MiB of zeros that must be on the disk before its first group: several milliseconds for which all callers would
// wait, every few seconds when records come fast. So while one segment fills, the next one is made ready beside it as
// DIR/journal/spare, and takes the name of a segment when its turn comes. Until then it holds nothing: readers pass over it, and
// the next start removes what a crash has left. Where it cannot be made, a segment is made when it is needed.
const spareName = "spare"

// spareHeadroom is what must be free beside a spare: a disk that is nearly full belongs to the tree and to the segments in use.
const spareHeadroom = 2 * headroom

type spare struct {
	file file
	err  error
}

// prepare has the next segment made ready, if none is.
func (j *journal) prepare() {
	if j.beside == nil || j.spare != nil {
		return
	}
	c := make(chan spare, 1)
	j.spare = c
	j.beside(func() {
		f, err := j.makeSpare()
		c <- spare{f, err}
	})
}

func (j *journal) makeSpare() (file, error) {
	name := filepath.Join(j.dir, spareName)
	if err := removeIfThere(name); err != nil {
		return nil, err
	}
	if err := hasRoom(j.dir, segmentBytes+spareHeadroom); err != nil {
		return nil, err
	}
	return j.create(name, segmentBytes)
}

// takeSpare makes the spare, if there is one, the segment that starts with record first. One that is being made is waited for:
// to make another would take longer.
func (j *journal) takeSpare(first uint64) bool {
	if j.spare == nil {
		return false
	}
	s := <-j.spare
	j.spare = nil
	err := s.err
	if err == nil {
		err = j.enter(s.file, filepath.Join(j.dir, spareName), first)
	}
	if err != nil && j.log != nil {
		j.log.Warn("the audit log's next segment was not ready", "error", err)
	}
	return err == nil
}

// dropSpare gives the spare's room back.
func (j *journal) dropSpare() error {
	if j.spare == nil {
		return nil
	}
	s := <-j.spare
	j.spare = nil
	if s.err != nil {
		return nil // there is none
	}
	return errors.Join(s.file.Close(), removeIfThere(filepath.Join(j.dir, spareName)))
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// hasRoom is nil where size octets are free, as far as the file system tells, and may be written.
func hasRoom(dir string, size uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	switch {
	case fs.Flags&unix.ST_RDONLY != 0:
		return &os.PathError{Op: "write", Path: dir, Err: unix.EROFS}
	case fs.Bavail*uint64(fs.Bsize) < size && fs.Blocks > 0:
		return &os.PathError{Op: "write", Path: dir, Err: unix.ENOSPC}
	}
	return nil
}
