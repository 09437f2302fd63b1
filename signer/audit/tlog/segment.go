package tlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
)

// maxSegmentBytes bounds a segment that is read: one group may go beyond segmentBytes, of what had to wait while nothing could
// be written.
const maxSegmentBytes = segmentBytes + 2*maxQueueBytes

// readJournal gives the records from index from on, and how many octets at the end were left by a write that a crash cut
// short. It refuses a journal that lacks a record, or that is damaged in a way no crash leaves.
func readJournal(dir string, from uint64) (records [][]byte, torn int, err error) {
	list, err := segments(dir)
	if err != nil {
		return nil, 0, err
	}
	next := from
	for i, first := range list {
		last := i == len(list)-1
		if !last && list[i+1] <= from {
			continue // all of it is in the tree
		}
		name := filepath.Join(dir, segmentName(first))
		data, err := readRegular(name, maxSegmentBytes)
		if err != nil {
			return nil, 0, err
		}
		if first > next {
			return nil, 0, fmt.Errorf("%s: records %d to %d are missing before it", name, next, first-1)
		}
		end := uint64(1) << 63
		if !last {
			end = list[i+1]
		}
		s := segment{data: data, next: first}
		if !s.header(first) {
			if !last || len(data) >= blockBytes && !isZero(data[:blockBytes]) {
				return nil, 0, fmt.Errorf("%s is damaged in its header", name)
			}
			if whole := s.wholeGroupAfter(0); whole >= 0 {
				return nil, 0, fmt.Errorf("%s is damaged in its header: there is a whole group at octet %d", name, whole)
			}
			return records, len(data), nil // was being made
		}
		for s.next < end && s.group() {
			for n, record := range s.records {
				if index := s.next - uint64(len(s.records)) + uint64(n); index >= next && index < end {
					records = append(records, record)
					next++
				}
			}
		}
		if !last && next < end {
			return nil, 0, fmt.Errorf("%s: records %d to %d are missing in it", name, next, end-1)
		}
		if last {
			if whole := s.wholeGroupAfter(s.at); whole >= 0 && s.next < end {
				return nil, 0, fmt.Errorf("%s is damaged at octet %d: there is a whole group after it, at octet %d", name, s.at, whole)
			}
			if torn = s.rest(); torn > 0 && !s.cutShort(from) {
				return nil, 0, fmt.Errorf("%s is damaged at octet %d: no crash leaves what is there", name, s.at)
			}
		}
	}
	return records, torn, nil
}

// segment is a file of the journal that is being read.
type segment struct {
	data    []byte
	at      int
	next    uint64   // index of the record after those read so far
	records [][]byte // of the group that was read last
}

func (s *segment) header(first uint64) bool {
	if len(s.data) < blockBytes || string(s.data[:16]) != segmentMagic || binary.BigEndian.Uint64(s.data[16:]) != first ||
		binary.BigEndian.Uint32(s.data[24:]) != crc32.Checksum(s.data[:24], castagnoli) || !isZero(s.data[28:blockBytes]) {
		return false
	}
	s.at = blockBytes
	return true
}

// group reads one group; false at the end of those that are whole.
func (s *segment) group() bool {
	records, size := parseGroup(s.data[s.at:], s.next)
	if records == nil {
		return false
	}
	s.records = records
	s.next += uint64(len(records))
	s.at = min(s.at+size, len(s.data))
	return true
}

// parseGroup reads the group that starts with record first; nil when there is none.
func parseGroup(b []byte, first uint64) (records [][]byte, size int) {
	if len(b) < groupHeader || binary.BigEndian.Uint32(b) != groupMagic || binary.BigEndian.Uint64(b[8:]) != first {
		return nil, 0
	}
	length, count := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[16:])
	if uint64(length) > uint64(len(b)-groupHeader) || count == 0 || uint64(count)*4 > uint64(length) {
		return nil, 0
	}
	group := b[:groupHeader+int(length)]
	if groupSum(group) != binary.BigEndian.Uint32(b[20:]) {
		return nil, 0
	}
	records = make([][]byte, 0, count)
	for rest := group[groupHeader:]; len(rest) > 0; {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return nil, 0
		}
		n := 4 + int(binary.BigEndian.Uint32(rest))
		records = append(records, rest[4:n:n])
		rest = rest[n:]
	}
	if len(records) != int(count) {
		return nil, 0
	}
	size = blocks(len(group))
	if !isZero(b[len(group):min(size, len(b))]) {
		return nil, 0
	}
	return records, size
}

// blocks rounds up to whole blocks.
func blocks(n int) int { return (n + blockBytes - 1) / blockBytes * blockBytes }

var zeros [blockBytes]byte

// isZero is for at most a block.
func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }

// cutShort decides whether what follows the whole groups may be of a write that a crash cut short, or is of no concern: its
// records are in the tree, which has those below from. Every block of a group has something else than zeros in it.
func (s *segment) cutShort(from uint64) bool {
	b := s.data[s.at:]
	if len(b) < blockBytes || isZero(b[:blockBytes]) {
		return true
	}
	if binary.BigEndian.Uint32(b) != groupMagic || binary.BigEndian.Uint64(b[8:]) != s.next {
		return false
	}
	length, count := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[16:])
	if s.next+uint64(count) <= from {
		return true
	}
	if wholeButForLength(b, int(count)) {
		return false
	}
	end := blocks(groupHeader + int(length))
	for at := 0; at < end; at += blockBytes {
		if at+blockBytes > len(b) || isZero(b[at:at+blockBytes]) {
			return true
		}
	}
	return false
}

// wholeButForLength reports whether b is a group all of which is there, and whose length alone is wrong.
func wholeButForLength(b []byte, count int) bool {
	at := groupHeader
	for range count {
		if len(b)-at < 4 || uint64(binary.BigEndian.Uint32(b[at:])) > uint64(len(b)-at-4) {
			return false
		}
		at += 4 + int(binary.BigEndian.Uint32(b[at:]))
	}
	group := bytes.Clone(b[:at])
	binary.BigEndian.PutUint32(group[4:], uint32(at-groupHeader))
	return groupSum(group) == binary.BigEndian.Uint32(b[20:])
}

// wholeGroupAfter finds a group that was written after what is damaged at an offset; -1 when there is none.
func (s *segment) wholeGroupAfter(at int) int {
	for at += blockBytes; at+groupHeader <= len(s.data); at += blockBytes {
		b := s.data[at:]
		if first := binary.BigEndian.Uint64(b[8:]); first >= s.next {
			if records, _ := parseGroup(b, first); records != nil {
				return at
			}
		}
	}
	return -1
}

// rest is how many octets follow up to the last that is not zero.
func (s *segment) rest() int {
	end := len(s.data)
	for end > s.at && s.data[end-1] == 0 {
		end--
	}
	return end - s.at
}

// lacksJournal reports whether no segment is there. The newest one stays, even when all of its records are in the tree, unless
// its room was needed and the disk was full.
func lacksJournal(dir string) bool {
	list, err := segments(dir)
	return err == nil && len(list) == 0
}
