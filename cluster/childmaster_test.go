package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
