package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// bulk puts n tasks of 8 KiB through the leader.
func (c *testCluster) bulk(n int) {
	c.t.Helper()
	for range n {
		cmd := oneTask("")
		cmd.Kind.(*fsmpb.Command_Submit).Submit.Tasks[0].Payload = make([]byte, 8<<10)
		if _, _, err := c.nodes[c.leader()].Propose(c.t.Context(), cmd); err != nil {
			c.t.Fatal(err)
		}
	}
}

func smallSnapshots(_ int, cfg *Config) {
	cfg.SnapshotBytes, cfg.TailBytes = 1<<20, 0
}

// compacted waits until a node has taken a snapshot and its log begins after index.
func compacted(t *testing.T, n *Node, index uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s compacts its log past entry %d", n.cfg.Name, index), func() bool {
		return n.Status().Counters["snapshots"] > 0 && n.store.Stats().First > index
	})
}

func TestLaggingMasterIsSentASnapshot(t *testing.T) {
	c := newTestCluster(t, 3, smallSnapshots)
	c.startAll()
	first := c.submit("first")
	c.sameDigest()
	at := c.follower()
	behind := c.nodes[at].Status().Last
	c.crash(at)
	c.bulk(minTrailing + 100)
	compacted(t, c.nodes[c.leader()], behind)

	n := c.start(at)
	last := c.submit("last")
	eventually(t, "the lagging master catches up", func() bool { return has(n, first) && has(n, last) })
	if got := n.Status().Snap; got <= behind {
		t.Errorf("its newest snapshot ends at %d, it needed one past %d", got, behind)
	}
	c.sameDigest()
}

func TestRestartFromSnapshot(t *testing.T) {
	c := newTestCluster(t, 1, smallSnapshots)
	c.startAll()
	first := c.submit("first")
	c.bulk(minTrailing + 100)
	compacted(t, c.nodes[0], 10)
	after := c.submit("after the snapshot")
	index, want, err := c.nodes[0].Digest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.crash(0)

	c.startAll()
	c.leader()
	if !has(c.nodes[0], first) || !has(c.nodes[0], after) {
		t.Error("tasks are gone after the restart")
	}
	// The new leader has added entries: a snapshot and the log up to the old end
	// must give the old table, which its digest at that index shows.
	m := replayed(t, c.nodes[0], index)
	if got := digestOf(t, m); got != want {
		t.Error("snapshot and log give another table")
	}
}

// replayed restores a node's newest snapshot and applies its log up to index.
func replayed(t *testing.T, n *Node, index uint64) *fsm.Machine {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(n.cfg.DataDir, "snapshots", "*", "state.bin"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	f, err := os.Open(dirs[len(dirs)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := readSnapshot(f)
	if err != nil {
		t.Fatal(err)
	}
	a := &applier{table: &table{m: m}, log: discard, applied: func(*fsm.Applied) {}, news: func() {}, record: recorder{ring: memoryRing()}}
	from, _, _ := m.Position()
	for i := from + 1; i <= index; i++ {
		a.ApplyBatch(logAt(t, n, i))
	}
	return m
}

func TestB09BrokenSnapshotsNeverStartEmpty(t *testing.T) {
	c := newTestCluster(t, 1, smallSnapshots)
	c.startAll()
	c.bulk(minTrailing + 100)
	compacted(t, c.nodes[0], 10)
	c.stop(0)
	states, err := filepath.Glob(filepath.Join(c.cfgs[0].DataDir, "snapshots", "*", "state.bin"))
	if err != nil || len(states) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	for _, s := range states {
		if err := os.Truncate(s, 100); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Start(t.Context(), c.cfgs[0])
	wantFault(t, err, FaultDisk)

	if err := os.RemoveAll(filepath.Join(c.cfgs[0].DataDir, "snapshots")); err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), c.cfgs[0])
	wantFault(t, err, FaultDisk)
}

// TestB09AnOlderSnapshotWillDo: a master whose newest snapshot is damaged begins with the
// one before, when its log reaches back to that.
func TestB09AnOlderSnapshotWillDo(t *testing.T) {
	c := newTestCluster(t, 1, func(_ int, cfg *Config) { cfg.SnapshotBytes, cfg.TailBytes = 1<<16, 0 })
	c.startAll()
	first := c.submit("first")
	c.bulk(minTrailing + 20)
	compacted(t, c.nodes[0], 10) // so that the log alone will not do
	older := c.nodes[0].Status().Snap
	c.bulk(10)
	eventually(t, "another snapshot is taken", func() bool { return c.nodes[0].Status().Snap > older })
	last := c.submit("last")
	c.stop(0)
	states, err := filepath.Glob(filepath.Join(c.cfgs[0].DataDir, "snapshots", "*", "state.bin"))
	if err != nil || len(states) != 2 {
		t.Fatalf("snapshots %v: %v", states, err)
	}
	if err := os.Truncate(states[1], 100); err != nil {
		t.Fatal(err)
	}
	c.startAll()
	c.leader()
	if !has(c.nodes[0], first) || !has(c.nodes[0], last) {
		t.Error("tasks are gone after the restart")
	}
}

// TestSnapshotsOneAfterTheOther: members write their snapshots at different entries.
func TestSnapshotsOneAfterTheOther(t *testing.T) {
	var members []raft.Server
	for i := range 7 {
		members = append(members, raft.Server{ID: raft.ServerID(fmt.Sprint("n", i))})
	}
	for i, want := range []int64{800, 700, 600, 500, 400, 400, 400} {
		if got := turnBytes(800, members, members[i].ID); got != want {
			t.Errorf("member %d: after %d bytes, want %d", i, got, want)
		}
	}
	if got := turnBytes(800, members, "stranger"); got != 800 {
		t.Errorf("no member: after %d bytes, want 800", got)
	}
}
