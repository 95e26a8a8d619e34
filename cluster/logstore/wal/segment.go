package wal

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// segmentHead is the size of a segment's header.
const segmentHead = 64

var magic = [8]byte{'t', 'k', 'r', 'w', 'a', 'l', '0', '1'}

// head is a segment's header.
type head struct {
	id     ID
	number uint64
	first  uint64 // the log's first index when the segment was begun; 0: it was empty
	next   uint64 // the index that came next; 0: any
	size   int64  // of the file
	salt   uint32
}

func (h *head) encode() []byte {
	b := make([]byte, segmentHead)
	copy(b, magic[:])
	copy(b[8:], h.id[:])
	binary.LittleEndian.PutUint64(b[24:], h.number)
	binary.LittleEndian.PutUint64(b[32:], h.first)
	binary.LittleEndian.PutUint64(b[40:], h.next)
	binary.LittleEndian.PutUint64(b[48:], uint64(h.size))
	binary.LittleEndian.PutUint32(b[56:], h.salt)
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func readHead(f io.ReaderAt) (h head, err error) {
	b := make([]byte, segmentHead)
	if _, err := f.ReadAt(b, 0); err != nil {
		if errors.Is(err, io.EOF) {
			return h, fmt.Errorf("truncated: no header: %w", ErrDamaged)
		}
		return h, fmt.Errorf("read header: %w", err)
	}
	if !bytes.Equal(b[:8], magic[:]) {
		return h, fmt.Errorf("not a log segment: %w", ErrDamaged)
	}
	stored, computed := binary.LittleEndian.Uint32(b[60:]), crc32.Checksum(b[:60], castagnoli)
	if stored != computed {
		return h, fmt.Errorf("header checksum mismatch (stored %08x, computed %08x): %w", stored, computed, ErrDamaged)
	}
	copy(h.id[:], b[8:])
	h.number = binary.LittleEndian.Uint64(b[24:])
	h.first = binary.LittleEndian.Uint64(b[32:])
	h.next = binary.LittleEndian.Uint64(b[40:])
	h.size = int64(binary.LittleEndian.Uint64(b[48:]))
	h.salt = binary.LittleEndian.Uint32(b[56:])
	return h, nil
}

// segment is one file. Its offsets are guarded by Log.mu.
type segment struct {
	head
	file *os.File
	end  int64 // where the next frame goes
	used int64 // up to here each block was written before, as far as is known

	base    uint64   // index of the first entry that is still part of the log
	offsets []uint32 // of the entries in the file
}

// last returns the index of the last entry, base-1 when there is none.
func (s *segment) last() uint64 { return s.base + uint64(len(s.offsets)) - 1 }

func (s *segment) add(index uint64, offset int64) {
	if len(s.offsets) == 0 {
		s.base = index
	}
	s.offsets = append(s.offsets, uint32(offset))
}

// dropFrom takes the entries from index on out of the log.
func (s *segment) dropFrom(index uint64) {
	switch {
	case len(s.offsets) == 0:
	case index <= s.base:
		s.offsets = s.offsets[:0]
	case index <= s.last():
		s.offsets = s.offsets[:index-s.base]
	}
}

// dropThrough takes the entries up to index out of the log.
func (s *segment) dropThrough(index uint64) {
	switch {
	case len(s.offsets) == 0 || index < s.base:
	case index >= s.last():
		s.base, s.offsets = index+1, nil
	default:
		s.offsets = s.offsets[index-s.base+1:]
		s.base = index + 1
	}
}

// ahead is what is written behind a frame before it is needed.
var ahead = make([]byte, 256<<10)

// fillAhead fills what follows a small frame, which ends there, with zeros, unless that was
// done. A first write into allocated blocks changes the file's metadata: the sync after
// it waits for the file system's journal, now and then for hundreds of milliseconds
// (docs/PERFORMANCE.md). So one sync pays for the next hundreds; large frames would gain
// nothing.
func (s *segment) fillAhead(end int64) error {
	if end <= s.used {
		return nil
	}
	until := end
	if end-s.end < int64(len(ahead))/4 {
		until = min(end+int64(len(ahead)), s.size)
	}
	if _, err := s.file.WriteAt(ahead[:until-end], end); err != nil {
		return err
	}
	s.used = until
	return nil
}

const (
	suffix    = ".wal"
	spareName = "spare"
	begunName = "begun" // a spare that is being made a segment
)

func segmentName(number uint64) string { return fmt.Sprintf("%016x%s", number, suffix) }

// parseName returns the number in a segment's file name.
func parseName(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, suffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	number, err := strconv.ParseUint(hex, 16, 64)
	return number, err == nil
}

// beginSegment turns a spare file into the segment of that header: it is whole
// and durable before it gets its name, which syncNames makes durable.
func beginSegment(dir, spare string, h head, syncNames func() error) (*segment, error) {
	if err := binary.Read(rand.Reader, binary.LittleEndian, &h.salt); err != nil {
		return nil, fmt.Errorf("begin segment: %w", err)
	}
	f, err := os.OpenFile(spare, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("begin segment: %w", err)
	}
	_, err = f.WriteAt(h.encode(), 0)
	if err == nil {
		err = datasync(f)
	}
	if err == nil {
		err = os.Rename(spare, filepath.Join(dir, segmentName(h.number)))
	}
	if err == nil {
		err = syncNames()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin segment: %w", err), f.Close())
	}
	return &segment{head: h, file: f, end: segmentHead}, nil
}
