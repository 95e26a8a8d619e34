package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/taskraft/taskraft/fsm"
)

// spoil changes a master's table behind the log's back.
func (c *testCluster) spoil(n *Node) {
	c.t.Helper()
	n.table.mu.Lock()
	defer n.table.mu.Unlock()
	index, term, now := n.table.m.Position()
	n.table.m.Refound(fsm.Founding{Index: index, Term: term, Now: now})
}

// condemned waits until a master has ended because its table differs, and sees that
// it does not start again.
func (c *testCluster) condemned(at int) {
	c.t.Helper()
	err := ended(c.t, c.nodes[at], FaultDisk)
	if !strings.Contains(err.Error(), "differs from the other masters'") {
		c.t.Errorf("it ended with %v", err)
	}
	c.nodes[at] = nil
	n, err := Start(c.t.Context(), c.cfgs[at])
	if err == nil {
		c.nodes[at] = n
		c.t.Fatal("it started again")
	}
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultDisk || !strings.Contains(err.Error(), "--rejoin") {
		c.t.Errorf("the next start ended with %v", err)
	}
}

func TestStateHashes(t *testing.T) {
	var h hashes
	if h.last() != (stateHash{}) || h.at(1) != (stateHash{}) {
		t.Error("an empty ring knows something")
	}
	for i := uint64(1); i <= keepHashes+10; i++ {
		h.note(stateHash{2 * i, i})
	}
	for index, want := range map[uint64]stateHash{
		2: {}, 20: {}, 22: {22, 11}, 23: {}, 2 * keepHashes: {2 * keepHashes, keepHashes},
		2*keepHashes + 20: {2*keepHashes + 20, keepHashes + 10}, 2*keepHashes + 22: {},
	} {
		if got := h.at(index); got != want {
			t.Errorf("at %d: %v, want %v", index, got, want)
		}
	}
	for index, want := range map[uint64]stateHash{
		21: {}, 22: {22, 11}, 23: {22, 11}, 24: {24, 12}, 2*keepHashes + 25: {2*keepHashes + 20, keepHashes + 10},
	} {
		if got, oldest := h.until(index); got != want || (got.Index == 0) != (oldest == 22) {
			t.Errorf("until %d: %v (oldest %d), want %v", index, got, oldest, want)
		}
	}
	h.restart(stateHash{7, 1})
	if h.last() != (stateHash{7, 1}) || h.at(22) != (stateHash{}) {
		t.Errorf("after a restart: %v, %v", h.last(), h.at(22))
	}
}

// TestDivergedFollowerStops: C1. The others go on without it.
func TestDivergedFollowerStops(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.submit("before")
	leader, at := c.leader(), c.follower()
	c.spoil(c.nodes[at])
	c.submit("after")
	c.condemned(at)
	if got := c.leader(); got != leader {
		t.Errorf("%s leads, it was %s", c.cfgs[got].Name, c.cfgs[leader].Name)
	}
	c.submit("without it")
	c.sameDigest()
}

// TestDivergedLeaderStops: C1. Another leads on.
func TestDivergedLeaderStops(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.submit("before")
	at := c.leader()
	c.spoil(c.nodes[at])
	if _, _, err := c.nodes[at].Propose(t.Context(), oneTask("noticed")); err != nil {
		t.Fatal(err)
	}
	c.condemned(at)
	c.submit("by the next")
	c.sameDigest()
}

// TestDivergenceWithoutMajority: of two that differ nobody knows which one is wrong.
// Both go on, until a third one can tell.
func TestDivergenceWithoutMajority(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.submit("before")
	c.leader()
	down := c.follower()
	c.stop(down)
	c.leader()
	at := c.follower()
	c.spoil(c.nodes[at])
	id := c.submit("after")
	eventually(t, "the leader knows that they differ", func() bool {
		l := c.nodes[c.leader()]
		for _, m := range l.peers.hashes(l.cfg.Version) {
			if own := l.applier.hashes.at(m.Index); own.Index != 0 && own.Hash != m.Hash {
				return true
			}
		}
		return false
	})
	c.submit("they go on")
	for _, n := range c.nodes {
		if n != nil {
			eventually(t, n.cfg.Name+" raises the alarm", func() bool { return slices.Contains(n.Status().Alarms, AlarmDiverged) })
		}
	}
	c.start(down)
	eventually(t, "the third has caught up", func() bool { return has(c.nodes[down], id) })
	c.submit("now there is a majority")
	c.condemned(at)
	c.sameDigest()
	for _, n := range c.nodes {
		if n != nil {
			eventually(t, n.cfg.Name+" takes the alarm back", func() bool { return !slices.Contains(n.Status().Alarms, AlarmDiverged) })
		}
	}
}
