package cluster

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

const (
	promoteEvery = time.Second
	// promoteSoon is the pause while a member has no vote yet.
	promoteSoon = 50 * time.Millisecond
)

// promote gives members without a vote theirs once they have caught up, while this
// node leads. Every leader does so: who was added needs nothing but to catch up,
// whatever becomes of the leader that added it.
func (n *Node) promote(ctx context.Context) {
	for {
		wait := promoteEvery
		if l, _ := n.leader.get(); l.Self {
			conf := n.member.Load().raft.GetConfiguration()
			servers := conf.Configuration().Servers
			if i := slices.IndexFunc(servers, func(s raft.Server) bool { return s.Suffrage != raft.Voter }); i >= 0 {
				wait = promoteSoon
				n.promoteOne(ctx, servers[i], conf.Index())
			}
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// promoteOne gives one member its vote if it has caught up by now.
func (n *Node) promoteOne(ctx context.Context, s raft.Server, index uint64) {
	if !n.caughtUp(ctx, s) || !n.changing.TryLock() {
		return
	}
	defer n.changing.Unlock()
	if err := n.changed(n.member.Load().raft.AddVoter(s.ID, s.Address, index, changeWithin)); err != nil {
		n.log.Debug("member not promoted", slog.String("peer", string(s.ID)), slog.Any("err", err))
		return
	}
	n.log.Info("member promoted", slog.String("peer", string(s.ID)))
	n.census.ring()
}

// caughtUp reports whether a member applies within a heartbeat's time everything that
// this node had applied when it was asked: from then on the majority can rest on it.
func (n *Node) caughtUp(ctx context.Context, s raft.Server) bool {
	target := n.applier.index.Load()
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Heartbeat)
	defer cancel()
	for {
		if err := n.peers.ping(ctx, s); err != nil {
			return false
		}
		if seen, ok := n.peers.of(s.ID); ok && seen.Running && seen.Applied >= target {
			return true
		}
		if !pause(ctx, formEvery/4) {
			return false
		}
	}
}
