package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// TestHundredWorkers lets a hundred worker processes join while work goes on.
// Twenty are killed and twenty told to stop, at any point of their lives; the
// rest stays. Every task is completed once, with the right result.
func TestHundredWorkers(t *testing.T) {
	c := newCluster(t, "--session-ttl", "3s")
	l := startLoad(t, c.Addrs(), "crowd", 10*time.Millisecond)
	killed := make(map[string]bool)
	var leaving []*proc.Worker
	for i := range 100 {
		w := startWorker(t, c, fmt.Sprintf("w%03d", i), c.Addrs(), "--queue", "crowd", "--slots", "1", "--ttl", "3s")
		leaving = append(leaving, w)
		pass(t, 30*time.Millisecond) // a worker every 30 ms
		if i < 20 || i%4 != 0 {
			continue
		}
		must(t, leaving[0].Signal(syscall.SIGKILL))
		must(t, leaving[1].Signal(syscall.SIGTERM))
		killed[leaving[0].ID] = true
		leaving = leaving[2:]
	}
	l.finish(t)
	l.check(t, c, proc.NewTally(), killed)
	must(t, c.StopWorkers())
	_, _, err := c.Digest(within(t, time.Minute))
	must(t, err)
	t.Logf("%d tasks completed once by a hundred workers, of whom %d were killed", len(l.want), len(killed))
}

// Case 6 (the same, with nothing held): TestRestartedWorkerIsNew restarts a worker under its id while nothing is known
// of it but that id: it gets new tasks under new fences, like any other.
func TestRestartedWorkerIsNew(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	var last uint64
	for life := range 3 {
		w := startWorker(t, c, "w01", c.Addrs(), "--slots", "1")
		receipt, err := cl.Submit(ctx, command(t, "", fmt.Sprint(life), "sha256sum"))
		must(t, err)
		task, err := cl.Wait(ctx, receipt.ID)
		must(t, err)
		if got, err := stdout(task); err != nil || got != sum(fmt.Sprint(life)) {
			t.Errorf("life %d: task printed %q (%v)", life, got, err)
		}
		if n := len(task.GetEnded()); n != 1 || task.GetEnded()[0].GetWorkerId() != "w01" || task.GetEnded()[0].GetFence() <= last {
			t.Fatalf("life %d: attempts %v, want one of w01 above fence %d", life, task.GetEnded(), last)
		}
		last = task.GetEnded()[0].GetFence()
		must(t, w.Kill())
	}
}
