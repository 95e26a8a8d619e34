package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// targets returns the states and the output of a broadcast's workers.
func targets(t *testing.T, c *client.Client, id uint64) (*taskraftv1.Task, map[string]*taskraftv1.Target) {
	t.Helper()
	task, all, err := c.Targets(within(t, time.Minute), id)
	must(t, err)
	byWorker := make(map[string]*taskraftv1.Target)
	for _, x := range all {
		byWorker[x.GetWorkerId()] = x
	}
	return task, byWorker
}

// TestBroadcastWithFaults: a broadcast to three workers, all of them busy, while
// one of them is killed, the leader is killed, one joins late, and the killed one
// comes back. Each carries it out, and is counted once.
func TestBroadcastWithFaults(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	ran := filepath.Join(c.Dir(), "ran")
	var workers []*proc.Worker
	for i := range 3 {
		workers = append(workers, startWorker(t, c, fmt.Sprintf("w%d", i+1), c.Addrs(), "--slots", "1", "--label", "role=web"))
	}
	startWorker(t, c, "db", c.Addrs(), "--slots", "1", "--label", "role=db")
	for range 4 {
		busy, err := cl.Submit(ctx, command(t, "default", "", "sleep", "30"))
		must(t, err)
		running(t, cl, busy.ID, 0)
	}
	task := command(t, "default", "", "sh", "-c", "echo $TASKRAFT_WORKER >> "+ran+"; sleep 1")
	task.Broadcast = &client.Broadcast{Selector: map[string]string{"role": "web"}, Deadline: time.Minute}
	r, err := cl.Submit(ctx, task)
	must(t, err)
	must(t, proc.Poll(ctx, 5*time.Millisecond, "all three run it", func() bool { return executions(t, ran) == 3 }))
	must(t, workers[0].Kill())
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	startWorker(t, c, "w4", c.Addrs(), "--slots", "1", "--label", "role=web") // too late
	must(t, proc.Poll(ctx, 10*time.Millisecond, "two have acknowledged", func() bool {
		now, _ := targets(t, cl, r.ID)
		return now.GetBroadcast().GetAcked() == 2
	}))
	now, all := targets(t, cl, r.ID)
	if now.GetState() != taskraftv1.TaskState_RUNNING || all["w1"].GetState() == taskraftv1.TargetState_TARGET_ACKED || len(all) != 3 {
		t.Errorf("without w1: %v, %v", now.GetState(), all)
	}
	startWorker(t, c, "w1", c.Addrs(), "--slots", "1", "--label", "role=web")
	end, err := cl.Wait(ctx, r.ID)
	must(t, err)
	if end.GetState() != taskraftv1.TaskState_SUCCEEDED || end.GetBroadcast().GetAcked() != 3 {
		t.Errorf("in the end: %v, %v", end.GetState(), end.GetBroadcast())
	}
	_, all = targets(t, cl, r.ID)
	if all["w1"].GetAttempts() != 2 || all["w2"].GetAttempts() != 1 || all["w3"].GetAttempts() != 1 {
		t.Errorf("attempts %d, %d, %d, want 2, 1, 1", all["w1"].GetAttempts(), all["w2"].GetAttempts(), all["w3"].GetAttempts())
	}
	if n := executions(t, ran); n != 4 { // w1 twice: its first execution was killed with it
		t.Errorf("it was executed %d times, want 4", n)
	}
}

// TestBroadcastPage runs the example of docs/broadcast.md, and what its other
// commands say when workers fail or there are none.
func TestBroadcastPage(t *testing.T) {
	c := newCluster(t)
	startWorker(t, c, "w1", c.Addrs(), "--label", "role=web")
	startWorker(t, c, "w2", c.Addrs(), "--label", "role=web")
	startWorker(t, c, "w3", c.Addrs(), "--label", "role=db")
	cl := newClient(t, c.Addrs())
	must(t, proc.Poll(within(t, time.Minute), 20*time.Millisecond, "three workers are there", func() bool {
		all, err := cl.Workers(t.Context(), false)
		return err == nil && len(all) == 3
	}))
	runExample(t, c, "docs/broadcast.md")

	out, code := run(t, c, "submit", "--broadcast", "role=web", "--max-attempts", "1", "--wait", "--", "sh", "-c", "echo no >&2; exit 1")
	if code != 3 || strings.Count(out, "failed") != 2 {
		t.Errorf("failing at both exited %d and printed\n%s", code, out)
	}
	if _, code = run(t, c, "submit", "--broadcast", "role=none", "--wait", "--", "true"); code != 3 {
		t.Errorf("a broadcast to nobody exited %d, want 3", code)
	}
	if out, code = run(t, c, "submit", "--broadcast", "all", "--acks", "any", "--wait", "-o", "json", "--", "true"); code != 0 {
		t.Errorf("a broadcast to all exited %d", code)
	}
	var got struct {
		Task    struct{ State string }
		Targets []struct{ State string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Task.State != "SUCCEEDED" || len(got.Targets) != 3 {
		t.Errorf("-o json prints %s (%v)", out, err)
	}
}
