package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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
	cmd := exec.CommandContext(within(t, time.Minute), c.Binary(), args...)
	cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","))
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	if talk.Len() > 0 {
		t.Logf("taskraft %s: %s", strings.Join(args, " "), talk.String())
	}
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// runExample runs the tested block of a page against the cluster.
func runExample(t *testing.T, c *proc.Cluster, page string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, page))
	must(t, err)
	block := tested.FindSubmatch(text)
	if block == nil {
		t.Fatalf("%s has no block of tested commands", page)
	}
	cmd := exec.CommandContext(within(t, time.Minute), "bash", "-euxo", "pipefail")
	cmd.Env = append(os.Environ(), "TASKRAFT_MASTERS="+strings.Join(c.Addrs(), ","), "PATH="+filepath.Dir(c.Binary())+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdin = c.Dir(), bytes.NewReader(block[1])
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", page, err, out)
	}
	t.Logf("\n%s", out)
}
