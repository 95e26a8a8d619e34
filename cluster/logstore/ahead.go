package logstore

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/logstore/wal"
)

// A leader writes an entry before it sends it, and a follower before it answers:
// two writes, one after the other. To make them at the same time, a leader's store
// gives entries to Config.Storing before it writes them, and a follower's stores
// them behind the end of its log, where Raft does not see them yet. When Raft's
// AppendEntries brings the same entries, they are durable already (Ongaro's thesis,
// §10.2.1: a leader may replicate what it is still writing).
//
// This is safe because it is no more than AppendEntries could do at any time.
// Entries are stored ahead only behind the very entry that they follow in the
// leader's log, and never in a term that this master has left: the log with them is
// one that the leader's AppendEntries would have made. Nobody counts them towards a
// majority, which the answer to AppendEntries does; and an index has one entry in a
// term, whoever stores it first. After a crash they are simply the end of the log.

// The most that is kept ahead: a leader has no more than a few entries in flight.
const (
	maxAhead      = 64
	maxAheadBytes = 4 << 20
)

// ErrNotNext refuses entries that do not continue the log. Raft brings them anyway.
var ErrNotNext = errors.New("the entries do not continue the log")

// ahead are the entries behind the end of the log.
type ahead struct {
	logs  []*raft.Log // under Store.appendMu, as bytes
	bytes int64

	stored atomic.Uint64 // in all
	used   atomic.Uint64 // of these, those that became part of the log
}

// EncodeAhead appends entries, and the term of the one before them, to b.
func EncodeAhead(b []byte, prev uint64, logs []*raft.Log) []byte {
	return wal.AppendEntries(b, prev, logs)
}

// StoreAhead makes entries that EncodeAhead encoded durable behind the end of the
// log. They become part of it when StoreLogs brings the same ones, or when the store
// is opened again. Errors: ErrNotNext, of which a log in bbolt knows no other, what
// is wrong with damaged bytes, ErrClosed. A failed write stops the store, as any
// other does. b belongs to the store from here on.
func (s *Store) StoreAhead(b []byte) error {
	prev, logs, err := wal.DecodeEntries(b)
	if err != nil {
		return err
	}
	for _, l := range logs {
		if err := checkSeal(l); err != nil {
			return err
		}
	}
	if s.wal == nil {
		return ErrNotNext
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	if s.guard.failed.Load() {
		return ErrClosed
	}
	if ok, err := s.isNext(prev, logs); err != nil || !ok {
		return errors.Join(err, ErrNotNext)
	}
	if err := s.write("store entries ahead", func() error { return s.wal.Append(logs) }); err != nil {
		return err
	}
	for _, l := range logs {
		s.ahead.bytes += entrySize(l)
	}
	s.ahead.logs = append(s.ahead.logs, logs...)
	s.ahead.stored.Add(uint64(len(logs)))
	s.quiet.Reset(markAfter)
	return nil
}

// isNext reports whether entries may be stored behind what is on disk. Called with
// appendMu held.
func (s *Store) isNext(prev uint64, logs []*raft.Log) (bool, error) {
	s.mu.RLock()
	next, empty := s.span.last()+1, s.span.empty()
	s.mu.RUnlock()
	size := s.ahead.bytes
	for _, l := range logs {
		size += entrySize(l)
	}
	n := len(s.ahead.logs)
	if empty || logs[0].Index != next+uint64(n) || n+len(logs) > maxAhead || size > maxAheadBytes {
		return false, nil
	}
	last := new(raft.Log)
	if n > 0 {
		last = s.ahead.logs[n-1]
	} else if err := s.GetLog(next-1, last); err != nil {
		return false, err
	}
	current, err := s.GetUint64(keyCurrentTerm)
	return err == nil && prev == last.Term && logs[0].Term >= max(prev, current), err
}

// adopt returns those of the entries that are not on disk yet; the others were
// stored ahead. If something else was, that is deleted. Called with appendMu held.
func (s *Store) adopt(logs []*raft.Log) ([]*raft.Log, error) {
	if len(s.ahead.logs) == 0 {
		return logs, nil
	}
	n := 0
	for n < len(logs) && n < len(s.ahead.logs) && identical(logs[n], s.ahead.logs[n]) {
		s.ahead.bytes -= entrySize(logs[n])
		n++
	}
	clear(s.ahead.logs[:n])
	s.ahead.logs = s.ahead.logs[n:]
	s.ahead.used.Add(uint64(n))
	if n == len(logs) {
		return nil, nil
	}
	return logs[n:], s.dropAhead()
}

// dropAhead deletes what is ahead. Called with appendMu held.
func (s *Store) dropAhead() error {
	if len(s.ahead.logs) == 0 {
		return nil
	}
	from := s.ahead.logs[0].Index
	s.ahead.logs, s.ahead.bytes = nil, 0
	return s.write("delete entries ahead", func() error { return s.wal.DropBack(from) })
}

// identical compares all that makes an entry what it is; when it was appended is a
// note of the leader's.
func identical(a, b *raft.Log) bool {
	return a.Index == b.Index && a.Term == b.Term && a.Type == b.Type &&
		bytes.Equal(a.Data, b.Data) && bytes.Equal(a.Extensions, b.Extensions)
}
