package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster/mutant"
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
// open only while this one leads. Locks are taken in the order table.mu,
// reign.mu, and then whatever small ones.
type engine struct {
	cfg    Config
	t      *table
	r      replicator
	log    *slog.Logger
	clock  *clock
	mono   func() time.Duration
	waits  *waits
	count  counters
	worked worked
	steps  steps

	clusterID func() string
	proposals sync.Pool

	diskLow   atomic.Bool
	memoryLow atomic.Bool
	lead      atomic.Pointer[reign] // the newest; nil before the first
	stopping  chan struct{}         // closed by stop
	wg        sync.WaitGroup

	mu      sync.Mutex
	leader  Leader // as last told; never this one
	stopped bool
}

func newEngine(cfg Config, t *table, r replicator) *engine {
	src := systemSource()
	src.wall = func() int64 { return cfg.wall().UnixNano() }
	return newEngineAt(cfg, t, r, src)
}

func newEngineAt(cfg Config, t *table, r replicator, src source) *engine {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.SessionTTL <= 0 {
		cfg.SessionTTL = fsm.SessionTTL
	}
	if cfg.QueueDepth <= 0 {
		cfg.QueueDepth = defaultQueueDepth
	}
	e := &engine{
		cfg: cfg, t: t, r: r, log: cfg.Logger,
		clock: newClock(src), mono: src.mono,
		waits: newWaits(), stopping: make(chan struct{}),
		clusterID: func() string { return "" },
	}
	if cfg.Steps != nil {
		e.steps.waiting = make(chan Step, maxSteps)
		e.wg.Go(e.tellSteps)
	}
	return e
}

// begin proposes the first entry of the term, waits until it applied, gives
// every session one full TTL and opens the gate.
func (e *engine) begin(term uint64) error {
	e.t.mu.RLock()
	_, _, now := e.t.m.Position()
	level := e.t.m.FeatureLevel()
	e.t.mu.RUnlock()
	e.clock.elect(now, e.r.PeerClocks())
	b, err := fsm.EncodeEntry(nil, &fsm.Entry{Header: fsm.Header{Level: level, Term: term, Now: e.clock.stamp()}})
	if err != nil {
		return fmt.Errorf("encode the first entry of term %d: %w", term, err)
	}
	wait := e.r.Append(b).Wait
	if mutant.On("M11") {
		wait = func() (*fsm.Applied, error) { return &fsm.Applied{}, nil }
	}
	a, err := wait()
	if err != nil {
		return fmt.Errorf("order the first entry of term %d: %w", term, err)
	}
	if a.NotLeader {
		return fmt.Errorf("order the first entry of term %d: %w", term, e.notLeader())
	}

	l := newReign(e, term)
	e.t.mu.RLock() // nothing is applied until the leadership sees it
	defer e.t.mu.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		l.cancel()
		return ErrStopped
	}
	e.leader = Leader{}
	if old := e.lead.Load(); old != nil { // its streams need not look far
		old.close(Leader{Name: e.cfg.Name, GRPC: e.cfg.GRPC, HTTP: e.cfg.HTTP, Term: term}, nil)
	}
	_, _, now = e.t.m.Position()
	e.clock.raise(now)
	l.load(e.t.m)
	e.lead.Store(l)
	l.start()
	return nil
}

// end closes the gate, fails what waits and tells open streams where the leader
// is; with to.Name == "" they wait a moment for leaderChanged.
func (e *engine) end(to Leader) {
	e.mu.Lock()
	e.leader = to
	e.mu.Unlock()
	if l := e.lead.Load(); l != nil {
		l.close(to, nil)
	}
}

// leaderChanged says that another master leads now.
func (e *engine) leaderChanged(to Leader) {
	if to.Self {
		return
	}
	e.mu.Lock()
	e.leader = to
	e.mu.Unlock()
	if l := e.lead.Load(); l != nil && to.Name != "" {
		l.announce(to)
	}
}

// applied sees each entry in log order, right after its Apply, with table.mu
// held for writing.
func (e *engine) applied(a *fsm.Applied) {
	e.waits.applied(a)
	if l := e.lead.Load(); l != nil {
		l.applied(e.t.m, a)
	}
}

// restored is called when the table was replaced, with table.mu held for writing.
func (e *engine) restored() {
	e.waits.restored(e.t.m)
	if l := e.lead.Load(); l != nil {
		l.reload(e.t.m)
	}
}

// short returns what there is too little of to accept submits, nil if nothing is.
func (e *engine) short() error {
	switch {
	case e.diskLow.Load():
		return ErrDiskLow
	case e.memoryLow.Load():
		return ErrMemoryLow
	}
	return nil
}

// refuseSubmits is set while the disk is low.
func (e *engine) refuseSubmits(on bool) { e.diskLow.Store(on) }

// stop ends all goroutines of the engine and waits for them.
func (e *engine) stop() {
	e.mu.Lock()
	again := e.stopped
	e.stopped = true
	if !again {
		close(e.stopping)
	}
	e.mu.Unlock()
	if l := e.lead.Load(); l != nil {
		l.close(Leader{}, ErrStopped)
	}
	e.wg.Wait()
}

// serving returns the leadership whose gate is open.
func (e *engine) serving() (*reign, error) {
	if l := e.lead.Load(); l != nil && l.open.Load() {
		return l, nil
	}
	return nil, e.notLeader()
}

func (e *engine) notLeader() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return ErrStopped
	}
	return &NotLeaderError{Leader: e.leader}
}

// clockSkewed is the CLOCK_SKEW alarm.
func (e *engine) clockSkewed() bool {
	l := e.lead.Load()
	return e.clock.skewed(e.r.PeerClocks(), l != nil && l.open.Load())
}
