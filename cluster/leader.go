package cluster

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// gatekeeper turns Raft's notices into the engine's gate: it opens after the
// first entry of the term has applied and closes before anything else happens
// when leadership goes.
//
//	notice true ──► begin ──► serving ──► notice false, isolation ──► end
//	                  └ fails: end, hand over, try again
//
// One goroutine, run, makes all calls to the engine, so they never overlap.
type gatekeeper struct {
	raft   *raft.Raft
	engine *engine
	log    *slog.Logger
	self   raft.ServerID
	known  *signal[Leader]
	// locate finds a master's addresses; empty when unknown.
	locate func(id raft.ServerID) (grpc, http string)
	// serves reports whether another master has opened its gate in a term. Until
	// then nobody is named: who goes there would be turned away.
	serves func(id raft.ServerID, term uint64) bool
	// yield hands leadership over after a failed begin.
	yield   func(context.Context) error
	bell    bell
	elected atomic.Uint64 // terms that this node served in

	mu    sync.Mutex
	now   claim
	apart bool // isolated
}

// claim is what Raft last said: a new generation with each notice, since "true"
// while already leading means lost and won again.
type claim struct {
	leads      bool
	generation uint64
	term       uint64
}

// retryBegin is the pause after a failed begin: within it a hand-over moves on.
const retryBegin = 100 * time.Millisecond

// listen drains Raft's notices, which block its main loop, until they end.
func (g *gatekeeper) listen(ctx context.Context, notices <-chan bool) {
	for {
		select {
		case leads := <-notices:
			g.mu.Lock()
			g.now = claim{leads: leads, generation: g.now.generation + 1, term: g.raft.CurrentTerm()}
			g.mu.Unlock()
			g.bell.ring()
		case <-ctx.Done():
			return
		}
	}
}

// isolate withdraws the claim while the node keeps apart. A single master still
// leads when it comes back, in a new generation.
func (g *gatekeeper) isolate(on bool) {
	g.mu.Lock()
	g.apart = on
	g.now.generation++
	g.mu.Unlock()
	g.bell.ring()
}

func (g *gatekeeper) claim() claim {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.now
	c.leads = c.leads && !g.apart
	return c
}

// run serves whatever is claimed until ctx ends.
func (g *gatekeeper) run(ctx context.Context) {
	var serving claim
	defer func() {
		if serving.leads {
			g.engine.end(g.other())
		}
	}()
	var retry <-chan time.Time
	for {
		c := g.claim()
		if serving.leads && c != serving {
			serving = claim{}
			g.engine.end(g.other())
			g.log.Debug("leadership lost", slog.Uint64("term", c.term))
		}
		retry = nil
		if c.leads && !serving.leads {
			if g.begin(ctx, c) {
				serving = c
			} else if g.claim().leads {
				retry = time.After(retryBegin)
			}
		}
		g.announce(serving)
		select {
		case <-g.bell:
		case <-retry:
		case <-ctx.Done():
			return
		}
	}
}

// begin opens the gate, or revokes and offers leadership to somebody else.
func (g *gatekeeper) begin(ctx context.Context, c claim) bool {
	err := g.engine.begin(c.term)
	if err == nil {
		g.elected.Add(1)
		return true
	}
	g.engine.end(g.other())
	if g.claim() != c || ctx.Err() != nil {
		return false // lost in the meantime: nothing to revoke
	}
	g.log.Warn("leadership could not be taken up", slog.Uint64("term", c.term), slog.Any("err", err))
	if err := g.yield(ctx); err != nil {
		g.log.Debug("leadership not handed over", slog.Any("err", err))
	}
	return false
}

// announce publishes who leads, as far as this node knows.
func (g *gatekeeper) announce(serving claim) {
	var leader Leader
	if serving.leads {
		leader = Leader{Name: memberName(g.self), Term: serving.term, Self: true}
		leader.GRPC, leader.HTTP = g.locate(g.self)
	} else {
		leader = g.other()
	}
	before, _ := g.known.get()
	if !g.known.set(leader) {
		return
	}
	if leader.Name != "" && (leader.Name != before.Name || leader.Term != before.Term) {
		g.log.Info("leader", slog.String("leader", leader.Name), slog.Uint64("term", leader.Term), slog.Bool("self", leader.Self))
	}
	if !leader.Self {
		g.engine.leaderChanged(leader)
	}
}

// other returns the leader if it is another master, and serves.
func (g *gatekeeper) other() Leader {
	_, id := g.raft.LeaderWithID()
	term := g.raft.CurrentTerm()
	if id == "" || id == g.self || !g.serves(id, term) {
		return Leader{Term: term}
	}
	grpc, http := g.locate(id)
	return Leader{Name: memberName(id), GRPC: grpc, HTTP: http, Term: term}
}

// incarnationOf is the incarnation in a server id.
func incarnationOf(id string) string {
	_, incarnation, _ := strings.Cut(id, "/")
	return incarnation
}

// memberName is the name in a server id, name/incarnation.
func memberName(id raft.ServerID) string {
	name, _, _ := strings.Cut(string(id), "/")
	return name
}
