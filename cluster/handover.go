package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// heirTimeout bounds the look at who could lead; Raft itself ends a transfer
	// after one election timeout.
	heirTimeout = 300 * time.Millisecond
	// successorWithin bounds the wait for the new leader to show.
	successorWithin = time.Second
)

// Transfer moves leadership to the named member, or to the best follower, and
// returns once the new leader is known here. Errors: *NotLeaderError; others say
// why it did not move.
func (n *Node) Transfer(ctx context.Context, to string) error {
	m := n.member.Load()
	if m == nil || m.raft.State() != raft.Leader {
		return n.replica.notLeader()
	}
	if to == n.cfg.Name {
		return nil
	}
	if err := n.handOver(ctx, to); err != nil {
		return err
	}
	n.awaitSuccessor(ctx)
	return nil
}

// handOver takes no new entries, waits for those in flight, and lets the named
// master, or the best, stand for election. No call ends without an answer.
func (n *Node) handOver(ctx context.Context, to string) error {
	n.handing.Lock()
	defer n.handing.Unlock()
	m := n.member.Load()
	if m == nil || m.raft.State() != raft.Leader {
		return n.replica.notLeader()
	}
	heir, err := n.heir(ctx, m, to)
	if err != nil {
		return fmt.Errorf("hand leadership over: %w", err)
	}
	n.replica.yielding.Store(true)
	defer n.replica.yielding.Store(false)
	n.replica.drain(ctx)
	if err := waitFuture(ctx, m.raft.LeadershipTransferToServer(heir.ID, heir.Address)); err != nil {
		return fmt.Errorf("hand leadership to %s: %w", heir.ID, err)
	}
	return nil
}

// heir picks the voter that leadership goes to: one that answers, rather one
// with space on its disk, with the longest table; ties by member order.
func (n *Node) heir(ctx context.Context, m *member, to string) (raft.Server, error) {
	n.peers.round(ctx, heirTimeout)
	var best raft.Server
	var bestSight sight
	named := false
	for _, s := range m.failover.voters() {
		if s.ID == n.peers.self || to != "" && memberName(s.ID) != to {
			continue
		}
		named = true
		seen, ok := n.peers.fresh(s.ID)
		if !ok || !seen.Running {
			continue
		}
		better := bestSight.DiskLow && !seen.DiskLow ||
			bestSight.DiskLow == seen.DiskLow && seen.Applied > bestSight.Applied
		if best.ID == "" || better {
			best, bestSight = s, seen
		}
	}
	switch {
	case best.ID == "" && to != "" && !named:
		return best, fmt.Errorf("%w: %q", ErrNoMember, to)
	case best.ID == "":
		return best, fmt.Errorf("%w: none answers", ErrNoSuccessor)
	case to == "" && bestSight.DiskLow && n.disk.low.Load():
		return best, fmt.Errorf("%w: every other one is short of disk space, too", ErrNoSuccessor)
	}
	return best, nil
}

// awaitSuccessor waits until the new leader is known and streams were told.
func (n *Node) awaitSuccessor(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, successorWithin)
	defer cancel()
	for {
		l, changed := n.leader.get()
		if l.Name != "" && !l.Self {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
