package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/taskraft/taskraft/cluster/transport"
)

// What other masters may ask this one; identify is in formation.go.

// pinged says how this node is.
func (n *Node) pinged(context.Context, transport.Caller, struct{}) (pong, error) {
	p := pong{
		about: n.about(), Wall: time.Now().UnixNano(), Applied: n.applier.index.Load(),
		FsyncP99: n.store.Stats().FsyncP99, DiskLow: n.disk.low.Load(),
	}
	if m := n.member.Load(); m != nil {
		p.Running, p.Term = true, m.raft.CurrentTerm()
	}
	return p, nil
}

// termAsked tells Raft's current term, read after the question arrived.
func (n *Node) termAsked(context.Context, transport.Caller, termQuery) (termAnswer, error) {
	m := n.member.Load()
	if m == nil {
		return termAnswer{}, errors.New("raft does not run yet")
	}
	return termAnswer{Term: m.raft.CurrentTerm()}, nil
}

// deathReported takes what another observer saw.
func (n *Node) deathReported(_ context.Context, from transport.Caller, r deathReport) (struct{}, error) {
	m := n.member.Load()
	if m == nil {
		return struct{}{}, errors.New("raft does not run yet")
	}
	m.failover.heard(from.ID, r)
	return struct{}{}, nil
}
