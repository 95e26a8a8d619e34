package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// startPush starts a worker process that is called, and waits until the leader
// has found it.
func startPush(t *testing.T, c *proc.Cluster, cl *client.Client, id string, args ...string) *proc.Worker {
	t.Helper()
	w := startWorker(t, c, id, c.Addrs(), append([]string{"--push", "127.0.0.1:0"}, args...)...)
	online(t, cl, id)
	return w
}

// online waits until the leader is in contact with a worker.
func online(t *testing.T, cl *client.Client, id string) *taskraftv1.Worker {
	t.Helper()
	var w *taskraftv1.Worker
	ctx := within(t, time.Minute)
	must(t, proc.Poll(ctx, 20*time.Millisecond, id+" is online", func() bool {
		var err error
		w, err = cl.Worker(ctx, id)
		return err == nil && w.GetState() == taskraftv1.WorkerState_WORKER_ONLINE
	}))
	return w
}

// TestTeachingCase is the classic one: a master with two workers hands out five
// texts, gathers them in upper case from both, and does it again when one worker
// is down.
func TestTeachingCase(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	w1 := startPush(t, c, cl, "w1", "--slots", "4")
	startPush(t, c, cl, "w2", "--slots", "4")
	texts := []string{"hello world", "distributed systems", "one master", "two workers", "five tasks"}
	gather := func() map[string]int {
		t.Helper()
		ctx := within(t, time.Minute)
		var tasks []client.Task
		for _, text := range texts {
			tasks = append(tasks, command(t, "default", text, "tr", "a-z", "A-Z"))
		}
		receipts, err := cl.SubmitMany(ctx, tasks)
		must(t, err)
		by := make(map[string]int)
		for i, r := range receipts {
			task, err := cl.Wait(ctx, r.ID)
			must(t, err)
			if got, err := stdout(task); err != nil || got != strings.ToUpper(texts[i]) {
				t.Errorf("task %d says %q (%v), want %q", r.ID, got, err, strings.ToUpper(texts[i]))
			}
			ended := task.GetEnded()
			by[ended[len(ended)-1].GetWorkerId()]++
		}
		return by
	}
	if by := gather(); by["w1"] < 2 || by["w2"] < 2 {
		t.Errorf("the tasks went to %v, want them spread over both", by)
	}
	out, _ := run(t, c, "worker", "get", "w1")
	for _, want := range []string{"push", "online", "called at", "0 of 4 in use", "completed"} {
		if !strings.Contains(out, want) {
			t.Errorf("worker get does not say %q:\n%s", want, out)
		}
	}
	must(t, w1.Kill())
	began := time.Now()
	if by := gather(); by["w2"] != len(texts) {
		t.Errorf("with w1 down the tasks went to %v, want all to w2", by)
	}
	if took := time.Since(began); took > 8*time.Second { // less than the TTL: its death is seen
		t.Errorf("with w1 down they took %v", took)
	}
}

// TestPushSurvivesTheLeader kills the leader while a push worker executes a task:
// the next leader calls again with the same fence and joins. Then the worker says
// goodbye, and a worker that was added by hand dies and comes back.
func TestPushSurvivesTheLeader(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 3*time.Minute)
	w1 := startPush(t, c, cl, "w1", "--slots", "1")
	ran := filepath.Join(c.Dir(), "ran")
	r, err := cl.Submit(ctx, command(t, "default", "", "sh", "-c", fmt.Sprintf("echo x >> %s; sleep 2; echo done", ran)))
	must(t, err)
	first := running(t, cl, r.ID, 0)
	must(t, proc.Poll(ctx, 5*time.Millisecond, "it was begun", func() bool { return executions(t, ran) == 1 }))
	leader, err := c.Leader(ctx)
	must(t, err)
	must(t, leader.Kill())
	task, err := cl.Wait(ctx, r.ID)
	must(t, err)
	if got, err := stdout(task); err != nil || got != "done\n" {
		t.Errorf("it printed %q (%v)", got, err)
	}
	if n := executions(t, ran); n != 1 || task.GetAttempts() != 1 {
		t.Errorf("executed %d times in %d attempts, want once", n, task.GetAttempts())
	}
	if got := task.GetEnded()[0].GetFence(); got != first.GetAttempt().GetFence() {
		t.Errorf("completed under fence %d, want %d", got, first.GetAttempt().GetFence())
	}
	must(t, leader.Start())

	r, err = cl.Submit(ctx, command(t, "default", "", "sleep", "60"))
	must(t, err)
	running(t, cl, r.ID, 0)
	if _, _, err = cl.Cancel(ctx, r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if task, err = cl.Wait(ctx, r.ID); err != nil || task.GetState() != taskraftv1.TaskState_CANCELLED {
		t.Errorf("a cancelled task is %v (%v)", task.GetState(), err)
	}
	must(t, w1.Stop(time.Minute))
	if out, _ := run(t, c, "worker", "list", "-o", "name"); out != "" {
		t.Errorf("after its goodbye worker list prints %q", out)
	}

	ports, err := proc.FreePorts(1)
	must(t, err)
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	if _, code := run(t, c, "worker", "add", "--push", addr); code != 0 {
		t.Fatalf("worker add exited %d", code)
	}
	if out, _ := run(t, c, "worker", "list"); !strings.Contains(out, addr) || !strings.Contains(out, "away") {
		t.Errorf("worker list does not show who is not there yet:\n%s", out)
	}
	w2 := startWorker(t, c, "w2", c.Addrs(), "--push", addr)
	boot := online(t, cl, "w2").GetBootId()
	must(t, w2.Kill())
	startWorker(t, c, "w2", c.Addrs(), "--push", addr)
	must(t, proc.Poll(ctx, 20*time.Millisecond, "another process took over", func() bool {
		return online(t, cl, "w2").GetBootId() != boot
	}))
	task2 := command(t, "default", "", "echo", "all")
	task2.Broadcast = &client.Broadcast{}
	r, err = cl.Submit(ctx, task2)
	must(t, err)
	if task, err = cl.Wait(ctx, r.ID); err != nil || task.GetBroadcast().GetAcked() != 1 {
		t.Errorf("a broadcast to a push worker: %v (%v)", task, err)
	}
	if _, code := run(t, c, "worker", "remove", "w2"); code != 0 {
		t.Errorf("worker remove exited %d", code)
	}
	if out, _ := run(t, c, "worker", "list", "-o", "name"); out != "" {
		t.Errorf("after its removal worker list prints %q", out)
	}
}

// executions counts the lines that a task's executions have left in a file.
func executions(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return 0
	}
	must(t, err)
	return strings.Count(string(text), "\n")
}

// TestPushPage runs the example of docs/push.md.
func TestPushPage(t *testing.T) {
	c := newCluster(t)
	runExample(t, c, "docs/push.md")
}
