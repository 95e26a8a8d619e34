package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

func TestThreeMastersFormElectAndServe(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	id := c.submit("a")

	leader := c.nodes[c.leader()]
	var task *fsm.Task
	if _, err := leader.Read(t.Context(), ReadOptions{}, func(m *fsm.Machine) { task, _ = m.Task(id) }); err != nil || task == nil {
		t.Fatalf("linearizable read: task %v, err %v", task, err)
	}
	cluster := leader.ClusterID()
	if cluster == "" {
		t.Error("the leader has no cluster id")
	}
	for _, n := range c.nodes {
		eventually(t, "every table has the task", func() bool { return has(n, id) })
		if n.ClusterID() != cluster {
			t.Errorf("%s has cluster id %q, the leader %q", n.cfg.Name, n.ClusterID(), cluster)
		}
	}
	c.sameDigest()
}

func TestFollowerNamesTheLeader(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.leader()
	follower := c.nodes[c.follower()]
	_, _, err := follower.Propose(t.Context(), oneTask("a"))
	nl, ok := errors.AsType[*NotLeaderError](err)
	if !ok {
		t.Fatalf("got %v, want *NotLeaderError", err)
	}
	cfg := c.cfgs[leader]
	if nl.Leader.Name != cfg.Name || nl.Leader.GRPC != cfg.GRPC || nl.Leader.HTTP != cfg.HTTP {
		t.Errorf("got leader %+v, want %s at %s and %s", nl.Leader, cfg.Name, cfg.GRPC, cfg.HTTP)
	}
	if err := follower.Transfer(t.Context(), ""); err == nil {
		t.Error("a follower transferred leadership")
	}
}

func TestMembersAreRecorded(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	c.leader()
	for _, n := range c.nodes {
		for _, cfg := range c.cfgs {
			eventually(t, "every member is in every table", func() bool {
				r := n.record(cfg.Name)
				return r.GetGrpc() == cfg.GRPC && r.GetHttp() == cfg.HTTP && r.GetRaft() == cfg.Bind && r.GetLevel() == fsm.Level
			})
		}
	}
	leaders := 0
	for _, m := range c.nodes[c.follower()].Members(t.Context()) {
		if !m.Voter || !m.Reachable || m.Version != "test" {
			t.Errorf("member %+v: want a reachable voter of version test", m)
		}
		if m.Leader {
			leaders++
		}
	}
	if leaders != 1 {
		t.Errorf("%d members lead, want 1", leaders)
	}
}

func TestSingleMaster(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	id := c.submit("a")
	c.stop(0)
	c.startAll()
	c.leader()
	if !has(c.nodes[0], id) {
		t.Error("the task is gone after a restart")
	}
	st := c.nodes[0].Status()
	if st.Role != "leader" || !st.Serving || st.Counters["elections"] != 1 {
		t.Errorf("status %+v: want a serving leader with one election", st)
	}
}

func TestRestartOfOneAndOfAll(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	first := c.submit("a")

	at := c.follower()
	c.crash(at)
	second := c.submit("b")
	n := c.start(at)
	eventually(t, "the restarted node catches up", func() bool { return has(n, first) && has(n, second) })

	for i := range c.nodes {
		c.crash(i)
	}
	c.startAll()
	third := c.submit("c")
	for _, n := range c.nodes {
		eventually(t, "nothing is lost", func() bool { return has(n, first) && has(n, second) && has(n, third) })
	}
	c.sameDigest()
}

func TestStopHandsLeadershipOver(t *testing.T) {
	c := newTestCluster(t, 3, func(_ int, cfg *Config) { cfg.Heartbeat = 5 * time.Second }) // timers would show
	c.startAll()
	old := c.leader()
	for i := range 20 {
		c.submit(fmt.Sprint(i))
	}
	node := c.nodes[old]
	c.stop(old)
	if l, _ := node.Leader(); l.Name == "" || l.Self {
		t.Errorf("the stopped leader points to %+v, want its successor", l)
	}
	if err := node.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}
	next := c.leader()
	if got := c.nodes[next].Status().Counters["observed_death_failovers"]; got != 0 {
		t.Errorf("%d observed deaths at a planned stop, want none", got)
	}
	c.submit("after")
}

// TestStopUnderLoadLeavesNoCallUncertain stops the leader while calls are on
// their way: each is answered, or was never applied.
func TestStopUnderLoadLeavesNoCallUncertain(t *testing.T) {
	c := newTestCluster(t, 3, func(_ int, cfg *Config) { cfg.Heartbeat = 5 * time.Second })
	c.startAll()
	old := c.leader()
	node := c.nodes[old]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var done, uncertain atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _, err := node.Propose(ctx, oneTask(""))
				switch {
				case err == nil:
					done.Add(1)
				case errors.Is(err, ErrUncertain):
					uncertain.Add(1)
				case errors.Is(err, ErrStopped):
					return
				}
			}
		})
	}
	eventually(t, "load", func() bool { return done.Load() > 500 })
	c.stop(old)
	cancel()
	wg.Wait()
	if uncertain.Load() > 0 {
		t.Errorf("%d calls ended uncertain", uncertain.Load())
	}
	c.leader()
	c.sameDigest()
}

func TestTransferToANamedMember(t *testing.T) {
	c := newTestCluster(t, 3, func(_ int, cfg *Config) { cfg.Heartbeat = 5 * time.Second })
	c.startAll()
	old := c.leader()
	to := (old + 1) % 3
	if err := c.nodes[old].Transfer(t.Context(), "n9"); err == nil {
		t.Error("transferred to an unknown master")
	}
	if err := c.nodes[old].Transfer(t.Context(), c.cfgs[to].Name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the named master leads", func() bool { l, _ := c.nodes[to].Leader(); return l.Self })
	c.submit("after")
}

func TestSecondProcessOnTheSameDirectory(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	cfg := c.cfgs[0]
	cfg.Bind = freeAddr(t)
	cfg.Peers = []Peer{{Name: cfg.Name, Raft: cfg.Bind}}
	_, err := Start(t.Context(), cfg)
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultDisk {
		t.Errorf("got %v, want a disk fault", err)
	}
}

func TestA09PortInUse(t *testing.T) {
	c := newTestCluster(t, 1, nil)
	c.startAll()
	cfg := c.cfgs[0]
	cfg.DataDir = t.TempDir()
	_, err := Start(t.Context(), cfg)
	if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != FaultBind {
		t.Errorf("got %v, want a bind fault", err)
	}
}
