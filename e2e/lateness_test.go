package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/taskraft/taskraft/client"
	"github.com/taskraft/taskraft/internal/proc"
	"github.com/taskraft/taskraft/rpc/taskraftv1"
)

const overrun = 3 * time.Second // the timeout of every task here

// lesson is the classic one of master and worker: five tasks, two workers that
// pull, and w01 overruns the timeout on task 3.
type lesson struct {
	t        *testing.T
	client   *client.Client
	w01, w02 *puller
	ids      []uint64
	third    *taskraftv1.Assignment // held by w01
}

// newLesson plays up to the point where w01 holds task 3 and w02 has completed
// all others.
func newLesson(t *testing.T, c *proc.Cluster, queue string, backoff time.Duration) *lesson {
	t.Helper()
	l := &lesson{t: t, client: newClient(t, c.Addrs()), w01: newPuller(t, c, queue+"-w01", queue), w02: newPuller(t, c, queue+"-w02", queue)}
	for n := 1; n <= 5; n++ {
		receipt, err := l.client.Submit(within(t, time.Minute), client.Task{
			Queue: queue, Kind: "lesson", Payload: fmt.Appendf(nil, "%d", n), Timeout: overrun, BackoffBase: backoff, BackoffMax: backoff,
		})
		must(t, err)
		l.ids = append(l.ids, receipt.ID)
	}
	for n := 1; n <= 5; n++ {
		w := l.w02
		if n == 3 {
			w = l.w01
		}
		a := w.take()
		if a.GetTask() != l.ids[n-1] || string(a.GetPayload()) != fmt.Sprint(n) {
			t.Fatalf("%s got task %d %q, want task %d: the order of submits (S9)", w.id, a.GetTask(), a.GetPayload(), l.ids[n-1])
		}
		if n == 3 {
			l.third = a
			continue
		}
		expect(t, fmt.Sprintf("%s completes task %d", w.id, n), w.complete(a, "ok"), taskraftv1.Outcome_ACCEPTED)
	}
	return l
}

// end checks that task 3 has w02's result, that w01's is kept aside, and that both
// workers are told that nothing is left.
func (l *lesson) end() {
	l.t.Helper()
	task, err := l.client.Wait(within(l.t, time.Minute), l.ids[2])
	must(l.t, err)
	if task.GetState() != taskraftv1.TaskState_SUCCEEDED || string(task.GetResult()) != "in time" {
		l.t.Errorf("task 3 is %v with %q, want SUCCEEDED with w02's result (S5)", task.GetState(), task.GetResult())
	}
	if task.GetFailures() != 1 || len(task.GetEnded()) == 0 || task.GetEnded()[0].GetCause() != "timed_out" {
		l.t.Errorf("task 3 has %d failures and attempts %v, want one that timed out", task.GetFailures(), task.GetEnded())
	}
	if len(task.GetSuperseded()) == 0 || string(task.GetSuperseded()[0].GetResult()) != "too late" {
		l.t.Errorf("superseded results %v, want w01's", task.GetSuperseded())
	}
	for _, w := range []*puller{l.w01, l.w02} {
		if a := w.request(); a != nil {
			l.t.Errorf("%s got task %d after the last", w.id, a.GetTask())
		}
	}
}

// TestLateness shows the three answers to a submission that comes too late.
func TestLateness(t *testing.T) {
	c := newCluster(t)
	t.Run("waiting to be assigned again", func(t *testing.T) {
		t.Parallel()
		l := newLesson(t, c, "waiting", 3*time.Second)
		l.overrun(taskraftv1.TaskState_STOPPING)
		expect(t, "w01 is late, nobody else has it", l.w01.complete(l.third, "too late"), taskraftv1.Outcome_STALE_TIMED_OUT)
		again := l.w02.take()
		expect(t, "w02 completes task 3", l.w02.complete(again, "in time"), taskraftv1.Outcome_ACCEPTED)
		l.end()
	})
	t.Run("another attempt runs", func(t *testing.T) {
		t.Parallel()
		l := newLesson(t, c, "reassigned", 100*time.Millisecond)
		again := l.w02.take() // once the grace for w01 to confirm its stop is over
		expect(t, "w01 is late, w02 works on it", l.w01.complete(l.third, "too late"), taskraftv1.Outcome_STALE_REASSIGNED)
		expect(t, "w02 completes task 3", l.w02.complete(again, "in time"), taskraftv1.Outcome_ACCEPTED)
		l.end()
	})
	t.Run("someone else finished it", func(t *testing.T) {
		t.Parallel()
		l := newLesson(t, c, "finished", 100*time.Millisecond)
		again := l.w02.take()
		if again.GetTask() != l.third.GetTask() || again.GetFence() <= l.third.GetFence() || again.GetAttempt() != 2 {
			t.Errorf("w02 got %v, want attempt 2 of task %d above fence %d", again, l.third.GetTask(), l.third.GetFence())
		}
		expect(t, "w02 completes task 3", l.w02.complete(again, "in time"), taskraftv1.Outcome_ACCEPTED)
		expect(t, "w01 is late, w02 has finished", l.w01.complete(l.third, "too late"), taskraftv1.Outcome_ALREADY_TERMINAL)
		l.end()
	})
}

// overrun waits until task 3 has left RUNNING because of its timeout.
func (l *lesson) overrun(want taskraftv1.TaskState) {
	l.t.Helper()
	ctx := within(l.t, time.Minute)
	must(l.t, proc.Poll(ctx, 10*time.Millisecond, "task 3 has timed out", func() bool {
		task, err := l.client.Get(ctx, l.ids[2])
		must(l.t, err)
		return task.GetState() == want
	}))
}

// TestExitWhenDone shows worker processes that end by themselves, with exit
// status 0, when nothing is left to do.
func TestExitWhenDone(t *testing.T) {
	c := newCluster(t)
	cl := newClient(t, c.Addrs())
	ctx := within(t, 2*time.Minute)
	var ids []uint64
	for range 20 {
		receipt, err := cl.Submit(ctx, command(t, "errands", "", "sh", "-c", "sleep 0.2; echo done"))
		must(t, err)
		ids = append(ids, receipt.ID)
	}
	first := startWorker(t, c, "w01", c.Addrs(), "--queue", "errands", "--slots", "2", "--exit-when-done")
	second := startWorker(t, c, "w02", c.Addrs(), "--queue", "errands", "--slots", "2", "--exit-when-done")
	must(t, first.Wait(ctx))
	must(t, second.Wait(ctx))
	for _, id := range ids {
		task, err := cl.Get(ctx, id)
		must(t, err)
		if got, err := stdout(task); err != nil || got != "done\n" {
			t.Errorf("after the workers ended, task %d printed %q (%v)", id, got, err)
		}
	}
}
