package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
)

// Case 4 (a worker is frozen past its TTL, then completes): its task runs elsewhere
// under a greater fence; what it delivers after the thaw is refused, kept aside, and
// changes nothing (S6).
func TestFrozenWorkerIsFencedOff(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	frozen := startWorker(t, c, "frozen", c.Addrs(), "--queue", "q", "--slots", "1", "--ttl", "1s")
	gate := filepath.Join(c.Dir(), "gate")
	task := program(t, "q", `if [ $TASKRAFT_WORKER = frozen ]; then sleep 0.3; else until [ -e `+gate+` ]; do sleep 0.02; done; fi; echo $TASKRAFT_WORKER`)
	task.MaxAttempts = 3
	r, err := cl.Submit(ctx, task)
	must(t, err)
	first := running(t, cl, r.ID, 0)
	must(t, frozen.Signal(syscall.SIGSTOP))
	startWorker(t, c, "heir", c.Addrs(), "--queue", "q", "--slots", "1")
	second := running(t, cl, r.ID, first.GetAttempt().GetFence())
	if second.GetAttempt().GetWorkerId() != "heir" {
		t.Fatalf("it runs at %v", second.GetAttempt())
	}
	must(t, frozen.Signal(syscall.SIGCONT))
	var late []proc.Settled
	must(t, proc.Poll(ctx, 10*time.Millisecond, "the late report is answered", func() bool {
		lines, err := c.Settled()
		must(t, err)
		late = append(late, lines...)
		return len(late) > 0
	}))
	if late[0].Worker != "frozen" || late[0].Outcome != "STALE_REASSIGNED" {
		t.Errorf("the late report: %+v, want STALE_REASSIGNED for frozen", late[0])
	}
	must(t, os.WriteFile(gate, nil, 0o600))
	done, err := cl.Wait(ctx, r.ID)
	must(t, err)
	if got, err := stdout(done); err != nil || got != "heir\n" || done.GetFailures() != 0 {
		t.Errorf("the result is %q (%v), %d failures counted", got, err, done.GetFailures())
	}
}
