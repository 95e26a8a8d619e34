package events

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// A segment is a file named by the first entry that it covers: a header, then blocks.
//
//	header  magic, version, length of the owner, owner, first entry, CRC32C of these
//	block   CRC32C of what follows, length of the records, events, from, to, records
//
// A block covers the entries from and to and all between them; the next one begins
// behind it. A tail that does not fit is cut off when the ring opens.

const (
	segmentMagic   = "taskraft-events\n"
	segmentVersion = 1
	segmentSuffix  = ".events"

	blockHead = 4 + 4 + 4 + 8 + 8
	maxBlock  = 64 << 20 // far above what one entry can make
	markEvery = 64 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("damaged segment")
)

// segment is a file of the ring. Ring.mu guards what changes.
type segment struct {
	path  string
	from  uint64 // first entry that it covers
	to    uint64
	begin int64  // where the first block is
	size  int64  // of what readers may see
	marks []mark // places of some blocks, from the first on; nil: not looked for yet
}

// mark is where the block that begins with an entry is.
type mark struct {
	from   uint64
	offset int64
}

// block is the head of a block.
type block struct {
	crc            uint32
	length, events uint32
	from, to       uint64
}

func segmentPath(dir string, from uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", from, segmentSuffix))
}

// segmentFrom reads the first entry out of a file's name.
func segmentFrom(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	from, err := strconv.ParseUint(digits, 10, 64)
	return from, ok && err == nil && len(digits) == 20
}

// appendHeader appends a segment's header.
func appendHeader(b []byte, owner string, from uint64) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = append(b, segmentVersion)
	b = binary.BigEndian.AppendUint16(b, uint16(len(owner)))
	b = append(b, owner...)
	b = binary.BigEndian.AppendUint64(b, from)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// appendBlock appends a block.
func appendBlock(b []byte, events int, from, to uint64, records []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(records)))
	b = binary.BigEndian.AppendUint32(b, uint32(events))
	b = binary.BigEndian.AppendUint64(b, from)
	b = binary.BigEndian.AppendUint64(b, to)
	b = append(b, records...)
	binary.BigEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	return b
}

func blockOf(head []byte) block {
	return block{
		crc: binary.BigEndian.Uint32(head), length: binary.BigEndian.Uint32(head[4:]), events: binary.BigEndian.Uint32(head[8:]),
		from: binary.BigEndian.Uint64(head[12:]), to: binary.BigEndian.Uint64(head[20:]),
	}
}

// fits reports whether a block can follow entry last.
func (k *block) fits(last uint64) bool {
	return k.from == last+1 && k.to >= last && k.length <= maxBlock
}

// openSegment reads a segment's header and nothing more.
func openSegment(path, owner string, from uint64) (*segment, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	want := appendHeader(nil, owner, from)
	have := make([]byte, len(want))
	if _, err := io.ReadFull(f, have); err != nil {
		return nil, fmt.Errorf("%w: its header: %w", errDamaged, err)
	}
	if string(have) != string(want) {
		return nil, fmt.Errorf("%w: it is of another version, or of another master", errDamaged)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &segment{path: path, from: from, to: from - 1, begin: int64(len(want)), size: info.Size()}, nil
}

// scan reads all blocks up to the end of the file, or the first that is not whole or
// does not follow the one before. It returns the last entry and where its block ends.
func (g *segment) scan(f io.ReaderAt, size int64) (to uint64, end int64, marks []mark) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, g.begin, size-g.begin), 1<<20)
	to, end = g.from-1, g.begin
	head := make([]byte, blockHead)
	var body []byte
	for {
		if _, err := io.ReadFull(in, head); err != nil {
			return to, end, marks
		}
		k := blockOf(head)
		if !k.fits(to) {
			return to, end, marks
		}
		if uint32(cap(body)) < k.length {
			body = make([]byte, k.length)
		}
		body = body[:k.length]
		if _, err := io.ReadFull(in, body); err != nil || crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, body) != k.crc {
			return to, end, marks
		}
		marks = addMark(marks, k.from, end)
		to, end = k.to, end+blockHead+int64(k.length)
	}
}

// addMark notes where a block is, unless one shortly before is noted.
func addMark(marks []mark, from uint64, offset int64) []mark {
	if n := len(marks); n > 0 && offset-marks[n-1].offset < markEvery {
		return marks
	}
	return append(marks, mark{from, offset})
}

// near returns a place at or before the block of an entry.
func near(marks []mark, index uint64) int64 {
	return marks[max(sort.Search(len(marks), func(i int) bool { return marks[i].from > index })-1, 0)].offset
}

// readBlock reads the block at offset into buf, which it may replace.
func readBlock(f io.ReaderAt, offset, size int64, buf []byte) (k block, records, _ []byte, err error) {
	var head [blockHead]byte
	if offset+blockHead > size {
		return k, nil, buf, errDamaged
	}
	if _, err := f.ReadAt(head[:], offset); err != nil {
		return k, nil, buf, err
	}
	k = blockOf(head[:])
	if k.length > maxBlock || offset+blockHead+int64(k.length) > size {
		return k, nil, buf, errDamaged
	}
	if uint32(cap(buf)) < k.length {
		buf = make([]byte, k.length)
	}
	records = buf[:k.length]
	if _, err := f.ReadAt(records, offset+blockHead); err != nil {
		return k, nil, buf, err
	}
	if crc32.Update(crc32.Checksum(head[4:], castagnoli), castagnoli, records) != k.crc {
		return k, nil, buf, errDamaged
	}
	return k, records, buf, nil
}
