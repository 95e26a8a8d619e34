package cluster

import (
	"bytes"
	"errors"
	"testing"

	"github.com/taskraft/taskraft/cluster/backup"
	"github.com/taskraft/taskraft/fsm"
)

// TestBackupAndRestore takes a backup of one cluster and restores it into another of
// three masters: all of them have the table, and none of its old fences or members.
func TestBackupAndRestore(t *testing.T) {
	old := newTestCluster(t, 1, nil)
	old.startAll()
	first, second := old.submit("a"), old.submit("b")
	var file bytes.Buffer
	info, err := old.nodes[0].Backup(t.Context(), 0, &file)
	if err != nil {
		t.Fatal(err)
	}
	lost := old.submit("after the backup")
	if info.ClusterID != old.nodes[0].ClusterID() || info.Index == 0 {
		t.Errorf("the backup says %+v", info)
	}

	c := newTestCluster(t, 3, nil)
	c.startAll()
	at := c.leader()
	leader := c.nodes[at]
	if _, err := c.nodes[c.follower()].Restore(t.Context(), bytes.NewReader(file.Bytes())); err == nil {
		t.Error("a follower restored")
	}
	for _, bad := range [][]byte{nil, []byte("hello, this is no backup"), file.Bytes()[:file.Len()/2], flipped(file.Bytes())} {
		if _, err := leader.Restore(t.Context(), bytes.NewReader(bad)); !errors.Is(err, backup.ErrNotBackup) && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("B19: %d bytes that are no whole backup: %v", len(bad), err)
		}
	}
	cluster := leader.ClusterID()
	if _, err := leader.Restore(t.Context(), bytes.NewReader(file.Bytes())); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		eventually(t, "every master has what the backup had", func() bool { return has(n, first) && has(n, second) })
		if has(n, lost) || n.ClusterID() != cluster || cluster == info.ClusterID {
			t.Errorf("%s: has a task from after the backup (%v), or a wrong cluster id %s", n.cfg.Name, has(n, lost), n.ClusterID())
		}
	}
	if id := c.submit("new"); id <= 1_000_000_000 {
		t.Errorf("task id %d may have been given out by the old cluster", id)
	}
	if _, err := c.nodes[c.leader()].Restore(t.Context(), bytes.NewReader(file.Bytes())); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("restored over tasks: %v", err)
	}
	c.sameDigest()
	// It survives a restart of everybody, and goes on.
	for i := range c.nodes {
		c.crash(i)
	}
	c.startAll()
	c.submit("after the restart")
	for _, n := range c.nodes {
		eventually(t, "nothing is lost at the restart", func() bool { return has(n, first) && has(n, second) })
		var fence uint64
		_, _ = n.Read(t.Context(), ReadOptions{Level: Stale}, func(m *fsm.Machine) { fence = m.LastFence() })
		if fence < 1<<40 {
			t.Errorf("%s goes on with fence %d, which the old cluster may have given out (S6)", n.cfg.Name, fence)
		}
	}
	eventually(t, "the members are the new ones", func() bool { return len(c.nodes[c.leader()].records()) == 3 })
	c.sameDigest()
}

func flipped(b []byte) []byte {
	bad := bytes.Clone(b)
	bad[len(bad)/2] ^= 1
	return bad
}
