package cluster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSalvage loses two masters of three with their disks: what the third has goes on
// in a new cluster, and the third's directory is of no use any more.
func TestSalvage(t *testing.T) {
	for name, change := range map[string]func(int, *Config){"log alone": nil, "snapshot and log": smallSnapshots} {
		t.Run(name, func(t *testing.T) {
			c := newTestCluster(t, 3, change)
			c.startAll()
			ids := []uint64{c.submit("a")}
			if change != nil {
				c.bulk(minTrailing + 100)
				eventually(t, "a snapshot is there", func() bool {
					list, _ := filepath.Glob(filepath.Join(c.cfgs[0].DataDir, "snapshots", "*", "state.bin"))
					return len(list) > 0
				})
			}
			ids = append(ids, c.submit("b"))
			eventually(t, "the first master has it", func() bool { return has(c.nodes[0], ids[1]) })
			dir := c.cfgs[0].DataDir
			if _, err := OpenSalvage(t.Context(), dir, "test", discard); !strings.Contains(err.Error(), "in use") {
				t.Errorf("salvaged a running master: %v", err)
			}
			for i := range c.nodes {
				c.crash(i)
			}
			s, err := OpenSalvage(t.Context(), dir, "test", discard)
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := errors.Join(s.Write(t.Context(), &file), s.Retire("rest.backup"), s.Close()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := Start(t.Context(), c.cfgs[0]); err == nil || !strings.Contains(err.Error(), "recovered into rest.backup") {
					t.Fatalf("a retired directory started: %v", err)
				}
			}

			next := newTestCluster(t, 3, nil)
			next.startAll()
			info, err := next.nodes[next.leader()].Restore(t.Context(), bytes.NewReader(file.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			if info.Index != s.Info.Index || info.Master != "n1" || info.Index == 0 {
				t.Errorf("the backup says %+v", info)
			}
			for _, id := range ids {
				eventually(t, "it has what was acknowledged", func() bool { return has(next.nodes[next.leader()], id) })
			}
			next.submit("goes on")
			next.sameDigest()
		})
	}
}

// TestSalvageRefuses what is no cluster's data, or not whole.
func TestSalvageRefuses(t *testing.T) {
	refused := func(dir string, kind FaultKind, want string) {
		t.Helper()
		s, err := OpenSalvage(t.Context(), dir, "test", discard)
		if err == nil {
			_ = s.Close()
			t.Fatalf("%s was salvaged", dir)
		}
		if f, ok := errors.AsType[*Fault](err); !ok || f.Kind != kind || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a fault of kind %d with %q", err, kind, want)
		}
	}
	refused(t.TempDir(), FaultDisk, "no data")
	c := newTestCluster(t, 1, nil)
	c.startAll()
	c.submit("a")
	c.stop(0)
	if err := os.Truncate(filepath.Join(c.cfgs[0].DataDir, "raft.db"), 100); err != nil {
		t.Fatal(err)
	}
	refused(c.cfgs[0].DataDir, FaultDisk, "raft.db")
}
