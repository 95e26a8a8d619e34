package fsm

import (
	"flag"
	"fmt"
	"runtime"
	"testing"

	"github.com/taskraft/taskraft/fsm/fsmpb"
)

// full is for the sizes that docs/cases.md names; without it they are a part of them.
var full = flag.Bool("full", false, "play the cases of docs/cases.md in their whole size")

func caseSize(part, whole int) int {
	if *full {
		return whole
	}
	return part
}

// Case 5 (a token never repeats): over random histories, with restarts from
// snapshots and restores into other clusters in the middle, every fence is greater
// than all before it (S6).
func TestFencesNeverRepeat(t *testing.T) {
	given := 0
	for seed := range uint64(caseSize(2000, 1_000_000)) {
		c := &chance{splitmix64(seed), New()}
		var last, index uint64
		now := int64(epochStart)
		for range 40 {
			index++
			now += c.n(0, 5) * Second
			if c.one(20) {
				c.m = restored(t, snapshotBytes(t, c.m))
				if c.one(2) {
					c.m.Refound(Founding{Index: index, Term: 1, Now: now})
					index++
				}
			}
			cmd := c.command()
			switch c.n(0, 5) { // more of what leads to fences
			case 0:
				cmd = submitCmd(c.specs(3)...)
			case 1, 2:
				cmd = assignCmd(c.session(), 2)
			case 3:
				cmd = openCmd(c.open())
			}
			a := c.m.Apply(index, 1, &Entry{Header: Header{Level: 1, Term: 1, Now: now}, Commands: []*fsmpb.Command{cmd}})
			for _, e := range a.Events {
				if e.Kind != TaskAssigned || e.Cause != CauseNone {
					continue
				}
				if e.Fence <= last {
					t.Fatalf("history %d: fence %d after %d", seed, e.Fence, last)
				}
				last = e.Fence
				given++
			}
		}
	}
	if given < caseSize(2000, 1_000_000)/2 {
		t.Errorf("only %d fences were given", given)
	}
	t.Logf("%d fences", given)
}

// Case 16 (a batch completes though answers are lost): of every hundred completions
// five get no answer; their workers say it again, or lose it and time out. The batch
// ends with every task counted once, and what follows its end is submitted once.
func TestBatchEndsThoughAnswersAreLost(t *testing.T) {
	n := caseSize(5000, 100_000)
	const slots = 500
	w := newTable(t)
	b := w.stageMany(n, func(int) *fsmpb.TaskSpec {
		return &fsmpb.TaskSpec{Queue: "q", Timeout: new(int64(10 * Second)), BackoffBase: new(int64(Second)), MaxAttempts: new(uint32(50))}
	})
	if r := w.apply(commitCmd(b, uint64(n), 1)).Results[0]; r.Outcome != Accepted {
		t.Fatal(r.Outcome)
	}
	s := w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: slots, Queues: []*fsmpb.QueueWeight{{Queue: "q", Weight: 1}}})).Session.ID
	chances := &chance{seed: 16}
	again, lost, ends := 0, 0, map[uint64]bool{}
	for rounds := 0; w.m.Batch(b).FinishedAt == 0; rounds++ {
		if rounds > n {
			t.Fatalf("the batch does not end: %v", w.m.Batch(b).Counts)
		}
		w.log = nil
		var said, repeats []*fsmpb.Completion
		for _, task := range w.do(assignCmd(s, slots)).Tasks {
			c := &fsmpb.Completion{Task: task.ID, Fence: task.Fence, Digest: task.ID}
			switch chances.n(1, 40) {
			case 1: // the answer is lost: it says it again
				repeats = append(repeats, c)
				said = append(said, c)
			case 2: // the completion itself is lost
				lost++
			default:
				said = append(said, c)
			}
		}
		for i, o := range w.do(completeCmd("w1/b", said...)).Outcomes {
			if ends[said[i].Task] || o != Accepted {
				t.Fatalf("completion of task %d: %v, before: %v", said[i].Task, o, ends[said[i].Task])
			}
			ends[said[i].Task] = true
		}
		for _, o := range w.do(completeCmd("w1/b", repeats...)).Outcomes {
			if again++; o != Duplicate {
				t.Fatalf("a repeat is answered %v", o)
			}
		}
		w.advance(30 * Second)
	}
	got := w.m.Batch(b)
	if got.Counts[Succeeded] != int64(n) || len(ends) != n || again < n/80 || lost < n/80 {
		t.Errorf("counts %v, %d ended, %d said again, %d lost", got.Counts, len(ends), again, lost)
	}
	if q := w.m.Queue("after"); q == nil || q.SubmittedTotal != 1 {
		t.Errorf("after its end the queue of follow-ups is %+v", q)
	}
	check(t, w.m)
}

// Case 17 (a unique key is free again): whatever ends a task, and at once (S20).
func TestUniqueKeyIsFreeAgain(t *testing.T) {
	heldBy := func(w *table, worker string) (session, fence uint64) {
		session = w.do(openCmd(&fsmpb.OpenSession{Worker: worker, Boot: "b", Slots: 1, Queues: []*fsmpb.QueueWeight{{Queue: "q", Weight: 1}}})).Session.ID
		return session, w.do(assignCmd(session, 1)).Tasks[0].Fence
	}
	held := func(w *table) (session, fence uint64) { return heldBy(w, "w1") }
	for name, end := range map[string]func(w *table){
		"complete": func(w *table) {
			_, f := held(w)
			w.do(completeCmd("w1/b", &fsmpb.Completion{Task: 1, Fence: f}))
		},
		"fail for good": func(w *table) {
			_, f := held(w)
			w.do(failCmd("w1/b", &fsmpb.Failure{Task: 1, Fence: f, Permanent: true}))
		},
		"last attempt fails": func(w *table) {
			_, f := held(w)
			w.do(failCmd("w1/b", &fsmpb.Failure{Task: 1, Fence: f}))
		},
		"cancel while it waits": func(w *table) { w.do(cancelCmd("", 1)) },
		"cancel while it runs": func(w *table) {
			_, f := held(w)
			w.do(cancelCmd("", 1))
			w.do(releaseCmd("w1/b", &fsmpb.Handback{Task: 1, Fence: f}))
		},
		"cancel, and its session ends": func(w *table) {
			s, _ := held(w)
			w.do(cancelCmd("", 1))
			w.do(expireCmd(s))
		},
		"cancel and delete": func(w *table) {
			w.do(cancelCmd("", 1))
			w.do(deleteCmd(1))
		},
		"expire": func(w *table) { w.advance(Minute) },
		"time out": func(w *table) {
			held(w)
			w.advance(Minute)
		},
		"purge": func(w *table) {
			w.do(sweepCmd(&fsmpb.Sweep{What: &fsmpb.TaskFilter{Queue: "q"}}))
			w.advance(Second)
		},
		"poison": func(w *table) {
			for i := range SoloAfterCrashes + PoisonCrashes {
				s, _ := heldBy(w, fmt.Sprint("w", i))
				w.do(expireCmd(s))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTable(t)
			spec := func() *fsmpb.TaskSpec {
				return &fsmpb.TaskSpec{Queue: "q", UniqueKey: "k", MaxAttempts: new(uint32(1)), ExpiresIn: 30 * Second, Timeout: new(int64(5 * Second))}
			}
			w.do(submitCmd(spec()))
			if r := w.do(submitCmd(spec())); r.Outcomes[0] != Existing || r.IDs[0] != 1 {
				t.Fatalf("while it lives: %v", r)
			}
			end(w)
			if r := w.do(submitCmd(spec())); r.Outcomes[0] != Accepted || r.IDs[0] != 2 {
				t.Fatalf("after its end: %v", r)
			}
			check(t, w.m)
		})
	}
}

// Case 22 (memory is bounded): however many tasks pass, what is kept of them is what
// retention allows, and what it removes is counted.
func TestRetentionBoundsMemory(t *testing.T) {
	n := caseSize(50_000, 1_000_000)
	const kept = 1000
	w := newTable(t)
	w.do(queueCmd(&fsmpb.SetQueue{Queue: "q", Settings: &fsmpb.QueueSettings{RetainCount: new(uint64(kept))}}))
	s := w.do(openCmd(&fsmpb.OpenSession{Worker: "w1", Boot: "b", Slots: 100, Queues: []*fsmpb.QueueWeight{{Queue: "q", Weight: 1}}})).Session.ID
	var first int64
	for done := 0; done < n; done += 100 {
		specs := make([]*fsmpb.TaskSpec, 100)
		for i := range specs {
			specs[i] = &fsmpb.TaskSpec{Queue: "q", Payload: make([]byte, 256), Labels: labelsIn("n", fmt.Sprint(done+i))}
		}
		w.do(submitCmd(specs...))
		var items []*fsmpb.Completion
		for _, task := range w.do(assignCmd(s, 100)).Tasks {
			items = append(items, &fsmpb.Completion{Task: task.ID, Fence: task.Fence, Result: make([]byte, 64)})
		}
		w.do(completeCmd("w1/b", items...))
		w.log = nil
		w.advance(Second)
		if done == n/5 {
			first = int64(liveHeap())
		}
	}
	if q := w.m.Queue("q"); q.Counts[Succeeded] != kept || q.TrimmedTotal != uint64(n-kept) {
		t.Errorf("%d records are kept, %d were removed, want %d and %d", q.Counts[Succeeded], q.TrimmedTotal, kept, n-kept)
	}
	if grown := int64(liveHeap()) - first; grown > 1<<20 {
		t.Errorf("the heap grew by %d bytes between a fifth and the whole", grown)
	}
	check(t, w.m)
	runtime.KeepAlive(w)
}

// Case 24 (counters equal a full scan): after every entry of random logs, and in a
// table that was restored from a snapshot (S16).
func TestCountersEqualTheScanAtEveryIndex(t *testing.T) {
	for seed := range uint64(caseSize(20, 2000)) {
		w := newTable(t)
		c := &chance{splitmix64(seed ^ 24), w.m}
		for range 150 {
			w.now += c.n(0, 5) * Second
			w.apply(c.command())
			if c.one(3) {
				w.advance(0)
			}
			recount(t, w.m)
		}
		recount(t, restored(t, snapshotBytes(t, w.m)))
	}
}
