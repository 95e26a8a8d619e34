package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/events"
	"github.com/taskraft/taskraft/cluster/logstore"
	"github.com/taskraft/taskraft/cluster/transport"
	"github.com/taskraft/taskraft/cluster/turn"
	"github.com/taskraft/taskraft/fsm"
)

// Node is one master's part in the cluster.
type Node struct {
	cfg     Config
	log     *slog.Logger
	started time.Time

	table    table
	engine   *engine
	applier  *applier
	dir      *datadir.Dir
	store    *logstore.Store
	port     *transport.Port
	peers    *peers
	replica  *replica
	leader   *signal[Leader]
	isolated *signal[bool]
	disk     *diskWatch
	memory   *memoryWatch
	ahead    *forerunner
	ring     atomic.Pointer[events.Ring] // nil before there is a cluster
	census   bell                        // member records may be due
	member   atomic.Pointer[member]

	ctx     context.Context // ends when the node begins to stop
	cancel  context.CancelFunc
	wg      sync.WaitGroup // what runs until ctx ends
	handing turn.Lock      // one hand-over at a time

	changing turn.Lock // one change of the members at a time

	undecided atomic.Bool // this node leads, and tables differ without a majority
	rooted    atomic.Bool // what it has is remembered, so that its loss would be seen
	storeDead atomic.Bool // the log store has failed: whoever writes to it blocks
	stuck     bool        // Raft hangs in a write and is left behind; set once nothing else runs

	failed  chan *Fault // the first fatal error
	stopped atomic.Bool // somebody ends it
	done    chan struct{}
	err     error // valid once done is closed
}

// Start opens the data directory, forms or joins the cluster and runs until
// Stop or a fatal error. It returns as soon as the node runs, before there is a
// leader, and on a first start before there is a cluster: what goes wrong later
// shows in Done and Err. Errors carry a Fault when the caller should exit with
// its code. ctx bounds the start alone.
func Start(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, &Fault{Kind: FaultConfig, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg: cfg, log: cfg.Logger.With(slog.String("node", cfg.Name)), started: time.Now(),
		leader: newSignal(Leader{}), isolated: newSignal(false), census: newBell(),
		handing: turn.New(), changing: turn.New(),
		failed: make(chan *Fault, 1), done: make(chan struct{}),
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.open(ctx); err != nil {
		n.cancel()
		n.engineStop()
		return nil, errors.Join(n.cause(err), n.letGo())
	}
	go n.supervise()
	return n, nil
}

// cause returns the fault behind an error of open: what Raft returns for a fault
// in the table or the log does not wrap it.
func (n *Node) cause(err error) error {
	select {
	case f := <-n.failed:
		return f
	default:
		return err
	}
}

// open builds the node from the disk up; what it leaves open on an error,
// letGo closes.
func (n *Node) open(ctx context.Context) error {
	n.table.m = fsm.New()
	n.peers = &peers{log: n.log, wall: n.cfg.wall, heard: n.heard, disowned: n.disowned}
	n.replica = &replica{peers: n.peers, leader: n.leader, isolated: n.isolated, closing: n.ctx.Done()}
	n.engine = newEngine(n.cfg, &n.table, n.replica)
	n.engine.clusterID = n.ClusterID
	n.applier = &applier{table: &n.table, log: n.log, applied: n.engine.applied, renewed: n.engine.restored, news: n.heard, fatal: n.fail}
	n.ahead = newForerunner(n.log)
	n.applier.tap, n.applier.watch = newTap(n.cfg.Name, n.log), n.cfg.hooks.applied
	n.disk = &diskWatch{
		engine: n.engine, log: n.log, fsyncP99: n.fsyncP99,
		limit: time.Duration(slowDisk * float64(n.cfg.Heartbeat)),
	}
	n.disk.space.Store(new(datadir.Space))
	n.memory = newMemoryWatch(n.engine, n.log)
	if n.cfg.hooks.memory != nil {
		n.memory.measure = n.cfg.hooks.memory
	}
	var err error
	if n.dir, err = datadir.Open(n.cfg.DataDir, datadir.Options{Create: true, Name: n.cfg.Name}); err != nil {
		return fault(err)
	}
	n.disk.measure = n.dir.Space
	if n.cfg.hooks.space != nil {
		n.disk.measure = n.cfg.hooks.space
	}
	if err := n.checkPace(); err != nil {
		return err
	}
	formed := n.dir.Identity().Formed()
	if formed {
		if err := checkFormed(n.dir.Identity(), &n.cfg); err != nil {
			return &Fault{Kind: FaultIdentity, Err: err}
		}
	}
	if n.store, err = logstore.Open(n.storeConfig()); err != nil {
		return fault(err)
	}
	if err := n.listen(); err != nil {
		return err
	}
	n.log.Info("master started", slog.String("raft", n.port.Addr()), slog.String("data", n.cfg.DataDir),
		slog.String("fs", n.dir.FileSystem()), slog.Bool("formed", formed), slog.String("version", n.cfg.Version))
	if fs := n.dir.FileSystem(); datadir.Volatile(fs) || datadir.Network(fs) {
		n.log.Warn("this file system does not keep what it promises", slog.String("fs", fs))
	}
	if !formed {
		n.wg.Go(n.formAndRun)
		return nil
	}
	m, err := n.launch(ctx, n.failed)
	if err != nil {
		return err
	}
	n.peers.raft.Store(m.raft)
	n.wg.Go(func() { n.contact(n.ctx) })
	n.wg.Go(func() { n.run(m, false) })
	return nil
}

func (n *Node) fsyncP99() time.Duration { return n.store.Stats().FsyncP99 }

func (n *Node) storeConfig() logstore.Config {
	c := logstore.Config{
		Path: n.dir.LogPath(), Owner: n.dir.Identity().Owner(), Kind: logstore.Kind(n.cfg.LogStore), Logger: n.log,
		WriteDeadline: isolateAfter, HangLimit: giveUpAfter, BeforeWrite: n.cfg.hooks.beforeWrite,
		SegmentBytes: n.cfg.hooks.segmentBytes, Disk: n.cfg.hooks.disk, Left: n.cfg.hooks.left,
		OnHang: n.isolate, OnResume: n.rejoin, Storing: n.ahead.storing,
		OnFatal: func(err error) {
			n.storeDead.Store(true)
			n.fail(&Fault{Kind: FaultDisk, Err: err})
		},
	}
	if d := n.cfg.hooks.writeDeadline; d > 0 {
		c.WriteDeadline = d
	}
	return c
}

// listen opens the Raft port, which answers only identify before adoption.
func (n *Node) listen() error {
	p, err := transport.New(transport.Config{
		Bind: n.cfg.Bind, Advertise: n.cfg.self().Raft, OnRefused: n.refused, Dial: n.cfg.hooks.dial, Listen: n.cfg.hooks.listen, Logger: n.log,
		Beat:   n.cfg.Heartbeat / beatsPerTimeout,
		OnFeed: n.fed,
	})
	if err != nil {
		return &Fault{Kind: FaultConfig, Err: err}
	}
	n.port, n.peers.port, n.ahead.port = p, p, p
	transport.Handle(p, transport.Anyone, methodIdentify, n.identify)
	transport.Handle(p, transport.Members, methodPing, n.pinged)
	transport.Handle(p, transport.Members, methodTerm, n.termAsked)
	transport.Handle(p, transport.Members, methodDeath, n.deathReported)
	transport.Handle(p, transport.Members, methodServing, n.servingHeard)
	transport.Handle(p, transport.Members, methodHash, n.hashAsked)
	transport.Handle(p, transport.Members, methodDiverged, n.divergenceHeard)
	if err := p.Listen(); err != nil {
		return &Fault{Kind: FaultBind, Err: fmt.Errorf("listen for masters on %s: %w", n.cfg.Bind, err)}
	}
	return nil
}

// fed stores what the leader sends ahead.
func (n *Node) fed(from transport.Caller, b []byte) {
	if n.member.Load() == nil {
		return
	}
	if err := n.store.StoreAhead(b); err != nil {
		n.log.Debug("entries not stored ahead", slog.String("peer", from.ID), slog.Any("err", err))
	}
}

// refused hears of handshakes that other masters refused.
func (n *Node) refused(e *transport.RefusedError) {
	if e.Reason == transport.Duplicate {
		n.fail(&Fault{Kind: FaultIdentity, Err: fmt.Errorf("another live process runs with this master's identity: %w", e)})
	}
}

// formAndRun is the life of a node from its first start on.
func (n *Node) formAndRun() {
	fixed, err := n.enter(n.ctx)
	if err == nil {
		var m *member
		if m, err = n.launch(n.ctx, nil); err == nil {
			n.run(m, fixed)
			return
		}
	}
	if n.ctx.Err() == nil {
		n.failWith(err)
	}
}

// run runs everything that needs a cluster until the node stops.
func (n *Node) run(m *member, fixed bool) {
	n.member.Store(m)
	n.replica.raft.Store(m.raft)
	n.peers.raft.Store(m.raft)
	if isolated, _ := n.isolated.get(); isolated {
		m.gate.isolate(true)
	}
	var wg sync.WaitGroup
	wg.Go(func() { m.run(n.ctx, n.cfg.ObservedDeath) })
	wg.Go(func() { n.peers.run(n.ctx) })
	wg.Go(func() { n.ahead.run(n.ctx, m.raft, n.peers.self) })
	wg.Go(func() { n.disk.run(n.ctx, n.makeRoom) })
	wg.Go(func() { n.memory.run(n.ctx) })
	wg.Go(func() { n.recordMembers(n.ctx) })
	wg.Go(func() { n.herald(n.ctx) })
	wg.Go(func() { n.promote(n.ctx) })
	wg.Go(func() { n.audit(n.ctx) })
	wg.Go(func() { n.takeRoot(n.ctx) })
	wg.Go(func() { m.kick(n.ctx, n, fixed) })
	wg.Wait()
}

// heard is called when there is something new that bears on who leads, where, and whom
// that concerns: a member that has just got its vote must watch the leader.
func (n *Node) heard() {
	if m := n.member.Load(); m != nil {
		m.gate.bell.ring()
		m.failover.bell.ring()
	}
	n.census.ring()
}
