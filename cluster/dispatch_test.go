package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/taskraft/taskraft/fsm"
	"github.com/taskraft/taskraft/fsm/fsmpb"
)

func TestSubmitToAnIdleWorkerCostsOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 4, "q"))
		_, n := r.raft.since(0)
		ids := r.submit("q", 3)
		synctest.Wait()
		entries, _ := r.raft.since(n)
		if len(entries) != 1 || !slices.Equal(kinds(entries[0]), []string{"submit", "assign"}) {
			t.Fatalf("got %d entries, the first %v", len(entries), kinds(entries[0]))
		}
		b := r.next(s)
		var got []uint64
		for _, x := range b.Assignments {
			got = append(got, x.ID)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCompletionAndTheNextTaskCostOneEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 2, "q"))
		r.submit("q", 10)
		held := r.next(s).Assignments
		if len(held) != 2 {
			t.Fatalf("got %d tasks for 2 slots", len(held))
		}
		for range 4 {
			synctest.Wait()
			_, n := r.raft.since(0)
			r.complete(s, held...)
			synctest.Wait()
			entries, _ := r.raft.since(n)
			if len(entries) != 1 || !slices.Equal(kinds(entries[0]), []string{"complete", "assign"}) {
				t.Fatalf("got %d entries, the first %v", len(entries), kinds(entries[0]))
			}
			b := r.next(s) // outcomes and new tasks travel together
			if len(b.Outcomes) != 2 || len(b.Assignments) != 2 {
				t.Fatalf("got %d outcomes and %d tasks", len(b.Outcomes), len(b.Assignments))
			}
			held = b.Assignments
		}
	})
}

func TestTasksSpreadEvenlyAndInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		var streams []*Stream
		for i := range 4 {
			streams = append(streams, r.attach(hello(fmt.Sprint("w", i), "b", 4, "q")))
		}
		r.submit("q", 8)
		for i, s := range streams {
			if n := len(r.next(s).Assignments); n != 2 {
				t.Errorf("worker %d got %d of 8 tasks, want 2", i, n)
			}
		}
		for range 4 {
			r.submit("q", 1)
		}
		for i, s := range streams {
			if n := len(r.next(s).Assignments); n != 1 {
				t.Errorf("worker %d got %d of 4 single tasks, want 1", i, n)
			}
		}
	})
}

func TestPausedQueueCausesNoEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 4, "q", "other"))
		r.setPaused("q", true)
		r.submit("q", 3)
		synctest.Wait()
		_, n := r.raft.since(0)
		r.submit("other", 1)
		time.Sleep(3 * time.Second)
		if entries, _ := r.raft.since(n); len(entries) != 1 {
			t.Errorf("%d entries beside a paused queue", len(entries))
		}
		if got := len(r.next(s).Assignments); got != 1 {
			t.Errorf("got %d tasks", got)
		}
		r.setPaused("q", false)
		if got := len(r.next(s).Assignments); got != 3 {
			t.Errorf("after resuming: got %d tasks", got)
		}
	})
}

func (r *rig) setPaused(queue string, on bool) {
	r.t.Helper()
	r.order(&fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: queue, Paused: &on}}})
}

func TestDelayedTaskIsTickedAndAssigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 1, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		c := submitTo("q", 1)
		c.GetSubmit().Tasks[0].Delay = int64(time.Minute)
		began := time.Now()
		if _, _, err := r.e.propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, n := r.raft.since(0)
		b, err := s.Next(t.Context())
		if err != nil || len(b.Assignments) != 1 {
			t.Fatalf("got %v, %v", b, err)
		}
		if d := time.Since(began); d < time.Minute || d > time.Minute+10*time.Millisecond {
			t.Errorf("assigned after %v", d)
		}
		if entries, _ := r.raft.since(n); len(entries) > 2 {
			t.Errorf("%d entries for one tick and one assignment", len(entries))
		}
	})
}

// A task that lost two workers runs alone: in an idle worker if there is one,
// otherwise one clears for it, and meanwhile nothing spins.
func TestTaskThatRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.submit("q", 1)
		for i := range fsm.SoloAfterCrashes {
			s := r.attach(hello("bad", fmt.Sprint("boot", i), 1, "q"))
			if len(r.next(s).Assignments) != 1 {
				t.Fatal("no task")
			}
			s.Close()
			time.Sleep(11 * time.Second)
		}
		busy := r.attach(hello("busy", "b", 2, "other", "q"))
		if got := r.next(busy).Assignments; len(got) != 1 || !got[0].Solo {
			t.Fatalf("got %v", got)
		}
		r.submit("q", 2)
		r.submit("other", 1)
		time.Sleep(time.Second)
		r.table.mu.RLock()
		running := slices.Collect(r.table.m.Held(busy.session.id))
		r.table.mu.RUnlock()
		if len(running) != 1 {
			t.Errorf("%d tasks run beside one that must be alone", len(running))
		}
		_, n := r.raft.since(0)
		time.Sleep(5 * time.Second)
		if entries, _ := r.raft.since(n); len(entries) != 0 {
			t.Errorf("%d entries while nothing can be assigned", len(entries))
		}
		r.complete(busy, running...)
		synctest.Wait()
		r.noIdleWork()
	})
}

// L6: a session that clears for a task that must run alone goes on with its
// other queues once that task is gone, though nothing happens there.
func TestClearingEndsWithItsTask(t *testing.T) {
	gone := map[string]func(*rig, uint64){
		"cancelled": func(r *rig, id uint64) {
			r.order(&fsmpb.Command{Kind: &fsmpb.Command_Cancel{Cancel: &fsmpb.Cancel{Tasks: []uint64{id}}}})
		},
		"paused": func(r *rig, _ uint64) { r.setPaused("b", true) },
		"taken":  func(r *rig, _ uint64) { r.attach(hello("idle", "b", 1, "b")) },
	}
	for name, act := range gone {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.close()
				id := r.submit("b", 1)[0]
				for i := range fsm.SoloAfterCrashes {
					bad := r.attach(hello("bad", fmt.Sprint("boot", i), 1, "b"))
					r.next(bad)
					bad.Close()
					time.Sleep(11 * time.Second)
				}
				r.submit("a", 1)
				busy := r.attach(hello("busy", "b", 2, "a"))
				if len(r.next(busy).Assignments) != 1 {
					t.Fatal("no task")
				}
				r.attach(hello("busy", "b", 2, "a", "b")) // holds one: clears
				synctest.Wait()
				r.submit("a", 1)
				synctest.Wait()
				if rec := r.session("busy"); !rec.Clearing || rec.Held != 1 {
					t.Fatalf("clearing %v, holds %d", rec.Clearing, rec.Held)
				}
				act(r, id)
				synctest.Wait()
				if rec := r.session("busy"); rec.Held != 2 {
					t.Errorf("holds %d of 2 with a task waiting", rec.Held)
				}
				r.noIdleWork()
			})
		})
	}
}

// order has one command applied.
func (r *rig) order(c *fsmpb.Command) {
	r.t.Helper()
	if _, _, err := r.e.propose(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// noIdleWork checks L6: no free slot of a live stream beside an eligible task.
func (r *rig) noIdleWork() {
	r.t.Helper()
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	l := r.e.lead.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.byID {
		if s.stream == nil || s.stream.draining {
			continue
		}
		if n := r.table.m.Assignable(s.id, fsm.MaxSlots); n > 0 {
			r.t.Errorf("worker %s could have %d tasks more", s.worker, n)
			tk := &s.stream.taker
			r.t.Logf("taker free %d slots %d held %d freeing %d reserved %d blocked %v", tk.free(), tk.slots, tk.held, tk.freeing, tk.reserved, tk.blocked)
			for i := range tk.seats {
				q := tk.seats[i].line
				r.t.Logf("  line %s demand %+v search %v reserved %d incoming %d inring %v ring %d known %v; table %+v", q.name, q.demanded, q.search, q.reserved, q.incoming, tk.seats[i].next != nil, q.push.n, l.lines[q.name] == q, r.table.m.Queue(q.name))
			}
		}
		if s.stream.taker.reserved != 0 || s.stream.taker.freeing != 0 {
			r.t.Errorf("worker %s: %d reserved and %d freeing at rest", s.worker, s.stream.taker.reserved, s.stream.taker.freeing)
		}
		if rec := r.table.m.Session(s.id); rec.Held != s.stream.held.len() || rec.Held != s.stream.taker.held {
			r.t.Errorf("worker %s holds %d, the stream thinks %d", s.worker, rec.Held, s.stream.held.len())
		}
	}
	for _, q := range l.lines {
		if q.reserved != 0 || q.incoming != 0 {
			r.t.Errorf("queue %s: %d reserved and %d incoming at rest", q.name, q.reserved, q.incoming)
		}
		if d := r.table.m.Demand(q.name); d != q.demanded {
			r.t.Errorf("queue %s demands %+v, the line thinks %+v", q.name, d, q.demanded)
		}
	}
}

// L6: whatever happens, once all is quiet no free slot is beside an eligible
// task, and quiet means no entries.
func TestNoIdleWork(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { idleWork(t, rand.New(rand.NewPCG(seed, 6))) })
		})
	}
}

// loseLeadership has some entries fail, applied or not, and begins another term.
func (r *rig) loseLeadership(rnd *rand.Rand) {
	r.raft.fail(ErrUncertain, rnd.IntN(2) == 0)
	time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
	r.e.end(Leader{Name: "n2"})
	synctest.Wait()
	time.Sleep(20 * time.Millisecond) // what is in flight gets its verdict
	r.raft.fail(nil, false)
	r.begin(r.e.lead.Load().term + 1)
}

// restrict gives some tasks a key, or labels to require.
func restrict(rnd *rand.Rand, specs []*fsmpb.TaskSpec) {
	for _, spec := range specs {
		if rnd.IntN(4) == 0 {
			spec.ConcurrencyKey = string(rune('k' + rnd.IntN(3)))
		}
		if rnd.IntN(4) == 0 {
			spec.Require = []*fsmpb.Label{{Key: "zone", Value: string(rune('a' + rnd.IntN(4)))}} // nobody is in zone d
		}
	}
}

func limitQueue(queue string, s *fsmpb.QueueSettings) *fsmpb.Command {
	return &fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: queue, Settings: s}}}
}

type simWorker struct {
	h    Hello
	s    *Stream
	held map[uint64]*fsm.Task // by fence
}

func idleWork(t *testing.T, rnd *rand.Rand) {
	r := newRig(t, nil)
	defer r.close()
	r.raft.latency = time.Duration(rnd.IntN(3)) * time.Millisecond
	queues := []string{"a", "b", "c"}
	var workers []*simWorker
	for i := range 5 {
		qs := slices.Clone(queues[:1+rnd.IntN(3)])
		rnd.Shuffle(len(qs), func(i, j int) { qs[i], qs[j] = qs[j], qs[i] })
		w := &simWorker{h: hello(fmt.Sprint("w", i), "b", 1+rnd.IntN(8), qs...), held: map[uint64]*fsm.Task{}}
		w.h.TTL = time.Hour
		w.h.Labels = map[string]string{"zone": string(rune('a' + rnd.IntN(3)))}
		if rnd.IntN(2) == 0 {
			w.h.Queues[0].Weight = 3
		}
		workers = append(workers, w)
	}
	paused := false
	for step := range 400 {
		w := workers[rnd.IntN(len(workers))]
		switch k := rnd.IntN(20); {
		case w.s == nil:
			w.attach(r)
		case k < 8:
			cmd := submitTo(queues[rnd.IntN(3)], 1+rnd.IntN(6))
			restrict(rnd, cmd.GetSubmit().GetTasks())
			go r.e.propose(t.Context(), cmd)
		case k < 15:
			w.settle(t, rnd)
		case k == 15:
			w.s.Close()
			w.s = nil
		case k == 16 && rnd.IntN(2) == 0:
			go r.e.propose(t.Context(), limitQueue(queues[rnd.IntN(3)], &fsmpb.QueueSettings{
				MaxRunning: new(uint32(1 + rnd.IntN(8))), MaxRunningPerKey: new(uint32(1 + rnd.IntN(2))), Ageing: new(int64(rnd.IntN(2)) * int64(time.Millisecond)),
			}))
		case k == 16:
			paused = !paused
			on := paused
			go r.e.propose(t.Context(), &fsmpb.Command{Kind: &fsmpb.Command_SetQueue{SetQueue: &fsmpb.SetQueue{Queue: "b", Paused: &on}}})
		case k == 17:
			w.attach(r) // replaces the stream
		case k == 18 && rnd.IntN(4) == 0:
			r.loseLeadership(rnd)
		case k == 19 && rnd.IntN(2) == 0:
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(5))*time.Millisecond)
			p := Poll{Hello: hello("puller", "b", 100, "c"), Seq: uint64(step), Max: 2, Wait: time.Minute}
			r.e.poll(ctx, p)
			cancel()
		default:
			time.Sleep(time.Duration(rnd.IntN(3000)) * time.Microsecond)
		}
		if step%50 == 49 {
			synctest.Wait()
			time.Sleep(20 * time.Millisecond) // all entries in flight land
			synctest.Wait()
			r.noIdleWork()
			n := r.raft.count()
			time.Sleep(400 * time.Millisecond)
			if now := r.raft.count(); now != n {
				t.Errorf("%d entries although all was quiet", now-n)
			}
		}
	}
	r.sameTables()
}

func (w *simWorker) attach(r *rig) {
	w.h.Held = w.h.Held[:0]
	for f := range w.held {
		w.h.Held = append(w.h.Held, f)
	}
	w.s = r.attach(w.h)
}

// settle reads what came and reports on some of what is held.
func (w *simWorker) settle(t *testing.T, rnd *rand.Rand) {
	for {
		b, err := w.s.take()
		if err != nil {
			w.s = nil
			return
		}
		if b == nil {
			break
		}
		for _, x := range b.Assignments {
			w.held[x.Fence] = x
		}
		for _, o := range b.Outcomes {
			delete(w.held, o.Fence)
		}
	}
	var done []*fsmpb.Completion
	var failed []*fsmpb.Failure
	var back []*fsmpb.Handback
	for f, x := range w.held {
		k := 0
		if rnd != nil {
			k = rnd.IntN(6)
		}
		switch k {
		case 0, 1, 2:
			done = append(done, &fsmpb.Completion{Task: x.ID, Fence: f})
		case 3:
			failed = append(failed, &fsmpb.Failure{Task: x.ID, Fence: f, RetryAfter: int64(5 * time.Millisecond)})
		case 4:
			back = append(back, &fsmpb.Handback{Task: x.ID, Fence: f})
		}
	}
	if err := w.s.Report(t.Context(), done, failed, back); err != nil {
		w.s = nil
	}
}
