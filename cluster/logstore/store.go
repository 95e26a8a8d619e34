package logstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore/wal"
	"github.com/taskraft/taskraft/cluster/turn"
)

// Store is Raft's log and stable store on disk. It has its own cache: don't wrap
// it in raft.LogCache.
type Store struct {
	cfg     Config
	db      *raftboltdb.BoltStore
	guard   *guard
	cache   *cache
	latency latency

	entries       entries  // where the log's entries are
	wal           *wal.Log // nil: they are in db
	quiet         *time.Timer
	deleteEntries uint64 // of one deletion, at most
	deleteBytes   int64

	appendMu turn.Lock // one change at the end of the log at a time
	lastTerm uint64    // of the last entry; 0: not known
	ahead    ahead

	mu   sync.RWMutex // guards span
	span span

	voteMu sync.Mutex
	held   *uint64 // a vote's term that waits for its candidate

	floorMu turn.Lock // one change of the floor at a time

	closing sync.Once
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
)

// Open opens the file, or creates it if there is none and Owner is "". It reads
// the whole file once, checking it, and compacts it if it is large and mostly
// free. Errors wrap a *datadir.Error.
func Open(cfg Config) (*Store, error) {
	cfg.setDefaults()
	if err := removeLeftovers(cfg.Path); err != nil {
		return nil, diskError(cfg.Path, "remove what an interrupted start left: %w", err)
	}
	if _, err := os.Stat(cfg.Path); errors.Is(err, fs.ErrNotExist) {
		if cfg.Owner != "" {
			return nil, diskError(cfg.Path, "the log of %s is missing: data lost; remove this member and re-add it with --rejoin", cfg.Owner)
		}
		if err := create(cfg.Path); err != nil {
			return nil, diskError(cfg.Path, "create log store: %w", err)
		}
	}
	found, err := inspect(cfg.Path)
	if err != nil {
		return nil, err
	}
	if found.fileBytes > cfg.compactAbove && found.usedBytes < found.fileBytes/2 {
		if err := compact(&cfg, found); err != nil {
			return nil, diskError(cfg.Path, "compact log store: %w", err)
		}
	}
	db, err := openBolt(cfg.Path)
	if err != nil {
		return nil, diskError(cfg.Path, "open log store: %w", err)
	}
	s := &Store{
		cfg: cfg, db: db, guard: newGuard(&cfg),
		cache:    newCache(cfg.CacheEntries, cfg.CacheBytes),
		appendMu: turn.New(), floorMu: turn.New(),
	}
	err = s.openEntries(found)
	if err == nil {
		err = s.checkOwner(found)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// lockTimeout is how long to wait for another process that has the file open.
const lockTimeout = 3 * time.Second

// openBolt opens a checked file. NoFreelistSync makes commits cheaper; the
// mapping is large from the start because growing it waits for all readers.
func openBolt(path string) (db *raftboltdb.BoltStore, err error) {
	err = protect(func() error {
		db, err = raftboltdb.New(raftboltdb.Options{
			Path: path,
			BoltOptions: &bbolt.Options{
				NoFreelistSync:  true,
				FreelistType:    bbolt.FreelistMapType,
				Timeout:         lockTimeout,
				InitialMmapSize: 1 << 30,
			},
			MsgpackUseNewTimeFormat: true,
		})
		return err
	})
	return db, err
}

// IsMonotonic tells Raft that the log has no holes: after a snapshot was
// installed it must delete the whole log instead of leaving a gap.
func (s *Store) IsMonotonic() bool { return true }

// Stats describe a store; sizes are in bytes.
type Stats struct {
	First, Last uint64 // indexes, 0 when the log is empty
	Bytes       int64  // of the entries, as BytesSince counts
	FileBytes   int64
	// FsyncP50 and FsyncP99 are the times of the newest 1,024 durable writes: each
	// one fdatasync of a WAL, or a bbolt commit, which calls it twice. Writes counts
	// them all.
	FsyncP50, FsyncP99 time.Duration
	Writes             uint64
	Hung               bool // a write is over its deadline
	// Ahead counts the entries that StoreAhead stored, Used those of them that Raft
	// brought later: both since the store was opened.
	Ahead, Used uint64
}

// Stats returns the present figures.
func (s *Store) Stats() Stats {
	var st Stats
	s.mu.RLock()
	st.First, st.Last, st.Bytes = s.span.first, s.span.last(), s.span.since(0)
	s.mu.RUnlock()
	st.Ahead, st.Used = s.ahead.stored.Load(), s.ahead.used.Load()
	st.FileBytes = s.fileBytes()
	st.FsyncP50, st.FsyncP99, st.Writes = s.latency.percentiles()
	st.Hung = s.guard.hung.Load() > 0
	return st
}

// Close closes the file and releases the calls that block after a failure; they
// return ErrClosed. It waits for a write that hangs, until HangLimit; after that
// the file stays open.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.guard.closed)
		done := make(chan error, 1)
		go func() { done <- errors.Join(s.closeEntries(), s.db.Close()) }()
		select {
		case err = <-done:
		case <-s.guard.dead:
			if s.guard.inside.Load() > 0 {
				err = errors.New("a write has not come back")
			} else {
				err = <-done
			}
		}
		if err != nil {
			err = diskError(s.cfg.Path, "close log store: %w", err)
		}
	})
	return err
}

// write runs one durable write and times it.
func (s *Store) write(what string, f func() error) error {
	return s.guard.write(what, func() error {
		start := time.Now()
		if err := s.cfg.BeforeWrite(); err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
		s.latency.add(time.Since(start))
		return nil
	})
}

func diskError(path, format string, args ...any) error {
	return &datadir.Error{Kind: datadir.Disk, Path: path, Err: fmt.Errorf(format, args...)}
}

func identityError(path, format string, args ...any) error {
	return &datadir.Error{Kind: datadir.Identity, Path: path, Err: fmt.Errorf(format, args...)}
}
