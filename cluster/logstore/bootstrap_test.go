package logstore

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/cluster/datadir"
)

// node is what raft.BootstrapCluster and raft.NewRaft want besides a store.
type node struct {
	conf   *raft.Config
	snaps  *raft.InmemSnapshotStore
	trans  *raft.InmemTransport
	config raft.Configuration
}

func newNode() *node {
	n := &node{conf: raft.DefaultConfig(), snaps: raft.NewInmemSnapshotStore()}
	n.conf.LocalID = "n1/x"
	n.conf.HeartbeatTimeout, n.conf.ElectionTimeout = 50*time.Millisecond, 50*time.Millisecond
	n.conf.LeaderLeaseTimeout = 50 * time.Millisecond
	n.conf.Logger = hclog.NewNullLogger()
	var addr raft.ServerAddress
	addr, n.trans = raft.NewInmemTransport("n1")
	n.config.Servers = []raft.Server{{ID: "n1/x", Address: addr}}
	return n
}

func (n *node) bootstrap(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Bootstrap(n.conf, n.snaps, n.trans, n.config); err != nil {
		t.Fatal(err)
	}
}

func TestBootstrap(t *testing.T) { eachKind(t, testBootstrap) }

func testBootstrap(t *testing.T) {
	n, s := newNode(), owned(t, Config{})
	for range 3 { // only the first does something
		n.bootstrap(t, s)
		last, _ := s.LastIndex()
		term, _ := s.GetUint64(keyCurrentTerm)
		if last != 1 || term != 1 {
			t.Fatalf("last = %d, term = %d, want 1, 1", last, term)
		}
		s = reopen(t, s)
	}
}

// TestBootstrapInterrupted: the crash came after the term, before the entry.
func TestBootstrapInterrupted(t *testing.T) { eachKind(t, testBootstrapInterrupted) }

func testBootstrapInterrupted(t *testing.T) {
	n, s := newNode(), owned(t, Config{})
	if err := s.SetUint64(keyCurrentTerm, 1); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	n.bootstrap(t, s)
	if last, _ := s.LastIndex(); last != 1 {
		t.Errorf("last = %d, want the configuration at 1", last)
	}
}

// TestBootstrapNever on a node with any state.
func TestBootstrapNever(t *testing.T) { eachKind(t, testBootstrapNever) }

func testBootstrapNever(t *testing.T) {
	for name, state := range map[string]func(n *node, s *Store){
		"term":  func(_ *node, s *Store) { s.SetUint64(keyCurrentTerm, 2) },
		"vote":  func(_ *node, s *Store) { vote(t, s, 1, "n2/y") },
		"entry": func(_ *node, s *Store) { fill(t, s, 5, 5, 1) },
		"snapshot": func(n *node, _ *Store) {
			sink, err := n.snaps.Create(1, 10, 1, n.config, 1, n.trans)
			if err != nil {
				t.Fatal(err)
			}
			sink.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			n, s := newNode(), owned(t, Config{})
			state(n, s)
			before, _ := s.LastIndex()
			n.bootstrap(t, s)
			if after, _ := s.LastIndex(); after != before {
				t.Errorf("bootstrapped: last index %d, was %d", after, before)
			}
		})
	}
}

// TestRaft runs Raft itself on the store, through two lives.
func TestRaft(t *testing.T) { eachKind(t, testRaft) }

func testRaft(t *testing.T) {
	n, s := newNode(), owned(t, Config{})
	n.bootstrap(t, s)
	want := 0
	for range 2 {
		fsm := &counter{}
		leads := make(chan bool, 4)
		n.conf.NotifyCh = leads
		r, err := raft.NewRaft(n.conf, fsm, s, s, n.snaps, n.trans)
		if err != nil {
			t.Fatal(err)
		}
		if !<-leads {
			t.Fatal("does not lead")
		}
		for range 100 {
			if err := r.Apply([]byte("x"), 0).Error(); err != nil {
				t.Fatal(err)
			}
			want++
		}
		if err := r.Shutdown().Error(); err != nil {
			t.Fatal(err)
		}
		if fsm.n != want {
			t.Errorf("%d entries applied, want %d", fsm.n, want)
		}
		s = reopen(t, s)
	}
}

type counter struct{ n int }

func (c *counter) Apply(*raft.Log) any                 { c.n++; return nil }
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, io.EOF }
func (c *counter) Restore(r io.ReadCloser) error       { return r.Close() }

func TestOwner(t *testing.T) { eachKind(t, testOwner) }

func testOwner(t *testing.T) {
	path := tempPath(t)
	s := mustOpen(t, Config{Path: path}) // before formation
	s = reopen(t, s)
	if err := s.Adopt(""); err == nil {
		t.Error("adopted nobody")
	}
	// The identity was adopted, then the process died before it stamped the file.
	s.cfg.Owner = "c1/n1/x"
	s = reopen(t, s)
	s = reopen(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("B11", func(t *testing.T) {
		_, err := Open(Config{Path: path, Owner: "c2/n1/x"})
		wantError(t, err, datadir.Identity, "c1/n1/x", "c2/n1/x")
	})
	t.Run("B06", func(t *testing.T) {
		_, err := Open(Config{Path: path})
		wantError(t, err, datadir.Identity, "c1/n1/x", "no cluster")
	})
}

func TestDropSuperseded(t *testing.T) { eachKind(t, testDropSuperseded) }

func testDropSuperseded(t *testing.T) {
	for _, tt := range []struct {
		name        string
		lo, hi      uint64 // the log; terms follow from entry
		index, term uint64 // the snapshot
		drop        bool
		err         string
	}{
		{"no snapshot", 1, 100, 0, 0, false, ""},
		{"empty log", 0, 0, 50, 1, false, ""},
		{"same term", 1, 100, 50, 1, false, ""},
		{"same term at the end", 1, 100, 100, 1, false, ""},
		{"another term", 1, 3000, 50, 2, true, ""},
		{"another term at the end", 1, 100, 100, 7, true, ""},
		{"log ends before", 1, 100, 101, 1, true, ""},
		{"log begins right after", 51, 100, 50, 1, false, ""},
		{"hole after", 52, 100, 50, 1, false, "begins at entry 52 and the newest snapshot ends at 50"},
		{"snapshots lost", 52, 100, 0, 0, false, "begins at entry 52 and the newest snapshot ends at 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := owned(t, Config{})
			if tt.hi > 0 {
				fill(t, s, tt.lo, tt.hi, 10)
			}
			dropped, err := s.DropSuperseded(tt.index, tt.term)
			if tt.err != "" {
				wantError(t, err, datadir.Disk, tt.err)
			} else if err != nil {
				t.Fatal(err)
			}
			if dropped != tt.drop {
				t.Errorf("dropped = %v, want %v", dropped, tt.drop)
			}
			if tt.drop {
				wantLog(t, s, 0, 0, 0)
			} else {
				wantLog(t, s, tt.lo, tt.hi, 10)
			}
		})
	}
}
