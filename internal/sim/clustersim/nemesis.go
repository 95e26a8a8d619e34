package clustersim

import (
	"context"
	"math/rand/v2"
	"testing/synctest"
	"time"
)

// fault is a kind of thing that the nemesis does. Most end by themselves.
type fault struct {
	kind    string
	between bool // it needs more than one master
	do      func(n *nemesis)
}

// nemesis does one fault after the other. It alone ends processes by force, while
// nothing else moves, so that what is on a disk then is what a crash leaves.
type nemesis struct {
	*world
	rng       *rand.Rand
	witnesses witnesses
}

// newNemesis returns one whose witnesses go on until ctx ends.
func newNemesis(ctx context.Context, w *world) *nemesis {
	return &nemesis{world: w, rng: w.random(2), witnesses: newWitnesses(ctx, w)}
}

var faults = []fault{
	{"kill", false, func(n *nemesis) { n.kill(n.target(), false) }},
	{"power cut", false, func(n *nemesis) { n.kill(n.target(), true) }},
	{"kill all", false, func(n *nemesis) { n.killAll() }},
	{"long away", true, func(n *nemesis) { n.away() }},
	{"stop in order", false, func(n *nemesis) { n.target().stop() }},
	{"hand over", true, func(n *nemesis) { n.handOver() }},
	{"cut off", true, func(n *nemesis) { n.cutOff(n.target(), true, true) }},
	{"one-way", true, func(n *nemesis) { n.oneWay(n.target()) }},
	{"no majority", true, func(n *nemesis) { n.shatter() }},
	{"one link", true, func(n *nemesis) { n.oneLink() }},
	{"reject", true, func(n *nemesis) { n.reject(n.target()) }},
	{"short reject", true, func(n *nemesis) { n.shortReject() }},
	{"clog", true, func(n *nemesis) { n.clog() }},
	{"disk stalls", false, func(n *nemesis) { n.hang(n.target(), 2*time.Second) }},
	{"disk hangs", false, func(n *nemesis) { n.hang(n.target(), 50*time.Second) }},
	{"all disks hang", false, func(n *nemesis) { n.hangAll() }},
	{"disk fails", false, func(n *nemesis) { n.breakDisk(n.target(), false) }},
	{"disk full", false, func(n *nemesis) { n.breakDisk(n.target(), true) }},
	{"disk low", false, func(n *nemesis) { n.lowDisk(n.target()) }},
	{"bit flip", true, func(n *nemesis) { n.target().flip(n.rng) }},
	{"clock jump", false, func(n *nemesis) { n.jump(n.target()) }},
	{"worker kill", false, func(n *nemesis) { n.killWorker() }},
	{"worker freeze", false, func(n *nemesis) { n.freezeWorker() }},
	{"caller apart", true, func(n *nemesis) { n.part() }},
	{"disk lost", true, func(n *nemesis) { n.target().lose(n.rng) }},
	{"member removed", true, func(n *nemesis) { n.target().remove() }},
}

// run goes on until ctx ends.
func (n *nemesis) run(ctx context.Context) {
	on := make([]fault, 0, len(faults))
	for _, kind := range n.swarm.faults {
		for _, f := range faults {
			if f.kind == kind {
				on = append(on, f)
			}
		}
	}
	for len(on) > 0 {
		if sleep(ctx, n.swarm.pause/2+n.chance(n.rng, n.swarm.pause)) != nil {
			return
		}
		synctest.Wait()
		f := on[n.rng.IntN(len(on))]
		n.log.Info("fault", "kind", f.kind)
		f.do(n)
		n.met("fault: " + f.kind)
	}
}

// target is the leader, as often as not, or any master.
func (n *nemesis) target() *master {
	for _, m := range n.masters {
		if m.leads() && n.rng.IntN(2) == 0 {
			return m
		}
	}
	return n.masters[n.rng.IntN(len(n.masters))]
}

// lasting draws how long a fault lasts: mostly seconds.
func (n *nemesis) lasting() time.Duration {
	if n.rng.IntN(5) == 0 {
		return n.chance(n.rng, 30*time.Second)
	}
	return n.chance(n.rng, 5*time.Second)
}

func (n *nemesis) kill(m *master, power bool) {
	led := m.leads()
	down := n.lasting()
	if n.rng.IntN(3) == 0 {
		down = n.chance(n.rng, 200*time.Millisecond)
	}
	if m.kill(power, down) && led {
		n.met("leader killed")
	}
}

// away kills a follower for so long that it may need a snapshot.
func (n *nemesis) away() {
	for _, i := range n.rng.Perm(len(n.masters)) {
		if m := n.masters[i]; !m.leads() {
			m.kill(false, 20*time.Second+n.chance(n.rng, 40*time.Second))
			return
		}
	}
}

func (n *nemesis) killAll() {
	power := n.rng.IntN(2) == 0
	for _, m := range n.masters {
		m.kill(power, n.chance(n.rng, 4*time.Second))
	}
}

func (n *nemesis) handOver() {
	for _, m := range n.masters {
		node, _ := m.up()
		if node == nil || !m.leads() {
			continue
		}
		n.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if node.Transfer(ctx, "") == nil {
				n.met("leadership handed over")
			}
		})
	}
}

// link changes the way from one master to another, and back after a while.
func (n *nemesis) link(from, to *master, d time.Duration, do func(l *link, on bool)) {
	n.net.change(from.host, to.host, func(l *link) { do(l, true) })
	n.later(d, func() { n.net.change(from.host, to.host, func(l *link) { do(l, false) }) })
}

func cut(l *link, on bool) { l.cut = on }

// cutOff separates a master from all others, in one direction or both.
func (n *nemesis) cutOff(m *master, out, in bool) {
	d := n.lasting()
	if m.leads() {
		n.met("leader cut off")
	}
	for _, o := range n.masters {
		if o == m {
			continue
		}
		if out {
			n.link(m, o, d, cut)
		}
		if in {
			n.link(o, m, d, cut)
		}
	}
}

func (n *nemesis) oneWay(m *master) {
	out := n.rng.IntN(2) == 0
	n.cutOff(m, out, !out)
}

// shatter leaves no two masters connected.
func (n *nemesis) shatter() {
	for _, m := range n.masters {
		n.cutOff(m, true, false)
	}
}

// oneLink separates two masters that others still reach.
func (n *nemesis) oneLink() {
	a, b := n.rng.IntN(len(n.masters)), n.rng.IntN(len(n.masters))
	if a != b {
		d := n.lasting()
		n.link(n.masters[a], n.masters[b], d, cut)
		n.link(n.masters[b], n.masters[a], d, cut)
	}
}

// reject puts a firewall around a master: it looks dead to the others, and is not.
func (n *nemesis) reject(m *master) {
	if m.leads() {
		n.witnesses.look(m)
	}
	n.wall(m, n.lasting())
}

// wall is that firewall.
func (n *nemesis) wall(m *master, d time.Duration) {
	for _, o := range n.masters {
		if o != m {
			n.link(m, o, d, func(l *link, on bool) { l.reject = on })
			n.link(o, m, d, func(l *link, on bool) { l.reject = on })
		}
	}
}

// shortReject lets a leader look dead for so short a time that it hears of its successor
// while it still takes itself for the leader, and clients still turn to it
// (hashicorp/raft#695).
func (n *nemesis) shortReject() {
	for _, m := range n.masters {
		if !m.leads() {
			continue
		}
		d := 30*time.Millisecond + n.chance(n.rng, 200*time.Millisecond)
		n.witnesses.insist(m, d)
		n.wall(m, d)
		return
	}
}

// clog holds up all that goes over one link for a while.
func (n *nemesis) clog() {
	a, b := n.rng.IntN(len(n.masters)), n.rng.IntN(len(n.masters))
	if a != b {
		until := time.Now().Add(n.chance(n.rng, 6*time.Second))
		n.net.change(n.masters[a].host, n.masters[b].host, func(l *link) { l.clogged = until })
	}
}

// change changes the disk of the running process.
func (m *master) change(do func(d *disk)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now != nil {
		m.now.disk.set(do)
	}
}

func (n *nemesis) hang(m *master, most time.Duration) {
	d := n.chance(n.rng, most)
	if d > 2*time.Second {
		n.met("disk hung for longer than its deadline")
	}
	if d > 31*time.Second {
		n.met("disk hung for good")
	}
	m.change(func(x *disk) { x.hangs, x.hung = time.Now().Add(d), true })
}

func (n *nemesis) hangAll() {
	d := n.chance(n.rng, 10*time.Second)
	for _, m := range n.masters {
		m.change(func(x *disk) { x.hangs, x.hung = time.Now().Add(d), true })
	}
}

func (n *nemesis) breakDisk(m *master, full bool) {
	m.change(func(x *disk) { x.broken, x.full = true, full })
}

func (n *nemesis) lowDisk(m *master) {
	m.change(func(x *disk) { x.low = true })
	n.later(n.lasting()+5*time.Second, func() { m.change(func(x *disk) { x.low = false }) })
}

func (n *nemesis) jump(m *master) {
	by := n.chance(n.rng, 576*time.Second) - 288*time.Second
	if n.rng.IntN(4) == 0 {
		by *= 100 // less than what tasks are kept for
	}
	m.clock.Store(int64(by))
}

func (n *nemesis) killWorker() {
	if kill := n.workers[n.rng.IntN(len(n.workers))].kill.Load(); kill != nil {
		(*kill)()
	}
}

func (n *nemesis) freezeWorker() {
	o := n.workers[n.rng.IntN(len(n.workers))]
	o.frozen.Store(time.Now().Add(n.chance(n.rng, 30*time.Second)).UnixNano())
}

// part leaves a caller with only some of the masters, for a while.
func (n *nemesis) part() {
	c := n.callers[n.rng.IntN(len(n.callers))]
	c.separate(n.rng.Uint64N(1 << len(n.masters)))
	n.later(n.lasting(), func() { c.separate(0) })
}
