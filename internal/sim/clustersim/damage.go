package clustersim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"time"

	"github.com/taskraft/taskraft/cluster"
)

// damage ends the master's process and returns its disk, and where the next process
// will look for one; ok is false when none runs.
func (m *master) damage() (whole place, bad string, ok bool) {
	whole, ok = m.end(false)
	if !ok {
		return place{}, "", false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return whole, m.next(), true
}

// flip changes a bit of the master's log. The master must not start from it, unless the
// bit is one that says nothing; then it gets its own disk back.
func (m *master) flip(rng *rand.Rand) {
	whole, bad, ok := m.damage()
	if !ok {
		return
	}
	then := whole
	if whole.good == "" { // else it has damage already
		err := os.CopyFS(bad, os.DirFS(whole.dir))
		done := false
		if err == nil {
			done, err = flip(bad, rng)
		}
		if err != nil {
			m.failf("flip a bit: %v", err)
		}
		if done {
			then = place{dir: bad, good: whole.dir, joins: whole.joins}
		}
	}
	m.later(m.chance(rng, time.Second), func() { m.start(then) })
}

// lose takes the master's disk away, one master's at a time: what two of three have lost
// nobody has. A process that finds an empty disk must not take part, since it would vote
// in the place of one that knew more: it gets its own back when it has refused, or is
// told to take its own place as a new member.
func (m *master) lose(rng *rand.Rand) {
	leader := m.leading()
	if leader == nil || !m.losing.CompareAndSwap(nil, m) {
		return
	}
	old := m.serverID(leader)
	whole, bad, ok := m.damage()
	if !ok {
		m.losing.Store(nil)
		return
	}
	if rng.IntN(2) == 0 {
		m.later(m.chance(rng, time.Second), func() { m.start(place{dir: bad, good: whole.dir, wiped: true}) })
		return
	}
	m.later(m.chance(rng, 5*time.Second), func() {
		m.start(place{dir: bad, joins: true})
		if m.within(replaceWithin, func() bool { return m.replaced(old) }) {
			m.met("lost master replaced")
			m.losing.Store(nil)
		} else {
			m.failf("%s did not get its lost predecessor's place within %v", name(m.i), replaceWithin)
		}
	})
}

// remove has the leader, which may be the one, take a member out while it works, and its
// machine come back with an empty disk, as a new member, when its process has ended for
// that. One at a time, and not while a disk is lost: the others are a majority.
func (m *master) remove() {
	leader := m.leading()
	if leader == nil || !m.losing.CompareAndSwap(nil, m) {
		return
	}
	old, led := m.serverID(leader), m.leads()
	if old == "" {
		m.losing.Store(nil)
		return
	}
	m.leaving.Store(true)
	m.wg.Go(func() {
		defer m.leaving.Store(false)
		switch refusal, ok := m.takeOut(old); {
		case !ok:
			m.failf("%s was neither removed nor refused within %v", name(m.i), replaceWithin)
		case refusal != nil:
			m.met("removal refused")
			m.losing.Store(nil)
		case !m.within(replaceWithin, func() bool { return m.replaced(old) }):
			m.failf("%s was removed and is no new member within %v", name(m.i), replaceWithin)
		default:
			m.met("member removed and taken in again")
			if led {
				m.met("leader removed and taken in again")
			}
			m.losing.Store(nil)
		}
	})
}

// takeOut asks who leads, again and again, until the member of that id is removed, or
// must stay. A leader that was about to remove it may be lost, and its change with it or
// not: no refusal is the last word after that.
func (m *master) takeOut(id string) (refusal error, ok bool) {
	asked := false
	ok = m.within(replaceWithin, func() bool {
		n := m.leading()
		if n == nil {
			return false
		}
		if now := m.serverID(n); now != id {
			return now != "" // it is a new member already
		}
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		err := n.RemoveMember(ctx, name(m.i))
		if !asked && (errors.Is(err, cluster.ErrQuorum) || errors.Is(err, cluster.ErrNoSuccessor)) {
			refusal = err
		}
		asked = true
		return err == nil || refusal != nil
	})
	return refusal, ok
}

// replaceWithin is more than faults last: nothing else may keep a majority from it.
const replaceWithin = 10 * time.Minute

// serverID returns the master's id as another knows it, "" if it has no vote.
func (m *master) serverID(n *cluster.Node) string {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	for _, x := range n.Members(ctx) {
		if x.Name == name(m.i) && x.Voter {
			return x.ServerID
		}
	}
	return ""
}

// replaced reports whether the master votes under another id.
func (m *master) replaced(old string) bool {
	n := m.leading()
	if n == nil {
		return false
	}
	id := m.serverID(n)
	return id != "" && id != old
}

// knock asks every master to take a new member in, until one answers that leads.
func (m *master) knock(ctx context.Context, _ []string, j cluster.Joiner) (cluster.Admission, error) {
	for {
		for _, o := range m.masters {
			n, _ := o.up()
			if n == nil || o == m {
				continue
			}
			a, err := n.AddMember(ctx, j)
			_, moved := errors.AsType[*cluster.NotLeaderError](err)
			if !moved && !errors.Is(err, cluster.ErrUncertain) && !errors.Is(err, cluster.ErrStopped) {
				return a, err
			}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return cluster.Admission{}, err
		}
	}
}
