package fsm

import (
	"fmt"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestLargeAudience: a broadcast to more workers than one entry may change is
// pinned at its index and carried out over the following ones, as its cancel is,
// whichever master goes on with it.
func TestLargeAudience(t *testing.T) {
	const workers = MaxTransitions + 1000
	w := newTable(t)
	opens := make([]*fsmpb.Command, workers)
	for i := range opens {
		opens[i] = openCmd(&fsmpb.OpenSession{Worker: fmt.Sprintf("w%d", i), Boot: "a"})
	}
	w.apply(opens...)
	w.do(submitCmd(&fsmpb.TaskSpec{Payload: []byte("shared"), Broadcast: &fsmpb.BroadcastSpec{}}))
	whole := w.task(1)
	if b := whole.broadcast(); b.Targets >= workers || len(b.Audience) != int(workers-b.Targets) {
		t.Fatalf("the first entry made %d targets, %d are left", b.Targets, len(b.Audience))
	}
	w.do(closeCmd(workers)) // it was pinned all the same
	w.do(openCmd(&fsmpb.OpenSession{Worker: "late", Boot: "a"}))
	w.m = restored(t, snapshotBytes(t, w.m))
	w.advance(Second)
	if b := w.task(1).broadcast(); b.Targets != workers || b.pursuing() || w.m.pursuing.Len() != 0 {
		t.Fatalf("in the end there are %d targets, want %d", b.Targets, workers)
	}
	check(t, w.m)
	if !w.m.Deliverable(1) || w.m.Deliverable(workers+1) {
		t.Error("the first worker has a target, the late one has none")
	}
	a := w.apply(cancelCmd("", 1))
	if n := len(a.Events); n > MaxTransitions+2 {
		t.Errorf("a cancel of %d targets caused %d events in one entry", workers, n)
	}
	w.m = restored(t, snapshotBytes(t, w.m))
	w.advance(Second)
	if got := w.task(1); got.State != Cancelled || got.broadcast().Failed != workers {
		t.Errorf("after the cancel: %v, %+v", got.State, got.broadcast())
	}
	w.do(retryCmd(1))
	w.advance(Second)
	if b := w.task(1).broadcast(); b.Open() != workers || b.Pursuit != PursuitNone {
		t.Errorf("after the retry: %+v", b)
	}
	check(t, w.m)
}

// TestTargetsGoWithTheirBroadcast: retention keeps what a broadcast's workers
// said as long as the broadcast, and removes them together.
func TestTargetsGoWithTheirBroadcast(t *testing.T) {
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a", Slots: 4}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w2", Boot: "a"}))
	spec := &fsmpb.TaskSpec{Retain: new(int64(10 * Second)), Payload: []byte("four"), Broadcast: &fsmpb.BroadcastSpec{Require: 1, Patience: Minute}}
	w.do(submitCmd(spec))
	w.do(assignCmd(1, 0))
	w.do(completeCmd("w1/a", &fsmpb.Completion{Task: 2, Fence: 1, Result: []byte("up")}))
	if got := w.task(1); got.State != Succeeded {
		t.Fatalf("the broadcast is %v", got.State)
	}
	w.advance(30 * Second) // w2 may still answer
	check(t, w.m)
	if got := w.task(2); string(got.Result) != "up" {
		t.Errorf("result %q", got.Result)
	}
	w.advance(30 * Second) // it is over for w2
	check(t, w.m)
	for id := range uint64(3) {
		if got, _ := w.m.Task(id + 1); got != nil {
			t.Errorf("task %d is %v after its time", id+1, got.State)
		}
	}
	q := w.m.Queue(DefaultQueue)
	if q.TerminalBytes != 0 || q.TrimmedTotal != 3 {
		t.Errorf("queue %+v", q)
	}
}

// TestTargetsCountForRetention: the targets are records that count.
func TestTargetsCountForRetention(t *testing.T) {
	w := newTable(t)
	w.do(queueCmd(&fsmpb.SetQueue{Queue: DefaultQueue, Settings: &fsmpb.QueueSettings{RetainCount: new(uint64(4))}}))
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "a"}))
	for i := range uint64(4) {
		w.do(submitCmd(&fsmpb.TaskSpec{Broadcast: &fsmpb.BroadcastSpec{}}))
		w.do(assignCmd(1, 0))
		w.do(completeCmd("w1/a", &fsmpb.Completion{Task: 2*i + 2, Fence: i + 1}))
		check(t, w.m)
	}
	w.advance(Second)
	q := w.m.Queue(DefaultQueue)
	if q.Counts[Succeeded] > 4 || q.Counts[Succeeded] < 2 {
		t.Errorf("%d records are kept, want at most 4", q.Counts[Succeeded])
	}
}
