package cluster

import (
	"context"
	"net"
	"runtime"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore/wal"
	"github.com/taskraft/taskraft/fsm"
)

// World is what a node otherwise takes from the machine that it runs on. A simulator
// brings its own and lives on when the node has failed, which a process does not.
type World struct {
	// Dial and Listen are the network between masters.
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Listen func(addr string) (net.Listener, error)
	// Wall is the wall clock. Time that passes is the machine's, or a bubble's.
	Wall func() time.Time
	// Store runs before every durable write of log, term and vote, within its
	// deadline; Disk watches the log's files, of SegmentBytes each.
	Store        func() error
	Disk         wal.Disk
	SegmentBytes int64
	// Trailing entries, at least, stay behind a snapshot in place of minTrailing.
	Trailing uint64
	// Space is how full the disk is.
	Space func() (datadir.Space, error)
	// Applied hears of each entry right after it was applied, with the table's hash.
	// It must be quick and keep nothing.
	Applied func(e AppliedEntry)
}

// AppliedEntry is an entry of the log and what it did.
type AppliedEntry struct {
	Index, Term uint64
	Data        []byte       // empty: not for the table
	Done        *fsm.Applied // nil: not for the table
	Hash        uint64       // of the table, after it
}

// Simulate puts the node into a world of the caller's; every field must be set.
func (c *Config) Simulate(w World) {
	c.hooks = hooks{
		dial: w.Dial, listen: w.Listen, now: w.Wall, beforeWrite: w.Store, disk: w.Disk,
		segmentBytes: w.SegmentBytes, trailing: w.Trailing, space: w.Space, left: runtime.Goexit,
		applied: func(l *raft.Log, done *fsm.Applied, hash uint64) {
			e := AppliedEntry{Index: l.Index, Term: l.Term, Done: done, Hash: hash}
			if done != nil {
				e.Data = l.Data
			}
			w.Applied(e)
		},
	}
}

// wall returns the wall clock's time.
func (c *Config) wall() time.Time {
	if c.hooks.now != nil {
		return c.hooks.now()
	}
	return wallClock()
}
