package fsm

import (
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// TestSweepInPieces cancels more than one entry may: each does a bounded part, none
// of what is left starts, a snapshot in the middle goes on the same, and in the end
// exactly what was there at the index of the sweep is cancelled.
func TestSweepInPieces(t *testing.T) {
	w := newTable(t)
	const n, later = 3 * MaxTransitions, 10
	for range n / 1024 {
		w.do(submitCmd(benchSpecs(1024)...))
	}
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a", Slots: 5, Queues: []*fsmpb.QueueWeight{{Queue: "bench"}}}))
	w.do(assignCmd(1, 3))
	w.do(completeCmd("w/a", &fsmpb.Completion{Task: 1, Fence: 1}))
	got := w.do(sweepCmd(&fsmpb.Sweep{What: &fsmpb.TaskFilter{Queue: "bench"}, Reason: "purged"}))
	if got.Count != n-1 || got.IDs[0] != 1 {
		t.Fatalf("the sweep meant %d tasks: %+v", got.Count, got)
	}
	w.do(submitCmd(benchSpecs(later)...))
	last := uint64(n) // its turn comes last: it is cancelled by hand and run again
	w.do(cancelCmd("by hand", last))
	w.do(retryCmd(last))
	for entries := 0; w.m.Sweep(1).FinishedAt == 0; entries++ {
		before := w.m.Sweep(1).Cancelled
		a := w.apply(assignCmd(1, 9), tickCmd())
		if len(a.Events) > MaxTransitions {
			t.Fatalf("an entry made %d changes", len(a.Events))
		}
		for _, e := range a.Events {
			if e.Kind == TaskAssigned && e.Task.ID < last {
				t.Fatalf("task %d started after the sweep", e.Task.ID)
			}
		}
		if w.m.Sweep(1).Cancelled == before && w.m.Sweep(1).FinishedAt == 0 || entries > 10 {
			t.Fatalf("the sweep does not go on: %+v", w.m.Sweep(1))
		}
	}
	w.do(assignCmd(1, 9))
	s := w.m.Sweep(1)
	if s.Cancelled != n-2 || s.Ended != 1 || s.Left != 0 {
		t.Errorf("swept %+v, want %d cancelled and one run again", s, n-2)
	}
	q := w.m.Queue("bench")
	if q.Counts[Cancelled] != n-4 || q.Counts[Succeeded] != 1 || q.Counts[Stopping] != 2 || q.Counts[Ready]+q.Counts[Running] != later+1 {
		t.Errorf("the queue has %v", q.Counts)
	}
	if q.Counts[Running] != 3 { // of those submitted later, and the one run again
		t.Errorf("%d tasks run in 5 slots, 2 of which stop", q.Counts[Running])
	}
	if due := w.m.NextDue(); due == w.m.now {
		t.Error("ticks have work after the end of the sweep")
	}
}

// TestSweepsFull: a bounded number of sweeps is under way, and a bounded number of
// those that are done is remembered.
func TestSweepsFull(t *testing.T) {
	w := newTable(t)
	for range 5 {
		w.do(submitCmd(benchSpecs(1000)...))
	}
	all := make([]*fsmpb.Command, MaxSweeps+1) // in one entry, whose budget ends with the first
	for i := range all {
		all[i] = sweepCmd(&fsmpb.Sweep{})
	}
	for i, r := range w.apply(all...).Results {
		want := Accepted
		if i == MaxSweeps {
			want = SweepsFull
		}
		if r.Outcome != want {
			t.Errorf("sweep %d: %s, want %s", i, r.Outcome, want)
		}
	}
	for w.m.cutOff() {
		w.do(tickCmd())
	}
	for range KeepSweeps {
		w.do(sweepCmd(&fsmpb.Sweep{}))
	}
	if n := w.m.sweeps.Len(); n != KeepSweeps {
		t.Errorf("%d sweeps are remembered, want %d", n, KeepSweeps)
	}
}
