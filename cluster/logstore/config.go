package logstore

import (
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/logstore/wal"
)

// Config is what a Store needs; zero fields take the defaults given.
type Config struct {
	// Path is the file, by convention raft.db in the data directory, whose lock
	// the caller holds.
	Path string

	// Owner is datadir.State.Owner: who the file belongs to, "" before the master
	// has adopted a cluster. A file of another owner is refused, and so is a file
	// with state in it when Owner is "".
	Owner string

	// Kind says what keeps the entries of a new directory, WAL by default; another
	// than an existing directory's is refused.
	Kind Kind

	// SegmentBytes is the size of a WAL's files. Default wal.DefaultSegment.
	SegmentBytes int64

	// CacheBytes and CacheEntries bound the cache of the newest entries, which
	// serves replication to followers that keep up. Default 16 MiB and 1,024.
	CacheBytes   int
	CacheEntries int

	// WriteDeadline is how long a write may take before OnHang; HangLimit, from
	// the start of the write, before OnFatal. Default 2 s and 30 s. Time in which
	// the process itself did not run (SIGSTOP, a frozen VM) does not count.
	WriteDeadline time.Duration
	HangLimit     time.Duration

	// OnHang, OnResume and OnFatal are described in the package comment. They are
	// called one at a time. They must not write to the store or wait for Raft, which
	// may itself be waiting for the store.
	OnHang   func(err error)
	OnResume func(hung time.Duration)
	OnFatal  func(err error)

	// Storing is given entries before StoreLogs writes them, with the term of the
	// entry before them, 0 when that is not known. It must not keep them.
	Storing func(prev uint64, logs []*raft.Log)

	// BeforeWrite, for tests, runs inside every durable write, under its deadline:
	// it may delay the write or fail it.
	BeforeWrite func() error

	// Disk, for simulators, watches the writes to the files of a WAL.
	Disk wal.Disk

	// Left, for simulators, runs before Raft is given an error that it panics on: the
	// store has failed and is closed, and the process should have ended.
	Left func()

	// Logger defaults to slog.Default().
	Logger *slog.Logger

	// compactAbove replaces compactMinimum in tests.
	compactAbove int64
}

func (c *Config) setDefaults() {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = wal.DefaultSegment
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 16 << 20
	}
	if c.CacheEntries == 0 {
		c.CacheEntries = 1024
	}
	if c.WriteDeadline == 0 {
		c.WriteDeadline = 2 * time.Second
	}
	if c.HangLimit == 0 {
		c.HangLimit = 30 * time.Second
	}
	if c.OnHang == nil {
		c.OnHang = func(error) {}
	}
	if c.OnResume == nil {
		c.OnResume = func(time.Duration) {}
	}
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	if c.BeforeWrite == nil {
		c.BeforeWrite = func() error { return nil }
	}
	if c.Storing == nil {
		c.Storing = func(uint64, []*raft.Log) {}
	}
	if c.Left == nil {
		c.Left = func() {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.compactAbove == 0 {
		c.compactAbove = compactMinimum
	}
}
