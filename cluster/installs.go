package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/cluster/transport"
)

// installs decides which snapshots of other masters this one needs, and ends the node
// when they cannot help: it implements transport.Replica.
type installs struct {
	raft  *raft.Raft
	store *logstore.Store
	dir   *datadir.Dir
	fatal func(*Fault)

	installed, spared atomic.Uint64 // for Status

	mu          sync.Mutex
	at          uint64    // applied when a snapshot was last refused
	since, last time.Time // the first and the last one refused there
	idle        int       // how many were refused there
}

const (
	// maxIdleInstalls are refused without any progress, over idleFor at least and none
	// later than apartFor after the one before, until the node restarts: the leader
	// takes this log for one that only a snapshot can continue. Copies that were late
	// come all at once.
	maxIdleInstalls = 3
	idleFor         = 10 * time.Second
	apartFor        = 10 * time.Minute
)

// Has implements transport.Replica. What Raft calls applied is on its way to the
// table, and leaves it no more.
func (i *installs) Has(index uint64) bool { return index <= i.raft.AppliedIndex() }

// Follows implements transport.Replica.
func (i *installs) Follows(index, term uint64) bool {
	first, err := i.store.FirstIndex()
	return err == nil && first == index+1 && newestSnapshot(i.raft) == logEnd{Term: term, Index: index}
}

// Installed implements transport.Replica. The library keeps the end of a log that it
// has deleted (installSnapshot in raft.go of v1.7.3 sets all but the last log entry):
// if that was not before the snapshot's, it finds nothing to continue until it starts
// anew.
func (i *installs) Installed(index uint64) {
	i.installed.Add(1)
	if last := number(i.raft.Stats()["last_log_index"]); last >= index {
		i.fatal(&Fault{Kind: FaultDisk, Err: fmt.Errorf("a snapshot up to entry %d replaced a log that went on to %d with entries of other terms: restart this node", index, last)})
	}
}

// Spared implements transport.Replica.
func (i *installs) Spared(index uint64, inLog bool) {
	i.spared.Add(1)
	if !inLog { // else the leader goes on from there
		i.refused(index, i.raft.AppliedIndex(), time.Now())
	}
}

// Spool implements transport.Replica.
func (i *installs) Spool() (transport.Spool, error) { return i.dir.Spool() }

// refused counts a snapshot up to index that brings nothing.
func (i *installs) refused(index, applied uint64, now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.idle == 0 || i.at != applied || now.Sub(i.last) > apartFor {
		i.at, i.since, i.idle = applied, now, 0
	}
	i.last = now
	i.idle++
	if i.idle >= maxIdleInstalls && now.Sub(i.since) >= idleFor {
		i.idle = 0
		i.fatal(&Fault{Kind: FaultDisk, Err: fmt.Errorf("%d snapshots up to entry %d came, entry %d is applied and nothing follows it: restart this node, and if it ends so again, remove it and re-add it with --rejoin",
			maxIdleInstalls, index, applied)})
	}
}
