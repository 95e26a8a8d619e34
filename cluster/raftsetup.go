package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/cluster/transport"
)

const (
	// maxAppendEntries are read for one AppendEntries, of which the transport sends
	// as many as its bound in bytes allows: Raft has none of its own.
	maxAppendEntries = 16
	commitTimeout    = 50 * time.Millisecond
	keepSnapshots    = 2
	// beatsPerTimeout heartbeats go to each follower within a HeartbeatTimeout: as
	// many as Raft sends at least.
	beatsPerTimeout = 5
	// isolateAfter a write has not returned, the node keeps apart; after
	// giveUpAfter it stops.
	isolateAfter = 2 * time.Second
	giveUpAfter  = 30 * time.Second
)

// raftConfig returns the settings of Raft. Its own triggers for snapshots are
// off: they count entries, and ours count bytes.
func raftConfig(cfg Config, id string, log *raftLog, notices chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.ProtocolVersion = 3
	c.LocalID = raft.ServerID(id)
	c.HeartbeatTimeout = cfg.Heartbeat
	c.ElectionTimeout = cfg.Heartbeat
	// Heartbeats are serial (hashicorp/raft#695): a shorter lease livelocks on
	// slow disks.
	c.LeaderLeaseTimeout = cfg.Heartbeat
	c.CommitTimeout = commitTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotThreshold = math.MaxUint64
	c.SnapshotInterval = time.Hour
	c.TrailingLogs = math.MaxUint64 / 2 // until the first snapshot sets it by bytes
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	c.NotifyCh = notices
	c.Logger = log
	return c
}

// startRaft opens Raft on the adopted identity.
func (n *Node) startRaft() (*member, error) {
	own := n.dir.Identity()
	if err := checkFormed(own, &n.cfg); err != nil {
		return nil, &Fault{Kind: FaultIdentity, Err: err}
	}
	if err := n.store.Adopt(own.Owner()); err != nil {
		return nil, fault(err)
	}
	n.peers.adopt(own)
	if err := n.port.Adopt(own.ClusterID, own.ServerID()); err != nil {
		return nil, fault(err)
	}
	n.openRing(own.Owner())
	log := newRaftLog(n.log)
	snaps, err := openSnapshots(n.dir.SnapshotPath(), n.store.RaiseFloor, log)
	if err != nil {
		return nil, &Fault{Kind: FaultDisk, Err: err}
	}
	tr, err := n.port.Raft(log)
	if err != nil {
		return nil, fmt.Errorf("open raft transport: %w", err)
	}
	if err := transport.CheckRaft(tr); err != nil {
		return nil, errors.Join(err, tr.Close())
	}
	notices := make(chan bool, 8)
	cfg := raftConfig(n.cfg, own.ServerID(), log, notices)
	begin := configuration(own)
	if own.Joined {
		begin = raft.Configuration{}
	}
	r, err := n.openRaft(cfg, snaps, tr, begin)
	if err != nil {
		return nil, errors.Join(err, tr.Close())
	}
	m := n.newMember(r, tr, notices)
	tr.Serve(m.installs)
	return m, nil
}

// openRaft bootstraps where needed (a master that joins gets its configuration
// from the leader: begin is empty), checks that snapshots and log fit together, and
// starts Raft, which restores the table.
func (n *Node) openRaft(cfg *raft.Config, snaps raft.SnapshotStore, tr raft.Transport, begin raft.Configuration) (*raft.Raft, error) {
	if len(begin.Servers) > 0 {
		if err := n.store.Bootstrap(cfg, snaps, tr, begin); err != nil {
			return nil, fault(err)
		}
	}
	var err error
	if _, n.applier.oldest, err = fitSnapshots(snaps, n.store, len(begin.Servers) == 0, n.log); err != nil {
		return nil, err
	}
	r, err := raft.NewRaft(cfg, n.applier, n.store, n.store, snaps, tr)
	n.applier.oldest = 0
	if err != nil {
		return nil, &Fault{Kind: FaultDisk, Err: fmt.Errorf("open raft: %w", err)}
	}
	return r, nil
}

// fitSnapshots checks that snapshots and log fit together, and drops a log that the
// newest snapshot replaces. It returns the snapshots, newest first, and the lowest
// index of one that leaves no hole before the log. Only a master that has joined may
// begin with nothing: fresh.
func fitSnapshots(snaps raft.SnapshotStore, store *logstore.Store, fresh bool, log *slog.Logger) (list []*raft.SnapshotMeta, oldest uint64, err error) {
	if list, err = snaps.List(); err != nil {
		return nil, 0, &Fault{Kind: FaultDisk, Err: fmt.Errorf("list snapshots: %w", err)}
	}
	newest := uint64(0)
	if len(list) > 0 {
		newest = list[0].Index
	}
	if err := store.CheckFloor(newest, fresh); err != nil {
		return nil, 0, fault(err)
	}
	if len(list) > 0 {
		dropped, err := store.DropSuperseded(list[0].Index, list[0].Term)
		if err != nil {
			return nil, 0, fault(err)
		}
		if dropped {
			log.Warn("log dropped, the newest snapshot replaces it")
		}
	}
	first, err := store.FirstIndex()
	switch {
	case err != nil:
		return nil, 0, fault(err)
	case first == 0:
		return list, newest, nil
	case newest < first-1:
		return nil, 0, &Fault{Kind: FaultDisk, Err: fmt.Errorf("the log begins at entry %d and no snapshot reaches it: remove this member and re-add it", first)}
	}
	return list, first - 1, nil
}

// fault gives an error of the data directory its kind.
func fault(err error) error {
	d, ok := errors.AsType[*datadir.Error](err)
	switch {
	case !ok:
		return err
	case d.Kind == datadir.Identity:
		return &Fault{Kind: FaultIdentity, Err: err}
	default:
		return &Fault{Kind: FaultDisk, Err: err}
	}
}
