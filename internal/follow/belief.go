package follow

import (
	"context"
	"errors"
	"slices"

	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// errOver ends calls to a master whose reign is over.
var errOver = errors.New("another master leads now")

// belief is what the Follower holds for true. It only moves forward within one
// cluster.
type belief struct {
	cluster string
	term    uint64
	leader  string // gRPC address, empty: unknown in this term
	name    string
	http    string
}

// reign is the time from one known leader to the next.
type reign struct {
	master *master       // nil: no leader is known; guarded by Follower.mu
	over   chan struct{} // closed when another reign begins
}

// Leader returns who is believed to lead; without an address nobody is known to.
func (f *Follower) Leader() *taskraftv1.LeaderInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.belief
	return &taskraftv1.LeaderInfo{Name: b.name, Grpc: b.leader, Http: b.http, Term: b.term, ClusterId: b.cluster}
}

// Learn takes in a LeaderInfo that came over a stream, from the master with the
// address from (empty: whoever leads now).
func (f *Follower) Learn(info *taskraftv1.LeaderInfo, from string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from == "" {
		from = f.belief.leader
	}
	f.learn(info, from)
}

// learn is Learn with mu held.
func (f *Follower) learn(info *taskraftv1.LeaderInfo, from string) {
	if f.ctx.Err() != nil {
		return
	}
	b, id := &f.belief, info.GetClusterId()
	if id != "" && id != b.cluster {
		if b.cluster != "" {
			f.log.Warn("the masters belong to another cluster now", "was", b.cluster, "is", id)
		}
		*b = belief{cluster: id}
	}
	if info.GetTerm() < b.term {
		return
	}
	leader := info.GetGrpc()
	if masters := info.GetMasters(); len(masters) > 0 {
		// A list may lack the leader: members announce their addresses one by one.
		f.setMasters(slices.Concat([]string{leader, b.leader}, masters))
	}
	switch {
	case info.GetTerm() > b.term:
	case leader == b.leader:
		return
	case b.leader == "":
	case from == b.leader || from == leader:
		// These two know best. A third master may pair a new term with the old
		// leader for a moment.
	default:
		return
	}
	b.term, b.leader, b.name, b.http = info.GetTerm(), leader, info.GetName(), info.GetHttp()
	f.enthrone()
}

// enthrone makes the believed leader the target of calls. Called with mu held.
func (f *Follower) enthrone() {
	if f.belief.leader == "" {
		// Calls under way on the old leader go on: it is alive or its connection
		// breaks, and either answers them.
		f.reign.master = nil
		f.log.Debug("no leader is known", "term", f.belief.term)
		return
	}
	m := f.masters[f.belief.leader]
	if m == nil {
		f.reign.master = nil // whatever comes: the old leader is none any more
		if checkAddr(f.belief.leader) != nil || len(f.masters) >= maxMasters {
			f.log.Warn("the leader's address is not usable", "addr", f.belief.leader)
			return
		}
		var err error
		if m, err = f.addMaster(f.belief.leader); err != nil {
			f.log.Warn("the leader's address is not usable", "addr", f.belief.leader, "err", err)
			return
		}
	}
	f.log.Debug("following the leader", "addr", m.addr, "term", f.belief.term)
	m.reconnect() // it may have been down until a moment ago, but leads now
	f.replaceReign(m)
	for _, other := range f.order {
		if other != m {
			other.endTenure()
		}
	}
}

func (f *Follower) replaceReign(m *master) {
	close(f.reign.over)
	f.reign = &reign{master: m, over: make(chan struct{})}
}

// hung takes m for hung: what waits for it is repeated elsewhere.
func (f *Follower) hung(m *master) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log.Warn("a master does not answer", "addr", m.addr)
	m.endLife()
	if f.reign.master != m {
		return
	}
	f.belief.leader, f.belief.name, f.belief.http = "", "", "" // within this term others may still name it
	f.replaceReign(nil)
}

// target is a master to ask, and the conditions of asking it.
type target struct {
	*master
	bound context.Context // ends when the answer should come from elsewhere
	over  <-chan struct{} // closed when another leader is known
}

// leader returns the leader as a target, or, when none is known, the next master
// in rotation.
func (f *Follower) leader() target {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.reign.master
	if m == nil {
		m = f.rotate()
	}
	return target{m, m.tenure.ctx, f.reign.over}
}

// leads reports whether m is the leader, as far as is known.
func (f *Follower) leads(m *master) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reign.master == m
}

// anybody returns the next master in rotation as a target, and how many there are.
func (f *Follower) anybody() (target, int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.rotate()
	return target{m, m.life.ctx, f.reign.over}, len(f.order)
}

// rotate returns the next master. Called with mu held.
func (f *Follower) rotate() *master {
	f.next++
	return f.order[f.next%len(f.order)]
}

// Position is how far a cluster had come when it answered.
type Position struct {
	Cluster     string
	Term, Index uint64
}

// Before reports whether p is behind q in the same cluster.
func (p Position) Before(q Position) bool {
	return p.Cluster == q.Cluster && (p.Term < q.Term || p.Term == q.Term && p.Index < q.Index)
}

// PositionOf converts the API's message.
func PositionOf(p *taskraftv1.Position) Position {
	return Position{Cluster: p.GetClusterId(), Term: p.GetTerm(), Index: p.GetIndex()}
}

// Position returns the furthest position seen in an answer.
func (f *Follower) Position() Position {
	f.posMu.Lock()
	defer f.posMu.Unlock()
	return f.pos
}

// Observe notes the position of an answer. It never goes back within a cluster;
// another cluster starts over.
func (f *Follower) Observe(p Position) {
	if p.Cluster == "" {
		return
	}
	f.posMu.Lock()
	defer f.posMu.Unlock()
	if !p.Before(f.pos) {
		f.pos = p
	}
}
