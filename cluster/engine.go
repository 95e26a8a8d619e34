package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

// This file is the seam between the two halves of the package: node (Raft,
// formation, failover) below and engine (proposer, dispatcher, sessions, reads)
// above.

// table is the machine behind its one lock.
type table struct {
	mu sync.RWMutex
	m  *fsm.Machine
}

// replicator is what the engine needs of Raft; the node implements it, and a
// fake does in the engine's tests.
type replicator interface {
	// Append starts replication of an entry's bytes and returns a future.
	Append(entry []byte) future
	// ConfirmTerm returns nil once a majority (self included), asked after the
	// call, has confirmed that its current term is term.
	ConfirmTerm(ctx context.Context, term uint64) error
	// PeerClocks returns wall clock minus own wall clock of the reachable masters.
	PeerClocks() []time.Duration
}

// future resolves once: what the entry did, or why that is unknown.
type future interface {
	// Wait returns *NotLeaderError (not applied) or ErrUncertain as errors. It
	// returns at the node's shutdown at the latest.
	Wait() (*fsm.Applied, error)
}

// engine is the leader-side machinery. One runs on every master; its gate is
// open only while this one leads.
type engine struct{}

func newEngine(cfg Config, t *table, r replicator) *engine { panic("unimplemented") }

// begin proposes the first entry of the term, waits until it applied, gives
// every session one full TTL and opens the gate.
func (e *engine) begin(term uint64) error { panic("unimplemented") }

// end closes the gate, fails what waits and tells open streams where the leader
// is; with l.Name == "" they wait a moment for leaderChanged.
func (e *engine) end(l Leader) { panic("unimplemented") }

// leaderChanged says that another master leads now.
func (e *engine) leaderChanged(l Leader) { panic("unimplemented") }

// applied sees each entry in log order, with table.mu held for writing.
func (e *engine) applied(a *fsm.Applied) { panic("unimplemented") }

// restored is called when the table was replaced, with table.mu held for writing.
func (e *engine) restored() { panic("unimplemented") }

// refuseSubmits is set while the disk is low.
func (e *engine) refuseSubmits(on bool) { panic("unimplemented") }

// stop ends all goroutines of the engine and waits for them.
func (e *engine) stop() { panic("unimplemented") }
