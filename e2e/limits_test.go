package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/reason"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// Case 18 (one at a time, through failovers): TestLimitsHoldAcrossLeaderKills runs tasks under a concurrency limit of one and
// under a rate limit while the leader is killed again and again. The programs
// themselves tell: one that does not run alone finds the other's directory, and
// each writes down when it began.
func TestLimitsHoldAcrossLeaderKills(t *testing.T) {
	c := newCluster(t)
	for _, id := range []string{"w1", "w2", "w3"} {
		startWorker(t, c, id, c.Addrs(), "--queue", "one", "--queue", "slow", "--slots", "4")
	}
	cl := newClient(t, c.Addrs())
	const every, tasks = 50 * time.Millisecond, 80
	_, err := cl.UpdateQueue(t.Context(), "one", client.QueueSettings{MaxRunning: 1})
	must(t, err)
	_, err = cl.UpdateQueue(t.Context(), "slow", client.QueueSettings{Rate: &client.RateLimit{Tokens: 1, Period: every, Burst: 1}})
	must(t, err)
	lock, begun := filepath.Join(c.Dir(), "lock"), filepath.Join(c.Dir(), "begun")
	alone := "mkdir " + lock + " && sleep 0.02 && rmdir " + lock
	began := "date +%s%N >> " + begun
	var ids []uint64
	for range tasks {
		for queue, script := range map[string]string{"one": alone, "slow": began} {
			r, err := cl.Submit(t.Context(), program(t, queue, script))
			must(t, err)
			ids = append(ids, r.ID)
		}
	}
	for range 4 {
		pass(t, 500*time.Millisecond)
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		killAndRestart(t, c, leader)
		must(t, c.Rejoined(within(t, time.Minute), leader))
	}
	for _, id := range ids {
		got, err := cl.Wait(within(t, time.Minute), id)
		must(t, err)
		if got.GetState() != taskraftv1.TaskState_SUCCEEDED {
			t.Errorf("task %d of queue %s is %v: %s %s", id, got.GetSpec().GetQueue(), got.GetState(), got.GetError(), got.GetResult())
		}
	}
	checkRate(t, begun, tasks, every)
	must(t, c.StopWorkers())
	if _, _, err := c.Digest(within(t, time.Minute)); err != nil {
		t.Errorf("the masters' tables (C1): %v", err)
	}
}

// program is a task that runs a shell script, once.
func program(t *testing.T, queue, script string) client.Task {
	t.Helper()
	return client.Task{
		Queue: queue, Kind: "command", ContentType: "application/json", MaxAttempts: 1,
		Payload: []byte(`{"argv": ["sh", "-c", ` + strconv.Quote(script) + `]}`),
	}
}

// checkRate reads when the programs began: over any stretch there are no more
// than the limit allows. The way to the worker and a program's start take a time
// that differs, which slack stands for.
func checkRate(t *testing.T, file string, want int, every time.Duration) {
	t.Helper()
	const slack = 500 * time.Millisecond
	text, err := os.ReadFile(file)
	must(t, err)
	var at []time.Duration
	for word := range strings.FieldsSeq(string(text)) {
		ns, err := strconv.ParseInt(word, 10, 64)
		must(t, err)
		at = append(at, time.Duration(ns))
	}
	if len(at) != want {
		t.Errorf("%d tasks began, want %d", len(at), want)
	}
	for i := range at {
		for j := i + 1; j < len(at); j++ {
			if took, least := at[j]-at[i], time.Duration(j-i)*every-slack; took < least {
				t.Fatalf("%d tasks began within %v, want at least %v", j-i+1, took, least)
			}
		}
	}
}

// TestRequiredLabels: a task waits for a worker that has its labels.
func TestRequiredLabels(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	startWorker(t, c, "cpu", c.Addrs(), "--queue", "q", "--slots", "8", "--label", "zone=a")
	task := program(t, "q", "true")
	task.Require = map[string]string{"gpu": "a100", "zone": "a"}
	special, err := cl.Submit(t.Context(), task)
	must(t, err)
	plain, err := cl.Submit(t.Context(), program(t, "q", "true"))
	must(t, err)
	_, err = cl.Wait(within(t, time.Minute), plain.ID)
	must(t, err)
	if got, err := cl.Get(t.Context(), special.ID); err != nil || got.GetState() != taskraftv1.TaskState_READY {
		t.Fatalf("without a worker for it the task is %v (%v)", got.GetState(), err)
	}
	startWorker(t, c, "gpu", c.Addrs(), "--queue", "q", "--label", "zone=a", "--label", "gpu=a100")
	got, err := cl.Wait(within(t, time.Minute), special.ID)
	must(t, err)
	if ended := got.GetEnded(); len(ended) != 1 || ended[0].GetWorkerId() != "gpu" {
		t.Errorf("the task ran at %v", ended)
	}
}

// TestUniqueKeyAcrossLeaderKills: while a task with a unique key lives, every
// submit with it gets that one, whoever leads, and a full queue refuses at once.
func TestUniqueKeyAcrossLeaderKills(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	one := uint64(1)
	_, err := cl.UpdateQueue(t.Context(), "reports", client.QueueSettings{MaxTasks: &one})
	must(t, err)
	task := program(t, "reports", "true")
	task.UniqueKey = "daily"
	first, err := cl.Submit(t.Context(), task)
	must(t, err)
	for range 2 {
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		killAndRestart(t, c, leader)
		again, err := cl.Submit(within(t, time.Minute), task)
		must(t, err)
		if again.ID != first.ID || !again.Existing {
			t.Errorf("submitted as task %d, existing %v, want task %d", again.ID, again.Existing, first.ID)
		}
		_, err = cl.Submit(within(t, time.Minute), program(t, "reports", "true"))
		if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Reason != reason.QueueFull {
			t.Errorf("a second task in a queue of one: %v", err)
		}
		must(t, c.Rejoined(within(t, time.Minute), leader))
	}
	startWorker(t, c, "w1", c.Addrs(), "--queue", "reports")
	_, err = cl.Wait(within(t, time.Minute), first.ID)
	must(t, err)
	next, err := cl.Submit(t.Context(), task)
	must(t, err)
	if next.ID == first.ID || next.Existing {
		t.Errorf("after its end the key is still taken: %+v", next)
	}
	_, err = cl.Wait(within(t, time.Minute), next.ID)
	must(t, err)
	must(t, cl.Delete(t.Context(), next.ID))
	if _, err := cl.Get(t.Context(), next.ID); err == nil {
		t.Error("a deleted task is still there")
	}
}
