package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/cluster/datadir"
	"github.com/taskraft/taskraft/cluster/logstore"
)

func TestDecide(t *testing.T) {
	list := []Peer{{"n1", "a:1"}, {"n2", "b:1"}, {"n3", "c:1"}}
	formed := []datadir.Peer{{Name: "n1", Incarnation: "i1", Raft: "a:1"}, {Name: "n2", Incarnation: "i2", Raft: "b:1"}, {Name: "n3", Incarnation: "i3", Raft: "c:1"}}
	who := func(name, incarnation, cluster string) *identity {
		a := &identity{about: about{Name: name}, Incarnation: incarnation, ClusterID: cluster, List: list}
		if cluster != "" {
			a.Formed = formed
		}
		return a
	}
	other := who("n2", "i2", "")
	other.List = []Peer{list[0], list[1], {"n3", "d:1"}}
	tests := []struct {
		name    string
		own     *identity
		answers []*identity
		adopt   string // cluster id; "new": drawn
		refused string
	}{
		{"nobody answers", who("n1", "i1", ""), []*identity{nil, nil, nil}, "", ""},
		{"one is missing", who("n1", "i1", ""), []*identity{nil, who("n2", "i2", ""), nil}, "", ""},
		{"the first fixes", who("n1", "i1", ""), []*identity{nil, who("n2", "i2", ""), who("n3", "i3", "")}, "new", ""},
		{"the others wait for it", who("n2", "i2", ""), []*identity{who("n1", "i1", ""), nil, who("n3", "i3", "")}, "", ""},
		{"the first has fixed", who("n2", "i2", ""), []*identity{who("n1", "i1", "c"), nil, who("n3", "i3", "")}, "c", ""},
		{"learnt from any member", who("n2", "i2", ""), []*identity{nil, nil, who("n3", "i3", "c")}, "c", ""},
		{"the first restarts after fixing nothing", who("n1", "i1", ""), []*identity{nil, who("n2", "i2", "c"), nil}, "c", ""},
		{"wiped", who("n2", "new", ""), []*identity{who("n1", "i1", "c"), nil, nil}, "", "n1 belongs to cluster c, which does not know n2/new, a master without data: remove and re-add this member, or start it with --rejoin"},
		{"two clusters", who("n2", "i2", ""), []*identity{who("n1", "i1", "c"), nil, who("n3", "i3", "d")}, "", "cluster ids differ: n1 says c, n3 says d"},
		{"other list", who("n1", "i1", ""), []*identity{nil, other, nil}, "", "lists of peers differ: this master has n1=a:1,n2=b:1,n3=c:1, n2 has n1=a:1,n2=b:1,n3=d:1"},
		{"other master at the address", who("n1", "i1", ""), []*identity{nil, who("n3", "i3", ""), nil}, "", `the master at b:1 is "n3", the list of peers says "n2"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := decide(*tt.own, tt.answers)
			if got := errText(err); got != tt.refused {
				t.Fatalf("refused with %q, want %q", got, tt.refused)
			}
			if (v.clusterID != "") != (tt.adopt != "") || tt.adopt != "new" && v.clusterID != tt.adopt {
				t.Fatalf("adopts %q, want %q", v.clusterID, tt.adopt)
			}
			if v.clusterID == "" {
				return
			}
			if diff := cmp.Diff(formed, v.peers); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
			if v.fixed != (tt.adopt == "new") {
				t.Errorf("fixed = %v", v.fixed)
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// TestWipedMasterElectsNobody is the case of a master that lost its disk and came
// back at its old address: an entry is on A and B, B is wiped, A is down. C lacks
// the entry and must not win with B's vote.
func TestWipedMasterElectsNobody(t *testing.T) {
	const a, b, wiped = 0, 1, 1
	var asked atomic.Int64
	c := newTestCluster(t, 3, func(i int, cfg *Config) {
		cfg.Heartbeat = 200 * time.Millisecond
	})
	addrB := c.cfgs[b].Bind
	c.cfgs[2].hooks.dial = func(ctx context.Context, addr string) (net.Conn, error) {
		if addr == addrB {
			asked.Add(1)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	c.startAll()
	if at := c.leader(); at != a {
		if err := c.nodes[at].Transfer(t.Context(), c.cfgs[a].Name); err != nil {
			t.Fatal(err)
		}
	}
	c.submit("on all")
	c.sameDigest()
	c.crash(2)
	id := c.submit("on A and B")
	eventually(t, "B has it", func() bool { return has(c.nodes[b], id) })
	c.crash(a)
	c.crash(b)

	if err := os.RemoveAll(c.cfgs[b].DataDir); err != nil {
		t.Fatal(err)
	}
	normal := c.cfgs[b]
	c.cfgs[b].hooks.dial = func(context.Context, string) (net.Conn, error) {
		return nil, syscall.ECONNREFUSED // B hears of no cluster and stays
	}
	c.start(wiped)
	survivor := c.start(2)
	asked.Store(0)
	eventually(t, "C has asked B for its vote many times", func() bool { return asked.Load() > 10 })
	if l, _ := survivor.Leader(); l.Name != "" {
		t.Fatalf("%+v was elected without the entry", l)
	}
	c.crash(wiped)

	c.cfgs[b] = normal
	err := ended(t, c.start(wiped), FaultIdentity)
	if !strings.Contains(err.Error(), "remove and re-add this member") {
		t.Errorf("the wiped master ended with %v", err)
	}
	c.nodes[wiped] = nil
	c.start(a)
	c.leader()
	eventually(t, "C has the entry", func() bool { return has(survivor, id) })
}

func TestDifferentListsNeverForm(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.cfgs[1].Peers = append([]Peer(nil), c.cfgs[1].Peers...)
	c.cfgs[1].Peers[2].Raft = freeAddr(t)
	c.start(0)
	c.start(1)
	var fault error
	eventually(t, "one of them refuses", func() bool {
		fault = errors.Join(c.nodes[0].Err(), c.nodes[1].Err())
		return fault != nil
	})
	for _, cfg := range c.cfgs[:2] {
		if text := listText(cfg.ordered()); !strings.Contains(fault.Error(), text) {
			t.Errorf("%q does not show the list %s", fault, text)
		}
	}
}

// D01: data of another cluster.
func TestD01ForeignDataEndsOnContact(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	ours := c.nodes[c.leader()].ClusterID()
	for i := range c.nodes {
		c.crash(i)
	}
	foreign := newTestCluster(t, 3, func(i int, cfg *Config) { cfg.Bind, cfg.Peers = c.cfgs[i].Bind, c.cfgs[i].Peers })
	foreign.startAll()
	theirs := foreign.nodes[foreign.leader()].ClusterID()
	for i := range foreign.nodes {
		foreign.crash(i)
	}

	c.start(0)
	c.start(1)
	stray := foreign.start(2)
	err := ended(t, stray, FaultIdentity)
	foreign.nodes[2] = nil
	if !strings.Contains(err.Error(), ours) || !strings.Contains(err.Error(), theirs) {
		t.Errorf("%q does not show both cluster ids, %s and %s", err, ours, theirs)
	}
	c.submit("the cluster works on")
}

func TestB12CloneOfALiveMasterEnds(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.leader()
	at := c.follower()
	c.crash(at)
	clone := c.cfgs[at]
	clone.DataDir = filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(clone.DataDir, os.DirFS(c.cfgs[at].DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(clone.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.start(at)
	eventually(t, "the original is back", func() bool { l, _ := c.nodes[at].Leader(); return l.Name != "" })
	clone.Bind = freeAddr(t)
	n, err := Start(t.Context(), clone)
	if err != nil {
		t.Fatal(err)
	}
	ended(t, n, FaultIdentity)
	c.submit("the cluster works on")
}

func TestD06FormedClusterKeepsItsList(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.leader()
	c.stop(0)
	c.cfgs[0].Bind = freeAddr(t)
	c.cfgs[0].Peers = []Peer{{Name: "n1", Raft: c.cfgs[0].Bind}}
	_, err := Start(t.Context(), c.cfgs[0])
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultIdentity {
		t.Errorf("got %v, want an identity fault", err)
	}
}

// TestFormationResumes crashes a single master between the steps of its formation.
func TestFormationResumes(t *testing.T) {
	steps := []struct {
		name string
		upTo func(t *testing.T, d *datadir.Dir, self Peer)
	}{
		{"incarnation drawn", func(*testing.T, *datadir.Dir, Peer) {}},
		{"log created", func(t *testing.T, d *datadir.Dir, _ Peer) { openLog(t, d).Close() }},
		{"cluster adopted", func(t *testing.T, d *datadir.Dir, self Peer) {
			openLog(t, d).Close()
			adopt(t, d, self)
		}},
		{"log stamped", func(t *testing.T, d *datadir.Dir, self Peer) {
			openLog(t, d).Close()
			adopt(t, d, self)
			openLog(t, d).Close()
		}},
		{"term stored", func(t *testing.T, d *datadir.Dir, self Peer) {
			openLog(t, d).Close()
			adopt(t, d, self)
			s := openLog(t, d)
			defer s.Close()
			if err := s.SetUint64([]byte("CurrentTerm"), 1); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			c := newTestCluster(t, 1, nil)
			d, err := datadir.Open(c.cfgs[0].DataDir, datadir.Options{Create: true, Name: "n1"})
			if err != nil {
				t.Fatal(err)
			}
			step.upTo(t, d, c.cfgs[0].Peers[0])
			incarnation := d.Identity().Incarnation
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			c.startAll()
			c.submit("a")
			if got := c.nodes[0].dir.Identity().Incarnation; got != incarnation {
				t.Errorf("incarnation %s became %s", incarnation, got)
			}
		})
	}
}

func openLog(t *testing.T, d *datadir.Dir) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(logstore.Config{Path: d.LogPath(), Owner: d.Identity().Owner(), Logger: discard})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func adopt(t *testing.T, d *datadir.Dir, self Peer) {
	t.Helper()
	own := d.Identity()
	if err := d.Adopt("c0ffee", []datadir.Peer{{Name: own.Name, Incarnation: own.Incarnation, Raft: self.Raft}}); err != nil {
		t.Fatal(err)
	}
}
