package e2e

import (
	"flag"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

// changes is how often leadership moves in TestWorkersConsumeThroughLeaderChanges.
var changes = flag.Int("changes", 30, "changes of the leader in TestWorkersConsumeThroughLeaderChanges")

// Case 15 (a thousand changes of the leader): after each, every worker, whether it
// holds a stream or pulls, still gets tasks. `make cases` plays a thousand.
func TestWorkersConsumeThroughLeaderChanges(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	queues := []string{"w1", "w2", "w3"}
	for _, w := range queues {
		startWorker(t, c, w, c.Addrs(), "--queue", w)
	}
	p := newPuller(t, c, "p1", "p1")
	slowest, killed := time.Duration(0), 0
	for n := range *changes {
		leader, err := c.Leader(within(t, time.Minute))
		must(t, err)
		if n%10 == 9 {
			killAndRestart(t, c, leader)
			must(t, c.Rejoined(within(t, time.Minute), leader))
			killed++
		} else {
			_, err = cl.Transfer(within(t, time.Minute), "")
			must(t, err)
		}
		began := time.Now()
		ids := make(map[string]uint64)
		for _, q := range append(queues, "p1") {
			r, err := cl.Submit(within(t, time.Minute), program(t, q, "true"))
			must(t, err)
			ids[q] = r.ID
		}
		a := p.take()
		if a.GetTask() != ids["p1"] {
			t.Fatalf("after %d changes the puller got task %d, want %d", n+1, a.GetTask(), ids["p1"])
		}
		expect(t, "the puller's completion", p.complete(a, "done"), taskraftv1.Outcome_ACCEPTED)
		for q, id := range ids {
			task, err := cl.Wait(within(t, time.Minute), id)
			if err != nil || task.GetState() != taskraftv1.TaskState_SUCCEEDED {
				t.Fatalf("after %d changes %s does not consume: %v, %v", n+1, q, task, err)
			}
		}
		slowest = max(slowest, time.Since(began))
	}
	total := 0
	for task, err := range cl.List(within(t, time.Minute), "", client.WithLinearizable()) {
		must(t, err)
		if total++; task.GetAttempts() != 1 {
			t.Errorf("task %d took %d attempts", task.GetId(), task.GetAttempts())
		}
	}
	if want := *changes * 4; total != want {
		t.Errorf("%d tasks are listed, want %d", total, want)
	}
	t.Logf("%d changes, %d of them kills; all four workers had done a task each within %v of any", *changes, killed, slowest.Round(time.Millisecond))
}
