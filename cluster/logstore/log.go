package logstore

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// entryOverhead is what an entry costs on disk beside its data and extensions,
// about: keys and values of the encoding, and bbolt's element and key.
const entryOverhead = 96

func entrySize(l *raft.Log) int64 {
	return int64(len(l.Data) + len(l.Extensions) + entryOverhead)
}

// FirstIndex returns the index of the first entry, 0 when the log is empty.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.span.first, nil
}

// LastIndex returns the index of the last entry, 0 when the log is empty.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.span.last(), nil
}

// GetLog reads an entry. It returns raft.ErrLogNotFound outside the log; inside
// it, an entry that is missing or damaged stops the store.
func (s *Store) GetLog(index uint64, out *raft.Log) error {
	if !s.guard.failed.Load() && s.cache.get(index, out) {
		return nil
	}
	if !s.has(index) {
		return raft.ErrLogNotFound
	}
	*out = raft.Log{} // its slices may be the cache's, and decoding would reuse them
	err := s.guard.read(func() error {
		if err := s.entries.GetLog(index, out); err != nil {
			return err
		}
		if out.Index != index {
			return fmt.Errorf("its index reads %d", out.Index)
		}
		return checkSeal(out)
	})
	switch {
	case err == ErrClosed:
		s.cfg.Left()
		return err
	case err == nil:
		return nil
	case !s.has(index): // deleted in the meantime
		return raft.ErrLogNotFound
	default:
		return s.guard.fail(fmt.Errorf("read entry %d: %w", index, err))
	}
}

func (s *Store) has(index uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.span.has(index)
}

// StoreLog stores one entry.
func (s *Store) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores entries durably, all or none. Their indexes must
// continue the log, unless it is empty. Entries without a seal get one, in place;
// sealed ones, which come from a leader, must be undamaged. Those that StoreAhead
// stored are not written again.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.guard.pass(); err != nil { // before the lock, which a hung append holds
		return err
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	missing, err := s.adopt(logs)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		err := s.write("store entries", func() error {
			if err := s.admit(logs); err != nil {
				return err
			}
			s.cfg.Storing(s.lastTerm, missing)
			return s.entries.StoreLogs(missing)
		})
		if err != nil {
			return err
		}
	}
	s.lastTerm = logs[len(logs)-1].Term
	s.mu.Lock()
	for _, l := range logs {
		s.span.add(l.Index, entrySize(l))
	}
	s.mu.Unlock()
	s.cache.add(logs)
	if s.quiet != nil {
		s.quiet.Reset(markAfter)
	}
	return nil
}

// admit checks that the entries continue the log, and their seals.
func (s *Store) admit(logs []*raft.Log) error {
	s.mu.RLock()
	next := s.span.last() + 1
	if s.span.empty() {
		next = logs[0].Index
	}
	s.mu.RUnlock()
	seals := make([]byte, sealSize*len(logs))
	for i, l := range logs {
		if l.Index != next+uint64(i) {
			return fmt.Errorf("entry %d would leave a hole, the log continues at %d", l.Index, next+uint64(i))
		}
		if _, _, sealed := splitSeal(l.Extensions); !sealed {
			seal(l, seals[sealSize*i:])
		} else if err := checkSeal(l); err != nil {
			return err
		}
	}
	return nil
}

// The bounds of one bbolt transaction of DeleteRange, so that stores in between
// wait for a short one only.
const (
	deleteEntries = 1024
	deleteBytes   = 16 << 20
)

// DeleteRange deletes the entries from lo to hi, both included, of which one must
// be an end of the log. A prefix goes from the front, while appends go on. A
// suffix goes from the back, so that what a crash leaves has no hole; so does the
// whole log, which Raft deletes when it installed a snapshot: what a crash leaves
// is then a log that DropSuperseded recognises.
func (s *Store) DeleteRange(lo, hi uint64) error {
	if err := s.guard.pass(); err != nil {
		return err
	}
	s.appendMu.Lock()
	s.mu.RLock()
	sp := s.span
	s.mu.RUnlock()
	lo, hi = max(lo, sp.first), min(hi, sp.last())
	switch {
	case sp.empty() || lo > hi:
		s.appendMu.Unlock()
		return nil
	case hi == sp.last():
		defer s.appendMu.Unlock()
		s.lastTerm = 0
		if err := s.dropAhead(); err != nil {
			return err
		}
		return s.deleteBack(lo, hi)
	case lo == sp.first:
		s.appendMu.Unlock()
		return s.deleteFront(lo, hi)
	default:
		s.appendMu.Unlock()
		return s.guard.fail(fmt.Errorf("delete entries %d to %d would leave a hole in %d to %d", lo, hi, sp.first, sp.last()))
	}
}

// deleteFront first hides entries, then deletes them: nobody may be given an
// entry that is being deleted.
func (s *Store) deleteFront(lo, hi uint64) error {
	for lo <= hi {
		s.mu.Lock()
		to := lo + min(hi-lo, s.deleteEntries-1)
		for to > lo && s.span.end(to)-s.span.end(lo-1) > s.deleteBytes {
			to = lo + (to-lo)/2
		}
		s.span.dropThrough(to)
		s.mu.Unlock()
		s.cache.dropThrough(to)
		if err := s.write("delete entries", func() error { return s.entries.DeleteRange(lo, to) }); err != nil {
			return err
		}
		lo = to + 1
	}
	return nil
}

// deleteBack does the same from the other end; hi is the last entry.
func (s *Store) deleteBack(lo, hi uint64) error {
	for lo <= hi {
		s.mu.Lock()
		from := hi - min(hi-lo, s.deleteEntries-1)
		for from < hi && s.span.end(hi)-s.span.end(from-1) > s.deleteBytes {
			from = hi - (hi-from)/2
		}
		s.span.dropFrom(from)
		s.mu.Unlock()
		s.cache.dropFrom(from)
		if err := s.write("delete entries", func() error { return s.entries.DeleteRange(from, hi) }); err != nil {
			return err
		}
		hi = from - 1
	}
	return nil
}

// BytesSince returns how much log follows the entry of that index, in bytes. A
// snapshot is due when BytesSince(its index) is large.
func (s *Store) BytesSince(index uint64) int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.span.since(index)
}

// TailEntries returns how many of the newest entries have at most n bytes
// together: what to keep as raft.Config.TrailingLogs to keep a tail of n bytes.
func (s *Store) TailEntries(n int64) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.span.empty() {
		return 0
	}
	return s.span.last() + 1 - s.span.tail(n)
}
