package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestWorkersFromRemote drains a worker that is at work, kills the leader, and
// removes the worker: what it held ends, what comes later goes elsewhere.
func TestWorkersFromRemote(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	w1 := startWorker(t, c, "w1", c.Addrs(), "--slots", "2", "--label", "zone=a")
	held, err := cl.Submit(ctx, command(t, "default", "", "sh", "-c", "sleep 3; echo done"))
	must(t, err)
	running(t, cl, held.ID, 0)

	out, code := run(t, c, "worker", "drain", "w1")
	if code != 0 || !strings.Contains(out, "draining") {
		t.Fatalf("worker drain exited %d and printed\n%s", code, out)
	}
	out, _ = run(t, c, "worker", "get", "w1")
	for _, want := range []string{"draining", "zone=a", "1 of 2 in use", "RUNNING task", "pid", "last heard"} {
		if !strings.Contains(out, want) {
			t.Errorf("worker get does not say %q:\n%s", want, out)
		}
	}
	if _, code := run(t, c, "worker", "remove", "w1"); code != 6 {
		t.Errorf("removing a worker that holds a task exited %d, want 6", code)
	}
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	next, err := cl.Submit(ctx, command(t, "default", "", "echo", "elsewhere"))
	must(t, err)
	if out, code = run(t, c, "worker", "drain", "w1", "--wait"); code != 0 || !strings.Contains(out, "drained") {
		t.Errorf("worker drain --wait exited %d and printed\n%s", code, out)
	}
	task, err := cl.Get(ctx, held.ID)
	must(t, err)
	if got, err := stdout(task); err != nil || got != "done\n" {
		t.Errorf("what the drained worker held printed %q (%v)", got, err)
	}
	if task, err = cl.Get(ctx, next.ID); err != nil || task.GetState() != taskraftv1.TaskState_READY {
		t.Errorf("with only a drained worker the next task is %v (%v), want READY", task.GetState(), err)
	}
	startWorker(t, c, "w2", c.Addrs())
	if task, err = cl.Wait(ctx, next.ID); err != nil || task.GetEnded()[0].GetWorkerId() != "w2" {
		t.Errorf("the next task ran at %v (%v), want w2", task.GetEnded(), err)
	}

	if _, code := run(t, c, "worker", "remove", "w1"); code != 0 {
		t.Errorf("removing a drained worker exited %d", code)
	}
	must(t, proc.Poll(ctx, 20*time.Millisecond, "the removed process ends", func() bool { return !w1.Running() }))
	if out, _ = run(t, c, "worker", "list", "-o", "name"); out != "w2\n" {
		t.Errorf("worker list prints %q, want w2", out)
	}
	if out, _ = run(t, c, "worker", "list", "--gone"); !strings.Contains(out, "gone") {
		t.Errorf("worker list --gone does not show w1:\n%s", out)
	}
	if _, code := run(t, c, "worker", "get", "w9"); code != 5 {
		t.Errorf("an unknown worker exits %d, want 5", code)
	}
}

// run runs the binary as an operator would and returns what it printed to stdout
// and its exit code. What it said to stderr is in the test's log.
func run(t *testing.T, c *proc.Cluster, args ...string) (string, int) {
	t.Helper()
	l := runTaskraft(within(t, time.Minute), t, c, args...)
	code := l.exit(t)
	if talk := l.err.String(); talk != "" {
		t.Logf("taskraft %s: %s", strings.Join(args, " "), talk)
	}
	return l.out.String(), code
}

// TestWorkersPage runs the example of docs/workers.md.
func TestWorkersPage(t *testing.T) {
	c := newCluster(t)
	startWorker(t, c, "w1", c.Addrs())
	cl := newClient(t, c.Addrs())
	must(t, proc.Poll(within(t, time.Minute), 20*time.Millisecond, "the worker is there", func() bool {
		_, err := cl.Worker(t.Context(), "w1")
		return err == nil
	}))
	runPageOn(t, c, "docs/workers.md")
}
