package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestRestoreDrill backs a cluster up under load, loses it as a whole, and restores it
// into a new one: every task acknowledged before the backup is there and runs, and
// nothing that the old cluster gave out counts.
func TestRestoreDrill(t *testing.T) {
	c := newCluster(t)
	old := newClient(t, c.Addrs())
	worker := newPuller(t, c, "old-worker", "held")
	held, err := old.Submit(within(t, time.Minute), client.Task{Queue: "held", Kind: "stand"})
	must(t, err)
	given := worker.take()
	acked := make(map[uint64]bool)
	for range 50 {
		r, err := old.Submit(within(t, time.Minute), client.Task{Queue: "bulk", Kind: "stand"})
		must(t, err)
		acked[r.ID] = true
	}
	l := startLoad(t, c.Addrs(), "load", 10*time.Millisecond)
	file := filepath.Join(t.TempDir(), "monday.backup")
	t.Log(cli(t, c, "snapshot", "save", file))
	// D13: a follower's backup holds what the leader held when it was asked.
	followers, err := c.Followers(within(t, time.Minute))
	must(t, err)
	other := file + ".follower"
	cli(t, c, "snapshot", "save", other, "--from", followers[0].GRPC)
	l.finish(t)
	for _, name := range []string{file, other} {
		var v struct {
			Counts struct{ Tasks int }
		}
		out, err := exec.Command(binary, "snapshot", "verify", name, "-o", "json").Output()
		must(t, err)
		must(t, json.Unmarshal(out, &v))
		if v.Counts.Tasks < len(acked)+1 {
			t.Errorf("%s has %d tasks, at least %d were acknowledged before", name, v.Counts.Tasks, len(acked)+1)
		}
	}
	must(t, c.Close())

	next := newCluster(t)
	t.Log(cli(t, next, "snapshot", "restore", file))
	now := newClient(t, next.Addrs())
	for id := range acked {
		if _, err := now.Get(within(t, time.Minute), id); err != nil {
			t.Errorf("task %d was acknowledged before the backup: %v", id, err)
		}
	}
	ghost := newPuller(t, next, "old-worker", "nothing")
	if o := ghost.complete(given, "late"); o == taskraftv1.Outcome_ACCEPTED || o == taskraftv1.Outcome_DUPLICATE {
		t.Errorf("a fence of the old cluster was answered %s (S6)", o)
	}
	again := newPuller(t, next, "new-worker", "held").take()
	if again.GetTask() != held.ID || again.GetFence() <= given.GetFence() || again.GetFence() < 1<<40 {
		t.Errorf("task %d runs with fence %d after fence %d", again.GetTask(), again.GetFence(), given.GetFence())
	}
	refuseRestore(t, next, file)
	_, _, err = next.Digest(within(t, time.Minute))
	must(t, err)
}

// refuseRestore tries what must not be restored.
func refuseRestore(t *testing.T, c *proc.Cluster, good string) {
	t.Helper()
	data, err := os.ReadFile(good)
	must(t, err)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		must(t, os.WriteFile(name, b, 0o600))
		return name
	}
	for _, tt := range []struct {
		row, file string
		code      int
		want      string
	}{
		{"B19 no archive", write("text", []byte("hello, this is no backup at all")), 10, "not a backup"},
		{"B19 truncated", write("short", data[:len(data)/2]), 10, "damaged"},
		{"B19 one bit", write("bit", append(append([]byte(nil), data[:100]...), append([]byte{data[100] ^ 1}, data[101:]...)...)), 10, "damaged"},
		{"B19 not empty", good, 6, "not empty"},
		{"missing", filepath.Join(dir, "none"), 10, "no such file"},
	} {
		cmd := exec.CommandContext(within(t, time.Minute), binary, "snapshot", "restore", tt.file, "--masters", strings.Join(c.Addrs(), ","))
		out, err := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: exit code %d, want %d and %q: %v\n%s", tt.row, code, tt.code, tt.want, err, out)
		}
	}
	f, err := os.Open(good)
	must(t, err)
	defer f.Close()
	_, err = newClient(t, c.Addrs()).RestoreSnapshot(within(t, time.Minute), f)
	if e, ok := errors.AsType[*client.Error](err); !ok || e.Reason != reason.NotEmpty {
		t.Errorf("restored over tasks: %v", err)
	}
}

// TestBackupPage runs the example of docs/backup.md.
func TestBackupPage(t *testing.T) { runPage(t, "docs/backup.md") }
