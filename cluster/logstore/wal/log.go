package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/turn"
)

// DefaultSegment is the size of a segment file in bytes. A batch that does not
// fit gets a larger one of its own.
const DefaultSegment = 32 << 20

// ID tells one log's files from another's.
type ID [16]byte

// Log is an open log. After an error of a method that writes, nothing is known of
// what is durable: the log must not be written to any more (see logstore's guard).
type Log struct {
	dir     string
	id      ID
	size    int64
	spare   spare
	tornOff int64 // bytes that Open dropped

	wmu    turn.Lock // one write at a time
	disk   Disk      // nil: nobody watches
	buf    []byte
	marked bool // nothing was written since the last mark
	sealed bool // Open: the last frame said that another segment follows

	mu       sync.RWMutex // guards the rest; held for writing only while memory changes
	segments []*segment   // by number; the last one is the tail
	first    uint64       // 0: empty
	last     uint64
}

// First returns the index of the first entry, 0 when the log is empty.
func (l *Log) First() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first
}

// Last returns the index of the last entry, 0 when the log is empty.
func (l *Log) Last() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last
}

// Files returns the size of all files in bytes.
func (l *Log) Files() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := l.spare.bytes()
	for _, s := range l.segments {
		n += s.size
	}
	return n
}

// Torn returns how many bytes of an unfinished write Open dropped.
func (l *Log) Torn() int64 { return l.tornOff }

// Append makes entries durable, all or none. Their indexes must be contiguous and
// continue the log, unless it is empty.
func (l *Log) Append(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if last := l.Last(); last != 0 && logs[0].Index != last+1 {
		return fmt.Errorf("append entry %d after entry %d", logs[0].Index, last)
	}
	for i, e := range logs {
		if e.Index != logs[0].Index+uint64(i) {
			return fmt.Errorf("append entry %d in the place of entry %d", e.Index, logs[0].Index+uint64(i))
		}
	}
	size := batchSize(logs)
	tail, err := l.room(frameSize(size))
	if err != nil {
		return err
	}
	l.buf = appendBatch(begin(l.buf), logs)
	at, err := l.write(tail, kindBatch)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 {
		l.first = logs[0].Index
	}
	l.last = logs[len(logs)-1].Index
	at += frameHead + batchHead
	for _, e := range logs {
		tail.add(e.Index, at)
		at += entryHead + int64(len(e.Extensions)+len(e.Data))
	}
	return nil
}

// write finishes the frame in buf, writes it at the tail's end and makes it
// durable. It returns where it stands.
func (l *Log) write(tail *segment, kind uint32) (int64, error) {
	at := tail.end
	l.buf = finish(l.buf, kind, tail.salt, at)
	if err := l.put(tail.file, l.buf, at); err != nil {
		return 0, fmt.Errorf("write log: %w", err)
	}
	if err := tail.fillAhead(at + int64(len(l.buf))); err != nil {
		return 0, fmt.Errorf("write log: %w", err)
	}
	if err := l.sync(tail.file); err != nil {
		return 0, fmt.Errorf("sync log: %w", err)
	}
	tail.end = at + int64(len(l.buf))
	l.marked = kind == kindMark
	const keep = 1 << 20 // an unusually large batch does not stay in memory
	if cap(l.buf) > keep {
		l.buf = nil
	}
	return at, nil
}

// room returns the tail with room for a frame of that size: a new one if needed.
func (l *Log) room(size int64) (*segment, error) {
	tail := l.segments[len(l.segments)-1]
	if tail.end+size+frameSize(0) <= tail.size { // a seal fits behind it
		return tail, nil
	}
	l.mu.RLock()
	h := head{id: l.id, number: tail.number + 1, first: l.first, next: l.last + 1}
	l.mu.RUnlock()
	if h.first == 0 {
		h.next = 0
	}
	h.size = max(l.size, segmentHead+size+frameSize(0))
	path, err := l.spare.take(l.dir, h.size)
	if err != nil {
		return nil, err
	}
	next, err := beginSegment(l.dir, path, h, l.syncNames)
	if err != nil {
		return nil, err
	}
	l.buf = begin(l.buf)
	if _, err := l.write(tail, kindSeal); err != nil { // from now on, without the next one the log is not whole
		return nil, errors.Join(err, next.file.Close())
	}
	l.mu.Lock()
	l.segments = append(l.segments, next)
	l.mu.Unlock()
	l.spare.prepare(l.dir, l.size)
	return next, nil
}

// Get reads an entry; found is false outside the log.
func (l *Log) Get(index uint64, out *raft.Log) (found bool, err error) {
	l.mu.RLock() // also keeps the file open
	defer l.mu.RUnlock()
	if l.first == 0 || index < l.first || index > l.last {
		return false, nil
	}
	s := l.holder(index)
	if s == nil {
		return true, fmt.Errorf("entry %d is in no segment: %w", index, ErrDamaged)
	}
	return true, s.read(index, out)
}

// holder returns the segment that holds an entry. Called with mu held.
func (l *Log) holder(index uint64) *segment {
	for i := len(l.segments) - 1; i >= 0; i-- { // mostly new ones are read
		if s := l.segments[i]; len(s.offsets) > 0 && index >= s.base {
			if index > s.last() {
				return nil
			}
			return s
		}
	}
	return nil
}

// read reads one entry of the segment.
func (s *segment) read(index uint64, out *raft.Log) error {
	at := int64(s.offsets[index-s.base])
	var b [entryHead]byte
	if _, err := s.file.ReadAt(b[:], at); err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	n := entryLen(b[:])
	if n > s.size-at {
		return fmt.Errorf("entry %d has %d bytes, more than its file: %w", index, n, ErrDamaged)
	}
	whole := make([]byte, n)
	if _, err := s.file.ReadAt(whole, at); err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	return decodeEntry(whole, index, out)
}

// DropBack deletes the entries from index on, durably.
func (l *Log) DropBack(from uint64) error {
	return l.drop(kindDropBack, from)
}

// DropFront deletes the entries up to index, durably, and frees the files that
// hold nothing else.
func (l *Log) DropFront(through uint64) error {
	if err := l.drop(kindDropFront, through); err != nil {
		return err
	}
	return l.free()
}

func (l *Log) drop(kind uint32, index uint64) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	tail, err := l.room(frameSize(8))
	if err != nil {
		return err
	}
	l.buf = binary.LittleEndian.AppendUint64(begin(l.buf), index)
	if _, err := l.write(tail, kind); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropped(kind, index)
	return nil
}

// dropped takes deleted entries out of the index. Called with mu held.
func (l *Log) dropped(kind uint32, index uint64) {
	if l.first == 0 {
		return
	}
	for _, s := range l.segments {
		if kind == kindDropBack {
			s.dropFrom(index)
		} else {
			s.dropThrough(index)
		}
	}
	if kind == kindDropBack {
		l.last = min(l.last, index-1)
	} else {
		l.first = max(l.first, index+1)
	}
	if l.first > l.last {
		l.first, l.last = 0, 0
	}
}

// free removes the oldest files while they hold nothing. The tail stays: it may
// hold what deletes entries of the others.
func (l *Log) free() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	for {
		l.mu.Lock()
		if len(l.segments) == 1 || len(l.segments[0].offsets) > 0 {
			l.mu.Unlock()
			return nil
		}
		old := l.segments[0]
		l.segments = l.segments[1:]
		l.mu.Unlock()
		if err := errors.Join(old.file.Close(), l.spare.put(l.dir, old, l.size, l.syncNames)); err != nil {
			return fmt.Errorf("free log segment: %w", err)
		}
	}
}

// Mark makes it durable that everything before was durable: from here on damage
// to the last batch is told from a torn write. It does nothing if the last frame
// is a mark.
func (l *Log) Mark() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if l.marked {
		return nil
	}
	tail, err := l.room(frameSize(0))
	if err != nil {
		return err
	}
	l.buf = begin(l.buf)
	_, err = l.write(tail, kindMark)
	return err
}

// Close closes the files. It waits for a write.
func (l *Log) Close() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.spare.wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.segments {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}
