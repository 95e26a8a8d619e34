package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// testCluster is a cluster of real nodes in this process, over loopback and
// temporary directories.
type testCluster struct {
	t     *testing.T
	cfgs  []Config
	nodes []*Node
}

// newTestCluster prepares n masters; adjust changes each one's configuration.
func newTestCluster(t *testing.T, n int, adjust func(i int, c *Config)) *testCluster {
	t.Helper()
	c := &testCluster{t: t, nodes: make([]*Node, n)}
	var list []Peer
	for i := range n {
		list = append(list, Peer{Name: fmt.Sprintf("n%d", i+1), Raft: freeAddr(t)})
	}
	for i := range n {
		cfg := testConfig(t, list, i)
		if adjust != nil {
			adjust(i, &cfg)
		}
		c.cfgs = append(c.cfgs, cfg)
	}
	t.Cleanup(func() {
		for _, x := range c.nodes {
			if x != nil {
				x.shutdown(nil)
			}
		}
	})
	return c
}

func testConfig(t *testing.T, list []Peer, i int) Config {
	cfg := DefaultConfig()
	cfg.Name, cfg.Bind, cfg.Peers = list[i].Name, list[i].Raft, list
	cfg.GRPC, cfg.HTTP = "grpc."+cfg.Name+":1", "http."+cfg.Name+":2"
	cfg.DataDir = filepath.Join(t.TempDir(), cfg.Name)
	cfg.Version = "test"
	cfg.Logger = testLogger(t)
	return cfg
}

func testLogger(t *testing.T) *slog.Logger {
	level := slog.LevelInfo
	if testing.Verbose() {
		level = slog.LevelDebug
	}
	w := &testOutput{w: t.Output()}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// testOutput ends with its test: a node whose disk failed leaves Raft behind.
type testOutput struct {
	mu sync.Mutex
	w  io.Writer
}

func (o *testOutput) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

func (o *testOutput) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = io.Discard
}

// given are the ports that freeAddr has returned: nobody may listen yet.
var given sync.Map

// freeAddr returns a loopback address that nobody listens on, below the ports
// that outgoing connections get. It returns none twice.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(12000+rand.IntN(20000)))
		if _, twice := given.LoadOrStore(addr, true); twice {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		l.Close()
		return addr
	}
	t.Fatal("no free port")
	return ""
}

func (c *testCluster) start(i int) *Node {
	c.t.Helper()
	n, err := Start(c.t.Context(), c.cfgs[i])
	if err != nil {
		c.t.Fatalf("start %s: %v", c.cfgs[i].Name, err)
	}
	c.nodes[i] = n
	return n
}

func (c *testCluster) startAll() {
	c.t.Helper()
	for i := range c.cfgs {
		c.start(i)
	}
}

// stop stops a node in good order.
func (c *testCluster) stop(i int) {
	c.t.Helper()
	if err := c.nodes[i].Stop(c.t.Context()); err != nil {
		c.t.Fatalf("stop %s: %v", c.cfgs[i].Name, err)
	}
	c.nodes[i] = nil
}

// crash ends a node without any hand-over.
func (c *testCluster) crash(i int) {
	c.nodes[i].shutdown(nil)
	c.nodes[i] = nil
}

// leader waits until one of the running nodes serves and returns its place.
func (c *testCluster) leader() int {
	c.t.Helper()
	at := -1
	eventually(c.t, "a leader serves", func() bool {
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			if l, _ := n.Leader(); l.Self {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// follower returns the place of a running node that does not lead, and waits
// until it knows the leader.
func (c *testCluster) follower() int {
	c.t.Helper()
	at := -1
	eventually(c.t, "a follower knows the leader", func() bool {
		for i, n := range c.nodes {
			if n == nil {
				continue
			}
			if l, _ := n.Leader(); !l.Self && l.GRPC != "" {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// watched waits until all followers watch the leader's process. One that does not yet,
// because it has just heard of the leader, does not see it die: then timers decide.
func (c *testCluster) watched() {
	c.t.Helper()
	eventually(c.t, "the followers watch the leader", func() bool {
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			if l, _ := n.Leader(); !l.Self && !n.member.Load().failover.watching.Load() {
				return false
			}
		}
		return true
	})
}

// submit puts one task through whoever leads, repeating what is safe to repeat.
func (c *testCluster) submit(requestID string) uint64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for {
		res, _, err := c.nodes[c.leader()].Propose(ctx, oneTask(requestID))
		if err == nil && len(res.IDs) == 1 {
			return res.IDs[0]
		}
		if _, moved := errors.AsType[*NotLeaderError](err); !moved && !errors.Is(err, ErrUncertain) {
			c.t.Fatalf("submit %s: %v %+v", requestID, err, res)
		}
	}
}

func oneTask(requestID string) *fsmpb.Command {
	return &fsmpb.Command{
		Principal: "client:test",
		Kind: &fsmpb.Command_Submit{Submit: &fsmpb.Submit{Tasks: []*fsmpb.TaskSpec{
			{Queue: "default", Kind: "test", Payload: []byte(requestID), RequestId: requestID},
		}}},
	}
}

// has reports whether a node's own table has the task.
func has(n *Node, id uint64) (found bool) {
	_, _ = n.Read(context.Background(), ReadOptions{Level: Stale}, func(m *fsm.Machine) {
		task, _ := m.Task(id)
		found = task != nil
	})
	return found
}

// sameDigest waits until all running nodes have applied the same entries and
// compares their tables (C1).
func (c *testCluster) sameDigest() {
	c.t.Helper()
	eventually(c.t, "equal digests", func() bool {
		var first [32]byte
		var at uint64
		some := false
		for _, n := range c.nodes {
			if n == nil {
				continue
			}
			index, sum, err := n.Digest(c.t.Context())
			if err != nil {
				c.t.Fatal(err)
			}
			if some && index != at {
				return false
			}
			if some && sum != first {
				c.t.Fatalf("digests differ at index %d", index)
			}
			first, at, some = sum, index, true
		}
		return true
	})
}

// patience is far more than anything takes on a busy machine.
const patience = 60 * time.Second

// eventually polls until ok, and fails the test after a long time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}

// ended waits for a node's fatal error.
func ended(t *testing.T, n *Node, kind FaultKind) error {
	t.Helper()
	select {
	case <-n.Done():
	case <-time.After(patience):
		t.Fatal("the node runs on")
	}
	f, ok := errors.AsType[*Fault](n.Err())
	if !ok || f.Kind != kind {
		t.Fatalf("the node ended with %v, want a fault of kind %d", n.Err(), kind)
	}
	return f
}

var discard = slog.New(slog.NewTextHandler(io.Discard, nil))
