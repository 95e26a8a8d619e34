package cluster

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport"
)

// member is what runs once the node has a place in a cluster.
type member struct {
	raft      *raft.Raft
	transport *transport.Raft
	notices   chan bool
	gate      *gatekeeper
	failover  *failover
	snapshots *snapshotter
	installs  *installs
}

func (n *Node) newMember(r *raft.Raft, tr *transport.Raft, notices chan bool) *member {
	return &member{
		raft: r, transport: tr, notices: notices,
		gate: &gatekeeper{
			raft: r, engine: n.engine, log: n.log, self: n.peers.self, known: n.leader, bell: newBell(),
			locate: n.locate, serves: n.serves, yield: func(ctx context.Context) error { return n.handOver(ctx, "") },
		},
		failover: &failover{
			raft: r, transport: tr, port: n.port, peers: n.peers, log: n.log, fsyncP99: n.fsyncP99,
			bell: newBell(), arrived: newBell(), reports: map[death]map[raft.ServerID]logEnd{},
		},
		snapshots: &snapshotter{
			raft: r, self: n.peers.self, store: n.store, log: n.log,
			bytes: n.cfg.SnapshotBytes, age: n.cfg.SnapshotAge, tail: n.cfg.TailBytes, least: cmp.Or(n.cfg.hooks.trailing, minTrailing),
		},
		installs: &installs{raft: r, store: n.store, dir: n.dir, fatal: n.fail},
	}
}

// run runs the member's goroutines until ctx ends.
func (m *member) run(ctx context.Context, observeDeath bool) {
	observer := raft.NewObserver(nil, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			m.gate.bell.ring()
			m.failover.bell.ring()
		}
		return false // rung already: nothing to send
	})
	m.raft.RegisterObserver(observer)
	defer m.raft.DeregisterObserver(observer)
	var wg sync.WaitGroup
	wg.Go(func() { m.gate.listen(ctx, m.notices) })
	wg.Go(func() { m.gate.run(ctx) })
	wg.Go(func() { m.snapshots.run(ctx) })
	if observeDeath {
		wg.Go(func() { m.failover.run(ctx) })
	}
	wg.Wait()
}

// kickWithin bounds the wait of a new cluster's first election for all masters.
const kickWithin = 5 * time.Second

// kick holds the first election at once where nobody can object: a single
// master needs no timer, and the one that fixed a new cluster goes first as soon
// as the others run.
func (m *member) kick(ctx context.Context, n *Node, fixed bool) {
	others := n.peers.others()
	if len(others) > 0 && !fixed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, kickWithin)
	defer cancel()
	for !n.peers.allRunning() {
		n.peers.round(ctx, pingTimeout)
		if !pause(ctx, formEvery/4) {
			return
		}
	}
	_, leader := m.raft.LeaderWithID()
	fresh := m.raft.CurrentTerm() == 1 && m.raft.LastIndex() == 1
	if leader != "" || m.raft.State() != raft.Follower || !fresh && len(others) > 0 {
		return
	}
	if err := m.transport.InjectTimeoutNow(ctx); err != nil && !errors.Is(err, context.Canceled) {
		n.log.Debug("first election not held", slog.Any("err", err))
	}
}
