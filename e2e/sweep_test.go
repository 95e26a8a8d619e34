package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// TestPurgeAcrossLeaderKill purges a long queue by the command line while the
// leader is killed: exactly what waited is cancelled, none of it starts, and the
// command says how many tasks it were. What is submitted after the purge began runs.
func TestPurgeAcrossLeaderKill(t *testing.T) {
	const n = 60_000
	c := newCluster(t)
	ctx := within(t, 4*time.Minute)
	cl := newClient(t, c.Addrs())
	backlog(t, cl, n, "long", map[string]string{"tenant": "7"})
	other := backlog(t, cl, 10, "other", nil)
	waits, err := cl.CountPurge(ctx, "long", false)
	must(t, err)
	if waits != n {
		t.Fatalf("%d tasks wait, want %d", waits, n)
	}

	purge := runTaskraft(ctx, t, c, "queue", "purge", "long", "--yes")
	leader, err := c.Leader(ctx)
	must(t, err)
	var after client.Receipt
	for { // the purge has begun and not ended, or it was too quick for us
		q, err := cl.Queue(ctx, "long")
		must(t, err)
		if q.GetCancelled() > 0 {
			killAndRestart(t, c, leader)
			after, err = cl.Submit(ctx, program(t, "long", "true"))
			must(t, err)
			break
		}
	}
	startWorker(t, c, "w1", c.Addrs(), "--queue", "long", "--queue", "other", "--slots", "4")
	if code := purge.exit(t); code != 0 || strings.TrimSpace(purge.out.String()) != fmt.Sprint(n) {
		t.Errorf("the purge ends with %d and says %q, want %d:\n%s", code, purge.out.String(), n, purge.err.String())
	}
	done, err := cl.Wait(ctx, after.ID)
	must(t, err)
	if done.GetState() != taskraftv1.TaskState_SUCCEEDED {
		t.Errorf("the task submitted after the purge is %v", done.GetState())
	}
	for _, id := range other {
		_, err := cl.Wait(ctx, id)
		must(t, err)
	}
	q, err := cl.Queue(ctx, "long")
	must(t, err)
	if q.GetCancelled()+q.GetTrimmedTotal() != n || q.GetSucceeded() != 1 || q.GetSubmittedTotal() != n+1 {
		t.Errorf("the purged queue: %v", q)
	}
	if ran, err := cl.CountLive(ctx, "queue=long"); err != nil || ran != 0 {
		t.Errorf("%d tasks are left, %v", ran, err)
	}
	must(t, c.Rejoined(ctx, leader))
	must(t, c.StopWorkers())
	if _, _, err := c.Digest(within(t, time.Minute)); err != nil {
		t.Errorf("the masters' tables (C1): %v", err)
	}
}

// TestBulkCancelAcrossLeaderKill cancels by label while the leader is killed; the
// tasks with another label go on.
func TestBulkCancelAcrossLeaderKill(t *testing.T) {
	const n = 20_000
	c := newCluster(t)
	ctx := within(t, 4*time.Minute)
	cl := newClient(t, c.Addrs())
	backlog(t, cl, n, "mixed", map[string]string{"tenant": "7"})
	kept := backlog(t, cl, 20, "mixed", map[string]string{"tenant": "8"})
	leader, err := c.Leader(ctx)
	must(t, err)
	sweep, count, err := cl.CancelAll(ctx, client.TaskFilter{Labels: map[string]string{"tenant": "7"}}.String(), "unwanted")
	must(t, err)
	if count != n {
		t.Errorf("%d tasks match, want %d", count, n)
	}
	killAndRestart(t, c, leader)
	s, err := cl.WaitSweep(ctx, sweep)
	must(t, err)
	if s.GetCancelled() != n || s.GetEnded() != 0 {
		t.Errorf("swept %v", s)
	}
	startWorker(t, c, "w1", c.Addrs(), "--queue", "mixed", "--slots", "4")
	for _, id := range kept {
		got, err := cl.Wait(ctx, id)
		must(t, err)
		if got.GetState() != taskraftv1.TaskState_SUCCEEDED {
			t.Errorf("task %d with another label is %v", id, got.GetState())
		}
	}
	must(t, c.Rejoined(ctx, leader))
	must(t, c.StopWorkers())
}

// backlog submits n programs that do nothing and returns their ids.
func backlog(t *testing.T, cl *client.Client, n int, queue string, labels map[string]string) (ids []uint64) {
	t.Helper()
	for len(ids) < n {
		tasks := make([]client.Task, min(1000, n-len(ids)))
		for i := range tasks {
			tasks[i] = program(t, queue, "true")
			tasks[i].Labels = labels
		}
		receipts, err := cl.SubmitMany(within(t, time.Minute), tasks)
		must(t, err)
		for _, r := range receipts {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
