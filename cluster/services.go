package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/transport"
)

// What other masters may ask this one; identify is in formation.go.

// pinged says how this node is.
func (n *Node) pinged(_ context.Context, from transport.Caller, _ struct{}) (pong, error) {
	p := pong{
		about: n.about(), Wall: n.cfg.wall().UnixNano(), Applied: n.applier.index.Load(),
		State: n.applier.hashes.last(), FsyncP99: n.store.Stats().FsyncP99, DiskLow: n.disk.low.Load(),
		Undecided: n.undecided.Load(),
	}
	if m := n.member.Load(); m != nil {
		p.Running, p.Term = n.rooted.Load(), m.raft.CurrentTerm()
	}
	if l, _ := n.leader.get(); l.Self {
		p.Serves = l.Term
	}
	p.Stranger = !slices.ContainsFunc(n.peers.servers(), func(s raft.Server) bool { return string(s.ID) == from.ID })
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

// servingHeard takes the news that a new leader serves.
func (n *Node) servingHeard(_ context.Context, from transport.Caller, s serving) (struct{}, error) {
	if n.member.Load() == nil {
		return struct{}{}, errors.New("raft does not run yet")
	}
	n.peers.serving(raft.ServerID(from.ID), s.Term)
	return struct{}{}, nil
}

// serves reports whether another master's gate is known to have opened in a
// term: it said so, or an entry of the term was applied here.
func (n *Node) serves(id raft.ServerID, term uint64) bool {
	return n.peers.servedIn(id) == term || n.applier.term.Load() == term
}

// herald tells the others each time this node begins to serve, so that they send
// clients here at once.
func (n *Node) herald(ctx context.Context) {
	for {
		l, changed := n.leader.get()
		if l.Self {
			n.census.ring()
			n.peers.herald(ctx, l.Term)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
