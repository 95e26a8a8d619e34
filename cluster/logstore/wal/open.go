package wal

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/turn"
)

// Create makes an empty log and returns its id. The directory appears whole or
// not at all.
func Create(dir string, size int64) (ID, error) {
	id := ID(make([]byte, len(ID{})))
	if _, err := rand.Read(id[:]); err != nil {
		return id, fmt.Errorf("create log: %w", err)
	}
	making := dir + ".tmp"
	if err := os.RemoveAll(making); err != nil {
		return id, fmt.Errorf("create log: %w", err)
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return id, fmt.Errorf("create log: %w", err)
	}
	spare := filepath.Join(making, spareName)
	if err := makeSpare(spare, size); err != nil {
		return id, err
	}
	s, err := beginSegment(making, spare, head{id: id, number: 1, size: size}, func() error { return datadir.SyncDir(making) })
	if err != nil {
		return id, err
	}
	if err := s.file.Close(); err != nil {
		return id, fmt.Errorf("create log: %w", err)
	}
	if err := os.Rename(making, dir); err != nil {
		return id, fmt.Errorf("create log: %w", err)
	}
	return id, datadir.SyncDir(filepath.Dir(dir))
}

// Identify returns the id of the log in a directory.
func Identify(dir string) (ID, error) {
	numbers, err := list(dir)
	if err != nil {
		return ID{}, err
	}
	f, err := os.Open(filepath.Join(dir, segmentName(numbers[0])))
	if err != nil {
		return ID{}, fmt.Errorf("open log segment: %w", err)
	}
	defer f.Close()
	h, err := readHead(f)
	if err != nil {
		return ID{}, fmt.Errorf("%s: %w", segmentName(numbers[0]), err)
	}
	return h.id, nil
}

// list returns the numbers of the segments, in order, without a gap.
func list(dir string) ([]uint64, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list log segments: %w", err)
	}
	var numbers []uint64
	for _, f := range files {
		number, ok := parseName(f.Name())
		switch {
		case ok:
			numbers = append(numbers, number)
		case f.Name() != spareName && f.Name() != begunName:
			return nil, fmt.Errorf("%s is no file of the log: move it away", filepath.Join(dir, f.Name()))
		}
	}
	slices.Sort(numbers)
	if len(numbers) == 0 {
		return nil, fmt.Errorf("no log segment in %s: %w", dir, ErrDamaged)
	}
	for i, n := range numbers {
		if n != numbers[0]+uint64(i) {
			return nil, fmt.Errorf("log segment %s is missing: %w", segmentName(numbers[0]+uint64(i)), ErrDamaged)
		}
	}
	return numbers, nil
}

// Open reads the whole log and checks it. Each entry that was ever written is
// shown to check, in the order of writing; what it points to is valid during the
// call. Size is that of new segments, DefaultSegment outside tests.
func Open(dir string, size int64, check func(*raft.Log) error) (_ *Log, err error) {
	numbers, err := list(dir)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, size: size, wmu: turn.New()}
	defer func() {
		if err != nil {
			for _, s := range l.segments {
				err = errors.Join(err, s.file.Close())
			}
		}
	}()
	for _, n := range numbers {
		if err := l.load(n, check); err != nil {
			return nil, fmt.Errorf("%s: %w", segmentName(n), err)
		}
	}
	if l.sealed {
		return nil, fmt.Errorf("log segment %s is missing: %w", segmentName(numbers[len(numbers)-1]+1), ErrDamaged)
	}
	if err := l.whole(); err != nil {
		return nil, err
	}
	if err := removeSpares(dir); err != nil {
		return nil, err
	}
	return l, l.free()
}

func removeSpares(dir string) error {
	for _, name := range []string{spareName, begunName} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove spare log segment: %w", err)
		}
	}
	return nil
}

// whole reports an error unless every entry of the log is in a segment.
func (l *Log) whole() error {
	next := l.first
	for _, s := range l.segments {
		if len(s.offsets) == 0 {
			continue
		}
		if s.base != next {
			return fmt.Errorf("entries %d to %d are missing: %w", next, s.base-1, ErrDamaged)
		}
		next = s.last() + 1
	}
	if l.first != 0 && next != l.last+1 {
		return fmt.Errorf("entries %d to %d are missing: %w", next, l.last, ErrDamaged)
	}
	return nil
}

// load reads a segment and follows what its frames say.
func (l *Log) load(number uint64, check func(*raft.Log) error) error {
	f, err := os.OpenFile(filepath.Join(l.dir, segmentName(number)), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	s := &segment{file: f, end: segmentHead}
	l.segments = append(l.segments, s)
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if s.head, err = readHead(f); err != nil {
		return err
	}
	if info.Size() != s.size {
		return fmt.Errorf("%d bytes instead of %d: %w", info.Size(), s.size, ErrDamaged)
	}
	if err := l.fits(s, number); err != nil {
		return err
	}
	s.base, l.sealed = s.next, false
	r := frameReader{file: f, at: segmentHead, size: s.size, salt: s.salt}
	r.in = bufio.NewReaderSize(io.NewSectionReader(f, segmentHead, s.size-segmentHead), 1<<20)
	for {
		fr, ok, err := r.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := l.follow(s, fr, check); err != nil {
			return fmt.Errorf("frame at byte %d: %w", fr.at, err)
		}
		s.end = r.at
	}
	return l.ended(s)
}

// fits checks a segment's header against what came before it.
func (l *Log) fits(s *segment, number uint64) error {
	if s.number != number {
		return fmt.Errorf("it says it is %s: %w", segmentName(s.number), ErrDamaged)
	}
	if len(l.segments) == 1 {
		l.id, l.first = s.id, s.first
		if s.first != 0 {
			l.last = s.next - 1
		}
		return nil
	}
	next := l.last + 1
	if l.first == 0 {
		next = 0
	}
	if s.id != l.id || s.first != l.first || s.next != next {
		return fmt.Errorf("it does not follow the segment before (entries %d to %d, its header says %d and %d): %w",
			l.first, l.last, s.first, s.next, ErrDamaged)
	}
	return nil
}

// follow carries out what a frame says.
func (l *Log) follow(s *segment, fr frame, check func(*raft.Log) error) error {
	if l.sealed {
		return fmt.Errorf("it follows the segment's end: %w", ErrDamaged)
	}
	l.marked, l.sealed = fr.kind == kindMark, fr.kind == kindSeal
	switch fr.kind {
	case kindBatch:
		return walkBatch(fr.payload, func(e *raft.Log, offset int) error {
			if e.Index == 0 || l.first != 0 && e.Index != l.last+1 {
				return fmt.Errorf("entry %d after entry %d: %w", e.Index, l.last, ErrDamaged)
			}
			if err := check(e); err != nil {
				return err
			}
			if l.first == 0 {
				l.first = e.Index
			}
			l.last = e.Index
			s.add(e.Index, fr.at+frameHead+int64(offset))
			return nil
		})
	case kindDropBack, kindDropFront:
		if len(fr.payload) != 8 {
			return fmt.Errorf("deletion of %d bytes: %w", len(fr.payload), ErrDamaged)
		}
		l.dropped(fr.kind, binary.LittleEndian.Uint64(fr.payload))
	}
	return nil
}

// ended decides what the end of the sound frames is: the log's end or a torn
// write, or damage. What a segment that is not the last lost at its end, the
// header of the next one shows.
func (l *Log) ended(s *segment) error {
	sc := scanner{file: s.file, at: s.end, size: s.size, salt: s.salt}
	sound, torn, err := sc.run()
	switch {
	case err != nil:
		return err
	case sound != 0:
		return fmt.Errorf("the frame at byte %d does not check, but one at byte %d does: %w", s.end, sound, ErrDamaged)
	case torn != 0:
		l.tornOff = torn - s.end
	}
	return nil
}
