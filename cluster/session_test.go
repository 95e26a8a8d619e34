package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/taskraft/taskraft/fsm"
)

func (r *rig) session(worker string) *fsm.Session {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	return r.table.m.SessionOf(worker)
}

func TestANewLeaderGivesEverySessionOneTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		for _, w := range []string{"a", "b"} {
			r.attach(hello(w, "b", 1, "q")).Close()
		}
		time.Sleep(9 * time.Second)
		r.e.end(Leader{Name: "n2"})
		r.begin(2)
		time.Sleep(9 * time.Second)
		if r.session("a") == nil || r.session("b") == nil {
			t.Error("expired before one TTL of the new leader")
		}
		time.Sleep(2 * time.Second)
		if r.session("a") != nil || r.session("b") != nil {
			t.Error("not expired after one TTL of the new leader")
		}
	})
}

// A process that was stopped and goes on (SIGSTOP, SIGCONT, a suspended machine)
// could not hear anybody: its lateness is added to every deadline.
func TestASweeperThatWakesLateExpiresNobody(t *testing.T) {
	r := newIdleRig(t, nil, systemSource())
	defer r.close()
	h := &hands{wall: time.Now().UnixNano()}
	l := newReign(r.e, 1)
	r.e.mono = h.source().mono
	l.load(r.table.m)
	s := l.opened(&fsm.Session{ID: 1, Worker: "w", TTL: int64(10 * time.Second)})
	look := func(d time.Duration) bool {
		h.pass(d)
		l.sweep()
		return l.overdue(s)
	}
	for range 4 * 9 {
		if look(lookEvery) {
			t.Fatal("overdue before its TTL")
		}
	}
	h.pass(time.Hour) // frozen
	if l.silent(s) != true || l.overdue(s) {
		t.Error("the frozen hour counts before the sweeper has run")
	}
	if look(0) {
		t.Error("the frozen hour counts")
	}
	for range 2 {
		look(lookEvery)
	}
	if !look(lookEvery) {
		t.Error("never overdue")
	}
}

func TestTakeoverAfterAFreezeWaitsForTheOldProcess(t *testing.T) {
	r := newIdleRig(t, nil, systemSource())
	defer r.close()
	h := &hands{}
	l := newReign(r.e, 1)
	r.e.mono = h.source().mono
	l.load(r.table.m)
	s := l.opened(&fsm.Session{ID: 1, Worker: "w", Boot: "b", TTL: int64(10 * time.Second)})
	h.pass(time.Hour)
	if l.silent(s) {
		t.Error("two heartbeats count as missed, though nobody could hear them")
	}
	if _, err := l.mayTakeOver("w", "b2"); refused(err) != fsm.WorkerIDInUse {
		t.Errorf("got %v", err)
	}
}

// A replaced process is told so by a poll, too, and not that its id is in use.
func TestAReplacedProcessThatPollsIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.attach(hello("w", "old", 1, "q")).Close()
		r.attach(hello("w", "b", 1, "q"))
		p := pollOf("w", 1, 0)
		p.Boot = "old"
		if _, _, err := r.e.poll(t.Context(), p); refused(err) != fsm.BootReplaced {
			t.Errorf("beside the live stream of its successor: %v", err)
		}
	})
}

func TestHeartbeatBeforeTheExpiryIsProposedSavesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		s := r.attach(hello("w", "b", 1, "q"))
		filled := r.fill() // the proposer has no room for an expiry
		time.Sleep(12 * time.Second)
		s.Heartbeat(1, 0, 0)
		r.raft.resume()
		filled()
		time.Sleep(time.Second)
		if r.session("w") == nil {
			t.Error("expired")
		}
	})
}

func TestTimeoutsOfALeaderlessGapFireOneTTLLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 2, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		c := submitTo("q", 2)
		timeouts := []int64{int64(5 * time.Second), int64(time.Minute)}
		for i, spec := range c.GetSubmit().Tasks {
			spec.Timeout = &timeouts[i]
		}
		if _, _, err := r.e.propose(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		held := r.next(s).Assignments
		r.e.end(Leader{})
		time.Sleep(10 * time.Second) // nobody leads
		r.begin(2)
		time.Sleep(9 * time.Second)
		if x := r.task(held[0].ID); x.State != fsm.Running {
			t.Errorf("one TTL after the gap is not over: %v", x.State)
		}
		time.Sleep(2 * time.Second)
		if x := r.task(held[0].ID); x.State != fsm.Stopping {
			t.Errorf("one TTL after the gap: %v", x.State)
		}
	})
}

// Only those timeouts wait: whatever else falls due meanwhile does so in time,
// and nothing spins.
func TestASparedAttemptHoldsBackNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		h := hello("w", "b", 4, "q")
		h.TTL = time.Hour
		s := r.attach(h)
		c := submitTo("q", 5)
		tasks := c.GetSubmit().Tasks
		for i, timeout := range []time.Duration{5 * time.Second, 6 * time.Second, 12 * time.Second} {
			tasks[i].Timeout = new(int64(timeout))
		}
		tasks[3].Delay, tasks[4].Delay = int64(8*time.Second), int64(13*time.Second)
		r.order(c)
		held := r.next(s).Assignments
		r.e.end(Leader{})
		time.Sleep(10 * time.Second) // nobody leads
		r.begin(2)
		h.Held = fences(held)
		s = r.attach(h)
		_, n := r.raft.since(0)
		if b := r.next(s); len(b.Assignments) != 1 || b.Assignments[0].ID != 4 {
			t.Errorf("the task whose delay ended in the gap: %+v", b)
		}
		r.complete(s, held[0]) // it was done in time, only nobody heard
		if b := r.next(s); len(b.Outcomes) != 1 || b.Outcomes[0].Outcome != fsm.Accepted {
			t.Errorf("the report of a spared attempt: %+v", b)
		}
		before := time.Now()
		if b := r.next(s); len(b.Aborts) != 1 || b.Aborts[0].Task != 3 || time.Since(before) > 3*time.Second {
			t.Errorf("the timeout under the new leader: %+v after %v", b, time.Since(before))
		}
		if b := r.next(s); len(b.Assignments) != 1 || b.Assignments[0].ID != 5 || time.Since(before) > 4*time.Second {
			t.Errorf("the delay under the new leader: %+v after %v", b, time.Since(before))
		}
		if b := r.next(s); len(b.Aborts) != 1 || b.Aborts[0].Task != 2 || time.Since(before) < 9*time.Second || time.Since(before) > 11*time.Second {
			t.Errorf("the spared attempt: %+v after %v, want 10s", b, time.Since(before))
		}
		if entries, _ := r.raft.since(n); len(entries) > 10 {
			t.Errorf("%d entries", len(entries))
		}
	})
}

func TestEntriesOfATermComeAfterTheFormerTermsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.close()
		r.submit("q", 3)
		r.e.end(Leader{})
		r.begin(2)
		r.submit("q", 1)
		entries, _ := r.raft.since(0)
		if !slices.IsSortedFunc(entries, func(a, b *fsm.Entry) int { return int(a.Now - b.Now) }) {
			t.Error("the table's clock went back")
		}
		if last := entries[len(entries)-1]; last.Term != 2 || last.Level != 1 {
			t.Errorf("header %+v", last.Header)
		}
	})
}
