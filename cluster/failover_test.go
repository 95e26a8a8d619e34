package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
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
			if got := c.deaths(); got == 0 {
				t.Error("no election after an observed death: the timers did it")
			}
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

func TestNonVotersWatchNobody(t *testing.T) {
	c := newTestCluster(t, 3, nil)
	c.startAll()
	leader := c.nodes[c.leader()]
	follower := c.nodes[c.follower()]
	f := follower.member.Load().failover
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

// children are masters in processes of their own, so that they can be killed.
type children struct {
	t     *testing.T
	list  []Peer
	dir   string
	procs []*child
}

type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// childConfig is what a child process gets in its environment.
type childConfig struct {
	Name, Dir string
	Peers     []Peer
}

const childEnv = "TASKRAFT_TEST_MASTER"

// childStatus is a child's answer.
type childStatus struct {
	Leader Leader
	Status Status
	Index  uint64
	Digest string
	Since  int64 // when it last began to lead, Unix nanoseconds
}

func (s childStatus) since() time.Time { return time.Unix(0, s.Since) }

func startChildren(t *testing.T, n int) *children {
	t.Helper()
	c := &children{t: t, dir: t.TempDir(), procs: make([]*child, n)}
	for i := range n {
		c.list = append(c.list, Peer{Name: fmt.Sprintf("n%d", i+1), Raft: freeAddr(t)})
	}
	for i := range n {
		c.start(i)
	}
	t.Cleanup(func() {
		for i, p := range c.procs {
			if p != nil {
				c.kill(i)
			}
		}
	})
	return c
}

func (c *children) start(i int) {
	c.t.Helper()
	cfg, err := json.Marshal(childConfig{Name: c.list[i].Name, Dir: c.dir + "/" + c.list[i].Name, Peers: c.list})
	if err != nil {
		c.t.Fatal(err)
	}
	p := &child{cmd: exec.Command(os.Args[0], "-test.run=^TestChildMaster$", "-test.timeout=10m")}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(cfg))
	p.cmd.Stderr = c.t.Output()
	in, err := p.cmd.StdinPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.procs[i] = p
}

// kill is kill -9.
func (c *children) kill(i int) {
	p := c.procs[i]
	c.procs[i] = nil
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// ask sends a line and reads one of JSON.
func (c *children) ask(i int, line string) childStatus {
	c.t.Helper()
	var s childStatus
	p := c.procs[i]
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		c.t.Fatalf("%s: %v", c.list[i].Name, err)
	}
	for p.out.Scan() {
		if strings.HasPrefix(p.out.Text(), "{") {
			if err := json.Unmarshal(p.out.Bytes(), &s); err != nil {
				c.t.Fatal(err)
			}
			return s
		}
	}
	c.t.Fatalf("%s ended", c.list[i].Name)
	return s
}

func (c *children) status(i int) childStatus { return c.ask(i, "status") }

func (c *children) leader() int {
	c.t.Helper()
	at := -1
	eventually(c.t, "a child serves", func() bool {
		for i, p := range c.procs {
			if p != nil && c.status(i).Leader.Self {
				at = i
			}
		}
		return at >= 0
	})
	return at
}

// load lets every child propose as fast as it can, and returns once that works.
func (c *children) load() {
	c.t.Helper()
	for i := range c.procs {
		c.ask(i, "load")
	}
	from := c.status(c.leader()).Index
	eventually(c.t, "load", func() bool { return c.status(c.leader()).Index > from+500 })
}

// deaths sums the elections after observed deaths.
func (c *children) deaths() (sum uint64) {
	for i, p := range c.procs {
		if p != nil {
			sum += c.status(i).Status.Counters["observed_death_failovers"]
		}
	}
	return sum
}

// agree ends the load and compares all tables (C1).
func (c *children) agree() {
	c.t.Helper()
	for i := range c.procs {
		c.ask(i, "calm")
	}
	eventually(c.t, "equal digests", func() bool {
		var first childStatus
		for i := range c.procs {
			s := c.ask(i, "digest")
			if i == 0 {
				first = s
			} else if s.Index != first.Index {
				return false
			} else if s.Digest != first.Digest {
				c.t.Fatalf("digests differ at index %d", s.Index)
			}
		}
		return true
	})
}

// TestChildMaster is a master in a process of its own; see startChildren.
func TestChildMaster(t *testing.T) {
	text, ok := os.LookupEnv(childEnv)
	if !ok {
		t.Skip("runs as a child process only")
	}
	var cc childConfig
	if err := json.Unmarshal([]byte(text), &cc); err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Peers, cfg.Heartbeat = cc.Name, cc.Dir, cc.Peers, slowTimers
	cfg.Bind = cfg.self().Raft
	cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	n, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var since atomic.Int64
	go func() {
		for {
			l, changed := n.Leader()
			if l.Self {
				since.Store(time.Now().UnixNano())
			}
			<-changed
		}
	}()
	serveChild(t, n, &since)
}

func serveChild(t *testing.T, n *Node, since *atomic.Int64) {
	ctx, calm := context.WithCancel(t.Context())
	defer calm()
	var load sync.WaitGroup
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var s childStatus
		switch in.Text() {
		case "load":
			for i := range 8 {
				load.Go(func() { propose(ctx, n, i) })
			}
		case "calm":
			calm()
			load.Wait()
		case "digest":
			index, sum, err := n.Digest(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Index, s.Digest = index, fmt.Sprintf("%x", sum)
		}
		s.Leader, _ = n.Leader()
		s.Status, s.Since = n.Status(), since.Load()
		if s.Digest == "" {
			s.Index = s.Status.Applied
		}
		if err := out.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
}

// propose submits until ctx ends; while this node does not lead, whenever it does.
func propose(ctx context.Context, n *Node, seed int) {
	for i := 0; ctx.Err() == nil; i++ {
		_, changed := n.Leader()
		call, cancel := context.WithTimeout(ctx, time.Second)
		_, _, err := n.Propose(call, oneTask(fmt.Sprintf("%s-%d-%d", n.cfg.Name, seed, i)))
		cancel()
		if _, moved := errors.AsType[*NotLeaderError](err); moved {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}
}
