package logstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/logstore/wal"
)

// Kind says what keeps the entries. Term, vote and floor are always in bbolt.
type Kind string

// The kinds. A directory keeps the one that it was created with.
const (
	WAL  Kind = "wal"  // segment files beside the file: one fdatasync per write
	Bolt Kind = "bolt" // in the file: two fdatasyncs per write
)

// keyLog holds the kind of the log and, behind a colon, the id of a WAL: without
// it a directory whose WAL is gone would look new.
var keyLog = []byte("taskraft/log")

// entries is where the log's entries are kept. StoreLogs and DeleteRange are
// durable when they return; one of DeleteRange's ends is an end of the log.
type entries interface {
	StoreLogs(logs []*raft.Log) error
	GetLog(index uint64, out *raft.Log) error
	DeleteRange(lo, hi uint64) error
}

// segments is a WAL as the entries of a store.
type segments struct{ log *wal.Log }

func (s segments) StoreLogs(logs []*raft.Log) error { return s.log.Append(logs) }

func (s segments) GetLog(index uint64, out *raft.Log) error {
	found, err := s.log.Get(index, out)
	if err == nil && !found {
		return raft.ErrLogNotFound
	}
	return err
}

func (s segments) DeleteRange(lo, hi uint64) error {
	if hi == s.log.Last() {
		return s.log.DropBack(lo)
	}
	return s.log.DropFront(hi)
}

// openEntries opens what keeps the entries, or decides it for a new file.
func (s *Store) openEntries(f *found) error {
	text := string(f.stable[string(keyLog)])
	kind, id, _ := strings.Cut(text, ":")
	if text == "" && (!f.span.empty() || len(f.stable) > 0) {
		kind = string(Bolt) // made before there was a choice
	}
	if kind != "" && s.cfg.Kind != "" && kind != string(s.cfg.Kind) {
		return diskError(s.cfg.Path, "the log of this directory is kept by %q, not by %q: leave --log-store away, or remove this member and re-add it with an empty directory",
			kind, s.cfg.Kind)
	}
	switch Kind(kind) {
	case Bolt:
	case WAL:
		return s.openWAL(id)
	case "":
		return s.newEntries()
	default:
		return diskError(s.cfg.Path, "the log is kept by %q, which this version does not know: upgrade this node", kind)
	}
	s.useBolt(f.span)
	return nil
}

// newEntries begins the log of a new file.
func (s *Store) newEntries() error {
	if s.cfg.Kind == Bolt {
		if err := s.record(string(Bolt)); err != nil {
			return err
		}
		s.useBolt(span{})
		return nil
	}
	id, err := wal.Identify(s.walPath()) // of a start that was cut off here
	if errors.Is(err, fs.ErrNotExist) {
		id, err = wal.Create(s.walPath(), s.cfg.SegmentBytes)
	}
	if err != nil {
		return diskError(s.walPath(), "create log: %w", err)
	}
	text := hex.EncodeToString(id[:])
	if err := s.record(string(WAL) + ":" + text); err != nil {
		return err
	}
	return s.openWAL(text)
}

// record notes what keeps the entries.
func (s *Store) record(text string) error {
	err := protect(func() error { return s.db.Set(keyLog, sealValue(keyLog, []byte(text))) })
	if err != nil {
		return diskError(s.cfg.Path, "record what keeps the entries: %w", err)
	}
	return nil
}

func (s *Store) useBolt(sp span) {
	s.entries, s.span = s.db, sp
	s.deleteEntries, s.deleteBytes = deleteEntries, deleteBytes
}

func (s *Store) walPath() string { return filepath.Join(filepath.Dir(s.cfg.Path), "wal") }

// openWAL opens the log with that id and checks every entry.
func (s *Store) openWAL(id string) error {
	path := s.walPath()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return diskError(path, "the log of %s is missing: data lost; remove this member and re-add it with --rejoin", s.cfg.Owner)
	}
	found, err := wal.Identify(path)
	if err != nil {
		return diskError(path, "check log: %w", err)
	}
	if hex.EncodeToString(found[:]) != id {
		return identityError(path, "the log and %s beside it are not from one directory: put back the right ones", filepath.Base(s.cfg.Path))
	}
	log, err := wal.Open(path, s.cfg.SegmentBytes, func(l *raft.Log) error {
		if err := checkSeal(l); err != nil {
			return fmt.Errorf("%w: %w", err, wal.ErrDamaged)
		}
		s.span.follow(l.Index, entrySize(l))
		return nil
	})
	if err != nil {
		return diskError(path, "check log: %w", err)
	}
	s.span.keep(log.First(), log.Last())
	if n := log.Torn(); n > 0 {
		s.cfg.Logger.Warn("an unfinished write at the end of the log was dropped", "bytes", n)
	}
	log.Attend(s.cfg.Disk)
	s.wal, s.entries = log, segments{log}
	s.deleteEntries, s.deleteBytes = math.MaxUint64, math.MaxInt64 // a deletion is one frame
	s.quiet = time.AfterFunc(time.Hour, s.mark)
	s.quiet.Stop()
	return nil
}

// markAfter is how long the log must be quiet before a mark follows its last
// batch, which until then looks like a torn write if it is damaged.
const markAfter = time.Second

// mark writes what tells damage to the last batch from a torn write.
func (s *Store) mark() {
	if s.guard.failed.Load() || s.guard.isClosed() {
		return
	}
	_ = s.guard.write("mark the log's end", s.wal.Mark) // a failure stops the store
}

// closeEntries closes what is beside the file, with a mark at its end.
func (s *Store) closeEntries() error {
	if s.wal == nil {
		return nil
	}
	s.quiet.Stop()
	if !s.guard.failed.Load() {
		_ = s.guard.write("mark the log's end", s.wal.Mark) // a failure has been reported
	}
	return s.wal.Close()
}

// fileBytes returns how large all files are.
func (s *Store) fileBytes() int64 {
	n := int64(0)
	if info, err := os.Stat(s.cfg.Path); err == nil {
		n = info.Size()
	}
	if s.wal != nil {
		n += s.wal.Files()
	}
	return n
}
