package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

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
