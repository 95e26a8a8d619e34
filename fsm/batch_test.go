package fsm

import (
	"fmt"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// stageMany opens a batch and stages n tasks in chunks of 1,000.
func (w *table) stageMany(n int, spec func(i int) *fsmpb.TaskSpec) (batch uint64) {
	w.Helper()
	r := w.do(openBatchCmd(&fsmpb.BatchSpec{Name: "many", FollowUp: []*fsmpb.TaskSpec{{Kind: "after", Queue: "after"}}}))
	for at := 0; at < n; at += 1000 {
		specs := make([]*fsmpb.TaskSpec, min(1000, n-at))
		for i := range specs {
			specs[i] = spec(at + i)
		}
		if s := w.do(stageCmd(&fsmpb.StageBatch{Batch: r.Batch, Offset: uint64(at), Digest: uint64(at), Tasks: specs})); s.Outcome != Accepted {
			w.Fatalf("stage at %d: %v", at, s.Outcome)
		}
	}
	return r.Batch
}

// TestBatchIsWhole: the tasks of a committed batch exist from its index on, though
// no entry makes more than MaxTransitions of their records.
func TestBatchIsWhole(t *testing.T) {
	const n = 10_000
	w := newTable(t)
	b := w.stageMany(n, func(i int) *fsmpb.TaskSpec { return &fsmpb.TaskSpec{Queue: "q", Payload: fmt.Appendf(nil, "%d", i)} })
	if tasks, _, _ := w.m.Counts(); tasks != 0 || w.m.lastTask != 0 {
		t.Fatalf("%d tasks are visible before the commit", tasks)
	}
	check(t, w.m)
	a := w.apply(commitCmd(b, n, 1))
	if r := a.Results[0]; r.Outcome != Accepted || r.IDs[0] != 1 || r.Count != n || len(a.Events) != 1+MaxTransitions {
		t.Fatalf("commit: %v, %d events", r, len(a.Events))
	}
	check(t, w.m)
	if q := w.m.Queue("q"); q.Unfinished() != n || q.SubmittedTotal != n {
		t.Errorf("the queue is %+v", q)
	}
	for _, id := range []uint64{1, 5000, n} {
		if task := w.task(id); string(task.Payload) != fmt.Sprint(id-1) || task.Extra.Batch != b || task.State.Terminal() {
			t.Errorf("task %d is %+v", id, task)
		}
	}
	if got := w.m.Batch(b); got.Counts[Scheduled]+got.Counts[Ready] != n {
		t.Errorf("the batch counts %v", got.Counts)
	}
	if r := w.do(submitCmd(&fsmpb.TaskSpec{Queue: "q", After: []uint64{9000}})); r.IDs[0] != n+1 {
		t.Errorf("a submit got %v", r)
	}
	// What is asked for by id need not wait for its turn.
	if r := w.do(cancelCmd("", 5000)); r.Outcomes[0] != Accepted || w.task(5000).State != Cancelled || w.m.lots[b].rec.unpacked != 5000 {
		t.Errorf("cancel: %v, %s", r, w.task(5000).State)
	}
	check(t, w.m)
	for w.m.busy.Len() > 0 {
		if due := w.m.NextDue(); due != w.now {
			t.Fatalf("next due %d, now %d", due, w.now)
		}
		w.do(tickCmd())
	}
	if c := w.m.Queue("q").Counts; c[Ready] != n-1 || c[Cancelled] != 1 || c[Scheduled] != 1 || w.m.staged != (stagedSize{}) {
		t.Errorf("the queue counts %v, staged are %+v", c, w.m.staged)
	}
	check(t, w.m)
}

// TestCancelBatchWhilePacked: from the index of its cancellation on nothing of a
// batch starts, also what ticks have not come to.
func TestCancelBatchWhilePacked(t *testing.T) {
	const n = 10_000
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a", Slots: 100, Queues: []*fsmpb.QueueWeight{{Queue: "q"}}}))
	b := w.stageMany(n, func(int) *fsmpb.TaskSpec { return &fsmpb.TaskSpec{Queue: "q"} })
	w.do(commitCmd(b, n, 1))
	w.do(assignCmd(1, 1))
	if r := w.do(cancelBatchCmd(b, "x")); r.Outcome != Accepted || r.Count != n {
		t.Fatalf("cancel: %v", r)
	}
	check(t, w.m)
	if r := w.do(assignCmd(1, 9)); len(r.Tasks) != 0 {
		t.Errorf("%d tasks of a cancelled batch started", len(r.Tasks))
	}
	for w.m.busy.Len() > 0 {
		check(t, w.m)
		if n := len(w.apply(tickCmd()).Events); n > MaxTransitions+1 {
			t.Errorf("a tick did %d things", n)
		}
	}
	if got := w.m.Batch(b); got.Counts[Cancelled] != n-1 || got.Counts[Stopping] != 1 || got.FinishedAt != 0 {
		t.Errorf("the batch counts %v", got.Counts)
	}
	w.do(releaseCmd("w", &fsmpb.Handback{Task: 1, Fence: 1}))
	if got := w.m.Batch(b); got.FinishedAt == 0 || w.m.Queue("after").SubmittedTotal != 1 {
		t.Errorf("the batch is %+v", got)
	}
	check(t, w.m)
}

// TestChildrenAreToldByTicks: the end of a task for which many wait is carried out
// by ticks, the same from a snapshot taken in the middle, whatever becomes of the
// task meanwhile.
func TestChildrenAreToldByTicks(t *testing.T) {
	const n = 10_000
	w := newTable(t)
	w.do(submitCmd(&fsmpb.TaskSpec{}, &fsmpb.TaskSpec{Queue: "other"}))
	b := w.stageMany(n, func(i int) *fsmpb.TaskSpec {
		after := []uint64{1, 2}[:1+i%2] // every other one waits for a second task
		return &fsmpb.TaskSpec{After: after, AfterRun: i%4 < 2, Queue: "q"}
	})
	w.do(commitCmd(b, n, 1))
	w.do(tickCmd())
	w.do(tickCmd())
	w.do(cancelCmd("", 1))
	check(t, w.m)
	w.do(retryCmd(1)) // another generation, for which nobody waits
	w.do(submitCmd(&fsmpb.TaskSpec{After: []uint64{1}, Queue: "late"}))
	check(t, w.m)
	other := restored(t, snapshotBytes(t, w.m))
	for w.m.releasing.Len() > 0 {
		a := w.apply(tickCmd())
		sameApplied(t, a, applyBytes(t, other, w.index, w.log[len(w.log)-1]))
		if len(a.Events) > MaxTransitions {
			t.Errorf("a tick did %d things", len(a.Events))
		}
		check(t, w.m)
	}
	if c := w.m.Queue("q").Counts; c[Cancelled] != n/2 || c[Ready] != n/4 || c[Scheduled] != n/4 {
		t.Errorf("the queue counts %v", c)
	}
	if late := w.task(n + 3); late.State != Scheduled || w.m.Awaits(late.ID) != 1 {
		t.Errorf("a task that waits for the next generation is %s", late.State)
	}
	w.do(cancelCmd("", 2))
	w.do(tickCmd())
	if c := w.m.Queue("q").Counts; c[Ready] != n/2 {
		t.Errorf("the queue counts %v", c)
	}
	w.do(cancelCmd("", 1))
	if late := w.task(n + 3); late.State != Cancelled || late.Error != "task 1 is CANCELLED" {
		t.Errorf("it ended %s: %s", late.State, late.Error)
	}
	check(t, w.m)
}

// TestRetryDeadByTicks: a bulk retry means the tasks that are dead at its index.
func TestRetryDeadByTicks(t *testing.T) {
	const n = 6_000
	w := newTable(t)
	w.do(openCmd(&fsmpb.OpenSession{Worker: "w", Boot: "a", Slots: MaxSlots, Queues: []*fsmpb.QueueWeight{{Queue: "q"}}}))
	b := w.stageMany(n, func(i int) *fsmpb.TaskSpec { return &fsmpb.TaskSpec{Queue: "q", Kind: fmt.Sprint(i % 2)} })
	w.do(commitCmd(b, n, 1))
	die := func(task *Task) *fsmpb.Failure {
		return &fsmpb.Failure{Task: task.ID, Fence: task.Fence, Error: fmt.Sprint("row ", task.ID), Permanent: true}
	}
	for w.m.Queue("q").Counts[Dead] < n {
		w.do(tickCmd())
		var items []*fsmpb.Failure
		for _, task := range w.do(assignCmd(1, MaxSlots)).Tasks {
			items = append(items, die(task))
		}
		w.do(failCmd("w", items...))
	}
	groups := 0
	for g := range w.m.DeadGroups(&fsmpb.RetryDead{}, 0) {
		groups++
		if g.Count != n/2 || g.Error != "row #" {
			t.Errorf("group %+v", g)
		}
	}
	if groups != 2 {
		t.Errorf("%d groups", groups)
	}
	w.now += Second
	if r := w.do(retryDeadCmd(&fsmpb.RetryDead{Queue: "q"})); r.Count != n {
		t.Fatalf("retry: %v", r)
	}
	check(t, w.m)
	w.now += Second
	again := w.do(assignCmd(1, 1)).Tasks[0]
	w.do(failCmd("w", die(again))) // not meant any more
	for len(w.m.deadRetries) > 0 {
		check(t, w.m)
		w.do(tickCmd())
	}
	if c := w.m.Queue("q").Counts; c[Dead] != 1 || c[Ready] != n-1 || w.task(again.ID).Generation != 2 {
		t.Errorf("the queue counts %v", c)
	}
	check(t, w.m)
}

// TestStagingIsBounded: what open batches hold is limited, each and in all.
func TestStagingIsBounded(t *testing.T) {
	w := newTable(t)
	specs := make([]*fsmpb.TaskSpec, MaxBatch)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{}
	}
	full := w.stageMany(MaxStagedTasks, func(int) *fsmpb.TaskSpec { return specs[0] })
	if r := w.do(stageCmd(&fsmpb.StageBatch{Batch: full, Offset: MaxStagedTasks, Tasks: specs[:1]})); r.Outcome != BatchFull {
		t.Errorf("one more than %d: %v", MaxStagedTasks, r.Outcome)
	}
	large := &fsmpb.TaskSpec{Payload: make([]byte, 1<<20)}
	at := uint64(0)
	b := w.do(openBatchCmd(&fsmpb.BatchSpec{})).Batch
	for ; ; at++ {
		r := w.do(stageCmd(&fsmpb.StageBatch{Batch: b, Offset: at, Tasks: []*fsmpb.TaskSpec{large}}))
		if r.Outcome == StagingFull {
			break
		}
		if r.Outcome != Accepted || at > MaxStagedBytes>>20 {
			t.Fatalf("chunk %d: %v", at, r.Outcome)
		}
	}
	w.advance(KeepStaging)
	if len(w.m.lots) != 0 || w.m.staged != (stagedSize{}) {
		t.Errorf("after a while %d batches are left, %+v staged", len(w.m.lots), w.m.staged)
	}
}

// TestPackedTaskKeepsItsTime: a task of a batch whose time comes before its record is
// made has the place that its time gives it (S9).
func TestPackedTaskKeepsItsTime(t *testing.T) {
	w := newTable(t)
	at := w.now + Second
	last := uint64(MaxTransitions + 1)
	specs := make([]*fsmpb.TaskSpec, last)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Queue: "q"}
	}
	specs[last-1].RunAt = at
	submit := submitCmd(specs...)
	submit.GetSubmit().Batch = new(fsmpb.BatchSpec)
	if w.do(submit); w.m.packed(last) == nil || w.task(last).EligibleAt != at {
		t.Fatalf("before its turn the last task is %+v", w.task(last))
	}
	w.now = at + Second
	if w.do(tickCmd()); w.m.packed(last) != nil || w.task(last).EligibleAt != at || w.task(last).State != Ready {
		t.Errorf("the last task was eligible at %d, want %d: it is %s", w.task(last).EligibleAt, at, w.task(last).State)
	}
	check(t, w.m)
}

// TestPackedBroadcastExpires: a broadcast of a batch that must have started before its
// record is made does not open.
func TestPackedBroadcastExpires(t *testing.T) {
	w := newTable(t)
	last := uint64(MaxTransitions + 1)
	specs := make([]*fsmpb.TaskSpec, last)
	for i := range specs {
		specs[i] = &fsmpb.TaskSpec{Queue: "q"}
	}
	specs[last-1] = &fsmpb.TaskSpec{Queue: "q", Broadcast: &fsmpb.BroadcastSpec{Late: true}, ExpiresIn: Second}
	submit := submitCmd(specs...)
	submit.GetSubmit().Batch = new(fsmpb.BatchSpec)
	if w.do(submit); w.m.packed(last) == nil {
		t.Fatalf("before its turn the broadcast is %+v", w.task(last))
	}
	w.now += 10 * Second
	w.do(tickCmd())
	w.do(tickCmd())
	if got := w.task(last); got.State != Cancelled || got.Reason != ReasonExpired {
		t.Errorf("the broadcast is %s (%s), want it cancelled because it expired", got.State, got.Reason)
	}
	check(t, w.m)
}

// TestBulkRetryOfBroadcasts: broadcasts without workers are dead again as soon as they are
// revived. Each is revived once, and only those of the first entry need be remembered.
func TestBulkRetryOfBroadcasts(t *testing.T) {
	w := newTable(t)
	const n = 2*MaxTransitions + 100
	for made := 0; made < n; made += 1000 {
		specs := make([]*fsmpb.TaskSpec, min(1000, n-made))
		for i := range specs {
			specs[i] = &fsmpb.TaskSpec{Queue: "q", Broadcast: new(fsmpb.BroadcastSpec)}
		}
		w.do(submitCmd(specs...))
	}
	w.do(&fsmpb.Command{Kind: &fsmpb.Command_RetryDead{RetryDead: &fsmpb.RetryDead{Queue: "q"}}})
	for len(w.m.deadRetries) > 0 {
		if again := len(w.m.deadRetries[0].Again); again > MaxTransitions {
			t.Fatalf("%d are remembered, want those of one entry at most", again)
		}
		w.now += Second
		w.do(tickCmd())
	}
	for id := range uint64(n) {
		if got := w.task(id + 1); got.Generation != 2 || got.State != Dead {
			t.Fatalf("broadcast %d is %s in generation %d, want it dead in the second", id+1, got.State, got.Generation)
		}
	}
	check(t, w.m)
}
