package clustersim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/taskraft/taskraft/cluster"
)

// master is one place in the cluster: one process after another on one disk.
type master struct {
	*world
	i     int
	host  *host
	rng   *rand.Rand // the nemesis's, and under mu
	clock atomic.Int64

	mu    sync.Mutex
	now   *life // nil: no process runs
	lives int
}

// life is one process of a master.
type life struct {
	disk  *disk
	boot  int
	other string // the directory without the damage
	index uint64 // applied last; the journal's

	mu   sync.Mutex
	node *cluster.Node // nil until it has started
}

func newMaster(w *world, i int) *master {
	return &master{world: w, i: i, host: w.net.hosts[address(i)], rng: w.random(uint64(100 + i))}
}

// up returns the running node and its end, nil when there is none.
func (m *master) up() (*cluster.Node, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now == nil {
		return nil, nil
	}
	return m.now.running(), m.now.disk.dead
}

func (l *life) running() *cluster.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.node
}

// leads reports whether the master says that it leads.
func (m *master) leads() bool {
	n, _ := m.up()
	if n == nil {
		return false
	}
	l, _ := n.Leader()
	return l.Self
}

// place returns the directory of the next process.
func (m *master) place() string {
	m.lives++
	return m.path()
}

func (m *master) path() string { return filepath.Join(m.dir, name(m.i), fmt.Sprint(m.lives)) }

// start runs a process on a directory, which is there or not. If it refuses that, it
// gets the other one, where there is one.
func (m *master) start(dir, other string) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		m.failf("make a disk: %v", err)
		return
	}
	m.mu.Lock()
	l := &life{disk: newDisk(dir, m.random(uint64(1000*m.i+m.lives)), m.swarm.sync), boot: m.net.begin(m.host), other: other}
	l.disk.flipped = other != ""
	m.now = l
	m.mu.Unlock()
	m.wg.Go(func() { m.live(l) })
}

// live is the life of a process.
func (m *master) live(l *life) {
	n, err := cluster.Start(context.Background(), m.config(l))
	if err != nil {
		m.fell(l, err)
		return
	}
	l.mu.Lock()
	l.node = n
	l.mu.Unlock()
	select {
	case <-n.Done():
		m.tally(n)
		m.fell(l, n.Err())
	case <-l.disk.dead:
		m.tally(n)
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		_ = n.Stop(gone) // what a dead process does, nobody sees
		m.clear(l)
	}
}

func (m *master) clear(l *life) {
	if err := os.RemoveAll(l.disk.dir); err != nil {
		m.failf("clear a disk: %v", err)
	}
}

func (m *master) config(l *life) cluster.Config {
	c := cluster.DefaultConfig()
	c.Name, c.Bind, c.DataDir = name(m.i), address(m.i), l.disk.dir
	c.GRPC, c.HTTP, c.Version = name(m.i)+":1", name(m.i)+":2", "sim"
	for i := range m.swarm.masters {
		c.Peers = append(c.Peers, cluster.Peer{Name: name(i), Raft: address(i)})
	}
	c.SnapshotBytes, c.SnapshotAge, c.TailBytes = m.swarm.snapshotBytes, m.swarm.snapshotAge, m.swarm.tailBytes
	c.EventBytes, c.QueueDepth, c.SessionTTL, c.ObservedDeath = 1<<20, 1024, ttl, m.swarm.observedDeath
	c.Logger = m.log
	c.Simulate(cluster.World{
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return m.net.dial(ctx, m.host, l.boot, addr)
		},
		Listen: func(string) (net.Listener, error) { return m.net.listen(m.host, l.boot) },
		Wall:   func() time.Time { return time.Now().Add(time.Duration(m.clock.Load())) },
		Store:  l.disk.store, Disk: l.disk, SegmentBytes: 1 << 17, Space: l.disk.space,
		Applied: func(e cluster.AppliedEntry) { m.journal.applied(m, l, e) },
	})
	return c
}

// fell is the end of a process by itself: it is looked at, and started again where
// that is what an end of this kind asks for.
func (m *master) fell(l *life, why error) {
	m.mu.Lock()
	if m.now != l { // it was killed, and a fall is what that looks like
		m.mu.Unlock()
		m.clear(l)
		return
	}
	m.now = nil
	dir := m.place()
	m.mu.Unlock()
	m.net.end(m.host, false)
	faulty := l.disk.faulty()
	_, err := l.disk.image(dir, false)
	close(l.disk.dead)
	fault, ok := errors.AsType[*cluster.Fault](why)
	switch {
	case err != nil:
		m.failf("%v", err)
	case why == nil: // it was asked to stop
	case ok && fault.Kind == cluster.FaultDisk && l.other != "" && l.running() == nil:
		m.met("flipped bit refused")
		dir = l.other
	case ok && fault.Kind == cluster.FaultDisk && (faulty || strings.Contains(why.Error(), "restart this node")):
		m.met("master ended by its disk")
	default: // starting it again could go on for ever, at one moment of virtual time
		m.failf("%s ended: %v", name(m.i), why)
		m.clear(l)
		return
	}
	m.clear(l)
	m.later(500*time.Millisecond+m.chance(m.rng, 3*time.Second), func() { m.start(dir, "") })
}

// kill ends the process at once, with the power or alone. Only the nemesis calls it,
// while nothing else moves.
func (m *master) kill(power bool, down time.Duration) bool {
	m.mu.Lock()
	l := m.now
	if l == nil {
		m.mu.Unlock()
		return false
	}
	m.now = nil
	dir := m.place()
	m.mu.Unlock()
	lost, err := l.disk.image(dir, power)
	if err != nil {
		m.failf("%v", err)
	}
	if lost {
		m.met("unsynced write lost")
	}
	m.net.end(m.host, power)
	close(l.disk.dead)
	if down >= 0 {
		m.later(down, func() { m.start(dir, "") })
	}
	return true
}

// stop ends the process in good order.
func (m *master) stop() {
	n, _ := m.up()
	if n == nil {
		return
	}
	m.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err == nil {
			m.met("master stopped in order")
		}
	})
}

// tally notes what a node counted.
func (m *master) tally(n *cluster.Node) {
	s := n.Status()
	for _, c := range []string{"observed_death_failovers", "snapshots", "elections"} {
		m.metTimes("node counted "+c, s.Counters[c])
	}
	for _, a := range s.Alarms {
		m.met("alarm " + a)
	}
}

// flipped starts the master from its disk with a wrong bit in the log, and from the
// right one if it refuses that.
func (m *master) flipped(rng *rand.Rand) {
	m.mu.Lock()
	good := m.path()
	bad := m.place()
	m.mu.Unlock()
	err := os.CopyFS(bad, os.DirFS(good))
	done := false
	if err == nil {
		done, err = flip(bad, rng)
	}
	if err != nil {
		m.failf("flip a bit: %v", err)
	}
	m.later(m.chance(rng, time.Second), func() {
		if done {
			m.start(bad, good)
		} else {
			m.start(good, "")
		}
	})
}
