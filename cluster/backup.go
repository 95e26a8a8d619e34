package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/backup"
	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/fsm"
)

// Backup writes a backup of this node's table, as it is once it holds entry minIndex,
// beside the work that goes on. Errors: ctx's, and w's.
func (n *Node) Backup(ctx context.Context, minIndex uint64, w io.Writer) (backup.Info, error) {
	level := Linearizable
	if minIndex > 0 {
		level = Stale
	}
	if _, err := n.Read(ctx, ReadOptions{Level: level, MinIndex: minIndex}, func(*fsm.Machine) {}); err != nil {
		return backup.Info{}, fmt.Errorf("back up the table: %w", err)
	}
	n.table.mu.Lock()
	s, feature := n.table.m.Snapshot(), n.table.m.FeatureLevel()
	n.table.mu.Unlock()
	info := backup.Info{
		ClusterID: n.ClusterID(), Master: n.cfg.Name, Version: n.cfg.Version, Level: uint32(feature), TakenAt: time.Now().UTC(),
	}
	info.Index, info.Term = s.Position()
	if err := backup.Write(ctxWriter{ctx, w}, info, s); err != nil {
		return info, fmt.Errorf("back up the table: %w", err)
	}
	return info, nil
}

const (
	// restoreWithin bounds Raft's part of a restore: a majority must install it.
	restoreWithin = 5 * time.Minute
	// restoreAhead is more than Raft may append between our look at the end of its log
	// and the restore, while no entries of ours are taken.
	restoreAhead = 1 << 20
)

// Restore makes a backup the table of this cluster, which must be untouched: it gets
// a life of its own (fsm.Machine.Refound). Errors: *NotLeaderError, ErrNotEmpty,
// ErrUncertain (repeat it on a cluster that is formed anew), ErrLevel, those of package
// backup.
func (n *Node) Restore(ctx context.Context, r io.Reader) (backup.Info, error) {
	if l, _ := n.leader.get(); !l.Self {
		return backup.Info{}, n.replica.notLeader()
	}
	spool, err := n.spool(ctx, r)
	if err != nil {
		return backup.Info{}, fmt.Errorf("restore a backup: %w", err)
	}
	defer spool.Close()
	a, err := backup.Open(spool)
	if err != nil {
		return backup.Info{}, fmt.Errorf("restore a backup: %w", err)
	}
	table, err := a.Table()
	if err != nil {
		return a.Info, fmt.Errorf("restore a backup: %w", err)
	}
	if level := uint32(table.FeatureLevel()); level > n.FeatureLevel() {
		if err := n.supported(ctx, level); err != nil {
			return a.Info, fmt.Errorf("restore a backup: %w", err)
		}
	}
	if err := n.replaceTable(ctx, table); err != nil {
		return a.Info, fmt.Errorf("restore a backup: %w", err)
	}
	n.log.Warn("table restored from a backup", slog.String("of", a.Info.ClusterID), slog.Uint64("index", a.Info.Index))
	n.census.ring()
	return a.Info, nil
}

// spool keeps what comes in until it is complete and checked.
func (n *Node) spool(ctx context.Context, r io.Reader) (*datadir.Spool, error) {
	f, err := n.dir.Spool()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(ctxWriter{ctx, f}, r); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// replaceTable takes no entries while it looks whether the table is untouched, and
// until Raft has put the other in its place on a majority.
func (n *Node) replaceTable(ctx context.Context, table *fsm.Machine) error {
	n.handing.Lock()
	defer n.handing.Unlock()
	m := n.member.Load()
	n.replica.yielding.Store(true)
	defer n.replica.yielding.Store(false)
	n.replica.drain(ctx)
	if l, _ := n.leader.get(); !l.Self || n.replica.inFlight.Load() > 0 {
		return n.replica.notLeader()
	}
	n.table.mu.RLock()
	index, _, _ := n.table.m.Position()
	untouched := n.table.m.Untouched()
	n.table.mu.RUnlock()
	if !untouched {
		return ErrNotEmpty
	}
	old, _, _ := table.Position()
	at := max(old, index, m.raft.LastIndex()) + restoreAhead
	// Raft puts the snapshot at the entry after its index, in the present term.
	table.Refound(fsm.Founding{Index: at + 1, Term: m.raft.CurrentTerm(), Now: time.Now().UnixNano()})
	f, err := n.dir.Spool()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := (frozen{s: table.Snapshot()}).write(f); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: at, Size: size}
	switch err := m.raft.Restore(meta, f, restoreWithin); {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return n.replica.notLeader()
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return nil
}
