package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
)

// TestRecoverDrill kills all masters at once and takes two disks away: what the third
// one holds goes on in a new cluster.
func TestRecoverDrill(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	acked := make(map[uint64]bool)
	for range 50 {
		r, err := cl.Submit(ctx, client.Task{Kind: "stand"})
		must(t, err)
		acked[r.ID] = true
	}
	last, err := c.Leader(ctx) // it has all that it has acknowledged
	must(t, err)
	must(t, c.Close())
	dir, file := filepath.Join(c.Dir(), last.Name), filepath.Join(t.TempDir(), "rest.backup")

	recoverFrom := func(code int, want string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(ctx, binary, append([]string{"cluster", "recover", "--data-dir", dir, file}, args...)...)
		out, err := cmd.CombinedOutput()
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(out), want) {
			t.Fatalf("cluster recover %v: exit code %d, want %d and %q: %v\n%s", args, got, code, want, err, out)
		}
		return string(out)
	}
	look := recoverFrom(0, "--confirm")
	if _, err := os.Stat(file); err == nil || !strings.Contains(look, "50 tasks") {
		t.Errorf("without --confirm a file was written, or not said what there is:\n%s", look)
	}
	recoverFrom(6, "holds cluster", "--confirm", "another")
	id := strings.Fields(look[strings.Index(look, "--confirm "):])[1]
	t.Log(recoverFrom(0, "retired", "--confirm", id))
	recoverFrom(10, "recovered into", "--confirm", id)

	next := newCluster(t)
	t.Log(cli(t, next, "snapshot", "restore", file))
	now := newClient(t, next.Addrs())
	for id := range acked {
		if _, err := now.Get(within(t, time.Minute), id); err != nil {
			t.Errorf("task %d was acknowledged before the disaster: %v", id, err)
		}
	}
	_, _, err = next.Digest(within(t, time.Minute))
	must(t, err)
}
