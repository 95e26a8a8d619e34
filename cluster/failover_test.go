package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

func TestPlace(t *testing.T) {
	voter := func(id string) raft.Server { return raft.Server{ID: raft.ServerID(id)} }
	three := []raft.Server{voter("a"), voter("b"), voter("c")}
	five := append(append([]raft.Server(nil), three...), voter("d"), voter("e"))
	type reports = map[raft.ServerID]logEnd
	tests := []struct {
		name   string
		self   raft.ServerID
		voters []raft.Server
		seen   reports
		want   int
		ok     bool
	}{
		{"alone", "a", three, reports{"a": {1, 9}}, 0, false},
		{"two of three, longer index", "b", three, reports{"a": {1, 8}, "b": {1, 9}}, 0, true},
		{"two of three, shorter index", "a", three, reports{"a": {1, 8}, "b": {1, 9}}, 1, true},
		{"a later term beats a longer log", "a", three, reports{"a": {2, 3}, "b": {1, 9}}, 0, true},
		{"a tie goes by member order", "b", three, reports{"a": {1, 9}, "b": {1, 9}}, 1, true},
		{"two of five", "a", five, reports{"a": {1, 9}, "b": {1, 9}}, 0, false},
		{"three of five", "d", five, reports{"a": {1, 9}, "b": {1, 7}, "d": {1, 8}}, 1, true},
		{"a stranger's report does not count", "a", three, reports{"a": {1, 9}, "x": {1, 9}}, 0, false},
		{"not seen by self", "c", three, reports{"a": {1, 9}, "b": {1, 9}}, -1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := place(tt.self, tt.voters, tt.seen)
			if got != tt.want || ok != tt.ok {
				t.Errorf("place = %d, %v; want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// slowTimers make an election by timers as good as impossible within a test.
const slowTimers = 20 * time.Second

func TestObservedDeath(t *testing.T) {
	for _, tt := range []struct {
		name    string
		masters int
		restart bool // in place, at once
	}{
		{"three masters", 3, false},
		{"restart in place", 3, true},
		{"five masters", 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startChildren(t, tt.masters)
			old := c.leader()
			c.load()
			killed := time.Now()
			c.kill(old)
			if tt.restart {
				c.start(old)
			}
			next := c.leader()
			if next == old {
				t.Fatal("the killed leader leads")
			}
			t.Logf("served again %v after the kill", c.status(next).since().Sub(killed))
			// The counter goes up when the election is under way, perhaps after it is won.
			eventually(t, "an election after an observed death is counted: it was not the timers'", func() bool { return c.deaths() > 0 })
			if !tt.restart {
				c.start(old)
			}
			eventually(t, "the killed master follows", func() bool { return c.status(old).Leader.Name == c.list[next].Name })
			c.agree()
		})
	}
}

// TestRejectionTowardsOneFollower cuts one follower's connections to the leader
// and refuses its dials, as a firewall would: for that follower the leader looks
// dead, for the others it does not.
func TestRejectionTowardsOneFollower(t *testing.T) {
	walls := make([]*wall, 3)
	c := newTestCluster(t, 3, func(i int, cfg *Config) {
		cfg.Heartbeat = slowTimers
		walls[i] = &wall{}
		cfg.hooks.dial = walls[i].dial
	})
	c.startAll()
	leader := c.leader()
	at := c.follower()
	victim := c.nodes[at]
	observer := victim.member.Load().failover
	term := c.nodes[leader].Status().Term
	eventually(t, "the follower watches the leader", func() bool { return walls[at].open(c.cfgs[leader].Bind) > 0 })

	walls[at].reject(c.cfgs[leader].Bind)
	key := func(d death) bool { return strings.HasPrefix(d.Leader, c.cfgs[leader].Name+"/") && d.Term == term }
	eventually(t, "the follower believes the leader dead", func() bool {
		observer.mu.Lock()
		defer observer.mu.Unlock()
		for d, by := range observer.reports {
			if _, own := by[observer.peers.self]; own && key(d) {
				return true
			}
		}
		return false
	})
	for i := range 50 {
		c.submit(fmt.Sprint(i))
	}
	for _, n := range c.nodes {
		if st := n.Status(); st.Term != term || st.Counters["observed_death_failovers"] != 0 {
			t.Errorf("%s is in term %d and acted %d times on a death, want term %d and never",
				n.cfg.Name, st.Term, st.Counters["observed_death_failovers"], term)
		}
	}
}

// TestDeathReportsOfOthersDoNotSuffice lets a follower hear of its leader's death
// from everybody while its own watch stands.
func TestDeathReportsOfOthersDoNotSuffice(t *testing.T) {
	c := newTestCluster(t, 3, func(_ int, cfg *Config) { cfg.Heartbeat = slowTimers })
	c.startAll()
	leader := c.nodes[c.leader()]
	m := c.nodes[c.follower()].member.Load()
	term := leader.Status().Term
	for _, s := range m.failover.voters() {
		m.failover.heard(string(s.ID), deathReport{death{string(leader.peers.self), leader.port.Boot(), term}, term, 1 << 40})
	}
	for i := range 20 {
		c.submit(fmt.Sprint(i))
	}
	if got := leader.Status().Term; got != term {
		t.Errorf("term %d became %d on hearsay", term, got)
	}
}

// TestNewVotersWatchTheLeader: masters that join get their votes while somebody leads,
// and see that one die as any other would.
func TestNewVotersWatchTheLeader(t *testing.T) {
	c := newTestCluster(t, 1, func(_ int, cfg *Config) { cfg.Heartbeat = slowTimers })
	c.startAll()
	for _, name := range []string{"n2", "n3"} {
		at := c.joiner(name)
		c.cfgs[at].Heartbeat = slowTimers
		n := c.start(at)
		eventually(t, name+" has a vote", func() bool {
			m := n.member.Load()
			if m == nil {
				return false
			}
			_, ok := m.failover.target()
			return ok
		})
		eventually(t, name+" watches the leader", func() bool { return n.member.Load().failover.watching.Load() })
	}
	c.crash(0)
	next := c.nodes[c.leader()]
	eventually(t, "the death was seen", func() bool { return next.Status().Counters["observed_death_failovers"] == 1 })
}

// TestVotesWithoutABellAreSeen: a vote that came with a snapshot rings no bell, and its
// member watches the leader all the same.
func TestVotesWithoutABellAreSeen(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	m := c.nodes[c.follower()].member.Load()
	leader.changing.Lock() // or it would promote the follower again
	defer leader.changing.Unlock()
	if err := waitFuture(t.Context(), leader.member.Load().raft.DemoteVoter(m.failover.peers.self, 0, 0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a non-voter watches nobody", func() bool { _, ok := m.failover.target(); return !ok })
	deaf := &failover{raft: m.raft, port: m.failover.port, peers: m.failover.peers, log: discard, bell: newBell()}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer wg.Wait()
	defer stop()
	wg.Go(func() { deaf.run(ctx) })
	at := m.failover.peers.self
	for _, s := range m.raft.GetConfiguration().Configuration().Servers {
		if s.ID == at {
			if err := waitFuture(t.Context(), leader.member.Load().raft.AddVoter(s.ID, s.Address, 0, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the leader is watched", deaf.watching.Load)
}

func TestNonVotersWatchNobody(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	follower := c.nodes[c.follower()]
	f := follower.member.Load().failover
	leader.changing.Lock() // or it would promote the follower again
	defer leader.changing.Unlock()
	eventually(t, "a voter watches the leader", func() bool { _, ok := f.target(); return ok })
	if err := waitFuture(t.Context(), leader.member.Load().raft.DemoteVoter(follower.peers.self, 0, 0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a non-voter watches nobody", func() bool { _, ok := f.target(); return !ok })
	if _, ok := leader.member.Load().failover.target(); ok {
		t.Error("the leader watches itself")
	}
}

// wall is a dialler that can close the way to an address.
type wall struct {
	mu     sync.Mutex
	closed map[string]bool
	conns  map[string][]*walled
}

type walled struct {
	net.Conn
	cut atomic.Bool
}

// Read ends like a connection whose other side is gone, once it is cut.
func (w *walled) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil && w.cut.Load() {
		return 0, io.EOF
	}
	return n, err
}

func (w *wall) dial(ctx context.Context, addr string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed[addr] {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if w.conns == nil {
		w.conns = map[string][]*walled{}
	}
	x := &walled{Conn: c}
	w.conns[addr] = append(w.conns[addr], x)
	return x, nil
}

func (w *wall) open(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.conns[addr])
}

func (w *wall) reject(addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = map[string]bool{addr: true}
	for _, c := range w.conns[addr] {
		c.cut.Store(true)
		c.Close()
	}
}
