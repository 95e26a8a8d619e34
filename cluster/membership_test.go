package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
)

// joiner prepares one more master, which joins through whoever leads.
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

// D05: changes that must be refused, or that the leader hands over for.
func TestD05ChangesThatWouldStopTheCluster(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	at := c.leader()
	leader := c.nodes[at]
	if err := leader.RemoveMember(t.Context(), "n9"); !errors.Is(err, ErrNoMember) {
		t.Errorf("removed an unknown member: %v", err)
	}
	if err := c.nodes[c.follower()].RemoveMember(t.Context(), "n1"); err == nil {
		t.Error("a follower removed a member")
	}
	// Two changes at once.
	leader.changing.Lock()
	if err := leader.RemoveMember(t.Context(), "n1"); !errors.Is(err, ErrChangeUnderWay) {
		t.Errorf("changed during a change: %v", err)
	}
	leader.changing.Unlock()
	// Two of three run: removing one of them would leave one of two.
	down := c.follower()
	other := 3 - at - down
	c.crash(down)
	if err := leader.RemoveMember(t.Context(), c.cfgs[other].Name); !errors.Is(err, ErrQuorum) {
		t.Errorf("removed the last follower that answers: %v", err)
	}
	// The one that is down can go. Then the leader itself goes, by way of the other.
	if err := leader.RemoveMember(t.Context(), c.cfgs[down].Name); err != nil {
		t.Fatal(err)
	}
	moved, ok := errors.AsType[*NotLeaderError](leader.RemoveMember(t.Context(), c.cfgs[at].Name))
	if !ok || moved.Leader.Name != c.cfgs[other].Name {
		t.Fatalf("the leader did not hand over before its removal: %+v", moved)
	}
	if err := c.nodes[other].RemoveMember(t.Context(), c.cfgs[at].Name); err != nil {
		t.Fatal(err)
	}
	ended(t, leader, FaultIdentity)
	c.nodes[at] = nil
	c.voters(c.cfgs[other].Name)
	if err := c.nodes[other].RemoveMember(t.Context(), c.cfgs[other].Name); !errors.Is(err, ErrQuorum) {
		t.Errorf("removed the last voter: %v", err)
	}
	c.submit("the cluster works on")
}

func TestJoinersThatAreRefused(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	eventually(t, "all are recorded", func() bool { return len(leader.records()) == 3 })
	before := len(leader.peers.servers())
	refused := func(row string, change func(cfg *Config), want string) {
		t.Run(row, func(t *testing.T) {
			cfg := c.cfgs[c.joiner("n4")]
			c.cfgs, c.nodes = c.cfgs[:3], c.nodes[:3]
			change(&cfg)
			n, err := Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := ended(t, n, FaultIdentity); !strings.Contains(err.Error(), want) {
				t.Errorf("ended with %q, want %q", err, want)
			}
			if got := len(leader.peers.servers()); got != before {
				t.Errorf("%d members, want %d", got, before)
			}
		})
	}
	live := c.cfgs[1]
	refused("D02 name of a live member", func(cfg *Config) { cfg.Name = "n2" },
		"n2 is n2@"+live.Bind+", incarnation "+c.nodes[1].dir.Identity().Incarnation)
	refused("D02 rejoin while the member lives", func(cfg *Config) { cfg.Name, cfg.Rejoin = "n2", true }, "is alive at "+live.Bind)
	refused("gRPC address of a member", func(cfg *Config) { cfg.GRPC = live.GRPC }, "is n2's")
	refused("D04 address that cannot be dialled back", func(cfg *Config) { cfg.Advertise = freeAddr(t) }, ErrUnreachable.Error())
	refused("D04 somebody else answers", func(cfg *Config) { cfg.Advertise = live.Bind }, "answers at "+live.Bind)
	c.submit("the cluster works on")
}

// D03: a follower says who leads.
func TestD03JoinToAFollowerIsRedirected(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	at := c.follower()
	_, err := c.nodes[at].AddMember(t.Context(), Joiner{Name: "n4", Raft: freeAddr(t)})
	if nl, ok := errors.AsType[*NotLeaderError](err); !ok || nl.Leader.GRPC != c.cfgs[c.leader()].GRPC {
		t.Errorf("got %v, want the leader's address", err)
	}
}

// D06: its address is what the others know it by.
func TestD06JoinedMasterKeepsItsAddress(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	at := c.joiner("n2")
	c.start(at)
	c.voters("n1", "n2")
	c.stop(at)
	old := c.cfgs[at].Bind
	c.cfgs[at].Bind = freeAddr(t)
	_, err := Start(t.Context(), c.cfgs[at])
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultIdentity || !strings.Contains(f.Error(), old) || !strings.Contains(f.Error(), c.cfgs[at].Bind) {
		t.Errorf("got %v, want an identity fault with both addresses", err)
	}
}

// TestOneJoinsAfterTheOther starts three masters at once: each waits for its turn,
// and all become voters.
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
func TestD05RemovalCountsWhoAnswers(t *testing.T) {
	c := newTestCluster(t, 5, nil)
	c.startAll()
	at := c.leader()
	leader := c.nodes[at]
	var down []int
	for i := range c.nodes {
		if i != at && len(down) < 2 {
			down = append(down, i)
			c.crash(i)
		}
	}
	for i := range c.nodes {
		if i == at || c.nodes[i] == nil {
			continue
		}
		if err := leader.RemoveMember(t.Context(), c.cfgs[i].Name); !errors.Is(err, ErrQuorum) {
			t.Errorf("removed %s although two of the four left are down: %v", c.cfgs[i].Name, err)
		}
	}
	if err := leader.RemoveMember(t.Context(), c.cfgs[down[0]].Name); err != nil {
		t.Errorf("one that is down cannot go: %v", err)
	}
	c.submit("the cluster works on")
}

// TestMembersChangeUnderLoadAndLeaderChange adds and removes while clients submit and
// the leader dies in between; nothing that was acknowledged may be missing.
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
func TestB05JoinedMasterWithoutItsLog(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	at := c.joiner("n2")
	n := c.start(at)
	eventually(t, "it is adopted", func() bool { return n.ClusterID() != "" })
	c.crash(at)
	for _, name := range []string{"wal", "snapshots"} {
		_ = os.RemoveAll(filepath.Join(c.cfgs[at].DataDir, name))
	}
	if err := os.Remove(filepath.Join(c.cfgs[at].DataDir, "raft.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), c.cfgs[at])
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultDisk {
		t.Errorf("a member without its log started: %v", err)
	}
}

// TestNoClusterToJoin ends with its own kind of fault.
func TestNoClusterToJoin(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	at := c.joiner("n2")
	c.cfgs[at].Join = func(context.Context, []string, Joiner) (Admission, error) {
		return Admission{}, &Fault{Kind: FaultNoLeader, Err: syscall.ECONNREFUSED}
	}
	ended(t, c.start(at), FaultNoLeader)
	c.nodes[at] = nil
}

// TestD05SeatsOfJoiners is the table of who may sit where.
func TestD05SeatsOfJoiners(t *testing.T) {
	voter := func(id, addr string) raft.Server {
		return raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(addr)}
	}
	waiting := raft.Server{ID: "n3/c", Address: "c:1", Suffrage: raft.Nonvoter}
	tests := []struct {
		name    string
		servers []raft.Server
		j       Joiner
		present bool
		rival   string
		want    error
	}{
		{"new", []raft.Server{voter("n1/a", "a:1")}, Joiner{Name: "n2", Incarnation: "b", Raft: "b:1"}, false, "", nil},
		{"again", []raft.Server{voter("n1/a", "a:1"), voter("n2/b", "b:1")}, Joiner{Name: "n2", Incarnation: "b", Raft: "b:1"}, true, "", nil},
		{"again, still without a vote", []raft.Server{voter("n1/a", "a:1"), waiting}, Joiner{Name: "n3", Incarnation: "c", Raft: "c:1"}, true, "", nil},
		{"moved", []raft.Server{voter("n1/a", "a:1"), voter("n2/b", "b:1")}, Joiner{Name: "n2", Incarnation: "b", Raft: "x:1"}, false, "", ErrMemberExists},
		{"name taken", []raft.Server{voter("n2/b", "b:1")}, Joiner{Name: "n2", Incarnation: "new", Raft: "x:1"}, false, "", ErrMemberExists},
		{"address taken", []raft.Server{voter("n2/b", "b:1")}, Joiner{Name: "n3", Incarnation: "c", Raft: "b:1"}, false, "", ErrMemberExists},
		{"replaced", []raft.Server{voter("n2/b", "b:1")}, Joiner{Name: "n2", Incarnation: "new", Raft: "b:1", Replace: true}, false, "n2/b", nil},
		{"another waits", []raft.Server{voter("n1/a", "a:1"), waiting}, Joiner{Name: "n2", Incarnation: "b", Raft: "b:1"}, false, "", ErrChangeUnderWay},
		{"replaced while it waits itself", []raft.Server{voter("n1/a", "a:1"), waiting}, Joiner{Name: "n3", Incarnation: "new", Raft: "c:1", Replace: true}, false, "n3/c", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			present, rival, err := vacancy(tt.servers, raft.ServerID(tt.j.Name+"/"+tt.j.Incarnation), tt.j)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if err == nil && (present != tt.present || string(rival.ID) != tt.rival) {
				t.Errorf("present %v, rival %q; want %v, %q", present, rival.ID, tt.present, tt.rival)
			}
		})
	}
}
