package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

func (c *testCluster) joiner(name string) int {
	c.t.Helper()
	cfg := testConfig(c.t, []Peer{{Name: name, Raft: freeAddr(c.t)}}, 0)
	cfg.Peers = nil
	cfg.Join = c.knock()
	c.cfgs, c.nodes = append(c.cfgs, cfg), append(c.nodes, nil)
	return len(c.cfgs) - 1
}

// knock is Config.Join, as package client would do it, on the masters that run now.
func (c *testCluster) knock() func(context.Context, []string, Joiner) (Admission, error) {
	nodes := slices.Clone(c.nodes)
	return func(ctx context.Context, _ []string, j Joiner) (Admission, error) {
		for {
			for _, n := range nodes {
				if n == nil || n.member.Load() == nil {
					continue
				}
				a, err := n.AddMember(ctx, j)
				if _, moved := errors.AsType[*NotLeaderError](err); !moved && !errors.Is(err, ErrUncertain) && !errors.Is(err, ErrStopped) {
					return a, err
				}
			}
			if !pause(ctx, 10*time.Millisecond) {
				return Admission{}, ctx.Err()
			}
		}
	}
}

// voters waits until the leader's configuration has these voters, by name, and nobody
// else.
func (c *testCluster) voters(names ...string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("the voters are %v", names), func() bool {
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			if l, _ := n.Leader(); !l.Self {
				continue
			}
			var got []string
			for _, s := range n.peers.servers() {
				if s.Suffrage != raft.Voter {
					return false
				}
				got = append(got, memberName(s.ID))
			}
			slices.Sort(got)
			return slices.Equal(got, names)
		}
		return false
	})
}

func TestMasterJoinsAndVotes(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	ids := []uint64{c.submit("a")}
	for _, name := range []string{"n2", "n3"} {
		c.start(c.joiner(name))
		eventually(t, name+" knows its cluster", func() bool { return c.nodes[len(c.nodes)-1].ClusterID() == c.nodes[0].ClusterID() })
	}
	c.voters("n1", "n2", "n3")
	ids = append(ids, c.submit("b"))
	for _, n := range c.nodes {
		eventually(t, "every table has both tasks", func() bool { return has(n, ids[0]) && has(n, ids[1]) })
		eventually(t, "every member is recorded", func() bool { return len(n.records()) == 3 })
	}
	// It is a member like any other: it restarts from its own data, leads, and the
	// cluster goes on without the master that was there first.
	c.stop(1)
	c.start(1)
	c.stop(0)
	at := c.leader()
	if l, _ := c.nodes[at].Leader(); l.GRPC == "" {
		t.Errorf("leader %+v has no address", l)
	}
	c.submit("c")
	c.start(0)
	c.sameDigest()
}

func TestRemovedMasterEndsAndIsForgotten(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	at := c.follower()
	name := c.cfgs[at].Name
	eventually(t, "all are recorded", func() bool { return len(leader.records()) == 3 })
	if err := leader.RemoveMember(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	err := ended(t, c.nodes[at], FaultIdentity)
	if !strings.Contains(err.Error(), "--join") {
		t.Errorf("the removed master ended with %v", err)
	}
	c.nodes[at] = nil
	eventually(t, "its record is gone", func() bool { return leader.record(name) == nil })
	if got := len(leader.Members(t.Context())); got != 2 {
		t.Errorf("%d members, want 2", got)
	}
	// Its data is of no use any more.
	ended(t, c.start(at), FaultIdentity)
	c.nodes[at] = nil
	c.submit("the cluster works on")
	c.sameDigest()
}

// TestTakenInAgain: a member that asks again, since it has not heard the answer, keeps its
// vote, and the log has nothing that the table is not told of.
func TestTakenInAgain(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.submit("before")
	leader, at := c.nodes[c.leader()], c.follower()
	j := Joiner{Name: c.cfgs[at].Name, Raft: c.cfgs[at].Bind}
	for range 2 {
		a, err := leader.AddMember(t.Context(), j)
		if err != nil || a.ServerID != string(c.nodes[at].peers.self) || len(a.Members) != 3 {
			t.Errorf("taken in again: %+v, %v", a, err)
		}
	}
	c.voters("n1", "n2", "n3")
	eventually(t, "the table was told of the log's last entry", func() bool {
		return leader.Position().Index == leader.member.Load().raft.LastIndex()
	})
	c.sameDigest()
}

// D05: changes that must be refused, or that the leader hands over for.
func TestOneJoinsAfterTheOther(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	slow := make(chan struct{})
	for _, name := range []string{"n2", "n3", "n4"} {
		at := c.joiner(name)
		c.cfgs[at].hooks.beforeWrite = func() error { <-slow; return nil }
	}
	for i := 1; i < 4; i++ {
		c.start(i)
	}
	// Nobody can catch up yet: one is taken in, the others wait.
	eventually(t, "one is a member, and the other two have to wait for it", func() bool {
		busy := 0
		for i := 1; i < 4; i++ {
			if _, err := c.nodes[0].AddMember(t.Context(), Joiner{Name: c.cfgs[i].Name, Raft: c.cfgs[i].Bind}); errors.Is(err, ErrChangeUnderWay) {
				busy++
			}
		}
		return busy == 2
	})
	close(slow)
	c.voters("n1", "n2", "n3", "n4")
	c.submit("after")
	c.sameDigest()
}

// TestWipedMasterRejoins takes a follower's disk away: with Rejoin, and a majority of
// the others, its new incarnation takes the old one's place.
func TestWipedMasterRejoins(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	id := c.submit("before")
	c.leader()
	at := c.follower()
	old := string(c.nodes[at].peers.self)
	c.crash(at)
	if err := os.RemoveAll(c.cfgs[at].DataDir); err != nil {
		t.Fatal(err)
	}
	c.cfgs[at].Join, c.cfgs[at].Rejoin = c.knock(), true
	n := c.start(at)
	c.voters("n1", "n2", "n3")
	eventually(t, "it has what was there", func() bool { return has(n, id) })
	if got := string(n.peers.self); got == old || memberName(n.peers.self) != memberName(raft.ServerID(old)) {
		t.Errorf("%s came back as %s", old, got)
	}
	eventually(t, "its record is the new one's", func() bool {
		r := n.record(c.cfgs[at].Name)
		return r.GetServerId() == string(n.peers.self)
	})
	c.submit("after")
	c.sameDigest()
	// A restart, with or without --rejoin, changes nothing any more.
	now := n.peers.self
	c.stop(at)
	c.cfgs[at].Join, c.cfgs[at].Rejoin = nil, false
	n = c.start(at)
	eventually(t, "it is back", func() bool { l, _ := n.Leader(); return l.Name != "" })
	if n.peers.self != now {
		t.Errorf("%s restarted as %s", now, n.peers.self)
	}
}

// TestD05RemovalCountsWhoAnswers: of five, two are down; the third that is down must
// not be replaced, nor any other removed, since of the four left only two answer.
func TestMembersChangeUnderLoadAndLeaderChange(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.leader()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	nodes := append([]*Node(nil), c.nodes...)
	var mu sync.Mutex
	var acked []uint64
	var load sync.WaitGroup
	for w := range 4 {
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				for _, n := range nodes {
					res, _, err := n.Propose(ctx, oneTask(fmt.Sprintf("%d-%d", w, i)))
					if err == nil && res.Outcome == fsm.Accepted {
						mu.Lock()
						acked = append(acked, res.IDs...)
						mu.Unlock()
					}
				}
			}
		})
	}
	busy := func() {
		t.Helper()
		mu.Lock()
		from := len(acked)
		mu.Unlock()
		eventually(t, "load goes on", func() bool { mu.Lock(); defer mu.Unlock(); return len(acked) > from+100 })
	}
	busy()
	fourth := c.joiner("n4")
	c.start(fourth)
	// The leader that took it in dies: the next one goes on with it.
	c.crash(c.leader())
	eventually(t, "the fourth votes", func() bool {
		n := c.nodes[c.leader()]
		for _, s := range n.peers.servers() {
			if memberName(s.ID) == "n4" {
				return s.Suffrage == raft.Voter
			}
		}
		return false
	})
	cancel()
	load.Wait()
	c.submit("after")
	for i, n := range c.nodes {
		if n == nil {
			c.start(i)
		}
	}
	c.voters("n1", "n2", "n3", "n4")
	c.sameDigest()
	for _, id := range acked {
		if !has(c.nodes[fourth], id) {
			t.Fatalf("task %d was acknowledged and is not in the new member's table (S1)", id)
		}
	}
}

// TestNonVoterIsNoMajority holds the new member back from the others: it must not
// count for anything, and the cluster goes on without it.
func TestNonVoterIsNoMajority(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	at := c.joiner("n2")
	release := make(chan struct{})
	c.cfgs[at].hooks.beforeWrite = func() error { <-release; return nil }
	c.start(at)
	eventually(t, "it is a member", func() bool { return len(c.nodes[0].peers.servers()) == 2 })
	c.submit("without it")
	for _, s := range c.nodes[0].peers.servers() {
		if memberName(s.ID) == "n2" && s.Suffrage == raft.Voter {
			t.Error("a member that has nothing got a vote")
		}
	}
	close(release)
	c.voters("n1", "n2")
}

// TestB05JoinedMasterWithoutItsLog never starts anew under its old identity.
