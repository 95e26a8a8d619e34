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
	api   *host      // nil: no program uses it
	rng   *rand.Rand // the nemesis's, and under mu
	clock atomic.Int64
	rate  float64   // the wall clock's, above the time's own: 0.1 gains six seconds a minute
	began time.Time // the world, when the clock was not off by its rate yet

	restarted atomic.Int32 // how often it ended because its Raft had to start anew
	leaving   atomic.Bool  // it is removed, and comes back as a new member

	mu    sync.Mutex
	now   *life // nil: no process runs
	lives int
}

// place is a disk that a process is started on.
type place struct {
	dir   string
	good  string // without the damage that dir has: what it gets when it refuses dir
	wiped bool   // the damage is that nothing is there any more
	joins bool   // nothing was there, and it takes the place of the member that it was
}

// maxRestarts of a master in one world are believed: a snapshot over a log of another
// term needs one, and is rare.
const maxRestarts = 2

// life is one process of a master.
type life struct {
	place
	disk    *disk
	boot    int
	apiBoot int
	index   uint64 // applied last; the journal's

	mu   sync.Mutex
	node *cluster.Node // nil until it has started
}

func newMaster(w *world, i int) *master {
	return &master{world: w, i: i, host: w.net.hosts[address(i)], api: w.net.hosts[apiAddress(i)], rng: w.random(uint64(100 + i))}
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

// next returns the directory of the next process.
func (m *master) next() string {
	m.lives++
	return m.path()
}

func (m *master) path() string { return filepath.Join(m.dir, name(m.i), fmt.Sprint(m.lives)) }

// start runs a process on a disk, whose directory is there or not.
func (m *master) start(p place) {
	if err := os.MkdirAll(filepath.Dir(p.dir), 0o700); err != nil {
		m.failf("make a disk: %v", err)
		return
	}
	m.mu.Lock()
	l := &life{place: p, disk: newDisk(p.dir, m.random(uint64(1000*m.i+m.lives)), m.swarm.sync), boot: m.net.begin(m.host)}
	if m.api != nil {
		l.apiBoot = m.net.begin(m.api)
	}
	l.disk.flipped = p.good != "" && !p.wiped
	l.disk.endless = func() { m.failf("%s goes on although a write has hung for %v", name(m.i), hangLasts) }
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
	if m.api != nil {
		m.wg.Go(func() { m.serve(l, n) })
	}
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
	if err := errors.Join(os.RemoveAll(l.disk.dir), os.RemoveAll(l.disk.durable())); err != nil {
		m.failf("clear a disk: %v", err)
	}
}

func (m *master) config(l *life) cluster.Config {
	c := cluster.DefaultConfig()
	c.Name, c.Bind, c.DataDir = name(m.i), address(m.i), l.disk.dir
	c.GRPC, c.HTTP, c.Version = apiAddress(m.i), name(m.i)+":2", "sim"
	for i := range m.swarm.masters {
		c.Peers = append(c.Peers, cluster.Peer{Name: name(i), Raft: address(i)})
	}
	c.SnapshotBytes, c.SnapshotAge, c.TailBytes = m.swarm.snapshotBytes, m.swarm.snapshotAge, m.swarm.tailBytes
	c.EventBytes, c.QueueDepth, c.SessionTTL, c.ObservedDeath = 1<<20, 1024, ttl, m.swarm.observedDeath
	c.Logger = m.log
	if l.joins {
		c.Join, c.Rejoin = m.knock, true
	}
	c.Simulate(cluster.World{
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			return m.net.dial(ctx, m.host, l.boot, addr)
		},
		Listen: func(string) (net.Listener, error) { return m.net.listen(m.host, l.boot) },
		Wall:   m.wall,
		Store:  l.disk.store, Disk: l.disk, SegmentBytes: 1 << 17, Trailing: m.swarm.trailing, Space: l.disk.space,
		Applied: func(e cluster.AppliedEntry) { m.journal.applied(m, l, e) },
	})
	return c
}

// wall is what the master's wall clock says.
func (m *master) wall() time.Time {
	now := time.Now()
	return now.Add(time.Duration(m.clock.Load())).Add(time.Duration(m.rate * float64(now.Sub(m.began))))
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
	then := m.after(l)
	m.mu.Unlock()
	m.hangUp(false)
	faulty := l.disk.faulty()
	_, err := l.disk.image(then.dir, false)
	close(l.disk.dead)
	fault, ok := errors.AsType[*cluster.Fault](why)
	switch {
	case err != nil:
		m.failf("%v", err)
	case why == nil: // it was asked to stop
	case ok && fault.Kind == cluster.FaultIdentity && l.wiped:
		m.met("wiped master refused")
		m.losing.Store(nil)
		then = place{dir: l.good}
	case ok && fault.Kind == cluster.FaultIdentity && m.leaving.Load():
		m.met("removed member ended by itself")
		if err := os.RemoveAll(then.dir); err != nil {
			m.failf("empty a disk: %v", err)
		}
		then = place{dir: then.dir, joins: true}
	case ok && fault.Kind == cluster.FaultIdentity && l.joins:
		m.met("wiped master not taken in yet")
	case ok && fault.Kind == cluster.FaultDisk && l.good != "" && !l.wiped && l.running() == nil:
		m.met("flipped bit refused")
		then = place{dir: l.good}
	case ok && fault.Kind == cluster.FaultDisk && strings.Contains(why.Error(), "restart this node"):
		if m.met("master ended for a new start"); m.restarted.Add(1) > maxRestarts {
			m.failf("%s ended %d times for a new start: %v", name(m.i), maxRestarts+1, why)
		}
	case ok && fault.Kind == cluster.FaultDisk && faulty:
		m.met("master ended by its disk")
	default: // starting it again could go on for ever, at one moment of virtual time
		m.failf("%s ended: %v", name(m.i), why)
		m.clear(l)
		return
	}
	m.clear(l)
	m.later(500*time.Millisecond+m.chance(m.rng, 3*time.Second), func() { m.start(then) })
}

// after returns the disk of the process that follows a life: a copy, of which it is
// known what it is worth once a process has started from it.
func (m *master) after(l *life) place {
	p := place{dir: m.next(), joins: l.joins}
	if l.wiped || l.running() == nil {
		p.good, p.wiped = l.good, l.wiped
	}
	return p
}

// kill ends the process at once, with the power or alone, and starts the next one after
// a while.
func (m *master) kill(power bool, down time.Duration) bool {
	then, ok := m.end(power)
	if ok {
		m.later(down, func() { m.start(then) })
	}
	return ok
}

// end ends the process at once and returns the disk of the one that follows it; false
// when none runs. Only the nemesis calls it, while nothing else moves.
func (m *master) end(power bool) (then place, ok bool) {
	m.mu.Lock()
	l := m.now
	if l == nil {
		m.mu.Unlock()
		return place{}, false
	}
	m.now = nil
	then = m.after(l)
	m.mu.Unlock()
	lost, err := l.disk.image(then.dir, power)
	if err != nil {
		m.failf("%v", err)
	}
	if lost {
		m.met("unsynced write lost")
	}
	if l.disk.renamed {
		m.met("unsynced name lost")
	}
	m.hangUp(power)
	close(l.disk.dead)
	return then, true
}

// hangUp is the end of a process, as the network sees it.
func (m *master) hangUp(power bool) {
	m.net.end(m.host, power)
	if m.api != nil {
		m.net.end(m.api, power)
	}
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
	for _, c := range []string{"observed_death_failovers", "snapshots", "snapshots_installed", "snapshots_spared", "elections"} {
		m.metTimes("node counted "+c, s.Counters[c])
	}
	for _, a := range s.Alarms {
		m.met("alarm " + a)
	}
}
